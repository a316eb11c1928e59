"""`ragctl reembed`: another embedder for a collection that goes on serving.

The server does the work and keeps what is done. So Ctrl-C only stops it, and the same command goes on later.
"""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rag_client.cli.options import DEFAULT_SERVER, Json, Server, Timeout, connect
from rag_client.cli.output import Output
from rag_client.models import ReembedProgress

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def reembed(
    name: Annotated[str, typer.Argument(help="The collection's name.")],
    embedder: Annotated[str, typer.Argument(help="Which of the server's embedders it shall use.")],
    *,
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Embed a collection again, with EMBEDDER, while it goes on serving.

    Ctrl-C stops it; the same command goes on where it was. With --json every step is a line.
    """
    output = Output(as_json=json)
    begin = time.monotonic()
    last = ReembedProgress(0, 0)
    with connect(server, timeout) as client, closing(client.reembed_collection(name, embedder)) as steps:
        try:
            for last in _shown(output, steps):
                if json:
                    output.json_line(last)
        except KeyboardInterrupt:
            output.warn(
                f"stopped at {last.done:,} of {last.total:,} chunks; the same command goes on from there"
            )
            raise
    if not json:
        seconds = time.monotonic() - begin
        output.line(f"{name} is embedded by {embedder}: {last.done:,} chunks in {seconds:.1f} s")


def _shown(output: Output, steps: Iterable[ReembedProgress]) -> Iterator[ReembedProgress]:
    """Pass the steps on, under a progress bar where somebody looks."""
    if not output.errors.is_terminal:
        yield from steps
        return
    columns = (TextColumn("embedding"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=output.errors, transient=True) as progress:
        task = progress.add_task("", total=None)
        for step in steps:
            progress.update(task, completed=step.done, total=step.total)
            yield step
