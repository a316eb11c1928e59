"""What the core asks of the outside: small Protocols, one a role.

Their docstrings are normative. Each "must" has a test in tests/contracts, which
every adapter runs. A promise holds for every adapter unless it is marked
*(embedded)*: then only the embedded store makes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rag_grpc.core.errors import RagError
from rag_grpc.core.filters import Filter
from rag_grpc.core.models import (
    Chunk,
    Chunking,
    Collection,
    CollectionCounts,
    CollectionSpec,
    Document,
    DocumentMatch,
    MetadataDict,
    Outcome,
    TextSpan,
    Write,
)
from rag_grpc.core.searches import Search, SearchResult
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


class Tokenizer(Protocol):
    """Finds the tokens of a text as one model counts them, so that chunks can be cut to what it reads."""

    def token_offsets(self, text: str) -> NDArray[np.int64]:
        """Where each token stands: shape (tokens, 2), start and end in Unicode code points of `text`.

        Starts and ends never fall from one token to the next, and lie in the text. Tokens that the model adds
        to every text are not among them. White space between tokens is in none; what the model reads as one
        token is one, however long.
        Blocks, for some 5 µs a token; called in worker threads, several at once. Any text is taken.
        """


@dataclass(frozen=True, slots=True)
class TokenBudget:
    """How many tokens a chunk's text may have.

    `room` says it for the headings that the chunk stands under, which take tokens too: 1 or more.
    """

    tokenizer: Tokenizer
    room: Callable[[Sequence[str]], int]


class Embedder(Protocol):
    """Turns texts into vectors.

    Must be deterministic under one fingerprint: a text has the same vector alone, in a batch and in another
    process. The same bits, save where a model's sums are rounded by what is beside a text: then no number of
    the vector may move by more than a hundred-thousandth of the vector's length.
    """

    @property
    def name(self) -> str:
        """What a collection calls it."""

    @property
    def dimension(self) -> int:
        """Length of its vectors, 1 to 4096."""

    @property
    def fingerprint(self) -> str:
        """Must change whenever its vectors do."""

    @property
    def max_batch(self) -> int:
        """Texts that one call should hold at most."""

    @property
    def max_tokens(self) -> int:
        """How many tokens of a text it reads, by its `tokenizer`; what follows is not in the vector.

        0 means that it reads all, or that nobody knows.
        """

    @property
    def tokenizer(self) -> Tokenizer | None:
        """Counts its tokens. None where that cannot be done here; never where `max_tokens` is set."""

    @property
    def dense_weight(self) -> float:
        """The weight of the dense side in hybrid search that suits it: 0 to 1, 0.5 for as much as words."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts, each of any length: shape (len(texts), dimension), C-contiguous, finite, never zero.

        Blocks, and is called in worker threads, so it must be safe to call from several at once.
        Must raise ModelUnavailable, and nothing else, where the model does not answer: with `retry_after`
        where it would not have answered for any text, which is then not asked for each text alone.
        """

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed what is searched for, likewise. Many models want other words in front of a query."""


class Reranker(Protocol):
    """Reads a query and a text together and says how well the text answers it."""

    @property
    def name(self) -> str:
        """What a query calls it."""

    def score(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """Score texts, each of any length, against a query: shape (len(texts),), finite, larger is better.

        Must be deterministic as an Embedder is: a text's score does not depend on the others. Scores have no
        common scale; only those of one model for one query compare.
        Blocks, and is called in worker threads, so it must be safe to call from several at once.
        Must raise ModelUnavailable, and nothing else, where the model fails or takes longer than it may.
        """


class Splitter(Protocol):
    """Cuts a text into spans that are embedded and found one by one."""

    @property
    def version(self) -> str:
        """Must change whenever the spans do."""

    def split(
        self, text: str, media_type: str, chunking: Chunking, budget: TokenBudget | None = None
    ) -> list[TextSpan]:
        """Cut `text` into spans, in order. Blocks; called in worker threads.

        At least one span for a text of more than white space; no span of white space alone; none longer than
        `chunking` allows in characters, nor than `budget` in tokens of the span's text alone, counted by its
        tokenizer; save that a span of one character may have any number of tokens. `chunking.max_tokens` is
        not looked at: it is part of the budget, if there is one. Every character that is not white space
        must lie in a span. A span must repeat no more of the one before than `chunking` asks for.
        """


class Telemetry(Protocol):
    """Takes what the service measures of itself. Every method must be cheap and callable from any thread."""

    def stage(self, name: str, seconds: float) -> None:
        """Record how long a stage of a write or a query took."""

    def batch(self, kind: str, size: int) -> None:
        """Record how many items were worked on together: "write", "search", "embed" or "rerank"."""

    def turned_away(self, reason: str) -> None:
        """Count a call or an item that was refused for want of room or readiness."""

    def event(self, name: str) -> None:
        """Count something rare that an operator may want to alert on, such as "graph_rebuilt"."""


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

        Hits stand in the order in which `select` put them. `dense.exact` must compare every vector.
        Dense scores are those of the collection's metric: see Metric. Candidates of each side stand by
        score, larger first, then by chunk id, and every one of them passes the search's filter.
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
