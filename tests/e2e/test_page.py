"""The page over HTTP: what it tells, what it answers, whom it refuses, and that it holds in every state."""

import asyncio
import dataclasses
import socket
import time
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from rag_grpc.app import RunningServer, listening_server, running_server
from rag_grpc.core.quality import Measurement, Origin
from rag_grpc.settings import Settings
from rag_grpc.sidecar import server as http_server
from rag_grpc.sidecar.desk import PLACES
from rag_grpc.sidecar.guard import HEADERS
from ragapi.v1.ingestion_service_pb2 import IngestDocumentRequest
from ragapi.v1.types_pb2 import Document
from tests.e2e.bare_client import Stubs
from tests.e2e.http import get, post
from tests.e2e.page_steps import Waiting, until
from tests.e2e.slow_store import SlowStore

ASSETS = ("/", "/page/page.css", "/page/page.js")
TOLD = ("/page/overview.json", "/page/live.json", "/page/quality.json")


async def ingest(channel: grpc.aio.Channel, doc_id: str, text: str, **metadata: Any) -> None:
    document = Document(doc_id=doc_id, title=f"About {doc_id}", text=text)
    document.metadata.update(metadata)
    await Stubs(channel).ingestion.IngestDocument(IngestDocumentRequest(document=document))


@pytest.mark.parametrize("path", [*ASSETS, *TOLD])
async def test_all_that_the_page_sends_has_its_headers(server: RunningServer, path: str) -> None:
    answer = await get(server, path)
    assert answer.status == 200
    assert HEADERS.items() <= answer.headers.items()
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]
    policy = answer.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy


async def test_files_are_kept_by_browsers_while_they_are_the_same(server: RunningServer) -> None:
    for path in ASSETS:
        first = await get(server, path)
        assert first.headers["Cache-Control"] == "no-cache"
        again = await get(server, path, headers={"If-None-Match": f'"x", W/{first.headers["ETag"]}'})
        assert (again.status, again.text) == (304, "")
        other = await get(server, path, headers={"If-None-Match": '"x"'})
        assert (other.status, other.text) == (200, first.text)
        head = await get(server, path, method="HEAD")
        assert (head.status, head.text) == (200, "")
        assert head.headers["Content-Length"] == first.headers["Content-Length"]
    for path in TOLD:
        assert (await get(server, path)).headers["Cache-Control"] == "no-store"


async def test_it_tells_what_runs_here(server: RunningServer, channel: grpc.aio.Channel) -> None:
    await ingest(channel, "one", "hello")
    told = (await get(server, "/page/overview.json")).json
    assert told["store"] == server.store.name
    assert told["health"] == {"serving": True, "reason": "", "writable": True, "write_reason": ""}
    assert told["embedders"] == [{"name": "mock", "dimension": 384, "max_tokens": 0}]
    assert told["totals"] == {"collections": 1, "documents": 1, "chunks": 1}
    (collection,) = told["collections"]
    assert (collection["name"], collection["documents"], collection["chunks"]) == ("default", 1, 1)
    assert (collection["embedder"], collection["dimension"]) == ("mock", 384)


async def test_it_finds_what_a_query_finds(server: RunningServer, channel: grpc.aio.Channel) -> None:
    await ingest(channel, "log", "the writer keeps a log", lang="en")
    await ingest(channel, "tree", "a tree has leaves", lang="de")
    answer = await post(server, "/page/search", {"query": "writer of the log", "mode": "hybrid"})
    assert answer.status == 200
    found = answer.json
    first, second = found["hits"]
    assert (first["doc_id"], first["title"], first["text"]) == ("log", "About log", "the writer keeps a log")
    assert (first["dense_rank"], first["lexical_rank"], first["rerank"]) == (1, 1, None)
    assert first["metadata"] == {"lang": "en"}
    assert [first["text"][start:end] for start, end in first["marks"]] == ["the", "writer", "log"]
    assert (second["doc_id"], second["lexical"]) == ("tree", None)
    assert found["plan"]["mode"] == "hybrid"
    assert {"embed", "dense", "lexical"} <= found["stages"].keys()
    filtered = await post(server, "/page/search", {"query": "log", "filter": 'lang = "de"'})
    assert [hit["doc_id"] for hit in filtered.json["hits"]] == ["tree"]
    assert filtered.json["plan"]["matching_chunks"] == 1


@pytest.mark.parametrize(
    ("value", "status", "reason"),
    [
        ({"query": "x", "collection": "nope"}, 404, "COLLECTION_NOT_FOUND"),
        ({"query": ""}, 400, "INVALID_FIELD"),
        ({"query": "x", "filter": "lang ="}, 400, "INVALID_FILTER"),
        ({"query": "x", "reranker": "nope"}, 409, "NOT_CONFIGURED"),
        (b"{", 400, "INVALID_FIELD"),
    ],
)
async def test_errors_have_the_contracts_reasons(
    server: RunningServer, value: Any, status: int, reason: str
) -> None:
    answer = await post(server, "/page/search", value)
    assert (answer.status, answer.reason) == (status, reason)
    assert HEADERS.items() <= answer.headers.items()
    assert "Traceback" not in answer.text


async def test_a_fault_of_the_server_is_told_as_one_and_no_more(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(searches: Any) -> Any:
        raise ValueError("inner workings")

    monkeypatch.setattr(server.store, "search", broken)
    with capture_logs() as logs:
        answer = await post(server, "/page/search", {"query": "x"})
    assert (answer.status, answer.reason) == (500, "INTERNAL")
    assert "inner workings" not in answer.text
    assert "page_call_failed" in [each["event"] for each in logs]


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:8000"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
async def test_other_sites_get_nothing(server: RunningServer, headers: dict[str, str]) -> None:
    for path in ("/", *TOLD):
        answer = await get(server, path, headers=headers)
        assert (answer.status, answer.reason) == (403, "PERMISSION_DENIED"), path
    asked = await post(server, "/page/search", {"query": "x"}, headers=headers)
    assert (asked.status, asked.reason) == (403, "PERMISSION_DENIED")
    # Machines ask by whatever name; there is nothing of documents in that.
    assert (await get(server, "/metrics", headers=headers)).status == 200


async def test_a_link_of_another_site_opens_the_page_alone(server: RunningServer) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    opened = await get(server, "/", headers=headers)
    assert (opened.status, opened.headers["Cross-Origin-Opener-Policy"]) == (200, "same-origin")
    for path in TOLD:
        assert (await get(server, path, headers=headers)).status == 403
    assert (await get(server, "/", headers={**headers, "Host": "evil.example"})).status == 403


async def test_a_form_of_another_page_cannot_ask(server: RunningServer) -> None:
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = await post(server, "/page/search", {"query": "x"}, headers={"Content-Type": content_type})
        assert (answer.status, answer.reason) == (400, "INVALID_FIELD")
    body = b'{"query": "x"}'
    without = await get(
        server, "/page/search", method="POST", body=body, headers={"Content-Type": "application/json"}
    )
    assert (without.status, without.reason) == (403, "PERMISSION_DENIED")
    for method in ("GET", "PUT", "OPTIONS"):
        answer = await get(server, "/page/search", method=method)
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")


async def test_bodies_have_bounds(server: RunningServer) -> None:
    assert (await post(server, "/page/search", b" " * (64 * 1024 + 1))).status == 413
    for length, status in (("-1", 400), ("x", 400), ("9" * 5000, 413)):
        answer = await post(server, "/page/search", b"", headers={"Content-Length": length})
        assert answer.status == status, length
    chunked = await get(server, "/page/search", method="POST", headers={"Transfer-Encoding": "chunked"})
    assert chunked.status == 411


async def test_one_who_trickles_is_cut_off(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "READ_SECONDS", 0.2)
    host, port = server.http_address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    ended = asyncio.ensure_future(reader.read())
    began = time.monotonic()
    async with asyncio.timeout(5):
        while not ended.done():
            writer.write(b"x")
            await asyncio.sleep(0.02)
    # Sooner than a connection that is silent would be.
    assert time.monotonic() - began < http_server.IDLE_TIMEOUT - 1
    writer.close()


@pytest.mark.parametrize("store_name", ["memory"])
async def test_one_question_too_many_is_refused_and_machines_are_answered_meanwhile(
    settings: Settings,
) -> None:
    store = Waiting()
    async with running_server(settings, store=store) as server:
        asked = [asyncio.ensure_future(post(server, "/page/search", {"query": "x"})) for _ in range(PLACES)]
        await until(lambda: store.searching == PLACES)
        refused = await post(server, "/page/search", {"query": "x"})
        assert (refused.status, refused.reason) == (429, "RATE_LIMITED")
        assert (await get(server, "/readyz")).status == 200
        store.free.set()
        assert [(await each).status for each in asked] == [200] * PLACES


@pytest.mark.parametrize("store_name", ["memory"])
async def test_a_question_ends_with_the_browser_that_asked(settings: Settings) -> None:
    store = Waiting()
    async with running_server(settings, store=store) as server:
        host, port = server.http_address.split(":")
        with socket.create_connection((host, int(port))) as browser:
            body = b'{"query": "x"}'
            browser.sendall(
                b"POST /page/search HTTP/1.1\r\nHost: %s\r\nOrigin: http://%s\r\n"
                b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                % (server.http_address.encode(), server.http_address.encode(), len(body), body)
            )
            await until(lambda: store.searching == 1)
        await until(lambda: store.cancelled == 1)


@pytest.mark.parametrize("store_name", ["memory"])
async def test_a_server_that_stops_ends_its_questions_with_a_reason(settings: Settings) -> None:
    store = Waiting()
    async with running_server(settings, store=store) as server:
        asked = asyncio.ensure_future(post(server, "/page/search", {"query": "x"}))
        await until(lambda: store.searching == 1)
    answer = await asked
    assert (answer.status, answer.reason) == (503, "NOT_READY")
    assert store.cancelled == 1


@pytest.mark.parametrize("store_name", ["memory"])
async def test_it_works_while_the_server_loads_and_drains(settings: Settings) -> None:
    store = SlowStore()
    async with listening_server(settings, store=store) as server:
        loading = asyncio.create_task(server.load())
        assert (await get(server, "/")).status == 200
        health = (await get(server, "/page/overview.json")).json["health"]
        assert health["reason"] == "the server is loading its data"
        assert not health["serving"]
        assert (await get(server, "/page/live.json")).status == 200
        for answer in (
            await post(server, "/page/search", {"query": "x"}),
            await get(server, "/page/quality.json"),
        ):
            assert (answer.status, answer.reason) == (503, "NOT_READY")
        store.loaded.set()
        await loading
        assert (await post(server, "/page/search", {"query": "x"})).status == 200
        server.health.begin_draining()
        health = (await get(server, "/page/overview.json")).json["health"]
        assert (health["serving"], health["reason"]) == (False, "the server is draining")
        # In the pause before the drain calls are served still.
        assert (await post(server, "/page/search", {"query": "x"})).status == 200
        server.drain.begin()
        refused = await post(server, "/page/search", {"query": "x"})
        assert (refused.status, refused.reason) == (503, "NOT_READY")


async def test_quality_is_told_and_on_disk_it_is_there_after_a_restart(settings: Settings) -> None:
    now = time.time_ns()
    measured = [
        Measurement(now - days * 86_400 * 10**9, "default", "recall@10", value)
        for days, value in ((20, 0.5), (2, 0.75))
    ]
    async with running_server(settings) as server:
        assert (await get(server, "/page/quality.json")).json["curves"] == []
        await server.store.quality.record([*measured, Measurement(now, "a", "map", 0.25, Origin.EVALUATION)])
        found = (await get(server, "/page/quality.json?days=7")).json["curves"]
        assert [(each["collection"], each["origin"], each["last"], each["count"]) for each in found] == [
            ("a", "evaluation", 0.25, 1),
            ("default", "canary", 0.75, 1),
        ]
        assert (await get(server, "/page/quality.json?days=30")).json["curves"][1]["count"] == 2
        wrong = await get(server, "/page/quality.json?days=2")
        assert (wrong.status, wrong.reason) == (400, "INVALID_FIELD")
    async with running_server(settings) as server:
        again = (await get(server, "/page/quality.json?days=7")).json["curves"]
        assert again == (found if settings.store == "embedded" else [])


async def test_its_questions_are_measured_logged_and_keep_their_words(server: RunningServer) -> None:
    with capture_logs() as logs:
        await post(server, "/page/search", {"query": "secret words"})
    (line,) = [each for each in logs if each["event"] == "page_call"]
    assert (line["call"], line["reason"]) == ("search", "OK")
    assert "secret" not in str(logs)
    assert (
        'rag_page_call_seconds_count{call="search",reason="OK"} 1.0' in (await get(server, "/metrics")).text
    )


@pytest.mark.parametrize(
    ("page", "listen", "shown"),
    [
        ("auto", "127.0.0.1:0", True),
        ("auto", "localhost:0", True),
        ("auto", "[::1]:0", True),
        ("auto", "0.0.0.0:0", False),
        ("on", "0.0.0.0:0", True),
        ("off", "127.0.0.1:0", False),
    ],
)
@pytest.mark.parametrize("store_name", ["memory"])
async def test_it_is_served_where_only_this_machine_listens_or_where_it_is_asked_for(
    settings: Settings, page: str, listen: str, shown: bool
) -> None:
    if "::" in listen and not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    with capture_logs() as logs:
        async with running_server(dataclasses.replace(settings, page=page, http_listen=listen)) as server:
            (line,) = [each for each in logs if each["event"] == "listening"]
            assert line["page"] == server.page == (f"http://{server.http_address}/" if shown else None)
            for path in ("/", "/page/page.js", "/page/overview.json"):
                assert (await get(server, path)).status == (200 if shown else 404), path
            assert (await post(server, "/page/search", {"query": "x"})).status == (200 if shown else 404)
            assert ("/, " in (await get(server, "/nothing")).text) is shown
            assert (await get(server, "/readyz")).status == 200


@pytest.mark.parametrize("store_name", ["memory"])
async def test_a_proxy_before_it_needs_its_name_allowed(settings: Settings) -> None:
    async with running_server(dataclasses.replace(settings, page_hosts=("rag.example",))) as server:
        headers = {"Host": "rag.example", "Origin": "https://rag.example"}
        assert (await get(server, "/", headers=headers)).status == 200
        assert (await post(server, "/page/search", {"query": "x"}, headers=headers)).status == 200
