"""proto <-> models for CollectionService and HealthService."""

from __future__ import annotations

from dataclasses import fields

from rag_grpc.core.limits import Limits
from rag_grpc.core.model_ports import Embedder
from rag_grpc.core.models import (
    Chunking,
    Collection,
    CollectionCounts,
    CollectionSpec,
    Metric,
)
from rag_grpc.rpc.convert import time_to_proto
from ragapi.v1 import collection_service_pb2 as pb
from ragapi.v1 import health_service_pb2

_METRIC_TO_PROTO = {
    Metric.COSINE: pb.METRIC_COSINE,
    Metric.DOT: pb.METRIC_DOT,
    Metric.EUCLIDEAN: pb.METRIC_EUCLIDEAN,
}
_METRIC_FROM_PROTO = {number: metric for metric, number in _METRIC_TO_PROTO.items()}


def spec_from_proto(collection: pb.Collection) -> CollectionSpec:
    """Take what a caller asks a collection to be; output-only fields are left where they are."""
    return CollectionSpec(
        name=collection.name,
        embedder=collection.embedder,
        dimension=collection.dimension,
        metric=_METRIC_FROM_PROTO.get(collection.metric),
        chunking=_chunking_from_proto(collection.chunking) if collection.HasField("chunking") else None,
        language=collection.language,
    )


def collection_to_proto(collection: Collection, counts: CollectionCounts) -> pb.Collection:
    """Make a collection as stored, with its counts."""
    return pb.Collection(
        name=collection.name,
        embedder=collection.embedder,
        dimension=collection.dimension,
        metric=_METRIC_TO_PROTO[collection.metric],
        chunking=_chunking_to_proto(collection.chunking),
        language=collection.language,
        document_count=counts.documents,
        chunk_count=counts.chunks,
        create_time=time_to_proto(collection.create_time),
        uid=collection.uid,
        embedder_fingerprint=collection.embedder_fingerprint,
    )


def _chunking_from_proto(chunking: pb.Chunking) -> Chunking:
    return Chunking(
        max_characters=chunking.max_characters,
        overlap_characters=chunking.overlap_characters,
        max_tokens=chunking.max_tokens,
        without_context=chunking.without_context,
    )


def _chunking_to_proto(chunking: Chunking) -> pb.Chunking:
    return pb.Chunking(
        max_characters=chunking.max_characters,
        overlap_characters=chunking.overlap_characters,
        max_tokens=chunking.max_tokens,
        without_context=chunking.without_context,
    )


def embedder_to_proto(embedder: Embedder) -> health_service_pb2.Embedder:
    """Describe an embedder."""
    return health_service_pb2.Embedder(
        name=embedder.name, dimension=embedder.dimension, fingerprint=embedder.fingerprint
    )


def limits_to_proto(limits: Limits) -> health_service_pb2.Limits:
    """Tell the limits; the message has a field of the same name for each."""
    return health_service_pb2.Limits(**{field.name: getattr(limits, field.name) for field in fields(limits)})
