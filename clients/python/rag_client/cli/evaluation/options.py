"""The options of `ragctl eval`, which are many: their help stands here, what they do next door."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_CUTOFFS = "1,3,5,10,100"

_EXISTING = {"exists": True, "dir_okay": False, "show_default": False}
Queries = Annotated[
    Path, typer.Option(help="Queries: BEIR's JSON lines, TREC's topics, or a table.", **_EXISTING)
]
Labels = Annotated[
    Path, typer.Option("--qrels", help="What they should find: BEIR's table or TREC's.", **_EXISTING)
]
Corpus = Annotated[
    Path | None,
    typer.Option(help="Documents for a collection of this run alone: JSON lines or TREC's.", **_EXISTING),
]
Keep = Annotated[bool, typer.Option("--keep", help="With --corpus: do not remove the collection at the end.")]
Language = Annotated[str, typer.Option(help="With --corpus: its language, ISO 639-1.", show_default=False)]
Embedder = Annotated[
    str, typer.Option(help="With --corpus: which of the server's embedders.", show_default=False)
]
Cutoffs = Annotated[str, typer.Option(help="How many hits are looked at, one after the other.")]
RunFile = Annotated[
    Path | None, typer.Option(help="Write what was found as a TREC run, for trec_eval.", show_default=False)
]
Report = Annotated[
    Path | None, typer.Option(help="Write a page with plots and the worst queries.", show_default=False)
]
Compare = Annotated[
    Path | None, typer.Option(help="What an earlier run printed with --json: show what changed.", **_EXISTING)
]
FailUnder = Annotated[
    list[str] | None,
    typer.Option(
        metavar="MEASURE=VALUE",
        help="Exit with 1 where a measure is below: ndcg@10=0.6, map=0.4; may be repeated.",
        show_default=False,
    ),
]

Answers = Annotated[
    Path,
    typer.Option(
        help='JSON lines: "answer" with "contexts", or "question" alone, which the server answers.',
        exists=True,
        dir_okay=False,
        show_default=False,
    ),
]
AnswersLanguage = Annotated[
    str,
    typer.Option("--language", help="Of the answers; the judge's own unless given.", show_default=False),
]
Judge = Annotated[str, typer.Option(help="Which of the server's judges; its default unless given.")]
Generator = Annotated[
    str, typer.Option(help="Which generator answers questions; the server's default unless given.")
]
SourceCount = Annotated[
    int, typer.Option("--top-k", "-k", min=0, help="For questions: sources of an answer; 0 means 5.")
]
AnswersReport = Annotated[
    Path | None, typer.Option("--report", help="Write a page with the least supported.", show_default=False)
]
