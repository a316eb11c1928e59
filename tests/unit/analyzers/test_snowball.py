"""Stems and stop words by language, and none without one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import Stemmer  # type: ignore[import-not-found]  # as in the analyzer
import tantivy
from hypothesis import given
from hypothesis import strategies as st

from rag_grpc.analyzers import snowball
from rag_grpc.analyzers.snowball import ALGORITHMS, STOP_WORDS, SnowballAnalyzer
from rag_grpc.core.analysis import PlainAnalyzer, Token

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


def kept(analyzer: SnowballAnalyzer) -> int:
    """Count the entries of every cache that the analyzer holds on to."""
    caches: list[int] = []
    seen: set[int] = set()
    left: list[Any] = [analyzer]
    while left:
        each = left.pop()
        if id(each) in seen or not type(each).__module__.startswith((snowball.__name__, "builtins")):
            continue
        seen.add(id(each))
        if isinstance(each, dict) and type(each) is not dict:
            caches.append(len(each))
        left += vars(each).values() if hasattr(each, "__dict__") else ()
        left += each.values() if type(each) is dict else ()
    return sum(caches)


def test_all_languages_together_keep_so_many_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snowball, "CACHED_IN_ALL", 1000)
    monkeypatch.setattr(snowball, "_COUNTED_EACH", 10)
    analyzer = SnowballAnalyzer()
    most = 0
    for language in ["", *ALGORITHMS]:
        text = " ".join(f"{language}{number}" for number in range(200))
        assert analyzer.terms(text, language) == [token.term for token in analyzer.tokens(text, language)]
        most = max(most, kept(analyzer))
    assert 500 < most <= 1000 + 2 * 10 * (len(ALGORITHMS) + 1)


@pytest.mark.parametrize("language", ["", "en"])
def test_phrases_without_spaces_are_not_kept(language: str) -> None:
    analyzer = SnowballAnalyzer()
    for text in ("\u65e5\u672c\u8a9e\u306e\u6587\u66f8", "word" * 20):
        analyzer.terms(text, language)
        analyzer.tokens(text, language)
    assert kept(analyzer) == 0


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


def one_by_one(text: str, language: str) -> list[Token]:
    """Stem each word by itself, and ask of each whether it is a stop word."""
    stemmer = Stemmer.Stemmer(ALGORITHMS[language], 0)
    raw = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.raw())
    stop = raw.filter(tantivy.Filter.stopword(ALGORITHMS[language])).build()
    found = [each for each in PlainAnalyzer().tokens(text, "") if stop.analyze(each.term)]
    stemmed = [Token(stemmer.stemWord(term), start, end) for term, start, end in found]
    return [each for each in stemmed if each.term]


@given(
    st.lists(
        st.sampled_from(["die", "der", "H\u00e4user", "the", "running", " ", "\u338f", "\u2116"])
        | st.text(max_size=5)
    ),
    st.sampled_from(["de", "ru", "sv"]),
)
def test_words_that_are_stemmed_together_are_those_stemmed_alone(pieces: list[str], language: str) -> None:
    text = "".join(pieces)
    expected = one_by_one(text, language)
    assert ANALYZER.tokens(text, language) == expected
    assert ANALYZER.terms(text, language) == [each.term for each in expected]
