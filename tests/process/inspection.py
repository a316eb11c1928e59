"""Comparing what a server has with what its writers know."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from ragapi.v1 import collection_service_pb2 as collections
from ragapi.v1 import retrieval_service_pb2 as retrieval
from ragapi.v1 import types_pb2
from ragapi.v1.collection_service_pb2_grpc import CollectionServiceStub
from ragapi.v1.retrieval_service_pb2_grpc import RetrievalServiceStub
from tests.process.ledger import Ledger

SAMPLE = 12
"""Documents that are searched for though nobody wrote them since the last look."""

WIDE_EF = 800
"""So broad a search of so small a graph that what it misses is not in it."""


@dataclass
class Inspection:
    """Looks at one collection through the API alone."""

    channel: grpc.aio.Channel
    collection: str
    random: random.Random

    async def settle(self, ledgers: Sequence[Ledger]) -> None:
        """Check all documents, then let the ledgers take what was found as what is there."""
        listed = await self._listed()
        for ledger in ledgers:
            for number in range(ledger.size):
                doc_id = f"{ledger.prefix}-{number}"
                ledger.settle(doc_id, listed.pop(doc_id, None))
        assert not listed, f"nobody wrote {sorted(listed)}"
        await self._counts(ledgers)
        for ledger in ledgers:
            stored = [doc_id for doc_id, version in ledger.answered.items() if version is not None]
            others = self.random.sample(stored, min(SAMPLE, len(stored)))
            looked_at = sorted({*(each for each in ledger.touched if ledger.answered[each]), *others})
            await self._documents(ledger, looked_at)
            ledger.touched.clear()
        await self._searches(ledgers)

    async def _listed(self) -> dict[str, types_pb2.Document]:
        stub, token = RetrievalServiceStub(self.channel), ""
        listed: dict[str, types_pb2.Document] = {}
        while True:
            page = await stub.ListDocuments(
                retrieval.ListDocumentsRequest(
                    collection=self.collection, include_text=True, page_size=100, page_token=token
                )
            )
            listed.update({document.doc_id: document for document in page.documents})
            token = page.next_page_token
            if not token:
                return listed

    async def _counts(self, ledgers: Sequence[Ledger]) -> None:
        versions = [each for ledger in ledgers for each in ledger.answered.values() if each is not None]
        found = await CollectionServiceStub(self.channel).GetCollection(
            collections.GetCollectionRequest(name=self.collection)
        )
        assert found.collection.document_count == len(versions)
        assert found.collection.chunk_count == sum(len(each.chunks) for each in versions)
        counted = await RetrievalServiceStub(self.channel).CountDocuments(
            retrieval.CountDocumentsRequest(collection=self.collection)
        )
        assert counted.count == len(versions)

    async def _documents(self, ledger: Ledger, ids: Sequence[str]) -> None:
        stub = RetrievalServiceStub(self.channel)
        for doc_id in ids:
            version = ledger.answered[doc_id]
            assert version is not None
            got = await stub.GetDocument(
                retrieval.GetDocumentRequest(collection=self.collection, doc_id=doc_id)
            )
            assert version.is_what(got.document)
            chunks = await stub.ListChunks(
                retrieval.ListChunksRequest(collection=self.collection, doc_id=doc_id, page_size=100)
            )
            assert [each.text for each in chunks.chunks] == list(version.chunks)
            assert [each.ordinal for each in chunks.chunks] == list(range(len(version.chunks)))

    async def _searches(self, ledgers: Sequence[Ledger]) -> None:
        """Every chunk is found by its own text, exactly and through the graph, and nothing else is."""
        expected = {
            (doc_id, ordinal): text
            for ledger in ledgers
            for doc_id, version in ledger.answered.items()
            if version is not None
            for ordinal, text in enumerate(version.chunks)
        }
        if not expected:
            return
        assert len(expected) <= 1000
        texts = sorted(expected.values())
        for exact in (True, False):
            for some in _in_parts(texts, 200):
                for text, hits in zip(some, await self._found(some, exact=exact), strict=True):
                    assert any(hit.chunk.text == text and hit.score > 0.999 for hit in hits), (text, exact)
            (everything,) = await self._found(texts[:1], exact=exact, top_k=1000)
            found = {(hit.doc_id, hit.chunk.ordinal): hit.chunk.text for hit in everything}
            assert len(everything) == len(expected), exact
            assert found == expected, exact
        for some in _in_parts(texts, 200):
            # The last word of each chunk is its own.
            words = [text.rpartition(" ")[2] for text in some]
            for text, hits in zip(
                some, await self._found(words, mode=retrieval.SEARCH_MODE_LEXICAL), strict=True
            ):
                assert [hit.chunk.text for hit in hits] == [text], (text, "by its word")

    async def _found(
        self,
        texts: Sequence[str],
        *,
        exact: bool = False,
        top_k: int = 3,
        mode: retrieval.SearchMode.ValueType = retrieval.SEARCH_MODE_DENSE,
    ) -> list[Any]:
        asked = retrieval.BatchQueryRequest()
        for text in texts:
            asked.queries.add(
                collection=self.collection,
                query=text,
                mode=mode,
                top_k=top_k,
                exact=exact,
                ef=WIDE_EF if mode == retrieval.SEARCH_MODE_DENSE and not exact else 0,
                omit=[retrieval.HIT_FIELD_METADATA],
            )
        answer = await RetrievalServiceStub(self.channel).BatchQuery(asked)
        problems = [each.problem for each in answer.results if each.HasField("problem")]
        assert not problems, problems
        return [each.response.results for each in answer.results]


def _in_parts(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for begin in range(0, len(items), size):
        yield items[begin : begin + size]
