"""Language models behind an endpoint that speaks OpenAI's chat protocol: OpenAI's, vLLM, Ollama, llama.cpp.

Text is passed on as it comes, piece by piece. Nothing that comes is trusted: what is no
text, ends without a reason, or breaks off is ModelUnavailable, which says what happened
but neither the key nor a word of the prompt or of the endpoint's answer.

**Time.** An answer has so long in all, and each wait for the next piece so long. A try
that failed before any text came is made again, as long as that may help; once text has
been passed on it cannot be taken back, so nothing is tried again.

**Stopping.** Whoever leaves closes the generator, and that closes the connection: the
endpoint notices at once and stops computing.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlsplit

import openai

from rag_grpc.core.answers import Stop, WritingTask, Written
from rag_grpc.core.errors import ModelUnavailable
from rag_grpc.core.no_answer import no_answer
from rag_grpc.generators.prompt import NoRoom, Prompt, Ruler, write_prompt
from rag_grpc.openai_models.endpoint import Failure, headers, make_client, times

_STOPS: Final = {"stop": Stop.COMPLETE, "length": Stop.LENGTH}
_KNOWN_REASONS: Final = ("content_filter", "tool_calls", "function_call")
_CLOSING_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatOptions:
    """Where the model is served and how it is asked."""

    base_url: str
    ruler: Ruler
    api_key: str = field(default="", repr=False)
    context_tokens: int = 8192
    """What the model reads and writes together; sources are cut to what is left."""
    max_output_tokens: int = 1024
    """Of an answer whose request names no number."""
    fixed_temperature: bool = False
    """The model takes no temperature, so none is sent."""
    wait: float = 30.0
    """Seconds for the first piece of text, and for each one after it."""
    timeout: float = 120.0
    """Seconds for an answer, tries and pauses together."""
    retries: int = 3


class OpenAIGenerator:
    """A Generator over one model of one endpoint. It is asked nothing before the first question."""

    takes_instructions = True

    def __init__(self, name: str, model: str, options: ChatOptions) -> None:
        self._name = name
        self._model = model
        self._options = options
        self._client: openai.AsyncOpenAI | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._counts_tokens = True

    @property
    def name(self) -> str:
        """What a request calls it."""
        return self._name

    async def write(self, task: WritingTask) -> AsyncGenerator[str | Written, None]:
        """Ask, again where that may help, and pass on what comes."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._options.timeout
        prompt = await asyncio.to_thread(self._prompt, task)
        request = self._request(task, prompt)
        tries, text = 0, ""
        while True:
            tries += 1
            try:
                async with aclosing(self._answer(request, end)) as answer:
                    async for each in answer:
                        if isinstance(each, str):
                            text += each
                            yield each
                        else:
                            yield replace(_judged(each, text, task), read=prompt.sources)
                return
            except _Unusable as error:
                raise self._unavailable(f"gave an answer that is of no use: {error}") from None
            except Exception as error:
                pause = self._pause(Failure.of(error), tries, begun=bool(text), left=end - loop.time())
                if pause is None:
                    raise self._gave_up(Failure.of(error), tries, begun=bool(text)) from error
            await asyncio.sleep(pause)

    def close(self) -> None:
        """Close connections that are kept open. Called in a thread, while the loop still runs. Blocks."""
        if self._client is not None and self._loop is not None:
            asyncio.run_coroutine_threadsafe(self._client.close(), self._loop).result(_CLOSING_SECONDS)

    def _prompt(self, task: WritingTask) -> Prompt:
        """Fill the prompt in. Blocks: counting tokens takes its time."""
        room = self._options.context_tokens - self._output_tokens(task)
        try:
            return write_prompt(task, self._options.ruler, tokens=room)
        except NoRoom:
            reads = self._options.context_tokens
            raise ModelUnavailable(
                f"generator {self._name!r} reads {reads} tokens, and what is asked leaves no room for"
                " sources: shorten the question and the instructions, or raise context_tokens"
            ) from None

    def _output_tokens(self, task: WritingTask) -> int:
        wanted = task.max_output_tokens or self._options.max_output_tokens
        # An answer longer than half of what the model can hold would leave nothing to answer from.
        return min(wanted, self._options.context_tokens // 2)

    def _request(self, task: WritingTask, prompt: Prompt) -> dict[str, Any]:
        options = self._options
        # The name that OpenAI's newer models want; others know the older one alone.
        ours = urlsplit(options.base_url).hostname == "api.openai.com"
        room = "max_completion_tokens" if ours else "max_tokens"
        return {
            "model": self._model,
            "messages": [
                {"role": "system", "content": prompt.system},
                {"role": "user", "content": prompt.user},
            ],
            room: self._output_tokens(task),
            "stream": True,
            "extra_headers": headers(options.api_key),
        } | ({} if options.fixed_temperature else {"temperature": task.temperature})

    async def _answer(self, request: dict[str, Any], end: float) -> AsyncGenerator[str | Written, None]:
        """Ask once. Raises what the package raises, TimeoutError, and _Unusable."""
        stream = await self._opened(request, end)
        finish, usage = None, None
        try:
            chunks = aiter(stream)
            while True:
                try:
                    async with self._soon(end):
                        chunk = await anext(chunks)
                except StopAsyncIteration:
                    break
                usage = getattr(chunk, "usage", None) or usage
                text, reason = _piece(chunk)
                finish = reason or finish
                if text:
                    yield text
        finally:
            await stream.close()
        if finish not in _STOPS:
            raise _Unusable(
                f"it ended with {finish}" if finish in _KNOWN_REASONS else "it ended without a reason"
            )
        yield Written(_STOPS[finish], _count(usage, "prompt_tokens"), _count(usage, "completion_tokens"))

    async def _opened(self, request: dict[str, Any], end: float) -> Any:
        """Send a request, and once more without asking for counts where an endpoint refuses that."""
        asked = {**request, "stream_options": {"include_usage": True}} if self._counts_tokens else request
        try:
            async with self._soon(end):
                return await self._connection().chat.completions.create(**asked)
        except openai.APIStatusError as error:
            if asked is request or not Failure.of(error).about_the_texts:
                raise
        async with self._soon(end):
            stream = await self._connection().chat.completions.create(**request)
        self._counts_tokens = False
        return stream

    def _soon(self, end: float) -> asyncio.Timeout:
        """Bound one wait. A generator may not hold such a bound while others have their turn."""
        return asyncio.timeout_at(min(end, asyncio.get_running_loop().time() + self._options.wait))

    def _connection(self) -> openai.AsyncOpenAI:
        if self._client is None:
            self._loop = asyncio.get_running_loop()
            self._client = make_client(
                self._options.base_url, self._options.api_key, timeout=self._options.wait
            )
        return self._client

    def _pause(self, failure: Failure, tries: int, *, begun: bool, left: float) -> float | None:
        """Say how long to wait before another try; None where there is to be none."""
        pause = failure.pause_after(tries)
        again = failure.passing and not begun and tries <= self._options.retries and pause < left
        return pause if again else None

    def _gave_up(self, failure: Failure, tries: int, *, begun: bool) -> ModelUnavailable:
        where = " in the middle of an answer" if begun else ""
        return self._unavailable(f"{failure.what}{where}{times(tries)}", failure.retry_after())

    def _unavailable(self, what: str, retry_after: float | None = None) -> ModelUnavailable:
        return ModelUnavailable(f"the endpoint of generator {self._name!r} {what}", retry_after=retry_after)


class _Unusable(Exception):
    """An answer that came, but is none."""


_HALF: Final = re.compile("[\ud800-\udfff]")


def _piece(chunk: Any) -> tuple[str, str | None]:
    """Take the text and the reason out of a chunk. Raises _Unusable."""
    choices = getattr(chunk, "choices", None)
    if not isinstance(choices, list):
        raise _Unusable("it holds no list of choices")
    if not choices:
        return "", None  # the last one, with the counts
    delta = getattr(choices[0], "delta", None)
    text, reason = getattr(delta, "content", None), getattr(choices[0], "finish_reason", None)
    if not isinstance(text, str | None) or not isinstance(reason, str | None):
        raise _Unusable("what should be text is none")
    # Half of a pair, as an endpoint sends that cuts an emoji in two, is no text that can be passed on.
    return _HALF.sub("\ufffd", text or ""), reason


def _count(usage: Any, name: str) -> int:
    """Take a count; 0 where the endpoint counts none, or nonsense."""
    value = getattr(usage, name, None)
    return value if type(value) is int and 0 <= value < 1 << 31 else 0


def _judged(written: Written, text: str, task: WritingTask) -> Written:
    """Notice where a model said, as it was told to, that the sources hold no answer."""
    if text.strip().rstrip(".") == no_answer(task.language).rstrip("."):
        return replace(written, stop=Stop.NOT_GROUNDED)
    return written
