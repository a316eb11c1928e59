"""What ragctl prints: for people on a terminal, plain in a pipe, JSON where asked.

Results go to stdout; progress, warnings and errors to stderr. Text from documents is never trusted: control
characters, which could drive a terminal, are shown as replacement characters.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rag_client.errors import RagClientError

if TYPE_CHECKING:
    from rag_client.cli.passages import Piece

LINE_BREAKS = {ord(character): f"\\u{ord(character):04x}" for character in "\x7f\x85\u2028\u2029"}
"""Legal in JSON, yet line ends to many readers: escaped, so that a JSON line is one line to all."""


class Output:
    """Where a command's results go."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        self.errors = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def json(self, value: Any) -> None:
        """Print one JSON document: on a terminal indented, in a pipe on one line."""
        indent = 2 if self.console.is_terminal else None
        sys.stdout.write(as_json(value, indent=indent) + "\n")

    def json_line(self, value: Any) -> None:
        """Print one line of JSON lines."""
        sys.stdout.write(as_json(value) + "\n")

    def line(self, text: str = "", style: str = "") -> None:
        """Print a line for people."""
        if self.console.is_terminal:
            self.console.print(Text(printable(text), style=style))
        else:  # rich would turn tabs into spaces
            sys.stdout.write(printable(text) + "\n")

    def passage(self, pieces: Iterable[Piece], indent: str) -> None:
        """Print text whose marked pieces stand out: by colour on a terminal, in a pipe between asterisks."""
        text = Text(indent)
        for piece in pieces:
            shown = re.sub(r"\n(?!\n)", "\n" + indent, printable(piece.text))
            if piece.marked and not self.console.is_terminal:
                shown = f"**{shown}**"
            text.append(shown, style="bold yellow" if piece.marked else "")
        if self.console.is_terminal:
            self.console.print(text)
        else:
            sys.stdout.write(text.plain + "\n")

    def warn(self, text: str, style: str = "yellow") -> None:
        """Print a line to stderr."""
        self.errors.print(Text(printable(text), style=style))

    def table(self, headers: list[str], rows: Iterable[list[Any]]) -> None:
        """Print rows: as a table on a terminal, tab-separated and unshortened in a pipe."""
        if not self.console.is_terminal:
            for row in rows:
                self.line("\t".join(one_line(each) for each in row))
            return
        table = Table(*headers, box=None, header_style="bold", pad_edge=False)
        for row in rows:
            table.add_row(*(Text(one_line(each)) for each in row))
        self.console.print(table)


def as_json(value: Any, *, indent: int | None = None) -> str:
    """Return a result as JSON, the same fields under the same names."""
    return json.dumps(plain(value), ensure_ascii=False, indent=indent, allow_nan=False).translate(LINE_BREAKS)


def plain(value: Any) -> Any:
    """Return what JSON can hold of a result."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case datetime():
            return value.isoformat()
        case RagClientError():
            return {
                "code": value.code.name,
                "reason": value.reason,
                "message": value.message,
                "fields": plain(value.fields),
                "retry_delay": value.retry_delay,
                "metadata": value.metadata,
                "request_id": value.request_id,
            }
        case Mapping():
            return {str(key): plain(each) for key, each in value.items()}
        case Iterable():
            return [plain(each) for each in value]
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    raise TypeError(f"no JSON for a {type(value).__name__}")


def printable(text: str) -> str:
    """Return `text` without what could drive a terminal."""
    return "".join(each if each.isprintable() or each in "\n\t" else "\ufffd" for each in text)


def one_line(value: Any) -> str:
    """Return a value in one line."""
    return " ".join(str(value).split())
