"""Measuring through both clients, against a server whose scores anybody can compute."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from clients.python.tests.scripted_server import Failure
from rag_client import AsyncRagClient, RagClient, errors
from rag_client.evaluation import (
    AnswerWithContext,
    CutoffScores,
    EvaluationProgress,
    Faithfulness,
    FaithfulnessReport,
    IndexRecall,
    LabelledQuery,
    QueryScores,
    RetrievalReport,
    SentenceSupport,
)
from rag_client.evaluation_requests import MESSAGE_BYTES, MESSAGE_QUERIES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from clients.python.tests.scripted_server import ScriptedServer

    Asks = Callable[..., Any]


def labelled(count: int, text: str = "why?") -> list[LabelledQuery]:
    return [LabelledQuery(f"q{number}", text, {"d": number}) for number in range(count)]


def test_a_run_yields_scores_progress_and_last_the_report(server: ScriptedServer, ask: Asks) -> None:
    events = ask("evaluate_retrieval", labelled(3), cutoffs=[10, 20], collection="c", mode="lexical")
    scores = [each for each in events if isinstance(each, QueryScores)]
    assert scores[2] == QueryScores("q2", 2.0, 0.4, ("d",), 0.003)
    assert EvaluationProgress(3, 3) in events
    assert events[-1] == RetrievalReport(
        query_count=3,
        cutoffs=(CutoffScores(10, 0.1, 0.2, 0.3, 0.4, 0.5),),
        mean_average_precision=0.5,
        latency_p50=0.003,
        latency_p99=1.5,
    )
    first = server.requests[0]
    assert (first.template.collection, list(first.cutoffs), len(first.queries)) == ("c", [10, 20], 0)
    assert first.template.mode == 2


def test_queries_are_sent_in_messages_of_a_size(server: ScriptedServer, ask: Asks) -> None:
    ask("evaluate_retrieval", labelled(2 * MESSAGE_QUERIES + 1))
    assert [len(each.queries) for each in server.requests] == [0, MESSAGE_QUERIES, MESSAGE_QUERIES, 1]
    server.requests.clear()
    ask("evaluate_retrieval", labelled(3, text="x" * (MESSAGE_BYTES // 2)))
    assert [len(each.queries) for each in server.requests] == [0, 2, 1]


def test_what_the_server_says_is_raised(server: ScriptedServer, ask: Asks) -> None:
    server.fail(
        "EvaluateRetrieval", Failure(grpc.StatusCode.NOT_FOUND, "COLLECTION_NOT_FOUND", "no such thing")
    )
    with pytest.raises(errors.CollectionNotFoundError, match="no such thing"):
        ask("evaluate_retrieval", labelled(500))


def test_what_the_callers_queries_raise_is_raised(ask: Asks) -> None:
    def breaking() -> Iterator[LabelledQuery]:
        yield from labelled(MESSAGE_QUERIES)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        ask("evaluate_retrieval", breaking())


def test_labels_that_no_message_can_hold_are_refused(ask: Asks) -> None:
    with pytest.raises((TypeError, ValueError)):
        ask("evaluate_retrieval", [LabelledQuery("q", "why?", {"d": -1})])
    with pytest.raises(TypeError, match="no option"):
        ask("evaluate_retrieval", labelled(1), colour="red")


def test_a_run_that_is_left_stops(server: ScriptedServer) -> None:
    def endless() -> Iterator[LabelledQuery]:
        yield from labelled(MESSAGE_QUERIES)
        server.left.wait(30)

    with RagClient(server.target) as client, closing(client.evaluate_retrieval(endless())) as events:
        assert next(iter(events))
    server.left.set()


def test_asyncio_takes_queries_that_come_later(server: ScriptedServer) -> None:
    async def later() -> AsyncIterator[LabelledQuery]:
        for each in labelled(3):
            await asyncio.sleep(0)
            yield each

    async def run() -> list[Any]:
        async with (
            AsyncRagClient(server.target) as client,
            aclosing(client.evaluate_retrieval(later())) as events,
        ):
            return [each async for each in events]

    assert asyncio.run(run())[-1].query_count == 3


def test_the_index(server: ScriptedServer, ask: Asks) -> None:
    found = ask("measure_index_recall", collection="c", sample_size=7, top_k=3, ef=50)
    assert found == IndexRecall(0.75, 0.5, 7)
    request = server.requests[-1]
    assert (request.collection, request.sample_size, request.top_k, request.ef) == ("c", 7, 3, 50)


def test_faithfulness(server: ScriptedServer, ask: Asks) -> None:
    answers = [AnswerWithContext("a", ["a", "b"], "why?"), AnswerWithContext("other", ["a"])]
    assert ask("evaluate_faithfulness", answers, judge="nli") == FaithfulnessReport(
        (
            Faithfulness(1.0, (SentenceSupport(0, 1, 1.0, 1),)),
            Faithfulness(0.25, (SentenceSupport(0, 5, 0.25, 0),)),
        ),
        "nli",
    )
    assert server.requests[-1].answers[0].question == "why?"
