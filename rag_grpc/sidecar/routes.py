"""Which path is answered by whom; what is not there, and what may not be done with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from rag_grpc.sidecar.exchange import Answering, Request, Response, plain


@dataclass(frozen=True, slots=True)
class Route:
    """Who answers a path, and to which method; where GET is answered, HEAD is too.

    `told` says whether the path is named to those who ask for one that is not there.
    """

    answer: Answering
    method: str = "GET"
    told: bool = True


class Routes:
    """The table of all paths. A new one has its path here and nowhere else."""

    def __init__(self, table: Mapping[str, Route]) -> None:
        self._table = dict(table)
        told = sorted(path for path, route in self._table.items() if route.told)
        self._there = f"there are {', '.join(told[:-1])} and {told[-1]}"

    def answer(self, request: Request) -> Response:
        """Answer, with 404 for a path that is not there and 405 for a method that it does not take."""
        route = self._table.get(request.path)
        if route is None:
            return plain(HTTPStatus.NOT_FOUND, self._there)
        taken = ("GET", "HEAD") if route.method == "GET" else (route.method,)
        if request.method not in taken:
            allowed = ", ".join(taken)
            return plain(
                HTTPStatus.METHOD_NOT_ALLOWED, f"{request.path} is asked for by {allowed}", Allow=allowed
            )
        return route.answer(request)
