"""Stems and stop words by language, and none without one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import tantivy
from hypothesis import given
from hypothesis import strategies as st

from rag_grpc.analyzers.snowball import ALGORITHMS, STOP_WORDS, SnowballAnalyzer
from rag_grpc.core.analysis import PlainAnalyzer

ANALYZER = SnowballAnalyzer()


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        (
            "en",
            "The dogs aren't Einstein\u2019s, of course: T cells",
            ["dog", "aren", "einstein", "cours", "t", "cell"],
        ),
        ("", "The dogs", ["the", "dogs"]),
        ("de", "Die H\u00e4user und das Haus", ["haus", "haus"]),
        (
            "ru",
            "\u0438 \u043a\u043d\u0438\u0433\u0438 \u043a\u043d\u0438\u0433\u0430",
            ["\u043a\u043d\u0438\u0433", "\u043a\u043d\u0438\u0433"],
        ),
        ("tr", "\u0130STANBUL ISPARTA", ["istanbul", "\u0131spar"]),
        ("zh", "\u65e5\u672c\u8a9e", ["\u65e5\u672c", "\u672c\u8a9e"]),
        ("xx", "The dogs", ["the", "dogs"]),
    ],
)
def test_a_language_s_terms(language: str, text: str, expected: list[str]) -> None:
    assert ANALYZER.terms(text, language) == expected
    assert [token.term for token in ANALYZER.tokens(text, language)] == expected


def test_without_a_language_it_is_the_plain_one() -> None:
    text = (
        "The caf\u00e9's \u65e5\u672c\u8a9e, \u00bd \u338f and 3\u6708 - \u0939\u093f\u0928\u094d\u0926\u0940"
    )
    assert ANALYZER.tokens(text, "") == PlainAnalyzer().tokens(text, "")


@given(st.text(), st.text(alphabet=st.characters(max_codepoint=127)))
def test_any_text_without_a_language_has_the_plain_tokens(any_text: str, ascii_text: str) -> None:
    for text in (any_text, ascii_text, ascii_text + any_text):
        assert ANALYZER.tokens(text, "") == PlainAnalyzer().tokens(text, "")
        assert ANALYZER.terms(text, "") == PlainAnalyzer().terms(text, "")


@given(
    st.text(alphabet="aB1 .-\n\0é")
    | st.sampled_from(["x" * 101, f"a{'y' * 260}.b", "z" * 100 + " " + "z" * 49])
)
def test_joined_are_the_terms(text: str) -> None:
    analyzer = SnowballAnalyzer()
    for language in ("", "en", "xx"):
        assert analyzer.joined(text, language).split() == analyzer.terms(text, language)


def test_every_language_is_there_and_its_stop_words_are_known_or_not() -> None:
    for language, algorithm in ALGORITHMS.items():
        assert ANALYZER.terms("Wort 12", language)[-1] == "12"
        builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.raw())
        if language in STOP_WORDS:
            builder.filter(tantivy.Filter.stopword(algorithm))
        else:
            with pytest.raises(ValueError, match=r"Unsupported|No builtin"):
                builder.filter(tantivy.Filter.stopword(algorithm))


def test_threads_may_share_it() -> None:
    texts = [" ".join(f"running{number} walked{number * 7 % 50}" for number in range(50))] * 40
    alone = ANALYZER.terms(texts[0], "en")
    fresh = SnowballAnalyzer()
    with ThreadPoolExecutor(8) as pool:
        assert all(found == alone for found in pool.map(lambda text: fresh.terms(text, "en"), texts))


def test_its_version_names_what_the_terms_depend_on() -> None:
    assert "unicode-" in ANALYZER.version
    assert "snowball-" in ANALYZER.version
    assert "tantivy-" in ANALYZER.version
