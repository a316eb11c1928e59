"""`ragctl query`: the best chunks for a text, for a vector, or like a document."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rag_client.cli import query_options as knobs
from rag_client.cli.options import DEFAULT_SERVER, CollectionName, Json, Server, Timeout, connect
from rag_client.cli.output import Output, one_line
from rag_client.cli.passages import shortened, whole

if TYPE_CHECKING:
    from rag_client.queries import Hit, QueryResult, ScoreParts

STAGES = ("embed", "filter", "dense", "lexical", "fuse", "rerank", "fetch")
"""In the order in which a query goes through them."""

INDENT = "   "


def query(
    text: knobs.Text = "",
    *,
    like: knobs.Like = "",
    vector_file: knobs.VectorFile = None,
    collection: CollectionName = "",
    top_k: knobs.TopK = 0,
    offset: knobs.Offset = 0,
    mode: knobs.Mode = None,
    filter: knobs.Filter = "",  # noqa: A002 - the contract's word
    min_score: knobs.MinScore = None,
    max_hits_per_document: knobs.PerDocument = 0,
    dense_weight: knobs.DenseWeight = None,
    rank_constant: knobs.RankConstant = 0,
    rerank: knobs.Reranker = None,
    diversity: knobs.Diversity = None,
    model: knobs.Model = "",
    candidates: knobs.Candidates = 0,
    ef: knobs.Ef = 0,
    exact: knobs.Exact = False,
    omit: knobs.Omit = None,
    metadata_keys: knobs.MetadataKeys = None,
    include_vectors: knobs.IncludeVectors = False,
    highlight: knobs.Highlight = False,
    explain: knobs.Explain = False,
    full: knobs.Full = False,
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Find the best chunks for TEXT, for a vector from --vector-file, or like a document (--like)."""
    fields = knobs.asked(dict(locals()))  # the parameters, each under the name that it has above
    with connect(server, timeout) as client:
        if json:
            Output(as_json=True).json(client.query(**fields))
            return
        client.ping()  # opens the connection, so that the time shown is the query's
        begin = time.perf_counter()
        result = client.query(**fields)
        _show(Output(as_json=False), result, offset, time.perf_counter() - begin, full=full)


def _show(output: Output, result: QueryResult, offset: int, seconds: float, *, full: bool) -> None:
    for rank, hit in enumerate(result.hits, offset + 1):
        _show_hit(output, rank, hit, full=full)
        if hit.parts is not None:
            output.line(INDENT + explained(hit.parts), style="dim")
    plan = result.plan
    how = f"{plan.mode}, {plan.strategy}"
    if plan.matching_chunks is not None:
        how += f", {plan.matching_chunks:,} chunks pass the filter"
    line = (
        f"{len(result.hits)} {'hit' if len(result.hits) == 1 else 'hits'} in {seconds * 1000:.1f} ms ({how})"
    )
    if plan.stages:
        order = sorted(plan.stages, key=lambda name: STAGES.index(name) if name in STAGES else len(STAGES))
        line += ": " + ", ".join(f"{name} {plan.stages[name] * 1000:.2f} ms" for name in order)
    output.line(line, style="dim")


def _show_hit(output: Output, rank: int, hit: Hit, *, full: bool) -> None:
    place = f"{hit.doc_id}  #{hit.chunk.ordinal}"
    if hit.chunk.start is not None:
        place += f"  {hit.chunk.start}-{hit.chunk.end}"
    output.line(f"{rank}. {hit.score:.4f}  {place}", style="bold")
    repeated = hit.chunk.headings[:1] == (hit.title,)  # a Markdown document is titled by its first heading
    under = " > ".join(part for part in (hit.title, *hit.chunk.headings[repeated:]) if part)
    if under:
        output.line(INDENT + one_line(under), style="cyan")
    if hit.chunk.text:  # it may have been left out
        output.passage((whole if full else shortened)(hit.chunk.text, hit.highlights), INDENT)


def explained(parts: ScoreParts) -> str:
    """Say what each search had to say of a hit."""
    said = [
        _side("dense", parts.dense, parts.dense_rank),
        _side("lexical", parts.lexical, parts.lexical_rank),
        _side("re-ranked", parts.rerank, None),
    ]
    return ", ".join(filter(None, said)) or "no search explains this hit"


def _side(name: str, score: float | None, rank: int | None) -> str:
    if score is None and rank is None:
        return ""
    shown = name if score is None else f"{name} {score:.4g}"
    return shown if rank is None else f"{shown} (rank {rank})"
