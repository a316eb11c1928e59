"""Retrieval-augmented generation as one gRPC service."""

import os

# The child that saves a graph is forked, and never calls gRPC; by default gRPC would halt its own threads for
# every fork. Said here, because it is read when grpc is first imported.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

__version__ = "0.1.0"
