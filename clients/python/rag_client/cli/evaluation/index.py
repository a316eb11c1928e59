"""`ragctl eval index`: how much the index misses of what comparing every vector finds."""

from __future__ import annotations

from typing import Annotated

import typer

from rag_client.cli.evaluation.floors import check_floors, parse_floors
from rag_client.cli.evaluation.options import FailUnder
from rag_client.cli.options import DEFAULT_SERVER, CollectionName, Json, Server, Timeout, connect
from rag_client.cli.output import Output, plain

SampleSize = Annotated[int, typer.Option(min=0, help="How many stored vectors are asked; 0 means 100.")]
Neighbours = Annotated[int, typer.Option("--top-k", "-k", min=0, help="For how many neighbours; 0 means 10.")]
Ef = Annotated[int, typer.Option(min=0, help="How hard the graph search tries; 0: the server's default.")]
MEASURES = ("recall", "recall_p5")


def index(
    *,
    collection: CollectionName = "",
    sample_size: SampleSize = 0,
    top_k: Neighbours = 0,
    ef: Ef = 0,
    fail_under: FailUnder = None,
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Ask stored vectors for their neighbours, by the index and by comparing all; the worst 5 % too."""
    floors = parse_floors(fail_under or (), MEASURES)
    output = Output(as_json=json)
    with connect(server, timeout) as client:
        measured = client.measure_index_recall(
            collection=collection, sample_size=sample_size, top_k=top_k, ef=ef
        )
    if json:
        output.json({"kind": "index", "collection": collection or "default", **plain(measured)})
    else:
        output.table(
            ["what", "value"],
            [
                ["recall", f"{measured.recall:.4f}"],
                ["95 of 100 reach", f"{measured.recall_p5:.4f}"],
                ["vectors asked", f"{measured.sample_size:,}"],
            ],
        )
    check_floors(output, {"recall": measured.recall, "recall_p5": measured.recall_p5}, floors)
