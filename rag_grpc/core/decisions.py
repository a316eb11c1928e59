"""What a write comes to, given what is stored: the rules that every store shares.

Pure, so that the memory store and the database transaction decide alike. A store
calls these at the one moment that counts, inside its transaction, and nowhere
else: whatever was read earlier may have changed since.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from rag_grpc.core.errors import RevisionMismatch
from rag_grpc.core.models import PutDocument


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """What a decision needs to know of the stored document."""

    revision: int
    content_hash: bytes
    embedding_key: bytes
    chunk_count: int


class PutAction(Enum):
    """What a store has to do for a PutDocument."""

    KEEP = "keep"
    """Nothing: the same content is there."""
    DESCRIBE = "describe"
    """Replace text, title and metadata; chunks and vectors stay."""
    STORE = "store"
    """Store all of it, in place of what is there."""
    EMBED_FIRST = "embed_first"
    """Nothing: the vectors are missing and those that are stored do not fit."""


def decide_put(put: PutDocument, stored: StoredVersion | None) -> PutAction:
    """Decide what a PutDocument comes to. Raises RevisionMismatch."""
    document = put.document
    if stored is not None and stored.content_hash == document.content_hash:
        return PutAction.KEEP
    check_revision(document.doc_id, put.expected_revision, stored)
    if stored is not None and stored.embedding_key == document.embedding_key:
        return PutAction.DESCRIBE
    return PutAction.EMBED_FIRST if document.vectors is None else PutAction.STORE


def check_revision(doc_id: str, expected: int | None, stored: StoredVersion | None) -> None:
    """Raise RevisionMismatch where `expected` is not the stored document's revision, 0 for none."""
    current = 0 if stored is None else stored.revision
    if expected is not None and expected != current:
        raise RevisionMismatch(doc_id, expected=expected, current=current)
