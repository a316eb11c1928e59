"""Each call of both clients against a server that answers, retries included."""

from __future__ import annotations

import asyncio
import math
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from clients.python.tests.scripted_server import BROKEN, NOT_READY, Failure
from rag_client import AsyncRagClient, Chunking, Document, RagClient, RagClientError, errors
from rag_client.models import Deleted, Pong
from ragapi.v1 import retrieval_service_pb2 as retrieval_pb

if TYPE_CHECKING:
    from collections.abc import Callable

    from clients.python.tests.scripted_server import ScriptedServer

    Asks = Callable[..., Any]


def test_ping(ask: Asks) -> None:
    assert ask("ping") == Pong("ok", "pong")


def test_server_info(ask: Asks) -> None:
    info = ask("get_server_info")
    assert (info.version, info.store, info.embedders[0].name) == ("9.9", "memory", "mock")
    assert info.limits["max_batch_documents"] == 1000
    assert info.limits["max_ef"] == 0


@pytest.mark.parametrize(("status", "word"), [(1, "serving"), (2, "not_serving")])
def test_health(server: ScriptedServer, ask: Asks, status: int, word: str) -> None:
    server.serving = status
    assert ask("check_health", "ragapi.v1.RetrievalService") == word
    assert server.requests[-1].value == "ragapi.v1.RetrievalService"


def test_health_of_a_service_that_there_is_not(ask: Asks) -> None:
    with pytest.raises(errors.NotFoundError):
        ask("check_health", "nobody")


def test_collections(server: ScriptedServer, ask: Asks) -> None:
    made = ask("create_collection", "c", metric="dot", chunking=Chunking(max_characters=100))
    assert (made.name, made.metric, made.chunking.max_characters) == ("c", "dot", 100)
    assert ask("get_collection").document_count == 3
    assert [each.name for each in ask("list_collections").collections] == ["a", "b"]
    assert [each.name for each in ask("iter_collections")] == ["a", "b", "c"]
    assert ask("delete_collection", "a") is True
    assert ask("delete_collection", "b", uid="u") is False
    assert server.requests[-1].uid == "u"


def test_reembedding_yields_how_far_it_is(ask: Asks) -> None:
    steps = ask("reembed_collection", "c", "mock")
    assert [(step.done, step.total) for step in steps] == [(1, 2), (2, 2)]
    assert steps[0].collection is None
    assert steps[1].collection.embedder == "mock"


def test_leaving_a_reembedding_stops_it(server: ScriptedServer) -> None:
    with RagClient(server.target) as client:
        steps = client.reembed_collection("endless", "mock")
        assert next(steps).done == 1
        steps.close()
        assert server.left.wait(20)


async def test_leaving_a_reembedding_stops_it_in_asyncio(server: ScriptedServer) -> None:
    async with AsyncRagClient(server.target) as client:
        async with aclosing(client.reembed_collection("endless", "mock")) as steps:
            assert (await anext(steps)).done == 1
        assert await asyncio.to_thread(server.left.wait, 20)


def test_documents_go_in_and_come_back(ask: Asks) -> None:
    assert ask("ingest_document", Document("a", "one", metadata={"n": 1})).status == "created"
    again = [Document("a", "one"), Document("a", "two"), Document("b", "x")]
    assert [each.status for each in ask("ingest_documents", again)] == ["unchanged", "replaced", "created"]
    assert ask("get_document", "a").text == "two"
    assert [each.doc_id for each in ask("get_documents", ["b", "none", "a"])] == ["b", "a"]
    assert ask("count_documents") == 2
    assert ask("delete_documents", ["a", "z"], validate_only=True) == Deleted(1, 0)
    assert ask("delete_documents", all=True) == Deleted(2, 2)


def test_an_item_that_failed_carries_its_error(server: ScriptedServer, ask: Asks) -> None:
    server.problems["bad"].append(
        Failure(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", fields={"document.text": "more"})
    )
    good, bad = ask("ingest_documents", [Document("good", "x"), Document("bad", "")])
    assert (good.status, good.error) == ("created", None)
    assert bad.status == "failed"
    assert isinstance(bad.error, errors.InvalidFieldError)
    assert bad.error.fields[0].field == "document.text"


def test_metadata_is_merged_by_the_server(server: ScriptedServer, ask: Asks) -> None:
    updated = ask("update_metadata", "a", {"gone": None, "n": 2}, expected_revision=6)
    assert (updated.revision, updated.metadata) == (7, {"gone": None, "n": 2})
    assert server.requests[-1].expected_revision == 6


def test_hits_are_read_whole(server: ScriptedServer, ask: Asks) -> None:
    hit = retrieval_pb.Hit(doc_id="a", score=0.5, title="t")
    hit.metadata["year"] = 2020
    hit.chunk.text = "piece"
    hit.chunk.vector.packed = b"\x00\x00\x80\x3f"
    hit.chunk.headings.append("h")
    hit.parts.MergeFrom(retrieval_pb.ScoreParts(dense=0.5, dense_rank=2, lexical_rank=1, rerank=-1.5))
    hit.highlights.add(start=1, end=2)
    server.hits = [hit]
    result = ask("query", "hello", include_vectors=True)
    (found,) = result.hits
    assert (found.doc_id, found.score, found.title, found.metadata) == ("a", 0.5, "t", {"year": 2020})
    assert (found.chunk.text, found.chunk.vector.tolist(), found.chunk.start) == ("piece", [1.0], None)
    assert found.chunk.headings == ("h",)
    parts = found.parts
    assert (parts.dense, parts.dense_rank, parts.lexical, parts.lexical_rank) == (0.5, 2, None, 1)
    assert parts.rerank == -1.5
    assert found.highlights == ((1, 2),)
    assert (result.query, result.plan.strategy, result.plan.mode) == ("hello", "exact", "dense")


def test_the_plan_is_read_whole(server: ScriptedServer, ask: Asks) -> None:
    server.plan = retrieval_pb.SearchPlan(
        strategy=retrieval_pb.SEARCH_STRATEGY_ANN_THEN_EXACT,
        mode=retrieval_pb.SEARCH_MODE_HYBRID,
        matching_chunks=0,
    )
    server.plan.stages["fuse"].FromMicroseconds(250)
    plan = ask("query", "hello").plan
    assert (plan.mode, plan.strategy, plan.matching_chunks) == ("hybrid", "ann_then_exact", 0)
    assert plan.stages == {"fuse": 0.00025}


def test_in_a_batch_each_query_succeeds_or_fails_by_itself(ask: Asks) -> None:
    first, second = ask("batch_query", ["hello", {"vector": [1.0], "top_k": 2}])
    assert first.query == "hello"
    assert isinstance(second, errors.InvalidFieldError)


def test_pages_are_read_to_the_end(server: ScriptedServer, ask: Asks) -> None:
    for number in range(5):
        server.store(retrieval_item(f"d{number}"))
    assert [each.doc_id for each in ask("iter_documents", page_size=2)] == [f"d{n}" for n in range(5)]
    assert [request.page_token for request in server.requests] == ["", "2", "4"]
    assert [each.text for each in ask("iter_chunks", "d0")] == ["x", "y", "z"]
    page = ask("list_documents")
    assert (len(page.documents), page.next_page_token, page.total_count) == (2, "2", None)


def test_a_document_that_changes_between_pages_ends_the_list(server: ScriptedServer, ask: Asks) -> None:
    changed = Failure(grpc.StatusCode.ABORTED, "REVISION_MISMATCH")
    server.fail("ListChunks", changed)
    with pytest.raises(errors.RevisionMismatchError):
        ask("iter_chunks", "d0")


@pytest.mark.parametrize("failure", [BROKEN, NOT_READY])
def test_a_call_that_may_be_sent_twice_is_retried(
    server: ScriptedServer, ask: Asks, failure: Failure
) -> None:
    server.fail("IngestDocument", failure, failure)
    assert ask("ingest_document", Document("a", "x")).status == "created"
    assert len(server.requests) == 3


def test_a_large_request_is_retried_too(server: ScriptedServer, ask: Asks) -> None:
    server.fail("IngestDocument", BROKEN)
    assert ask("ingest_document", Document("a", "x" * 3_000_000)).status == "created"
    assert len(server.requests) == 2


def test_a_call_that_may_not_is_sent_once(server: ScriptedServer, ask: Asks) -> None:
    server.fail("DeleteDocuments", BROKEN)
    with pytest.raises(errors.UnavailableError):
        ask("delete_documents", all=True)
    assert len(server.requests) == 1


def test_retries_can_be_switched_off(server: ScriptedServer, ask: Asks) -> None:
    server.fail("Ping", BROKEN)
    with pytest.raises(errors.UnavailableError):
        ask("ping", client={"retries": False})


def test_an_error_that_will_stay_is_not_retried(server: ScriptedServer, ask: Asks) -> None:
    server.fail("Query", Failure(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"))
    with pytest.raises(RagClientError):
        ask("query", "x")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("client", "arguments", "seconds"),
    [
        ({}, {}, 10),
        ({"timeout": 7}, {}, 7),
        ({"timeout": 7, "timeouts": {"Query": 5}}, {}, 5),
        ({"timeout": 7, "timeouts": {"Query": 5}}, {"timeout": 3}, 3),
        ({}, {"timeout": math.inf}, None),
    ],
)
def test_the_nearest_timeout_holds(
    server: ScriptedServer,
    ask: Asks,
    client: dict[str, Any],
    arguments: dict[str, Any],
    seconds: float | None,
) -> None:
    ask("query", "x", client=client, **arguments)
    (remaining,) = server.time_remaining
    if seconds is None:
        assert remaining is None
    else:
        assert remaining is not None
        assert seconds - 2 < remaining < seconds + 0.5  # the wire rounds it up


def test_metadata_and_the_release_go_with_every_call(server: ScriptedServer, ask: Asks) -> None:
    ask("ping", client={"metadata": [("authorization", "Bearer k")]})
    assert server.invocation_metadata[0]["authorization"] == "Bearer k"
    assert "rag-grpc-client/" in server.invocation_metadata[0]["user-agent"]


def retrieval_item(doc_id: str) -> Any:
    from rag_client.messages import item_message

    return item_message(Document(doc_id, "x"))
