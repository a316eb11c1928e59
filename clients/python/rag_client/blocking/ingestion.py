"""IngestionService for the sync client."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rag_client import requests
from rag_client.blocking.sender import BlockingSender
from rag_client.errors import RagClientError
from rag_client.streaming.blocking import BlockingIngest
from rag_client.streaming.packing import Packer
from rag_client.streaming.policy import Backoff, IngestPolicy, may_resend
from rag_client.streaming.window import IngestWindow

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

    from rag_client.models import Deleted, Document, DocumentRef, IngestItem, IngestResult, Updated


class IngestionCalls(BlockingSender):
    """Stores, changes and removes documents."""

    def ingest_document(
        self,
        document: Document,
        *,
        collection: str = "",
        expected_revision: int | None = None,
        timeout: float | None = None,
    ) -> IngestResult:
        """Store one document, replacing the one with its doc_id."""
        call = requests.ingest_document(document, collection=collection, expected_revision=expected_revision)
        return self._send(call, timeout)

    def ingest_documents(
        self,
        items: Iterable[Document | IngestItem],
        *,
        collection: str = "",
        timeout: float | None = None,
    ) -> list[IngestResult]:
        """Store several documents in one call; each succeeds or fails by itself."""
        return self._send(requests.ingest_documents(items, collection=collection), timeout)

    def ingest_stream(
        self,
        documents: Iterable[Document | IngestItem],
        *,
        collection: str = "",
        policy: IngestPolicy | None = None,
        timeout: float | None = None,
    ) -> Generator[IngestResult]:
        """Store any number of documents, and yield one result for each, in their order.

        `documents` is read in a thread of its own, some messages ahead of the results: take results, or
        nothing moves. What a server that drains, restarts or is overloaded did not answer is sent again, as
        `policy` says. An error of `documents` itself is raised when all before it is answered; an error that
        sending again cannot mend ends the stream, and what was not yielded may or may not have been stored.
        `timeout` holds for one connection's stream.
        """
        policy = policy or IngestPolicy()
        limits = self._limits(policy)
        window = IngestWindow(policy, limits=limits, collection=collection)
        open_stream = self._bound("StreamIngestDocuments", timeout)
        yield from BlockingIngest(documents, Packer(policy, limits), window, open_stream).results()

    def update_metadata(
        self,
        doc_id: str,
        metadata: Mapping[str, Any],
        *,
        collection: str = "",
        expected_revision: int | None = None,
        replace: bool = False,
        timeout: float | None = None,
    ) -> Updated:
        """Merge into a document's metadata as RFC 7396 says (None removes a key), or replace it."""
        call = requests.update_metadata(
            doc_id,
            metadata,
            collection=collection,
            expected_revision=expected_revision,
            replace=replace,
        )
        return self._send(call, timeout)

    def delete_documents(
        self,
        documents: Iterable[str | DocumentRef] = (),
        *,
        collection: str = "",
        filter: str = "",  # noqa: A002 - the contract's word
        all: bool = False,  # noqa: A002 - the contract's word
        validate_only: bool = False,
        timeout: float | None = None,
    ) -> Deleted:
        """Remove documents by id, by filter, or all; `validate_only` counts them and removes none.

        Not retried: a deletion by filter or of all, sent again, also removes what came in between.
        """
        call = requests.delete_documents(
            documents, collection=collection, filter=filter, all=all, validate_only=validate_only
        )
        return self._send(call, timeout)

    def _limits(self, policy: IngestPolicy) -> Mapping[str, int]:
        """Read the server's limits, as patiently as the stream that is to follow."""
        backoff = Backoff(policy)
        while True:
            try:
                return self._send(requests.get_server_info(), None).limits
            except RagClientError as error:
                pause = backoff.pause_after(error) if may_resend(error) else None
                if pause is None:
                    raise
                time.sleep(pause)
