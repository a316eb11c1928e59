"""`ragctl ingest --sync --dry-run`: what would become of each document, by a look at what is stored.

The server alone decides what is unchanged; this compares what can be read back, which are text, title, media
type and metadata. The vectors of documents that bring their own are not compared, only their number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rag_client.errors import CollectionNotFoundError, DocumentNotFoundError, InvalidArgumentError
from rag_client.models import IngestResult
from rag_client.structs import from_struct, to_struct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rag_client import RagClient
    from rag_client.cli.sync import Sync
    from rag_client.models import Document

PAGE = 1000


def rehearse(
    client: RagClient,
    documents: Iterable[Document],
    sync: Sync,
    result: Callable[[IngestResult], None],
    *,
    collection: str,
    create: bool,
) -> None:
    """Report what would become of each document, and which would be deleted.

    Raises CollectionNotFoundError, unless the run would `create` the collection.
    """
    if not _is_there(client, collection, create=create):
        for document in documents:
            result(IngestResult(document.doc_id, "created"))
        return
    for document in documents:
        try:
            result(IngestResult(document.doc_id, _status(client, document, collection)))
        except ValueError as error:  # a number that no double holds, say
            result(IngestResult(document.doc_id, "failed", error=InvalidArgumentError(str(error))))
    gone, _ = sync.vanished(client.iter_documents(collection=collection, page_size=PAGE))
    for each in gone:
        result(IngestResult(each.doc_id, "deleted"))


def _is_there(client: RagClient, collection: str, *, create: bool) -> bool:
    try:
        client.get_collection(collection)
    except CollectionNotFoundError:
        if not create:
            raise
        return False
    return True


def _status(client: RagClient, document: Document, collection: str) -> str:
    sent = _seen(document)  # first of all, for it may be what cannot be sent
    try:
        stored = client.get_document(document.doc_id, collection=collection)
    except DocumentNotFoundError:
        return "created"
    return "unchanged" if _seen(stored) == sent and _chunks_may_be_same(document, stored) else "replaced"


def _seen(document: Document) -> tuple[Any, ...]:
    there = {key: value for key, value in document.metadata.items() if value is not None}
    metadata = from_struct(to_struct(there))
    return document.text, document.title, document.media_type or "text/plain", metadata


def _chunks_may_be_same(document: Document, stored: Document) -> bool:
    return not document.chunks or len(document.chunks) == stored.chunk_count
