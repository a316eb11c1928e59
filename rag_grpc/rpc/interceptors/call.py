"""One call on its way through the interceptors: what is called, and what is known of it so far."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import MethodOptions
from py_grpc_prometheus.grpc_utils import get_method_type

Fact: TypeAlias = "str | int | float | bool"

_CONTRACT = "ragapi.v1."
_PING_SERVICE = "ragapi.v1.HealthService"


class Work(Enum):
    """What kind of load a call is: admission counts each apart."""

    READ = "read"
    WRITE = "write"
    STREAM = "stream"
    EXEMPT = "exempt"
    """Health, reflection, Ping: answered whatever the state of the rest."""

    # By identity: that of Enum is Python code, and every call looks its kind up four times.
    __hash__ = object.__hash__


@dataclass(frozen=True, slots=True)
class Method:
    """A method that this server has. `path` is as gRPC sends it, with a slash in front."""

    path: str
    service: str
    name: str
    type: str
    """UNARY, SERVER_STREAMING, CLIENT_STREAMING or BIDI_STREAMING, as dashboards know it."""
    work: Work

    @classmethod
    def of(cls, path: str, handler: grpc.RpcMethodHandler[Any, Any]) -> Method:
        """Describe what `handler` serves."""
        service, name = path[1:].rsplit("/", 1)
        return cls.named(
            service,
            name,
            request_streaming=handler.request_streaming,
            response_streaming=handler.response_streaming,
        )

    @classmethod
    def named(cls, service: str, name: str, *, request_streaming: bool, response_streaming: bool) -> Method:
        """Describe a method; the contract's own options say whether it only reads."""
        return cls(
            path=f"/{service}/{name}",
            service=service,
            name=name,
            type=get_method_type(request_streaming, response_streaming),
            work=_work(service, name, streams=request_streaming or response_streaming),
        )


def _work(service: str, name: str, *, streams: bool) -> Work:
    if not service.startswith(_CONTRACT) or service == _PING_SERVICE:
        return Work.EXEMPT
    if streams:
        return Work.STREAM
    method = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
    reads = method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS
    return Work.READ if reads else Work.WRITE


def _ignore(_bytes: int) -> None:
    """Stand in for an interceptor that counts messages."""


class Call:
    """One call. Each interceptor writes down what it finds out; those further out read it at the end.

    `request` is what gRPC handed over: undecoded bytes, or an iterator of them. `code` and `reason` are
    set by the error interceptor however the call ends, `code` being None until then.
    """

    __slots__ = (
        "about",
        "code",
        "context",
        "method",
        "on_received",
        "on_sent",
        "reason",
        "received_bytes",
        "request",
        "request_id",
        "sent_bytes",
        "started",
    )

    def __init__(
        self,
        method: Method,
        request: Any,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> None:
        self.method = method
        self.request = request
        self.context = context
        self.request_id = ""
        self.code: grpc.StatusCode | None = None
        self.reason = ""
        self.about: dict[str, Fact] = {}
        self.received_bytes = 0
        self.sent_bytes = 0
        self.on_received: Callable[[int], None] = _ignore
        self.on_sent: Callable[[int], None] = _ignore
        self.started = time.perf_counter()

    def elapsed(self) -> float:
        """Seconds since the call reached the interceptors."""
        return time.perf_counter() - self.started


_current: ContextVar[Call] = ContextVar("call")


def enter(call: Call) -> None:
    """Make `call` the current one of this task. gRPC runs each call in a context of its own."""
    _current.set(call)


def about(**facts: Fact) -> None:
    """Tell the access log what the current call is about: a collection, a count; never a text.

    Does nothing outside a call, so that servicers can be tested alone.
    """
    call = _current.get(None)
    if call is not None:
        call.about.update(facts)
