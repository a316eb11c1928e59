"""What every Generator must do; each adapter's test subclasses this."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from rag_grpc.core.answers import Source, Stop, WritingTask, Written
from rag_grpc.core.model_ports import Generator

SOURCES = (
    Source("Paris is the capital of France. It lies on the Seine.", "France"),
    Source("Berlin is the capital of Germany. It lies on the Spree.", "Germany"),
)
QUESTION = "What is the capital of France?"


async def written_by(generator: Generator, task: WritingTask) -> tuple[list[str], Written]:
    """Let a generator write to the end: its pieces, and why it stopped."""
    pieces: list[str] = []
    last: Written | None = None
    async with aclosing(generator.write(task)) as writing:
        async for each in writing:
            assert last is None, "something came behind the last"
            if isinstance(each, Written):
                last = each
            else:
                pieces.append(each)
    assert last is not None
    return pieces, last


class GeneratorContract:
    def make_generator(self) -> Generator:
        raise NotImplementedError

    @pytest.fixture
    def generator(self) -> Generator:
        return self.make_generator()

    def test_it_has_a_name(self, generator: Generator) -> None:
        assert generator.name
        assert isinstance(generator.takes_instructions, bool)

    async def test_text_comes_in_pieces_and_last_why_it_stopped(self, generator: Generator) -> None:
        pieces, last = await written_by(generator, WritingTask(QUESTION, SOURCES))
        assert all(pieces)
        assert "Paris" in "".join(pieces)
        assert "[1]" in "".join(pieces)
        assert last.stop is Stop.COMPLETE
        assert min(last.input_tokens, last.output_tokens) >= 0

    @pytest.mark.parametrize(
        "sources",
        [
            (Source(""),),
            (Source(" \n\t"), *SOURCES),
            (Source("\0\ud800\u202e"), *SOURCES),
            (Source("x" * 100_000), *SOURCES),
            SOURCES * 50,
        ],
        ids=["empty", "blank", "strange", "long", "many"],
    )
    async def test_any_sources_are_taken(self, generator: Generator, sources: tuple[Source, ...]) -> None:
        pieces, last = await written_by(generator, WritingTask(QUESTION, sources))
        assert pieces or last.stop is not Stop.COMPLETE
        assert last.read is None or last.read <= set(range(1, len(sources) + 1))

    @pytest.mark.parametrize("question", ["?", "\0", "[1]", "x" * 8000, "\u0bb5\u0ba3\u0b95?"])
    async def test_any_question_is_taken(self, generator: Generator, question: str) -> None:
        await written_by(generator, WritingTask(question, SOURCES))

    async def test_no_more_is_written_than_there_is_room_for(self, generator: Generator) -> None:
        pieces, last = await written_by(generator, WritingTask(QUESTION, SOURCES, max_output_tokens=2))
        assert last.stop is Stop.LENGTH
        assert len("".join(pieces).split()) <= 4  # two words, a citation, what a token may be

    async def test_closing_it_on_the_way_leaves_nothing_behind(self, generator: Generator) -> None:
        writing = generator.write(WritingTask(QUESTION, SOURCES))
        await anext(writing)
        await writing.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(writing)

    async def test_answers_side_by_side_do_not_mix(self, generator: Generator) -> None:
        other = "What is the capital of Germany?"
        tasks = [WritingTask(each, SOURCES) for each in (QUESTION, other) * 5]
        alone = {each.question: "".join((await written_by(generator, each))[0]) for each in tasks[:2]}
        together = await asyncio.gather(*(written_by(generator, each) for each in tasks))
        for task, (pieces, _) in zip(tasks, together, strict=True):
            assert "".join(pieces) == alone[task.question]
