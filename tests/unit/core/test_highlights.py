"""What of a text is marked for a query, in several scripts."""

from __future__ import annotations

import pytest

from rag_grpc.analyzers.snowball import SnowballAnalyzer
from rag_grpc.core.highlights import highlight, wanted_terms

ANALYZER = SnowballAnalyzer()


@pytest.mark.parametrize(
    ("text", "query", "language", "marked"),
    [
        ("She indexed the Index's indices.", "indexing", "en", ["indexed", "Index"]),
        ("Art is in the artist's part.", "art", "", ["Art"]),
        ("C'est l'avion d'Alice", "avion alice", "fr", ["avion", "Alice"]),
        (
            "\u5f7c\u306f\u65e5\u672c\u8a9e\u3092\u8a71\u3059",
            "\u65e5\u672c\u8a9e",
            "",
            ["\u65e5\u672c\u8a9e"],
        ),
        (
            "\U0001f680 \u0939\u093f\u0928\u094d\u0926\u0940 \u092e\u0947\u0902",
            "\u0939\u093f\u0928\u094d\u0926\u0940",
            "",
            ["\u0939\u093f\u0928\u094d\u0926\u0940"],
        ),
        (
            "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645",
            "\u0628\u0627\u0644\u0639\u0627\u0644\u0645",
            "",
            ["\u0628\u0627\u0644\u0639\u0627\u0644\u0645"],
        ),
        ("Cafe\u0301 caf\u00e9", "CAF\u00c9", "", ["Cafe\u0301", "caf\u00e9"]),
        ("lion", "the of", "en", []),
        ("lion", "", "", []),
    ],
)
def test_the_words_of_the_query_are_marked(text: str, query: str, language: str, marked: list[str]) -> None:
    spans = highlight(ANALYZER, text, wanted_terms(ANALYZER, query, language), language)
    assert [text[span.start : span.end] for span in spans] == marked
