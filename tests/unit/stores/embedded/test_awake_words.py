"""Indexes of words that sleep: bounded in number, and nothing that is asked or written notices."""

from __future__ import annotations

from pathlib import Path
from time import monotonic

import pytest

from rag_grpc.core.analysis import PlainAnalyzer
from rag_grpc.stores.embedded.awake_words import AWAKE_AT_REST, IDLE_SECONDS, AwakeWords, WriterPlaces
from rag_grpc.stores.embedded.lexical_index import FEW_CHANGES, LexicalIndex
from rag_grpc.stores.embedded.store import EmbeddedStore
from tests.contracts.fakes import JsonCodec, Records, put, spec
from tests.contracts.store_lexical import found_by, written
from tests.unit.stores.embedded.failing_disk import eventually

COLLECTIONS = 8
AWAKE, WRITERS = 2, 1
AT_WORK = 2
"""The index thread and the writer thread may be at work on one each, which is then passed over."""


class Cat:
    """Sleeps when it is told to, unless it hunts."""

    def __init__(self, *, hunts: bool = False, idle_for: float = 0.0) -> None:
        self.hunts = hunts
        self.asleep = self.rested = False
        self.words_used_at = monotonic() - idle_for

    def let_words_sleep(self) -> bool:
        self.asleep = not self.hunts
        return self.asleep

    def rest_words(self) -> None:
        self.rested = True


def test_what_was_used_longest_ago_is_put_to_sleep() -> None:
    cats = [Cat() for _ in range(4)]
    awake = AwakeWords(2)
    for each in (cats[0], cats[1], cats[0], cats[2], cats[3]):
        awake.used(each)
    assert [each.asleep for each in cats] == [True, True, False, False]


def test_what_is_at_work_is_passed_over_and_tried_again() -> None:
    busy, others = Cat(hunts=True), [Cat() for _ in range(3)]
    awake = AwakeWords(1)
    for each in (busy, *others[:2]):
        awake.used(each)
    assert [each.asleep for each in (busy, *others)] == [False, True, False, False]
    busy.hunts = False
    awake.used(others[2])
    assert busy.asleep


def test_what_nobody_used_for_a_while_sleeps_but_for_the_last_few() -> None:
    idle = [Cat(idle_for=IDLE_SECONDS + seconds) for seconds in range(1, AWAKE_AT_REST + 4)]
    just_used = [Cat(idle_for=IDLE_SECONDS / 2) for _ in range(3)]
    awake = AwakeWords(100)
    for each in (*just_used, *idle):
        awake.used(each)
    awake.rest()
    assert all(each.rested and not each.asleep for each in just_used)
    assert [each.asleep for each in idle] == [False] + [True] * (len(idle) - 1)


def test_what_is_in_use_stays_awake_however_many_there_are() -> None:
    cats = [Cat() for _ in range(AWAKE_AT_REST + 4)]
    awake = AwakeWords(100)
    for each in cats:
        awake.used(each)
    awake.rest()
    assert not any(each.asleep for each in cats)


def test_what_is_at_work_when_all_is_quiet_is_tried_again() -> None:
    busy = Cat(hunts=True, idle_for=IDLE_SECONDS * 2)
    awake = AwakeWords(100)
    for each in (busy, *(Cat() for _ in range(AWAKE_AT_REST))):
        awake.used(each)
    awake.rest()
    assert not busy.asleep
    busy.hunts = False
    awake.rest()
    assert busy.asleep


def test_what_is_gone_is_forgotten() -> None:
    gone, other = Cat(), Cat()
    awake = AwakeWords(1)
    awake.used(gone)
    awake.forget(gone)
    awake.used(other)
    assert not gone.asleep


def test_places_are_given_back() -> None:
    places = WriterPlaces(1)
    assert places.take()
    assert not places.take()
    places.give_back()
    assert places.take()


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag_grpc.stores.embedded.engine.AwakeWords", lambda: AwakeWords(AWAKE))
    monkeypatch.setattr("rag_grpc.stores.embedded.lexical_rows.WriterPlaces", lambda: WriterPlaces(WRITERS))


def awake_in(store: EmbeddedStore) -> int:
    return sum(state.lexical.awake for state in store._engine.states.values())


@pytest.mark.usefixtures("few")
async def test_more_collections_than_may_be_awake(tmp_path: Path) -> None:
    for begun in (True, False):
        store = EmbeddedStore(tmp_path, codec=JsonCodec(), telemetry=Records(), analyzer=PlainAnalyzer())
        await store.open()
        try:
            if begun:
                for number in range(COLLECTIONS):
                    await store.create_collection(spec(f"c{number}"), "")
            names = [f"c{number}" for number in range(COLLECTIONS)]
            for round_ in range(3):
                for name in names:
                    new = f"d{begun}{round_}"
                    await put(store, store.collection(name), written(new, f"lion {name}"))
                for name in reversed(names):
                    assert new in await found_by(store, store.collection(name), name)
                    assert awake_in(store) <= AWAKE + WRITERS + AT_WORK
                    counts = await store.word_counts(store.collection("c0"), ["lion"])
                    assert counts.chunks == counts.counts["lion"]
        finally:
            await store.close()


@pytest.mark.usefixtures("few")
async def test_many_changes_of_many_collections(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path, codec=JsonCodec(), telemetry=Records(), analyzer=PlainAnalyzer())
    await store.open()
    try:
        for number in range(COLLECTIONS):
            collection = await store.create_collection(spec(f"c{number}"), "")
            for place in range(3):
                texts = [f"lion w{piece}" for piece in range(FEW_CHANGES)]
                await put(store, collection, written(f"d{place}", *texts))
        for number in range(COLLECTIONS):
            found = await found_by(store, store.collection(f"c{number}"), "lion", candidates=1000)
            assert len(found) == 3 * FEW_CHANGES
            assert awake_in(store) <= AWAKE + WRITERS + AT_WORK
    finally:
        await store.close()


async def test_an_index_sleeps_when_its_writer_is_done_and_wakes_for_a_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag_grpc.stores.embedded.engine.AwakeWords", lambda: AwakeWords(AWAKE))
    store = EmbeddedStore(tmp_path, codec=JsonCodec(), telemetry=Records(), analyzer=PlainAnalyzer())
    await store.open()
    try:
        collection = await store.create_collection(spec(), "")
        await put(store, collection, written("d", *(f"lion w{piece}" for piece in range(FEW_CHANGES))))
        assert "d" in await found_by(store, collection, "w7")
        (state,) = store._engine.states.values()
        # Its writer may be merging: that is never cut off.
        assert not state.let_words_sleep()
        assert state.lexical.awake
        monkeypatch.setattr("rag_grpc.stores.embedded.lexical_index.IDLE_SECONDS", 0.0)
        state.rest_words()
        await eventually(state.let_words_sleep)
        assert state.lexical.asleep
        slept_at = state.words_used_at
        assert "d" in await found_by(store, collection, "w7")
        assert state.lexical.awake
        assert state.words_used_at > slept_at
    finally:
        await store.close()


async def test_words_that_are_put_to_sleep_in_the_middle_of_a_count_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = EmbeddedStore(tmp_path, codec=JsonCodec(), telemetry=Records(), analyzer=PlainAnalyzer())
    await store.open()
    try:
        collection = await store.create_collection(spec(), "")
        await put(store, collection, written("d", "lion tiger"))
        assert await found_by(store, collection, "lion") == ["d"]
        (state,) = store._engine.states.values()
        monkeypatch.setattr("rag_grpc.stores.embedded.lexical_index.IDLE_SECONDS", 0.0)
        state.rest_words()
        is_asleep = vars(LexicalIndex)["asleep"].fget

        def asleep_soon(index: LexicalIndex) -> bool:
            answer: bool = is_asleep(index)
            state.let_words_sleep()
            return answer

        for _ in range(2):
            with monkeypatch.context() as patched:
                patched.setattr(LexicalIndex, "asleep", property(asleep_soon))
                counts = await store.word_counts(collection, ["lion"])
            assert counts.chunks == counts.counts["lion"] == 1
            await eventually(state.let_words_sleep)
    finally:
        await store.close()
