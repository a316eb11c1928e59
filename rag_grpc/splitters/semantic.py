"""Splitting with semantic-text-splitter: at paragraphs, sentences, words, as far up as fits.

The library counts characters as Python does and gives exact offsets, but it looks at
all that is left of a text for each chunk: a long text without breaks takes quadratic
time, and Chinese or Thai without a full stop 46 s a megabyte. So it never sees more
than a window of a few chunks; of what it makes there, only chunks are kept whose
choice did not depend on the window's end, and the next window begins behind them.
What offers it no line or sentence end for the length of a chunk is cut without it.

Markdown is cut at its headings first, and each chunk knows those it stands under.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from typing import Final

from semantic_text_splitter import MarkdownSplitter, TextSplitter

from rag_grpc.core.chunking import cut_stretch, effective, unbroken_stretches
from rag_grpc.core.models import Chunking, TextSpan
from rag_grpc.splitters.markdown import Section, sections

OWN_VERSION: Final = 1
MARKDOWN: Final = "text/markdown"

# How many chunks' worth the library sees at a time. A Markdown window is parsed anew, out of its context,
# so it is longer.
_TEXT_WINDOW: Final = 4
_MARKDOWN_WINDOW: Final = 8
_SHORTEST_WINDOW: Final = 2000

# A section shorter than this share of a chunk is found badly on its own and is joined with the next.
_SMALL_SHARE: Final = 10

_WHITE_SPACE: Final = re.compile(r"\s*")
_SURROGATES: Final = re.compile("[\ud800-\udfff]")

Range = tuple[int, int]


class SemanticSplitter:
    """The Splitter port over semantic-text-splitter; holds no state."""

    version = f"semantic-{OWN_VERSION}-{version('semantic-text-splitter')}"

    def split(self, text: str, media_type: str, chunking: Chunking) -> list[TextSpan]:
        """Cut `text` as the port says. Raises ChunkingInvalid for settings that contradict each other.

        `chunking.max_tokens` has no effect yet: the mock embedder reads texts of any length.
        """
        chunking = effective(chunking)
        if _SURROGATES.search(text):
            # No such text comes over the wire, and the library refuses it. The offsets stay.
            text = _SURROGATES.sub("\ufffd", text)
        markdown = media_type == MARKDOWN
        whole = [_Group(0, 0, len(text), (), has_body=True)]
        groups = _grouped(text, sections(text), chunking.max_characters) if markdown else whole
        spans: list[TextSpan] = []
        for group in groups:
            for first, end in _split_group(text, group, chunking, markdown=markdown):
                last = spans[-1] if spans else TextSpan(-1, 0)
                # The library is not always exact about the overlap, least of all where lines end in CR alone.
                start = max(first, last.start + 1, last.end - chunking.overlap_characters)
                if _skip_white_space(text, max(start, last.end), end) < end:
                    spans.append(TextSpan(_skip_white_space(text, start, end), end, group.headings))
        return spans


@dataclass(slots=True)
class _Group:
    """Sections that stay together.

    `body`: where the first begins that is more than a heading, behind that heading. `has_body`: there is one.
    """

    start: int
    body: int
    end: int
    headings: tuple[str, ...]
    has_body: bool

    def takes(self, section: Section, max_characters: int) -> bool:
        """A mere heading goes with what follows it; a small section does where both make one chunk."""
        if not self.has_body:
            return True
        small = self.end - self.start < max_characters // _SMALL_SHARE
        return small and section.end - self.start <= max_characters

    def add(self, section: Section, *, has_body: bool) -> None:
        self.end = section.end
        if not self.has_body:
            self.headings, self.body = section.headings, section.body
        elif has_body:
            self.headings = _shared(self.headings, section.headings)
        self.has_body |= has_body


def _grouped(text: str, found: Iterable[Section], max_characters: int) -> Iterator[_Group]:
    """Join sections that are too small to stand alone. Headings: those that all text of a group is under."""
    group: _Group | None = None
    for section in found:
        has_body = _skip_white_space(text, section.body, section.end) < section.end
        if group and group.takes(section, max_characters):
            group.add(section, has_body=has_body)
        else:
            if group:
                yield group
            group = _Group(section.start, section.body, section.end, section.headings, has_body)
    if group:
        yield group


def _shared(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    length = 0
    while length < min(len(one), len(other)) and one[length] == other[length]:
        length += 1
    return one[:length]


def _split_group(text: str, group: _Group, chunking: Chunking, *, markdown: bool) -> Iterator[Range]:
    """Cut a group, white space at the edges left off."""
    start, end = next(_trimmed(text, [(group.start, group.end)]), (group.end, group.end))
    if end - start <= chunking.max_characters:
        if start < end:
            yield start, end
        return
    lead = _skip_white_space(text, group.body, end) - start
    if 0 < lead <= chunking.max_characters // 2:
        # The library would rather leave a heading alone than cut the paragraph behind it.
        room = chunking.max_characters - lead
        reduced = replace(
            chunking,
            max_characters=room,
            overlap_characters=min(chunking.overlap_characters, (room - 1) // 2),
        )
        stop = min(end, start + _TEXT_WINDOW * chunking.max_characters)
        pieces = _split(text, start + lead, stop, reduced, markdown=markdown)
        yield start, next(pieces)[1]
        start = next(pieces, (stop, stop))[0]
    yield from _split(text, start, end, chunking, markdown=markdown)


def _split(text: str, start: int, end: int, chunking: Chunking, *, markdown: bool) -> Iterator[Range]:
    part = text[start:end]
    position = start
    for first, last in unbroken_stretches(part, chunking.max_characters):
        yield from _windows(text, position, start + first, chunking, markdown=markdown)
        yield from _trimmed(text, cut_stretch(text, start + first, start + last, chunking))
        position = start + last
    yield from _windows(text, position, end, chunking, markdown=markdown)


def _skip_white_space(text: str, start: int, end: int) -> int:
    found = _WHITE_SPACE.match(text, start, end)
    return found.end() if found else start


def _trimmed(text: str, pieces: Iterable[Range]) -> Iterator[Range]:
    for start, end in pieces:
        piece = text[start:end]
        first = start + len(piece) - len(piece.lstrip())
        last = first + len(piece.strip())
        if first < last:
            yield first, last


def _windows(text: str, start: int, end: int, chunking: Chunking, *, markdown: bool) -> Iterator[Range]:
    """Let the library cut `text[start:end]`, a window at a time."""
    size = max((_MARKDOWN_WINDOW if markdown else _TEXT_WINDOW) * chunking.max_characters, _SHORTEST_WINDOW)
    library = _library(markdown, chunking.max_characters, chunking.overlap_characters)
    while start < end:
        start = _skip_white_space(text, start, end)
        stop = min(start + size, end)
        chunks = _chunks(library, text, start, stop, chunking)
        # A chunk may be kept when all that it could have grown into was in sight.
        certain = stop if stop == end else stop - chunking.max_characters
        following = stop
        for first, last in chunks:
            if first > certain and first > start:
                following = first
                break
            yield first, last
        start = following


def _chunks(
    library: TextSplitter | MarkdownSplitter, text: str, start: int, stop: int, chunking: Chunking
) -> list[Range]:
    try:
        found = library.chunk_indices(text[start:stop])
    except BaseException as error:
        # A panic in Rust, which is no Exception. Fuzzing met one, in thousands of odd texts (0.33.1): it must
        # not fail a document.
        if type(error).__name__ != "PanicException":
            raise
        return list(_trimmed(text, cut_stretch(text, start, stop, chunking)))
    return [(start + first, start + first + len(chunk)) for first, chunk in found if chunk.strip()]


@lru_cache(maxsize=64)
def _library(markdown: bool, max_characters: int, overlap: int) -> TextSplitter | MarkdownSplitter:
    return (MarkdownSplitter if markdown else TextSplitter)(max_characters, overlap=overlap)
