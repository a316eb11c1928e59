"""Which path is answered by whom, and what is said of the others."""

from http import HTTPStatus

import pytest

from rag_grpc.sidecar.exchange import Request, plain
from rag_grpc.sidecar.routes import Route, Routes

ROUTES = Routes(
    {
        "/a": Route(lambda _: plain(HTTPStatus.OK, "a")),
        "/b": Route(lambda _: plain(HTTPStatus.OK, "b"), method="POST"),
        "/c": Route(lambda _: plain(HTTPStatus.OK, "c"), told=False),
    }
)


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/a", 200, None),
        ("HEAD", "/a", 200, None),
        ("POST", "/b", 200, None),
        ("POST", "/a", 405, "GET, HEAD"),
        ("OPTIONS", "/a", 405, "GET, HEAD"),
        ("GET", "/b", 405, "POST"),
        ("HEAD", "/b", 405, "POST"),
        ("GET", "/c", 200, None),
        ("DELETE", "/d", 404, None),
    ],
)
def test_each_path_takes_its_method(method: str, path: str, status: int, allow: str | None) -> None:
    response = ROUTES.answer(Request(method, path, {}))
    assert (response.status, response.headers.get("Allow")) == (status, allow)


def test_who_asks_for_what_is_not_there_is_told_what_is() -> None:
    assert ROUTES.answer(Request("GET", "/d", {})).body == b"there are /a and /b\n"
