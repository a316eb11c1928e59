"""A disk that fills up: documents are refused, reads and deletions go on, and room brings writes back."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from ragapi.v1 import errors_pb2, types_pb2
from ragapi.v1 import ingestion_service_pb2 as ingestion
from ragapi.v1 import retrieval_service_pb2 as retrieval
from ragapi.v1.ingestion_service_pb2_grpc import IngestionServiceStub
from ragapi.v1.retrieval_service_pb2_grpc import RetrievalServiceStub
from tests.process.child import Child
from tests.process.ledger import WORDS
from tests.process.small_disk import SmallDisk, small_disk

Start = Callable[..., Child]

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
STORAGE_FULL = errors_pb2.ERROR_REASON_STORAGE_FULL
WRITING = ("ragapi.v1.IngestionService", "ragapi.v1.CollectionService")
READING = ("", "ragapi.v1.RetrievalService", "ragapi.v1.HealthService")
BATCH = 20

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", "64m") as mounted:
        if mounted is None:
            pytest.skip("this machine lets us mount nothing")
        yield mounted


class Client:
    """One caller of one server, who remembers what was stored."""

    def __init__(self, address: str, stored: dict[str, str]) -> None:
        self.channel = grpc.insecure_channel(address)
        self.ingestion = IngestionServiceStub(self.channel)
        self.retrieval = RetrievalServiceStub(self.channel)
        self.health_stub = health_pb2_grpc.HealthStub(self.channel)
        self.stored = stored
        self.random = random.Random(5)

    def batch(self, letters: int = 40_000) -> list[Any]:
        """Store some documents that were never sent; give the results."""
        begin = max((int(each) for each in self.stored), default=0) + 1
        documents = []
        for number in range(begin, begin + BATCH):
            head = f"document {number} " + " ".join(self.random.choices(WORDS, k=30))
            text = head + "x" * letters
            # One chunk each, so that texts fill the disk and not vectors alone.
            chunks = [types_pb2.Chunk(text=head)]
            documents.append(types_pb2.Document(doc_id=str(number), text=text, chunks=chunks))
        request = ingestion.BatchIngestDocumentsRequest(
            items=[ingestion.IngestItem(document=document) for document in documents]
        )
        results = list(self.ingestion.BatchIngestDocuments(request).results)
        for document, result in zip(documents, results, strict=True):
            if result.status == ingestion.INGEST_STATUS_FAILED:
                assert result.problem.reason == STORAGE_FULL, result
                assert result.problem.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
            else:
                self.stored[document.doc_id] = document.text
        return results

    def fill(self) -> None:
        """Store until the disk is full, and stays so: what was deleted last may still be tidied up."""
        since = None
        for _ in range(1000):
            if any(each.status != ingestion.INGEST_STATUS_FAILED for each in self.batch()):
                since = None
                continue
            since = since or time.monotonic()
            if time.monotonic() > since + 3:
                return
            time.sleep(0.2)
        raise AssertionError("the disk never filled up")

    def delete(self, share: float) -> None:
        """Remove a share of what is stored, in calls of 50."""
        ids = self.random.sample(sorted(self.stored), int(len(self.stored) * share))
        for begin in range(0, len(ids), 50):
            some = ids[begin : begin + 50]
            request = ingestion.DeleteDocumentsRequest(
                documents=[ingestion.DocumentRef(doc_id=doc_id) for doc_id in some]
            )
            assert self.ingestion.DeleteDocuments(request).deleted_count == len(some)
            for doc_id in some:
                del self.stored[doc_id]

    def check(self, sample: int = 25) -> None:
        """What is stored is there, whole, and found; the counts agree."""
        count = self.retrieval.CountDocuments(retrieval.CountDocumentsRequest()).count
        assert count == len(self.stored)
        for doc_id in self.random.sample(sorted(self.stored), min(sample, len(self.stored))):
            got = self.retrieval.GetDocument(retrieval.GetDocumentRequest(doc_id=doc_id))
            assert got.document.text == self.stored[doc_id]
            head = self.stored[doc_id].rstrip("x")
            found = self.retrieval.Query(retrieval.QueryRequest(query=head, top_k=3, ef=400))
            assert doc_id in {hit.doc_id for hit in found.results}

    def health(self, service: str) -> int:
        """How a service is."""
        status: int = self.health_stub.Check(health_pb2.HealthCheckRequest(service=service)).status
        return status

    def wait_for_health(self, wanted: int, seconds: float = 20.0) -> None:
        """Wait until the writing services are as they should; the reading ones serve all the time."""
        ends = time.monotonic() + seconds
        while [self.health(each) for each in WRITING] != [wanted] * len(WRITING):
            assert time.monotonic() < ends, f"the writing services never became {wanted}"
            time.sleep(0.02)
        assert [self.health(each) for each in READING] == [SERVING] * len(READING)

    def store_again(self, seconds: float = 20.0) -> None:
        """Wait until a batch is taken whole."""
        ends = time.monotonic() + seconds
        while any(each.status == ingestion.INGEST_STATUS_FAILED for each in self.batch(2_000)):
            assert time.monotonic() < ends, "documents are still refused"
            time.sleep(0.1)


def serve(start: Start, disk: SmallDisk, **settings: str) -> Child:
    usual = {"disk_reserve_bytes": "8MiB", "graph_from": "64", "snapshot_after": "1h"}
    return start(inside=disk.inside, data_dir=str(disk.path / "data"), **{**usual, **settings}).ready()


def end(child: Child) -> None:
    """Stop it in order, whatever it said of the disk."""
    child.tell(signal.SIGTERM)
    assert child.wait() == 0, child.errors()


def check_alive(child: Child) -> None:
    assert child.process.poll() is None, f"it ended: {child.process.poll()}; {child.errors()}"
    serious = {each["event"] for each in child.events if each["level"] in ("error", "critical")}
    # An index of words cannot be written to a full disk; it is made anew when there is room.
    assert serious <= {"storage_full", "lexical_index_failed"}, child.events


def test_a_full_disk_refuses_documents_and_deletions_make_room(start: Start, disk: SmallDisk) -> None:
    child = serve(start, disk)
    client = Client(child.grpc_address, {})
    for _ in range(2):
        client.fill()
        client.wait_for_health(NOT_SERVING)
        client.check()
        client.delete(0.6)
        client.wait_for_health(SERVING)
        client.store_again()
        client.check()
        check_alive(child)
    events = [each["event"] for each in child.events if each["event"].startswith("storage_")]
    assert events[:2] == ["storage_full", "storage_has_room"]
    client.channel.close()
    end(child)


def test_a_full_disk_can_be_emptied_at_once(start: Start, disk: SmallDisk) -> None:
    child = serve(start, disk)
    client = Client(child.grpc_address, {})
    client.fill()
    gone = client.ingestion.DeleteDocuments(ingestion.DeleteDocumentsRequest(all=True))
    assert gone.deleted_count == len(client.stored)
    client.stored.clear()
    client.check()
    client.wait_for_health(SERVING)
    client.store_again()
    client.check()
    check_alive(child)


def test_a_full_disk_survives_a_kill_and_a_stop(start: Start, disk: SmallDisk) -> None:
    stored: dict[str, str] = {}
    child = serve(start, disk)
    client = Client(child.grpc_address, stored)
    client.fill()
    child.kill()
    child = serve(start, disk)
    client = Client(child.grpc_address, stored)
    client.check()
    client.fill()
    end(child)
    child = serve(start, disk)
    client = Client(child.grpc_address, stored)
    client.check()
    client.delete(0.7)
    client.wait_for_health(SERVING)
    client.store_again()
    client.check()
    check_alive(child)


def test_a_disk_that_fills_up_while_snapshots_are_made(start: Start, disk: SmallDisk) -> None:
    child = serve(start, disk, snapshot_after="1ms")
    client = Client(child.grpc_address, {})
    client.fill()
    client.wait_for_health(NOT_SERVING)
    client.check()
    client.delete(0.8)
    client.wait_for_health(SERVING)
    client.store_again()
    client.check()
    check_alive(child)
    assert "snapshot_made" in {each["event"] for each in child.events}


def test_a_disk_that_others_fill_to_the_last_byte(start: Start, disk: SmallDisk) -> None:
    child = serve(start, disk, snapshot_after="1ms")
    client = Client(child.grpc_address, {})
    for _ in range(5):
        client.batch()
    for leave in (0, 100_000, 1_000_000):
        disk.fill(leave)
        results = [each for _ in range(10) for each in client.batch(200)]
        assert all(each.status == ingestion.INGEST_STATUS_FAILED for each in results)
        client.wait_for_health(NOT_SERVING)
        client.check()
        disk.empty()
        client.wait_for_health(SERVING)
        client.store_again()
        client.check()
        check_alive(child)


def test_a_server_without_a_reserve_goes_on_reading(start: Start, disk: SmallDisk) -> None:
    child = serve(start, disk, disk_reserve_bytes="0", snapshot_after="1ms")
    client = Client(child.grpc_address, {})
    client.fill()
    client.fill()
    client.check()
    assert child.process.poll() is None
    child.kill()
