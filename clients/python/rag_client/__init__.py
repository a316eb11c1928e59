"""Client of rag-grpc: documents in, the right passages out.

`RagClient` is for threads, `AsyncRagClient` for asyncio; they have the same methods. Neither needs numpy, and
both take and give its arrays. The exceptions are in `rag_client.errors`.
"""

from rag_client.answers import Answer, Claim, Sources
from rag_client.asynchronous.client import AsyncRagClient
from rag_client.blocking.client import RagClient
from rag_client.errors import RagClientError
from rag_client.filters import Condition, Field
from rag_client.models import (
    Chunk,
    Chunking,
    Collection,
    Document,
    DocumentRef,
    IngestItem,
    IngestResult,
    ServerInfo,
)
from rag_client.queries import Fusion, Hit, QueryFields, QueryResult, Rerank
from rag_client.streaming.policy import IngestPolicy
from rag_client.version import __version__

__all__ = [
    "Answer",
    "AsyncRagClient",
    "Chunk",
    "Chunking",
    "Claim",
    "Collection",
    "Condition",
    "Document",
    "DocumentRef",
    "Field",
    "Fusion",
    "Hit",
    "IngestItem",
    "IngestPolicy",
    "IngestResult",
    "QueryFields",
    "QueryResult",
    "RagClient",
    "RagClientError",
    "Rerank",
    "ServerInfo",
    "Sources",
    "__version__",
]
