"""Every view finds what comparing everything of that view finds, whatever was written around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_grpc.core.models import Chunking, Collection, Metric
from rag_grpc.core.searches import SearchStrategy
from rag_grpc.stores.embedded.dense_index import Born, DenseIndex, Died, IndexParameters
from rag_grpc.stores.embedded.dense_search import DenseView, Found, comparable, keep_best, search
from rag_grpc.stores.embedded.vector_file import Rows

DIMENSION = 8
FIRST = 1000
SMALL = IndexParameters(graph_from=10, compact_from=10, threads=1)

MakeIndex = Callable[..., DenseIndex]


@pytest.fixture
def make_index(tmp_path: Path) -> Iterator[MakeIndex]:
    made: list[DenseIndex] = []

    def make(metric: Metric = Metric.COSINE) -> DenseIndex:
        collection = Collection(1, "uid", "things", "none", "", DIMENSION, metric, Chunking(), "", 0)
        made.append(DenseIndex(tmp_path / f"{len(made)}.f32", collection, SMALL))
        return made[-1]

    yield make
    for index in made:
        index.close()


def rows(count: int, seed: int = 0) -> Rows:
    return np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)


def bear(index: DenseIndex, place: int, vectors: Rows) -> None:
    """Take in one content whose chunks have the ids from FIRST + place on."""
    index.apply([Born(content=place, first_chunk=FIRST + place, vectors=vectors)], [])


def die(index: DenseIndex, place: int, count: int, seq: int) -> None:
    index.apply([], [Died(FIRST + place, count, seq)])


def build(index: DenseIndex, oldest_seq: int = 0) -> None:
    """Move all of the tail into the graph."""
    while index.advance(oldest_seq, 64):
        pass


def truth(view: DenseView, query: Rows) -> dict[int, float]:
    """Score all that lives in the view, in float64."""
    length = view.slots.length
    living = np.flatnonzero(view.slots.died[:length] > view.seq)
    vectors = view.slots.rows[living].astype(np.float64)
    wide = query.astype(np.float64)
    scores = -((vectors - wide) ** 2).sum(axis=1) if view.metric is Metric.EUCLIDEAN else vectors @ wide
    return dict(zip(view.slots.ids[living].tolist(), scores.tolist(), strict=True))


def check(view: DenseView, *, k: int, exact: bool = False, seed: int = 7) -> list[Found]:
    """Search several queries at once, compare with the truth, and return what was found."""
    queries = comparable(rows(6, seed), view.metric)
    found = search(view, queries, k=k, ef=max(k, 100), exact=exact)
    for query, each in zip(queries, found, strict=True):
        check_one(view, query, each, k)
    return found


def check_one(view: DenseView, query: Rows, found: Found, k: int) -> None:
    """Everything lives, has its own score, and is among the best: all of it, or by a graph nearly all.

    Counted by score, so that what differs by a rounding is as good.
    """
    scores = truth(view, query)
    ids = found.candidates.chunks.tolist()
    assert len(ids) == len(set(ids)) == min(k, len(scores))
    assert found.candidates.scores.tolist() == sorted(found.candidates.scores.tolist(), reverse=True)
    assert found.candidates.scores == pytest.approx([scores[each] for each in ids], abs=1e-4)
    worst = sorted(scores.values(), reverse=True)[: len(ids)][-1:]
    good = sum(scores[each] >= worst[0] - 1e-4 for each in ids)
    allowed = 1 + len(ids) // 20 if found.strategy is SearchStrategy.ANN else 0
    assert good >= len(ids) - allowed


@pytest.mark.parametrize("metric", Metric)
@pytest.mark.parametrize("k", [1, 5, 100, 1000])
def test_graph_and_comparison_agree_with_the_truth(make_index: MakeIndex, metric: Metric, k: int) -> None:
    index = make_index(metric)
    bear(index, 0, rows(200, seed=1))
    build(index)
    view = index.view(0)
    assert {each.strategy for each in check(view, k=k)} == {SearchStrategy.ANN}
    assert {each.strategy for each in check(view, k=k, exact=True)} == {SearchStrategy.EXACT}


def test_a_small_index_has_no_graph(make_index: MakeIndex) -> None:
    index = make_index()
    bear(index, 0, rows(9))
    build(index)
    assert index.view(0).graph is None
    assert {each.strategy for each in check(index.view(0), k=5)} == {SearchStrategy.EXACT}


def test_nothing_there_is_nothing_found(make_index: MakeIndex) -> None:
    index = make_index()
    assert [len(each.candidates.chunks) for each in check(index.view(0), k=5)] == [0] * 6


@pytest.mark.parametrize("metric", Metric)
def test_the_tail_is_found_beside_the_graph(make_index: MakeIndex, metric: Metric) -> None:
    index = make_index(metric)
    bear(index, 0, rows(150, seed=1))
    build(index)
    bear(index, 150, rows(100, seed=2))
    view = index.view(0)
    assert view.graph is not None
    assert index.tail == 100
    for k in (1, 10, 500):
        assert {each.strategy for each in check(view, k=k)} == {SearchStrategy.ANN}


def test_a_graph_that_knows_less_than_half_is_not_used(make_index: MakeIndex) -> None:
    index = make_index()
    bear(index, 0, rows(20, seed=1))
    build(index)
    bear(index, 20, rows(21, seed=2))
    assert index.view(0).graph is None
    build(index)
    assert index.view(0).graph is not None


@pytest.mark.parametrize("gap", [0, 7], ids=["ids in a row", "ids with gaps"])
def test_births_after_a_view_are_not_in_it(make_index: MakeIndex, gap: int) -> None:
    index = make_index()
    bear(index, 0, rows(30, seed=1))
    bear(index, 30 + gap, rows(30, seed=3))
    build(index)
    old = index.view(1)
    # More than the file holds, so that the arrays are replaced; and all of it goes into the same graph.
    bear(index, 60 + gap, rows(1000, seed=2))
    build(index)
    for k in (1, 10, 100):
        check(old, k=k)
        check(index.view(2), k=k)


def test_deaths_after_a_view_are_still_in_it_until_nobody_holds_it(make_index: MakeIndex) -> None:
    index = make_index()
    bear(index, 0, rows(100, seed=1))
    build(index)
    old = index.view(1)
    die(index, 0, 50, seq=2)
    new = index.view(2)
    index.advance(1, 64)
    assert index.graph is not None
    assert index.graph.marked == 0
    for k in (1, 10, 100):
        check(old, k=k)
        check(new, k=k)
    index.advance(2, 64)
    assert index.graph.marked == 50
    for k in (1, 10, 100):
        check(new, k=k)


def test_too_few_from_the_graph_means_comparing_all(make_index: MakeIndex) -> None:
    index = make_index()
    near = rows(1, seed=3)
    # The graph's nearest are all dead in the view, and the graph does not know yet.
    bear(index, 0, near + rows(200, seed=4) * np.float32(0.001))
    bear(index, 200, rows(50, seed=5))
    build(index)
    die(index, 0, 200, seq=1)
    view = index.view(1)
    query = comparable(near, Metric.COSINE)
    (found,) = search(view, query, k=10, ef=20, exact=False)
    assert found.strategy is SearchStrategy.ANN_THEN_EXACT
    check_one(view, query[0], found, 10)


def test_one_query_that_lacks_does_not_change_the_others(make_index: MakeIndex) -> None:
    index = make_index()
    near, far = rows(1, seed=3), -rows(1, seed=3)
    bear(index, 0, near + rows(100, seed=4) * np.float32(0.1))
    bear(index, 100, far + rows(100, seed=6) * np.float32(0.1))
    build(index)
    die(index, 0, 100, seq=1)
    view = index.view(1)
    queries = comparable(np.concatenate([near, far]), Metric.COSINE)
    lacking, whole = search(view, queries, k=5, ef=100, exact=False)
    assert lacking.strategy is SearchStrategy.ANN_THEN_EXACT
    assert whole.strategy is SearchStrategy.ANN
    for query, each in zip(queries, (lacking, whole), strict=True):
        check_one(view, query, each, 5)


@pytest.mark.parametrize("exact", [True, False])
def test_ties_are_won_by_the_smaller_id(make_index: MakeIndex, exact: bool) -> None:
    index = make_index(Metric.DOT)
    bear(index, 0, np.ones((30, DIMENSION), dtype=np.float32))
    build(index)
    view = index.view(0)
    (found,) = search(view, np.ones((1, DIMENSION), dtype=np.float32), k=4, ef=30, exact=exact)
    assert found.strategy is (SearchStrategy.EXACT if exact else SearchStrategy.ANN)
    assert found.candidates.chunks.tolist() == [FIRST, FIRST + 1, FIRST + 2, FIRST + 3]


def test_scores_that_tie_after_rounding_are_ordered_by_id(make_index: MakeIndex) -> None:
    index = make_index()
    bear(index, 0, rows(20, seed=1))
    build(index)
    view = index.view(0)

    class Rounding:
        """The second chunk's product with the query is the larger one, and both are beyond 1."""

        def nearest(self, queries: Rows, k: int, **_: object) -> tuple[Any, Any, int]:
            assert len(queries) == 1
            assert k >= 3
            labels = np.array([[FIRST + 1, FIRST, FIRST + 7]])
            return labels, np.array([[-2e-7, -1e-7, 0.5]], dtype=np.float32), view.slots.length

    rounded: Any = replace(view, graph=cast("Any", Rounding()))
    (found,) = search(rounded, comparable(rows(1), Metric.COSINE), k=3, ef=3, exact=False)
    assert found.candidates.chunks.tolist() == [FIRST, FIRST + 1, FIRST + 7]
    assert found.candidates.scores.tolist() == [1.0, 1.0, 0.5]


@pytest.mark.parametrize("gap", [0, 3], ids=["ids in a row", "ids with gaps"])
@pytest.mark.parametrize("seed", range(4))
def test_any_history_is_seen_right_by_every_view_that_is_held(
    make_index: MakeIndex, seed: int, gap: int
) -> None:
    random = np.random.default_rng(seed)
    index = make_index(Metric.EUCLIDEAN)
    held: list[DenseView] = []
    alive: list[tuple[int, int]] = []
    place = 0
    for seq in range(1, 61):
        if random.random() < 0.6 or len(alive) < 3:
            count = int(random.integers(1, 30))
            bear(index, place, rows(count, seed=place))
            alive.append((place, count))
            place += count + gap
        else:
            die(index, *alive.pop(int(random.integers(len(alive)))), seq=seq)
        view = index.view(seq)
        if random.random() < 0.3:
            held.append(view)
        if len(held) > 4:
            held.pop(int(random.integers(len(held))))
        oldest = min(each.seq for each in (*held, view))
        for _ in range(int(random.integers(4))):
            index.advance(oldest, 16)
        for each in (view, *held):
            check(each, k=int(random.integers(1, 40)), seed=seq)
    assert index.graph is not None


def test_a_compacted_index_is_the_same_to_every_view(make_index: MakeIndex, tmp_path: Path) -> None:
    index = make_index()
    bear(index, 0, rows(300, seed=1))
    build(index)
    die(index, 0, 100, seq=1)
    held = index.view(1)
    die(index, 100, 100, seq=2)
    assert index.wants_compaction
    fresh, through = index.compacted(tmp_path / "fresh.f32", oldest_seq=1)
    bear(index, 300, rows(40, seed=2))
    die(index, 200, 50, seq=4)
    build(fresh, oldest_seq=1)
    fresh.catch_up(index, through)
    now = index.view(4)
    after = fresh.view(4)
    assert after.slots.length == 240
    for k in (1, 20, 300):
        check(held, k=k)
        check(now, k=k)
        check(after, k=k)
    build(fresh, oldest_seq=4)
    check(fresh.view(4), k=30)
    assert fresh.members().tolist() == [*range(FIRST + 250, FIRST + 340)]
    fresh.close()


@given(
    st.lists(st.sampled_from([-np.inf, -1.0, 0.0, 0.25, 0.5, 0.75, 1.0]), max_size=80),
    st.lists(st.floats(-1, 1, width=32), max_size=80),
    st.integers(1, 30),
    st.integers(0, 5),
)
def test_the_best_of_a_row_are_those_of_all_of_it_in_order(
    tying: list[float], others: list[float], k: int, start: int
) -> None:
    row = np.array(tying + others, dtype=np.float32)
    none = (np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))
    places, scores = keep_best(none, row, start, k)
    wanted = sorted((-score, place) for place, score in enumerate(row.tolist(), start) if score > -np.inf)[:k]
    assert list(zip((-scores).tolist(), places.tolist(), strict=True)) == wanted
