"""rag-grpc in LangChain: a vector store and a retriever. Needs the extra "langchain"."""

try:
    import langchain_core as _langchain_core
except ModuleNotFoundError as error:
    if error.name != "langchain_core":
        raise
    raise ModuleNotFoundError(
        "rag_client.integrations.langchain needs LangChain: pip install 'rag-grpc-client[langchain]'",
        name=error.name,
    ) from None
del _langchain_core

from rag_client.integrations.langchain.retriever import RagRetriever  # noqa: E402 - LangChain is there
from rag_client.integrations.langchain.store import RagVectorStore  # noqa: E402 - as above

__all__ = ["RagRetriever", "RagVectorStore"]
