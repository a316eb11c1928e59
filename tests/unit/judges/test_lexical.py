"""Support by words: what raises it, what lowers it, and what it cannot see."""

# ruff: noqa: RUF001 - other scripts have marks and letters like ours

from __future__ import annotations

import time

import pytest

from rag_grpc.analyzers.snowball import SnowballAnalyzer
from rag_grpc.core.answers import Statement, Support
from rag_grpc.judges.lexical import LexicalJudge

PRESLEY = "Elvis Aaron Presley (January 8, 1935 - August 16, 1977) was an American singer and actor."
JUDGE = LexicalJudge("lexical", SnowballAnalyzer())


def weigh(text: str, *contexts: str, language: str = "") -> Support:
    return JUDGE.weigh([Statement(text, contexts, language=language)])[0]


def value(text: str, *contexts: str, language: str = "") -> float:
    return weigh(text, *contexts, language=language).value


def test_what_stands_there_is_supported_and_what_does_not_is_not() -> None:
    assert value(PRESLEY, PRESLEY) > 0.95
    assert value("Presley was an American singer.", PRESLEY) > 0.85
    assert value("Whales feed their calves with milk for months.", PRESLEY) < 0.25
    assert value("Presley was a Brazilian dentist.", PRESLEY) < value(
        "Presley was an American actor.", PRESLEY
    )


def test_forms_of_a_word_are_the_word() -> None:
    text = "The kernel ruptures and forcefully expands."
    assert value("Kernels rupture, expanding.", text) > 0.85


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("Presley died in 1977.", "Presley died in 1978."),
        ("Presley died on August 16.", "Presley died on August 61."),
        ("The singer was born in January.", "The singer was born in March."),
        # Both names are there, but in other places.
        ("Aaron Presley was an American.", "Aaron August was an American."),
        ("He was born on January 8, 1935.", "He was born on January 8, 1977."),
    ],
)
def test_a_swapped_number_or_name_lowers_it(right: str, wrong: str) -> None:
    assert value(wrong, PRESLEY) < value(right, PRESLEY)


@pytest.mark.parametrize(
    ("text", "context"),
    [
        ("It sold 1,500,000 copies.", "It sold 1500000 copies."),
        ("They sold 3.5 million.", "They sold 3,5 million."),
        ("They made six albums.", "They made 6 albums."),
        ("It is the 2nd largest.", "It is the second largest."),
        ("It grew in the 1970s.", "It grew in the 1970's."),
        ("It has ٣٥ rooms.", "It has 35 rooms."),
    ],
)
def test_numbers_in_other_clothes(text: str, context: str) -> None:
    assert value(text, context) > 0.85


def test_a_number_is_more_than_its_parts() -> None:
    assert value("It grew by 4.5 percent.", "It grew by 4 percent in 5 years.") < value(
        "It grew by 4 percent.", "It grew by 4 percent in 5 years."
    )


def test_words_from_all_over_are_less_than_words_in_one_place() -> None:
    filler = "Nothing of note happened on that long quiet day by the river. " * 8
    near = filler + "The bridge was painted green by Ann." + filler
    far = "The bridge is old. " + filler + "She painted. " + filler + "All was green. " + filler + "Ann left."
    text = "Ann painted the bridge green."
    assert value(text, near) > value(text, far) + 0.2


def test_the_context_that_says_it_is_named() -> None:
    assert weigh("Presley was a singer.", "Whales sing.", "", PRESLEY, "A singer.").context == 2
    assert weigh("Zebras.", "Whales sing.", PRESLEY) == Support(0.5, 0)


def test_few_words_are_weak_evidence_and_a_question_states_nothing() -> None:
    assert 0.3 < value("Great!", PRESLEY) < 0.8
    assert value("Was Presley an American singer?", PRESLEY) < 0.6 * value(
        "Presley was an American singer.", PRESLEY
    )
    assert value("歌手はエルヴィスですか？", "歌手はエルヴィス。") < value(
        "歌手はエルヴィス。", "歌手はエルヴィス。"
    )


@pytest.mark.parametrize(
    ("language", "right", "wrong", "context"),
    [
        (
            "de",
            "Die Brücken wurden 1936 gebaut.",
            "Die Häuser wurden 1936 verkauft.",
            "Die Brücke baute man 1936 mit Stahl. Gebaut wurde lange.",
        ),
        ("zh", "北京是中国的首都。", "上海是日本的港口。", "中国的首都是北京，人口很多。"),
        ("ru", "Мост построили в Москве.", "Дом продали в Лондоне.", "В Москве построен большой мост."),
        ("ar", "بني الجسر في القاهرة", "بيع البيت في لندن", "الجسر بني في القاهرة قديما"),
        ("", "東京は日本の首都です。", "大阪は韓国の港です。", "日本の首都は東京である。"),
    ],
)
def test_other_languages(language: str, right: str, wrong: str, context: str) -> None:
    assert value(right, context, language=language) > value(wrong, context, language=language) + 0.2


def test_it_cannot_see_contradictions() -> None:
    """Not a wish: what its documentation says of it is true."""
    assert value("The drug does not help.", "The drug does help.") > 0.8
    assert value("Ann paid Ben.", "Ben paid Ann.") > 0.8


def test_time_grows_with_the_length() -> None:
    context = "the same old word again and again, word for word. " * 4000
    begin = time.perf_counter()
    JUDGE.weigh([Statement("word again " * 400, (context,))] * 2)
    assert time.perf_counter() - begin < 10
