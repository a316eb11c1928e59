"""Who may ask for the page: what browsers send from it, and what other sites make them send."""

import pytest

from rag_grpc.core.errors import InvalidField, PermissionDenied
from rag_grpc.sidecar.exchange import Request
from rag_grpc.sidecar.guard import Guard, is_loopback


def asked(host: str = "127.0.0.1:8000", **headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("GET", "/", {"host": host, **named})


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("LocalHost", True),
        ("0.0.0.0", False),  # noqa: S104 # a value, nobody listens
        ("::", False),
        ("10.0.0.5", False),
        ("rag.example", False),
    ],
)
def test_what_is_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8000", "127.0.0.1", "localhost:8000", "LOCALHOST:1", "[::1]:8000", "[::1]"]
)
def test_this_machine_may_ask_by_any_of_its_own_names(host: str) -> None:
    Guard("127.0.0.1").check(asked(host))


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "10.0.0.5:8000",
        "2130706433",
        "[::ffff",
        "localhost.",
        "",
    ],
)
def test_a_foreign_name_that_points_here_is_refused(host: str) -> None:
    with pytest.raises(PermissionDenied, match="RAG_PAGE_HOSTS"):
        Guard("127.0.0.1").check(asked(host))


def test_a_request_without_a_host_is_refused() -> None:
    with pytest.raises(PermissionDenied):
        Guard("127.0.0.1").check(Request("GET", "/", {}))


def test_one_who_listens_everywhere_is_asked_by_address_or_by_a_name_that_is_allowed() -> None:
    guard = Guard("0.0.0.0", ("rag.example",))  # noqa: S104 # that is the case
    for host in ("10.0.0.5:8000", "[fe80::1]:8000", "rag.example", "RAG.example:443", "localhost:8000"):
        guard.check(asked(host))
    with pytest.raises(PermissionDenied):
        guard.check(asked("evil.example"))


def test_the_name_that_it_listens_at_is_its_own() -> None:
    Guard("rag.internal").check(asked("rag.internal:8000"))
    with pytest.raises(PermissionDenied):
        Guard("10.0.0.5").check(asked("10.0.0.6:8000"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("origin", "http://evil.example"),
        ("origin", "http://127.0.0.1:9000"),
        ("origin", "http://localhost:8000"),
        ("origin", "null"),
        ("origin", "http://["),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ],
)
def test_other_sites_are_refused(name: str, value: str) -> None:
    with pytest.raises(PermissionDenied, match="other site"):
        Guard("127.0.0.1").check(asked(**{name: value}))


FOLLOWED = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}


def test_a_link_of_another_site_may_open_the_page() -> None:
    Guard("127.0.0.1").check(asked(**FOLLOWED))
    Guard("127.0.0.1").check(asked(**{**FOLLOWED, "sec_fetch_site": "same-site"}))


@pytest.mark.parametrize(
    "changes",
    [
        {"sec_fetch_dest": "iframe"},
        {"sec_fetch_dest": "object"},
        {"sec_fetch_dest": "empty"},
        {"sec_fetch_mode": "no-cors"},
        {"sec_fetch_mode": "cors"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"host": "evil.example:8000"},
    ],
)
def test_a_link_opens_the_page_in_a_tab_of_its_own_and_by_its_own_name(changes: dict[str, str]) -> None:
    with pytest.raises(PermissionDenied):
        Guard("127.0.0.1").check(asked(**{**FOLLOWED, **changes}))


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/page/overview.json"), ("POST", "/"), ("GET", "/app.js")]
)
def test_a_link_opens_the_page_alone(method: str, path: str) -> None:
    request = Request(method, path, asked(**FOLLOWED).headers)
    with pytest.raises(PermissionDenied, match="other site"):
        Guard("127.0.0.1").check(request)


def test_its_own_pages_and_people_may_ask() -> None:
    guard = Guard("127.0.0.1", ("rag.example",))
    guard.check(asked(origin="http://127.0.0.1:8000", sec_fetch_site="same-origin"))
    guard.check(asked(sec_fetch_site="none"))
    # Through a proxy that speaks TLS.
    guard.check(asked("rag.example", origin="https://rag.example"))


def test_a_question_needs_an_origin_and_json() -> None:
    guard = Guard("127.0.0.1")
    with pytest.raises(PermissionDenied, match="Origin"):
        guard.check_post(asked(content_type="application/json"))
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "", "application/jsonp"):
        with pytest.raises(InvalidField, match="Content-Type"):
            guard.check_post(asked(origin="http://127.0.0.1:8000", content_type=content_type))
    guard.check_post(asked(origin="http://127.0.0.1:8000", content_type="Application/JSON; charset=utf-8"))
