"""The commands of `ragctl eval`."""

from __future__ import annotations

import typer

from rag_client.cli.evaluation.answers import answers
from rag_client.cli.evaluation.index import index
from rag_client.cli.evaluation.retrieval import retrieval

app = typer.Typer(help="Measure hits, answers and the index.", no_args_is_help=True)
app.command("retrieval")(retrieval)
app.command("answers")(answers)
app.command("index")(index)
