"""HTML and SVG out of parts, safe by construction: whatever is not markup already is escaped."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

EMPTY = frozenset({"meta", "line", "rect", "circle", "polyline"})
"""Elements that are written without content or end, unless they have some."""


class Markup(str):
    """Text that is markup. Made by `tag` and `joined`, and of nothing that came from elsewhere."""

    __slots__ = ()


Child = str | int | float | Markup | None


def tag(name: str, /, *children: Child, **attributes: str | float | bool | None) -> Markup:
    """Make an element. `class_` is class, underscores become hyphens, None and False leave one out."""
    written = "".join(
        f' {_name(key)}="{html.escape(_value(value))}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    inner = joined(children)
    if name in EMPTY and not inner:
        return Markup(f"<{name}{written}/>" if name != "meta" else f"<{name}{written}>")
    return Markup(f"<{name}{written}>{inner}</{name}>")


def joined(children: Iterable[Child]) -> Markup:
    """Put parts one behind the other; None is nothing."""
    return Markup(
        "".join(
            each if isinstance(each, Markup) else html.escape(_shown(str(each)), quote=False)
            for each in children
            if each is not None
        )
    )


def _name(key: str) -> str:
    return key.rstrip("_").replace("_", "-") if key != "viewBox" else key


def _value(value: str | float | bool) -> str:
    if value is True:
        return ""
    return f"{value:g}" if isinstance(value, float) else _shown(str(value))


def _shown(text: str) -> str:
    """Show what could not be written, or would turn the text around it: texts come from anywhere."""
    return "".join(each if each.isprintable() or each in "\n\t" else "\ufffd" for each in text)
