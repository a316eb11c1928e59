"""What every call goes through, one purpose a module; `rag_grpc.rpc.server` gives their order."""
