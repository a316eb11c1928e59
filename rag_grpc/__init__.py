"""Retrieval-augmented generation as one gRPC service."""

__version__ = "0.1.0"
