"""What changed between two runs: score by score, and query by query."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag_client.cli.evaluation.markup import Markup, tag

if TYPE_CHECKING:
    from rag_client.cli.evaluation.results import Earlier, QueryOutcome, Retrieved

MOST_CHANGED = 20
"""Queries that are shown, those whose nDCG changed most."""
SAME = 1e-9


def change(difference: float, form: str = "{:+.4f}", *, larger_is_better: bool = True) -> Markup:
    """Show a difference, in words of sign and colour."""
    kind = ""
    if abs(difference) > SAME:
        kind = " better" if (difference > 0) == larger_is_better else " worse"
    return tag("span", " " + form.format(difference), class_=f"change{kind}")


def better_or_worse(retrieved: Retrieved, earlier: Earlier) -> tuple[int, int, int]:
    """Count the queries of both runs that got better, that got worse, and that stayed."""
    differences = [each.ndcg - earlier.ndcg[each.query_id] for each in _of_both(retrieved, earlier)]
    better = sum(1 for each in differences if each > SAME)
    worse = sum(1 for each in differences if each < -SAME)
    return better, worse, len(differences) - better - worse


def changes_by_query(retrieved: Retrieved, earlier: Earlier) -> list[tuple[QueryOutcome, float]]:
    """Return the queries that changed most, losses first, each with its nDCG of then."""
    changed = [(each, earlier.ndcg[each.query_id]) for each in _of_both(retrieved, earlier)]
    changed = [(each, then) for each, then in changed if abs(each.ndcg - then) > SAME]
    most = sorted(changed, key=lambda pair: -abs(pair[0].ndcg - pair[1]))[:MOST_CHANGED]
    return sorted(most, key=lambda pair: pair[0].ndcg - pair[1])


def _of_both(retrieved: Retrieved, earlier: Earlier) -> list[QueryOutcome]:
    return [each for each in retrieved.queries if each.query_id in earlier.ndcg]
