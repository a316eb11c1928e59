"""How the process begins and ends: signals in, exit codes out, no noise in between."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from ragapi.v1 import ingestion_service_pb2 as ingestion
from ragapi.v1 import ingestion_service_pb2_grpc, retrieval_service_pb2_grpc, types_pb2
from ragapi.v1 import retrieval_service_pb2 as retrieval
from tests.process.child import Child

Start = Callable[..., Child]

LOOPS = ("asyncio", "uvloop")
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.mark.parametrize("store", ["memory", "embedded"])
@pytest.mark.parametrize("loop", LOOPS)
def test_sigterm_ends_it_in_order(start: Start, loop: str, store: str) -> None:
    child = start(event_loop=loop, store=store).ready()
    child.stop()
    said = [each["event"] for each in child.events]
    order = ["listening", "ready", "signal_received", "draining", "stopped"]
    assert [each for each in said if each in order] == order


@pytest.mark.parametrize("loop", LOOPS)
def test_ctrl_c_waits_for_no_load_balancer_and_shows_no_traceback(start: Start, loop: str) -> None:
    # Fresh, as what Python itself makes of Ctrl-C is made at its start.
    child = start(event_loop=loop, drain_pause="60s", fresh=True).ready()
    child.tell(signal.SIGINT)
    child.check_clean(child.wait(timeout=20))


def test_a_second_signal_hastens_the_end(start: Start) -> None:
    child = start(drain_pause="60s").ready()
    child.tell(signal.SIGTERM)
    child.wait_for("draining")
    child.tell(signal.SIGTERM)
    child.check_clean(child.wait(timeout=20))


@pytest.mark.parametrize("loop", LOOPS)
def test_an_open_watch_does_not_use_up_the_grace(start: Start, loop: str) -> None:
    child = start(grace="60s", event_loop=loop).ready()
    with grpc.insecure_channel(child.grpc_address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == SERVING
        assert child.stop() < 20
        assert [each.status for each in watch] == [NOT_SERVING]
        assert watch.code() is grpc.StatusCode.OK


def test_calls_are_served_on_in_the_pause(start: Start) -> None:
    child = start(drain_pause="60s").ready()
    with grpc.insecure_channel(child.grpc_address) as channel:
        child.tell(signal.SIGTERM)
        child.wait_for("draining")
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert health.status == NOT_SERVING
        stub = retrieval_service_pb2_grpc.RetrievalServiceStub(channel)
        assert stub.CountDocuments(retrieval.CountDocumentsRequest()).count == 0
    child.tell(signal.SIGTERM)
    child.check_clean(child.wait(timeout=20))


@pytest.mark.parametrize("loop", LOOPS)
def test_under_load_every_call_is_answered_or_refused_and_no_answered_write_is_lost(
    start: Start, loop: str
) -> None:
    child = start(event_loop=loop).ready()
    enough = Event()
    with grpc.insecure_channel(child.grpc_address) as channel, ThreadPoolExecutor(8) as pool:
        workers = [pool.submit(_write_on, channel, worker, enough) for worker in range(4)]
        readers = [pool.submit(_query_on, channel) for _ in range(3)]
        assert enough.wait(30)
        child.stop()
        written = [worker.result() for worker in workers]
        codes = {code for each in (*written, *(reader.result() for reader in readers)) for code in each.codes}
    assert codes <= {grpc.StatusCode.UNAVAILABLE}
    answered = [doc_id for each in written for doc_id in each.answered]
    assert len(answered) >= 20
    again = start().ready()
    with grpc.insecure_channel(again.grpc_address) as channel:
        stub = retrieval_service_pb2_grpc.RetrievalServiceStub(channel)
        for begin in range(0, len(answered), 100):
            some = answered[begin : begin + 100]
            found = stub.BatchGetDocuments(retrieval.BatchGetDocumentsRequest(doc_ids=some))
            assert [each.doc_id for each in found.documents] == some
    again.stop()


class Ended:
    """What a worker was answered until the server went: documents, and the codes of failures."""

    def __init__(self) -> None:
        self.answered: list[str] = []
        self.codes: set[grpc.StatusCode] = set()


def _write_on(channel: grpc.Channel, worker: int, enough: Event) -> Ended:
    ended, stub = Ended(), ingestion_service_pb2_grpc.IngestionServiceStub(channel)
    for number in range(100_000):
        document = types_pb2.Document(doc_id=f"{worker}-{number}", text=f"text {number} of {worker}")
        try:
            stub.IngestDocument(ingestion.IngestDocumentRequest(document=document))
        except grpc.RpcError as error:
            ended.codes.add(error.code())
            return ended
        ended.answered.append(document.doc_id)
        if number == 10:
            enough.set()
    raise AssertionError("the server never went away")


def _query_on(channel: grpc.Channel) -> Ended:
    ended, stub = Ended(), retrieval_service_pb2_grpc.RetrievalServiceStub(channel)
    while True:
        try:
            stub.Query(retrieval.QueryRequest(query="text"))
        except grpc.RpcError as error:
            ended.codes.add(error.code())
            return ended


def test_a_stream_is_told_to_come_back(start: Start) -> None:
    child = start(grace="60s").ready()
    over = Event()

    def messages() -> Iterator[ingestion.StreamIngestDocumentsRequest]:
        document = types_pb2.Document(doc_id="one", text="the only one")
        yield ingestion.StreamIngestDocumentsRequest(items=[ingestion.IngestItem(document=document)])
        over.wait(60)

    with grpc.insecure_channel(child.grpc_address) as channel:
        stub = ingestion_service_pb2_grpc.IngestionServiceStub(channel)
        stream = iter(stub.StreamIngestDocuments(messages()))
        assert len(next(stream).results) == 1
        took = child.stop()
        with pytest.raises(grpc.RpcError) as caught:
            next(stream)
        over.set()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert took < 20


def test_a_port_that_is_taken_is_refused_in_one_line(start: Start) -> None:
    first = start(store="memory").ready()
    second = start(store="memory", listen=first.grpc_address)
    assert second.wait() == 1
    failed = second.wait_for("start_failed")
    assert first.grpc_address in failed["reason"]
    assert "exception" not in failed
    first.stop()


def test_a_folder_that_is_in_use_is_refused_in_one_line(start: Start) -> None:
    first = start().ready()
    second = start()
    assert second.wait() == 1
    failed = second.wait_for("start_failed")
    assert "data" in failed["reason"]
    assert "exception" not in failed
    assert second.errors() == ""
    first.stop()


def test_faulty_settings_are_refused_all_at_once(start: Start) -> None:
    child = start(grace="soon", listen="nowhere", stoer="memory", fresh=True)
    assert child.wait() == 1
    errors = child.errors()
    assert all(name in errors for name in ("RAG_GRACE", "RAG_LISTEN", "RAG_STORE is meant"))
    assert "Traceback" not in errors


def test_a_start_and_a_stop_are_quick(start: Start) -> None:
    began = time.monotonic()
    child = start(fresh=True).ready()
    assert time.monotonic() - began < 30
    assert child.stop() < 15


def test_a_server_whose_log_nobody_reads_answers_and_stops(tmp_path: Path) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAG_")}
    settings = {
        "RAG_LISTEN": "127.0.0.1:0",
        "RAG_HTTP_LISTEN": "127.0.0.1:0",
        "RAG_DATA_DIR": str(tmp_path / "data"),
        "RAG_LOG_FORMAT": "json",
        "RAG_DRAIN_PAUSE": "0",
    }
    command = [sys.executable, "-m", "rag_grpc", "serve"]
    with subprocess.Popen(
        command, env=inherited | settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            assert server.stderr is not None
            ready = next(event for line in server.stdout if (event := json.loads(line))["event"] == "ready")
            server.stdout.close()
            with grpc.insecure_channel(ready["grpc_address"]) as channel:
                stub = retrieval_service_pb2_grpc.RetrievalServiceStub(channel)
                for _ in range(3):
                    assert stub.CountDocuments(retrieval.CountDocumentsRequest()).count == 0
            server.send_signal(signal.SIGTERM)
            assert server.wait(timeout=30) == 0
            assert server.stderr.read() == ""
        finally:
            server.kill()
