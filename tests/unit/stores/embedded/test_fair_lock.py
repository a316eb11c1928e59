"""Searches together, a change alone, and neither starves the other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from rag_grpc.stores.embedded.graph import LATELY_SECONDS, FairLock

WAIT = 10.0


class Worker:
    """A thread that takes the lock, says so, and holds it until it is told to let go."""

    def __init__(self, take: Callable[[], AbstractContextManager[None]], order: list[str], name: str) -> None:
        self.inside = threading.Event()
        self.leave = threading.Event()
        self._take, self._order, self._name = take, order, name
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with self._take():
            self._order.append(self._name)
            self.inside.set()
            assert self.leave.wait(WAIT)

    def end(self) -> None:
        self.leave.set()
        self._thread.join(WAIT)
        assert not self._thread.is_alive()


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for a state of the lock that no event tells of."""
    gate = threading.Event()
    for _ in range(int(WAIT / 0.001)):
        if condition():
            return
        gate.wait(0.001)
    raise AssertionError("it never came to that")


def test_searches_run_together() -> None:
    now = 100.0
    lock, order = FairLock(clock=lambda: now), list[str]()
    assert not lock.contended
    workers = [Worker(lock.search, order, f"search {number}") for number in range(3)]
    assert all(worker.inside.wait(WAIT) for worker in workers)
    assert lock.contended
    for worker in workers:
        worker.end()
    assert lock.contended, "who asked just now asks again"
    now += LATELY_SECONDS * 1.01
    assert not lock.contended


def test_a_change_waits_for_searches_and_holds_back_new_ones() -> None:
    lock, order = FairLock(), list[str]()
    first = Worker(lock.search, order, "first")
    assert first.inside.wait(WAIT)
    change = Worker(lock.change, order, "change")
    wait_until(lambda: lock._change_waits)
    later = Worker(lock.search, order, "later")
    wait_until(lambda: lock._held_back == 1)
    assert order == ["first"]
    first.end()
    assert change.inside.wait(WAIT)
    assert not later.inside.is_set()
    change.end()
    assert later.inside.wait(WAIT)
    later.end()
    assert order == ["first", "change", "later"]


def test_all_searches_that_wait_run_before_the_next_change() -> None:
    lock, order = FairLock(), list[str]()
    change = Worker(lock.change, order, "change")
    assert change.inside.wait(WAIT)
    searches = [Worker(lock.search, order, "search") for _ in range(3)]
    wait_until(lambda: lock._held_back == 3)
    change.end()
    again = Worker(lock.change, order, "again")
    assert all(each.inside.wait(WAIT) for each in searches)
    assert not again.inside.is_set()
    for each in searches:
        each.end()
    assert again.inside.wait(WAIT)
    again.end()
    assert order == ["change", "search", "search", "search", "again"]


def test_under_load_a_change_is_always_alone_and_everybody_gets_on() -> None:
    lock = FairLock()
    guard = threading.Lock()
    inside = {"search": 0, "change": 0}
    wrong: list[dict[str, int]] = []
    done = {"search": 0, "change": 0}
    over = threading.Event()

    def work(kind: str, take: Callable[[], AbstractContextManager[None]], rounds: int) -> None:
        while not over.is_set() and done[kind] < rounds:
            with take():
                with guard:
                    inside[kind] += 1
                    done[kind] += 1
                    if inside["change"] > 1 or (inside["change"] and inside["search"]):
                        wrong.append(dict(inside))
                with guard:
                    inside[kind] -= 1

    threads = [threading.Thread(target=work, args=("search", lock.search, 10**9)) for _ in range(4)]
    changer = threading.Thread(target=work, args=("change", lock.change, 300))
    for thread in (*threads, changer):
        thread.start()
    changer.join(60)
    over.set()
    for thread in threads:
        thread.join(WAIT)
    assert done["change"] == 300, "searches starved the changes"
    assert done["search"] > 300, "changes starved the searches"
    assert wrong == []


def test_a_failure_inside_lets_go() -> None:
    lock = FairLock()
    for take in (lock.search, lock.change):
        with pytest.raises(ZeroDivisionError), take():
            _ = 1 / 0
    with lock.change():
        pass
    with lock.search():
        assert lock.contended
