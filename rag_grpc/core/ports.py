"""What the core asks of the outside: small Protocols, one a role.

Their docstrings are normative. Each "must" has a test in tests/contracts, which
every adapter runs. A promise holds for every adapter unless it is marked
*(embedded)*: then only the embedded store makes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from rag_grpc.core.answers import Answer
from rag_grpc.core.errors import RagError
from rag_grpc.core.filters import Filter
from rag_grpc.core.models import (
    Chunk,
    Collection,
    CollectionCounts,
    CollectionSpec,
    Document,
    DocumentMatch,
    MetadataDict,
    Outcome,
    Write,
)
from rag_grpc.core.quality import Origin, QualityLog
from rag_grpc.core.searches import Search, SearchResult, WordCounts
from rag_grpc.core.shadow import ShadowStore
from rag_grpc.core.store_state import StoreStats, StoreStatus


@dataclass(frozen=True, slots=True)
class ChunkPage:
    """Some chunks of a document in order of ordinal, and whether more follow."""

    chunks: tuple[Chunk, ...]
    revision: int
    more: bool


@dataclass(frozen=True, slots=True)
class DocumentPage:
    """Some documents in order of doc_id by UTF-8 bytes, and whether more follow."""

    documents: tuple[Document, ...]
    more: bool


class MetadataCodec(Protocol):
    """Turns metadata into the edge's own bytes and back.

    `unpack(pack(metadata))` must equal `metadata`. Both must be callable from any thread.
    """

    def pack(self, metadata: MetadataDict) -> bytes:
        """Pack metadata that holds no null on its top level and no number that is not finite."""

    def unpack(self, packed: bytes) -> MetadataDict:
        """Take packed metadata apart."""


class HitCodec(Protocol):
    """Turns what a hit says, but for its score, into the edge's own bytes and back.

    `unpack(pack(...))` must give what was packed, the chunk without its vector. What is packed must not be
    empty, nor end with a zero byte. Both must be callable from any thread.
    """

    def pack(self, doc_id: str, chunk: Chunk, title: str, packed_metadata: bytes | None) -> bytes:
        """Pack a hit. Where it has no text, title and metadata, stores keep it."""

    def unpack(self, packed: bytes) -> tuple[str, Chunk, str, bytes | None]:
        """Take a packed hit apart."""


class Telemetry(Protocol):
    """Takes what the service measures of itself. Every method must be cheap and callable from any thread."""

    def stage(self, name: str, seconds: float) -> None:
        """Record how long a stage of a write or a query took."""

    def batch(self, kind: str, size: int) -> None:
        """Record how many items were worked on together: "write", "search", "embed", "rerank", "judge"."""

    def turned_away(self, reason: str) -> None:
        """Count a call or an item that was refused for want of room or readiness."""

    def event(self, name: str) -> None:
        """Count something rare that an operator may want to alert on, such as "graph_rebuilt"."""

    def answered(self, answer: Answer, *, removed_citations: int) -> None:
        """Count an answer, whether it is grounded, its tokens, and citations of what was no source."""


class Scoreboard(Protocol):
    """Shows what was measured of quality last. Must be cheap; called on the event loop."""

    def post(
        self, collection: str, kind: str, scores: Mapping[str, float], origin: Origin, time: int
    ) -> None:
        """Show the scores of one measuring, by measure, in place of those that it had before.

        `kind` is what was measured: "retrieval", "index", "faithfulness". `collection` is "" for what has
        none. `time` is in nanoseconds since 1970.
        """


class Store(ShadowStore, Protocol):
    """Keeps collections, documents, chunks and embeddings, and finds chunks by nearness.

    **Order and visibility.** Writes are applied in the order of `submit`. A search or read that begins
    after a write's future was resolved must see it, whole. No search or read may see a part of a write:
    it sees one version of each document, with that version's chunks and metadata, and nothing else.

    **Durability** *(embedded)*. When the future of a write is resolved, it is on disk (fsync) and survives
    the process being killed at any moment.

    **Revisions.** Every change of a document gives it a number larger than any that its doc_id ever had,
    also across deletion.

    **Collections.** `Collection` values are looked up by name once a call and handed to the other methods.
    Where that collection has been removed since, a method must raise CollectionNotFound, even if another
    one of the same name was made.

    **Embedders.** A collection's embedder changes by `Shadow.swap` alone. Where it has changed since, a dense
    search and a PutDocument must raise EmbedderChanged: their vectors were made by the old one. Everything
    else goes on.

    **State.** Before `open` has returned, and after `close` was called, every other method but `status`,
    `subscribe` and `stats` must raise NotReady. Everything is called on one event loop, save where a
    docstring says otherwise.
    """

    @property
    def name(self) -> str:
        """What GetServerInfo calls it."""

    @property
    def quality(self) -> QualityLog:
        """What was measured of its answers, kept where the documents are."""

    async def open(self) -> None:
        """Load what is there, until every method can be served. The collection "default" is NOT made here."""

    async def close(self) -> None:
        """Finish the writes that were submitted, keep all that is worth keeping, release everything."""

    def status(self) -> StoreStatus:
        """What works now."""

    def subscribe(self, listener: Callable[[StoreStatus], None]) -> None:
        """Call `listener` on the event loop after each change of `status`."""

    def stats(self) -> StoreStats:
        """Counts for dashboards; must be cheap, and callable from any thread."""

    # -- collections

    async def create_collection(self, spec: CollectionSpec, fingerprint: str) -> Collection:
        """Make a collection; every part of `spec` is set, `dimension` included.

        Must raise CollectionExists where one of that name is there: comparing is the core's work.
        """

    def collection(self, name: str) -> Collection:
        """Look a collection up. Must not block. Must raise CollectionNotFound."""

    def counts(self, collection: Collection) -> CollectionCounts:
        """How much is in it. Must not block."""

    def collections(self) -> list[Collection]:
        """All collections, by name. Must not block."""

    async def delete_collection(self, collection: Collection) -> None:
        """Remove it and all that is in it. Writes to it that wait are failed with CollectionNotFound."""

    # -- writes

    def submit(self, write: Write) -> asyncio.Future[Outcome]:
        """Take a write into the queue, now, without waiting; the future is its outcome.

        Each kind of write must be answered by its kind of outcome. Must raise through the future:
        RevisionMismatch where an expected revision does not hold (a PutDocument of the content that is
        stored is UNCHANGED all the same, and a PatchMetadata that changes nothing succeeds: whoever sends a
        write again must not be told that it failed), DocumentNotFound (PatchMetadata), CollectionNotFound,
        EmbedderChanged (PutDocument), LimitExceeded (a PatchMetadata whose result is too long), StorageFull,
        NotReady. After any of these nothing was written.

        A PutDocument is decided by its hashes: `content_hash` equal to the stored one is UNCHANGED;
        `embedding_key` alone equal replaces text, title and metadata and keeps chunks and vectors;
        neither replaces all, and without vectors is VectorsNeeded.

        Cancelling the future withdraws a write that was not begun; one that was begun completes.
        """

    # -- reads

    async def search(self, searches: Sequence[Search]) -> list[SearchResult | RagError]:
        """Answer searches, each by itself, in their order: a failure of one is its result.

        Hits stand in the order in which `select` put them. A store may make PackedHits where `select` is a
        DenseSelection, and `packed` or no part is asked for: they must be the same hits.
        It may answer AlikeSearches as one. `dense.exact` must compare every vector.
        Dense scores are those of the collection's metric: see Metric. Candidates of each side stand by
        score, larger first, then by chunk id, and every one of them passes the search's filter.
        """

    async def word_counts(self, collection: Collection, terms: Sequence[str]) -> WordCounts:
        """Count the chunks in which each of `terms`, as the analyzer gives them, stands: 0 for nowhere.

        For weights alone: what was written since the last lexical search may be missing, and what was
        removed may count on for a while. Must raise WordsNotReady while the words cannot be read.
        """

    async def index_recall(
        self, collection: Collection, places: Sequence[float], *, top_k: int, ef: int
    ) -> list[float]:
        """Say for some of the stored chunks what share of their true neighbours a search finds.

        Each place, from 0 to below 1, stands for the chunk that lies so far along the living ones, by chunk
        id. Its neighbours are the `top_k` others whose vectors score best against its own; a search of
        breadth `ef` (0: the store's default) is held against comparing every vector of the same moment. What
        scores as well as the last of the true ones is a hit, whichever of several equals it is. The share is
        1 where a chunk has no others, and always 1 where every search is exact. Empty without chunks.
        """

    async def embedding_key(self, collection: Collection, doc_id: str) -> bytes | None:
        """The stored document's embedding key, None where there is no document."""

    async def documents(
        self, collection: Collection, doc_ids: Sequence[str], *, include_text: bool
    ) -> list[Document | None]:
        """Read documents by id, None for those that are not there, all of one moment."""

    async def list_documents(
        self,
        collection: Collection,
        *,
        after: str | None,
        limit: int,
        include_text: bool,
        max_bytes: int,
        filter: Filter | None = None,  # noqa: A002 - the contract's word
    ) -> DocumentPage:
        """Read up to `limit` documents that pass `filter` and whose ids follow `after`, by UTF-8 bytes.

        A page ends early, though not before its first document, where texts, titles and metadata would
        exceed `max_bytes`. What passes a filter is what `filters.matches` says, here and everywhere.
        """

    async def count_documents(self, collection: Collection, filter: Filter | None) -> int:  # noqa: A002
        """Count the documents that pass; with None all of them."""

    async def list_chunks(
        self,
        collection: Collection,
        doc_id: str,
        *,
        first: int,
        limit: int,
        include_vectors: bool,
        max_bytes: int,
    ) -> ChunkPage:
        """Read up to `limit` chunks from ordinal `first` on, with the revision they are of.

        Ends early as list_documents does. Must raise DocumentNotFound.
        """

    async def matches(self, collection: Collection, filter: Filter | None) -> list[DocumentMatch]:  # noqa: A002
        """Every document that passes, for a deletion that settles what it removes at its start."""
