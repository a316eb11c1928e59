"""The index says of every view what the plain evaluation says, whatever is written and squeezed meanwhile."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_grpc.core.filter_language import parse
from rag_grpc.core.filters import Facts, Filter, matches
from rag_grpc.core.models import MetadataDict
from rag_grpc.stores.embedded import filter_index, metadata_column, sorted_values
from rag_grpc.stores.embedded.dense_index import Died
from rag_grpc.stores.embedded.effects import Version
from rag_grpc.stores.embedded.filter_index import FilterIndex, FilterView
from rag_grpc.stores.embedded.kept_parts import PartsIn, PartsOut
from rag_grpc.stores.embedded.sorted_values import SortedValues
from tests.contracts import filter_cases
from tests.contracts.fakes import JsonCodec


def tree(text: str) -> Filter:
    parsed = parse(text)
    assert parsed is not None
    return parsed


@dataclass
class Model:
    """The same documents as plain facts."""

    index: FilterIndex = field(default_factory=lambda: FilterIndex(JsonCodec()))
    living: dict[int, Facts] = field(default_factory=dict)
    written: int = 0
    clock: int = 1_577_836_799_000_000_000

    def put(self, metadata: MetadataDict, title: str = "") -> None:
        self.written += 1
        self._describe(self.written, title, metadata)

    def patch(self, content: int, metadata: MetadataDict) -> None:
        if content in self.living:
            self._describe(content, self.living[content].title, metadata)

    def delete(self, content: int) -> None:
        if self.living.pop(content, None) is not None:
            self.index.apply((), [Died(10 * content, 2, 0)])

    def squeeze(self) -> None:
        self.index = self.index.compacted()

    def keep(self) -> None:
        out = PartsOut()
        self.index.write(out)
        self.index = FilterIndex.read(JsonCodec(), PartsIn(memoryview(b"".join(out.parts()))))

    def _describe(self, content: int, title: str, metadata: MetadataDict) -> None:
        self.clock += 500_000_000
        begun = self.living[content].create_time if content in self.living else self.clock
        facts = Facts(f"d{content}", title, begun, self.clock, metadata)
        self.living[content] = facts
        self.index.apply([Version(content, 10 * content, 2, *facts[:4], JsonCodec().pack(metadata))], ())

    def snapshot(self) -> tuple[FilterView, dict[int, Facts]]:
        return self.index.view(), dict(self.living)


def check(view: FilterView, living: dict[int, Facts], filters: list[Filter]) -> None:
    for filter_ in filters:
        expected = sorted(content for content, facts in living.items() if matches(filter_, facts))
        assert sorted(view.contents(filter_).tolist()) == expected
        chunks = [10 * content + ordinal for content in expected for ordinal in (0, 1)]
        assert view.allowed(filter_).ids.tolist() == chunks


operations = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "patch", "patch", "delete", "squeeze", "keep", "look"]),
        st.integers(1, 12),
        filter_cases.metadata,
        filter_cases.texts,
    ),
    max_size=30,
)


@pytest.mark.parametrize(
    ("tail", "few"), [(0, 0), (sorted_values.TAIL_ROWS, 2), (sorted_values.TAIL_ROWS, metadata_column.FEW)]
)
def test_every_view_says_what_the_plain_evaluation_says(
    tail: int, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sorted_values, "TAIL_ROWS", tail)
    monkeypatch.setattr(metadata_column, "FEW", few)

    @settings(max_examples=120, deadline=None)
    @given(operations, st.lists(filter_cases.filters, min_size=1, max_size=8))
    def play(steps: list[tuple[str, int, MetadataDict, str]], filters: list[Filter]) -> None:
        model = Model()
        views = []
        for what, content, metadata, text in steps:
            match what:
                case "put":
                    model.put(metadata, title=text)
                case "patch":
                    model.patch(content, metadata)
                case "delete":
                    model.delete(content)
                case "squeeze":
                    model.squeeze()
                case "keep":
                    model.keep()
                case _:
                    views.append(model.snapshot())
        for view, living in [*views, model.snapshot()]:
            check(view, living, filters)

    play()


def test_moments_between_nanoseconds_compare_exactly() -> None:
    model = Model(clock=1_577_836_799_500_000_000)
    model.put({})
    view, living = model.snapshot()
    stamp = "2020-01-01T00:00:00"
    texts = [
        f'create_time {sign} "{stamp}{decimals}Z"'
        for sign in ("=", "!=", "<", "<=", ">", ">=")
        for decimals in ("", ".0000000001", ".000000001")
    ]
    check(view, living, [tree(text) for text in texts])
    check(view, living, [tree('create_time >= "2020"'), tree('create_time < "2020-01-01T00:00:00.0"')])


def test_an_index_wants_to_be_squeezed_when_most_of_it_is_dead() -> None:
    model = Model()
    for number in range(10):
        model.put({"n": float(number)})
    assert not model.index.wants_compaction
    turns = filter_index.COMPACT_FROM // 10 + 2
    for turn in range(turns):
        for content in range(1, 11):
            model.patch(content, {"n": float(turn), "only": {f"k{turn}": True}})
    assert model.index.wants_compaction
    before = model.snapshot()
    filters = [tree(f"n = {turns - 1}"), tree("n < 5"), tree(f"only.k{turns - 1} = true"), tree("only.k3:*")]
    model.squeeze()
    assert not model.index.wants_compaction
    check(*before, filters)
    check(*model.snapshot(), filters)
    assert len(model.index._columns) == 3  # keys that only the dead had are gone


def written(values: SortedValues[Any]) -> bytes:
    out = PartsOut()
    values.write(out)
    return b"".join(out.parts())


def test_memory_for_a_number_and_for_a_text_that_all_have_is_small() -> None:
    model = Model()
    count = 2_000
    model.index.apply(
        [
            Version(
                number, 10 * number, 1, f"d{number}", "", 0, 0, JsonCodec().pack({"n": number, "lang": "en"})
            )
            for number in range(1, count + 1)
        ],
        (),
    )
    view = model.index.view()
    assert len(view.contents(tree('lang = "en" AND n >= 1'))) == count
    columns = [model.index._columns[key,]._many for key in ("n", "lang")]
    numbers, texts = (None if each is None else each._values for each in columns)
    assert numbers is not None
    assert texts is not None
    assert len(written(numbers.numbers)) < 16 * count
    assert len(written(texts.texts)) < 10 * count


def test_what_a_view_answers_twice_is_computed_once() -> None:
    model = Model()
    model.put({"n": 1.0})
    view, _ = model.snapshot()
    filter_ = tree("n = 1")
    assert view.allowed(filter_) is view.allowed(filter_)
    for number in range(2 * filter_index.KEPT_ANSWERS):
        assert len(view.allowed(tree(f"n = {number}"))) == (2 if number == 1 else 0)
    assert len(view._kept) <= filter_index.KEPT_ANSWERS


def test_keys_that_one_document_has_cost_little_more_than_their_text() -> None:
    """A document may bring ten thousand of them, and every one has a column."""
    keys = 2_000
    model = Model()
    model.put({f"before {number}": "v" for number in range(10)})
    metadata: MetadataDict = {f"key {number}": "v" for number in range(keys)}
    tracemalloc.start()
    try:
        model.put(metadata)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken / keys < 700
    check(*model.snapshot(), [tree('"key 7" = "v"'), tree('"key 7" != "v"'), tree('"before 3":*')])


def test_an_index_that_nobody_holds_is_gone_at_once() -> None:
    """Not when Python next looks for cycles: that is seldom, and an index can be megabytes."""
    model = Model()
    model.put({"lang": "de"})
    view = model.index.view()
    assert model.index.view() is view
    gone = weakref.ref(model.index)
    gc.disable()
    try:
        model.squeeze()
        assert gone() is not None, "a search under way holds it"
        check(view, model.living, [tree('lang = "de"')])
        del view
        assert gone() is None
    finally:
        gc.enable()
