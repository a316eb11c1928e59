"""A snapshot that fails, of whatever kind the failure is, ends no thread and is tried again."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import structlog

from rag_grpc.stores.embedded import snapshot_child, snapshot_keeping
from rag_grpc.stores.embedded.dense_index import IndexParameters
from rag_grpc.stores.embedded.embedded_settings import EmbeddedSettings
from rag_grpc.stores.embedded.snapshot_child import SnapshotChild
from rag_grpc.stores.embedded.store import EmbeddedStore
from tests.contracts.fakes import JsonCodec, Records, prepared, put, spec
from tests.process.snapshot_folder import snapshots_in
from tests.unit.stores.embedded.failing_disk import eventually

DOCUMENTS = 40
PARAMETERS = IndexParameters(graph_from=8)


async def opened(path: Path, *, snapshot_seconds: float) -> EmbeddedStore:
    settings = EmbeddedSettings(index=PARAMETERS, disk_reserve_bytes=0, snapshot_seconds=snapshot_seconds)
    store = EmbeddedStore(path, codec=JsonCodec(), telemetry=Records(), settings=settings)
    await store.open()
    return store


@pytest.fixture
async def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EmbeddedStore]:
    """A store that makes a snapshot whenever something came, and tries again at once."""
    monkeypatch.setattr(snapshot_keeping, "RETRY_SECONDS", 0.01)
    store = await opened(tmp_path, snapshot_seconds=1e-9)
    await store.create_collection(spec(), "")
    yield store
    await store.close()


@pytest.fixture
def ignored_children() -> Iterator[None]:
    """As under a parent that ignores SIGCHLD, which a process inherits."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGCHLD, before)


async def fill(store: EmbeddedStore, seed: int = 1) -> None:
    rows = np.random.default_rng(seed).normal(size=(DOCUMENTS, 4)).astype(np.float32)
    for number, row in enumerate(rows):
        await put(store, store.collection("things"), prepared(f"d-{number:02}", row))


def was_saved(store: EmbeddedStore) -> bool:
    return store.stats().collections[0].snapshot_time is not None


@pytest.mark.usefixtures("ignored_children")
async def test_snapshots_are_made_where_nobody_hears_of_children(store: EmbeddedStore) -> None:
    with structlog.testing.capture_logs() as events:
        await fill(store)
        await eventually(lambda: was_saved(store))
    assert not {"snapshot_broke", "snapshot_failed"} & {event["event"] for event in events}


@pytest.mark.usefixtures("ignored_children")
async def test_a_child_that_nobody_hears_of_is_ended(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait_for_ever(*_: object) -> None:
        signal.pause()
        os._exit(1)

    monkeypatch.setattr(snapshot_child, "_write", wait_for_ever)
    # Other tests of this process may have browsers.
    before = set(psutil.Process().children())
    await fill(store)
    await eventually(lambda: bool(set(psutil.Process().children()) - before))
    await store.close()
    assert not set(psutil.Process().children()) - before


def fails_once(error: Exception, call: Callable[..., object]) -> Callable[..., object]:
    failed = threading.Event()

    def wrapped(*arguments: object, **named: object) -> object:
        if not failed.is_set():
            failed.set()
            raise error
        return call(*arguments, **named)

    return wrapped


FAILURES = {
    "no memory for filters": (snapshot_keeping, "keep_filters", MemoryError()),
    "no memory for a child": (snapshot_child, "_fork", MemoryError()),
    "no thread": (snapshot_child.SnapshotChild, "_take", RuntimeError("can't start new thread")),
    "no memory to seal": (snapshot_child, "seal", MemoryError()),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_failure_of_any_kind_is_logged_and_tried_again(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    place, name, error = FAILURES[failure]
    monkeypatch.setattr(place, name, fails_once(error, getattr(place, name)))
    with structlog.testing.capture_logs() as events:
        await fill(store)
        await eventually(lambda: was_saved(store))
    assert {"snapshot_broke", "snapshot_failed"} & {event["event"] for event in events}
    assert store.stats().collections[0].graph


async def test_a_graph_is_saved_where_filters_cannot_be(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr(snapshot_keeping, "keep_filters", refuse)
    await fill(store)
    await eventually(lambda: was_saved(store))


async def test_a_snapshot_is_due_by_what_rows_take_by_themselves(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by what they take under load, which says nothing of a start."""
    await fill(store)
    await eventually(lambda: was_saved(store))
    (state,) = store._engine.states.values()
    keeper = store._engine._indexes._snapshots
    monkeypatch.setattr(keeper, "_snapshot_seconds", 1.0)
    monkeypatch.setattr(state.index.pace, "alone", 0.01)
    monkeypatch.setattr(state.index.pace, "now", 0.06)
    for births, due in ((99, False), (101, True)):
        monkeypatch.setattr(state, "births", births)
        assert keeper.is_due(state) is due
    monkeypatch.setattr(state, "births", 0)


async def test_what_a_start_would_put_in_again_is_told(tmp_path: Path) -> None:
    store = await opened(tmp_path, snapshot_seconds=3600)
    await store.create_collection(spec(), "")
    try:
        assert store.stats().collections[0].replay_seconds == 0  # there is no graph
        await fill(store)
        (state,) = store._engine.states.values()
        await eventually(lambda: state.index.tail == 0)
        await fill(store, seed=2)
        await eventually(lambda: state.index.tail == 0)
        # As many came a second time in their place, which a start does not see.
        assert state.births == 2 * DOCUMENTS
        await eventually(
            lambda: store.stats().collections[0].replay_seconds == DOCUMENTS * state.index.pace.alone > 0
        )
    finally:
        await store.close()
    # A clean stop saved it, so that there is nothing left.
    store = await opened(tmp_path, snapshot_seconds=3600)
    try:
        assert store.stats().collections[0].snapshot_time is not None
        assert store.stats().collections[0].replay_seconds == 0
    finally:
        await store.close()


async def test_one_that_nobody_wants_any_more_goes_however_far_it_came(tmp_path: Path) -> None:
    store = await opened(tmp_path, snapshot_seconds=3600)
    await store.create_collection(spec(), "")
    await fill(store)
    (state,) = store._engine.states.values()
    await eventually(lambda: state.index.tail == 0)
    child = SnapshotChild(state, store._engine._folder, PARAMETERS)
    await eventually(lambda: child.finished() or child._sealing is not None)
    side, state.side = state.side, state.side.other("another-fingerprint")
    assert child._sealing is not None
    child._sealing.join()
    assert len(snapshots_in(tmp_path)) == 1
    child.stop()
    assert snapshots_in(tmp_path) == []
    state.side = side
    await store.close()
