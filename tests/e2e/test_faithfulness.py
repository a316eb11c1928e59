"""Answers weighed by the production server: what callers see of it, and what it refuses."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from rag_client import AsyncRagClient, RagClient, errors
from rag_client.evaluation import AnswerWithContext
from rag_grpc.app import RunningServer, running_server
from rag_grpc.settings import Settings
from ragapi.v1 import evaluation_service_pb2 as pb
from ragapi.v1.health_service_pb2 import GetServerInfoRequest
from tests.contracts import chat_server as chat
from tests.contracts.fakes import WordJudge
from tests.contracts.tiny_models import tiny_nli_model
from tests.e2e import http
from tests.e2e.bare_client import Stubs

CONTEXTS = ["Whales sing.", "The bridge was built in 1936 by Ann Smith \U0001f309, who lived in Bern."]
GOOD = "The bridge was built in 1936 [2]. Ann Smith lived in Bern.[2]"
BAD = "The bridge was built in 1939. Its owner sold it to a bank in Rome."


async def test_answers_are_weighed_sentence_by_sentence(server: RunningServer) -> None:
    async with AsyncRagClient(server.grpc_address) as client:
        report = await client.evaluate_faithfulness(
            [AnswerWithContext(GOOD, CONTEXTS, "Who built the bridge?"), AnswerWithContext(BAD, CONTEXTS)]
        )
        assert report.judge == "lexical"
        good, bad = report.results
        assert [GOOD[each.start : each.end] for each in good.sentences] == [
            "The bridge was built in 1936 [2].",
            "Ann Smith lived in Bern.[2]",
        ]
        assert {each.context_index for each in good.sentences} == {1}
        assert good.faithfulness > 0.85
        assert bad.faithfulness < 0.6
        for result in report.results:
            supports = [each.support for each in result.sentences]
            assert result.faithfulness == pytest.approx(sum(supports) / len(supports))
        assert await client.evaluate_faithfulness([AnswerWithContext(GOOD, CONTEXTS)]) != report
    page = (await http.get(server, "/metrics")).text
    assert 'rag_quality_score{collection="",measure="faithfulness",origin="evaluation"}' in page
    assert 'rag_batch_items_count{kind="judge"}' in page


def ask(address: str) -> float:
    with RagClient(address) as client:
        return (
            client.evaluate_faithfulness([AnswerWithContext(GOOD, CONTEXTS)], judge="lexical")
            .results[0]
            .faithfulness
        )


async def test_the_sync_client_hears_the_same(server: RunningServer) -> None:
    assert await asyncio.to_thread(ask, server.grpc_address) > 0.85


async def test_judges_are_named_and_listed(settings: Settings) -> None:
    settings = replace(settings, judges=("lexical", "german=lexical:de"))
    async with running_server(settings) as server, AsyncRagClient(server.grpc_address) as client:
        server.models.judges["words"] = WordJudge()
        async with grpc.aio.insecure_channel(server.grpc_address) as channel:
            info = await Stubs(channel).health.GetServerInfo(GetServerInfoRequest())
        assert list(info.judges) == ["lexical", "german"]
        answers = [AnswerWithContext("Die Brücken stehen.", ["Eine Brücke stand dort, die Brücken stehen."])]
        for name in ("german", "words", "lexical"):
            assert (await client.evaluate_faithfulness(answers, judge=name)).judge == name
        with pytest.raises(errors.NotConfiguredError, match="no judge 'nli'; it has: lexical, german, words"):
            await client.evaluate_faithfulness(answers, judge="nli")


async def test_models_judge_too(settings: Settings, tmp_path: Path) -> None:
    folder = tiny_nli_model(tmp_path / "model")
    with chat.chat_server() as upstream:
        upstream.model = chat.always('{"passage": 2, "verdict": "partly"}')
        gpt = f"gpt=openai:some-model?base_url={upstream.url}"
        settings = replace(settings, judges=(gpt, f"nli=nli:{folder}", "lexical"))
        async with running_server(settings) as server, AsyncRagClient(server.grpc_address) as client:
            answers = [
                AnswerWithContext("A harbour. Full of ships.", ["nine quick jackdaws", "full of ships"])
            ]
            far = await client.evaluate_faithfulness(answers)
            assert (far.judge, far.results[0].faithfulness) == ("gpt", 0.5)
            assert [each.context_index for each in far.results[0].sentences] == [1, 1]
            assert len(upstream.requests) == 2
            near = await client.evaluate_faithfulness(answers, judge="nli")
            assert near.results[0].sentences[1].context_index == 1
            upstream.default = chat.status(401)
            with pytest.raises(
                errors.ModelUnavailableError, match="judge 'gpt' answered with HTTP status 401"
            ):
                await client.evaluate_faithfulness(answers)


async def test_what_is_wrong_is_named(channel: grpc.aio.Channel) -> None:
    stubs = Stubs(channel)
    for request, field in [
        (pb.EvaluateFaithfulnessRequest(), "answers"),
        (pb.EvaluateFaithfulnessRequest(answers=[pb.AnswerWithContext(contexts=["c"])]), "answers[0].answer"),
        (pb.EvaluateFaithfulnessRequest(answers=[pb.AnswerWithContext(answer="a")]), "answers[0].contexts"),
        (
            pb.EvaluateFaithfulnessRequest(answers=[pb.AnswerWithContext(answer=" ", contexts=["c"])]),
            "answers[0].answer",
        ),
        (
            pb.EvaluateFaithfulnessRequest(
                answers=[pb.AnswerWithContext(answer="a", contexts=["c"])], judge="?"
            ),
            "judge",
        ),
    ]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stubs.evaluation.EvaluateFaithfulness(request)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert field in str(caught.value.details())


async def test_no_response_is_larger_than_callers_take(
    channel: grpc.aio.Channel, server: RunningServer
) -> None:
    stubs = Stubs(channel)
    longest = pb.AnswerWithContext(answer="A.\n" * 250_000, contexts=["c"])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stubs.evaluation.EvaluateFaithfulness(pb.EvaluateFaithfulnessRequest(answers=[longest]))
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "250000 sentences" in str(caught.value.details())
    many = pb.EvaluateFaithfulnessRequest(
        answers=[pb.AnswerWithContext(answer="A.\n" * 2_000, contexts=["c"])] * 2
    )
    response = await stubs.evaluation.EvaluateFaithfulness(many)
    assert [len(each.sentences) for each in response.results] == [2_000, 2_000]
