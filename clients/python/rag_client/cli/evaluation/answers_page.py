"""The page of weighed answers: how faithful they are, and those that are least, sentence by sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag_client.cli.evaluation.html_page import html_page, table_of, wide_cell
from rag_client.cli.evaluation.markup import Markup, joined, tag
from rag_client.cli.evaluation.plots import shares
from rag_client.cli.evaluation.results import shown_time

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rag_client.cli.evaluation.answers_result import Answered, Weighed
    from rag_client.evaluation import SentenceSupport

LEAST = 25
"""Answers that are shown, the least faithful ones."""
CONTEXT_CHARACTERS = 600
WEAK, STRONG = 0.5, 0.8
"""Below the one a sentence is marked as unsupported, from the other on as supported; between, as doubtful."""


def write_answers_report(path: Path, answered: Answered) -> None:
    """Write the page."""
    path.write_text(answers_page(answered), encoding="utf-8")


def answers_page(answered: Answered) -> str:
    """Make the page."""
    count = len(answered.answers)
    lead = tag(
        "p", f"{count:,} answers, judged by {answered.judge}, {shown_time(answered.time)}", class_="soft"
    )
    sections = [("figures", "Figures", _figures(answered)), ("least", "Least supported", _least(answered))]
    if answered.unanswered:
        rows = [[wide_cell(each)] for each in answered.unanswered]
        table = table_of(["question"], rows, "Questions without an answer")
        sections.append(("unanswered", "Not answered", table))
    note = "A sentence's support is what the judge says; see the server's docs for what it can see."
    return html_page("Faithfulness of answers", lead, sections, note)


def _figures(answered: Answered) -> Markup:
    scores = answered.scores
    cards = [
        tag("div", tag("dt", label), tag("dd", value))
        for label, value in (
            ("faithfulness", f"{scores['faithfulness']:.4f}"),
            ("95 of 100 reach", f"{scores['faithfulness_p5']:.4f}"),
            ("answered", f"{scores['answered']:.4f}"),
        )
    ]
    plot = shares("Faithfulness of each answer", [each.faithfulness for each in answered.answers], "answer")
    return joined([tag("dl", *cards, class_="cards"), tag("div", plot, class_="plots")])


def _least(answered: Answered) -> Markup:
    least = sorted(answered.answers, key=lambda each: each.faithfulness)[:LEAST]
    words = "Sentences are marked by their support; open one to see what it should rest on."
    return joined([tag("p", words, class_="soft"), *(_answer(each) for each in least)])


def _answer(weighed: Weighed) -> Markup:
    summary = tag(
        "summary",
        tag("span", f"{weighed.faithfulness:.3f}", class_="score"),
        tag("span", weighed.question or weighed.answer[:200]),
    )
    contexts = [
        tag("li", each if len(each) <= CONTEXT_CHARACTERS else each[:CONTEXT_CHARACTERS] + " ...")
        for each in weighed.contexts
    ]
    inside = tag(
        "div",
        tag("h3", "Answer"),
        tag("p", *_marked(weighed)),
        tag("h3", "Contexts"),
        tag("ol", *contexts, class_="found"),
        class_="inside",
    )
    return tag("details", summary, inside)


def _marked(weighed: Weighed) -> Iterator[Markup]:
    """Give the answer's text, each sentence with its support in words and colour."""
    end = 0
    for sentence in weighed.sentences:
        yield joined([weighed.answer[end : sentence.start]])
        yield _sentence(weighed.answer[sentence.start : sentence.end], sentence)
        end = sentence.end
    yield joined([weighed.answer[end:]])


def _sentence(text: str, sentence: SentenceSupport) -> Markup:
    kind = (
        "supported"
        if sentence.support >= STRONG
        else "doubtful"
        if sentence.support >= WEAK
        else "unsupported"
    )
    note = tag("span", f" {sentence.support:.2f} by context {sentence.context_index + 1}", class_="soft")
    return joined([tag("mark", text, class_=kind), note])
