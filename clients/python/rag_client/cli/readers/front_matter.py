"""Front matter: the metadata that a Markdown file begins with, YAML between `---` or TOML between `+++`.

What stands there is data of strangers. YAML is read by PyYAML's safe loader, and what it gives is copied
under a bound of values: aliases make a few lines of YAML into gigabytes once they are written out. What is
not front matter after all stays where it is, in the text.
"""

from __future__ import annotations

import base64
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import yaml

MOST_CHARACTERS = 64 * 1024
MOST_VALUES = 5_000
DEEPEST = 30
"""Levels of nesting; the server takes 32, and the outermost is ours."""
EXACT = 2**53
"""Up to here a double, which is what a number on the wire is, holds every integer."""

CORE = {
    "tag:yaml.org,2002:bool": (re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"), "tTfF"),
    "tag:yaml.org,2002:int": (re.compile(r"[-+]?(?:0|[1-9][0-9]*|0x[0-9a-fA-F]+)$"), "-+0123456789"),
    "tag:yaml.org,2002:float": (
        re.compile(
            r"[-+]?(?:(?:0|[1-9][0-9]*)?\.[0-9]+|(?:0|[1-9][0-9]*)\.?)(?:[eE][-+]?[0-9]+)?$"
            r"|[-+]?\.(?:inf|Inf|INF)$|\.(?:nan|NaN|NAN)$"
        ),
        "-+.0123456789",
    ),
}
"""Booleans and numbers as YAML 1.2 has them, with the characters that they begin with."""

BEGINNING = re.compile(r"(---|\+\+\+)[ \t]*\r?\n")
ENDS = {
    "---": re.compile(r"^(?:---|\.\.\.)[ \t]*\r?$", re.MULTILINE),
    "+++": re.compile(r"^\+\+\+[ \t]*\r?$", re.MULTILINE),
}


@dataclass(frozen=True, slots=True)
class FrontMatter:
    """What was found: values that JSON can hold, and the text behind them."""

    rest: str
    values: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def split(text: str) -> FrontMatter:
    """Take the front matter off a text. A text that has none, or one that cannot be read, stays whole."""
    begin = BEGINNING.match(text)
    if begin is None:
        return FrontMatter(text)
    end = ENDS[begin[1]].search(text, begin.end(), begin.end() + MOST_CHARACTERS)
    if end is None:  # a text that begins with a line across the page
        return FrontMatter(text)
    inner = text[begin.end() : end.start()]
    try:
        values = _toml(inner) if begin[1] == "+++" else _yaml(inner)
        if values is None:
            return FrontMatter(text)
        kept = _Copy().mapping(values)
    except ValueError as error:
        return FrontMatter(text, warnings=(f"the front matter was left in the text: {error}",))
    return FrontMatter(text[end.end() :].lstrip("\r\n"), kept)


def _toml(text: str) -> Mapping[str, Any]:
    return tomllib.loads(text.replace("\r\n", "\n"))  # its errors are ValueErrors


@cache
def _loader() -> type[yaml.SafeLoader]:
    """Return PyYAML's safe loader with the booleans and numbers of YAML 1.2.

    PyYAML reads YAML 1.1: there Norway's NO is false, the key `on` is True, 12:30 is 750, the post code 01234
    is 668. Numbers that begin with a zero are left as they are written.
    """
    import yaml  # noqa: PLC0415 - a tenth of a second, for files that have front matter

    class Loader(yaml.SafeLoader):
        """A class of its own, since the table of resolvers belongs to the class."""

    Loader.yaml_implicit_resolvers = {
        first: [each for each in known if each[0] not in CORE]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    for tag, (pattern, first) in CORE.items():
        Loader.add_implicit_resolver(tag, pattern, list(first))
    return Loader


def _yaml(text: str) -> Mapping[Any, Any] | None:
    """Return a mapping; None for YAML that is none, such as a sentence between two lines."""
    import yaml  # noqa: PLC0415 - as above

    try:
        values = yaml.load(text, _loader())  # noqa: S506 - it is a SafeLoader
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if values is None:
        return {}
    return values if isinstance(values, Mapping) else None


class _Copy:
    """Copies values as JSON can hold them, counting them: what aliases share counts each time it is met.

    Dates and times become RFC 3339 timestamps, which filters compare by time; where no zone is given they are
    UTC. Integers that a double cannot hold, and numbers that are none, become strings, bytes become base64.
    Raises ValueError for values that are too many or nested too deeply.
    """

    def __init__(self) -> None:
        self._count = 0

    def mapping(self, values: Mapping[Any, Any], depth: int = 0) -> dict[str, Any]:
        return {_text(key): self._value(value, depth + 1) for key, value in values.items()}

    def _value(self, value: Any, depth: int) -> Any:
        self._count += 1
        if self._count > MOST_VALUES:
            raise ValueError(f"it holds more than {MOST_VALUES} values")
        if depth > DEEPEST:
            raise ValueError("it is nested too deeply")
        match value:
            case None | bool() | str() | int() | float():
                return _scalar(value)
            case date() | time():
                return timestamp(value)
            case bytes():
                return base64.b64encode(value).decode()
            case Mapping():
                return self.mapping(value, depth)
        return [self._value(each, depth + 1) for each in value]  # a list, or a set of YAML


def _scalar(value: float | str | None) -> float | str | None:
    """Return a value, as a string where it is a number that would not arrive as it is."""
    if isinstance(value, int):
        return value if abs(value) <= EXACT else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value


def timestamp(value: date | time) -> str:
    """Return a moment or a day as RFC 3339; a time of day, which is neither, as it is written."""
    if isinstance(value, time):
        return value.isoformat()
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    elif value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    return value.isoformat().replace("+00:00", "Z")


def _text(key: Any) -> str:
    return timestamp(key) if isinstance(key, date | time) else str(key)
