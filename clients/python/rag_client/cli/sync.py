"""`ragctl ingest --sync`: what vanished from a folder is deleted from the server.

Deleting is what cannot be taken back, so a document goes only where all of this holds:

- its metadata say that ragctl put it there, from a file of this source that lay below one of the PATHS, under
  the same --prefix: whatever else is in the collection, also under the same ids, is none of our business;
- this run has read all PATHS to the end, and met neither the document nor anything unreadable in its place: a
  file that is broken today, or a folder that cannot be listed, keeps what came from it;
- it has still the revision that was listed;
- something was read from its PATH at all. An empty folder is more often a disk that is not mounted than a
  wish, so there somebody says yes.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from rag_client.cli.files import Place
from rag_client.cli.options import confirm
from rag_client.cli.reading import FACTS
from rag_client.errors import RevisionMismatchError
from rag_client.models import DocumentRef, IngestResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from rag_client import RagClient
    from rag_client.cli.files import Unread
    from rag_client.models import Document

PAGE = 1000
SLICE = 1000
"""Documents that are deleted in one call, and so in one step of the server, which holds other writes up."""


class Sync:
    """Notes what a run meets in the places that it covers, and then tells what is gone from there."""

    def __init__(self, places: Mapping[str, Place], *, prefix: str = "") -> None:
        """`places` are those of the PATHS, by the PATHS as they were given."""
        self._places = places
        self._prefix = prefix
        self._met: set[str] = set()
        self._alive: set[str] = set()
        self._kept: set[Place] = set()

    def passing(self, documents: Iterable[Document]) -> Iterator[Document]:
        """Note documents on their way to the server."""
        for document in documents:
            self._met.add(document.doc_id)
            if place := _place(document.metadata, self._prefix):
                self._alive.update(self._over(place))
            yield document

    def unread(self, unread: Unread) -> None:
        """Note what could not be read: what came from there stays."""
        if unread.place:
            self._kept.add(unread.place)

    def vanished(self, stored: Iterable[Document]) -> tuple[list[DocumentRef], dict[str, int]]:
        """Return what is gone, and how much of it is of each PATH from which nothing was read."""
        gone: list[DocumentRef] = []
        doubtful: dict[str, int] = {}
        for document in stored:
            place = _place(document.metadata, self._prefix)
            if place is None or document.doc_id in self._met or self._is_kept(place):
                continue
            if over := self._over(place):
                gone.append(DocumentRef(document.doc_id, document.revision))
                if not self._alive.intersection(over):
                    doubtful[over[0]] = doubtful.get(over[0], 0) + 1
        return gone, doubtful

    def _over(self, place: Place) -> list[str]:
        return [given for given, each in self._places.items() if each.holds(place)]

    def _is_kept(self, place: Place) -> bool:
        parts = place.path.split("/")
        above = ("/".join(parts[:count]) for count in range(1, len(parts) + 1))
        return any(Place(place.source, path) in self._kept for path in (".", *above))


def delete_vanished(
    client: RagClient, sync: Sync, result: Callable[[IngestResult], None], *, collection: str, yes: bool
) -> None:
    """Delete what vanished, and report each document; ask first where a PATH has come to nothing."""
    gone, doubtful = sync.vanished(client.iter_documents(collection=collection, page_size=PAGE))
    if doubtful and not yes:
        named = ", ".join(f"{given} ({count})" for given, count in doubtful.items())
        confirm(f"Nothing was read from {named}: delete the documents that came from there?")
    rest = iter(gone)
    while part := list(islice(rest, SLICE)):
        try:
            client.delete_documents(part, collection=collection)
        except RevisionMismatchError:  # then none of them was removed
            for each in part:
                result(_deleted_alone(client, each, collection))
        else:
            for each in part:
                result(IngestResult(each.doc_id, "deleted"))


def _deleted_alone(client: RagClient, document: DocumentRef, collection: str) -> IngestResult:
    try:
        client.delete_documents([document], collection=collection)
    except RevisionMismatchError as error:  # somebody has just written it
        return IngestResult(document.doc_id, "failed", error=error)
    return IngestResult(document.doc_id, "deleted")


def _place(metadata: Mapping[str, Any], prefix: str) -> Place | None:
    """Return where a document came from; None where that was not ragctl under this prefix."""
    facts = metadata.get(FACTS)
    if not isinstance(facts, dict) or facts.get("prefix", "") != prefix:
        return None
    source, path = facts.get("source"), facts.get("path")
    return Place(source, path) if isinstance(source, str) and isinstance(path, str) else None
