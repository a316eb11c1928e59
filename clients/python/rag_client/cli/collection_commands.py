"""`ragctl collections`: list, create, show and delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag_client.cli.exit_codes import ExitCode
from rag_client.cli.options import DEFAULT_SERVER, Json, Server, Timeout, confirm, connect
from rag_client.cli.output import Output
from rag_client.models import Chunking

if TYPE_CHECKING:
    from rag_client.models import Collection

app = typer.Typer(help="Make, show and remove collections.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The collection's name.")]


@app.command("list")
def list_collections(*, server: Server = DEFAULT_SERVER, timeout: Timeout = None, json: Json = False) -> None:
    """List collections; with --json as JSON lines."""
    output = Output(as_json=json)
    with connect(server, timeout) as client:
        if json:
            for collection in client.iter_collections():
                output.json_line(collection)
            return
        output.table(
            ["name", "documents", "chunks", "embedder", "metric", "language"],
            (
                [each.name, each.document_count, each.chunk_count, each.embedder, each.metric, each.language]
                for each in client.iter_collections()
            ),
        )


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help='The collection\'s name; "default" unless given.')] = "",
    *,
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Show one collection and its counts."""
    with connect(server, timeout) as client:
        _print(Output(as_json=json), client.get_collection(name))


@app.command("create")
def create(
    name: Name,
    *,
    embedder: Annotated[
        str, typer.Option(help='The server\'s default unless given; "none" for vectors.')
    ] = "",
    dimension: Annotated[
        int, typer.Option(min=0, help='Length of the vectors, with the embedder "none".')
    ] = 0,
    metric: Annotated[str, typer.Option(help="cosine, dot or euclidean.")] = "",
    language: Annotated[str, typer.Option(help="ISO 639-1 code, for the stemming of lexical search.")] = "",
    max_characters: Annotated[int, typer.Option(min=0, help="No chunk is longer.")] = 0,
    overlap_characters: Annotated[int, typer.Option(min=0, help="What the next chunk repeats.")] = 0,
    max_tokens: Annotated[int, typer.Option(min=0, help="Nor longer in the embedder's tokens.")] = 0,
    without_context: Annotated[
        bool, typer.Option("--without-context", help="Embed and index chunks without title and headings.")
    ] = False,
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Create a collection; one of the same configuration may exist already."""
    chunking = Chunking(max_characters, overlap_characters, max_tokens, without_context)
    arguments: dict[str, Any] = {"metric": metric or None}
    with connect(server, timeout) as client:
        made = client.create_collection(
            name,
            embedder=embedder,
            dimension=dimension,
            chunking=chunking if chunking != Chunking() else None,
            language=language,
            **arguments,
        )
        _print(Output(as_json=json), made)


@app.command("delete")
def delete(
    name: Name,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Remove a collection with all that is in it."""
    output = Output(as_json=json)
    with connect(server, timeout) as client:
        if not yes:
            count = client.get_collection(name).document_count
            confirm(f"Remove collection {name} with {count} documents?")
        existed = client.delete_collection(name)
    if json:
        output.json({"name": name, "existed": existed})
    else:
        output.line(f"removed {name}" if existed else f"there is no collection {name}")
    if not existed:
        raise typer.Exit(ExitCode.NOT_FOUND)


def _print(output: Output, collection: Collection) -> None:
    if output.as_json:
        output.json(collection)
        return
    names = ("name", "embedder", "dimension", "metric", "language", "document_count", "chunk_count")
    output.table(
        ["what", "value"],
        [[name, getattr(collection, name) or ""] for name in (*names, "create_time", "uid")],
    )
