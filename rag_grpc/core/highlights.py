"""Where a text has the words of a query: by the tokens that lexical search compares.

So what is marked is what was found: "indexing" is marked for "indexed" where the
collection's language is English, and no part of a longer word ever is.
"""

from __future__ import annotations

from rag_grpc.core.analysis import Analyzer
from rag_grpc.core.models import TextSpan


def highlight(analyzer: Analyzer, text: str, query: str, language: str) -> list[TextSpan]:
    """Find the words of `query` in `text`: spans in code points, in order, none touching another's inside.

    Pairs of characters, which overlap in scripts without spaces, become one span.
    """
    wanted = frozenset(analyzer.terms(query, language))
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
