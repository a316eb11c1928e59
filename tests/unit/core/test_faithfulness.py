"""Faithfulness: sentences of answers weighed against their contexts, in turns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from rag_grpc.core.answers import Statement, Support
from rag_grpc.core.errors import LimitExceeded, ModelUnavailable, NotConfigured
from rag_grpc.core.faithfulness import (
    SENTENCES_A_TURN,
    AnswerWithContext,
    FaithfulnessEvaluation,
    FaithfulnessReport,
)
from rag_grpc.core.judging import Judging
from rag_grpc.core.models import TextSpan
from rag_grpc.core.precedence import Precedence
from rag_grpc.core.quality import Origin
from rag_grpc.core.quality_records import QualityRecords
from rag_grpc.stores.memory import MemoryStore
from tests.contracts.fakes import JsonCodec, Records, WordJudge

MOST = 10_000


class Board:
    """Keeps what is posted."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, str, dict[str, float], Origin]] = []

    def post(
        self, collection: str, kind: str, scores: Mapping[str, float], origin: Origin, time: int
    ) -> None:
        self.posted.append((collection, kind, dict(scores), origin))


class CountedTurns(Precedence):
    turns = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        self.turns += 1
        async with super().turn():
            yield


class House:
    """An evaluation with the judge "words", and "away", which never answers."""

    def __init__(self) -> None:
        self.judge, self.board, self.precedence = WordJudge(), Board(), CountedTurns(longest_wait=60)
        self.store = MemoryStore(codec=JsonCodec())
        self.judging = Judging({"words": self.judge, "away": Away("away")}, Records())
        records = QualityRecords(scoreboard=self.board, log=self.store.quality, telemetry=Records())
        self.evaluation = FaithfulnessEvaluation(
            judging=self.judging, precedence=self.precedence, records=records
        )

    async def weigh(
        self, *answers: AnswerWithContext, judge: str = "", most: int = MOST
    ) -> FaithfulnessReport:
        return await self.evaluation.evaluate(answers, judge=judge, most_sentences=most)


class Away(WordJudge):
    def weigh(self, statements: object) -> list[Support]:
        raise ModelUnavailable("it is away")


@pytest.fixture
async def house() -> AsyncIterator[House]:
    made = House()
    await made.store.open()
    yield made
    await made.judging.close()
    await made.store.close()


async def test_an_answer_is_the_mean_of_its_sentences(house: House) -> None:
    report = await house.weigh(
        AnswerWithContext("ships sail . whales sing .", ["no", "ships sail . . ."], "What?"),
        AnswerWithContext("whales", ["Whales", "whales"]),
    )
    assert report.judge == "words"
    first, second = report.results
    assert first.sentences == (
        (TextSpan(0, 12), Support(1.0, 1)),
        (TextSpan(13, 26), Support(1 / 3, 1)),
    )
    assert first.value == pytest.approx(2 / 3)
    assert second.sentences == ((TextSpan(0, 6), Support(1.0, 0)),)
    ((collection, kind, scores, origin),) = house.board.posted
    assert (collection, kind, origin) == ("", "faithfulness", Origin.EVALUATION)
    assert scores == {"faithfulness": pytest.approx(5 / 6)}


async def test_offsets_are_code_points_and_citations_are_not_judged(house: House) -> None:
    answer = "\U0001f433 whales sing [1]. They do.[2][3]"
    report = await house.weigh(AnswerWithContext(answer, ["c"], "Do they?", "en"))
    spans = [span for span, _ in report.results[0].sentences]
    assert [answer[span.start : span.end] for span in spans] == [
        "\U0001f433 whales sing [1].",
        "They do.[2][3]",
    ]
    (asked,) = house.judge.asked
    assert asked == (
        Statement("\U0001f433 whales sing.", ["c"], "Do they?", "en"),
        Statement("They do.", ["c"], "Do they?", "en"),
    )


async def test_too_many_sentences_are_refused_before_any_is_weighed(house: House) -> None:
    answers = [AnswerWithContext("One. Two. Three.", ["c"])] * 2
    with pytest.raises(LimitExceeded, match="have 6 sentences, and a response has room for 5") as caught:
        await house.weigh(*answers, most=5)
    assert caught.value.metadata["limit"] == "max_response_bytes"
    assert not house.judge.asked
    assert len((await house.weigh(*answers, most=6)).results) == 2


async def test_a_judge_that_is_not_there_or_away(house: House) -> None:
    answer = AnswerWithContext("One.", ["c"])
    with pytest.raises(NotConfigured, match="no judge 'clever'; it has: words, away"):
        await house.weigh(answer, judge="clever")
    with pytest.raises(ModelUnavailable):
        await house.weigh(answer, judge="away")
    assert house.board.posted == []


async def test_others_have_their_turns_between_the_batches_of_a_judge(house: House) -> None:
    house.judge.max_batch = 2
    await house.weigh(AnswerWithContext("One. " * 6, ["c"]))
    assert [len(each) for each in house.judge.asked] == [2, 2, 2]
    assert house.precedence.turns == 3


async def test_users_go_first(house: House) -> None:
    house.precedence.enter(1)
    sentences = 2 * SENTENCES_A_TURN + 1
    running = asyncio.create_task(house.weigh(AnswerWithContext("One. " * sentences, ["c"])))
    await asyncio.wait({running}, timeout=0.05)
    assert not house.judge.asked
    house.precedence.leave(1)
    assert len((await running).results[0].sentences) == sentences
    assert sum(map(len, house.judge.asked)) == sentences
