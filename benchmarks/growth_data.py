"""The collection that grows: any part of it is made without the rest, so a million documents need no room.

Vectors are those of `vectors.clustered`: 100 unit centres, noise of norm about 1,
normalised. Texts are some 270 characters of words drawn by Zipf's law, so that the
index of words has what language gives it: few words in most texts, and many in one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from google.protobuf import struct_pb2

from benchmarks.vectors import Rows, unit
from ragapi.v1 import ingestion_service_pb2, types_pb2

DIMENSION = 128
CENTRES = 100
BATCH_DOCUMENTS = 10_000
MESSAGE_DOCUMENTS = 200
WORDS, TEXT_CHARACTERS, TEXT_WORDS = 50_000, 270, 48
SYLLABLES = tuple(
    first + vowel for first in "bdfghklmnprstvwz" for vowel in ("a", "e", "i", "o", "u", "an", "er")
)


class GrowingCollection:
    """Makes documents by number, the same ones each time."""

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        self._centres = unit(random.normal(size=(CENTRES, DIMENSION)))
        lengths = random.integers(1, 5, WORDS)
        self._words = ["".join(random.choice(SYLLABLES, length)) for length in lengths]
        shares = 1 / np.arange(1, WORDS + 1)
        self._upto = np.cumsum(shares / shares.sum())

    def queries(self, count: int) -> Rows:
        """Return vectors that are like those of documents, and none of them."""
        return self._vectors(np.random.default_rng([1, 0]), count)

    def messages(self, first: int, end: int) -> Iterator[bytes]:
        """Serialise the documents from `first` to `end`, multiples of BATCH_DOCUMENTS."""
        for batch in range(first // BATCH_DOCUMENTS, end // BATCH_DOCUMENTS):
            random = np.random.default_rng([2, batch])
            vectors = self._vectors(random, BATCH_DOCUMENTS)
            texts = self._texts(random, BATCH_DOCUMENTS)
            for start in range(0, BATCH_DOCUMENTS, MESSAGE_DOCUMENTS):
                places = range(start, start + MESSAGE_DOCUMENTS)
                yield _message(
                    batch * BATCH_DOCUMENTS + start, [texts[each] for each in places], vectors[places]
                )

    def _vectors(self, random: np.random.Generator, rows: int) -> Rows:
        noise = random.normal(size=(rows, DIMENSION)) / np.sqrt(DIMENSION)
        return unit(self._centres[random.integers(0, CENTRES, rows)] + noise)

    def _texts(self, random: np.random.Generator, rows: int) -> list[str]:
        drawn = np.searchsorted(self._upto, random.random((rows, TEXT_WORDS)))
        return [" ".join([self._words[word] for word in row])[:TEXT_CHARACTERS] for row in drawn.tolist()]


def _message(first: int, texts: list[str], vectors: Rows) -> bytes:
    items = []
    for number, (text, vector) in enumerate(zip(texts, vectors, strict=True), first):
        metadata = struct_pb2.Struct()
        metadata.update({"number": number, "lang": "en", "source": f"file-{number % 100}.txt"})
        chunk = types_pb2.Chunk(text=text, vector=types_pb2.Vector(packed=vector.tobytes()))
        document = types_pb2.Document(doc_id=f"doc-{number}", metadata=metadata, chunks=[chunk])
        items.append(ingestion_service_pb2.IngestItem(document=document))
    request = ingestion_service_pb2.StreamIngestDocumentsRequest(collection="bench", items=items)
    return request.SerializeToString()


def write_messages(file: Path, first: int, end: int) -> None:
    """Put messages into a file, each behind its length: made before the clock starts, and held by nobody."""
    with file.open("wb") as output:
        for message in GrowingCollection().messages(first, end):
            output.write(struct.pack("<I", len(message)))
            output.write(message)


def read_messages(file: Path) -> Iterator[bytes]:
    """Read them one by one."""
    with file.open("rb") as written:
        while head := written.read(4):
            yield written.read(*struct.unpack("<I", head))
