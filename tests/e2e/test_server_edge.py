"""What the server does around every call: ids, sizes, metrics, reflection, the sidecar, admission."""

import asyncio
import dataclasses
import re
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_reflection.v1alpha import reflection_pb2
from structlog.testing import capture_logs

from rag_grpc.app import RunningServer, running_server
from rag_grpc.rpc.server import SERVICES
from rag_grpc.settings import Settings
from rag_grpc.sidecar.server import MAX_CONNECTIONS
from ragapi.v1 import ingestion_service_pb2 as ingestion
from ragapi.v1 import ingestion_service_pb2_grpc, retrieval_service_pb2_grpc, types_pb2
from ragapi.v1 import retrieval_service_pb2 as retrieval
from tests.e2e.http import get

QUERY = "ragapi.v1.RetrievalService/Query"


def details(metadata: Any) -> dict[str, Any]:
    """Read ErrorInfo and RequestInfo out of a failed call's trailing metadata."""
    found: dict[str, Any] = {}
    status = status_pb2.Status.FromString(dict(metadata)["grpc-status-details-bin"])
    for kind in (error_details_pb2.ErrorInfo, error_details_pb2.RequestInfo, error_details_pb2.BadRequest):
        message = kind()
        if any(each.Unpack(message) for each in status.details):
            found[kind.__name__] = message
    return found


async def count(server: RunningServer, name: str, **labels: str) -> float:
    """Read one number out of the metrics, as Prometheus would."""
    wanted = {f'{key}="{value}"' for key, value in labels.items()}
    for line in (await get(server, "/metrics")).text.splitlines():
        match = re.fullmatch(rf"{name}(?:{{(.*)}})? (\S+)", line)
        if match and wanted <= set((match[1] or "").split(",")):
            return float(match[2])
    raise AssertionError(f"no {name} with {labels}")


async def test_metrics_show_the_calls(server: RunningServer, channel: grpc.aio.Channel) -> None:
    labels = {"grpc_service": "ragapi.v1.RetrievalService", "grpc_method": "Query", "grpc_type": "UNARY"}
    assert await count(server, "grpc_server_started_total", **labels) == 0
    stub: Any = retrieval_service_pb2_grpc.RetrievalServiceStub(channel)
    await stub.Query(retrieval.QueryRequest(query="hello"))
    assert (
        await stub.Query(retrieval.QueryRequest(query="x", collection="no")).code()
        is grpc.StatusCode.NOT_FOUND
    )
    for name, number in (
        ("grpc_server_started_total", 2),
        ("grpc_server_msg_received_total", 2),
        ("grpc_server_msg_sent_total", 1),
        ("grpc_server_handling_seconds_count", 2),
    ):
        assert await count(server, name, **labels) == number, name
    assert await count(server, "grpc_server_handled_total", **labels, grpc_code="OK") == 1
    assert await count(server, "grpc_server_handled_total", **labels, grpc_code="NOT_FOUND") == 1
    assert await count(server, "app_requests_total", method=QUERY, code="OK") == 1


async def test_metrics_show_the_store(server: RunningServer, channel: grpc.aio.Channel) -> None:
    stub: Any = ingestion_service_pb2_grpc.IngestionServiceStub(channel)
    document = types_pb2.Document(doc_id="one", text="hello")
    await stub.IngestDocument(ingestion.IngestDocumentRequest(document=document))
    assert await count(server, "rag_documents") == 1
    assert await count(server, "rag_collection_chunks", collection="default") == 1
    assert await count(server, "rag_stage_seconds_count", stage="embed") == 1
    assert await count(server, "rag_store_writable") == 1
    assert await count(server, "rag_ingest_budget_bytes") == 0


async def test_a_stream_is_counted_message_by_message(
    server: RunningServer, channel: grpc.aio.Channel
) -> None:
    labels = {
        "grpc_service": "ragapi.v1.IngestionService",
        "grpc_method": "StreamIngestDocuments",
        "grpc_type": "BIDI_STREAMING",
    }
    stub: Any = ingestion_service_pb2_grpc.IngestionServiceStub(channel)
    stream = stub.StreamIngestDocuments()
    for number in range(3):
        document = types_pb2.Document(doc_id=str(number), text="hello")
        item = ingestion.IngestItem(document=document)
        await stream.write(ingestion.StreamIngestDocumentsRequest(items=[item]))
        await stream.read()
        assert await count(server, "grpc_server_msg_received_total", **labels) == number + 1
        assert await count(server, "grpc_server_msg_sent_total", **labels) == number + 1
    assert await count(server, "grpc_server_started_total", **labels) == 1
    assert await count(server, "grpc_server_handled_total", **labels, grpc_code="OK") == 0
    await stream.done_writing()
    assert await stream.code() is grpc.StatusCode.OK
    await server.chain.idle()
    assert await count(server, "grpc_server_handled_total", **labels, grpc_code="OK") == 1


async def test_the_request_id_is_in_trailers_error_and_log(channel: grpc.aio.Channel) -> None:
    stub: Any = retrieval_service_pb2_grpc.RetrievalServiceStub(channel)
    with capture_logs() as logs:
        call = stub.Query(
            retrieval.QueryRequest(query="secret words", collection="no"),
            metadata=(("x-request-id", "mine-1"),),
        )
        assert await call.code() is grpc.StatusCode.NOT_FOUND
        async with asyncio.timeout(10):
            # The caller has its answer before the server has logged the call.
            while all(each["event"] != "call" for each in logs):  # noqa: ASYNC110 # a log tells nobody
                await asyncio.sleep(0)
    trailing = await call.trailing_metadata()
    assert dict(trailing)["x-request-id"] == "mine-1"
    assert details(trailing)["RequestInfo"].request_id == "mine-1"
    line = next(each for each in logs if each["event"] == "call")
    assert (line["method"], line["code"], line["reason"]) == (QUERY, "NOT_FOUND", "COLLECTION_NOT_FOUND")
    assert line["ms"] > 0
    assert "secret" not in str(logs)


async def test_a_request_a_little_too_large_gets_our_error_and_one_far_too_large_grpcs(
    settings: Settings,
) -> None:
    settings = dataclasses.replace(settings, max_request_bytes=2**20)
    async with (
        running_server(settings) as server,
        grpc.aio.insecure_channel(server.grpc_address) as channel,
    ):
        stub: Any = ingestion_service_pb2_grpc.IngestionServiceStub(channel)
        for size, ours in ((2**20, True), (6 * 2**20, False)):
            document = types_pb2.Document(doc_id="one", text="x" * size)
            call = stub.IngestDocument(ingestion.IngestDocumentRequest(document=document))
            assert await call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert ("grpc-status-details-bin" in dict(await call.trailing_metadata())) is ours
            if ours:
                info = details(await call.trailing_metadata())["ErrorInfo"]
                assert (info.reason, info.metadata["max_request_bytes"]) == ("LIMIT_EXCEEDED", str(2**20))
        assert await count(server, "rag_documents") == 0


async def test_bytes_that_do_not_decode_are_invalid(channel: grpc.aio.Channel) -> None:
    call = channel.unary_unary(f"/{QUERY}", None, None)(b"\xff\xff")
    assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
    found = details(await call.trailing_metadata())
    assert found["ErrorInfo"].reason == "INVALID_FIELD"
    assert [each.field for each in found["BadRequest"].field_violations] == ["request"]


async def test_one_call_too_many_is_turned_away_and_counted(settings: Settings) -> None:
    settings = dataclasses.replace(settings, max_streams=1)
    async with (
        running_server(settings) as server,
        grpc.aio.insecure_channel(server.grpc_address) as channel,
    ):
        stub: Any = ingestion_service_pb2_grpc.IngestionServiceStub(channel)
        first = stub.StreamIngestDocuments()
        item = ingestion.IngestItem(document=types_pb2.Document(doc_id="one", text="hello"))
        await first.write(ingestion.StreamIngestDocumentsRequest(items=[item]))
        await first.read()
        second = stub.StreamIngestDocuments()
        assert await second.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert details(await second.trailing_metadata())["ErrorInfo"].reason == "RATE_LIMITED"
        assert await count(server, "rag_turned_away_total", reason="too_many_streams") == 1
        first.cancel()


@pytest.mark.parametrize("port", ["listen", "http_listen"])
async def test_a_second_server_on_a_port_is_refused(
    server: RunningServer, settings: Settings, port: str
) -> None:
    address = server.grpc_address if port == "listen" else server.http_address
    second = dataclasses.replace(settings, store="memory", **{port: address})  # type: ignore[arg-type] # by name
    with pytest.raises(OSError, match=re.escape(f"cannot listen on {address}")):
        async with running_server(second):
            raise AssertionError("two servers on one port")


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_describes_all_that_it_lists(channel: grpc.aio.Channel, version: str) -> None:
    method: Any = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )
    stream = method()
    await stream.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    names = {each.name for each in (await stream.read()).list_services_response.service}
    assert names >= {*SERVICES, "grpc.health.v1.Health", f"grpc.reflection.{version}.ServerReflection"}
    for name in (*names, "ragapi.v1.RetrievalService.Query", "ragapi.v1.QueryRequest.top_k"):
        await stream.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol=name))
        answer = await stream.read()
        assert answer.file_descriptor_response.file_descriptor_proto, name
    for name in ("ragapi.v1.RetrievalService.Nothing", "ragapi.v9.Nothing", "nothing"):
        await stream.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol=name))
        assert (await stream.read()).error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0], name
    await stream.done_writing()
    assert await stream.code() is grpc.StatusCode.OK


async def test_the_sidecar_answers_machines(server: RunningServer) -> None:
    assert (await get(server, "/healthz")).text == "ok\n"
    assert (await get(server, "/readyz?verbose=1")).status == 200
    missing = await get(server, "/nothing")
    assert (missing.status, missing.text) == (404, "there are /, /healthz, /metrics and /readyz\n")
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        refused = await get(server, "/metrics", method=method)
        assert (refused.status, refused.headers["Allow"]) == (405, "GET, HEAD"), method
    head = await get(server, "/metrics", method="HEAD")
    assert (head.status, head.text) == (200, "")
    assert int(head.headers["Content-Length"]) > 1000
    plain = await get(server, "/metrics")
    assert plain.headers["Content-Type"].startswith("text/plain")
    opened = await get(server, "/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert opened.headers["Content-Type"].startswith("application/openmetrics-text")
    assert opened.text.endswith("# EOF\n")


async def test_a_silent_crowd_does_not_keep_others_from_the_sidecar_for_long(server: RunningServer) -> None:
    host, port = server.http_address.split(":")
    crowd = [await asyncio.open_connection(host, int(port)) for _ in range(MAX_CONNECTIONS + 4)]
    for _, writer in crowd:
        writer.close()
        await writer.wait_closed()
    for _ in range(100):
        try:
            assert (await get(server, "/healthz")).status == 200
            return
        except (ConnectionError, OSError):
            await asyncio.sleep(0.02)
    raise AssertionError("the sidecar never recovered")
