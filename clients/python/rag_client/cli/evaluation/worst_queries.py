"""The part of the page on which somebody learns something: where a run failed, and what it found instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rag_client.cli.evaluation.markup import Markup, joined, tag
from rag_client.cli.evaluation.shown_documents import FOUND_SHOWN, RELEVANT_SHOWN, relevant, worst_queries

if TYPE_CHECKING:
    from rag_client.cli.evaluation.results import QueryOutcome, Retrieved
    from rag_client.cli.evaluation.shown_documents import Shown


def worst_section(retrieved: Retrieved, documents: Mapping[str, Shown]) -> Markup:
    """Show the queries of the lowest nDCG, each of which can be opened."""
    worst = worst_queries(retrieved)
    if not worst:
        return tag("p", "Every query found all that is relevant, in the best order there is.")
    k = max(retrieved.cutoffs)
    words = (
        f"The {len(worst):,} of the lowest nDCG@{k}. Open one to see what it found and what it should have."
    )
    return joined([tag("p", words, class_="soft"), *(_query(each, documents) for each in worst)])


def _query(query: QueryOutcome, documents: Mapping[str, Shown]) -> Markup:
    ranks = {doc_id: rank for rank, doc_id in enumerate(query.doc_ids, 1)}
    wanted = relevant(query)
    summary = tag("summary", tag("span", f"{query.ndcg:.3f}", class_="score"), tag("span", query.text))
    should = [_wanted(doc_id, ranks.get(doc_id), query, documents) for doc_id in wanted[:RELEVANT_SHOWN]]
    if len(wanted) > RELEVANT_SHOWN:
        should.append(tag("li", f"and {len(wanted) - RELEVANT_SHOWN:,} more", class_="soft"))
    found = [_found(doc_id, query, documents) for doc_id in query.doc_ids[:FOUND_SHOWN]]
    inside = tag(
        "div",
        tag("p", f"query {query.query_id}, {query.latency * 1000:.1f} ms", class_="soft"),
        tag("h3", "Should find"),
        tag("ul", *should, class_="found bare") if should else tag("p", "nothing: no label is above 0"),
        tag("h3", "Found"),
        tag("ol", *found, class_="found") if found else tag("p", "nothing"),
        class_="inside",
    )
    return tag("details", summary, inside)


def _wanted(doc_id: str, rank: int | None, query: QueryOutcome, documents: Mapping[str, Shown]) -> Markup:
    where = f" at rank {rank}" if rank else " not found"
    if rank is None and documents and doc_id not in documents:
        where = " not in the collection"
    grade = query.relevance[doc_id]
    graded = f", grade {grade}" if grade > 1 else ""
    return _item(doc_id, where + graded, documents, hit=rank is not None)


def _found(doc_id: str, query: QueryOutcome, documents: Mapping[str, Shown]) -> Markup:
    grade = query.relevance.get(doc_id, 0)
    return _item(doc_id, " relevant" if grade > 0 else "", documents, hit=grade > 0 or None)


def _item(doc_id: str, note: str, documents: Mapping[str, Shown], *, hit: bool | None) -> Markup:
    shown = documents.get(doc_id)
    style = {True: "hit", False: "missed", None: ""}[hit]
    return tag(
        "li",
        tag("span", shown.title if shown is not None and shown.title else doc_id, class_="name"),
        tag("span", note, class_="soft"),
        tag("span", doc_id, class_="snippet") if shown is not None and shown.title else None,
        tag("span", shown.snippet, class_="snippet") if shown is not None else None,
        class_=style or None,
    )
