"""The collector looks less often, and not at what stays."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from rag_grpc.garbage import YOUNG, collect_less_often, no_collection, set_aside_what_stays


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


def test_the_thresholds_are_raised() -> None:
    collect_less_often()
    assert gc.get_threshold()[0] == YOUNG


def test_nothing_is_collected_where_that_is_asked_for_and_then_as_before() -> None:
    with no_collection():
        assert not gc.isenabled()
        with no_collection():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_what_stays_is_set_aside_and_garbage_is_not() -> None:
    class Cycle:
        def __init__(self) -> None:
            self.itself = self

    Cycle()
    set_aside_what_stays()
    assert gc.get_freeze_count() > 0
    gc.unfreeze()
    assert not [each for each in gc.get_objects() if type(each) is Cycle]
