"""Adapters of the Store port: where documents are kept and found."""
