"""What writers know of their documents: what was answered, and what may have happened since."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

from google.protobuf import json_format

from ragapi.v1 import types_pb2

WORDS = (
    *("amber", "basin", "cedar", "delta", "ember", "fjord", "grove", "heath", "inlet", "jetty", "knoll"),
    *("lagoon", "marsh", "north", "oasis", "plain", "quay", "ridge", "shore", "tundra", "upland", "valley"),
)


@dataclass(frozen=True)
class Version:
    """A document as it was sent. `revision` is known once it was answered."""

    chunks: tuple[str, ...]
    number: int
    revision: int | None = None

    @property
    def text(self) -> str:
        return "\n".join(self.chunks)

    def message(self, doc_id: str) -> types_pb2.Document:
        """The document as a request carries it; its chunks are its own, so that each is found by its text."""
        message = types_pb2.Document(doc_id=doc_id, text=self.text)
        message.chunks.extend(types_pb2.Chunk(text=chunk) for chunk in self.chunks)
        message.metadata.update({"number": self.number})
        return message

    def is_what(self, document: types_pb2.Document) -> bool:
        """Whether the server's document is this one, whole."""
        return (
            document.text == self.text
            and json_format.MessageToDict(document.metadata) == {"number": self.number}
            and document.chunk_count == len(self.chunks)
            and (self.revision is None or document.revision == self.revision)
        )


@dataclass
class Ledger:
    """The documents of one writer, who alone writes them.

    `answered` holds the last answered version of each, None for an answered deletion; `pending` what was
    sent since, in order: after a crash any prefix of it may have happened.
    """

    prefix: str
    size: int
    random: random.Random
    answered: dict[str, Version | None] = field(default_factory=dict)
    pending: dict[str, list[Version | None]] = field(default_factory=dict)
    highest: dict[str, int] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)
    answers: int = 0
    _number: int = 0

    def any_id(self) -> str:
        return f"{self.prefix}-{self.random.randrange(self.size)}"

    def settled(self, doc_id: str) -> bool:
        """Whether nothing is under way for it."""
        return not self.pending.get(doc_id)

    def fresh(self) -> Version:
        """A version that nobody ever sent: its chunks can be told from all others."""
        self._number += 1
        count = self.random.choice((1, 1, 2, 3, 6))
        chunks = tuple(
            f"{' '.join(self.random.choices(WORDS, k=6))} {self.prefix}{self._number}part{ordinal}"
            for ordinal in range(count)
        )
        return Version(chunks, self._number)

    def described(self, doc_id: str) -> Version | None:
        """The stored version with other metadata; None where none is known to be stored."""
        stored = self.answered.get(doc_id)
        if stored is None:
            return None
        self._number += 1
        return replace(stored, number=self._number, revision=None)

    def send(self, doc_id: str, version: Version | None) -> None:
        """Note what is about to be sent; None is a deletion."""
        self.pending.setdefault(doc_id, []).append(version)
        self.touched.add(doc_id)

    def answer(self, doc_id: str, revision: int | None) -> None:
        """Note that the oldest of what was sent was answered with success."""
        version = self.pending[doc_id].pop(0)
        if version is not None:
            assert revision is not None
            self._grow(doc_id, revision)
            version = replace(version, revision=revision)
        self.answered[doc_id] = version
        self.answers += 1

    def settle(self, doc_id: str, found: types_pb2.Document | None) -> None:
        """Take in what a restarted server has; it must be something that may have happened."""
        may_be = [self.answered.get(doc_id), *self.pending.get(doc_id, [])]
        for version in reversed(may_be):
            if version is None if found is None else version is not None and version.is_what(found):
                break
        else:
            raise AssertionError(f"{doc_id} is {found}, but may only be one of {may_be}")
        if version is not None and found is not None:
            if version.revision is None:
                self._grow(doc_id, found.revision)
            version = replace(version, revision=found.revision)
        self.answered[doc_id] = version
        self.pending[doc_id] = []

    def _grow(self, doc_id: str, revision: int) -> None:
        assert revision > self.highest.get(doc_id, 0), f"{doc_id}: revision {revision} is not larger"
        self.highest[doc_id] = revision
