"""Adapters of the Splitter port: what cuts a document's text into chunks."""
