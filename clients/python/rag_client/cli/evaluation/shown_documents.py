"""Which documents a report shows, and what it shows of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag_client.errors import LimitExceededError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rag_client import RagClient
    from rag_client.cli.evaluation.results import QueryOutcome, Retrieved
    from rag_client.models import Document

WORST = 25
"""Queries that are shown, those of the lowest nDCG."""
FOUND_SHOWN = 10
RELEVANT_SHOWN = 20
SNIPPET = 280
"""Characters of a document's text."""
_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class Shown:
    """A document's title and the beginning of its text."""

    title: str
    snippet: str


def worst_queries(retrieved: Retrieved) -> Sequence[QueryOutcome]:
    """Return the queries that found least, the worst first; those that found all in order are none."""
    below = [each for each in retrieved.queries if each.ndcg < 1]
    return sorted(below, key=lambda each: (each.ndcg, each.recall))[:WORST]


def documents_to_show(client: RagClient, collection: str, retrieved: Retrieved) -> dict[str, Shown]:
    """Read what the worst queries found and should have found; what is not there is left out."""
    ids = list(dict.fromkeys(_ids(worst_queries(retrieved))))
    shown: dict[str, Shown] = {}
    for begin in range(0, len(ids), _AT_ONCE):
        for document in _read(client, collection, ids[begin : begin + _AT_ONCE]):
            text = " ".join(document.text[: 2 * SNIPPET].split())
            snippet = text if len(text) <= SNIPPET else text[:SNIPPET].rsplit(" ", 1)[0] + " ..."
            shown[document.doc_id] = Shown(document.title, snippet)
    return shown


def _read(client: RagClient, collection: str, ids: list[str]) -> list[Document]:
    try:
        return client.get_documents(ids, collection=collection)
    except LimitExceededError:
        # Together they are more than a response may hold. One always fits.
        return [each for one in ids for each in client.get_documents([one], collection=collection)]


def _ids(queries: Sequence[QueryOutcome]) -> Iterator[str]:
    for query in queries:
        yield from query.doc_ids[:FOUND_SHOWN]
        yield from relevant(query)[:RELEVANT_SHOWN]


def relevant(query: QueryOutcome) -> list[str]:
    """Return what a query should find, the most relevant first."""
    grades = query.relevance
    return sorted((each for each in grades if grades[each] > 0), key=lambda each: -grades[each])
