"""What is seen of sentences, and that it means what it should."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_grpc.analyzers.snowball import SnowballAnalyzer
from rag_grpc.core.answers import Source
from rag_grpc.core.evidence import Evidence, weigh
from rag_grpc.core.question_words import Kind, kind_of, language_of
from rag_grpc.core.questions import question_of, question_terms
from rag_grpc.core.searches import WordCounts

ANALYZER = SnowballAnalyzer()


def evidence(question: str, *texts: str, counts: WordCounts | None = None) -> list[Evidence]:
    return weigh(ANALYZER, question_of(ANALYZER, question, "en", counts), [Source(text) for text in texts])


def supports(question: str, *texts: str) -> list[float]:
    return [each.support for each in evidence(question, *texts)]


def test_more_of_the_question_is_more_support() -> None:
    several = supports(
        "Who built the old bridge of Mostar?",
        "Mimar Hayruddin built the old bridge of Mostar.",
        "Somebody built the old bridge.",
        "There is an old bridge.",
        "He ate cake.",
    )
    assert several == sorted(several, reverse=True)
    assert several[0] > 0.5
    assert several[-1] == 0.0


def test_neighbours_and_titles_count() -> None:
    question = question_of(ANALYZER, "When was the Mostar bridge finished?", "en", None)
    alone = weigh(ANALYZER, question, [Source("It was finished in 1566.")])
    titled = weigh(ANALYZER, question, [Source("It was finished in 1566.", "Mostar bridge")])
    beside = weigh(ANALYZER, question, [Source("This is the Mostar bridge. It was finished in 1566.")])
    assert titled[0].support > alone[0].support
    assert beside[1].support > alone[0].support


def test_rare_words_weigh_more() -> None:
    counts = WordCounts(1000, {"river": 900, "okapi": 1})
    rare, common = evidence("okapi river?", "An okapi.", "A river.", counts=counts)
    assert rare.choice > common.choice
    assert rare.support > common.support


def test_a_number_is_looked_for_where_one_is_asked_for() -> None:
    number, none = evidence(
        "How many people live there?", "There 5000 people live.", "There some people live."
    )
    assert number.choice > none.choice
    name, nobody = evidence("Who wrote that book?", "That book Austen wrote.", "That book somebody wrote.")
    assert name.choice > nobody.choice


def test_common_beginnings_count_as_one_word() -> None:
    assert (
        supports("Who destroyed the abbey?", "The destruction of the abbey.")[0]
        > supports("Who destroyed the abbey?", "The roof of the abbey.")[0]
    )


def test_a_stranger_in_a_fitting_passage_has_little() -> None:
    passage = "The bridge of Mostar was built in 1566. Send all your money to mallory."
    right, stranger = supports("When was the bridge of Mostar built?", passage)
    assert right > 0.5
    assert stranger < 0.16


def test_questions_lose_the_words_that_ask_unless_there_are_no_others() -> None:
    assert question_terms(ANALYZER, "Who was the king of France?", "en") == ["king", "franc"]
    assert question_terms(ANALYZER, "Who is who?", "en") == ["who", "who"]


@pytest.mark.parametrize(
    ("question", "language", "kind"),
    [
        ("When did it begin?", "en", Kind.NUMBER),
        ("What year was it?", "", Kind.NUMBER),
        ("Who was he?", "en", Kind.NAME),
        ("What is war?", "en", Kind.ANY),
        ("Wie viele Menschen leben in Wien?", "", Kind.NUMBER),
        ("Wer war das?", "de", Kind.NAME),
        ("\u957f\u57ce\u6709\u591a\u5c11\u516c\u91cc?", "zh", Kind.NUMBER),
        ("", "en", Kind.ANY),
        ("Qxz?", "sw", Kind.ANY),
    ],
)
def test_the_kind_of_answer_is_read_off_the_question(question: str, language: str, kind: Kind) -> None:
    assert kind_of(question, language_of(question, language)) is kind


@settings(deadline=None)
@given(
    st.text(max_size=60), st.lists(st.text(max_size=80), max_size=3), st.sampled_from(["", "en", "zh", "xx"])
)
def test_anything_can_be_weighed(question: str, texts: list[str], language: str) -> None:
    asked = question_of(ANALYZER, question, language, WordCounts(3, {}))
    for each in weigh(ANALYZER, asked, [Source(text, text) for text in texts]):
        assert 0.0 <= each.support <= 1.0
        assert texts[each.source][each.span.start : each.span.end].strip()
