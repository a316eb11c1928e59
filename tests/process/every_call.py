"""Every method that a server has, called as often as one likes, and ended in every way a call can end."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from ragapi.v1 import collection_service_pb2 as collections
from ragapi.v1 import evaluation_service_pb2 as evaluation
from ragapi.v1 import generation_service_pb2 as generation
from ragapi.v1 import ingestion_service_pb2 as ingestion
from ragapi.v1 import retrieval_service_pb2 as retrieval
from ragapi.v1.types_pb2 import Document
from tests.e2e.bare_client import RPCS
from tests.e2e.valid_requests import VALID

AT_ONCE = 40
"""Calls of a method in flight: enough that most of them are cancelled in the middle of something."""
STUCK = 30.0
"""Seconds after which a call that should have ended has not."""
LONGEST = 0.02
"""Seconds to a cancellation or a deadline, at most."""

PERIOD = 77
"""After so many calls of a method the next has the requests of the first."""

C = grpc.StatusCode


@dataclass(frozen=True)
class Called:
    """A method: `messages` gives those of its n-th call, `ends` the codes that are right for one left alone.

    `lasts` says that it never ends by itself.
    """

    path: str
    client_streaming: bool
    server_streaming: bool
    messages: Callable[[int], Sequence[Message]]
    ends: frozenset[grpc.StatusCode] = frozenset({C.OK})
    lasts: bool = False

    @property
    def kind(self) -> str:
        """The name of what makes it of a channel."""
        sides = (self.client_streaming, self.server_streaming)
        return "_".join("stream" if each else "unary" for each in sides)


def _text(number: int) -> str:
    """Texts that come back, so that documents are replaced, some by what they are already."""
    return f"text {number % 11} of a document about leaks, written by nobody"


def _document(number: int) -> Document:
    return Document(doc_id=f"d{number % 7}", text=_text(number))


def _items(number: int) -> list[ingestion.IngestItem]:
    return [ingestion.IngestItem(document=_document(number + each)) for each in range(3)]


def _question(number: int) -> generation.AnswerOptions:
    return generation.AnswerOptions(retrieval=retrieval.QueryRequest(query=f"who wrote {_text(number)}?"))


def _number_of(number: int) -> Struct:
    metadata = Struct()
    metadata.update({"number": number})
    return metadata


PASSING = tuple(f"passing-{number}" for number in range(10))
"""Collections that come and go."""

KEPT = "kept"
"""A document that is always there."""

_REQUESTS: dict[str, Callable[[int], Sequence[Message]]] = {
    "IngestDocument": lambda n: [ingestion.IngestDocumentRequest(document=_document(n))],
    "BatchIngestDocuments": lambda n: [ingestion.BatchIngestDocumentsRequest(items=_items(n))],
    "StreamIngestDocuments": lambda n: [
        ingestion.StreamIngestDocumentsRequest(items=_items(n + each)) for each in range(3)
    ],
    "UpdateMetadata": lambda n: [ingestion.UpdateMetadataRequest(doc_id=KEPT, metadata=_number_of(n % 5))],
    "DeleteDocuments": lambda n: [
        ingestion.DeleteDocumentsRequest(documents=[ingestion.DocumentRef(doc_id=f"d{n % 7}")])
    ],
    "Query": lambda n: [retrieval.QueryRequest(query=_text(n))],
    "BatchQuery": lambda n: [
        retrieval.BatchQueryRequest(
            queries=[retrieval.QueryRequest(query=_text(n + each)) for each in range(4)]
        )
    ],
    "GenerateAnswer": lambda n: [generation.GenerateAnswerRequest(options=_question(n))],
    "StreamAnswer": lambda n: [generation.StreamAnswerRequest(options=_question(n))],
    "GetDocument": lambda _: [retrieval.GetDocumentRequest(doc_id=KEPT)],
    "BatchGetDocuments": lambda n: [retrieval.BatchGetDocumentsRequest(doc_ids=[KEPT, f"d{n % 7}"])],
    "CountDocuments": lambda _: [retrieval.CountDocumentsRequest()],
    "ListChunks": lambda _: [retrieval.ListChunksRequest(doc_id=KEPT)],
    "ListDocuments": lambda _: [retrieval.ListDocumentsRequest(include_text=True)],
    "CreateCollection": lambda n: [
        collections.CreateCollectionRequest(collection=collections.Collection(name=PASSING[n % 10]))
    ],
    "GetCollection": lambda _: [collections.GetCollectionRequest()],
    "ReembedCollection": lambda _: [collections.ReembedCollectionRequest(name="default", embedder="mock")],
    "EvaluateFaithfulness": lambda n: [
        evaluation.EvaluateFaithfulnessRequest(
            answers=[evaluation.AnswerWithContext(answer=_text(n), contexts=[_text(n + 1)])]
        )
    ],
    "MeasureIndexRecall": lambda n: [evaluation.MeasureIndexRecallRequest(sample_size=1 + n % 5)],
    "DeleteCollection": lambda n: [collections.DeleteCollectionRequest(name=PASSING[n % 10])],
}


def _always(message: Message) -> Callable[[int], Sequence[Message]]:
    return lambda _: [message]


def _contract() -> list[Called]:
    return [
        Called(
            rpc.path,
            rpc.client_streaming,
            rpc.server_streaming,
            _REQUESTS.get(name) or _always(VALID[name][0]),
            frozenset({C.OK}),
        )
        for name, rpc in RPCS.items()
    ]


def _standard() -> list[Called]:
    listed = reflection_pb2.ServerReflectionRequest(list_services="")
    check = health_pb2.HealthCheckRequest()
    return [
        Called("/grpc.health.v1.Health/Check", False, False, lambda _: [check]),
        Called("/grpc.health.v1.Health/List", False, False, lambda _: [health_pb2.HealthListRequest()]),
        Called("/grpc.health.v1.Health/Watch", False, True, lambda _: [check], lasts=True),
        *(
            Called(
                f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
                True,
                True,
                lambda _: [listed, listed],
            )
            for version in ("v1", "v1alpha")
        ),
    ]


EVERY = (*_contract(), *_standard())
"""Every method, those that stand beside the contract too."""


class Caller:
    """Calls methods on one channel, from any number of threads. Requests are made once: it is quick.

    The synchronous client, because the asynchronous one takes other ends than the server's for the ends of
    calls whose requests are a stream (a write that fails makes it INTERNAL, and may never return).
    """

    def __init__(self, channel: grpc.Channel, seed: int) -> None:
        self._channel = channel
        self._random = random.Random(seed)
        self._number = itertools.count()
        self._made = {
            called.path: [
                [message.SerializeToString() for message in called.messages(number)]
                for number in range(PERIOD)
            ]
            for called in EVERY
        }

    def begin(self, called: Called, *, hold: bool = False, timeout: float = STUCK) -> Any:
        """Begin a call. With `hold`, a stream of requests stays open until the call ends."""
        messages = self._made[called.path][next(self._number) % PERIOD]
        method: Any = getattr(self._channel, called.kind)(called.path)
        over = threading.Event()
        request = _sent(messages, over if hold else None) if called.client_streaming else messages[0]
        call = (method if called.server_streaming else method.future)(request, timeout=timeout)
        if not call.add_callback(over.set):
            over.set()
        return call

    def until_done(self, called: Called, count: int) -> None:
        """Have `count` calls end as they do when they are left alone; those that last are cancelled."""
        for begin in range(0, count, AT_ONCE):
            calls = [self.begin(called) for _ in range(begin, min(begin + AT_ONCE, count))]
            if called.lasts:
                for call in calls:
                    next(call)
                    call.cancel()
            codes = {code_of(called, call) for call in calls}
            assert codes <= ({C.CANCELLED} if called.lasts else called.ends), (called.path, codes)

    def until_cancelled(self, called: Called, count: int) -> None:
        """Cancel `count` calls, each a moment after it began."""

        def begin(at_once: int, longest: float) -> list[Any]:
            calls = [self.begin(called, hold=True) for _ in range(at_once)]
            began = time.monotonic()
            for call in calls:
                due = began + self._random.uniform(0, longest)
                time.sleep(max(0.0, due - time.monotonic()))
                call.cancel()
            return calls

        self._repeat(called, count, C.CANCELLED, begin)

    def until_too_late(self, called: Called, count: int) -> None:
        """Have the deadline of `count` calls pass."""

        def begin(at_once: int, longest: float) -> list[Any]:
            some = (self._random.uniform(longest / 10, longest) for _ in range(at_once))
            return [self.begin(called, hold=True, timeout=timeout) for timeout in some]

        self._repeat(called, count, C.DEADLINE_EXCEEDED, begin)

    def _repeat(
        self, called: Called, count: int, code: grpc.StatusCode, begin: Callable[[int, float], list[Any]]
    ) -> None:
        """Begin calls until `count` ended with `code`, and not with an answer that was quicker."""
        at_once, longest, ended, begun = AT_ONCE, LONGEST, 0, 0
        while begun < 20 * count:
            codes = Counter(code_of(called, call) for call in begin(at_once, longest))
            assert set(codes) <= {code, *called.ends}, (called.path, codes)
            ended += codes[code]
            if ended >= count:
                return
            begun += at_once
            if codes[code] < at_once / 2:
                # The first are answered before the last are begun, or before they are ended.
                at_once, longest = max(2, at_once // 2), longest / 2
        raise AssertionError(f"of {begun} calls of {called.path} only {ended} ended with {code}")


def code_of(called: Called, call: Any) -> grpc.StatusCode:
    """Wait for the end of a call, and give its code."""
    if called.server_streaming:
        with suppress(grpc.RpcError):
            for _ in call:
                pass
    code: grpc.StatusCode = call.code()
    return code


def _sent(messages: Sequence[bytes], over: threading.Event | None) -> Iterator[bytes]:
    yield from messages
    if over is not None:
        over.wait()
