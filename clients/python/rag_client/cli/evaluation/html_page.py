"""A page that needs nothing else: no script, no font, no request. It opens from a disk and from a mail.

Its content policy forbids the browser whatever a document's text might try.
"""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from rag_client.cli.evaluation.markup import Child, Markup, joined, tag

if TYPE_CHECKING:
    from collections.abc import Sequence

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_WIDE_CELL = '<td class="wrap"'
DOCTYPE = Markup("<!DOCTYPE html>\n")

Section = tuple[str, str, Markup]
"""A part of a page: its anchor, its heading and what is in it."""


def html_page(title: str, lead: Markup, sections: Sequence[Section], note: str) -> str:
    """Make a page of sections, with links to each; `note` stands at its foot."""
    links = [tag("li", tag("a", name, href=f"#{anchor}")) for anchor, name, _ in sections]
    body = tag(
        "body",
        tag("a", f"Skip to {sections[0][1].lower()}", href=f"#{sections[0][0]}", class_="skip"),
        tag(
            "main",
            tag("header", tag("h1", title), lead, tag("nav", tag("ul", *links), aria_label="Parts")),
            *(
                tag("section", tag("h2", name, id=anchor), content, aria_labelledby=anchor)
                for anchor, name, content in sections
            ),
            tag("footer", f"{note} Made by ragctl eval."),
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


def table_of(headers: Sequence[str], rows: Sequence[Sequence[Child]], label: str) -> Markup:
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


def wide_cell(text: str) -> Markup:
    """Make a cell whose text may be long."""
    return tag("td", text, class_="wrap")
