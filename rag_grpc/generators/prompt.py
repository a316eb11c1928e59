"""The messages that a model is sent: the template in prompt.txt, filled in.

The template is a file so that people who run a server can read what their model is told.
It is filled in by one pass, so that nothing in a document is taken for a place to fill.

Sources stand between `<source 1>` and `</source 1>`, the question between its own marks.
A document that contains such a mark could end its source early and go on as if it were
the question, or another source. So the angle bracket of every such mark in a document is
replaced by a single quotation mark of the same look, `\u2039`; a number in brackets, which the
model might copy as if it cited, gets round ones. Nothing else of a text is changed.

This keeps documents in their place. It does not keep a model from obeying one: for that
see `rag_grpc.core.grounding`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final, Protocol

from rag_grpc.core.answers import Source, WritingTask
from rag_grpc.core.model_ports import Tokenizer
from rag_grpc.core.no_answer import no_answer

_MARK: Final = re.compile(r"<(?=\s*/?\s*(?:source|question)\b)", re.IGNORECASE)
# Whatever `rag_grpc.core.citations` would take for one, and ranges too.
_CITATION: Final = re.compile(r"[\[\u3010](\s*+\d{1,6}(?:\s*[,;\u3001-]\s*\d{1,6})*\s*)[\]\u3011]")
_UNSENDABLE: Final = re.compile("[\ud800-\udfff]")
_PLACE: Final = re.compile(r"\{(refusal|instructions|sources|question)\}")
_MESSAGE_TOKENS: Final = 16
"""What a chat format adds to the two messages: some marks around each."""
LEAST_SOURCE: Final = 32
"""Tokens of a source below which it is left out: a scrap says nothing."""


class Ruler(Protocol):
    """Measures texts in a model's tokens, or nearly."""

    def count(self, text: str) -> int:
        """How many tokens a text has, at most."""

    def cut(self, text: str, tokens: int) -> str:
        """Give the beginning of a text that has so many tokens at most."""


class CharacterRuler:
    """Guesses, where no tokenizer is at hand: three ASCII characters a token, and one of any other script.

    Models of today need fewer for nearly all texts: what is guessed wrong is room left unused.
    """

    def count(self, text: str) -> int:
        """Guess how many tokens a text has."""
        plain = len(text.encode("ascii", "ignore"))
        return -(-plain // 3) + len(text) - plain

    def cut(self, text: str, tokens: int) -> str:
        """Give a beginning that counts as so many tokens at most."""
        low, high = 0, len(text)
        while low < high:
            middle = (low + high + 1) // 2
            if self.count(text[:middle]) <= tokens:
                low = middle
            else:
                high = middle - 1
        return text[:low]


class TokenRuler:
    """Counts with the model's own tokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def count(self, text: str) -> int:
        """Count the tokens of a text."""
        return len(self._tokenizer.token_offsets(text))

    def cut(self, text: str, tokens: int) -> str:
        """Give a beginning of so many tokens at most."""
        ends = self._tokenizer.token_offsets(text)[:, 1]
        if len(ends) <= tokens:
            return text
        return text[: int(ends[tokens - 1])] if tokens > 0 else ""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is sent: two messages, the sources in them by number, how many were cut or left out for room."""

    system: str
    user: str
    sources: frozenset[int]
    shortened: int = 0


class NoRoom(Exception):
    """The question and the instructions leave no room for a single source."""


def write_prompt(task: WritingTask, ruler: Ruler, *, tokens: int) -> Prompt:
    """Fill the template in, with as many sources as have room in `tokens`, best first. Raises NoRoom."""
    system, user = _template()
    instructions = f"- {task.instructions.strip()}\n" if task.instructions.strip() else ""
    values = {"refusal": no_answer(task.language), "instructions": instructions, "sources": ""}
    values["question"] = neutral(task.question)
    fixed = ruler.count(_filled(system, values)) + ruler.count(_filled(user, values)) + _MESSAGE_TOKENS
    room = tokens - fixed
    blocks: dict[int, str] = {}
    shortened = 0
    for number, source in enumerate(task.sources, 1):
        block = _block(number, neutral(_whole(source)))
        size = ruler.count(block) + 1
        if size > room:
            shortened += 1
            empty = ruler.count(_block(number, "")) + 1
            if room - empty < LEAST_SOURCE:
                continue
            block = _block(number, ruler.cut(neutral(_whole(source)), room - empty))
            size = ruler.count(block) + 1
        blocks[number] = block
        room -= size
    if not blocks:
        raise NoRoom
    values["sources"] = "\n".join(blocks.values())
    system = _filled(system, values).rstrip("\n") + "\n"
    return Prompt(system, _filled(user, values), frozenset(blocks), shortened)


def neutral(text: str) -> str:
    """Make what a document says unable to pass for a mark of the prompt, or for a citation."""
    return _CITATION.sub(r"(\1)", _MARK.sub("\u2039", _UNSENDABLE.sub("\ufffd", text)))


def _whole(source: Source) -> str:
    above = " > ".join(filter(None, (source.title, *source.headings)))
    return f"{' '.join(above.split())}\n{source.text}" if above else source.text


def _block(number: int, text: str) -> str:
    return f"<source {number}>\n{text}\n</source {number}>"


def _filled(template: str, values: dict[str, str]) -> str:
    return _PLACE.sub(lambda place: values[place[1]], template)


@cache
def _template() -> tuple[str, str]:
    whole = files(__package__).joinpath("prompt.txt").read_text("utf-8")
    _, system, user = re.split(r"^--- \w+ ---\n", whole, flags=re.MULTILINE)
    return system, user.rstrip("\n")
