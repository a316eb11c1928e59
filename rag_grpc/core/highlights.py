"""Where a text has the words of a query: by the tokens that lexical search compares.

So what is marked is what was found: "indexing" is marked for "indexed" where the
collection's language is English, and no part of a longer word ever is.
"""

from __future__ import annotations

from rag_grpc.core.analysis import Analyzer
from rag_grpc.core.models import TextSpan


def wanted_terms(analyzer: Analyzer, query: str, language: str) -> frozenset[str]:
    """Take the terms of a query, once for all the texts that it is marked in."""
    return frozenset(analyzer.terms(query, language))


def highlight(analyzer: Analyzer, text: str, wanted: frozenset[str], language: str) -> list[TextSpan]:
    """Find `wanted_terms` in `text`: spans in code points, in order, none touching another's inside.

    Pairs of characters, which overlap in scripts without spaces, become one span.
    """
    if not wanted:
        return []
    spans: list[TextSpan] = []
    for term, start, end in analyzer.tokens(text, language):
        if term not in wanted:
            continue
        if spans and start < spans[-1].end:
            spans[-1] = TextSpan(spans[-1].start, max(end, spans[-1].end))
        else:
            spans.append(TextSpan(start, end))
    return spans
