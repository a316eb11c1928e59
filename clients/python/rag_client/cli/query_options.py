"""What `ragctl query` can be told, option by option, and the query that comes of it.

Each knob of the contract's QueryRequest is one type here, so that a command that searches lists them as its
parameters, a line each, and says nothing of help texts and bounds.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from rag_client.queries import Fusion, QueryFields, Rerank

Text = Annotated[str, typer.Argument(help="What to look for.", show_default=False)]
Like = Annotated[
    str, typer.Option("--like", metavar="DOC_ID", help="More like this document.", show_default=False)
]
VectorFile = Annotated[
    Path | None, typer.Option(help='A file with a JSON list of numbers to look for; "-" is stdin.')
]
TopK = Annotated[int, typer.Option("--top-k", "-k", min=0, help="How many hits; 0 means 10.")]
Offset = Annotated[int, typer.Option(min=0, help="Hits to pass over.")]
Mode = Annotated[
    Literal["dense", "lexical", "hybrid"] | None,
    typer.Option(help="By meaning, by words, or by both; the server's choice unless given."),
]
Filter = Annotated[
    str,
    typer.Option(
        "--filter",
        "-f",
        help="Which documents may be found: 'lang = \"en\" AND year >= 2020'.",
        show_default=False,
    ),
]
MinScore = Annotated[float | None, typer.Option(help="Leave out hits of a lower score.")]
PerDocument = Annotated[
    int, typer.Option("--max-hits-per-document", min=0, help="At most so many of one document; 0: no bound.")
]
DenseWeight = Annotated[
    float | None, typer.Option(min=0, max=1, help="Hybrid: weight of meaning; words have the rest.")
]
RankConstant = Annotated[int, typer.Option(min=0, help="Hybrid: the constant of rank fusion; 0 means 10.")]
Reranker = Annotated[
    Literal["mmr", "cross-encoder"] | None,
    typer.Option("--rerank", help="Look at the best again: for variety, or with one of the server's models."),
]
Diversity = Annotated[
    float | None, typer.Option(min=0, max=1, help="--rerank mmr: 0 only nearness, 1 only variety.")
]
Model = Annotated[
    str, typer.Option(help="--rerank cross-encoder: which model; the server's default unless given.")
]
Candidates = Annotated[
    int, typer.Option(min=0, help="--rerank: how many are looked at; 0 means four times --top-k.")
]
Ef = Annotated[
    int, typer.Option(min=0, help="How hard the graph search tries; 0 means the server's default.")
]
Exact = Annotated[bool, typer.Option("--exact", help="Compare every vector.")]
Omit = Annotated[
    list[str] | None, typer.Option(help="Leave text, title or metadata out of the hits; may be repeated.")
]
MetadataKeys = Annotated[
    list[str] | None, typer.Option("--metadata-key", help="Only this metadata key; may be repeated.")
]
IncludeVectors = Annotated[bool, typer.Option("--include-vectors", help="Add embeddings; with --json.")]
Highlight = Annotated[bool, typer.Option("--highlight", help="Mark the words of the query.")]
Explain = Annotated[bool, typer.Option("--explain", help="Say where scores and time come from.")]
Full = Annotated[bool, typer.Option("--full", help="Show the whole text of each hit.")]

_AS_THEY_ARE = (
    "collection",
    "top_k",
    "offset",
    "mode",
    "filter",
    "min_score",
    "max_hits_per_document",
    "ef",
    "exact",
    "omit",
    "metadata_keys",
    "include_vectors",
    "highlight",
    "explain",
)
"""Parameters of the command that are fields of a query under the same name."""


def asked(given: dict[str, Any]) -> QueryFields:
    """Return the query that a command's parameters, by name, ask for. What is not given is not set."""
    if not (given["text"] or given["like"] or given["vector_file"]):
        raise typer.BadParameter("give a TEXT, a --vector-file, or a document by --like")
    fields: dict[str, Any] = {name: given[name] for name in _AS_THEY_ARE}
    fields |= {
        "query": given["text"],
        "doc_id": given["like"],
        "vector": _vector(given["vector_file"]) if given["vector_file"] else None,
        "fusion": _fusion(given),
        "rerank": reranking(given),
    }
    query: Any = {name: value for name, value in fields.items() if value not in ("", None)}
    asked_for: QueryFields = query
    return asked_for


def how_asked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return how queries shall be asked that bring their texts themselves. What is not given is not set."""
    fields: dict[str, Any] = {
        "mode": given["mode"],
        "filter": given["filter"] or None,
        "min_score": given["min_score"],
        "fusion": _fusion(given),
        "rerank": reranking(given),
        "ef": given["ef"] or None,
        "exact": given["exact"] or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _fusion(given: Mapping[str, Any]) -> Fusion | None:
    fusion = Fusion(dense_weight=given["dense_weight"], rank_constant=given["rank_constant"])
    return None if fusion == Fusion() else fusion


def reranking(given: Mapping[str, Any]) -> Rerank | None:
    """Return how hits shall be looked at again, or None. Raises BadParameter for details of no method."""
    words = {name: given[name] for name in ("diversity", "model", "candidates")}
    if given["rerank"]:
        return Rerank(given["rerank"].replace("-", "_"), **words)
    if any(value not in ("", 0, None) for value in words.values()):
        raise typer.BadParameter("--diversity, --model and --candidates need a --rerank")
    return None


def _vector(path: Path) -> list[float]:
    content = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    try:
        return [float(number) for number in json.loads(content)]
    except (ValueError, TypeError):
        raise typer.BadParameter(
            f"{path} is not a JSON list of numbers", param_hint="--vector-file"
        ) from None
