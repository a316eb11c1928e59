"""Watchers wait for themselves: one who does not read holds up nobody."""

from grpc_health.v1 import health_pb2

from rag_grpc.core.store_state import StoreStatus
from rag_grpc.rpc.convert import StructCodec
from rag_grpc.rpc.health import NOT_SERVING, SERVING, Health
from rag_grpc.stores.memory import MemoryStore

REQUEST = health_pb2.HealthCheckRequest()


async def serving() -> Health:
    store = MemoryStore(codec=StructCodec())
    health = Health(store, ["ragapi.v1.RetrievalService"])
    await store.open()
    health.begin_serving()
    return health


async def test_a_watcher_that_does_not_read_holds_up_nobody() -> None:
    health = await serving()
    stalled, quick = health.Watch(REQUEST, None), health.Watch(REQUEST, None)
    assert (await anext(stalled)).status == SERVING
    assert (await anext(quick)).status == SERVING
    health.begin_draining()
    assert (await anext(quick)).status == NOT_SERVING
    health.end_watches()
    assert [each async for each in quick] == []
    assert [each.status async for each in stalled] == [NOT_SERVING]


async def test_changes_that_were_not_read_are_told_by_the_last() -> None:
    health = await serving()
    watch = health.Watch(REQUEST, None)
    assert (await anext(watch)).status == SERVING
    for can_read in (False, True, False):
        status = StoreStatus(can_read=can_read, can_write=can_read, read_reason="tests")
        health._store._status = status  # type: ignore[attr-defined] # the memory store's
        health._changed(status)
    assert (await anext(watch)).status == NOT_SERVING
    assert health.reason() == "tests"
    health.end_watches()
    assert [each async for each in watch] == []
    assert not health._watchers


async def test_nothing_serves_before_it_is_told_to() -> None:
    store = MemoryStore(codec=StructCodec())
    health = Health(store, ["ragapi.v1.RetrievalService"])
    await store.open()
    assert health.serving("") == NOT_SERVING
    assert health.loading() == health.reason() == "the server is loading its data"
    health.begin_serving()
    assert (health.loading(), health.reason(), health.serving("")) == ("", "", SERVING)
