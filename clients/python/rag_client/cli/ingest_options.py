"""The options of `ragctl ingest`, which are many: their help stands here, what they do next door."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from rag_client.cli.files import is_pattern

Paths = Annotated[list[str], typer.Argument(help="Files, folders and globs.", metavar="PATHS...")]
Create = Annotated[bool, typer.Option("--create", help="Create the collection if it is not there.")]
Language = Annotated[str, typer.Option(help="With --create: its language, ISO 639-1.")]
Prefix = Annotated[str, typer.Option(help="Put this in front of every document's id.")]
Root = Annotated[
    Path, typer.Option(help="Ids are paths relative to this folder.", show_default="the current folder")
]
SourceName = Annotated[
    str,
    typer.Option(
        "--source",
        help="What file.source is called in metadata.",
        show_default="the folder that ids begin at",
    ),
]
Batch = Annotated[int, typer.Option(min=1, help="Documents in one message.")]
Syncing = Annotated[
    bool, typer.Option("--sync", help="Delete what an earlier ingest of PATHS stored and is gone from there.")
]
Yes = Annotated[
    bool, typer.Option("--yes", "-y", help="With --sync: do not ask where a PATH is empty or missing.")
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Read everything, send nothing; with --sync, compare with the server."),
]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a command line asks for. Raises BadParameter where it contradicts itself."""

    paths: tuple[str, ...]
    collection: str
    create: bool
    language: str
    prefix: str
    root: Path
    source: str
    batch: int
    sync: bool
    yes: bool
    dry_run: bool

    def __post_init__(self) -> None:
        """Refuse options that mean nothing without others: whoever gave them meant something."""
        if self.create and not self.collection:
            raise typer.BadParameter("--create needs a --collection")
        if self.language and not self.create:
            raise typer.BadParameter("--language is for --create")
        if self.yes and not self.sync:
            raise typer.BadParameter("--yes is for --sync")
        # What a pattern matched last time nobody knows, so nobody can say what is gone.
        if self.sync and (patterns := [path for path in self.paths if is_pattern(path)]):
            raise typer.BadParameter(f"--sync takes files and folders, not the pattern {patterns[0]}")
