"""A collection for one evaluation: made from a corpus, and removed when it is over."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from rag_client import errors
from rag_client.cli.evaluation.bars import Counted
from rag_client.cli.evaluation.judged_sets import read_corpus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rag_client import RagClient
    from rag_client.cli.output import Output

MOST_NAMED = 20
"""Documents that could not be stored which are named one by one."""


class Scratch:
    """What was made: the collection's name, and how many documents were and were not stored."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.stored = 0
        self.failed = 0


@contextmanager
def scratch_collection(
    client: RagClient,
    output: Output,
    corpus: Path,
    *,
    name: str = "",
    keep: bool = False,
    language: str = "",
    embedder: str = "",
) -> Iterator[Scratch]:
    """Store a corpus in a new collection; it is removed at the end, however that comes, unless `keep`.

    Raises BadParameter where there is a collection of that name: what is in it is not ours to mix with.
    """
    scratch = Scratch(name or f"eval-{uuid.uuid4().hex[:12]}")
    if name and _exists(client, name):
        raise typer.BadParameter(
            f"collection {name} is there already: leave --corpus out to evaluate what is in it"
        )
    client.create_collection(scratch.name, language=language, embedder=embedder)
    try:
        _fill(client, output, corpus, scratch)
        yield scratch
    finally:
        if not keep:
            client.delete_collection(scratch.name)
    if keep:
        output.warn(f"kept collection {scratch.name}", style="")


def _exists(client: RagClient, name: str) -> bool:
    try:
        client.get_collection(name)
    except errors.CollectionNotFoundError:
        return False
    return True


def _fill(client: RagClient, output: Output, corpus: Path, scratch: Scratch) -> None:
    with Counted(output, "storing documents") as counted:
        for result in client.ingest_stream(read_corpus(corpus), collection=scratch.name):
            counted.set(scratch.stored + scratch.failed + 1)
            if result.error is None:
                scratch.stored += 1
                continue
            scratch.failed += 1
            if scratch.failed <= MOST_NAMED:
                output.warn(f"failed {result.doc_id}: {result.error}", style="red")
    if scratch.failed:
        output.warn(f"{scratch.failed:,} documents were not stored: scores are those without them")
