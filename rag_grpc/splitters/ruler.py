"""How far a chunk may reach, in characters and in the embedder's tokens.

A text is tokenised once, as a whole, and a chunk's tokens are counted by their places.
That is exact where the chunk begins and ends at white space and the model knows nothing
of what is around a word. It may be off by a little where a chunk begins or ends within a
word, or where a model has other tokens for the first word of a text than for the same
word further on. So a chunk that could be too long for these reasons is counted once
more, alone: near the limit, or with an edge that is not at white space.
"""

from __future__ import annotations

from typing import Final

from rag_grpc.core.model_ports import Tokenizer

_SLACK: Final = 8
"""By so many tokens a count by places may be too small where the edges are at white space."""


class Ruler:
    """Measures pieces of one text, each by its limit of tokens; a limit of 0 is none."""

    def __init__(self, text: str, max_characters: int, tokenizer: Tokenizer | None) -> None:
        self._text = text
        self._tokenizer = tokenizer
        self._max_characters = max_characters
        if tokenizer:
            offsets = tokenizer.token_offsets(text)
            self._starts, self._ends = offsets[:, 0].copy(), offsets[:, 1].copy()

    def reach(self, start: int, max_tokens: int) -> int:
        """How far a piece from `start` on may reach; at least one character, even of too many tokens."""
        reach = start + self._max_characters
        if self._tokenizer and max_tokens:
            behind = int(self._ends.searchsorted(start, "right")) + max_tokens
            if behind < len(self._starts):
                reach = max(min(reach, int(self._starts[behind])), start + 1)
        return min(reach, len(self._text))

    def back(self, end: int, max_tokens: int) -> int:
        """Where a piece that ends at `end` may begin at the earliest."""
        back = end - self._max_characters
        if self._tokenizer and max_tokens:
            first = int(self._starts.searchsorted(end)) - max_tokens
            if first > 0:
                back = min(max(back, int(self._starts[first])), end - 1)
        return max(back, 0)

    def excess(self, start: int, end: int, max_tokens: int) -> float:
        """How many times its limit of tokens a piece has; at most 1 where it fits."""
        if not self._tokenizer or not max_tokens:
            return 0.0
        first = int(self._ends.searchsorted(start, "right"))
        tokens = int(self._starts.searchsorted(end)) - first
        if tokens + _SLACK > max_tokens or not (self._is_edge(start) and self._is_edge(end)):
            tokens = len(self._tokenizer.token_offsets(self._text[start:end]))
        return tokens / max_tokens

    def _is_edge(self, place: int) -> bool:
        text = self._text
        return not 0 < place < len(text) or text[place - 1].isspace() or text[place].isspace()
