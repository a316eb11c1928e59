"""What a write comes to, given what is stored."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rag_grpc.core.decisions import PutAction, StoredVersion, check_revision, decide_put
from rag_grpc.core.errors import RevisionMismatch
from rag_grpc.core.models import (
    Chunking,
    Collection,
    Metric,
    PreparedDocument,
    PutDocument,
)
from tests.contracts.fakes import prepared, without_vectors

COLLECTION = Collection(1, "u", "c", "none", "", 4, Metric.COSINE, Chunking(), "", 1)
OLD = prepared("a", text="old")
DESCRIBED = prepared("a", text="new")
OTHER = prepared("a", [0, 1, 0, 0])
STORED = StoredVersion(5, OLD.content_hash, OLD.embedding_key, 1)


@pytest.mark.parametrize(
    ("document", "stored", "action"),
    [
        (OLD, None, PutAction.STORE),
        (OLD, STORED, PutAction.KEEP),
        (DESCRIBED, STORED, PutAction.DESCRIBE),
        (OTHER, STORED, PutAction.STORE),
        (without_vectors(OLD), None, PutAction.EMBED_FIRST),
        (without_vectors(OLD), STORED, PutAction.KEEP),
        (without_vectors(DESCRIBED), STORED, PutAction.DESCRIBE),
        (without_vectors(OTHER), STORED, PutAction.EMBED_FIRST),
    ],
)
def test_the_hashes_decide(
    document: PreparedDocument, stored: StoredVersion | None, action: PutAction
) -> None:
    assert decide_put(PutDocument(COLLECTION, document), stored) is action


@pytest.mark.parametrize("document", [DESCRIBED, OTHER, without_vectors(OTHER)])
def test_a_wrong_revision_is_refused_unless_nothing_changes(document: PreparedDocument) -> None:
    for expected in (0, 4, 6):
        with pytest.raises(RevisionMismatch) as caught:
            decide_put(PutDocument(COLLECTION, document, expected), STORED)
        assert caught.value.metadata == {"current_revision": "5", "doc_id": "a"}
        assert decide_put(PutDocument(COLLECTION, OLD, expected), STORED) is PutAction.KEEP
    assert decide_put(PutDocument(COLLECTION, document, 5), STORED) is not PutAction.KEEP


def test_no_document_has_revision_0() -> None:
    check_revision("a", 0, None)
    check_revision("a", None, None)
    check_revision("a", 5, STORED)
    check_revision("a", None, replace(STORED, revision=6))
    with pytest.raises(RevisionMismatch) as caught:
        check_revision("a", 5, None)
    assert caught.value.current == 0
