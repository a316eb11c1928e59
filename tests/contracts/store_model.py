"""A model of the store as a plain dict, and a machine that plays any history on both."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from rag_grpc.core.errors import DocumentNotFound, RagError, RevisionMismatch
from rag_grpc.core.hashing import canonical_metadata
from rag_grpc.core.metadata import patched
from rag_grpc.core.models import (
    Collection,
    CollectionCounts,
    DeleteMatches,
    DeleteOutcome,
    DeleteRefs,
    DocumentMatch,
    DocumentRef,
    IngestStatus,
    MetadataDict,
    Metric,
    Outcome,
    PatchMetadata,
    PatchOutcome,
    PutDocument,
    PutOutcome,
    Write,
)
from rag_grpc.core.ports import Store
from rag_grpc.core.searches import HitParts
from tests.contracts.fakes import PACKED, JsonCodec, find, find_packed, find_places, place_of, prepared, spec
from tests.contracts.store_reads import oracle


@dataclass
class Remembered:
    """What the model knows of a document."""

    rows: tuple[tuple[int, ...], ...]
    text: str
    metadata: MetadataDict
    revision: int
    content_revision: int


ids = st.sampled_from(["a", "b", "\u00e4", "\uff61", "\U0001f600"])
# Small whole numbers, never all zero: their products are exact in float32, so scores are compared exactly.
row = st.tuples(st.integers(1, 3), st.integers(-3, 3), st.integers(-3, 3), st.integers(0, 1))
# A few come often, so that documents come again with the same chunks.
rows = st.sampled_from([((1, 0, 0, 0),), ((2, 1, 0, 0), (1, -1, 2, 1))]) | st.lists(
    row, min_size=1, max_size=3
).map(tuple)
texts = st.sampled_from(["", "one", "two"])
metadata = st.sampled_from([{}, {"n": 1.0}, {"n": True}, {"deep": {"a": 1.0}}])
patches = st.sampled_from([{}, {"n": None}, {"n": 1.0}, {"deep": {"a": None, "b": "x"}}, {"n": [1.0]}])
conditions = st.sampled_from(["none", "none", "none", "right", "wrong", "absent"])


class StoreMachine(RuleBasedStateMachine):
    """Plays puts, patches, deletions, searches and, where the store is durable, restarts."""

    def __init__(self, make_store: Callable[[Path], Store], *, durable: bool) -> None:
        super().__init__()
        self._make_store = make_store
        self.durable = durable
        self._path = Path(tempfile.mkdtemp(prefix="store-model-"))
        self._runner = asyncio.Runner()
        self.store = make_store(self._path)
        self.model: dict[str, Remembered] = {}
        self.matches: list[DocumentMatch] = []
        self.largest = 0
        self._runner.run(self.store.open())

    def teardown(self) -> None:
        self._runner.run(self.store.close())
        self._runner.close()
        shutil.rmtree(self._path)

    @initialize(metric=st.sampled_from(Metric))
    def begin(self, metric: Metric) -> None:
        self.collection: Collection = self._runner.run(self.store.create_collection(spec(metric=metric), ""))

    @rule(doc_id=ids, rows=rows, text=texts, metadata=metadata, condition=conditions)
    def put(
        self,
        doc_id: str,
        rows: tuple[tuple[int, ...], ...],
        text: str,
        metadata: MetadataDict,
        condition: str,
    ) -> None:
        known = self.model.get(doc_id)
        expected = self._expected(known, condition)
        outcome = self._submit(
            PutDocument(self.collection, prepared(doc_id, rows, text=text, metadata=metadata), expected)
        )
        if known and (known.rows, known.text, canonical_metadata(known.metadata)) == (
            rows,
            text,
            canonical_metadata(metadata),
        ):
            assert outcome == PutOutcome(IngestStatus.UNCHANGED, known.revision, len(rows))
        elif expected is not None and expected != (known.revision if known else 0):
            assert isinstance(outcome, RevisionMismatch)
        else:
            assert isinstance(outcome, PutOutcome)
            assert outcome.status is (IngestStatus.REPLACED if known else IngestStatus.CREATED)
            assert outcome.chunk_count == len(rows)
            self._grown(outcome.revision)
            same_content = known is not None and (known.rows, known.text) == (rows, text)
            content_revision = known.content_revision if known and same_content else outcome.revision
            self.model[doc_id] = Remembered(rows, text, metadata, outcome.revision, content_revision)

    @rule(doc_id=ids, changes=patches, whole=st.booleans(), condition=conditions)
    def patch(self, doc_id: str, changes: MetadataDict, whole: bool, condition: str) -> None:
        known = self.model.get(doc_id)
        expected = self._expected(known, condition)
        outcome = self._submit(
            PatchMetadata(self.collection, doc_id, changes, replace=whole, expected_revision=expected)
        )
        if known is None:
            assert isinstance(outcome, DocumentNotFound)
            return
        after = patched(known.metadata, changes, replace=whole)
        same = canonical_metadata(after) == canonical_metadata(known.metadata)
        if expected is not None and expected != known.revision and not same:
            assert isinstance(outcome, RevisionMismatch)
            return
        assert isinstance(outcome, PatchOutcome)
        assert JsonCodec().unpack(outcome.packed_metadata) == after
        if same:
            assert outcome.revision == known.revision
        else:
            self._grown(outcome.revision)
        known.metadata, known.revision = after, outcome.revision

    @rule(doc_ids=st.lists(ids, min_size=1, max_size=3), condition=conditions, only_look=st.booleans())
    def delete(self, doc_ids: list[str], condition: str, only_look: bool) -> None:
        known = self.model.get(doc_ids[0])
        expected = self._expected(known, condition)
        refs = (DocumentRef(doc_ids[0], expected), *map(DocumentRef, doc_ids[1:]))
        outcome = self._submit(DeleteRefs(self.collection, refs, validate_only=only_look))
        if expected is not None and expected != (known.revision if known else 0):
            assert isinstance(outcome, RevisionMismatch)
            return
        there = {each for each in doc_ids if each in self.model}
        assert outcome == DeleteOutcome(len(there), 0 if only_look else len(there))
        if not only_look:
            for doc_id in there:
                del self.model[doc_id]

    @rule()
    def match(self) -> None:
        self.matches = self._runner.run(self.store.matches(self.collection, None))
        assert {(each.doc_id, each.content_revision) for each in self.matches} == {
            (doc_id, each.content_revision) for doc_id, each in self.model.items()
        }

    @precondition(lambda self: self.matches)
    @rule()
    def delete_what_matched(self) -> None:
        still = {
            each.doc_id
            for each in self.matches
            if each.doc_id in self.model and self.model[each.doc_id].content_revision == each.content_revision
        }
        outcome = self._submit(DeleteMatches(self.collection, tuple(self.matches)))
        assert isinstance(outcome, DeleteOutcome)
        assert outcome.deleted == len(still)
        for doc_id in still:
            del self.model[doc_id]

    @rule(query=row, wanted=st.integers(1, 12), exact=st.booleans())
    def search(self, query: tuple[int, ...], wanted: int, exact: bool) -> None:
        result = self._runner.run(
            find(
                self.store,
                self.collection,
                query,
                candidates=wanted,
                exact=exact,
                parts=HitParts(vectors=True),
            )
        )
        places = [
            (doc_id, ordinal) for doc_id, each in self.model.items() for ordinal in range(len(each.rows))
        ]
        vectors = np.array([self.model[doc_id].rows[n] for doc_id, n in places], np.float32).reshape(-1, 4)
        truth = oracle(self.collection.metric, vectors, np.array(query, np.float32))
        np.testing.assert_allclose(
            [hit.score for hit in result.hits], np.sort(truth)[::-1][:wanted], atol=1e-5
        )
        by_place = dict(zip(places, truth, strict=True))
        for hit in result.hits:
            known = self.model[hit.doc_id]
            np.testing.assert_allclose(hit.score, by_place.pop((hit.doc_id, hit.chunk.ordinal)), atol=1e-5)
            assert hit.chunk.vector is not None
            assert tuple(hit.chunk.vector) == known.rows[hit.chunk.ordinal]
            assert hit.packed_metadata is not None
            unpacked = JsonCodec().unpack(hit.packed_metadata)
            assert canonical_metadata(unpacked) == canonical_metadata(known.metadata)

    @rule(query=row, wanted=st.integers(1, 12))
    def search_for_places(self, query: tuple[int, ...], wanted: int) -> None:
        for _ in range(2):  # what was read may be remembered
            places = self._runner.run(find_places(self.store, self.collection, query, candidates=wanted))
            result = self._runner.run(find(self.store, self.collection, query, candidates=wanted))
            assert places == [place_of(hit) for hit in result.hits]
            packed = self._runner.run(
                find_packed(self.store, self.collection, query, candidates=wanted, parts=PACKED)
            )
            assert packed == list(result.hits)

    @precondition(lambda self: self.durable)
    @rule()
    def restart(self) -> None:
        self._runner.run(self.store.close())
        self.store = self._make_store(self._path)
        self._runner.run(self.store.open())
        assert self.store.collection("things") == self.collection

    @invariant()
    def all_is_as_the_model_says(self) -> None:
        if not hasattr(self, "collection"):
            return
        page = self._runner.run(
            self.store.list_documents(
                self.collection, after=None, limit=100, include_text=True, max_bytes=1_000_000
            )
        )
        assert [each.doc_id for each in page.documents] == sorted(self.model)
        for document in page.documents:
            known = self.model[document.doc_id]
            assert (document.text, document.revision) == (known.text, known.revision)
            assert document.chunk_count == len(known.rows)
        chunks = sum(len(each.rows) for each in self.model.values())
        assert self.store.counts(self.collection) == CollectionCounts(len(self.model), chunks)

    def _submit(self, write: Write) -> Outcome | RagError:
        async def submit() -> Outcome | RagError:
            try:
                return await self.store.submit(write)
            except RagError as error:
                return error

        return self._runner.run(submit())

    def _expected(self, known: Remembered | None, condition: str) -> int | None:
        current = known.revision if known else 0
        return {"none": None, "right": current, "wrong": current + 1, "absent": 0}[condition]

    def _grown(self, revision: int) -> None:
        assert revision > self.largest
        self.largest = revision


def check_any_history(
    make_store: Callable[[Path], Store], *, durable: bool, examples: int, steps: int
) -> None:
    """Play random histories on a store and on the model, and compare after every step."""
    run_state_machine_as_test(
        lambda: StoreMachine(make_store, durable=durable),  # type: ignore[arg-type]  # any factory will do
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
