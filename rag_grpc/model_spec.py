"""How a setting names models: `NAME`, or `NAME=KIND:TARGET?OPTION=VALUE&OPTION=VALUE`.

NAME is what collections and queries say, KIND is the adapter, TARGET is what that one
wants, a folder or a model's name, and the rest has the form of a URL's query, so that
whatever stands there can be written: `query_prefix=query:%20`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

from rag_grpc.core.models import NO_EMBEDDER
from rag_grpc.environment import Parser

# As the contract has it for the fields that name a model.
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")
_FORM: Final = "write NAME, or NAME=KIND:TARGET, or NAME=KIND:TARGET?OPTION=VALUE&OPTION=VALUE"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model of a setting. A name alone is its kind too, and has no target."""

    name: str
    kind: str
    target: str = ""
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> ModelSpec:
        """Read one. Raises ValueError that says what would be right."""
        name, equals, rest = text.partition("=")
        if _NAME.fullmatch(name) is None or name == NO_EMBEDDER:
            raise ValueError(
                f"{name!r} is no name for a model: 1 to 128 of A-Z, a-z, 0-9, '.', '_', '/' and '-', and not"
                f" {NO_EMBEDDER!r}; {_FORM}"
            )
        if not equals:
            return cls(name, name)
        place, _, query = rest.partition("?")
        kind, _, target = place.partition(":")
        if not kind or not target:
            raise ValueError(f"{name}: {place!r} names no model; {_FORM}")
        try:
            pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
        except ValueError:
            raise ValueError(f"{name}: its options cannot be read; {_FORM}") from None
        if len(dict(pairs)) != len(pairs):
            raise ValueError(f"{name}: an option is given twice")
        return cls(name, kind, target, dict(pairs))

    def read(self, parsers: Mapping[str, Parser]) -> dict[str, Any]:
        """Read the options. Raises ValueError for one that there is not, or whose value is wrong."""
        values = {}
        for option, text in self.options.items():
            if option not in parsers:
                raise ValueError(f"there is no option {option!r}; there is {', '.join(parsers) or 'none'}")
            try:
                values[option] = parsers[option](text)
            except ValueError as error:
                raise ValueError(f"option {option!r}: {error}") from None
        return values


def models(value: str) -> tuple[str, ...]:
    """Take models with commas between them, for a setting. Each is as `ModelSpec.parse` wants it."""
    if not value:
        return ()
    given = tuple(each.strip() for each in value.split(","))
    if not all(given):
        raise ValueError(f"{value!r} is no list; write different models with commas between them")
    known = [ModelSpec.parse(each).name for each in given]
    if len(set(known)) != len(known):
        raise ValueError(f"{value!r} gives one name twice; write different names with commas between them")
    return given
