"""Small adapters and builders for tests of the core and of stores; each passes its contract suite."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rag_grpc.core.answers import Answer, Statement, Support
from rag_grpc.core.hashing import canonical_metadata, content_hash, embedding_key
from rag_grpc.core.model_ports import TokenBudget, Tokenizer
from rag_grpc.core.models import (
    Chunk,
    ChunkDraft,
    Chunking,
    Collection,
    CollectionSpec,
    DocumentDraft,
    MetadataDict,
    Metric,
    PreparedChunk,
    PreparedDocument,
    PutDocument,
    PutOutcome,
    TextSpan,
)
from rag_grpc.core.ports import Store
from rag_grpc.core.searches import (
    DenseQuery,
    Found,
    Hit,
    HitParts,
    Search,
    SearchResult,
    Selected,
)
from rag_grpc.core.selection import DenseSelection

DIMENSION = 4


class JsonCodec:
    """Metadata as JSON."""

    def pack(self, metadata: MetadataDict) -> bytes:
        return json.dumps(metadata, ensure_ascii=False, allow_nan=False).encode()

    def unpack(self, packed: bytes) -> MetadataDict:
        metadata: MetadataDict = json.loads(packed)
        return metadata


class JsonHits:
    """Packed hits as JSON."""

    def pack(self, doc_id: str, chunk: Chunk, title: str, packed_metadata: bytes | None) -> bytes:
        metadata = None if packed_metadata is None else packed_metadata.hex()
        return json.dumps([doc_id, chunk[:5], title, metadata], ensure_ascii=False).encode()

    def unpack(self, packed: bytes) -> tuple[str, Chunk, str, bytes | None]:
        doc_id, (ordinal, text, start, end, headings), title, metadata = json.loads(packed)
        made = Chunk(ordinal, text, start, end, tuple(headings))
        return doc_id, made, title, None if metadata is None else bytes.fromhex(metadata)


@dataclass
class LetterEmbedder:
    """Counts letters: texts with the same letters are near."""

    name: str = "letters"
    dimension: int = 8
    fingerprint: str = "letters/1"
    max_batch: int = 4
    max_tokens: int = 0
    tokenizer: Tokenizer | None = None
    dense_weight: float = 0.5
    batches: list[tuple[str, ...]] = field(default_factory=list)
    """What it was asked, for tests to look at."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.batches.append(tuple(texts))
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        for row, text in enumerate(texts):
            vectors[row, 0] = 1
            for letter in text.casefold():
                vectors[row, hashlib.sha256(letter.encode()).digest()[0] % self.dimension] += 1
        return vectors

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.embed(texts)


class WordTokenizer:
    """A token a word: what stands between white space."""

    def token_offsets(self, text: str) -> NDArray[np.int64]:
        return np.array([each.span() for each in re.finditer(r"\S+", text)], np.int64).reshape(-1, 2)


@dataclass
class WordReranker:
    """Scores a text by the share of its words that the query has, less a little for each word."""

    name: str = "words"
    asked: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    """What it was asked, for tests to look at."""

    def score(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked.append((query, tuple(texts)))
        wanted = set(query.casefold().split())
        scores = np.zeros(len(texts), np.float32)
        for place, words in enumerate(text.casefold().split() for text in texts):
            common = sum(word in wanted for word in words)
            scores[place] = common / (len(words) + 1) - len(words) / 1e6
        return scores


@dataclass
class WordJudge:
    """Weighs a sentence by the share of its words that a context has: the best context counts."""

    name: str = "words"
    max_batch: int = 4
    asked: list[tuple[Statement, ...]] = field(default_factory=list)
    """What it was asked, for tests to look at."""

    def weigh(self, statements: Sequence[Statement]) -> list[Support]:
        self.asked.append(tuple(statements))
        return [self._support(each) for each in statements]

    def _support(self, statement: Statement) -> Support:
        words = set(statement.text.casefold().split())
        shares = [
            len(words & set(text.casefold().split())) / (len(words) or 1) for text in statement.contexts
        ]
        best = max(shares, default=0.0)
        return Support(best, shares.index(best) if shares else 0)


class LineSplitter:
    """One span a line; a line that is too long is cut hard. A line that begins with '#' is a heading."""

    version = "lines/1"

    def split(
        self, text: str, media_type: str, chunking: Chunking, budget: TokenBudget | None = None
    ) -> list[TextSpan]:
        longest = chunking.max_characters or 200
        spans: list[TextSpan] = []
        headings: tuple[str, ...] = ()
        start = 0
        for line in text.splitlines(keepends=True):
            if media_type == "text/markdown" and line.startswith("#"):
                headings = (line.strip("# \r\n"),)
            begin = start
            while begin < start + len(line):
                end = min(begin + longest, start + len(line))
                if budget:
                    while end > begin + 1 and self._tokens(text[begin:end], budget) > budget.room(headings):
                        end -= 1
                if text[begin:end].strip():
                    spans.append(TextSpan(begin, end, headings))
                begin = end
            start += len(line)
        return spans

    @staticmethod
    def _tokens(text: str, budget: TokenBudget) -> int:
        return len(budget.tokenizer.token_offsets(text))


@dataclass
class Records:
    """Telemetry that remembers."""

    stages: list[str] = field(default_factory=list)
    batches: list[tuple[str, int]] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    answers: list[tuple[Answer, int]] = field(default_factory=list)

    def stage(self, name: str, seconds: float) -> None:
        assert seconds >= 0
        self.stages.append(name)

    def batch(self, kind: str, size: int) -> None:
        self.batches.append((kind, size))

    def turned_away(self, reason: str) -> None:
        self.refusals.append(reason)

    def event(self, name: str) -> None:
        self.events.append(name)

    def answered(self, answer: Answer, *, removed_citations: int) -> None:
        self.answers.append((answer, removed_citations))


def matrix(rows: ArrayLike) -> NDArray[np.float32]:
    """Rows as a float32 array of shape (n, dimension)."""
    return np.atleast_2d(np.ascontiguousarray(rows, dtype=np.float32))


def spec(name: str = "things", **changes: Any) -> CollectionSpec:
    """A collection whose vectors the caller brings, of four dimensions."""
    whole = CollectionSpec(
        name=name,
        embedder="none",
        dimension=DIMENSION,
        metric=Metric.COSINE,
        chunking=Chunking(),
        language="",
    )
    return replace(whole, **changes)


def prepared(
    doc_id: str,
    rows: ArrayLike = (1, 0, 0, 0),
    *,
    text: str = "",
    title: str = "",
    media_type: str = "text/plain",
    metadata: MetadataDict | None = None,
    texts: Sequence[str] | None = None,
) -> PreparedDocument:
    """A document with one chunk a row of vectors; equal arguments give equal hashes."""
    vectors = matrix(rows)
    texts = texts or [f"{doc_id}, part {ordinal}" for ordinal in range(len(vectors))]
    draft = DocumentDraft(
        doc_id=doc_id,
        text=text,
        title=title,
        media_type=media_type,
        chunks=tuple(ChunkDraft(chunk, vector=vector) for chunk, vector in zip(texts, vectors, strict=True)),
    )
    key = embedding_key(draft, fingerprint="", splitter="none", chunking=Chunking())
    metadata = metadata or {}
    return PreparedDocument(
        doc_id=doc_id,
        text=text,
        media_type=media_type,
        title=title,
        packed_metadata=JsonCodec().pack(metadata),
        content_hash=content_hash(
            key, text=text, title=title, media_type=media_type, metadata=canonical_metadata(metadata)
        ),
        embedding_key=key,
        chunks=tuple(
            PreparedChunk(each, 10 * place, 10 * place + 5, ("Top", f"Part {place}"))
            for place, each in enumerate(texts)
        ),
        vectors=vectors,
    )


def without_vectors(document: PreparedDocument) -> PreparedDocument:
    """The same document, in the belief that its chunks and vectors are stored already."""
    return document._replace(chunks=(), vectors=None)


async def put(store: Store, collection: Collection, document: PreparedDocument) -> PutOutcome:
    """Store a document and wait for it."""
    outcome = await store.submit(PutDocument(collection, document))
    assert isinstance(outcome, PutOutcome)
    return outcome


def select_all(found: Found) -> list[Selected]:
    """Every candidate of the dense side, in its order."""
    candidates = found.dense
    assert candidates is not None
    return [
        Selected(int(chunk), int(document), float(score), dense=float(score), dense_rank=rank)
        for rank, (chunk, document, score) in enumerate(
            zip(candidates.chunks, candidates.documents, candidates.scores, strict=True), start=1
        )
    ]


async def find(
    store: Store,
    collection: Collection,
    vector: ArrayLike,
    *,
    candidates: int = 100,
    exact: bool = False,
    parts: HitParts | None = None,
) -> SearchResult:
    """Search once, for everything that is near, and wait for it."""
    search = Search(
        collection,
        candidates,
        select_all,
        DenseQuery(np.asarray(vector, dtype=np.float32), exact=exact),
        parts=parts or HitParts(),
    )
    (result,) = await store.search([search])
    assert isinstance(result, SearchResult), result
    return result


async def find_places(
    store: Store, collection: Collection, vector: ArrayLike, *, candidates: int = 100, exact: bool = False
) -> list[Hit]:
    """Search once for where the nearest are and nothing else."""
    return await find_packed(store, collection, vector, candidates=candidates, exact=exact, parts=ONLY_PLACES)


async def find_packed(
    store: Store,
    collection: Collection,
    vector: ArrayLike,
    *,
    candidates: int = 100,
    exact: bool = False,
    parts: HitParts,
) -> list[Hit]:
    """Search once for the nearest, as most searches by vector do: a store may give packed hits."""
    search = for_nearest(collection, vector, candidates=candidates, exact=exact, parts=parts)
    (result,) = await store.search([search])
    assert isinstance(result, SearchResult), result
    return list(result.hits)


def for_nearest(
    collection: Collection,
    vector: ArrayLike,
    *,
    candidates: int = 100,
    exact: bool = False,
    parts: HitParts | None = None,
) -> Search:
    """Make such a search."""
    return Search(
        collection,
        candidates,
        DenseSelection(candidates),
        DenseQuery(np.asarray(vector, dtype=np.float32), exact=exact),
        parts=parts or ONLY_PLACES,
    )


ONLY_PLACES = HitParts(text=False, title=False, metadata=False)
PACKED = HitParts(packed=True)


def place_of(hit: Hit) -> Hit:
    """Return a hit as it is where nothing but its place was asked for."""
    return hit._replace(chunk=hit.chunk._replace(text="", vector=None), title="", packed_metadata=None)


async def found_ids(store: Store, collection: Collection, vector: ArrayLike = (1, 1, 1, 1)) -> list[str]:
    """The ids of the documents that a search finds, in order of id."""
    result = await find(store, collection, vector, candidates=10_000, exact=True)
    return sorted({hit.doc_id for hit in result.hits})
