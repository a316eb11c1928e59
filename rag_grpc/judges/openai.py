"""Support by a language model behind an endpoint of OpenAI's chat protocol: a model as judge.

It reads a sentence and its passages, and gives one of four verdicts. Four, and no
number: what models call 0.7 differs from model to model, and from day to day.

**What comes back** is asked for as JSON by a schema. Endpoints that refuse a schema are
asked for any JSON, and those that refuse that for plain text with an object in it; what
worked is asked for first from then on. Nothing is trusted: another verdict, or none, is
ModelUnavailable, which says what happened but no word of a text or of the answer.

**A document that gives orders** stands between marks that it cannot write itself, and the
model is told not to obey. A model may obey all the same: a sentence that was planted is
then judged by whoever planted it. The other judges cannot be talked to.

Each sentence is asked for alone, so that none sways another; a batch side by side.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.resources import files
from typing import Any, Final
from urllib.parse import urlsplit

import openai

from rag_grpc.core.answers import Statement, Support
from rag_grpc.core.errors import ModelUnavailable
from rag_grpc.openai_models.asking import GaveUp, Unusable, ask_again
from rag_grpc.openai_models.endpoint import AGAIN_IN, headers, make_client
from rag_grpc.openai_models.loop_thread import LoopClosed, LoopThread

VERDICTS: Final = {"supported": 1.0, "partly": 0.5, "unsupported": 0.0, "contradicted": 0.0}

_SCHEMA: Final = {
    "type": "object",
    "properties": {"passage": {"type": "integer"}, "verdict": {"type": "string", "enum": list(VERDICTS)}},
    "required": ["passage", "verdict"],
    "additionalProperties": False,
}
_FORMATS: Final[Sequence[Any]] = (
    {"type": "json_schema", "json_schema": {"name": "verdict", "strict": True, "schema": _SCHEMA}},
    {"type": "json_object"},
    openai.omit,
)
_REFUSES_THE_FORMAT: Final = frozenset({400, 404, 415, 422, 501})
_MARK: Final = re.compile(r"<(?=\s*/?\s*(?:passage|question|statement)\b)", re.IGNORECASE)
_UNSENDABLE: Final = re.compile("[\ud800-\udfff]")
_PLACE: Final = re.compile(r"\{(passages|question|statement)\}")
_OBJECT: Final = re.compile(r"\{[^{}]*\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeOptions:
    """Where the model is served and how it is asked."""

    base_url: str
    api_key: str = field(default="", repr=False)
    timeout: float = 30.0
    """Seconds for a batch, tries and pauses together."""
    retries: int = 3
    max_batch: int = 8
    """Sentences that are asked for side by side."""
    max_characters: int = 24_000
    """Of all passages together; what follows is not sent."""
    max_output_tokens: int = 1024
    """Room for a verdict, and for what a model thinks before it."""
    fixed_temperature: bool = False
    """The model takes no temperature, so none is sent."""


class OpenAIJudge:
    """A Judge over one model of one endpoint. It is asked nothing before the first sentence."""

    def __init__(self, name: str, model: str, options: JudgeOptions) -> None:
        self._name = name
        self._model = model
        self._options = options
        self._loop = LoopThread(f"openai-{name}")
        self._format = 0

    @property
    def name(self) -> str:
        """What a request calls it."""
        return self._name

    @property
    def max_batch(self) -> int:
        """Sentences that are asked for side by side."""
        return self._options.max_batch

    def weigh(self, statements: Sequence[Statement]) -> list[Support]:
        """Ask for each statement; those that nothing could support are not asked for."""
        try:
            return self._loop.run(self._all(statements))
        except LoopClosed:
            raise ModelUnavailable("the server is stopping", retry_after=AGAIN_IN) from None

    def close(self) -> None:
        """End what is asked just now, and the thread."""
        self._loop.close(lambda: self._client.close())  # noqa: PLW0108 # made only where it was used

    @cached_property
    def _client(self) -> openai.AsyncOpenAI:
        options = self._options
        return make_client(options.base_url, options.api_key, timeout=options.timeout / 2)

    async def _all(self, statements: Sequence[Statement]) -> list[Support]:
        supports: list[Support] = []
        for start in range(0, len(statements), self.max_batch):
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [
                        group.create_task(self._one(each))
                        for each in statements[start : start + self.max_batch]
                    ]
            except ExceptionGroup as failed:
                # Not `except*`: what is raised there comes in a group again on Python before 3.11.4.
                raise failed.exceptions[0] from None
            supports += [task.result() for task in tasks]
        return supports

    async def _one(self, statement: Statement) -> Support:
        if not statement.text.strip() or not any(text.strip() for text in statement.contexts):
            return Support(0.0)
        messages = _messages(statement, self._options.max_characters)
        try:
            return await ask_again(
                lambda: self._verdict(messages, len(statement.contexts)),
                within=self._options.timeout,
                retries=self._options.retries,
            )
        except GaveUp as error:
            raise ModelUnavailable(
                f"the endpoint of judge {self._name!r} {error}", retry_after=error.retry_after()
            ) from error

    async def _verdict(self, messages: list[dict[str, str]], passages: int) -> Support:
        """Ask once for a verdict, in the most exact form that the endpoint takes."""
        for place in range(self._format, len(_FORMATS)):
            try:
                answer = await self._ask(messages, _FORMATS[place])
            except openai.APIStatusError as error:
                if error.status_code not in _REFUSES_THE_FORMAT or place + 1 == len(_FORMATS):
                    raise
                continue
            support = support_of(answer, passages)
            self._format = max(self._format, place)
            return support
        raise Unusable("it takes no form of answer")

    async def _ask(self, messages: list[dict[str, str]], answer_format: Any) -> Any:
        options = self._options
        # The name that OpenAI's newer models want; others know the older one alone.
        ours = urlsplit(options.base_url).hostname == "api.openai.com"
        more: dict[str, Any] = {
            "max_completion_tokens" if ours else "max_tokens": options.max_output_tokens,
            "response_format": answer_format,
        }
        if not options.fixed_temperature:
            more["temperature"] = 0
        return await self._client.chat.completions.create(
            model=self._model,
            messages=messages,  # type: ignore[arg-type] # the package wants a class for each role
            extra_headers=headers(options.api_key),
            **more,
        )


def support_of(answer: Any, passages: int) -> Support:
    """Take the verdict out of an answer. Raises Unusable."""
    try:
        choice = answer.choices[0]
        content, ended = choice.message.content, choice.finish_reason
    except (AttributeError, IndexError, TypeError):
        raise Unusable("it holds no text") from None
    if not isinstance(content, str) or not content.strip():
        raise Unusable("it was cut off before any text" if ended == "length" else "it holds no text")
    # What models think aloud comes first, and may hold braces too.
    for found in reversed(_OBJECT.findall(content)):
        try:
            said = json.loads(found)
        except ValueError:
            continue
        verdict, passage = said.get("verdict"), said.get("passage")
        if isinstance(verdict, str) and verdict.strip().casefold() in VERDICTS:
            known = type(passage) is int and 1 <= passage <= passages
            return Support(VERDICTS[verdict.strip().casefold()], passage - 1 if known else 0)
    raise Unusable("it holds no verdict")


def _messages(statement: Statement, room: int) -> list[dict[str, str]]:
    blocks = []
    for number, text in enumerate(statement.contexts, 1):
        sent = _neutral(text)[:room]
        if sent.strip():
            blocks.append(f"<passage {number}>\n{sent}\n</passage {number}>")
            room -= len(sent)
    values = {
        "passages": "\n".join(blocks),
        "question": _neutral(statement.question) or "(not known)",
        "statement": _neutral(statement.text),
    }
    system, user = _template()
    filled = _PLACE.sub(lambda place: values[place[1]], user)
    return [{"role": "system", "content": system}, {"role": "user", "content": filled}]


def _neutral(text: str) -> str:
    """Make a text unable to write one of the prompt's marks: its bracket becomes one that looks like it."""
    return _MARK.sub("\u2039", _UNSENDABLE.sub("\ufffd", text))


@cache
def _template() -> tuple[str, str]:
    whole = files(__package__).joinpath("prompt.txt").read_text("utf-8")
    _, system, user = re.split(r"^--- \w+ ---\n", whole, flags=re.MULTILINE)
    return system, user.rstrip("\n")
