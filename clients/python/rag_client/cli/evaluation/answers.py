"""`ragctl eval answers`: how far answers rest on what they were made from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

import typer

from rag_client.cli.evaluation.answer_files import Given, read_answers
from rag_client.cli.evaluation.answers_page import write_answers_report
from rag_client.cli.evaluation.answers_result import Answered, Weighed, percentile
from rag_client.cli.evaluation.bars import Counted
from rag_client.cli.evaluation.floors import check_floors, parse_floors
from rag_client.cli.evaluation.options import (
    Answers,
    AnswersLanguage,
    AnswersReport,
    FailUnder,
    Generator,
    Judge,
    SourceCount,
)
from rag_client.cli.options import DEFAULT_SERVER, CollectionName, Json, Server, Timeout, connect
from rag_client.cli.output import Output
from rag_client.evaluation import AnswerWithContext

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rag_client import RagClient

MEASURES = ("faithfulness", "faithfulness_p5", "answered")
AT_ONCE = 32
"""Answers of one request, if they are short."""
BYTES_AT_ONCE = 1 << 20


def answers(
    *,
    answers: Answers,
    judge: Judge = "",
    language: AnswersLanguage = "",
    collection: CollectionName = "",
    generator: Generator = "",
    top_k: SourceCount = 0,
    report: AnswersReport = None,
    fail_under: FailUnder = None,
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Weigh answers against their contexts; questions without an answer are put to the server first.

    Faithfulness is the mean over the answers. Where the server says that it found no answer there is nothing
    to weigh: "answered" is the share of questions for which it did.
    """
    floors = parse_floors(fail_under or (), MEASURES)
    output = Output(as_json=json)
    given = read_answers(answers)
    with connect(server, timeout) as client:
        asked = _Asked(collection, generator, top_k)
        answered = _weighed(client, output, list(_answered(client, output, given, asked)), judge, language)
    if report:
        write_answers_report(report, answered)
    if json:
        output.json(answered)
    else:
        _show(output, answered)
    check_floors(output, answered.scores, floors)


@dataclass(frozen=True, slots=True)
class _Asked:
    """How questions are asked."""

    collection: str
    generator: str
    top_k: int


def _answered(
    client: RagClient, output: Output, given: list[Given], asked: _Asked
) -> Iterator[tuple[Given, bool]]:
    """Give each answer, the server's where there was none, and whether it says anything."""
    questions = sum(1 for each in given if not each.answer)
    if not questions and (asked.collection or asked.generator or asked.top_k):
        raise typer.BadParameter("--collection, --generator and --top-k are for questions without an answer")
    with Counted(output, "asking questions", questions) as counted:
        done = 0
        for each in given:
            if each.answer:
                yield each, True
                continue
            answer = client.generate_answer(
                each.question, generator=asked.generator, collection=asked.collection, top_k=asked.top_k
            )
            done += 1
            counted.set(done)
            sources = tuple(hit.chunk.text for hit in answer.sources)
            yield replace(each, answer=answer.text, contexts=sources), answer.grounded and bool(sources)


def _weighed(
    client: RagClient, output: Output, given: list[tuple[Given, bool]], judge: str, language: str
) -> Answered:
    speaking = [each for each, said in given if said]
    weighed: list[Weighed] = []
    named = judge
    with Counted(output, "weighing answers", len(speaking)) as counted:
        for batch in _batches(speaking):
            messages = [
                AnswerWithContext(each.answer, each.contexts, each.question, language) for each in batch
            ]
            result = client.evaluate_faithfulness(messages, judge=judge)
            named = result.judge
            weighed += [
                Weighed(each.name, each.question, each.answer, each.contexts, one.faithfulness, one.sentences)
                for each, one in zip(batch, result.results, strict=True)
            ]
            counted.set(len(weighed))
    values = sorted(each.faithfulness for each in weighed)
    scores = {
        "faithfulness": sum(values) / len(values) if values else 0.0,
        "faithfulness_p5": percentile(values, 5),
        "answered": len(speaking) / len(given),
    }
    time = datetime.now(UTC).isoformat(timespec="seconds")
    unanswered = tuple(each.question for each, said in given if not said)
    return Answered(time, named, scores, tuple(weighed), unanswered)


def _batches(given: Iterable[Given]) -> Iterator[list[Given]]:
    """Cut into requests of so many answers, or of so many bytes."""
    left = iter(given)
    while batch := list(islice(left, AT_ONCE)):
        begin = size = 0
        for place, each in enumerate(batch):
            own = len(each.answer.encode()) + sum(len(text.encode()) for text in each.contexts)
            if size and size + own > BYTES_AT_ONCE:
                yield batch[begin:place]
                begin, size = place, 0
            size += own
        yield batch[begin:]


def _show(output: Output, answered: Answered) -> None:
    scores = answered.scores
    rows = [
        ["faithfulness", f"{scores['faithfulness']:.4f}"],
        ["95 of 100 reach", f"{scores['faithfulness_p5']:.4f}"],
        ["answers weighed", f"{len(answered.answers):,}"],
        ["judge", answered.judge],
    ]
    if answered.unanswered:
        rows.insert(2, ["answered", f"{scores['answered']:.4f}"])
    output.table(["what", "value"], rows)
