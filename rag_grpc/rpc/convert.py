"""proto <-> models for what several services share: vectors, times, metadata, documents, chunks.

Both directions stand side by side. What comes in was checked by
`rag_grpc.rpc.validation`; nothing is checked again. Packed vectors are views of
the message's bytes, not copies, and metadata goes out as the bytes it is stored
as: neither is taken apart on its way through.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from google.protobuf.struct_pb2 import NULL_VALUE, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

from rag_grpc.core.metadata import without_nulls
from rag_grpc.core.models import (
    Chunk,
    ChunkDraft,
    Document,
    DocumentDraft,
    JsonValue,
    MetadataDict,
    Vector,
)
from ragapi.v1 import types_pb2

_FLOAT32 = np.dtype("<f4")
_NANOSECONDS = 10**9
DEFAULT_MEDIA_TYPE = "text/plain"


# ---------------------------------------------------------------------------- vectors, times


def vector_from_proto(vector: types_pb2.Vector) -> Vector | None:
    """Give the numbers, float32 of shape (dimension,), read-only where they were packed; None for none."""
    packed = vector.packed
    if packed:
        # On a little-endian machine `<f4` is float32 itself, and astype gives the view back as it is.
        return np.frombuffer(packed, _FLOAT32).astype(np.float32, copy=False)
    values = vector.values
    return np.fromiter(values, np.float32, len(values)) if values else None


def vector_to_proto(vector: Vector) -> types_pb2.Vector:
    """Pack numbers of shape (dimension,)."""
    return types_pb2.Vector(packed=np.ascontiguousarray(vector, _FLOAT32).tobytes())


def time_from_proto(time: Timestamp) -> int:
    """Give nanoseconds since the epoch."""
    return time.seconds * _NANOSECONDS + time.nanos


def time_to_proto(nanoseconds: int) -> Timestamp:
    """Make a timestamp of nanoseconds since the epoch."""
    return Timestamp(seconds=nanoseconds // _NANOSECONDS, nanos=nanoseconds % _NANOSECONDS)


# ---------------------------------------------------------------------------- metadata


class StructCodec:
    """The MetadataCodec of this edge: packed metadata is a serialised google.protobuf.Struct.

    Equal metadata packs to equal bytes: map entries are written in order of their keys.
    """

    def pack(self, metadata: MetadataDict) -> bytes:
        """Pack metadata that holds no null on its top level and no number that is not finite."""
        return struct_to_proto(metadata).SerializeToString(deterministic=True)

    def unpack(self, packed: bytes) -> MetadataDict:
        """Take packed metadata apart. Numbers become floats."""
        return struct_from_proto(Struct.FromString(packed))


def metadata_from_proto(metadata: Struct) -> MetadataDict:
    """Give a document's metadata, without keys whose value is null."""
    return without_nulls(struct_from_proto(metadata))


def struct_from_proto(struct: Struct) -> MetadataDict:
    """Give a struct as a dict, nulls included."""
    return {key: _value_from_proto(value) for key, value in struct.fields.items()}


def struct_to_proto(metadata: MetadataDict) -> Struct:
    """Make a struct of a dict."""
    struct = Struct()
    _fill(struct, metadata)
    return struct


def _fill(struct: Struct, metadata: Mapping[str, JsonValue]) -> None:
    fields = struct.fields
    for key, value in metadata.items():
        _set_value(fields[key], value)


def _value_from_proto(value: Value) -> JsonValue:
    # google.protobuf.json_format does the same in three times the time.
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value
    if kind == "number_value":
        return value.number_value
    if kind == "bool_value":
        return value.bool_value
    if kind == "list_value":
        return [_value_from_proto(item) for item in value.list_value.values]
    if kind == "struct_value":
        return struct_from_proto(value.struct_value)
    return None


def _set_value(target: Value, value: JsonValue) -> None:
    if isinstance(value, str):
        target.string_value = value
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int | float):
        target.number_value = value
    elif isinstance(value, list):
        target.list_value.SetInParent()
        for item in value:
            _set_value(target.list_value.values.add(), item)
    elif isinstance(value, dict):
        target.struct_value.SetInParent()
        _fill(target.struct_value, value)
    else:
        target.null_value = NULL_VALUE


# ---------------------------------------------------------------------------- documents, chunks


@dataclass(frozen=True, slots=True)
class Projection:
    """Which metadata keys go into hits; none named means all."""

    keys: frozenset[str] = frozenset()

    def of(self, packed: bytes) -> bytes:
        """Give packed metadata with these keys alone."""
        if not self.keys:
            return packed
        part = Struct()
        self.into(part, packed)
        return part.SerializeToString()

    def into(self, target: Struct, packed: bytes) -> None:
        """Unpack metadata into `target`."""
        if not self.keys:
            target.ParseFromString(packed)
            return
        whole = Struct.FromString(packed)
        for key in self.keys:
            if key in whole.fields:
                target.fields[key].CopyFrom(whole.fields[key])


def draft_from_proto(document: types_pb2.Document) -> DocumentDraft:
    """Take a document that a caller sends."""
    return DocumentDraft(
        doc_id=document.doc_id,
        text=document.text,
        media_type=document.media_type or DEFAULT_MEDIA_TYPE,
        title=document.title,
        metadata=metadata_from_proto(document.metadata) if document.HasField("metadata") else {},
        chunks=tuple(_chunk_draft_from_proto(chunk) for chunk in document.chunks),
        embedder_fingerprint=document.embedder_fingerprint,
    )


def document_to_proto(document: Document) -> types_pb2.Document:
    """Make a stored document, without its chunks."""
    message = types_pb2.Document(
        doc_id=document.doc_id,
        text=document.text,
        media_type=document.media_type,
        title=document.title,
        revision=document.revision,
        content_hash=document.content_hash.hex(),
        chunk_count=document.chunk_count,
        create_time=time_to_proto(document.create_time),
        update_time=time_to_proto(document.update_time),
    )
    message.metadata.ParseFromString(document.packed_metadata)
    return message


def _chunk_draft_from_proto(chunk: types_pb2.Chunk) -> ChunkDraft:
    placed = chunk.HasField("start")
    return ChunkDraft(
        text=chunk.text,
        start=chunk.start if placed else None,
        end=chunk.end if placed else None,
        vector=vector_from_proto(chunk.vector) if chunk.HasField("vector") else None,
    )


def chunk_to_proto(chunk: Chunk) -> types_pb2.Chunk:
    """Make a stored chunk."""
    message = types_pb2.Chunk()
    fill_chunk(message, chunk)
    return message


def fill_chunk(message: types_pb2.Chunk, chunk: Chunk) -> None:
    """Write a stored chunk into a message that is part of another: protobuf would copy a finished one."""
    message.ordinal = chunk.ordinal
    message.text = chunk.text
    if chunk.start is not None and chunk.end is not None:
        message.start = chunk.start
        message.end = chunk.end
    if chunk.headings:
        message.headings.extend(chunk.headings)
    if chunk.vector is not None:
        message.vector.packed = np.ascontiguousarray(chunk.vector, _FLOAT32).tobytes()
