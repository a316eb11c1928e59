"""The page of a run: figures, plots, what changed, and the worst queries with what they found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rag_client.cli.evaluation.comparison import better_or_worse, change, changes_by_query
from rag_client.cli.evaluation.html_page import html_page, table_of, wide_cell
from rag_client.cli.evaluation.markup import Child, Markup, joined, tag
from rag_client.cli.evaluation.plots import Line, histogram, lines_by_cutoff
from rag_client.cli.evaluation.results import AT_CUTOFF, LABELS, Earlier, Retrieved, shown_time
from rag_client.cli.evaluation.worst_queries import worst_section

if TYPE_CHECKING:
    from pathlib import Path

    from rag_client.cli.evaluation.shown_documents import Shown

USUAL_CUTOFF = 10
"""The one at which most papers report."""
_WIDE_CELL = '<td class="wrap"'


def write_report(
    path: Path, retrieved: Retrieved, earlier: Earlier | None, documents: Mapping[str, Shown]
) -> None:
    """Write the page. `documents` are those that the worst queries found and should have found."""
    path.write_text(page(retrieved, earlier, documents), encoding="utf-8")


def page(retrieved: Retrieved, earlier: Earlier | None, documents: Mapping[str, Shown]) -> str:
    """Make the page."""
    title = f"Retrieval of {retrieved.about['collection']}"
    sections = [
        ("figures", "Figures", joined([_cards(retrieved, earlier), _table(retrieved, earlier)])),
        ("plots", "Plots", _plots(retrieved, earlier)),
    ]
    if earlier is not None:
        sections.append(("changes", "What changed", _changes(retrieved, earlier)))
    sections.append(("worst", "Worst queries", worst_section(retrieved, documents)))
    sections.append(("run", "This run", _run(retrieved)))
    return html_page(title, _lead(retrieved, earlier), sections, "Definitions are those of trec_eval.")


def _lead(retrieved: Retrieved, earlier: Earlier | None) -> Markup:
    about = retrieved.about
    words = (
        f"{len(retrieved.queries):,} queries against {about['documents']:,} documents"
        f" in {about['chunks']:,} chunks, {shown_time(retrieved.time)}"
    )
    if earlier is not None:
        words += f", compared with {shown_time(earlier.time)}"
    return tag("p", words, class_="soft")


def _cards(retrieved: Retrieved, earlier: Earlier | None) -> Markup:
    k = USUAL_CUTOFF if USUAL_CUTOFF in retrieved.cutoffs else max(retrieved.cutoffs)
    cards = [
        _card(f"{LABELS[name]}@{k}", f"{name}@{k}", retrieved, earlier)
        for name in ("ndcg", "recall", "reciprocal_rank")
    ]
    cards.append(_card("MAP", "map", retrieved, earlier))
    for label, now, then in (
        ("median time", retrieved.latency_p50, earlier.latency_p50 if earlier else None),
        ("99 of 100 within", retrieved.latency_p99, earlier.latency_p99 if earlier else None),
    ):
        shown = f"{now * 1000:.1f} ms"
        since = None if then is None else change((now - then) * 1000, "{:+.1f} ms", larger_is_better=False)
        cards.append(tag("div", tag("dt", label), tag("dd", shown, since)))
    return tag("dl", *cards, class_="cards")


def _card(label: str, name: str, retrieved: Retrieved, earlier: Earlier | None) -> Markup:
    value = retrieved.scores[name]
    return tag("div", tag("dt", label), tag("dd", f"{value:.4f}", _since(name, value, earlier)))


def _since(name: str, value: float, earlier: Earlier | None) -> Markup | None:
    if earlier is None or name not in earlier.scores:
        return None
    return change(value - earlier.scores[name])


def _table(retrieved: Retrieved, earlier: Earlier | None) -> Markup:
    scores = retrieved.scores
    rows = [
        [
            f"{k}",
            *(
                joined(
                    [f"{scores[f'{name}@{k}']:.4f}", _since(f"{name}@{k}", scores[f"{name}@{k}"], earlier)]
                )
                for name in AT_CUTOFF
            ),
        ]
        for k in retrieved.cutoffs
    ]
    return table_of(["k", *LABELS.values()], rows, "Scores by cutoff")


def _plots(retrieved: Retrieved, earlier: Earlier | None) -> Markup:
    cutoffs = retrieved.cutoffs
    plots: list[Child] = []
    for name in ("recall", "ndcg"):
        keys = [f"{name}@{k}" for k in cutoffs]
        lines = [Line("this run", "now", [retrieved.scores[key] for key in keys])]
        if earlier is not None:
            lines.append(Line("earlier", "then", [earlier.scores.get(key) for key in keys]))
        plots.append(lines_by_cutoff(f"{LABELS[name]} by k", cutoffs, lines))
    marks = [("median", retrieved.latency_p50), ("99th percentile", retrieved.latency_p99)]
    plots.append(histogram("Time of one query", [each.latency for each in retrieved.queries], marks))
    return tag("div", *plots, class_="plots")


def _changes(retrieved: Retrieved, earlier: Earlier) -> Markup:
    better, worse, same = better_or_worse(retrieved, earlier)
    words = (
        f"Of {better + worse + same:,} queries that both runs asked, {better:,} are better by nDCG,"
        f" {worse:,} are worse, {same:,} are the same."
    )
    rows = [
        [wide_cell(query.text), f"{query.ndcg:.4f}", change(query.ndcg - then)]
        for query, then in changes_by_query(retrieved, earlier)
    ]
    table = table_of(["query", "nDCG", "change"], rows, "Queries that changed most") if rows else None
    return joined([tag("p", words), table])


def _run(retrieved: Retrieved) -> Markup:
    facts: dict[str, Any] = {**retrieved.about, **{f"asked with {k}": v for k, v in retrieved.asked.items()}}
    if retrieved.failed_documents:
        facts["documents that were not stored"] = retrieved.failed_documents
    rows = [[name, wide_cell(f"{value}")] for name, value in facts.items() if value != ""]
    return table_of(["what", "value"], rows, "What was measured")
