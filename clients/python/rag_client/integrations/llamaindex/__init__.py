"""rag-grpc in LlamaIndex: a vector store and a retriever. Needs the extra "llamaindex"."""

try:
    import llama_index.core as _llama_index
except ModuleNotFoundError as error:
    if error.name not in ("llama_index", "llama_index.core"):
        raise
    raise ModuleNotFoundError(
        "rag_client.integrations.llamaindex needs LlamaIndex: pip install 'rag-grpc-client[llamaindex]'",
        name=error.name,
    ) from None
del _llama_index

from rag_client.integrations.llamaindex.retriever import RagRetriever  # noqa: E402 - LlamaIndex is there
from rag_client.integrations.llamaindex.store import RagVectorStore  # noqa: E402 - as above

__all__ = ["RagRetriever", "RagVectorStore"]
