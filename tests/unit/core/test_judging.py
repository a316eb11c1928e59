"""Judging: turns, batches, and what is done with what judges say."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from rag_grpc.core.answers import Statement, Support
from rag_grpc.core.errors import ModelUnavailable, NotConfigured, NotReady
from rag_grpc.core.judging import Judging
from tests.contracts.fakes import Records, WordJudge


class GatedJudge(WordJudge):
    """Works only while its gate is open, and says when it has begun."""

    def __init__(self) -> None:
        super().__init__("gated")
        self.gate = threading.Event()
        self.begun = threading.Event()

    def weigh(self, statements: Sequence[Statement]) -> list[Support]:
        self.begun.set()
        assert self.gate.wait(10)
        return super().weigh(statements)


class BrokenJudge(WordJudge):
    """Fails in a way of its own for each text."""

    def weigh(self, statements: Sequence[Statement]) -> list[Support]:
        supports = super().weigh(statements)
        match statements[0].text:
            case "down":
                raise ModelUnavailable("it is away")
            case "bug":
                raise KeyError("bug")
            case "short":
                return supports[1:]
            case text:
                return [WRONG.get(text, each) for each in supports]


WRONG: dict[str, Any] = {
    "nothing": None,
    "nan": Support(float("nan")),
    "much": Support(1.01),
    "little": Support(-0.01),
    "beyond": Support(1.0, 2),
}


def of(text: str, count: int = 1) -> list[Statement]:
    return [Statement(text, ("one two", "fine word")) for _ in range(count)]


@pytest.fixture
def gated() -> GatedJudge:
    return GatedJudge()


@pytest.fixture
async def judging(gated: GatedJudge) -> AsyncIterator[Judging]:
    made = Judging({"words": WordJudge(), "gated": gated, "broken": BrokenJudge("broken")}, Records())
    yield made
    gated.gate.set()
    await made.close()


async def test_statements_are_weighed_in_batches_in_their_order() -> None:
    judge, records = WordJudge(), Records()
    judging = Judging({"words": judge}, records)
    statements = [
        Statement(f"word{number} a b", (f"word{number}", "a b")[: number % 3]) for number in range(10)
    ]
    expected = WordJudge().weigh(statements)
    assert await judging.weigh("words", statements) == expected
    assert await judging.weigh("", statements) == expected
    assert await judging.weigh("", []) == []
    assert [len(batch) for batch in judge.asked] == [4, 4, 2] * 2
    assert records.batches == [("judge", 4), ("judge", 4), ("judge", 2)] * 2
    assert records.stages == ["judge"] * 6
    await judging.close()


async def test_callers_take_turns_batch_by_batch_and_who_left_costs_one_at_most(
    judging: Judging, gated: GatedJudge
) -> None:
    first = asyncio.create_task(judging.weigh("gated", of("first", 12)))
    second = asyncio.create_task(judging.weigh("gated", of("second", 12)))
    third = asyncio.create_task(judging.weigh("gated", of("third", 12)))
    fourth = asyncio.create_task(judging.weigh("gated", of("fourth", 1)))
    assert await asyncio.to_thread(gated.begun.wait, 10)
    first.cancel()
    second.cancel()
    gated.gate.set()
    assert len(await third) == 12
    assert len(await fourth) == 1
    assert [batch[0].text for batch in gated.asked] == ["first", "third", "fourth", "third", "third"]


async def test_other_judges_do_not_wait(judging: Judging, gated: GatedJudge) -> None:
    waiting = asyncio.create_task(judging.weigh("gated", of("text")))
    assert len(await judging.weigh("words", of("text"))) == 1
    assert not waiting.done()
    gated.gate.set()
    await waiting


@pytest.mark.parametrize("text", ["down", "bug", "short", "nothing", "nan", "much", "little", "beyond"])
async def test_a_judge_that_fails_is_unavailable_and_the_next_caller_works(
    judging: Judging, text: str
) -> None:
    with pytest.raises(ModelUnavailable):
        await judging.weigh("broken", of(text, 2))
    assert await judging.weigh("broken", of("fine word")) == [Support(1.0, 1)]


async def test_a_judge_that_is_not_there_is_not_configured(judging: Judging) -> None:
    with pytest.raises(NotConfigured, match=r"no judge 'other'; it has: words, gated, broken"):
        judging.named("other")
    assert (judging.named(""), judging.named("gated")) == ("words", "gated")
    none = Judging({}, Records())
    for name in ("", "words"):
        with pytest.raises(NotConfigured, match="has no judge"):
            none.named(name)


async def test_after_closing_nothing_is_weighed(gated: GatedJudge) -> None:
    judging = Judging({"gated": gated}, Records())
    reading = asyncio.create_task(judging.weigh("gated", of("text")))
    waiting = asyncio.create_task(judging.weigh("gated", of("text")))
    assert await asyncio.to_thread(gated.begun.wait, 10)
    closing = asyncio.create_task(judging.close())
    gated.gate.set()
    await closing
    assert len(await reading) == 1
    with pytest.raises(NotReady):
        await waiting
