"""Streaming ingest of both clients against a server that drains, breaks, is slow and refuses."""

from __future__ import annotations

import asyncio
import threading
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from clients.python.tests.scripted_server import BROKEN, NOT_READY, Failure, ScriptedServer, running
from rag_client import AsyncRagClient, Document, IngestPolicy, RagClient, errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    Asks = Callable[..., Any]

POLICY = IngestPolicy(batch_documents=3, window=4, initial_pause=0.01, longest_pause=0.05)


def corpus(count: int) -> list[Document]:
    return [Document(f"d{number:03}", f"text {number}") for number in range(count)]


def endings(after: int, failure: Failure, *, unanswered: int = 0) -> Any:
    """A stream that answers `after` messages, reads `unanswered` more, and ends so."""

    def script(messages: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        for _ in range(after):
            yield server_of(context).answer(next(messages))
        for _ in range(unanswered):
            next(messages)
        failure.abort(context)

    return script


SERVERS: dict[str, ScriptedServer] = {}


def server_of(_context: grpc.ServicerContext) -> ScriptedServer:
    return SERVERS["now"]


@pytest.fixture(autouse=True)
def _server_of_now(server: ScriptedServer) -> None:
    SERVERS["now"] = server


def assert_all_stored(server: ScriptedServer, results: list[Any], count: int) -> None:
    assert [result.doc_id for result in results] == [document.doc_id for document in corpus(count)]
    assert {result.status for result in results} <= {"created", "unchanged"}
    assert sorted(server.documents) == [document.doc_id for document in corpus(count)]


def test_a_corpus_goes_in_and_comes_back_in_order(server: ScriptedServer, ask: Asks) -> None:
    results = ask("ingest_stream", corpus(100), policy=POLICY, collection="c")
    assert_all_stored(server, results, 100)
    streamed = [each for each in server.requests if hasattr(each, "sequence")]
    assert [len(each.items) for each in streamed] == [3] * 33 + [1]
    assert {each.collection for each in streamed} == {"c"}


def test_nothing_in_is_nothing_out(server: ScriptedServer, ask: Asks) -> None:
    assert ask("ingest_stream", []) == []
    assert server.documents == {}


def test_the_servers_limits_are_kept(server: ScriptedServer, ask: Asks) -> None:
    server.limits.max_batch_documents = 2
    assert_all_stored(server, ask("ingest_stream", corpus(5), policy=POLICY), 5)
    assert [len(each.items) for each in server.requests if hasattr(each, "sequence")] == [2, 2, 1]


@pytest.mark.parametrize("failure", [NOT_READY, BROKEN], ids=["drain", "break"])
def test_what_a_stream_that_ends_did_not_answer_is_sent_again(
    server: ScriptedServer, ask: Asks, failure: Failure
) -> None:
    server.stream_scripts.extend(
        [endings(2, failure, unanswered=2), endings(0, failure), endings(1, failure, unanswered=1)]
    )
    assert_all_stored(server, ask("ingest_stream", corpus(40), policy=POLICY), 40)
    # What was answered was not sent again.
    assert len(server.stored) == 40


def test_a_server_that_ends_a_stream_without_a_word_is_asked_again(server: ScriptedServer, ask: Asks) -> None:
    def leave(messages: Iterator[Any], _context: Any) -> Iterator[Any]:
        yield server.answer(next(messages))

    server.stream_scripts.append(leave)
    assert_all_stored(server, ask("ingest_stream", corpus(20), policy=POLICY), 20)


def test_items_that_are_not_ready_are_sent_again(server: ScriptedServer, ask: Asks) -> None:
    server.problems["d004"].extend([NOT_READY, NOT_READY])
    server.problems["d006"].append(NOT_READY)
    assert_all_stored(server, ask("ingest_stream", corpus(20), policy=POLICY), 20)
    assert len(server.stored) == 20


def test_items_that_fail_for_good_are_results(server: ScriptedServer, ask: Asks) -> None:
    refusal = Failure(grpc.StatusCode.ABORTED, "REVISION_MISMATCH", "changed")
    server.problems["d004"].append(refusal)
    results = ask("ingest_stream", corpus(10), policy=POLICY)
    failed = [result for result in results if result.status == "failed"]
    assert len(results) == 10
    assert [(each.doc_id, type(each.error)) for each in failed] == [("d004", errors.RevisionMismatchError)]


def test_an_error_that_stays_ends_the_stream_after_its_answers(server: ScriptedServer, ask: Asks) -> None:
    refusal = Failure(grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
    # Again and again, as a server does that means it: a write that fails before the status still hides it.
    server.stream_scripts.extend([endings(2, refusal), *[endings(0, refusal)] * 20])
    with pytest.raises(errors.UnauthenticatedError):
        ask("ingest_stream", corpus(40), policy=POLICY)
    assert len(server.stored) == 6


def test_a_server_that_stays_away_is_given_up(server: ScriptedServer, ask: Asks) -> None:
    server.stream_scripts.extend([endings(0, BROKEN)] * 10)
    few = IngestPolicy(attempts=3, initial_pause=0.01, longest_pause=0.01)
    with pytest.raises(errors.UnavailableError):
        ask("ingest_stream", corpus(4), policy=few)
    assert len(server.stream_scripts) == 7


def test_a_server_that_is_starting_is_waited_for(server: ScriptedServer, ask: Asks) -> None:
    server.fail("GetServerInfo", *[NOT_READY] * 7)  # more than gRPC itself retries
    assert_all_stored(server, ask("ingest_stream", corpus(4), policy=POLICY), 4)


def test_an_error_of_the_documents_comes_after_the_results(server: ScriptedServer, ask: Asks) -> None:
    def documents() -> Iterator[Document]:
        yield from corpus(7)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        ask("ingest_stream", documents(), policy=POLICY)
    assert len(server.stored) == 7


def test_documents_that_cannot_be_sent_do_not_stop_the_others(server: ScriptedServer, ask: Asks) -> None:
    bad = [Document(f"bad{n}", "x", metadata={"n": float("inf")}) for n in range(50)]
    results = ask("ingest_stream", [*bad, *corpus(2), *bad], policy=POLICY)
    assert [result.status for result in results] == ["failed"] * 50 + ["created"] * 2 + ["failed"] * 50
    assert len(server.stored) == 2


def test_versions_of_one_document_arrive_in_their_order(server: ScriptedServer, ask: Asks) -> None:
    server.problems["d"].append(NOT_READY)
    versions = [Document("d", f"version {number}") for number in range(10)]
    results = ask("ingest_stream", versions, policy=POLICY)
    assert [result.status for result in results] == ["created"] + ["replaced"] * 9
    assert server.documents["d"].text == "version 9"


def test_several_messages_are_under_way_and_no_more_than_the_window(server: ScriptedServer) -> None:
    read = threading.Semaphore(0)
    go_on = threading.Event()
    taken: list[str] = []

    def slow(messages: Iterator[Any], _context: Any) -> Iterator[Any]:
        held = []
        for _ in range(4):
            held.append(next(messages))
            read.release()
        go_on.wait(10)
        yield from map(server.answer, held)
        yield from map(server.answer, messages)

    def documents() -> Iterator[Document]:
        for document in corpus(60):
            taken.append(document.doc_id)
            yield document

    server.stream_scripts.append(slow)
    with RagClient(server.target) as client:
        results = client.ingest_stream(documents(), policy=POLICY)
        found: list[Any] = []
        reader = threading.Thread(target=lambda: found.extend(results))
        reader.start()
        for _ in range(4):
            assert read.acquire(timeout=10), "four messages are sent before one is answered"
        # A window of four messages, one that waits for room, and the document that closed it.
        assert len(taken) <= 3 * 5 + 1
        go_on.set()
        reader.join(10)
    assert_all_stored(server, found, 60)


def test_answers_are_read_while_the_source_is_slow(server: ScriptedServer) -> None:
    more = threading.Event()

    def documents() -> Iterator[Document]:
        yield from corpus(4)
        assert more.wait(10)
        yield Document("last", "x")

    with RagClient(server.target) as client:
        results = client.ingest_stream(documents(), policy=POLICY)
        first = [next(results).doc_id for _ in range(3)]
        more.set()
        assert first + [each.doc_id for each in results] == ["d000", "d001", "d002", "d003", "last"]


def test_a_caller_may_leave_early_and_leaves_nothing_behind(server: ScriptedServer) -> None:
    before = threading.active_count()
    with RagClient(server.target) as client:
        results = client.ingest_stream(corpus(1000), policy=POLICY)
        assert next(results).status == "created"
        results.close()
        assert client.ping().message == "pong"
    assert not [each for each in threading.enumerate() if each.name.startswith("rag-ingest-answers")]
    assert threading.active_count() <= before + 8, "the server's own pool and no more"


async def test_a_task_may_leave_early_and_leaves_nothing_behind(server: ScriptedServer) -> None:
    async with AsyncRagClient(server.target) as client:
        before = asyncio.all_tasks()
        async with aclosing(client.ingest_stream(corpus(1000), policy=POLICY)) as results:
            async for result in results:
                assert result.status == "created"
                break
        await client.ping()
        ours = [task for task in asyncio.all_tasks() - before if "AsyncIngest" in repr(task)]
        assert ours == []


async def test_an_async_source_is_read_as_it_comes(server: ScriptedServer) -> None:
    more = asyncio.Event()

    async def documents() -> AsyncIterator[Document]:
        for document in corpus(4):
            yield document
        await more.wait()
        yield Document("last", "x")

    found = []
    async with AsyncRagClient(server.target) as client:
        async for result in client.ingest_stream(documents(), policy=POLICY):
            found.append(result.doc_id)
            if len(found) == 3:
                more.set()
    assert found == ["d000", "d001", "d002", "d003", "last"]


def test_a_restart_in_the_middle_loses_nothing(ask: Asks) -> None:
    """The server goes away for good and comes back on its port, as a rolling update does."""
    servicer = ScriptedServer()
    SERVERS["now"] = servicer
    half, back = threading.Event(), threading.Event()

    def documents() -> Iterator[Document]:
        yield from corpus(30)
        half.set()
        assert back.wait(20)
        yield from corpus(60)[30:]

    def life() -> None:
        with running(servicer):
            up.set()
            assert half.wait(20)
        with running(servicer):
            back.set()
            assert done.wait(20)

    up, done = threading.Event(), threading.Event()
    started = threading.Thread(target=life)
    started.start()
    assert up.wait(20)
    ask.target = servicer.target  # type: ignore[attr-defined]  # the fixture's type is its call
    try:
        results = ask("ingest_stream", documents(), policy=POLICY)
    finally:
        done.set()
        started.join(20)
    assert_all_stored(servicer, results, 60)
