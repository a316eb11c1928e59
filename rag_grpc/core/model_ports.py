"""What the core asks of models and of what takes texts apart: small Protocols, one a role.

Normative as those of `rag_grpc.core.ports`: each "must" has a test in tests/contracts,
which every adapter runs.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rag_grpc.core.answers import Statement, Support, WritingTask, Written
from rag_grpc.core.models import Chunking, TextSpan


class Tokenizer(Protocol):
    """Finds the tokens of a text as one model counts them, so that chunks can be cut to what it reads."""

    def token_offsets(self, text: str) -> NDArray[np.int64]:
        """Where each token stands: shape (tokens, 2), start and end in Unicode code points of `text`.

        Starts and ends never fall from one token to the next, and lie in the text. Tokens that the model adds
        to every text are not among them. White space between tokens is in none; what the model reads as one
        token is one, however long.
        Blocks, for some 5 µs a token; called in worker threads, several at once. Any text is taken.
        """


@dataclass(frozen=True, slots=True)
class TokenBudget:
    """How many tokens a chunk's text may have.

    `room` says it for the headings that the chunk stands under, which take tokens too: 1 or more.
    """

    tokenizer: Tokenizer
    room: Callable[[Sequence[str]], int]


class Embedder(Protocol):
    """Turns texts into vectors.

    Must be deterministic under one fingerprint: a text has the same vector alone, in a batch and in another
    process. The same bits, save where a model's sums are rounded by what is beside a text: then no number of
    the vector may move by more than a hundred-thousandth of the vector's length.
    """

    @property
    def name(self) -> str:
        """What a collection calls it."""

    @property
    def dimension(self) -> int:
        """Length of its vectors, 1 to 4096."""

    @property
    def fingerprint(self) -> str:
        """Must change whenever its vectors do."""

    @property
    def max_batch(self) -> int:
        """Texts that one call should hold at most."""

    @property
    def max_tokens(self) -> int:
        """How many tokens of a text it reads, by its `tokenizer`; what follows is not in the vector.

        0 means that it reads all, or that nobody knows.
        """

    @property
    def tokenizer(self) -> Tokenizer | None:
        """Counts its tokens. None where that cannot be done here; never where `max_tokens` is set."""

    @property
    def dense_weight(self) -> float:
        """The weight of the dense side in hybrid search that suits it: 0 to 1, 0.5 for as much as words."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts, each of any length: shape (len(texts), dimension), C-contiguous, finite, never zero.

        Blocks, and is called in worker threads, so it must be safe to call from several at once.
        Must raise ModelUnavailable, and nothing else, where the model does not answer: with `retry_after`
        where it would not have answered for any text, which is then not asked for each text alone.
        """

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed what is searched for, likewise. Many models want other words in front of a query."""


class Reranker(Protocol):
    """Reads a query and a text together and says how well the text answers it."""

    @property
    def name(self) -> str:
        """What a query calls it."""

    def score(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """Score texts, each of any length, against a query: shape (len(texts),), finite, larger is better.

        Must be deterministic as an Embedder is: a text's score does not depend on the others. Scores have no
        common scale; only those of one model for one query compare.
        Blocks, and is called in worker threads, so it must be safe to call from several at once.
        Must raise ModelUnavailable, and nothing else, where the model fails or takes longer than it may.
        """


class Generator(Protocol):
    """Writes an answer to a question from numbered sources, and cites them as [1], [2] and so on."""

    @property
    def name(self) -> str:
        """What a request calls it."""

    @property
    def takes_instructions(self) -> bool:
        """Whether a caller can tell it how to write. Where not, a task's `instructions` are empty."""

    def write(self, task: WritingTask) -> AsyncGenerator[str | Written, None]:
        """Give the text piece by piece, none of them empty, each as soon as it is there; last one Written.

        Called on the event loop, which it must not hold up. Closing the generator, or cancelling whoever
        waits for it, must stop all work for it, upstream too. Must raise ModelUnavailable, and nothing else,
        where the model does not answer, breaks off or takes longer than it may. A source that the model
        was not shown must be missing from what Written says that it read.
        """


class Judge(Protocol):
    """Says how far passages support a sentence."""

    @property
    def name(self) -> str:
        """What a request calls it."""

    @property
    def max_batch(self) -> int:
        """Statements that one call should hold at most."""

    def weigh(self, statements: Sequence[Statement]) -> list[Support]:
        """Weigh statements, each by itself, in their order. Values are 0 to 1, larger for more support.

        A statement without contexts, or whose contexts are blank, has 0. Must be deterministic as an
        Embedder is, save where a model far away is not.
        Blocks, and is called in worker threads, so it must be safe to call from several at once.
        Must raise ModelUnavailable, and nothing else, where the model fails or takes longer than it may.
        """


class Splitter(Protocol):
    """Cuts a text into spans that are embedded and found one by one."""

    @property
    def version(self) -> str:
        """Must change whenever the spans do."""

    def split(
        self, text: str, media_type: str, chunking: Chunking, budget: TokenBudget | None = None
    ) -> list[TextSpan]:
        """Cut `text` into spans, in order. Blocks; called in worker threads.

        At least one span for a text of more than white space; no span of white space alone; none longer than
        `chunking` allows in characters, nor than `budget` in tokens of the span's text alone, counted by its
        tokenizer; save that a span of one character may have any number of tokens. `chunking.max_tokens` is
        not looked at: it is part of the budget, if there is one. Every character that is not white space
        must lie in a span. A span must repeat no more of the one before than `chunking` asks for.
        """
