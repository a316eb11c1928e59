"""Answers over gRPC, on both stores, by the generator that every server has."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import grpc
import numpy as np
import pytest

from rag_client import AsyncRagClient, RagClient, Sources
from rag_client.cli import main
from rag_grpc.app import RunningServer, running_server
from rag_grpc.settings import Settings
from ragapi.v1 import generation_service_pb2 as pb
from ragapi.v1.collection_service_pb2 import Collection, CreateCollectionRequest
from ragapi.v1.generation_service_pb2_grpc import GenerationServiceStub
from ragapi.v1.ingestion_service_pb2 import BatchIngestDocumentsRequest, IngestItem
from ragapi.v1.retrieval_service_pb2 import HIT_FIELD_TEXT, HIT_FIELD_TITLE, SEARCH_MODE_DENSE, QueryRequest
from ragapi.v1.types_pb2 import Document, Vector
from tests.e2e.bare_client import RPCS, Answer, Stubs, send

QUESTION = "What is the capital of France?"
NO_ANSWER = "The sources do not answer this question."
DOCUMENTS = {
    "france": "Paris is the capital of France. It lies on the Seine, and two million people live there.",
    "germany": "Berlin is the capital of Germany. It lies on the Spree.",
    "cake": "A cake needs flour, butter and eggs. It is done after forty minutes.",
}


async def fill(stubs: Stubs, collection: str = "") -> None:
    """Put the documents in."""
    items: list[IngestItem] = []
    for doc_id, text in DOCUMENTS.items():
        document = Document(doc_id=doc_id, text=text, title=doc_id.title())
        document.metadata.update({"kind": doc_id})
        items.append(IngestItem(document=document))
    await stubs.ingestion.BatchIngestDocuments(
        BatchIngestDocumentsRequest(collection=collection, items=items)
    )


@pytest.fixture
async def answers(channel: grpc.aio.Channel) -> Any:
    """The service, over some documents."""
    await fill(Stubs(channel))
    return GenerationServiceStub(channel)


def options(question: str = QUESTION, **more: Any) -> pb.AnswerOptions:
    about = {
        name: more.pop(name) for name in ("generator", "max_output_tokens", "instructions") if name in more
    }
    return pb.AnswerOptions(retrieval=QueryRequest(query=question, **more), **about)


async def answer(service: Any, question: str = QUESTION, **more: Any) -> pb.Answer:
    response = await service.GenerateAnswer(pb.GenerateAnswerRequest(options=options(question, **more)))
    said: pb.Answer = response.answer
    return said


async def streamed(service: Any, question: str = QUESTION, **more: Any) -> list[pb.StreamAnswerResponse]:
    request = pb.StreamAnswerRequest(options=options(question, **more))
    return [each async for each in service.StreamAnswer(request)]


async def refused(channel: grpc.aio.Channel, method: str, **more: Any) -> Answer:
    rpc = RPCS[method]
    return await send(channel, rpc, rpc.request(options=options(**more)))


async def test_an_answer_quotes_its_source(answers: Any) -> None:
    said = await answer(answers)
    assert (said.text, said.grounded) == ("Paris is the capital of France. [1]", True)
    assert said.sources[0].doc_id == "france"
    assert said.finish_reason == pb.FINISH_REASON_STOP
    assert said.generator == "extractive"
    (claim,) = said.claims
    assert said.text[claim.span.start : claim.span.end] == said.text
    assert list(claim.sources) == [1]
    assert 0.16 < claim.support <= 1


async def test_a_stream_has_sources_first_text_then_the_answer_last(answers: Any) -> None:
    events = await streamed(answers)
    kinds = [each.WhichOneof("event") for each in events]
    assert kinds[0] == "sources"
    assert kinds[-1] == "answer"
    assert set(kinds[1:-1]) == {"text"}
    whole = events[-1].answer
    assert "".join(each.text for each in events) == whole.text
    assert list(events[0].sources.hits) == list(whole.sources)
    assert whole == await answer(answers)


@pytest.mark.parametrize("question", ["Who wrote Hamlet?", "Which proteins bind to kinase inhibitors?"])
async def test_what_the_documents_do_not_hold_is_not_answered(answers: Any, question: str) -> None:
    said = await answer(answers, question)
    assert (said.text, said.grounded) == (NO_ANSWER, False)
    assert said.finish_reason == pb.FINISH_REASON_NOT_GROUNDED
    assert [list(each.sources) for each in said.claims] == [[]]
    assert [each.support for each in said.claims] == [0.0]


async def test_without_any_hit_there_is_no_answer(answers: Any) -> None:
    events = await streamed(answers, filter='kind = "nothing"')
    assert [each.WhichOneof("event") for each in events] == ["sources", "answer"]
    assert not events[0].sources.hits
    assert events[-1].answer.text == NO_ANSWER
    assert events[-1].answer.finish_reason == pb.FINISH_REASON_NOT_GROUNDED


async def test_top_k_is_how_many_sources_there_are_and_five_unless_said(channel: Any, answers: Any) -> None:
    items = [IngestItem(document=Document(doc_id=f"d{n}", text=f"capital number {n}")) for n in range(9)]
    await Stubs(channel).ingestion.BatchIngestDocuments(BatchIngestDocumentsRequest(items=items))
    assert len((await answer(answers)).sources) == 5
    assert len((await answer(answers, top_k=1)).sources) == 1
    assert len((await answer(answers, top_k=8)).sources) == 8


async def test_what_is_omitted_is_used_all_the_same(answers: Any) -> None:
    whole = await answer(answers)
    said = await answer(answers, omit=[HIT_FIELD_TEXT, HIT_FIELD_TITLE])
    assert said.text == whole.text
    assert {(hit.chunk.text, hit.title) for hit in said.sources} == {("", "")}
    assert all(hit.metadata["kind"] for hit in said.sources)
    assert whole.sources[0].title == "France"


async def test_the_knobs_of_a_query_hold(answers: Any) -> None:
    said = await answer(
        answers, filter='kind != "france"', metadata_keys=["none"], explain=True, highlight=True
    )
    assert "france" not in {hit.doc_id for hit in said.sources}
    assert not said.sources[0].metadata
    assert said.sources[0].HasField("parts")
    assert any(hit.highlights for hit in said.sources)


async def test_a_vector_may_stand_beside_the_question(channel: Any, answers: Any) -> None:
    vector = Vector(packed=np.ones(384, "<f4").tobytes())
    assert (await answer(answers, vector=vector, mode=SEARCH_MODE_DENSE, top_k=3)).grounded


async def test_the_language_of_the_collection_is_that_of_its_refusals(channel: Any, answers: Any) -> None:
    stubs = Stubs(channel)
    made = Collection(name="deutsch", language="de")
    await stubs.collections.CreateCollection(CreateCollectionRequest(collection=made))
    await fill(stubs, "deutsch")
    said = await answer(answers, "Wer schrieb den Hamlet?", collection="deutsch")
    assert said.text == "Die Quellen beantworten diese Frage nicht."


async def test_room_is_kept_to(answers: Any) -> None:
    said = await answer(answers, max_output_tokens=3)
    assert said.text == "Paris is the [1]"
    assert said.finish_reason in (pb.FINISH_REASON_LENGTH, pb.FINISH_REASON_NOT_GROUNDED)


REFUSED: list[tuple[dict[str, Any], str, set[str]]] = [
    ({"question": ""}, "INVALID_FIELD", {"options.retrieval.query"}),
    ({"question": " \n"}, "INVALID_FIELD", {"options.retrieval.query"}),
    ({"doc_id": "france"}, "INVALID_FIELD", {"options.retrieval.doc_id"}),
    ({"mode": 9}, "INVALID_FIELD", {"options.retrieval.mode"}),
    ({"instructions": "be brief"}, "INVALID_FIELD", {"options.instructions"}),
    ({"filter": "("}, "INVALID_FILTER", {"filter"}),
    ({"collection": "nowhere"}, "COLLECTION_NOT_FOUND", set()),
    ({"generator": "gpt"}, "NOT_CONFIGURED", set()),
]


@pytest.mark.parametrize("method", ["GenerateAnswer", "StreamAnswer"])
@pytest.mark.usefixtures("answers")
async def test_what_cannot_be_answered_is_refused(channel: Any, method: str) -> None:
    for more, reason, fields in REFUSED:
        refusal = await refused(channel, method, **more)
        assert (refusal.reason, set(refusal.fields)) == (reason, fields), more


@pytest.mark.parametrize("method", ["GenerateAnswer", "StreamAnswer"])
async def test_sources_that_are_too_large_are_refused_before_anything_is_written(
    server: RunningServer, channel: Any, method: str
) -> None:
    items = [IngestItem(document=Document(doc_id=f"d{n}", text=f"capital {n}")) for n in range(90)]
    for each in items:
        each.document.metadata.update({"long": "x" * 60_000})
    await Stubs(channel).ingestion.BatchIngestDocuments(BatchIngestDocumentsRequest(items=items))
    refusal = await refused(channel, method, top_k=90)
    assert (refusal.reason, refusal.responses) == ("LIMIT_EXCEEDED", [])
    assert server.registry.get_sample_value("rag_stage_seconds_count", {"stage": "generate"}) is None
    assert not (await refused(channel, method, top_k=90, metadata_keys=["short"])).reason


async def test_a_server_without_generators_says_so(settings: Settings) -> None:
    async with (
        running_server(replace(settings, generators=())) as server,
        grpc.aio.insecure_channel(server.grpc_address) as channel,
    ):
        refusal = await refused(channel, "GenerateAnswer")
    assert refusal.reason == "NOT_CONFIGURED"


async def test_answers_are_counted(server: RunningServer, answers: Any) -> None:
    await answer(answers)
    await answer(answers, "Who wrote Hamlet?")
    for grounded in ("yes", "no"):
        labels = {"generator": "extractive", "grounded": grounded}
        assert server.registry.get_sample_value("rag_answers_total", labels) == 1
    stages = ("generate", "first_text")
    for stage in stages:
        count = server.registry.get_sample_value("rag_stage_seconds_count", {"stage": stage})
        assert count, stage


@pytest.mark.usefixtures("answers")
async def test_both_clients_answer_and_stream(server: RunningServer) -> None:
    async with AsyncRagClient(server.grpc_address) as client:
        whole = await client.generate_answer(QUESTION, top_k=2, temperature=0.5)
        events = [each async for each in client.stream_answer(QUESTION, top_k=2)]
    assert (whole.text, whole.grounded) == ("Paris is the capital of France. [1]", True)
    assert (whole.finish_reason, whole.generator, len(whole.sources)) == ("stop", "extractive", 2)
    (claim,) = whole.claims
    assert (claim.start, claim.end, claim.sources) == (0, len(whole.text), (1,))
    assert isinstance(events[0], Sources)
    assert events[-1] == whole
    assert "".join(each for each in events if isinstance(each, str)) == whole.text

    def blocking() -> list[object]:
        with RagClient(server.grpc_address) as client:
            return [client.generate_answer(QUESTION, top_k=2), *client.stream_answer(QUESTION, top_k=2)]

    assert await asyncio.to_thread(blocking) == [whole, *events]


@pytest.mark.usefixtures("answers")
async def test_ragctl_shows_an_answer_and_the_passages_it_cites(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAG_SERVER", server.grpc_address)

    async def ragctl(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = await asyncio.to_thread(main, arguments)
        out, err = capsys.readouterr()
        return int(code), "".join(line + "\n" for line in out.splitlines() if "[info" not in line), err

    code, out, _ = await ragctl("ask", QUESTION, "--top-k", "2")
    assert code == 0
    assert out.startswith("Paris is the capital of France. [1]\n\n[1] france  #0  France\n    Paris is the")
    assert "1 of 2 sources cited" in out
    code, out, _ = await ragctl("ask", "Who wrote Hamlet?")
    assert (code, out.split("\n")[0]) == (0, NO_ANSWER)
    code, out, _ = await ragctl("ask", QUESTION, "--json", "--filter", 'kind = "france"')
    said = json.loads(next(line for line in out.splitlines() if line.startswith("{")))
    assert (said["grounded"], len(said["sources"])) == (True, 1)
    code, _, err = await ragctl("ask", QUESTION, "--generator", "gpt")
    assert (code, "NOT_CONFIGURED" in err) == (5, True)
    code, out, _ = await ragctl("ask", QUESTION, "--rerank", "mmr", "--diversity", "0.5", "--candidates", "9")
    assert (code, out.split("\n")[0]) == (0, "Paris is the capital of France. [1]")
    code, _, err = await ragctl("ask", QUESTION, "--rerank", "cross-encoder", "--model", "none")
    assert (code, "NOT_CONFIGURED" in err) == (5, True)
    code, _, err = await ragctl("ask", QUESTION, "--diversity", "0.5")
    assert (code, "need a --rerank" in err) == (2, True)
