"""What tests of the page do again and again: open it, ask, wait; and a store whose searches wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from rag_grpc.app import RunningServer
from tests.e2e.browser import Browser
from tests.e2e.slow_store import SlowStore

ENTER, ESCAPE = "\ue007", "\ue00c"


def served(server: RunningServer) -> str:
    assert server.page is not None
    return server.page


def opened(browser: Browser, server: RunningServer) -> None:
    """Open the page and wait until it has asked its server."""
    browser.open(served(server))
    browser.until(lambda: "asking" not in browser.text("#health-text"))


def asked(browser: Browser, question: str) -> None:
    """Type a question where the page begins, and press Enter."""
    box = browser.find("#question")
    box.clear()
    box.send_keys(question, ENTER)


def hits(browser: Browser) -> list[str]:
    browser.find(".hit")
    return [each.text for each in browser.all(".hit")]


async def in_thread(look: Callable[..., None], *arguments: Any) -> None:
    """Look at the page in a thread: its server runs on our loop."""
    await asyncio.to_thread(look, *arguments)


async def until(found: Any) -> None:
    async with asyncio.timeout(10):
        while not found():  # noqa: ASYNC110 # threads tell nobody
            await asyncio.sleep(0.01)


class Waiting(SlowStore):
    """A store whose searches wait until they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded.set()
        self.free = asyncio.Event()
        self.searching = 0
        self.cancelled = 0

    async def search(self, searches: Any) -> Any:
        self.searching += 1
        try:
            await self.free.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return await super().search(searches)
