"""Options that several commands have, and what they open."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from rag_client import RagClient
from rag_client.channel import DEFAULT_TARGET

Server = Annotated[str, typer.Option("--server", envvar="RAG_SERVER", help="Where the server listens.")]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        envvar="RAG_TIMEOUT",
        min=0.001,
        help="Seconds that a call may take; each kind has its default.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text for people.")]
CollectionName = Annotated[
    str,
    typer.Option("--collection", "-c", help='The collection; "default" unless given.', show_default=False),
]

DEFAULT_SERVER = DEFAULT_TARGET


def confirm(question: str) -> None:
    """Ask before something is lost; anything but a yes ends the command."""
    if not sys.stdin.isatty():
        raise typer.BadParameter("nobody can be asked here: say --yes")
    typer.confirm(question, abort=True, err=True)


def connect(server: str, timeout: float | None) -> RagClient:
    """Return a client; the one place where ragctl learns about credentials."""
    return RagClient(server, timeout=timeout)
