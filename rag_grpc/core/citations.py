"""Citations in a text: found, checked against the sources that there are, and given to sentences.

A citation is a number in brackets, [1]; several stand one behind the other, [1][2]. Models
also write [1, 2], and full-width brackets: those are brought into the contract's form. A
number that no source has is removed, with the white space before it, and counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Sequence
from typing import Final, NamedTuple

from rag_grpc.core.models import TextSpan

# White space is looked at from its beginning alone: from each of its places it would take quadratic time.
_CITATION: Final = re.compile(
    r"((?<!\s)\s++|)[\[\u3010]\s*+(\d{1,6}(?:\s*[,;\u3001]\s*\d{1,6})*)\s*[\]\u3011]"
)
_NUMBER: Final = re.compile(r"\d+")
_LINE_END: Final = re.compile(r"[\n\r\u2028\u2029]")


class CheckedText(NamedTuple):
    """A text whose citations are all of sources that there are, and how many were removed from it."""

    text: str
    removed: int


def checked(text: str, sources: Container[int]) -> CheckedText:
    """Remove citations of what is not among the numbers of the sources."""
    removed = 0

    def keep(found: re.Match[str]) -> str:
        nonlocal removed
        numbers = [int(each) for each in _NUMBER.findall(found[2])]
        right = [each for each in numbers if each in sources]
        removed += len(numbers) - len(right)
        return found[1] + "".join(f"[{each}]" for each in dict.fromkeys(right)) if right else ""

    return CheckedText(_settled(text, keep), removed)


def without_citations(text: str) -> str:
    """Take everything out of a text that reads as a citation, with the white space before it."""
    return _settled(text, lambda _: "")


def _settled(text: str, keep: Callable[[re.Match[str]], str]) -> str:
    """Let `keep` say what stays of each citation.

    What is removed may bring other brackets together; of those, what does not stay is put into round ones.
    Removing them too would go on for as long as they are nested, each time through the whole text.
    """
    return _CITATION.sub(lambda found: keep(found) or f"{found[1]}({found[2]})", _CITATION.sub(keep, text))


def cited(text: str, spans: Sequence[TextSpan]) -> list[tuple[int, ...]]:
    """Return the numbers that each sentence cites, in their order, from a text that was `checked`.

    A sentence without any shares those of the next one of its paragraph that has some: who writes two
    sentences from one source cites it once, behind the second.
    """
    numbers: list[tuple[int, ...]] = [()] * len(spans)
    for place in range(len(spans) - 1, -1, -1):
        sentence = text[spans[place].start : spans[place].end]
        found = [int(each) for match in _CITATION.finditer(sentence) for each in _NUMBER.findall(match[2])]
        if found:
            numbers[place] = tuple(dict.fromkeys(found))
        elif place + 1 < len(spans) and not _LINE_END.search(text, spans[place].end, spans[place + 1].start):
            numbers[place] = numbers[place + 1]
    return numbers
