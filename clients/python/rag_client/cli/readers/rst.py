"""reStructuredText as Markdown: sections become headings, the rest stays text.

docutils parses; its tree is walked here. It is run so that a file can do nothing but be text: it includes no
other file and no URL, passes nothing raw, reads no configuration and says nothing to stderr. Sphinx's roles
and directives are unknown to docutils, which keeps them as messages: their text is taken out of those.
"""

from __future__ import annotations

import re
import textwrap
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from docutils import nodes  # type: ignore[import-untyped] # it ships no types
from docutils.core import publish_doctree  # type: ignore[import-untyped] # as above

from rag_client.cli.readers.content import MARKDOWN, Content, UnreadableError
from rag_client.cli.readers.front_matter import timestamp
from rag_client.cli.readers.plain import decoded

if TYPE_CHECKING:
    from collections.abc import Iterator

SAFELY = {
    "file_insertion_enabled": False,
    "raw_enabled": False,
    "_disable_config": True,
    "report_level": 5,  # none
    "halt_level": 5,
    "warning_stream": False,
    "traceback": True,  # a fault is raised, not written to stderr
    "syntax_highlight": "none",
    "smart_quotes": False,
    "line_length_limit": 1_000_000,
    "input_encoding": "unicode",
}
DEEPEST = 6
"""Markdown has no deeper heading."""

UNKNOWN = 'Unknown directive type "'
NO_TEXT = {"toctree", "currentmodule", "module", "index", "highlight", "autosummary", "literalinclude"}
"""Directives of Sphinx whose content is no text, but names of other places."""
DIRECTIVE = re.compile(r"\.\. ([\w:.-]+?)::[ \t]*(.*)")
OPTION = re.compile(r"^\s*:[\w-]+:.*$")
ROLE = re.compile(r":[\w:.+-]+:`~?!?([^`]*?)\s*(?:<[^`>]*>)?`")

UNSEEN = (nodes.Invisible, nodes.docinfo, nodes.decoration, nodes.image, nodes.label)


def read(data: bytes) -> Content | None:
    """Return the text as Markdown, with the fields that the file begins with; None for what is no text."""
    source = decoded(data)
    if source is None:
        return None
    try:
        tree = publish_doctree(source, settings_overrides=SAFELY)
    except RecursionError:
        raise UnreadableError("it is nested too deeply") from None
    walk = _Walk()
    text = "\n\n".join(walk.blocks(tree))
    metadata = _fields(tree)
    title = metadata.pop("title", "") or walk.title
    return Content(text, title=title, media_type=MARKDOWN, metadata=metadata)


def _fields(tree: Any) -> dict[str, Any]:
    """Return what the field list at a file's beginning says, by the fields' names."""
    found: dict[str, Any] = {}
    for info in tree.findall(nodes.docinfo):
        for each in info:
            if isinstance(each, nodes.field):
                name, value = each[0].astext(), each[1].astext()
            elif isinstance(each, nodes.authors):
                name, value = "authors", [author.astext() for author in each]
            else:
                name, value = each.tagname, each.astext()
            found[str(name).strip().lower().replace(" ", "_")] = value
    with suppress(KeyError, ValueError):  # CVS once wrote dates of its own there
        found["date"] = timestamp(datetime.fromisoformat(found["date"]))
    return {name: value for name, value in found.items() if name and value}


class _Walk:
    """Goes through the tree; `title` is the first heading of the first level."""

    def __init__(self) -> None:
        self.title = ""

    def blocks(self, parent: Any, level: int = 1) -> Iterator[str]:
        """Yield the blocks below a node, whose own heading is of `level`."""
        for node in parent.children:
            if isinstance(node, nodes.section):
                titled = isinstance(parent, nodes.section) or isinstance(parent[0], nodes.title)
                yield from self.blocks(node, level + titled)
            elif isinstance(node, nodes.title) and isinstance(parent, nodes.section | nodes.document):
                yield self._heading(node, level)
            else:
                yield from self._block(node, level)

    def _heading(self, node: Any, level: int) -> str:
        text = " ".join(_text(node).split())
        self.title = self.title or text * (level == 1)
        return "#" * min(level, DEEPEST) + f" {text}"

    def _block(self, node: Any, level: int) -> Iterator[str]:
        match node:
            case nodes.system_message():
                yield from _unknown_directive(node)
            case nodes.literal_block() | nodes.doctest_block() | nodes.math_block():
                yield "```\n" + node.astext().strip("\n") + "\n```"
            case nodes.list_item():
                yield "- " + textwrap.indent("\n\n".join(self.blocks(node, level)), "  ").lstrip()
            case nodes.field():
                yield f"{_text(node[0])}: {_text(node[1])}"
            case nodes.tgroup():
                yield "\n".join(_row(row) for row in node.findall(nodes.row))
            case nodes.line_block():
                yield "\n".join(_text(line) for line in node.findall(nodes.line))
            case nodes.TextElement() if not isinstance(node, UNSEEN):
                if text := _text(node).strip():
                    yield text
            case nodes.Element() if not isinstance(node, UNSEEN) and "contents" not in node["classes"]:
                yield from self.blocks(node, level)


def _text(node: Any) -> str:
    """Return a node's text; of a role that docutils does not know, what a reader would see of it."""
    if isinstance(node, nodes.problematic):
        return ROLE.sub(r"\1", node.astext())
    if isinstance(node, nodes.Text):
        return str(node.astext())
    between = "" if isinstance(node, nodes.TextElement) else "\n\n"
    return between.join(_text(child) for child in node.children)


def _row(row: Any) -> str:
    return "| " + " | ".join(" ".join(_text(entry).split()) for entry in row) + " |"


def _unknown_directive(message: Any) -> Iterator[str]:
    """Yield what a directive says that docutils does not know: its arguments, and what is below it."""
    if len(message) < 2 or not message[0].astext().startswith(UNKNOWN):  # noqa: PLR2004 - what is said, of what
        return
    first, _, rest = message[-1].astext().partition("\n")
    found = DIRECTIVE.match(first.strip())
    if found is None or found[1] in NO_TEXT or found[1].startswith("auto"):
        return
    lines = [line for line in textwrap.dedent(rest).split("\n") if not OPTION.match(line)]
    for block in (found[2], *"\n".join(lines).split("\n\n")):
        if text := ROLE.sub(r"\1", block).strip():
            yield text
