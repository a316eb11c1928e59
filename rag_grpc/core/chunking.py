"""The rules of chunking that hold whatever library does the splitting.

Which settings mean what, what of a chunk is embedded, and how a stretch of text is
cut that offers no place to cut it. Splitting well, at paragraphs and sentences, is
the work of a Splitter (`rag_grpc.splitters`); the libraries that do it are quadratic
where neither comes for long, so a splitter hands such stretches to `cut_stretch`.

All offsets are in Unicode code points.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from rag_grpc.core.models import Chunking

DEFAULT_MAX_CHARACTERS: Final = 1000
"""A paragraph or two: most paragraphs stay whole, and some 250 tokens of English, which small embedding
models read to the end (MiniLM reads 256). There is no overlap by default: cuts fall between sentences, and
title and headings travel with every chunk, so repeating text would only fill the index and the answers."""

_LINE_BREAKS: Final = "\n\r\v\f\x85\u2028\u2029"
# Latin, ellipsis, Arabic, Urdu, Devanagari, Armenian, Ethiopic.
_SENTENCE_ENDS_BEFORE_SPACE: Final = ".!?\u2026\u061f\u06d4\u0964\u0965\u0589\u1362"
# Chinese and Japanese, which need no space: full stop, exclamation mark, question mark, half-width stop.
_SENTENCE_ENDS: Final = "\u3002\uff01\uff1f\uff61"
_SPACES: Final = " \t\u3000"
# Commas, semicolons and colons, full-width and ASCII.
_PAUSES: Final = "\uff0c\u3001\uff1b\uff1a,;:"

_ZERO_WIDTH_JOINER: Final = "\u200d"
_SKIN_TONES: Final = ("\U0001f3fb", "\U0001f3ff")
_REGIONAL_INDICATORS: Final = ("\U0001f1e6", "\U0001f1ff")
_LONGEST_CLUSTER: Final = 64


class ChunkingInvalid(ValueError):
    """Settings of chunking that contradict each other."""


def effective(chunking: Chunking) -> Chunking:
    """Fill in the defaults. Raises ChunkingInvalid unless the overlap is less than half of a chunk."""
    max_characters = chunking.max_characters or DEFAULT_MAX_CHARACTERS
    if max_characters < 1 or chunking.overlap_characters < 0:
        raise ChunkingInvalid("max_characters and overlap_characters must not be negative")
    if 2 * chunking.overlap_characters >= max_characters:
        raise ChunkingInvalid(
            f"overlap_characters is {chunking.overlap_characters}: "
            f"it must be less than half of max_characters, {max_characters}"
        )
    return replace(chunking, max_characters=max_characters)


def embedding_text(title: str, headings: Sequence[str], chunk_text: str, without_context: bool) -> str:
    """Say what is embedded for a chunk: what it stands under, then the chunk.

    A heading that is the title, or that the chunk itself contains, would only be said twice.
    """
    if without_context:
        return chunk_text
    context = [title] if title else []
    context += [heading for heading in headings if heading != title and heading not in chunk_text]
    return "\n".join([*context, chunk_text])


def unbroken_stretches(text: str, longer_than: int) -> list[tuple[int, int]]:
    """Find what runs on for more than `longer_than` characters without the end of a line or sentence.

    A stretch ends behind the line break or full stop that ends it.
    """
    if len(text) <= longer_than:
        return []
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    breaks = np.isin(codes, _code_points(_LINE_BREAKS + _SENTENCE_ENDS))
    before_space = np.isin(codes[:-1], _code_points(_SENTENCE_ENDS_BEFORE_SPACE))
    breaks[:-1] |= before_space & np.isin(codes[1:], _code_points(_SPACES + _LINE_BREAKS))
    edges = np.concatenate(([0], np.flatnonzero(breaks) + 1, [len(codes)]))
    long = np.flatnonzero(np.diff(edges) > longer_than)
    return list(zip(edges[long].tolist(), edges[long + 1].tolist(), strict=True))


def cut_stretch(text: str, start: int, end: int, chunking: Chunking) -> Iterator[tuple[int, int]]:
    """Cut `text[start:end]` into pieces as `chunking` (effective) allows, in linear time.

    A piece ends at white space, else at a comma, else between two characters as a reader sees them.
    """
    while start < end:
        stop = min(start + chunking.max_characters, end)
        if stop < end:
            stop = _good_cut(text, start + chunking.max_characters // 2, stop)
        yield start, stop
        if stop == end:
            return
        again = stop - chunking.overlap_characters
        while again < stop and _joined(text, again):
            again += 1
        start = max(again, start + 1)


def _good_cut(text: str, lowest: int, highest: int) -> int:
    for wanted in (_SPACES, _PAUSES):
        found = max(text.rfind(each, lowest, highest) for each in wanted)
        if found >= 0:
            return found + 1
    lowest = max(lowest, highest - _LONGEST_CLUSTER)
    for cut in range(highest, lowest, -1):
        if not _joined(text, cut):
            return cut
    return highest


def _joined(text: str, at: int) -> bool:
    """Tell whether the characters before and behind `at` are one for a reader.

    Marks stay with their letter, CR with LF, and what a joiner joins with it; flags stay pairs. This is less
    than Unicode's rules for grapheme clusters, and all that can be had from the standard library.
    """
    if not 0 < at < len(text):
        return False
    before, behind = text[at - 1], text[at]
    if behind.isascii():
        return before == "\r" and behind == "\n"
    if _REGIONAL_INDICATORS[0] <= behind <= _REGIONAL_INDICATORS[1]:
        return _flags_before(text, at) % 2 == 1
    return (
        _ZERO_WIDTH_JOINER in (before, behind)
        or _SKIN_TONES[0] <= behind <= _SKIN_TONES[1]
        or unicodedata.category(behind)[0] == "M"
    )


def _flags_before(text: str, at: int) -> int:
    first = at
    while first > max(0, at - _LONGEST_CLUSTER) and (
        _REGIONAL_INDICATORS[0] <= text[first - 1] <= _REGIONAL_INDICATORS[1]
    ):
        first -= 1
    return at - first


def _code_points(characters: str) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    return np.array([ord(each) for each in characters], dtype=np.uint32)
