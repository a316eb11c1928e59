"""The generator that quotes: which sentences, in which order, and when it says that there are none."""

from __future__ import annotations

import pytest

from rag_grpc.analyzers.snowball import SnowballAnalyzer
from rag_grpc.core.answers import Source, Stop, WritingTask
from rag_grpc.core.model_ports import Generator
from rag_grpc.generators.extractive import MOST_SENTENCES, ExtractiveGenerator
from tests.contracts.generator_contract import QUESTION, SOURCES, GeneratorContract, written_by


def make(threshold: float = 0.2) -> ExtractiveGenerator:
    return ExtractiveGenerator("extractive", SnowballAnalyzer(), threshold=threshold)


async def answer(question: str, *texts: str | Source, language: str = "en") -> str:
    sources = [each if isinstance(each, Source) else Source(each) for each in texts]
    pieces, _ = await written_by(make(), WritingTask(question, sources, language))
    return "".join(pieces)


class TestExtractiveGenerator(GeneratorContract):
    def make_generator(self) -> Generator:
        return make()


async def test_it_quotes_the_sentence_that_answers_and_cites_it() -> None:
    assert await answer(QUESTION, *SOURCES) == "Paris is the capital of France. [1]"
    assert await answer("What is Germany's capital?", *SOURCES) == "Berlin is the capital of Germany. [2]"


async def test_the_answer_is_the_same_every_time() -> None:
    task = WritingTask("Where does Berlin lie?", SOURCES * 3, "en")
    assert len({"".join((await written_by(make(), task))[0]) for _ in range(5)}) == 1


async def test_sentences_keep_their_wording_and_stand_in_the_order_of_the_sources() -> None:
    texts = [f"The tower number {n} of the castle was built by king Otto in {1200 + n}." for n in range(8)]
    quoted = await answer("When was the tower of the castle built by king Otto?", *texts)
    numbers = [int(each.split("]")[0]) for each in quoted.split("[")[1:]]
    assert 1 < len(numbers) <= MOST_SENTENCES
    assert numbers == sorted(numbers)
    assert quoted == " ".join(f"{texts[number - 1]} [{number}]" for number in numbers)


@pytest.mark.parametrize(
    ("language", "question", "right", "wrong"),
    [
        ("de", "Wann wurde die Brücke gebaut?", "Die Brücke wurde 1850 gebaut.", "Er aß gern Kuchen."),
        ("ru", "Кто построил мост?", "Мост построил инженер Иванов.", "Он любил пироги."),
        ("zh", "长城有多长\uff1f", "长城有两万公里长。", "他喜欢吃苹果。"),
        ("ja", "富士山の高さはいくつですか\uff1f", "富士山の高さは3776メートルです。", "彼は林檎が好きだ。"),
        ("ar", "متى بني الجسر؟", "بني الجسر في عام 1850.", "كان يحب الكعك."),
        ("hi", "पुल कब बना?", "पुल 1850 में बना।", "उसे केक पसंद था।"),
        ("", "Kdy byl postaven most?", "Most byl postaven v roce 1850.", "Měl rád koláče."),
    ],
)
async def test_it_works_in_every_script(language: str, question: str, right: str, wrong: str) -> None:
    space = "" if language in ("zh", "ja") else " "
    assert await answer(question, f"{wrong}{space}{right}", wrong, language=language) == f"{right} [1]"


@pytest.mark.parametrize("threshold", [0.0, 0.2])
async def test_it_says_so_where_no_source_has_a_word_of_the_question(threshold: float) -> None:
    task = WritingTask("Who wrote Hamlet?", SOURCES, "en")
    pieces, last = await written_by(make(threshold), task)
    assert ("".join(pieces), last.stop) == ("The sources do not answer this question.", Stop.NOT_GROUNDED)


async def test_it_says_so_in_the_language_of_the_collection() -> None:
    assert await answer("Wer schrieb Hamlet?", *SOURCES, language="de") == (
        "Die Quellen beantworten diese Frage nicht."
    )


async def test_numbers_in_brackets_are_not_quoted() -> None:
    source = "Paris[2] is the capital of France.[3][4]"
    assert await answer(QUESTION, source) == "Paris is the capital of France. [1]"


async def test_what_several_sources_say_alike_is_said_once() -> None:
    assert await answer(QUESTION, SOURCES[0], SOURCES[0], SOURCES[1]) == "Paris is the capital of France. [1]"


async def test_a_long_answer_is_cut_to_its_room() -> None:
    pieces, last = await written_by(make(), WritingTask(QUESTION, SOURCES, "en", max_output_tokens=3))
    assert ("".join(pieces), last.stop) == ("Paris is the [1]", Stop.LENGTH)


async def test_what_was_cut_off_or_wrapped_stays_a_sentence_of_its_own() -> None:
    sources = [
        Source("The towers of the castle that king Otto built in\n1201 were:"),
        Source("King Otto built castle towers."),
    ]
    quoted = await answer("When were the castle towers of king Otto built?", *sources)
    assert "king Otto built in 1201 were: [1]\n\n" in quoted


async def test_headings_are_not_quoted() -> None:
    source = Source("# The capital of France\n\n## Which is it\n\nThe capital of France is Paris.", "France")
    assert await answer(QUESTION, source) == "The capital of France is Paris. [1]"
