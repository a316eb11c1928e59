"""Which search answers a query."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from rag_grpc.core.analysis import Token
from rag_grpc.core.errors import InvalidField, InvalidFilter, NotConfigured, RagError
from rag_grpc.core.filters import And, Comparison, Name, Not, Operator
from rag_grpc.core.limits import Limits
from rag_grpc.core.planner import FILTERED_DEPTH, FUSED_DEPTH, Planner
from rag_grpc.core.queries import CrossEncoding, Query, Variety
from rag_grpc.core.query_plan import QueryPlan
from rag_grpc.core.reranking import Reranking
from rag_grpc.core.searches import HitParts, Search, SearchMode, SearchResult, SearchStrategy
from rag_grpc.core.selection import Selection
from rag_grpc.stores.memory import MemoryStore
from tests.contracts.fakes import JsonCodec, LetterEmbedder, Records, WordReranker, spec

DENSE, LEXICAL, HYBRID = SearchMode.DENSE, SearchMode.LEXICAL, SearchMode.HYBRID
VECTOR = np.array([1, 0, 0, 0], np.float32)
WORDS = np.ones(8, np.float32)
ITSELF = Not(Comparison(Name(("doc_id",), own=True), Operator.EQUAL, "d"))


class SpaceAnalyzer:
    """Words by white space; "the" is no evidence."""

    version = "space/1"

    def terms(self, text: str, language: str) -> list[str]:
        return [each.term for each in self.tokens(text, language)]

    def joined(self, text: str, language: str) -> str:
        return " ".join(self.terms(text, language))

    def tokens(self, text: str, language: str) -> list[Token]:
        del language
        return [Token(word, 0, 0) for word in text.split() if word != "the"]


@pytest.fixture
async def planner() -> AsyncIterator[Planner]:
    """Over "default" with an embedder of dimension 8, and "bare" without one, of dimension 4."""
    store = MemoryStore(codec=JsonCodec())
    await store.open()
    await store.create_collection(spec("default", embedder="letters", dimension=8), "letters/1")
    await store.create_collection(spec("bare"), "")
    yield Planner(
        store,
        {"letters": LetterEmbedder(dense_weight=0.25)},
        Limits(max_top_k=50, max_candidates=40),
        reranking=Reranking({"words": WordReranker(), "other": WordReranker("other")}, Records()),
        analyzer=SpaceAnalyzer(),
        ef=24,
    )
    await store.close()


@pytest.mark.parametrize(
    ("query", "mode"),
    [
        (Query(text="jackdaw"), HYBRID),
        (Query(text="the"), DENSE),
        (Query(text="the " * 100), DENSE),
        (Query(text="the " * 100 + "jackdaw"), HYBRID),
        (Query(text="jackdaw" * 100), HYBRID),
        (Query(text="the", mode=LEXICAL), LEXICAL),
        (Query(text="the", mode=HYBRID), HYBRID),
        (Query(vector=WORDS), DENSE),
        (Query(text="jackdaw", vector=WORDS), HYBRID),
        (Query(text="the", vector=WORDS), DENSE),
        (Query(text="jackdaw", vector=WORDS, mode=DENSE), DENSE),
        (Query(text="jackdaw", mode=DENSE), DENSE),
        (Query(doc_id="d"), DENSE),
        (Query(collection="bare", text="jackdaw"), LEXICAL),
        (Query(collection="bare", text="the"), LEXICAL),
        (Query(collection="bare", vector=VECTOR), DENSE),
        (Query(collection="bare", text="jackdaw", vector=VECTOR), HYBRID),
        (Query(collection="bare", doc_id="d"), DENSE),
    ],
    ids=str,
)
def test_the_mode_follows_the_evidence(planner: Planner, query: Query, mode: SearchMode) -> None:
    assert planner.plan(query).mode is mode


@pytest.mark.parametrize(
    ("query", "error", "field"),
    [
        (Query(), InvalidField, "query"),
        (Query(mode=LEXICAL), InvalidField, "query"),
        (Query(vector=WORDS, mode=HYBRID), InvalidField, "query"),
        (Query(collection="bare", text="a", mode=DENSE), InvalidField, "vector"),
        (Query(collection="bare", text="a", mode=HYBRID), InvalidField, "vector"),
        (Query(text="a", filter="lang ="), InvalidFilter, "filter"),
        (Query(vector=WORDS, rerank=CrossEncoding()), InvalidField, "query"),
        (Query(text="a", rerank=CrossEncoding("missing")), NotConfigured, None),
        (Query(text="a", top_k=50, offset=1), InvalidField, "offset"),
    ],
    ids=str,
)
def test_what_cannot_be_planned_is_refused(
    planner: Planner, query: Query, error: type[RagError], field: str | None
) -> None:
    with pytest.raises(error) as caught:
        planner.plan(query)
    if field is not None:
        assert [each.field for each in caught.value.violations] == [field]


def planned(planner: Planner, **fields: Any) -> tuple[QueryPlan, Search]:
    plan = planner.plan(Query(**fields))
    if plan.vector is None and plan.mode is not LEXICAL:
        plan.vector = WORDS
    return plan, plan.search()


def test_each_mode_asks_its_sides(planner: Planner) -> None:
    for mode, sides in ((DENSE, (True, False)), (LEXICAL, (False, True)), (HYBRID, (True, True))):
        plan, search = planned(planner, text="jackdaw", mode=mode, ef=7 if mode is not LEXICAL else 0)
        assert (search.dense is not None, search.lexical is not None) == sides
        assert plan.wants_embedding is False
        if search.dense is not None:
            assert (search.dense.ef, search.dense.exact) == (7, False)
        if search.lexical is not None:
            assert search.lexical.text == "jackdaw"


def test_text_alone_is_embedded_and_a_document_read(planner: Planner) -> None:
    assert planner.plan(Query(text="jackdaw")).wants_embedding
    assert not planner.plan(Query(text="jackdaw", mode=LEXICAL)).wants_embedding
    assert not planner.plan(Query(text="jackdaw", vector=WORDS)).wants_embedding
    by_document = planner.plan(Query(doc_id="d"))
    assert (by_document.wants_document, by_document.wants_embedding) == (True, False)


@pytest.mark.parametrize("top_k", [1, 10, 24])
def test_a_plain_query_asks_for_no_more_than_its_page(planner: Planner, top_k: int) -> None:
    _, search = planned(planner, vector=WORDS, top_k=top_k)
    assert search.candidates == top_k
    assert not isinstance(search.select, Selection)


@pytest.mark.parametrize(
    ("fields", "plain"),
    [
        ({}, True),
        ({"filter": "a = 1", "min_score": 0.5, "offset": 3}, True),
        ({"top_k": 24}, True),
        ({"top_k": 24, "offset": 1}, False),
        ({"max_hits_per_document": 1}, False),
        ({"rerank": Variety()}, False),
        ({"text": "a", "mode": DENSE, "rerank": CrossEncoding()}, False),
        ({"text": "a", "mode": DENSE, "highlight": True}, False),
        ({"text": "a", "mode": DENSE}, True),
        ({"text": "a", "mode": HYBRID}, False),
        ({"text": "a", "mode": DENSE, "vector": None}, False),
        ({"doc_id": "d", "vector": None}, False),
    ],
    ids=str,
)
def test_plain_is_who_gives_a_vector_and_wants_what_is_near_it(
    planner: Planner, fields: dict[str, Any], plain: bool
) -> None:
    plan = planner.plan(Query(**({"vector": WORDS} | fields)))
    assert plan.plain is plain
    if plain:
        assert not isinstance(plan.search().select, Selection), "it might have to search deeper"


@pytest.mark.parametrize(
    ("fields", "depth"),
    [
        ({"vector": WORDS, "top_k": 25}, 24),
        ({"vector": WORDS, "top_k": 25, "ef": 30}, 25),
        ({"vector": WORDS, "top_k": 25, "exact": True}, 25),
        ({"vector": WORDS, "max_hits_per_document": 1}, 24),
        ({"vector": WORDS, "rerank": Variety()}, 24),
        ({"vector": WORDS, "filter": "a = 1"}, FILTERED_DEPTH),
        ({"vector": WORDS, "filter": "a = 1", "exact": True, "top_k": 5}, 5),
        ({"text": "a"}, FUSED_DEPTH),
        ({"text": "a", "top_k": 5, "offset": 20}, FUSED_DEPTH),
        ({"text": "a", "mode": LEXICAL, "top_k": 5, "offset": 3}, 8),
        ({"text": "a", "mode": LEXICAL, "max_hits_per_document": 2}, FUSED_DEPTH),
        ({"text": "a", "mode": LEXICAL, "rerank": Variety(candidates=33)}, 33),
    ],
    ids=str,
)
def test_how_deep_a_search_goes_depends_on_no_page(
    planner: Planner, fields: dict[str, Any], depth: int
) -> None:
    assert planned(planner, **fields)[1].candidates == depth


@pytest.mark.parametrize(("given", "weight"), [(None, 0.25), (0.0, 0.0), (0.9, 0.9)])
def test_the_weight_is_the_embedder_s_where_none_is_given(
    planner: Planner, given: float | None, weight: float
) -> None:
    assert planner.plan(Query(text="a", dense_weight=given)).dense_weight == weight
    without = planner.plan(Query(collection="bare", text="a", vector=VECTOR, dense_weight=given))
    assert without.dense_weight == (0.5 if given is None else given)


def test_a_document_is_not_like_itself(planner: Planner) -> None:
    assert planned(planner, doc_id="d")[1].filter == ITSELF
    both = planned(planner, doc_id="d", filter="a = true")[1].filter
    assert both == And((ITSELF, Comparison(Name(("a",)), Operator.EQUAL, value=True)))


@pytest.mark.parametrize(
    ("candidates", "top_k", "pool"), [(0, 5, 20), (0, 20, 40), (7, 5, 7), (7, 10, 7), (40, 1, 40)]
)
def test_a_pool_is_four_times_the_page_within_the_limit(
    planner: Planner, candidates: int, top_k: int, pool: int
) -> None:
    assert planner.plan(Query(text="a", top_k=top_k, rerank=Variety(0.5, candidates))).pool == pool


def test_a_model_reads_texts_that_the_caller_omits(planner: Planner) -> None:
    lean = HitParts(text=False, title=False, metadata=False)
    plan, search = planned(planner, text="a", parts=lean, rerank=CrossEncoding())
    assert (plan.reranker, plan.reads_more) == ("words", True)
    assert search.parts == HitParts(metadata=False)
    assert planned(planner, text="a", parts=lean, highlight=True)[1].parts == HitParts(metadata=False)
    assert planned(planner, text="a", parts=lean, rerank=Variety())[1].parts == lean
    assert planner.plan(Query(text="a", rerank=CrossEncoding("other"))).reranker == "other"


def test_stages_of_several_searches_add_up(planner: Planner) -> None:
    plan, search = planned(planner, vector=WORDS, top_k=30)
    assert isinstance(plan.selection, Selection)
    plan.selection.deeper = True
    result = SearchResult((), SearchStrategy.ANN, {"dense": 0.25, "fetch": 0.5})
    deeper = plan.take(result)
    assert deeper is not None
    assert deeper.candidates > search.candidates
    assert plan.hits == ()
    assert plan.take(result) is None
    assert plan.result is result
    assert plan.stages == {"dense": 0.5, "fetch": 1.0}


@pytest.mark.parametrize(
    "query",
    [
        Query("bare", vector=VECTOR, top_k=7, offset=3, min_score=0.1),
        Query("bare", vector=VECTOR, filter='doc_id != "a"', rerank=Variety(0.3)),
        Query("default", vector=WORDS, text="two words", mode=HYBRID, dense_weight=0.7),
        Query("default", vector=WORDS, text="two words", rerank=CrossEncoding("other", 9)),
    ],
)
def test_a_query_that_differs_in_its_vector_has_the_plan_that_it_would_have_alone(
    planner: Planner, query: Query
) -> None:
    assert query.vector is not None
    other = query._replace(vector=query.vector + 1)
    planned, alone = planner.plan(other, planner.plan(query)), planner.plan(other)
    for name in QueryPlan.__slots__:
        assert getattr(planned, name) is getattr(alone, name) or getattr(planned, name) == getattr(
            alone, name
        )


def test_a_query_that_differs_in_more_is_planned_by_itself(planner: Planner) -> None:
    like = planner.plan(Query("bare", vector=VECTOR, top_k=7))
    assert planner.plan(Query("bare", vector=VECTOR, top_k=50), like).max_depth == 50
    assert planner.plan(Query("default", vector=WORDS, top_k=7), like).collection.name == "default"
    with pytest.raises(InvalidField):
        planner.plan(Query("bare", vector=np.zeros(4, np.float32), top_k=7), like)
