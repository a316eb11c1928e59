"""What is under way and what is sent again: the logic of a stream without a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest

from rag_client import Chunk, Document, IngestItem, IngestPolicy, errors
from rag_client.streaming.packing import ENVELOPE, Packer
from rag_client.streaming.policy import Backoff, may_resend
from rag_client.streaming.window import IngestWindow
from ragapi.v1 import errors_pb2
from ragapi.v1 import ingestion_service_pb2 as ingestion_pb

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rag_client.streaming.packing import Message

POLICY = IngestPolicy(batch_documents=2, window=3, attempts=3, patience=60, initial_pause=1, longest_pause=4)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def window(clock: Clock) -> IngestWindow:
    return IngestWindow(POLICY, limits={}, collection="c", clock=clock)


def message(*doc_ids: str) -> Message:
    packer = Packer(IngestPolicy(), {})
    for doc_id in doc_ids:
        assert packer.add(Document(doc_id, "x")) is None
    packed = packer.flush()
    assert packed is not None
    return packed


def answer(request: Any, failing: Iterable[str] = (), *, delay: float | None = None) -> Any:
    response = ingestion_pb.StreamIngestDocumentsResponse(sequence=request.sequence)
    for item in request.items:
        result = response.results.add(doc_id=item.document.doc_id, status=ingestion_pb.INGEST_STATUS_CREATED)
        if item.document.doc_id in failing:
            result.status = ingestion_pb.INGEST_STATUS_FAILED
            result.problem.code = grpc.StatusCode.UNAVAILABLE.value[0]
            result.problem.reason = errors_pb2.ERROR_REASON_NOT_READY
            if delay is not None:
                result.problem.retry_delay.FromNanoseconds(int(delay * 1e9))
    return response


def sent(request: Any) -> list[str]:
    return [item.document.doc_id for item in request.items]


def pack(
    documents: list[Document | IngestItem], policy: IngestPolicy, limits: dict[str, int]
) -> list[Message]:
    packer = Packer(policy, limits)
    full = [packed for document in documents if (packed := packer.add(document))]
    last = packer.flush()
    return [*full, last] if last else full


def ids(messages: list[Message]) -> list[list[str]]:
    return [[item.document.doc_id for item in each.items if item] for each in messages]


def test_messages_are_bounded_by_the_nearer_count() -> None:
    documents: list[Document | IngestItem] = [Document(str(n), "x") for n in range(5)]
    assert [len(each) for each in ids(pack(documents, IngestPolicy(batch_documents=2), {}))] == [2, 2, 1]
    tight = pack(documents, IngestPolicy(batch_documents=100), {"max_batch_documents": 3})
    assert [len(each) for each in ids(tight)] == [3, 2]


def test_messages_are_bounded_by_bytes_and_a_large_document_goes_alone() -> None:
    documents: list[Document | IngestItem] = [Document("a", "x" * 400), Document("b", "x" * 400)]
    documents += [Document("large", "x" * 5000), Document("c", "x")]
    messages = pack(documents, IngestPolicy(batch_bytes=1000), {"max_request_bytes": 10_000})
    assert ids(messages) == [["a", "b"], ["large"], ["c"]]


@pytest.mark.parametrize("size", range(9000, 9030))
def test_a_request_never_passes_the_servers_limit(size: int) -> None:
    limit = 10_000
    policy = IngestPolicy(batch_bytes=1 << 30)
    documents: list[Document | IngestItem] = [Document("a", "x" * size), Document("b", "x" * (9750 - size))]
    window = IngestWindow(policy, limits={}, collection="c" * 64)
    for each in pack(documents, policy, {"max_request_bytes": limit}):
        window.add(each)
        request = window.next_request()
        assert request is not None
        request.sequence = 2**64 - 1
        assert request.ByteSize() <= limit


def test_what_cannot_be_sent_fails_by_itself() -> None:
    documents: list[Document | IngestItem] = [
        Document("good", "x"),
        Document("large", "x" * 2000),
        IngestItem(Document("nan", "x", metadata={"a": float("nan")})),
        Document("vector", chunks=[Chunk("x", vector="no")]),
        Document("half", "\ud800"),
    ]
    (packed,) = pack(documents, IngestPolicy(), {"max_request_bytes": 1000 + ENVELOPE})
    assert ids([packed]) == [["good"]]
    failed = [result for result in packed.results if result]
    assert [result.doc_id for result in failed] == ["large", "nan", "vector", "half"]
    assert [type(result.error) for result in failed] == [
        errors.LimitExceededError,
        *[errors.InvalidFieldError] * 3,
    ]


def test_a_document_stands_once_in_a_message() -> None:
    documents: list[Document | IngestItem] = [Document(name, "x") for name in "abac"]
    assert ids(pack(documents, IngestPolicy(), {})) == [["a", "b"], ["a", "c"]]


def test_results_come_in_the_order_of_the_documents(window: IngestWindow, clock: Clock) -> None:
    window.add(message("a", "b"))
    window.add(message("c"))
    first, second = window.next_request(), window.next_request()
    window.answer(answer(first, failing=["b"], delay=0))
    window.answer(answer(second))
    assert window.take_results() == []
    clock.now += 10
    again = window.next_request()
    assert again is not None
    assert (sent(again), again.collection) == (["b"], "c")
    window.answer(answer(again))
    assert [result.doc_id for result in window.take_results()] == ["a", "b", "c"]


def test_the_window_is_bounded_by_the_nearer_size() -> None:
    window = IngestWindow(POLICY, limits={"max_stream_window": 2}, collection="")
    for name in "ab":
        assert window.has_room(message(name))
        window.add(message(name))
    assert not window.has_room(message("c"))
    window.answer(answer(window.next_request()))
    assert not window.has_room(message("c")), "a result that nobody took takes room"
    window.take_results()
    assert window.has_room(message("c"))


def test_a_document_under_way_holds_back_its_next_version(window: IngestWindow) -> None:
    window.add(message("a"))
    assert not window.has_room(message("b", "a"))
    assert window.has_room(message("b"))
    window.answer(answer(window.next_request()))
    assert window.has_room(message("b", "a"))


def test_what_a_broken_stream_did_not_answer_goes_again_in_order(window: IngestWindow, clock: Clock) -> None:
    for name in "abc":
        window.add(message(name))
    requests = [window.next_request() for _ in "ab"]
    window.answer(answer(requests[0]))
    pause = window.broken(errors.NotReadyError("draining", retry_delay=3))
    assert pause == 3
    assert window.next_request() is None
    assert window.pause() == 3
    clock.now += 3
    assert [sent(window.next_request()) for _ in "bc"] == [["b"], ["c"]]


def test_pauses_grow_and_end(clock: Clock) -> None:
    backoff = Backoff(IngestPolicy(attempts=5, initial_pause=1, longest_pause=4), clock)
    pauses = [backoff.pause_after(errors.UnavailableError("")) for _ in range(5)]
    assert pauses[4] is None
    for pause, most in zip(pauses[:4], [1, 2, 4, 4], strict=True):
        assert pause is not None
        assert most / 2 <= pause <= most
    backoff.progress()
    assert backoff.pause_after(errors.UnavailableError("")) is not None


def test_patience_ends_by_time_as_well(clock: Clock) -> None:
    backoff = Backoff(IngestPolicy(attempts=1000, patience=60), clock)
    assert backoff.pause_after(errors.UnavailableError("")) is not None
    clock.now += 61
    assert backoff.pause_after(errors.UnavailableError("")) is None


def test_a_stream_that_is_tried_long_enough_gives_up_with_its_error(window: IngestWindow) -> None:
    window.add(message("a"))
    error = errors.UnavailableError("gone")
    for _ in range(POLICY.attempts - 1):
        window.broken(error)
    with pytest.raises(errors.UnavailableError, match="gone"):
        window.broken(error)


def test_an_answer_gives_a_stream_new_patience(window: IngestWindow, clock: Clock) -> None:
    for name in "abc":
        window.add(message(name))
        for _ in range(POLICY.attempts - 1):
            window.broken(errors.UnavailableError("gone"))
        clock.now += 10
        window.answer(answer(window.next_request()))
    assert [result.status for result in window.take_results()] == ["created"] * 3


def test_an_item_that_stays_not_ready_fails_in_the_end(window: IngestWindow, clock: Clock) -> None:
    window.add(message("a", "b"))
    window.close()
    for _ in range(POLICY.attempts):
        assert not window.done
        window.answer(answer(window.next_request(), failing=["b"]))
        clock.now += 10
    assert window.done
    good, bad = window.take_results()
    assert (good.status, bad.status) == ("created", "failed")
    assert isinstance(bad.error, errors.NotReadyError)


def test_while_items_wait_nothing_else_is_sent(window: IngestWindow, clock: Clock) -> None:
    window.add(message("a"))
    window.add(message("b"))
    window.answer(answer(window.next_request(), failing=["a"], delay=5))
    assert window.next_request() is None
    assert window.pause() == 5
    clock.now += 5
    assert sent(window.next_request()) == ["a"]


def test_an_answer_to_another_message_is_the_servers_fault(window: IngestWindow) -> None:
    window.add(message("a"))
    request = window.next_request()
    assert request is not None
    request.sequence += 1
    with pytest.raises(errors.InternalError, match="fits no message"):
        window.answer(answer(request))


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (errors.NotReadyError(""), True),
        (errors.ModelUnavailableError(""), True),
        (errors.UnavailableError(""), True),
        (errors.RateLimitedError(""), True),
        (errors.CallCancelledError(""), True),
        (errors.InternalError("", reason=""), True),
        (errors.InternalError(""), False),
        (errors.StorageFullError(""), False),
        (errors.InvalidFieldError(""), False),
        (errors.UnauthenticatedError(""), False),
        (errors.DeadlineExceededError(""), False),
    ],
)
def test_only_what_passes_is_sent_again(error: errors.RagClientError, again: bool) -> None:
    assert may_resend(error) is again
