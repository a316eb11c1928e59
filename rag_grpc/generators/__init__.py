"""Adapters of the port Generator."""
