"""`ragctl query`: the best chunks for a text or a vector."""

from __future__ import annotations

import json as json_module
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag_client.cli.options import DEFAULT_SERVER, CollectionName, Json, Server, Timeout, connect
from rag_client.cli.output import Output, one_line

if TYPE_CHECKING:
    from rag_client.queries import Hit, QueryResult

SHORT = 240
"""Characters of a hit's text that are shown unless --full."""

STAGES = ("embed", "filter", "dense", "lexical", "fuse", "rerank", "fetch")
"""In the order in which a query goes through them."""


def query(
    text: Annotated[str, typer.Argument(help="What to look for.")] = "",
    *,
    collection: CollectionName = "",
    top_k: Annotated[int, typer.Option("--top-k", "-k", min=0, help="How many hits; 0 means 10.")] = 0,
    offset: Annotated[int, typer.Option(min=0, help="Hits to pass over.")] = 0,
    min_score: Annotated[float | None, typer.Option(help="Leave out hits of a lower score.")] = None,
    mode: Annotated[
        str, typer.Option(help="dense, lexical or hybrid; the server's choice unless given.")
    ] = "",
    filter: Annotated[str, typer.Option(help="Which documents may be found.")] = "",  # noqa: A002 - the contract's word
    vector_file: Annotated[
        Path | None, typer.Option(help='A file with a JSON list of numbers to look for; "-" is stdin.')
    ] = None,
    ef: Annotated[int, typer.Option(min=0, help="How hard the graph search tries.")] = 0,
    exact: Annotated[bool, typer.Option("--exact", help="Compare every vector.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Say where scores and time come from.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Show the whole text of each hit.")] = False,
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Find the best chunks for TEXT, or for a vector from --vector-file."""
    if not text and vector_file is None:
        raise typer.BadParameter("give a TEXT or a --vector-file")
    given: dict[str, Any] = {
        "collection": collection,
        "top_k": top_k,
        "offset": offset,
        "min_score": min_score,
        "mode": mode,
        "filter": filter,
        "vector": _vector(vector_file) if vector_file else None,
        "ef": ef,
        "exact": exact,
        "explain": explain,
    }
    options = {name: value for name, value in given.items() if value not in ("", None)}
    output = Output(as_json=json)
    with connect(server, timeout) as client:
        if not json:
            client.ping()  # opens the connection, so that the time shown is the query's
        begin = time.perf_counter()
        result = client.query(text, **options)
        seconds = time.perf_counter() - begin
    if json:
        output.json(result)
        return
    for rank, hit in enumerate(result.hits, offset + 1):
        _show(output, rank, hit, full=full)
    _show_plan(output, result, seconds)


def _vector(path: Path) -> list[float]:
    content = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    try:
        return [float(number) for number in json_module.loads(content)]
    except (ValueError, TypeError):
        raise typer.BadParameter(
            f"{path} is not a JSON list of numbers", param_hint="--vector-file"
        ) from None


def _show(output: Output, rank: int, hit: Hit, *, full: bool) -> None:
    place = f"{hit.doc_id}  #{hit.chunk.ordinal}"
    if hit.chunk.start is not None:
        place += f"  {hit.chunk.start}-{hit.chunk.end}"
    output.line(f"{rank}. {hit.score:.4f}  {place}", style="bold")
    repeated = hit.chunk.headings[:1] == (hit.title,)  # a Markdown document is titled by its first heading
    under = " > ".join(part for part in (hit.title, *hit.chunk.headings[repeated:]) if part)
    if under:
        output.line(f"   {one_line(under)}", style="cyan")
    text = hit.chunk.text if full else textwrap.shorten(hit.chunk.text, SHORT, placeholder=" ...")
    output.line(textwrap.indent(text, "   "))
    if hit.parts is not None:
        names = ("dense", "dense_rank", "lexical", "lexical_rank", "rerank")
        parts = [(name, getattr(hit.parts, name)) for name in names]
        shown = [f"{name} {value:.4g}" for name, value in parts if value is not None]
        output.line("   " + ", ".join(shown), style="dim")


def _show_plan(output: Output, result: QueryResult, seconds: float) -> None:
    plan = result.plan
    hits = f"{len(result.hits)} {'hit' if len(result.hits) == 1 else 'hits'}"
    line = f"{hits} in {seconds * 1000:.1f} ms ({plan.mode}, {plan.strategy})"
    if plan.stages:
        order = sorted(plan.stages, key=lambda name: STAGES.index(name) if name in STAGES else len(STAGES))
        line += ": " + ", ".join(f"{name} {plan.stages[name] * 1000:.2f} ms" for name in order)
    output.line(line, style="dim")
