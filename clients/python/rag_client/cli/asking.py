"""`ragctl ask`: an answer as it is written, with its sources below."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag_client.answers import Answer
from rag_client.cli import query_options as knobs
from rag_client.cli.options import DEFAULT_SERVER, CollectionName, Json, Server, Timeout, connect
from rag_client.cli.output import Output, one_line, printable
from rag_client.cli.passages import shortened, whole

if TYPE_CHECKING:
    from rag_client.queries import Hit

Question = Annotated[str, typer.Argument(help="What to answer from the documents.")]
Sources = Annotated[
    int, typer.Option("--top-k", "-k", min=0, help="How many sources the answer may use; 0 means 5.")
]
Generator = Annotated[
    str, typer.Option(help="Which of the server's generators; its default unless given.", show_default=False)
]
MaxTokens = Annotated[
    int, typer.Option("--max-output-tokens", min=0, help="Tokens of the answer; 0: no bound.")
]
Temperature = Annotated[
    float | None, typer.Option(min=0, max=2, help="0 is as repeatable as the generator can be.")
]
Instructions = Annotated[
    str, typer.Option(help="How to write, for generators that run a model.", show_default=False)
]
Full = Annotated[bool, typer.Option("--full", help="Show the whole text of each source.")]

INDENT = "    "


def ask(
    question: Question,
    *,
    collection: CollectionName = "",
    top_k: Sources = 0,
    mode: knobs.Mode = None,
    filter: knobs.Filter = "",  # noqa: A002 - the contract's word
    max_hits_per_document: knobs.PerDocument = 0,
    rerank: knobs.Reranker = None,
    diversity: knobs.Diversity = None,
    model: knobs.Model = "",
    candidates: knobs.Candidates = 0,
    generator: Generator = "",
    max_output_tokens: MaxTokens = 0,
    temperature: Temperature = None,
    instructions: Instructions = "",
    full: Full = False,
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Answer QUESTION from the documents, and show the passages that the answer cites."""
    retrieval: dict[str, Any] = {
        "collection": collection,
        "top_k": top_k,
        "mode": mode,
        "filter": filter,
        "max_hits_per_document": max_hits_per_document,
        "rerank": knobs.reranking(
            {"rerank": rerank, "diversity": diversity, "model": model, "candidates": candidates}
        ),
    }
    options: dict[str, Any] = {
        "generator": generator,
        "max_output_tokens": max_output_tokens,
        "temperature": temperature,
        "instructions": instructions,
        **{name: value for name, value in retrieval.items() if value},
    }
    output = Output(as_json=json)
    with connect(server, timeout) as client:
        if json:
            output.json(client.generate_answer(question, **options))
            return
        with closing(client.stream_answer(question, **options)) as events:  # type: ignore[type-var]  # it is a generator
            answer = _read(output, events)
    _show_sources(output, answer, full=full)


def _read(output: Output, events: Any) -> Answer:
    """Show text as it comes, where somebody watches; return the answer, which is what holds in the end.

    In a pipe the checked text is written alone: nobody could take back there what was not grounded.
    """
    watched, written = output.console.is_terminal, ""
    for event in events:
        if isinstance(event, Answer):
            if watched and written.strip() == event.text:
                output.line()
            else:
                if written and watched:
                    output.line()
                    output.line(
                        "Checked against the sources, that is not what holds. The answer is:", style="yellow"
                    )
                output.line(event.text)
            return event
        if isinstance(event, str):
            written += event
            if watched:
                sys.stdout.write(printable(event))
                sys.stdout.flush()
    raise ValueError("the server ended without an answer")


def _show_sources(output: Output, answer: Answer, *, full: bool) -> None:
    cited = {number for claim in answer.claims for number in claim.sources}
    if answer.sources:
        output.line()
    for number, hit in enumerate(answer.sources, 1):
        if number in cited:
            _show_source(output, number, hit, full=full)
    support = max((claim.support for claim in answer.claims), default=0.0)
    said = f"support {support:.2f}" if answer.grounded else "not grounded"
    line = f"{answer.generator}: {said}; {len(cited)} of {len(answer.sources)} sources cited"
    if answer.finish_reason == "length":
        line += "; cut at --max-output-tokens"
    if answer.output_tokens:
        line += f"; {answer.input_tokens:,} tokens read, {answer.output_tokens:,} written"
    output.line(line, style="dim")


def _show_source(output: Output, number: int, hit: Hit, *, full: bool) -> None:
    repeated = hit.chunk.headings[:1] == (hit.title,)  # a Markdown document is titled by its first heading
    under = " > ".join(part for part in (hit.title, *hit.chunk.headings[repeated:]) if part)
    place = f"[{number}] {hit.doc_id}  #{hit.chunk.ordinal}"
    output.line(f"{place}  {one_line(under)}" if under else place, style="bold")
    output.passage((whole if full else shortened)(hit.chunk.text, ()), INDENT)
