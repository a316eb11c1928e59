"""`ragctl get`, `list`, `count` and `delete`: documents by their ids and by filter."""

from __future__ import annotations

import json as json_module
from typing import Annotated, Any

import typer

from rag_client.cli.options import DEFAULT_SERVER, CollectionName, Json, Server, Timeout, confirm, connect
from rag_client.cli.output import Output, as_json

Filter = Annotated[str, typer.Option("--filter", help="Only documents that match it.", show_default=False)]


def get(
    doc_id: Annotated[str, typer.Argument(help="The document's id.")],
    *,
    collection: CollectionName = "",
    chunks: Annotated[bool, typer.Option("--chunks", help="Show its chunks instead of its text.")] = False,
    vectors: Annotated[
        bool, typer.Option("--vectors", help="With --chunks and --json: their vectors.")
    ] = False,
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Show a document. With --chunks and --json: its chunks as JSON lines."""
    output = Output(as_json=json)
    with connect(server, timeout) as client:
        if chunks:
            for chunk in client.iter_chunks(doc_id, collection=collection, include_vectors=vectors):
                if json:
                    output.json_line(chunk)
                else:
                    output.line(f"--- {chunk.ordinal}  {' > '.join(chunk.headings)}".rstrip(), style="bold")
                    output.line(chunk.text)
            return
        document = client.get_document(doc_id, collection=collection)
    if json:
        output.json(document)
        return
    output.line(document.title or document.doc_id, style="bold")
    facts = f"{document.doc_id}  revision {document.revision}  {document.chunk_count} chunks"
    output.line(f"{facts}  {document.update_time or ''}".rstrip(), style="dim")
    if document.metadata:
        output.line(as_json(document.metadata), style="dim")
    output.line()
    output.line(document.text)


def list_documents(
    *,
    collection: CollectionName = "",
    filter: Filter = "",  # noqa: A002 - the contract's word
    text: Annotated[bool, typer.Option("--text", help="With --json: the documents' texts too.")] = False,
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """List documents by id; with --json as JSON lines."""
    output = Output(as_json=json)
    with connect(server, timeout) as client:
        documents = client.iter_documents(collection=collection, filter=filter, include_text=text)
        if json:
            for document in documents:
                output.json_line(document)
            return
        output.table(
            ["doc_id", "chunks", "revision", "title"],
            ([each.doc_id, each.chunk_count, each.revision, each.title] for each in documents),
        )


def count(
    *,
    collection: CollectionName = "",
    filter: Filter = "",  # noqa: A002 - the contract's word
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Count documents."""
    output = Output(as_json=json)
    with connect(server, timeout) as client:
        counted = client.count_documents(collection=collection, filter=filter)
    if json:
        output.json({"count": counted})
    else:
        output.line(str(counted))


def update_metadata(
    doc_id: Annotated[str, typer.Argument(help="The document's id.")],
    changes: Annotated[list[str], typer.Argument(help="The changes.", metavar="KEY=VALUE...")],
    *,
    collection: CollectionName = "",
    replace: Annotated[bool, typer.Option("--replace", help="Keep no other key.")] = False,
    expected_revision: Annotated[
        int | None, typer.Option(min=0, help="Only if the document has this revision.")
    ] = None,
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Change a document's metadata; nothing is embedded again.

    A VALUE is JSON where it is that: 12, true, ["a", "b"], {"name": "me"}, "12" for the text 12. Anything
    else is the text itself. Objects are merged, and null removes a key.
    """
    metadata = _metadata(changes)
    output = Output(as_json=json)
    with connect(server, timeout) as client:
        updated = client.update_metadata(
            doc_id, metadata, collection=collection, replace=replace, expected_revision=expected_revision
        )
    if json:
        output.json(updated)
    else:
        output.line(f"{doc_id}  revision {updated.revision}")
        output.line(as_json(updated.metadata), style="dim")


def _metadata(changes: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for change in changes:
        key, equals, value = change.partition("=")
        if not (key and equals):
            raise typer.BadParameter(f"{change} is not KEY=VALUE", param_hint="KEY=VALUE")
        if key in found:
            raise typer.BadParameter(f"{key} stands twice", param_hint="KEY=VALUE")
        try:
            found[key] = json_module.loads(value, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            found[key] = value
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def delete(
    doc_ids: Annotated[list[str] | None, typer.Argument(help="The documents' ids.")] = None,
    *,
    collection: CollectionName = "",
    filter: Filter = "",  # noqa: A002 - the contract's word
    all: Annotated[  # noqa: A002 - the contract's word
        bool, typer.Option("--all", help="Every document of the collection.")
    ] = False,
    validate_only: Annotated[
        bool, typer.Option("--validate-only", help="Count what would be removed, and remove nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Remove documents: by ids, by --filter, or --all."""
    if sum((bool(doc_ids), bool(filter), all)) != 1:
        raise typer.BadParameter("name documents, or give --filter, or give --all: one of them")
    output = Output(as_json=json)
    with connect(server, timeout) as client:
        if not (doc_ids or yes or validate_only):
            would = client.delete_documents(collection=collection, filter=filter, all=all, validate_only=True)
            question = f"Remove {would.matched_count} documents of {collection or 'default'}?"
            confirm(question)
        gone = client.delete_documents(
            doc_ids or (), collection=collection, filter=filter, all=all, validate_only=validate_only
        )
    if json:
        output.json(gone)
    elif validate_only:
        output.line(f"{gone.matched_count} documents would be removed")
    else:
        output.line(f"{gone.deleted_count} documents removed")
