"""The production server, on free ports, with each store: what is tested is what runs."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from rag_grpc.app import RunningServer, running_server
from rag_grpc.settings import Settings


@pytest.fixture(params=["memory", "embedded"])
def store_name(request: pytest.FixtureRequest) -> str:
    """Each store in turn."""
    name: str = request.param
    return name


@pytest.fixture
def settings(store_name: str, tmp_path: Path) -> Settings:
    """Settings of a server for one test: free ports, a folder of its own, no pauses.

    Other ones: `dataclasses.replace(settings, max_reads=1)`, handed to `running_server`.
    """
    return Settings(
        listen="127.0.0.1:0",
        http_listen="127.0.0.1:0",
        data_dir=tmp_path / "data",
        store=store_name,
        drain_pause=0.0,
        grace=5.0,
        disk_reserve_bytes=0,
    )


@pytest.fixture
async def server(settings: Settings) -> AsyncIterator[RunningServer]:
    """A server that serves."""
    async with running_server(settings) as running:
        yield running


@pytest.fixture
async def channel(server: RunningServer) -> AsyncIterator[Any]:
    """A bare channel to `server`, with gRPC's own limits and no retries."""
    async with grpc.aio.insecure_channel(server.grpc_address) as opened:
        yield opened
