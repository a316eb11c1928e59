"""A start that is cut short, or fails, leaves nothing behind."""

import asyncio
import dataclasses
import threading
import time
from collections.abc import Callable

import psutil
import pytest

from rag_grpc.app import listening_server, running_server
from rag_grpc.environment import SettingsFault
from rag_grpc.process import _loaded
from rag_grpc.settings import Settings
from tests.e2e.slow_store import SlowStore


@pytest.mark.parametrize("store_name", ["memory"])
async def test_a_server_that_is_told_to_stop_while_it_loads_stops(settings: Settings) -> None:
    told = asyncio.Event()
    async with listening_server(settings, store=SlowStore()) as server:
        loading = asyncio.ensure_future(_loaded(server, told))
        await asyncio.sleep(0)
        told.set()
        assert await loading is False
        assert server.health.reason() == "the server is loading its data"


@pytest.mark.parametrize("store_name", ["memory"])
async def test_a_store_that_cannot_be_opened_ends_the_start(settings: Settings) -> None:
    class Broken(SlowStore):
        async def open(self) -> None:
            raise OSError("no such disk")

    with pytest.raises(OSError, match="no such disk"):
        async with running_server(settings, store=Broken()):
            raise AssertionError("it cannot serve")


async def test_an_embedder_that_is_not_there_is_a_fault_of_the_settings(settings: Settings) -> None:
    with pytest.raises(SettingsFault, match="RAG_EMBEDDERS: there is no 'clever'; there is mock"):
        async with listening_server(dataclasses.replace(settings, embedders=("clever",))):
            raise AssertionError("it cannot listen")


@pytest.mark.parametrize("store_name", ["embedded"])
async def test_two_servers_over_one_folder_are_refused_and_the_first_serves_on(settings: Settings) -> None:
    async with running_server(settings) as first:
        with pytest.raises(Exception, match="data"):
            async with running_server(settings):
                raise AssertionError("two servers over one folder")
        assert first.health.reason() == ""
        assert first.store.collection("default").name == "default"


async def test_starts_and_stops_leave_no_threads_tasks_or_files(settings: Settings) -> None:
    async with running_server(settings):
        pass
    # Without what gRPC still holds of an earlier test's server: that would be missing afterwards.
    await until(lambda: not any("_poll_wrapper" in each for each in in_use()[0]))
    before = in_use()
    for _ in range(5):
        async with running_server(settings):
            pass
    await until(lambda: in_use() == before)
    assert in_use() == before


async def until(come: Callable[[], bool]) -> None:
    """Wait for gRPC, which lets go of sockets in a thread of its own, some time after a server stopped."""
    end = time.monotonic() + 20
    while not come() and time.monotonic() < end:  # noqa: ASYNC110  # there is nothing to be told by
        await asyncio.sleep(0.05)


def in_use() -> tuple[list[str], int, int]:
    # The loop's own pool of threads grows to its size as it is asked, and stays.
    threads = [each.name for each in threading.enumerate() if not each.name.startswith("asyncio_")]
    return threads, len(asyncio.all_tasks()), psutil.Process().num_fds()
