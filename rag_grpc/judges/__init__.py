"""Adapters of the Judge port: what says how far passages support a sentence."""
