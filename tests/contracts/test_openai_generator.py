"""The generator over OpenAI's protocol keeps the port's contract, and bears what endpoints do."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import pytest

from rag_grpc.core.answers import Source, Stop, WritingTask
from rag_grpc.core.errors import ModelUnavailable
from rag_grpc.core.model_ports import Generator
from rag_grpc.generators.openai import ChatOptions, OpenAIGenerator
from rag_grpc.generators.prompt import CharacterRuler
from tests.contracts import chat_server as chat
from tests.contracts.generator_contract import QUESTION, SOURCES, GeneratorContract, written_by

TASK = WritingTask(QUESTION, SOURCES)
CAPITAL = {
    "France": "Paris is the capital of France [1].",
    "Germany": "Berlin is the capital of Germany [2].",
}


def knowing(body: dict[str, Any]) -> str:
    """Answer what was asked, as short as it must be."""
    asked = re.search(r"<question>\n(.*)\n</question>", body["messages"][1]["content"], re.DOTALL)
    return CAPITAL["Germany" if asked and "Germany" in asked[1] else "France"]


def within_room(handler: Any, body: dict[str, Any]) -> None:
    """Keep to max_tokens, a word a token, as a model does."""
    text = knowing(body)
    words, room = text.split(" "), body["max_tokens"]
    cut = len(words) > room
    chat.says(" ".join(words[:room]), finish="length" if cut else "stop")(handler, body)


@pytest.fixture
def server() -> Iterator[chat.ChatServer]:
    with chat.chat_server() as running:
        running.model = knowing
        yield running


def make(server: chat.ChatServer, **changes: Any) -> OpenAIGenerator:
    given: dict[str, Any] = {"base_url": server.url, "ruler": CharacterRuler(), "wait": 2.0, **changes}
    return OpenAIGenerator("gpt", "some-model", ChatOptions(**given))


@pytest.fixture
async def generator(server: chat.ChatServer) -> AsyncIterator[OpenAIGenerator]:
    made = make(server, api_key="sk-hunter2")
    yield made
    await asyncio.to_thread(made.close)


class TestOpenAIGenerator(GeneratorContract):
    @pytest.fixture
    async def generator(self, server: chat.ChatServer) -> AsyncIterator[Generator]:
        server.default = within_room
        made = make(server)
        yield made
        await asyncio.to_thread(made.close)


async def test_it_asks_as_the_protocol_has_it(server: chat.ChatServer, generator: OpenAIGenerator) -> None:
    pieces, last = await written_by(generator, TASK)
    assert "".join(pieces) == CAPITAL["France"]
    assert (last.stop, last.input_tokens, last.output_tokens) == (Stop.COMPLETE, 120, 34)
    (request,) = server.requests
    assert [each["role"] for each in request["messages"]] == ["system", "user"]
    assert request["model"] == "some-model"
    assert (request["temperature"], request["max_tokens"], request["stream"]) == (0.0, 1024, True)
    assert request["stream_options"] == {"include_usage": True}
    assert server.headers[0]["authorization"] == "Bearer sk-hunter2"


async def test_what_the_caller_asks_for_is_sent(server: chat.ChatServer, generator: OpenAIGenerator) -> None:
    task = WritingTask(QUESTION, SOURCES, max_output_tokens=7, temperature=1.5, instructions="Sing.")
    await written_by(generator, task)
    assert (server.requests[0]["temperature"], server.requests[0]["max_tokens"]) == (1.5, 7)
    assert "- Sing.\n" in server.requests[0]["messages"][0]["content"]


async def test_without_a_key_no_header_is_sent_and_a_fixed_temperature_is_not(
    server: chat.ChatServer,
) -> None:
    generator = make(server, fixed_temperature=True)
    await written_by(generator, TASK)
    await asyncio.to_thread(generator.close)
    assert "authorization" not in server.headers[0]
    assert "temperature" not in server.requests[0]


async def test_sources_that_had_no_room_are_not_said_to_be_read(server: chat.ChatServer) -> None:
    generator = make(server, context_tokens=1200)
    sources = [Source(f"{number} " + "word " * 300) for number in range(1, 6)]
    _, last = await written_by(generator, WritingTask(QUESTION, sources, max_output_tokens=100))
    await asyncio.to_thread(generator.close)
    sent = re.findall(r"<source (\d)>", server.requests[0]["messages"][1]["content"])
    assert 0 < len(sent) < 5
    assert last.read == frozenset(map(int, sent))


async def test_tokens_that_nobody_counts_are_none(
    server: chat.ChatServer, generator: OpenAIGenerator
) -> None:
    server.orders.append(chat.says("Paris [1].", usage=False))
    _, last = await written_by(generator, TASK)
    assert (last.input_tokens, last.output_tokens) == (0, 0)


async def test_an_endpoint_that_does_not_know_how_to_count_is_asked_without(
    server: chat.ChatServer, generator: OpenAIGenerator
) -> None:
    server.orders += [chat.status(400), chat.says("Paris [1].")]
    pieces, _ = await written_by(generator, TASK)
    assert "".join(pieces) == "Paris [1]."
    await written_by(generator, TASK)
    assert ["stream_options" in each for each in server.requests] == [True, False, False]


async def test_what_it_was_told_to_say_without_an_answer_is_understood(
    server: chat.ChatServer, generator: OpenAIGenerator
) -> None:
    server.model = chat.always("The sources do not answer this question.")
    _, last = await written_by(generator, TASK)
    assert last.stop is Stop.NOT_GROUNDED
    assert last.output_tokens == 34


@pytest.mark.parametrize(
    "order",
    [
        chat.status(429),
        chat.status(503),
        chat.says_then_breaks_off(""),
        chat.says_then_sends("", '{"error": {"message": "overloaded"}}'),
    ],
)
async def test_what_may_pass_is_tried_again(
    server: chat.ChatServer, generator: OpenAIGenerator, order: chat.Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag_grpc.openai_models.endpoint.FIRST_PAUSE", 0.01)
    server.orders += [order, order]
    pieces, _ = await written_by(generator, TASK)
    assert "".join(pieces) == CAPITAL["France"]
    assert len(server.requests) == 3


MISBEHAVIOURS: dict[str, tuple[chat.Order, str]] = {
    "turned away": (chat.status(429, retry_after="60"), "answered with HTTP status 429"),
    "key refused": (chat.status(401), "answered with HTTP status 401"),
    "silent": (chat.stall, "did not answer in time"),
    "stalls": (chat.says_then_stalls("Paris is"), "did not answer in time in the middle of an answer"),
    "breaks off": (chat.says_then_breaks_off("Paris is"), "broke off in the middle of an answer"),
    "ends early": (chat.says_then_ends("Paris is"), "it ended without a reason"),
    "filtered": (chat.says("Paris", finish="content_filter"), "it ended with content_filter"),
    "a reason of its own": (chat.says("Paris", finish="sk-hunter2"), "it ended without a reason"),
    "error in the stream": (
        chat.says_then_sends("Paris", '{"error": {"message": "sk-hunter2", "code": 500}}'),
        "told of an error while it answered",
    ),
    "not json": (chat.says_then_sends("Paris", "{sk-hunter2"), "of no use (JSONDecodeError)"),
    "no choices": (chat.says_then_sends("Paris", '{"choices": 7}'), "it holds no list of choices"),
    "no text": (
        chat.says_then_sends("Paris", '{"choices": [{"delta": {"content": {"a": 1}}}]}'),
        "what should be text is none",
    ),
    "a page": (chat.text("<html>sk-hunter2</html>", "text/html"), "it ended without a reason"),
}


@pytest.mark.parametrize("name", MISBEHAVIOURS)
async def test_an_endpoint_that_misbehaves_is_unavailable(server: chat.ChatServer, name: str) -> None:
    order, what = MISBEHAVIOURS[name]
    server.orders += [order] * 3
    generator = make(server, api_key="sk-hunter2", wait=1.0, timeout=1.5, retries=2)
    begun = time.perf_counter()
    with pytest.raises(ModelUnavailable) as raised:
        await written_by(generator, TASK)
    assert time.perf_counter() - begun < 5
    await asyncio.to_thread(generator.close)
    assert what in raised.value.message
    assert raised.value.message.startswith("the endpoint of generator 'gpt' ")
    assert "hunter2" not in raised.value.message
    assert "Paris" not in raised.value.message
    if "middle" in what or "HTTP" in what:
        assert len(server.requests) == 1


async def test_half_of_a_pair_is_no_text(server: chat.ChatServer, generator: OpenAIGenerator) -> None:
    half = '{"choices": [{"delta": {"content": "a\\ud83d"}, "finish_reason": "stop"}]}'
    server.orders.append(chat.says_then_sends("", half))
    pieces, _ = await written_by(generator, TASK)
    assert "".join(pieces) == "a\ufffd"


async def test_an_endpoint_that_is_not_there_is_unavailable() -> None:
    options = ChatOptions(base_url="http://127.0.0.1:9/v1", ruler=CharacterRuler(), timeout=1.0, retries=1)
    generator = OpenAIGenerator("gpt", "m", options)
    with pytest.raises(ModelUnavailable, match="could not be reached, or broke off 2 times"):
        await written_by(generator, TASK)
    await asyncio.to_thread(generator.close)


@pytest.mark.parametrize("order", [chat.stall, chat.says_then_stalls("Paris is")], ids=["silent", "begun"])
async def test_whoever_leaves_stops_the_endpoint(
    server: chat.ChatServer, generator: OpenAIGenerator, order: chat.Order
) -> None:
    server.orders.append(order)
    task = asyncio.create_task(written_by(generator, TASK))
    await asyncio.to_thread(server.arrived.wait, 5)
    await asyncio.sleep(0.05)
    left = time.perf_counter()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(server.gone.wait, 2)
    assert server.gone_at - left < 0.2


async def test_closing_it_between_two_pieces_stops_the_endpoint(
    server: chat.ChatServer, generator: OpenAIGenerator
) -> None:
    server.orders.append(chat.says_then_stalls("Paris is"))
    async with aclosing(generator.write(TASK)) as writing:
        assert await anext(writing) == "Paris"
        left = time.perf_counter()
    assert await asyncio.to_thread(server.gone.wait, 2)
    assert server.gone_at - left < 0.2


async def test_a_question_without_room_for_sources_is_said_so(server: chat.ChatServer) -> None:
    generator = make(server, context_tokens=1024)
    with pytest.raises(ModelUnavailable, match="leaves no room for sources"):
        await written_by(generator, WritingTask("why " * 2000, (Source("because"),)))
    assert not server.requests
