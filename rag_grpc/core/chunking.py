"""The rules of chunking that hold whatever does the splitting.

Which settings mean what, what of a chunk is embedded, and how many tokens its text may
have, so that the embedder reads it to the end, together with what it stands under.
Splitting well, at paragraphs and sentences, is the work of a Splitter
(`rag_grpc.splitters`). All offsets are in Unicode code points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from rag_grpc.core.errors import NotConfigured
from rag_grpc.core.model_ports import Embedder, TokenBudget
from rag_grpc.core.models import Chunking

DEFAULT_MAX_CHARACTERS: Final = 1000
"""A paragraph or two: most paragraphs stay whole, and some 250 tokens of English, which small embedding
models read to the end (MiniLM reads 256). There is no overlap by default: cuts fall between sentences, and
title and headings travel with every chunk, so repeating text would only fill the index and the answers."""

CONTEXT_SHARE: Final = 4
"""Title and headings get at most one in so many of the tokens that the embedder reads. They tell two chunks
of like words apart; more of them would only make all chunks of a document alike."""


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
    `Context` does the same within what an embedder reads.
    """
    if without_context:
        return chunk_text
    context = [title] if title else []
    context += [heading for heading in headings if heading != title and heading not in chunk_text]
    return "\n".join([*context, chunk_text])


def check_countable(chunking: Chunking, embedder: Embedder) -> None:
    """Raise NotConfigured where chunks shall be cut by tokens that the embedder cannot count."""
    if chunking.max_tokens and embedder.tokenizer is None:
        raise NotConfigured(
            f"chunking.max_tokens is {chunking.max_tokens}, and the tokens of embedder {embedder.name!r}"
            " cannot be counted on this server: leave it out, and set max_characters"
        )


class Context:
    """What the chunks of one document are embedded with: its title and their headings.

    An embedder that reads a set number of tokens cuts off silently what goes beyond. So the context is kept
    to a share of them, and the text of a chunk to what is left (`budget`). A context that is too long is cut:
    the title comes first, with half of the share, then the headings from the innermost outwards.
    """

    def __init__(self, title: str, chunking: Chunking, embedder: Embedder) -> None:
        self._title = title
        self._chunking = chunking
        self._tokenizer = embedder.tokenizer
        self._reads = embedder.max_tokens
        self._known: dict[tuple[str, ...], tuple[str, ...]] = {}

    def embedding_text(self, headings: Sequence[str], chunk_text: str) -> str:
        """Say what is embedded for a chunk: see the function of this name."""
        if self._chunking.without_context:
            return chunk_text
        title, *others = self._lines(headings)
        return embedding_text(title, others, chunk_text, without_context=False)

    def budget(self) -> TokenBudget | None:
        """Say how many tokens the text of a chunk may have; None where there is no bound."""
        if self._tokenizer is None or not (self._reads or self._chunking.max_tokens):
            return None
        return TokenBudget(self._tokenizer, self._room)

    def _room(self, headings: Sequence[str]) -> int:
        wanted = self._chunking.max_tokens
        if not self._reads:
            return wanted
        taken = 0
        if not self._chunking.without_context:
            taken = sum(self._tokens(line) for line in self._lines(headings) if line)
        return min(wanted or self._reads, max(1, self._reads - taken))

    def _lines(self, headings: Sequence[str]) -> tuple[str, ...]:
        """The title, which may be empty, and the headings, outermost first, as far as there is room."""
        key = tuple(headings)
        if key not in self._known:
            lines = (self._title, *(each for each in key if each != self._title))
            share = self._reads // CONTEXT_SHARE
            # No model has more tokens than bytes.
            if share and sum(len(line.encode("utf-8", "surrogatepass")) + 1 for line in lines) > share:
                lines = self._within(share, lines)
            self._known[key] = lines
        return self._known[key]

    def _within(self, share: int, lines: Sequence[str]) -> tuple[str, ...]:
        title, *headings = lines
        title = self._cut(title, share // 2 if headings else share)
        left = share - self._tokens(title)
        kept: list[str] = []
        for heading in reversed(headings):
            line = self._cut(heading, left)
            if line:
                kept.append(line)
                left -= self._tokens(line)
        return title, *reversed(kept)

    def _tokens(self, line: str) -> int:
        # The line break behind it is a token of some models.
        return len(self._tokenizer.token_offsets(line)) + 1 if self._tokenizer and line else 0

    def _cut(self, line: str, tokens: int) -> str:
        """Cut a line to less than so many tokens, so that a line break has room."""
        if self._tokenizer is None or tokens <= 1:
            return ""
        offsets = self._tokenizer.token_offsets(line)
        return line if len(offsets) < tokens else line[: int(offsets[tokens - 1, 0])].rstrip()
