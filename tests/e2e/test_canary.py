"""The canary in the production server: what it measured is shown, kept, and there after a restart."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from rag_grpc.app import RunningServer, listening_server, running_server
from rag_grpc.core.retrieval import Retrieval
from rag_grpc.environment import SettingsFault
from rag_grpc.settings import Settings
from ragapi.v1.collection_service_pb2 import Collection, CreateCollectionRequest, DeleteCollectionRequest
from ragapi.v1.ingestion_service_pb2 import DeleteDocumentsRequest, DocumentRef, IngestDocumentRequest
from ragapi.v1.types_pb2 import Document
from tests.e2e.bare_client import Stubs

COLLECTION = "animals"
ANIMALS = ("cats sleep", "dogs bark", "birds sing", "fish swim")


def questions(texts: tuple[str, ...]) -> str:
    """A question after each text; its answer is the text itself."""
    return "\n".join(
        json.dumps(
            {
                "collection": COLLECTION,
                "query": text,
                "relevance": {text: 1},
                "answer": f"{text.capitalize()}.",
            }
        )
        for text in texts
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of questions, each after one animal."""
    file = tmp_path / "canary.jsonl"
    file.write_text(questions(ANIMALS))
    return file


@pytest.fixture
def settings(settings: Settings, file: Path) -> Settings:
    """Settings with a canary that asks as often as it may."""
    return replace(settings, canary_file=file, canary_interval=1.0)


@asynccontextmanager
async def filled(settings: Settings) -> AsyncIterator[tuple[RunningServer, Stubs]]:
    """A server that has the animals."""
    async with (
        running_server(settings) as server,
        grpc.aio.insecure_channel(server.grpc_address) as channel,
    ):
        stubs = Stubs(channel)
        await stubs.collections.CreateCollection(
            CreateCollectionRequest(collection=Collection(name=COLLECTION))
        )
        for text in ANIMALS:
            document = Document(doc_id=text, text=text)
            await stubs.ingestion.IngestDocument(
                IngestDocumentRequest(collection=COLLECTION, document=document)
            )
        yield server, stubs


def scores(server: RunningServer) -> dict[str, float]:
    """What the gauges show of the canary, by measure."""
    return {
        sample.labels["measure"]: sample.value
        for family in server.registry.collect()
        for sample in family.samples
        if sample.name == "rag_quality_score" and sample.labels["origin"] == "canary"
    }


def failures(server: RunningServer, reason: str) -> float | None:
    return server.registry.get_sample_value("rag_canary_failures_total", {"reason": reason})


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 # its state is made for scrapers
            await asyncio.sleep(0.02)


async def next_run(server: RunningServer) -> None:
    """Wait for the end of a run that began after now."""
    assert server.canary is not None
    state = server.canary.state
    begun = state.runs + 1  # one may be under way
    await until(lambda: state.runs > begun)


async def test_it_measures_shows_and_keeps(settings: Settings) -> None:
    async with filled(settings) as (server, stubs):
        await next_run(server)
        measured = scores(server)
        supported = measured.pop("faithfulness")
        assert supported > 0.8
        assert measured == {
            "recall@10": 1.0,
            "ndcg@10": 1.0,
            "index_recall": 1.0,
            "index_recall_p5": 1.0,
        }
        half = [DocumentRef(doc_id=text) for text in ANIMALS[:2]]
        await stubs.ingestion.DeleteDocuments(DeleteDocumentsRequest(collection=COLLECTION, documents=half))
        await next_run(server)
        assert scores(server)["recall@10"] == 0.5
        # Half of the answers are supported as before, and what is left supports no other one.
        assert scores(server)["faithfulness"] < 0.75 * supported
        kept = [each.value for each in await server.store.quality.since(0) if each.measure == "recall@10"]
        assert (kept[-1], max(kept)) == (0.5, 1.0)
        assert failures(server, "question") == 0


async def test_a_file_that_changes_is_asked_and_one_that_is_wrong_is_not(
    settings: Settings, file: Path
) -> None:
    async with filled(settings) as (server, stubs):
        await next_run(server)
        await asyncio.to_thread(file.write_text, questions((ANIMALS[0], "an ox")))
        await next_run(server)
        assert scores(server)["recall@10"] == 0.5
        await asyncio.to_thread(file.write_text, questions(ANIMALS) + "\n{}")
        await next_run(server)
        assert scores(server)["recall@10"] == 0.5
        assert (failures(server, "file") or 0) >= 1
        assert server.registry.get_sample_value("rag_canary_questions") == 2
        await stubs.collections.DeleteCollection(DeleteCollectionRequest(name=COLLECTION))
        await next_run(server)
        assert (failures(server, "collection_missing") or 0) >= 1
        assert scores(server) == {}  # what was removed is not shown


@pytest.mark.parametrize("store_name", ["embedded"])
async def test_the_last_values_are_shown_after_a_restart_as_of_their_time(settings: Settings) -> None:
    async with filled(settings) as (server, _):
        await next_run(server)
        before = scores(server)
    async with running_server(replace(settings, canary_interval=3600.0)) as server:
        assert server.canary is not None
        assert scores(server) == before
        newest = max(each.time for each in await server.store.quality.last()) / 1e9
        where = {"collection": COLLECTION, "kind": "index", "origin": "canary"}
        shown = server.registry.get_sample_value("rag_quality_measured_timestamp_seconds", where)
        assert shown == pytest.approx(newest, abs=1e-3)
        await until(lambda: server.canary is not None and server.canary.state.last_run is not None)
        last = server.registry.get_sample_value("rag_canary_last_run_timestamp_seconds")
        assert last == pytest.approx(newest, abs=1e-3)
        assert server.canary.state.runs == 0


async def test_a_start_tells_every_line_at_fault(settings: Settings, file: Path) -> None:
    await asyncio.to_thread(file.write_text, "{}\n" + questions(ANIMALS) + "\nno")
    with pytest.raises(SettingsFault) as caught:
        async with listening_server(settings):
            raise AssertionError("it listens")
    assert [fault.partition(" is ")[0] for fault in caught.value.faults] == [
        "RAG_CANARY_FILE: line 1: query",
        "RAG_CANARY_FILE: line 6:",
    ]


async def test_a_stop_does_not_wait_for_it(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asyncio.Event()

    async def for_ever(*_: object) -> None:
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(Retrieval, "query", for_ever)
    async with asyncio.timeout(5), running_server(settings):
        await asked.wait()


async def test_nothing_is_asked_where_no_file_is_named(settings: Settings) -> None:
    async with filled(replace(settings, canary_file=None)) as (server, _):
        assert server.canary is None
        assert server.registry.get_sample_value("rag_canary_runs_total") is None
        assert scores(server) == {}
