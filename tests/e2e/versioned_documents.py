"""Documents that say in each part which version they are, so that a mixture of two is seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from google.protobuf.struct_pb2 import Struct

from ragapi.v1.types_pb2 import Chunk, Document, Vector

DIMENSION = 32
"""Of the vectors; document d's chunks point along axis d, so there are at most so many documents."""


def axis(number: int) -> Vector:
    """The direction of a document's chunks."""
    row = np.zeros(DIMENSION, "<f4")
    row[number] = 1
    return Vector(packed=row.tobytes())


NEAR = 0.9
"""Cosine to its axis that each chunk of a document has, and no chunk of any other."""
MOST = 4
"""Chunks of the largest version."""


def size(version: int) -> int:
    """How many chunks a version has; not the same for any two in a row."""
    return MOST - version % 3


def document(number: int, version: int) -> Document:
    """Make a version of a document: text, title, metadata, chunks and vectors all say which it is."""
    metadata = Struct()
    metadata.update({"version": version})
    texts = [f"{number} {version} {place} {size(version)}" for place in range(size(version))]
    # Near the axis, and no two alike: a graph of equal points is not what is tried here.
    rows = np.random.default_rng([number, version]).uniform(0, 0.1, (len(texts), DIMENSION)).astype("<f4")
    rows[:, number] = 1
    vectors = [Vector(packed=row.tobytes()) for row in rows]
    chunks = [Chunk(text=text, vector=vector) for text, vector in zip(texts, vectors, strict=True)]
    return Document(
        doc_id=str(number), text="\n".join(texts), title=str(version), metadata=metadata, chunks=chunks
    )


@dataclass
class Seen:
    """What a reader saw of one document at once."""

    versions: set[int] = field(default_factory=set)
    ordinals: list[int] = field(default_factory=list)

    def part(self, number: int, version: object, chunk: Any) -> None:
        """Take in a chunk with the version that its document claims."""
        claimed, place = [int(word) for word in chunk.text.split()][1:3]
        assert chunk.text == f"{number} {claimed} {place} {size(claimed)}"
        assert place == chunk.ordinal
        self.versions |= {claimed, int(str(version).removesuffix(".0"))}
        self.ordinals.append(place)

    def version(self, *, whole: bool) -> int:
        """The one version that was seen, with each chunk once, and all of them where `whole`."""
        (version,) = self.versions
        assert len(set(self.ordinals)) == len(self.ordinals)
        if whole:
            assert sorted(self.ordinals) == list(range(size(version)))
        return version


def seen_in(hits: Any) -> dict[int, Seen]:
    """Sort hits by document."""
    found: dict[int, Seen] = {}
    for hit in hits:
        number = int(hit.doc_id)
        seen = found.setdefault(number, Seen())
        seen.part(number, hit.title, hit.chunk)
        seen.versions.add(int(hit.metadata["version"]))
    return found
