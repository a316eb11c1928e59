"""Options that several commands have, and what they open."""

from __future__ import annotations

import sys
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import grpc
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

Tls = Annotated[bool, typer.Option("--tls", envvar="RAG_TLS", help="Connect through TLS.")]
CaFile = Annotated[
    Path | None,
    typer.Option(
        "--ca-file",
        envvar="RAG_CA_FILE",
        exists=True,
        dir_okay=False,
        help="Certificates (PEM) that vouch for the server, instead of the system's; means --tls.",
        show_default=False,
    ),
]
ApiKey = Annotated[
    str,
    typer.Option(
        "--api-key",
        envvar="RAG_API_KEY",
        help='Sent as "authorization: Bearer ...". Other users see a command line: better the variable.',
        show_default=False,
    ),
]

DEFAULT_SERVER = DEFAULT_TARGET


@dataclass(frozen=True, slots=True)
class Credentials:
    """How the server is known, and how we are; the same for all that one command line does."""

    tls: bool = False
    ca_file: Path | None = None
    api_key: str = ""

    def channel(self) -> grpc.ChannelCredentials | None:
        """Return what gRPC opens the connection with; None for plain text."""
        if not self.tls and self.ca_file is None:
            return None
        return grpc.ssl_channel_credentials(self.ca_file.read_bytes() if self.ca_file else None)

    def metadata(self) -> list[tuple[str, str]]:
        """Return what goes with every call."""
        return [("authorization", f"Bearer {self.api_key}")] if self.api_key else []


credentials: ContextVar[Credentials] = ContextVar("credentials", default=Credentials())  # noqa: B039 - it is frozen
"""Set once, before the command runs: they stand before it, so that not every command has to hand them on."""


def confirm(question: str) -> None:
    """Ask before something is lost; anything but a yes ends the command."""
    if not sys.stdin.isatty():
        raise typer.BadParameter("nobody can be asked here: say --yes")
    typer.confirm(question, abort=True, err=True)


def connect(server: str, timeout: float | None) -> RagClient:
    """Return a client; the one place where ragctl uses credentials."""
    known = credentials.get()
    return RagClient(server, timeout=timeout, credentials=known.channel(), metadata=known.metadata())
