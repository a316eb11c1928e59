"""`python -m rag_grpc` is the command `rag-grpc`."""

import sys

from rag_grpc.cli import main

if __name__ == "__main__":
    sys.exit(main())
