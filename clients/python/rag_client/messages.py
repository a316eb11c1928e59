"""The parts that requests are made of: documents, chunks and queries as messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rag_client.models import Document, IngestItem
from rag_client.structs import to_struct
from rag_client.vectors import pack
from ragapi.v1 import collection_service_pb2 as collection_pb
from ragapi.v1 import ingestion_service_pb2 as ingestion_pb
from ragapi.v1 import retrieval_service_pb2 as retrieval_pb
from ragapi.v1 import types_pb2

if TYPE_CHECKING:
    from rag_client.models import Chunk, Chunking
    from rag_client.queries import Fusion, QueryFields, Rerank

_PLAIN = (
    "query",
    "collection",
    "doc_id",
    "top_k",
    "offset",
    "filter",
    "min_score",
    "max_hits_per_document",
    "ef",
    "exact",
    "metadata_keys",
    "include_vectors",
    "highlight",
    "explain",
)
"""Fields of a query that go to the wire as they are."""


def document_message(document: Document) -> types_pb2.Document:
    """Return what the caller may set of a document; what is the server's is left out.

    Raises ValueError and TypeError for what the contract has no place for.
    """
    return types_pb2.Document(
        doc_id=document.doc_id,
        text=document.text,
        media_type=document.media_type,
        title=document.title,
        metadata=to_struct(document.metadata) if document.metadata else None,
        chunks=[chunk_message(chunk) for chunk in document.chunks],
        embedder_fingerprint=document.embedder_fingerprint,
    )


def chunk_message(chunk: Chunk) -> types_pb2.Chunk:
    """Return what the caller may set of a chunk."""
    vector = None if chunk.vector is None else types_pb2.Vector(packed=pack(chunk.vector))
    return types_pb2.Chunk(text=chunk.text, start=chunk.start, end=chunk.end, vector=vector)


def item_message(item: Document | IngestItem) -> ingestion_pb.IngestItem:
    """Return a document, or a document on a condition, as an item of a batch."""
    if isinstance(item, IngestItem):
        return ingestion_pb.IngestItem(
            document=document_message(item.document), expected_revision=item.expected_revision
        )
    return ingestion_pb.IngestItem(document=document_message(item))


def chunking_message(chunking: Chunking) -> collection_pb.Chunking:
    """Return a collection's chunking."""
    return collection_pb.Chunking(
        max_characters=chunking.max_characters,
        overlap_characters=chunking.overlap_characters,
        max_tokens=chunking.max_tokens,
        without_context=chunking.without_context,
    )


def query_message(fields: QueryFields) -> retrieval_pb.QueryRequest:
    """Return a query. Raises TypeError for an option that queries do not have."""
    given: dict[str, Any] = dict(fields)
    request = retrieval_pb.QueryRequest(**{name: given.pop(name) for name in _PLAIN if name in given})
    if (vector := given.pop("vector", None)) is not None:
        request.vector.packed = pack(vector)
    if mode := given.pop("mode", None):
        request.mode = number(retrieval_pb.SearchMode, "SEARCH_MODE_", mode)
    for part in given.pop("omit", ()):
        request.omit.append(number(retrieval_pb.HitField, "HIT_FIELD_", part))
    if (fusion := given.pop("fusion", None)) is not None:
        request.fusion.CopyFrom(_fusion(fusion))
    if (rerank := given.pop("rerank", None)) is not None:
        request.rerank.CopyFrom(_rerank(rerank))
    if given:
        raise TypeError(f"a query has no option {', '.join(map(repr, given))}")
    return request


def number(enum: Any, prefix: str, word: str) -> Any:
    """Return the number of an enum's word. Raises ValueError that lists the words there are."""
    try:
        return enum.Value(prefix + word.upper())
    except ValueError:
        words = [name.removeprefix(prefix).lower() for name in enum.keys() if enum.Value(name)]  # noqa: SIM118 - no dict
        raise ValueError(f"{word!r} is none of {', '.join(words)}") from None


def _fusion(fusion: Fusion) -> retrieval_pb.Fusion:
    return retrieval_pb.Fusion(dense_weight=fusion.dense_weight, rank_constant=fusion.rank_constant)


def _rerank(rerank: Rerank) -> retrieval_pb.Rerank:
    if rerank.method == "mmr" and not rerank.model:
        mmr = retrieval_pb.MaximalMarginalRelevance(diversity=rerank.diversity)
        return retrieval_pb.Rerank(mmr=mmr, candidates=rerank.candidates)
    if rerank.method == "cross_encoder" and rerank.diversity is None:
        encoder = retrieval_pb.CrossEncoder(model=rerank.model)
        return retrieval_pb.Rerank(cross_encoder=encoder, candidates=rerank.candidates)
    raise ValueError(
        f"{rerank}: the method is 'mmr', which takes a diversity, or 'cross_encoder', which takes a model"
    )
