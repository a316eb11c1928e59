"""The page of a run: figures, plots, what changed, and the worst queries with what they found.

One file that needs nothing else: no script, no font, no request. It opens from a disk and from a mail, and
its content policy forbids the browser whatever a document's text might try.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from rag_client.cli.evaluation.comparison import better_or_worse, change, changes_by_query
from rag_client.cli.evaluation.markup import Child, Markup, joined, tag
from rag_client.cli.evaluation.plots import Line, histogram, lines_by_cutoff
from rag_client.cli.evaluation.results import AT_CUTOFF, LABELS, Earlier, Retrieved, shown_time
from rag_client.cli.evaluation.worst_queries import worst_section

if TYPE_CHECKING:
    from pathlib import Path

    from rag_client.cli.evaluation.shown_documents import Shown

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
USUAL_CUTOFF = 10
"""The one at which most papers report."""
_WIDE_CELL = '<td class="wrap"'
DOCTYPE = Markup("<!DOCTYPE html>\n")


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
    links = [tag("li", tag("a", name, href=f"#{anchor}")) for anchor, name, _ in sections]
    body = tag(
        "body",
        tag("a", "Skip to the figures", href="#figures", class_="skip"),
        tag(
            "main",
            tag(
                "header",
                tag("h1", title),
                _lead(retrieved, earlier),
                tag("nav", tag("ul", *links), aria_label="Parts"),
            ),
            *(
                tag("section", tag("h2", name, id=anchor), content, aria_labelledby=anchor)
                for anchor, name, content in sections
            ),
            tag("footer", "Definitions are those of trec_eval. Made by ragctl eval retrieval."),
        ),
    )
    return joined([DOCTYPE, tag("html", _head(title), body, lang="en"), "\n"])


def _head(title: str) -> Markup:
    style = resources.files(__package__).joinpath("report.css").read_text("utf-8")
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", title),
        tag("style", Markup(style)),
    )


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
    return _rows(["k", *LABELS.values()], rows, "Scores by cutoff")


def _rows(headers: Sequence[str], rows: Sequence[Sequence[Child]], label: str) -> Markup:
    """Make a table that scrolls by itself, also by keys, where it is too wide."""
    wide = [isinstance(each, Markup) and each.startswith(_WIDE_CELL) for each in rows[0]]
    head = tag(
        "thead",
        tag(
            "tr",
            *(
                tag("th", each, scope="col", class_="wrap" if wraps else None)
                for each, wraps in zip(headers, wide, strict=True)
            ),
        ),
    )
    body = tag("tbody", *(tag("tr", *(_cell(each) for each in row)) for row in rows))
    return tag(
        "div", tag("table", head, body), class_="scroll", tabindex="0", role="region", aria_label=label
    )


def _cell(child: Child) -> Markup:
    return child if isinstance(child, Markup) and child.startswith(_WIDE_CELL) else tag("td", child)


def _wide(text: str) -> Markup:
    """Make a cell whose text may be long."""
    return tag("td", text, class_="wrap")


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
        [_wide(query.text), f"{query.ndcg:.4f}", change(query.ndcg - then)]
        for query, then in changes_by_query(retrieved, earlier)
    ]
    table = _rows(["query", "nDCG", "change"], rows, "Queries that changed most") if rows else None
    return joined([tag("p", words), table])


def _run(retrieved: Retrieved) -> Markup:
    facts: dict[str, Any] = {**retrieved.about, **{f"asked with {k}": v for k, v in retrieved.asked.items()}}
    if retrieved.failed_documents:
        facts["documents that were not stored"] = retrieved.failed_documents
    rows = [[name, _wide(f"{value}")] for name, value in facts.items() if value != ""]
    return _rows(["what", "value"], rows, "What was measured")
