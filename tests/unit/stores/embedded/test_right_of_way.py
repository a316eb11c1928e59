from __future__ import annotations

import threading
from time import perf_counter

from rag_grpc.stores.embedded.right_of_way import LEAST_WORK, LONGEST_STOP, ROWS_BETWEEN_LOOKS, RightOfWay


def test_nobody_stands_still_for_nothing() -> None:
    looks = 0

    def searching() -> bool:
        nonlocal looks
        looks += 1
        return False

    assert list(RightOfWay(searching).between(range(3 * ROWS_BETWEEN_LOOKS))) == [
        *range(3 * ROWS_BETWEEN_LOOKS)
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


def test_between_two_stops_there_is_work() -> None:
    right_of_way = RightOfWay(lambda: True)
    right_of_way.give()
    begin = perf_counter()
    for _ in range(100):
        right_of_way.give()
    taken = perf_counter() - begin
    assert taken < LEAST_WORK + 50 * LONGEST_STOP
