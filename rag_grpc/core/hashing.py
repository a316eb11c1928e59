"""The two hashes by which a write is recognised as one that changes nothing.

`embedding_key` covers all that vectors and chunks depend on: the embedder's
fingerprint, the splitter and its settings, title, media type, and the text or the
caller's chunks with their vectors. Equal keys mean equal chunks and vectors, so
nothing is split or embedded again.

`content_hash` covers the key and all else that is stored: the text (which a
caller's chunks do not determine) and the metadata. Equal hashes mean that nothing
changed at all. Vectors that the server makes enter through what determines them,
so the hash is known before anything was embedded.

Both are SHA-256 over parts with their number and lengths in front, so that no two
different lists of parts share an encoding ("ab","c" and "a","bc"). Numbers are written
as JSON does, keys sorted, -0 as 0; vectors as little-endian float32 with -0 as 0.

Every document that comes in is hashed, so this is written to be quick: one update over
joined parts costs a third of one for each, and an encoder that is kept half of one that
is made each time.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rag_grpc.core.models import Chunking, DocumentDraft, JsonValue, MetadataDict, Vector

_CANONICAL_JSON = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)

_ZERO = np.float32(0)


def _digest(parts: Sequence[bytes | memoryview]) -> bytes:
    lengths = struct.pack(f"<{len(parts) + 1}Q", len(parts), *map(len, parts))
    return hashlib.sha256(b"".join((lengths, *parts))).digest()


def _text(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")


def _without_negative_zero(value: JsonValue) -> JsonValue:
    if isinstance(value, float):
        return value + 0.0
    if isinstance(value, list):
        return [_without_negative_zero(each) for each in value]
    if isinstance(value, dict):
        return {key: _without_negative_zero(each) for key, each in value.items()}
    return value


def canonical_metadata(metadata: MetadataDict) -> bytes:
    """Write metadata as JSON in the one form that equal metadata share. Raises ValueError for NaN."""
    if not metadata:
        return b"{}"
    written = _CANONICAL_JSON.encode(metadata)
    if "-0.0" in written:
        written = _CANONICAL_JSON.encode(_without_negative_zero(metadata))
    return _text(written)


def canonical_vector(vector: Vector) -> bytes:
    """Write a vector of shape (dimension,) as little-endian float32, -0 as 0."""
    return (vector + _ZERO).astype("<f4", copy=False).tobytes()


def canonical_vectors(vectors: NDArray[np.float32]) -> list[memoryview]:
    """Write vectors, of shape (n, dimension), likewise: a part for each."""
    written = memoryview((vectors + _ZERO).astype("<f4", copy=False).tobytes())
    size = vectors.shape[1] * 4
    return [written[begin : begin + size] for begin in range(0, len(written), size)]


def embedding_key(
    draft: DocumentDraft,
    *,
    fingerprint: str,
    splitter: str,
    chunking: Chunking,
    canonical: Sequence[memoryview] = (),
) -> bytes:
    """Hash all that the document's chunks and vectors depend on: 32 bytes.

    `splitter` is the splitter's version. A draft with chunks is not split, so then neither the text nor
    how it would be split counts. `canonical` are the vectors of its chunks, one each,
    where they were made canonical before.
    """
    parts: list[bytes | memoryview] = [_text(fingerprint), _text(draft.title)]
    if not draft.chunks:
        settings = (
            splitter,
            draft.media_type,
            chunking.max_characters,
            chunking.overlap_characters,
            chunking.max_tokens,
            chunking.without_context,
        )
        return _digest([b"split", *parts, _text(json.dumps(settings)), _text(draft.text)])
    parts.append(str(chunking.without_context).encode())
    for place, chunk in enumerate(draft.chunks):
        parts.append(_text(chunk.text))
        parts.append(f"{chunk.start},{chunk.end}".encode())
        if canonical:
            parts.append(canonical[place])
        else:
            parts.append(b"" if chunk.vector is None else canonical_vector(chunk.vector))
    return _digest([b"chunks", *parts])


def content_hash(key: bytes, *, text: str, title: str, media_type: str, metadata: bytes) -> bytes:
    """Hash all that is stored of a document: 32 bytes. `metadata` is in canonical form."""
    return _digest([key, _text(text), _text(title), _text(media_type), metadata])
