"""Splitting by a text's own structure: headings, whole blocks, paragraphs, sentences, words.

Markdown is cut at its headings first, and each chunk knows those it stands under; then
both kinds of text are cut where the best break is (`breaks`) as far as a chunk may
reach (`ruler`). A code block or table that fits into a chunk is never cut. Time is
linear in the text, whatever it holds, and nothing is looked at twice but what chunks
overlap in.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rag_grpc.core.chunking import effective
from rag_grpc.core.model_ports import TokenBudget
from rag_grpc.core.models import Chunking, TextSpan
from rag_grpc.splitters.breaks import first_break, last_break, last_paragraph, visible_from, visible_until
from rag_grpc.splitters.outline import Outline, Range, outline
from rag_grpc.splitters.ruler import Ruler

MARKDOWN: Final = "text/markdown"

# A section shorter than this share of a chunk is found badly on its own and is joined with the next.
_SMALL_SHARE: Final = 10

# A break in the first third of a chunk is not worth taking.
_LEAST_FILL: Final = 3

# A piece that had too many tokens is tried again at this share of the length that they suggest.
_AGAIN: Final = 0.95


class StructureSplitter:
    """The Splitter port over what the text itself offers; holds no state."""

    version = "structure-1"

    def split(
        self, text: str, media_type: str, chunking: Chunking, budget: TokenBudget | None = None
    ) -> list[TextSpan]:
        """Cut `text` as the port says. Raises ChunkingInvalid for settings that contradict each other."""
        chunking = effective(chunking)
        if budget is None and media_type != MARKDOWN and len(text) <= chunking.max_characters:
            # What most texts come to, in a tenth of the time.
            start = visible_from(text, 0, len(text))
            end = visible_until(text, start, len(text))
            return [TextSpan(start, end)] if start < end else []
        ruler = Ruler(text, chunking.max_characters, budget.tokenizer if budget else None)
        found = outline(text) if media_type == MARKDOWN else Outline(text)
        blocks = _Blocks(text, found.blocks)
        spans: list[TextSpan] = []
        for group in _groups(text, found, chunking.max_characters):
            room = budget.room(group.headings) if budget else 0
            cutter = _Cutter(text, ruler, blocks, group, overlap=chunking.overlap_characters, room=room)
            spans += [TextSpan(start, end, group.headings) for start, end in cutter.cut()]
        return spans


@dataclass(frozen=True, slots=True)
class _Group:
    """Sections that are cut as one, from visible character to visible character.

    `body`: the first character that is not of its headings. `headings`: those that all its text is under.
    """

    start: int
    body: int
    end: int
    headings: tuple[str, ...]


def _groups(text: str, found: Outline, max_characters: int) -> Iterator[_Group]:
    """Join a heading that nothing follows with the next section, and a small section where both fit."""
    small = max_characters // _SMALL_SHARE
    starts, sections = found.starts, len(found)

    def body(section: int) -> int:
        return visible_from(text, found.bodies[section], found.end(section))

    first = 0
    while first < sections:
        start = visible_from(text, starts[first], len(text))
        filled = first
        while filled + 1 < sections and body(filled) == found.end(filled):
            filled += 1
        last = max(filled, min(bisect_left(starts, starts[first] + small, first + 1), sections) - 1)
        if last > filled and found.end(last) - start > max_characters:
            last -= 1
        end = visible_until(text, start, found.end(last))
        if start < end:
            filled_last = last
            while filled_last > filled and body(filled_last) == found.end(filled_last):
                filled_last -= 1
            yield _Group(start, body(filled), end, found.shared_headings(filled, filled_last))
        first = last + 1


class _Blocks:
    """What is best kept whole. A block begins and ends at a visible character, as a chunk does."""

    def __init__(self, text: str, ranges: Sequence[Range]) -> None:
        self._text = text
        self._ranges = ranges
        self._starts = [start for start, _ in ranges]

    def around(self, place: int) -> Range | None:
        """The block that `place` cuts in two."""
        index = bisect_left(self._starts, place) - 1
        if index < 0 or place >= self._ranges[index][1]:
            return None
        start, end = self._ranges[index]
        start, end = visible_from(self._text, start, end), visible_until(self._text, start, end)
        return (start, end) if start < place < end else None

    def last_end(self, highest: int) -> int:
        """The first visible character behind the last block before `highest`, which cuts none; -1: none."""
        index = bisect_left(self._starts, highest) - 1
        if index >= 0 and self._ranges[index][1] > highest:
            index -= 1
        return visible_from(self._text, self._ranges[index][1], highest) if index >= 0 else -1


class _Cutter:
    """Cuts a group to chunks of at most `room` tokens (0: any number)."""

    def __init__(
        self, text: str, ruler: Ruler, blocks: _Blocks, group: _Group, *, overlap: int, room: int
    ) -> None:
        self._text = text
        self._ruler = ruler
        self._blocks = blocks
        self._group = group
        self._overlap = overlap
        self._room = room

    def cut(self) -> Iterator[Range]:
        """Each piece begins and ends with a visible character."""
        start = fresh = self._group.start
        while fresh < self._group.end:
            start, end, fresh = self._piece(start, fresh)
            yield start, end
            repeats = self._overlap and fresh < self._group.end
            start = self._repeated_from(start, end, fresh) if repeats else fresh

    def _piece(self, start: int, fresh: int) -> tuple[int, int, int]:
        """Find where the piece from `start` on ends, beyond `fresh`, and the next visible character."""
        reach = self._ruler.reach(start, self._room)
        while reach > fresh:
            whole = reach >= self._group.end
            cut = self._group.end if whole else self._best_cut(start, fresh, reach)
            end = visible_until(self._text, start, cut)
            excess = self._ruler.excess(start, end, self._room)
            if excess <= 1 or end == start + 1:
                return start, end, cut
            reach = max(start + 1, min(end - 1, start + int((end - start) / excess * _AGAIN)))
        # What is repeated leaves no room for more.
        return self._piece(fresh, fresh)

    def _best_cut(self, start: int, fresh: int, reach: int) -> int:
        """Choose a break behind `fresh`, so that what stands before it ends at `reach` or before."""
        text, group = self._text, self._group
        highest = visible_from(text, reach, group.end)
        lowest = max(fresh + 1, start + (reach - start) // _LEAST_FILL)
        if start == group.start and group.body < highest:
            # Headings alone are no chunk.
            lowest = max(lowest, group.body + 1)
        block = self._blocks.around(highest)
        if block and fresh < block[0] and self._fits(*block):
            return block[0]
        if block:
            return last_break(text, min(max(lowest, block[0]), highest), highest, code=True)
        earliest = self._ruler.back(group.end, self._room) + self._overlap
        if earliest <= (start + reach) // 2:
            # What is left makes two pieces. Better two of one length than a long one and a scrap.
            scrap = (reach - start) // _SMALL_SHARE
            paragraph = last_paragraph(text, lowest, min(highest, group.end - scrap))
            if paragraph and not self._blocks.around(paragraph):
                return paragraph
            middle = (start + group.end) // 2
            lowest = max(lowest, earliest, middle - 2 * scrap)
            highest = min(highest, visible_from(text, max(lowest, middle + scrap), group.end))
            block = self._blocks.around(highest)
            highest = visible_from(text, block[1], group.end) if block else highest
        lowest = min(lowest, highest)
        edge = self._blocks.last_end(highest)
        if edge >= lowest:
            return last_paragraph(text, edge, highest) or edge
        return last_break(text, lowest, highest)

    def _repeated_from(self, start: int, end: int, cut: int) -> int:
        """Find where the next piece begins, so that it repeats the end of `text[start:end]`."""
        lowest = max(start + 1, end - self._overlap)
        if self._room:
            lowest = max(lowest, self._ruler.back(end, self._room // 2))
        block = self._blocks.around(cut + 1)
        if block and block[0] == cut and self._fits(*block):
            lowest = max(lowest, self._ruler.back(block[1], self._room))
        if lowest >= end:
            return cut
        begin = visible_from(self._text, first_break(self._text, lowest, end), end)
        return begin if begin < end else cut

    def _fits(self, start: int, end: int) -> bool:
        return self._ruler.reach(start, self._room) >= end
