"""Items that are plainly in order, checked and converted in one look.

The table of rules is right for every message and pays for that: a list of tests for each
field, and then the conversion, together half of what the event loop did for a document
with a ready vector. Nearly all documents need nothing of it. What is looked at here is
stricter than the rules, never laxer; an item that is not plainly in order goes the way
of the table, which finds what is wrong with it, or that nothing is. A test holds the
two ways together.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite

import numpy as np
from google.protobuf.internal.containers import RepeatedCompositeFieldContainer
from google.protobuf.struct_pb2 import Struct, Value

from rag_grpc.core.ingestion import IngestItem
from rag_grpc.core.limits import Limits
from rag_grpc.core.models import ChunkDraft, DocumentDraft, JsonValue, MetadataDict
from rag_grpc.rpc.convert import DEFAULT_MEDIA_TYPE
from rag_grpc.rpc.message_checks import finite
from ragapi.v1 import ingestion_service_pb2 as pb
from ragapi.v1 import types_pb2

_SHORT_ID, _SHORT_TITLE, _SHORT_FINGERPRINT, _SHORT_KEY = 128, 1000, 64, 32
"""Characters that cannot be too many bytes: a quarter of the rule's bound, where that is in bytes."""
_MEDIA_TYPES = frozenset({"", "text/plain", "text/markdown"})
_FLOAT32 = np.dtype("<f4")


def plain_items(items: Iterable[pb.IngestItem], limits: Limits) -> list[IngestItem | None]:
    """Convert the items that are plainly in order; None stands for each of the others."""
    packed: list[bytes] = []
    taken = [_item(item, limits, packed) for item in items]
    # All at once: for each vector alone it takes ten times as long.
    if packed and not finite(np.frombuffer(b"".join(packed), _FLOAT32)):
        return [item if item is not None and _has_finite_vectors(item) else None for item in taken]
    return taken


def _has_finite_vectors(item: IngestItem) -> bool:
    return all(chunk.vector is None or finite(chunk.vector) for chunk in item.document.chunks)


def _item(item: pb.IngestItem, limits: Limits, packed: list[bytes]) -> IngestItem | None:
    """Convert an item, if it is plain, and add its vectors to `packed`: whether they are finite is left."""
    document = item.document
    doc_id, text, title = document.doc_id, document.text, document.title
    media_type, fingerprint = document.media_type, document.embedder_fingerprint
    if (
        not 0 < len(doc_id) <= _SHORT_ID
        or not doc_id.isprintable()
        or len(text) > limits.max_document_characters
        or len(title) > _SHORT_TITLE
        or media_type not in _MEDIA_TYPES
        or len(fingerprint) > _SHORT_FINGERPRINT
    ):
        return None
    chunks = _chunks(document.chunks, len(text), limits, packed)
    if chunks is None or (not chunks and (fingerprint or not text or text.isspace())):
        return None
    struct = document.metadata
    metadata = _flat(struct) if struct.ByteSize() <= limits.max_metadata_bytes else None
    if metadata is None:
        return None
    struct.DiscardUnknownFields()
    written = struct.SerializeToString(deterministic=True) if metadata else b""
    revision = item.expected_revision if item.HasField("expected_revision") else None
    draft = DocumentDraft(
        doc_id, text, media_type or DEFAULT_MEDIA_TYPE, title, metadata, chunks, fingerprint, written
    )
    return IngestItem(draft, revision)


def _chunks(
    chunks: RepeatedCompositeFieldContainer[types_pb2.Chunk],
    length: int,
    limits: Limits,
    packed: list[bytes],
) -> tuple[ChunkDraft, ...] | None:
    """Convert chunks with packed vectors, of a text of `length` characters, 0 for none."""
    if len(chunks) > limits.max_document_chunks:
        return None
    made: list[ChunkDraft] = []
    for chunk in chunks:
        text, vector = chunk.text, chunk.vector
        numbers = vector.packed
        if not text or text.isspace() or len(text) > limits.max_document_characters:
            return None
        if not numbers or len(numbers) % 4 or vector.values:
            return None
        start = end = None
        if chunk.HasField("start") or chunk.HasField("end"):
            start, end = chunk.start, chunk.end
            if not (chunk.HasField("start") and chunk.HasField("end")) or start > end:
                return None
            if length and end > length:
                return None
        packed.append(numbers)
        made.append(ChunkDraft(text, start, end, np.frombuffer(numbers, _FLOAT32).view(np.float32)))
    return tuple(made)


def _flat(metadata: Struct) -> MetadataDict | None:
    """Convert metadata of texts, finite numbers, booleans and lists of them, without a null."""
    flat: MetadataDict = {}
    fields = metadata.fields
    for key in fields:
        value = fields[key]
        kind = value.WhichOneof("kind")
        if kind == "list_value":
            items = [_scalar(each, each.WhichOneof("kind")) for each in value.list_value.values]
            found: JsonValue = None if None in items else items  # type: ignore[assignment]  # list is invariant
        else:
            found = _scalar(value, kind)
        if found is None or not 0 < len(key) <= _SHORT_KEY:
            return None
        flat[key] = found
    return flat


def _scalar(value: Value, kind: str | None) -> str | float | bool | None:
    """Give a text, a finite number or a boolean; None for all else."""
    if kind == "string_value":
        return value.string_value
    if kind == "number_value":
        return value.number_value if isfinite(value.number_value) else None
    return value.bool_value if kind == "bool_value" else None
