"""The page of a run: whole by itself, and safe whatever texts are in it."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from rag_client.cli.evaluation.comparison import better_or_worse, change, changes_by_query
from rag_client.cli.evaluation.markup import Markup, joined, tag
from rag_client.cli.evaluation.plots import BARS, Line, Times, histogram, lines_by_cutoff
from rag_client.cli.evaluation.report_page import page
from rag_client.cli.evaluation.results import AT_CUTOFF, Earlier, QueryOutcome, Retrieved
from rag_client.cli.evaluation.shown_documents import FOUND_SHOWN, WORST, Shown, worst_queries

HOSTILE = "<script>alert(1)</script>\"'&<img src=http://example.com/x onerror=alert(2)>\u202e"
CUTOFFS = (1, 10)
SCORES = {f"{name}@{k}": 0.5 for name in AT_CUTOFF for k in CUTOFFS} | {"map": 0.25}


def outcome(number: int, **changes: object) -> QueryOutcome:
    made = QueryOutcome(
        f"q{number}", f"query {number}", {"d1": 1, "d2": 2}, 0.01 * number, 0.5, 0.001, ("d3", "d1")
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def run(*queries: QueryOutcome) -> Retrieved:
    return Retrieved(
        time="2026-01-02T03:04:05+00:00",
        about={"collection": "c", "documents": 5, "chunks": 9, "server": "1"},
        asked={"mode": "lexical"},
        cutoffs=CUTOFFS,
        scores=SCORES,
        latency_p50=0.001,
        latency_p99=0.02,
        queries=queries or tuple(outcome(number) for number in range(40)),
    )


class Reader(HTMLParser):
    """Checks that elements are closed in order, and keeps what there is."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(name)
        self.attributes += [(key, value or "") for key, value in attributes]
        if name != "meta":
            self.open.append(name)

    def handle_startendtag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(name)
        self.attributes += [(key, value or "") for key, value in attributes]

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name


def read(markup: str) -> Reader:
    reader = Reader()
    reader.feed(markup)
    reader.close()
    assert not reader.open
    return reader


def test_the_page_needs_nothing_else() -> None:
    made = read(page(run(), None, {}))
    assert not made.tags & {"script", "img", "link", "iframe", "object", "form"}
    names = {name for name, _ in made.attributes}
    assert not [name for name in names if name.startswith("on") or name in ("src", "style")]
    assert all(value.startswith("#") for name, value in made.attributes if name == "href")
    assert any("default-src 'none'" in value for name, value in made.attributes if name == "content")
    assert "url(" not in page(run(), None, {})


def test_texts_from_anywhere_are_texts() -> None:
    hostile = outcome(1, query_id=HOSTILE, text=HOSTILE, doc_ids=(HOSTILE,), relevance={HOSTILE: 1})
    retrieved = replace(run(hostile), about={**run().about, "collection": HOSTILE, HOSTILE: HOSTILE})
    earlier = Earlier(HOSTILE, SCORES, 0.1, 0.2, {HOSTILE: 0.9})
    text = page(retrieved, earlier, {HOSTILE: Shown(HOSTILE, HOSTILE)})
    made = read(text)
    assert not made.tags & {"script", "img"}
    assert "\u202e" not in text
    assert "&lt;script&gt;" in text


def test_the_worst_queries_are_shown_with_what_they_found_and_missed() -> None:
    shown = {"d1": Shown("The first", "It begins"), "d3": Shown("", "It is short")}
    retrieved = run(*(outcome(number) for number in range(40)), outcome(99, ndcg=1.0))
    worst = worst_queries(retrieved)
    assert [each.query_id for each in worst] == [f"q{number}" for number in range(WORST)]
    text = page(retrieved, None, shown)
    assert text.count("<details>") == WORST
    assert 'The first</span><span class="soft"> at rank 2' in text
    assert 'd2</span><span class="soft"> not in the collection, grade 2' in text
    assert "It is short" in text


def test_a_perfect_run_has_no_worst_queries() -> None:
    assert "Every query found all" in page(run(outcome(1, ndcg=1.0)), None, {})


def test_long_lists_are_cut() -> None:
    many = outcome(1, doc_ids=tuple(f"x{n}" for n in range(50)), relevance={f"r{n}": 1 for n in range(50)})
    text = page(run(many), None, {})
    assert f"x{FOUND_SHOWN - 1}<" in text
    assert f"x{FOUND_SHOWN}<" not in text
    assert "and 30 more" in text


def test_changes_are_named_query_by_query() -> None:
    then = {"q1": 0.5, "q2": 0.0, "q3": 0.03}
    earlier = Earlier("2026-01-01T00:00:00+00:00", {**SCORES, "map": 0.5}, 0.002, 0.01, then)
    retrieved = run(outcome(1), outcome(2), outcome(3), outcome(4))
    assert better_or_worse(retrieved, earlier) == (1, 1, 1)
    assert [(each.query_id, ndcg) for each, ndcg in changes_by_query(retrieved, earlier)] == [
        ("q1", 0.5),
        ("q2", 0.0),
    ]
    text = page(retrieved, earlier, {})
    assert "Of 3 queries that both runs asked, 1 are better by nDCG, 1 are worse, 1 are the same." in text
    assert "compared with 2026-01-01 00:00 UTC" in text
    assert change(-0.25) in text
    assert change(-1.0, "{:+.1f} ms", larger_is_better=False) in text
    assert "line then" in text


def test_an_earlier_run_with_other_cutoffs_compares_where_it_can() -> None:
    earlier = Earlier("long ago", {"map": 0.5, "recall@10": 0.25}, 0.002, 0.01, {})
    text = page(run(), earlier, {})
    assert "compared with long ago" in text
    assert text.count("change better") >= 2


@pytest.mark.parametrize("seconds", [[0.001], [0.001] * 5, [0.0, 10.0], [0.0132, 0.038, 0.02]])
def test_every_time_has_its_bar(seconds: list[float]) -> None:
    times = Times(seconds)
    assert sum(times.counts) == len(seconds)
    assert len(times.counts) == BARS
    assert times.ticks()
    drawing = histogram("t", seconds, [("median", seconds[0]), ("p99", max(seconds))])
    made = read(drawing)
    places = [float(value) for name, value in made.attributes if name in ("x", "x1", "x2")]
    assert all(0 <= place <= 360 for place in places)


def test_a_line_has_a_point_for_each_value_that_there_is() -> None:
    drawing = lines_by_cutoff("t", [1, 5, 10], [Line("now", "now", [0.1, None, 1.0])])
    assert drawing.count("<circle") == 2
    assert "now: 0.1000" in drawing


def test_markup_is_safe_by_construction() -> None:
    assert tag("p", "<b>", class_='a"b') == '<p class="a&quot;b">&lt;b&gt;</p>'
    assert tag("p", tag("b", "x"), None, 5, hidden=True, title=None) == '<p hidden=""><b>x</b>5</p>'
    assert joined([Markup("<i></i>"), "\x00\x1b"]) == "<i></i>\ufffd\ufffd"
    assert re.fullmatch(r'<circle cx="1.5" aria-label="x"/>', tag("circle", cx=1.5, aria_label="x"))
