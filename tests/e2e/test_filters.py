"""Filters through the service: what passes, what is wrong with one, and what a deletion removes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import numpy as np
import pytest
import pytest_asyncio
from google.protobuf.message import Message

from rag_client import AsyncRagClient, Chunk, Document, Field
from rag_client.filters import CREATE_TIME, DOC_ID, TITLE
from rag_grpc.app import running_server
from rag_grpc.settings import Settings
from ragapi.v1 import ingestion_service_pb2 as ingestion
from ragapi.v1 import retrieval_service_pb2 as retrieval
from tests.e2e.bare_client import RPCS, Answer, send
from tests.e2e.contract_answers import check, check_problem

pytestmark = pytest.mark.asyncio(loop_scope="module")

WRONG = 'lang = "en" AND year >= 2020 OR draft = true'
YEAR, LANG, TAGS = Field("year"), Field("lang"), Field("tags")


def wrong(filter_text: str) -> list[tuple[str, Message]]:
    """Each call that takes a filter."""
    return [
        ("Query", retrieval.QueryRequest(query="x", filter=filter_text)),
        ("ListDocuments", retrieval.ListDocumentsRequest(filter=filter_text)),
        ("CountDocuments", retrieval.CountDocumentsRequest(filter=filter_text)),
        ("DeleteDocuments", ingestion.DeleteDocumentsRequest(filter=filter_text)),
    ]


def check_wrong(answer: Answer, position: int) -> None:
    check(answer, answer)
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FILTER")
    assert answer.metadata["position"] == str(position)
    assert answer.fields == ("filter",)
    assert f"at character {position}" in answer.message


@pytest.mark.parametrize(("method", "request_"), wrong(WRONG), ids=str)
async def test_a_filter_that_does_not_parse_is_refused_with_its_place(
    served: grpc.aio.Channel, method: str, request_: Message
) -> None:
    answer = await send(served, RPCS[method], request_)
    check_wrong(answer, WRONG.index("OR"))
    assert "expected AND or the end" in answer.message
    assert "parentheses" in answer.message


@pytest.mark.parametrize(("method", "request_"), wrong("  "), ids=str)
async def test_white_space_is_no_filter(served: grpc.aio.Channel, method: str, request_: Message) -> None:
    check_wrong(await send(served, RPCS[method], request_), 2)


@pytest.mark.parametrize(("method", "request_"), wrong("(" * 16_000), ids=str)
async def test_deep_nesting_is_refused(served: grpc.aio.Channel, method: str, request_: Message) -> None:
    check_wrong(await send(served, RPCS[method], request_), 64)


@pytest.mark.parametrize(("method", "request_"), wrong("(" * 100_000), ids=str)
async def test_a_filter_that_is_too_long_is_over_the_limit(
    served: grpc.aio.Channel, method: str, request_: Message
) -> None:
    answer = await send(served, RPCS[method], request_)
    assert (answer.reason, answer.metadata["limit"]) == ("LIMIT_EXCEEDED", "max_filter_bytes")


async def test_a_wrong_filter_fails_its_query_of_a_batch_alone(served: grpc.aio.Channel) -> None:
    texts = ("", WRONG, "year >= 2020")
    queries = [retrieval.QueryRequest(query="the kept word", filter=text) for text in texts]
    answer = await send(served, RPCS["BatchQuery"], retrieval.BatchQueryRequest(queries=queries))
    first, second, third = answer.responses[0].results
    assert first.response.results
    assert not first.response.plan.HasField("matching_chunks")
    problem = check_problem(second.problem, WRONG)
    assert (problem.reason, problem.fields) == ("INVALID_FILTER", ("filter",))
    assert second.problem.metadata["position"] == str(WRONG.index("OR"))
    assert (len(third.response.results), third.response.plan.matching_chunks) == (0, 0)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["memory", "embedded"])
async def client(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[AsyncRagClient]:
    settings = Settings(
        listen="127.0.0.1:0",
        http_listen="127.0.0.1:0",
        data_dir=tmp_path_factory.mktemp("filters") / "data",
        store=request.param,
        drain_pause=0.0,
        disk_reserve_bytes=0,
    )
    async with running_server(settings) as server, AsyncRagClient(server.grpc_address) as client:
        yield client


async def filled(client: AsyncRagClient, name: str, count: int) -> None:
    """A collection of vectors; document n has the year 2000 + n % 30, a language and tags."""
    await client.create_collection(name, embedder="none", dimension=4)
    rows = np.random.default_rng(3).normal(size=(count, 4)).astype(np.float32)
    documents = [
        Document(
            f"d{number:05}",
            title="even" if number % 2 == 0 else "",
            metadata={
                "year": 2000 + number % 30,
                "lang": ("en", "de", "fr")[number % 3],
                "tags": [f"t{number % 5}"],
            },
            chunks=[Chunk("piece", vector=row)],
        )
        for number, row in enumerate(rows)
    ]
    async for result in client.ingest_stream(documents, collection=name):
        assert result.error is None


async def test_what_passes_is_found_listed_and_counted(client: AsyncRagClient) -> None:
    await filled(client, "found", 90)
    for condition, expected in (
        (YEAR >= 2020, lambda number: number % 30 >= 20),
        ((LANG == "en") & ~TAGS.contains("t0"), lambda number: number % 3 == 0 and number % 5 != 0),
        ((TITLE == "even") | (YEAR == 2001), lambda number: number % 2 == 0 or number % 30 == 1),
        (DOC_ID.is_in(["d00007", "nobody"]), lambda number: number == 7),
        (CREATE_TIME < "2026-01-01", lambda _: False),
        (~Field("missing").exists(), lambda _: True),
    ):
        wanted = [f"d{number:05}" for number in range(90) if expected(number)]
        listed = [
            each.doc_id
            async for each in client.iter_documents(collection="found", filter=condition, page_size=7)
        ]
        assert listed == wanted, condition
        assert await client.count_documents(collection="found", filter=condition) == len(wanted)
        page = await client.list_documents(
            collection="found", filter=condition, page_size=1, include_total_count=True
        )
        assert page.total_count == len(wanted)
        result = await client.query("", vector=[1, 2, 3, 4], collection="found", filter=condition, top_k=100)
        assert sorted(hit.doc_id for hit in result.hits) == wanted
        assert result.plan.matching_chunks == len(wanted)


async def test_a_page_token_of_another_filter_is_refused(client: AsyncRagClient) -> None:
    await filled(client, "tokens", 10)
    page = await client.list_documents(collection="tokens", filter=YEAR >= 2000, page_size=2)
    assert page.next_page_token
    with pytest.raises(Exception, match="the token of another list"):
        await client.list_documents(collection="tokens", filter=YEAR >= 2001, page_token=page.next_page_token)


async def test_a_deletion_removes_what_passes_and_tells_how_many(client: AsyncRagClient) -> None:
    count = 2_700
    await filled(client, "removed", count)
    late = YEAR >= 2003
    passing = sum(number % 30 >= 3 for number in range(count))
    assert passing > 2_000  # more than two slices
    looked = await client.delete_documents(collection="removed", filter=late, validate_only=True)
    assert (looked.matched_count, looked.deleted_count) == (passing, 0)
    assert await client.count_documents(collection="removed") == count
    done = await client.delete_documents(collection="removed", filter=late)
    assert (done.matched_count, done.deleted_count) == (passing, passing)
    assert await client.count_documents(collection="removed") == count - passing
    assert await client.count_documents(collection="removed", filter=late) == 0
    result = await client.query("", vector=[1, 0, 0, 0], collection="removed", filter=late)
    assert (len(result.hits), result.plan.matching_chunks) == (0, 0)
