"""Client of rag-grpc."""

__version__ = "0.1.0"
