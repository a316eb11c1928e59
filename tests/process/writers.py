"""Writers that keep a server busy until it dies, each with documents of its own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import grpc

from ragapi.v1 import ingestion_service_pb2 as ingestion
from ragapi.v1.ingestion_service_pb2_grpc import IngestionServiceStub
from tests.process.ledger import Ledger, Version

MESSAGES_IN_FLIGHT = 6
ITEMS = 4
DIED = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
"""What a caller sees of a server that was killed."""
OWN_FAULT = "Internal error from Core"
"""What gRPC's client says, as INTERNAL, where the connection was lost in the middle of a send."""

STORED = {
    ingestion.INGEST_STATUS_CREATED,
    ingestion.INGEST_STATUS_REPLACED,
    ingestion.INGEST_STATUS_UNCHANGED,
}


async def until_it_dies(work: Awaitable[None]) -> None:
    """Await a writer that goes on until its server is gone; anything but that is a failure."""
    try:
        await work
    except grpc.aio.AioRpcError as error:
        if error.code() not in DIED and error.details() != OWN_FAULT:
            raise


async def stream_on(channel: grpc.aio.Channel, collection: str, ledger: Ledger) -> None:
    """Put documents on a stream, several messages in flight, the same document in some of them."""
    room = asyncio.Semaphore(MESSAGES_IN_FLIGHT)
    sent: deque[list[str]] = deque()

    async def messages() -> AsyncIterator[Any]:
        while True:
            await room.acquire()
            ids = [ledger.any_id() for _ in range(ITEMS)]
            items = []
            for doc_id in ids:
                version = ledger.fresh()
                ledger.send(doc_id, version)
                items.append(ingestion.IngestItem(document=version.message(doc_id)))
            sent.append(ids)
            yield ingestion.StreamIngestDocumentsRequest(collection=collection, items=items)

    async for response in IngestionServiceStub(channel).StreamIngestDocuments(messages()):
        for doc_id, result in zip(sent.popleft(), response.results, strict=True):
            assert result.status in STORED, result
            ledger.answer(doc_id, result.revision)
        room.release()


async def call_on(channel: grpc.aio.Channel, collection: str, ledger: Ledger) -> None:
    """Put, describe and delete documents one call at a time."""
    stub = IngestionServiceStub(channel)
    while True:
        doc_id, kind = ledger.any_id(), ledger.random.random()
        described = ledger.described(doc_id) if kind < 0.3 else None
        if described is not None:
            await _describe(stub, collection, ledger, doc_id, described)
        elif kind < 0.5:
            await _delete(stub, collection, ledger)
        else:
            version = ledger.fresh()
            ledger.send(doc_id, version)
            answer = await stub.IngestDocument(
                ingestion.IngestDocumentRequest(collection=collection, document=version.message(doc_id))
            )
            ledger.answer(doc_id, answer.revision)


async def _describe(stub: Any, collection: str, ledger: Ledger, doc_id: str, version: Version) -> None:
    request = ingestion.UpdateMetadataRequest(collection=collection, doc_id=doc_id)
    request.metadata.update({"number": version.number})
    ledger.send(doc_id, version)
    ledger.answer(doc_id, (await stub.UpdateMetadata(request)).revision)


async def _delete(stub: Any, collection: str, ledger: Ledger) -> None:
    request = ingestion.DeleteDocumentsRequest(collection=collection)
    ids = sorted({ledger.any_id() for _ in range(3)})
    for doc_id in ids:
        request.documents.add(doc_id=doc_id)
        ledger.send(doc_id, None)
    there = sum(ledger.answered.get(doc_id) is not None for doc_id in ids)
    answer = await stub.DeleteDocuments(request)
    assert (answer.matched_count, answer.deleted_count) == (there, there)
    for doc_id in ids:
        ledger.answer(doc_id, None)


async def sweep_on(channel: grpc.aio.Channel, collection: str, ledger: Ledger) -> None:
    """Fill a collection by batches and remove all of it, over and over."""
    stub = IngestionServiceStub(channel)
    ids = [f"{ledger.prefix}-{number}" for number in range(ledger.size)]
    while True:
        request = ingestion.BatchIngestDocumentsRequest(collection=collection)
        for doc_id in ledger.random.sample(ids, k=ledger.random.randrange(1, len(ids))):
            version = ledger.fresh()
            ledger.send(doc_id, version)
            request.items.add(document=version.message(doc_id))
        answer = await stub.BatchIngestDocuments(request)
        for result in answer.results:
            assert result.status in STORED, result
            ledger.answer(result.doc_id, result.revision)
        if ledger.random.random() < 0.4:
            for doc_id in ids:
                ledger.send(doc_id, None)
            there = sum(ledger.answered.get(doc_id) is not None for doc_id in ids)
            gone = await stub.DeleteDocuments(
                ingestion.DeleteDocumentsRequest(collection=collection, all=True)
            )
            assert gone.deleted_count == there
            for doc_id in ids:
                ledger.answer(doc_id, None)


async def put_all(channel: grpc.aio.Channel, collection: str, ledger: Ledger) -> None:
    """Store every document of a ledger once."""
    stub = IngestionServiceStub(channel)
    for begin in range(0, ledger.size, 100):
        request = ingestion.BatchIngestDocumentsRequest(collection=collection)
        for number in range(begin, min(begin + 100, ledger.size)):
            version, doc_id = ledger.fresh(), f"{ledger.prefix}-{number}"
            ledger.send(doc_id, version)
            request.items.add(document=version.message(doc_id))
        for result in (await stub.BatchIngestDocuments(request)).results:
            assert result.status in STORED, result
            ledger.answer(result.doc_id, result.revision)


async def replace_some(channel: grpc.aio.Channel, collection: str, ledger: Ledger, documents: int) -> None:
    """Write documents of a ledger anew, in batches, and delete some now and then."""
    stub = IngestionServiceStub(channel)
    ids = [f"{ledger.prefix}-{number}" for number in range(ledger.size)]
    for begin in range(0, documents, ITEMS):
        request = ingestion.BatchIngestDocumentsRequest(collection=collection)
        for doc_id in ledger.random.sample(ids, k=ITEMS):
            version = ledger.fresh()
            ledger.send(doc_id, version)
            request.items.add(document=version.message(doc_id))
        for result in (await stub.BatchIngestDocuments(request)).results:
            assert result.status in STORED, result
            ledger.answer(result.doc_id, result.revision)
        if begin % 20 == 0:
            await _delete(stub, collection, ledger)
