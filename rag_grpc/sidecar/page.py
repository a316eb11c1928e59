"""The page for people, at /: its files, what it asks for as JSON, and what it may ask.

Each answer carries the headers of `guard`, errors too. Errors are JSON with the
contract's reasons; what nobody foresaw is told as a fault and stands in the log.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import orjson
import structlog

from rag_grpc.core.errors import RagError
from rag_grpc.sidecar.asking import Asking
from rag_grpc.sidecar.assets import page_assets
from rag_grpc.sidecar.desk import CallerLeft
from rag_grpc.sidecar.exchange import JSON, LINES, Answering, Request, Response
from rag_grpc.sidecar.guard import HEADERS, Guard
from rag_grpc.sidecar.history import History
from rag_grpc.sidecar.overview import Overview
from rag_grpc.sidecar.problems import problem_of, status_of
from rag_grpc.sidecar.quality import QualityCurves
from rag_grpc.sidecar.routes import Route

log = structlog.get_logger(__name__)


class Page:
    """All of the page's paths. `history` is told by who serves when time has gone by."""

    def __init__(
        self, guard: Guard, *, overview: Overview, history: History, quality: QualityCurves, asking: Asking
    ) -> None:
        self._guard = guard
        self._overview = overview
        self._history = history
        self._quality = quality
        self._asking = asking

    def routes(self) -> dict[str, Route]:
        """Say which paths these are."""
        shown = {
            path: Route(self._guarded(asset.answer), told=path == "/")
            for path, asset in page_assets().items()
        }
        return {
            **shown,
            "/page/overview.json": self._told(lambda _: self._overview.tell()),
            "/page/live.json": self._told(lambda _: self._history.tell()),
            "/page/quality.json": self._told(self._quality.tell),
            "/page/search": self._asked(lambda request: _json(self._asking.search(request))),
            "/page/answer": self._asked(
                lambda request: Response(HTTPStatus.OK, LINES, self._asking.answer(request))
            ),
        }

    def tick(self) -> None:
        """Look at the metrics where it is time to; called now and then."""
        self._history.look()

    def _told(self, tell: Callable[[Request], dict[str, Any]]) -> Route:
        return Route(self._guarded(lambda request: _json(tell(request))), told=False)

    def _asked(self, answer: Answering) -> Route:
        return Route(self._guarded(answer, post=True), method="POST", told=False)

    def _guarded(self, answer: Answering, *, post: bool = False) -> Answering:
        """Answer those who may ask, with the page's headers on whatever comes of it."""

        def guarded(request: Request) -> Response:
            try:
                self._guard.check(request)
                if post:
                    self._guard.check_post(request)
                response = answer(request)
            except (RagError, CallerLeft) as error:
                response = _json({"error": problem_of(error)}, status_of(error))
            except Exception as error:
                log.exception("http_failed", path=request.path)
                response = _json({"error": problem_of(error)}, status_of(error))
            headers = {**HEADERS, **response.headers}
            return Response(response.status, response.content_type, response.body, headers)

        return guarded


def _json(value: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(status, JSON, orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY))
