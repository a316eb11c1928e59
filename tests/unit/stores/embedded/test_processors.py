"""Work spread over threads that stay."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from rag_grpc.stores.embedded.processors import Processors
from rag_grpc.stores.embedded.vector_file import Rows

ROWS = np.arange(20, dtype=np.float32).reshape(10, 2)


@pytest.fixture
def three() -> Iterator[Processors]:
    processors = Processors(3)
    yield processors
    processors.close()


@pytest.mark.parametrize(("least", "sizes"), [(1, [4, 3, 3]), (5, [5, 5]), (6, [10]), (100, [10])])
def test_parts_are_as_large_as_they_must_be(three: Processors, least: int, sizes: list[int]) -> None:
    results = three.spread(lambda rows: rows.copy(), ROWS, least=least)
    assert [len(each) for each in results] == sizes
    np.testing.assert_array_equal(np.concatenate(results), ROWS)


def test_parts_are_worked_on_side_by_side(three: Processors) -> None:
    together = threading.Barrier(3, timeout=30)
    assert len(three.spread(lambda _: together.wait(), ROWS, least=1)) == 3


def test_what_fails_in_a_part_is_raised_when_all_are_done(three: Processors) -> None:
    done: list[int] = []

    def work(rows: Rows) -> None:
        if rows[0, 0] == 8:
            raise RuntimeError("no")
        done.append(len(rows))

    with pytest.raises(RuntimeError, match="no"):
        three.spread(work, ROWS, least=1)
    assert sorted(done) == [3, 4]


def test_work_goes_on_beside_the_callers() -> None:
    processors = Processors(2)
    begun, go_on = threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        assert go_on.wait(30)
        return threading.current_thread().name

    result = processors.beside(work)
    assert begun.wait(30)
    # The other processor is taken, so this is done by whoever wants it.
    assert processors.beside(lambda: threading.current_thread().name)() == threading.current_thread().name
    go_on.set()
    assert result().startswith("knn")
    processors.close()


def test_one_processor_does_one_thing_after_the_other() -> None:
    processors = Processors(1)
    assert processors.beside(lambda: threading.current_thread().name)() == threading.current_thread().name
    processors.close()
