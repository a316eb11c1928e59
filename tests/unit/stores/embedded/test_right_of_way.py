from __future__ import annotations

import threading
from time import perf_counter

from rag_grpc.stores.embedded.right_of_way import LONGEST_STOP, ROWS_BETWEEN_STOPS, RightOfWay


def test_nobody_stands_still_for_nothing() -> None:
    looks = 0

    def searching() -> bool:
        nonlocal looks
        looks += 1
        return False

    assert list(RightOfWay(searching).between(range(3 * ROWS_BETWEEN_STOPS))) == [
        *range(3 * ROWS_BETWEEN_STOPS)
    ]
    assert looks == 3


def test_a_search_that_ends_lets_the_other_go_on() -> None:
    under_way = threading.Event()
    under_way.set()
    timer = threading.Timer(LONGEST_STOP / 4, under_way.clear)
    timer.start()
    RightOfWay(under_way.is_set).give()
    assert not under_way.is_set()
    timer.join()


def test_searches_without_an_end_keep_nobody_for_ever() -> None:
    begin = perf_counter()
    RightOfWay(lambda: True).give()
    assert perf_counter() - begin >= LONGEST_STOP
