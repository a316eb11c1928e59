"""Bytes that are no request, messages that are too large, and methods that are not there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import grpc
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from rag_grpc.app import running_server
from rag_grpc.rpc.server import MESSAGE_MARGIN
from rag_grpc.settings import Settings
from ragapi.v1 import errors_pb2
from ragapi.v1 import ingestion_service_pb2 as ingestion
from ragapi.v1.types_pb2 import Document
from tests.e2e.bare_client import RPCS, send
from tests.e2e.contract_answers import check
from tests.e2e.examples import examples
from tests.e2e.valid_requests import GOOD

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNDECODABLE = [b"\xff\xff\xff\xff", b"\x0a\xff\xff\xff\xff\x0f", b"\x0b"]


@pytest.mark.parametrize("method", RPCS)
async def test_bytes_that_are_no_request_are_named_so(served: grpc.aio.Channel, method: str) -> None:
    for payload in UNDECODABLE:
        answer = await send(served, RPCS[method], payload)
        check(answer, payload)
        assert (answer.code, answer.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ("request",)), answer


@pytest.mark.parametrize("method", ["Query", "IngestDocument", "StreamIngestDocuments", "GetCollection"])
async def test_text_that_is_no_utf8_is_no_request(served: grpc.aio.Channel, method: str) -> None:
    answer = await send(served, RPCS[method], b"\x0a\x02\xc3\x28")
    assert (answer.reason, answer.fields) == ("INVALID_FIELD", ("request",)), answer


@pytest.mark.parametrize(
    ("method", "item", "field"),
    [("BatchIngestDocuments", b"\x12\x00", "items"), ("BatchQuery", b"\x0a\x00", "queries")],
)
async def test_millions_of_empty_items_are_too_many(
    served: grpc.aio.Channel, method: str, item: bytes, field: str
) -> None:
    answer = await send(served, RPCS[method], item * 8_000_000)
    assert (answer.reason, answer.fields) == ("LIMIT_EXCEEDED", (field,)), answer
    check(answer, b"")


async def test_messages_too_deep_for_protobuf_are_no_request(served: grpc.aio.Channel) -> None:
    nested = b""
    for _ in range(200):  # Value.struct_value -> Struct.fields -> Value
        struct = b"\x0a" + varint(len(nested) + 3 + len(varint(len(nested)))) + b"\x0a\x01k\x12"
        nested = (
            b"\x2a"
            + varint(len(struct + varint(len(nested)) + nested))
            + struct
            + varint(len(nested))
            + nested
        )
    entry = b"\x0a\x01k\x12" + varint(len(nested)) + nested
    metadata = b"\x0a" + varint(len(entry)) + entry
    payload = b"\x12\x01d\x1a" + varint(len(metadata)) + metadata
    answer = await send(served, RPCS["UpdateMetadata"], payload)
    assert (answer.reason, answer.fields) == ("INVALID_FIELD", ("request",)), answer


def varint(number: int) -> bytes:
    encoded = b""
    while number > 0x7F:
        encoded += bytes([number & 0x7F | 0x80])
        number >>= 7
    return encoded + bytes([number])


@pytest.mark.parametrize("method", RPCS)
@examples(15)
@given(payload=st.binary(max_size=64))
async def test_any_bytes_get_an_answer_of_the_contract(
    served: grpc.aio.Channel, method: str, payload: bytes
) -> None:
    check(await send(served, RPCS[method], payload), payload)


async def test_a_method_that_is_not_there_is_grpcs_to_answer(served: grpc.aio.Channel) -> None:
    for path in ("/ragapi.v1.RetrievalService/Guess", "/ragapi.v2.RetrievalService/Query"):
        answer = await send(served, replace(RPCS["Query"], path=path), b"")
        assert (answer.code, answer.reason) == (grpc.StatusCode.UNIMPLEMENTED, "")


SMALLEST = 64 * 1024


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["memory", "embedded"])
async def narrow(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a server that takes no more than 64 KiB at once."""
    settings = Settings(
        listen="127.0.0.1:0",
        http_listen="127.0.0.1:0",
        data_dir=tmp_path_factory.mktemp("narrow") / "data",
        store=request.param,
        max_request_bytes=SMALLEST,
        drain_pause=0.0,
        disk_reserve_bytes=0,
    )
    async with running_server(settings) as server, grpc.aio.insecure_channel(server.grpc_address) as channel:
        yield channel


@pytest.mark.parametrize("method", RPCS)
async def test_a_message_too_large_is_told_the_limit(narrow: grpc.aio.Channel, method: str) -> None:
    for size in (SMALLEST + 1, SMALLEST + MESSAGE_MARGIN):
        answer = await send(narrow, RPCS[method], bytes(size))
        check(answer, size)
        assert answer.reason == "LIMIT_EXCEEDED"
        assert answer.metadata["limit"] == "max_request_bytes"
        assert answer.metadata["max_request_bytes"] == str(SMALLEST)


async def test_a_message_far_too_large_is_grpcs_to_refuse(narrow: grpc.aio.Channel) -> None:
    for method in ("Query", "IngestDocument", "StreamIngestDocuments"):
        answer = await send(narrow, RPCS[method], bytes(SMALLEST + MESSAGE_MARGIN + 1))
        assert (answer.code, answer.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "")


async def test_the_largest_message_is_taken(narrow: grpc.aio.Channel) -> None:
    document = Document(doc_id="large", text="word " * (SMALLEST // 5 - 10))
    request = ingestion.IngestDocumentRequest(document=document)
    document.text += "x" * (SMALLEST - request.ByteSize() - 5)
    request = ingestion.IngestDocumentRequest(document=document)
    assert SMALLEST - 8 < request.ByteSize() <= SMALLEST
    assert (await send(narrow, RPCS["IngestDocument"], request)).code is grpc.StatusCode.OK


@pytest.mark.parametrize("bad", [b"\xff\xff", bytes(SMALLEST + 1)], ids=["undecodable", "too large"])
async def test_a_stream_ends_with_what_cannot_be_read_and_answers_what_came_before(
    narrow: grpc.aio.Channel, bad: bytes
) -> None:
    good = ingestion.StreamIngestDocumentsRequest(items=[GOOD], sequence=7)
    answer = await send(narrow, RPCS["StreamIngestDocuments"], good, bad, good)
    check(answer, bad)
    assert answer.reason == ("LIMIT_EXCEEDED" if len(bad) > SMALLEST else "INVALID_FIELD")
    assert [response.sequence for response in answer.responses] == [7]


@pytest.mark.parametrize("characters", [1, 200], ids=["20 kB", "200 kB"])
async def test_too_many_items_of_any_size_fail_and_the_stream_goes_on(
    served: grpc.aio.Channel, characters: int
) -> None:
    item = ingestion.IngestItem(document=Document(doc_id="many", text="t" * characters))
    many = ingestion.StreamIngestDocumentsRequest(items=[item] * 1001, sequence=1)
    good = ingestion.StreamIngestDocumentsRequest(items=[GOOD], sequence=2)
    answer = await send(served, RPCS["StreamIngestDocuments"], many, good)
    assert answer.code is grpc.StatusCode.OK, answer
    assert [response.sequence for response in answer.responses] == [1, 2]
    failed = [result.problem.reason for result in answer.responses[0].results]
    assert failed == [errors_pb2.ERROR_REASON_LIMIT_EXCEEDED] * 1001


FLOODS = {  # the shortest item of each list, which fills the largest message by the million
    "StreamIngestDocuments": b"\x12\x00",
    "BatchIngestDocuments": b"\x12\x00",
    "DeleteDocuments": b"\x12\x00",
    "BatchQuery": b"\x0a\x00",
    "BatchGetDocuments": b"\x12\x00",
    "EvaluateFaithfulness": b"\x0a\x00",
}


@pytest.mark.parametrize("method", FLOODS)
async def test_a_flood_of_empty_items_is_refused_without_looking_at_each(
    served: grpc.aio.Channel, method: str
) -> None:
    item = FLOODS[method]
    async with asyncio.timeout(30):
        answer = await send(served, RPCS[method], item * (1024 * 1024 // len(item)))
    check(answer, method)
    assert answer.reason in ("LIMIT_EXCEEDED", "INVALID_FIELD")
