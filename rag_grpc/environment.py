"""How settings are read: from variables, with every fault reported at once.

A settings class is a frozen dataclass whose fields are made by `setting`. This
module knows how such a class is read, not what is in it.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

PREFIX = "RAG_"
_FILE = "_FILE"
# How alike a name must be to count as a slip of the pen. Orchestrators put names such as
# RAG_GRPC_SERVICE_HOST into the environment, and the client has RAG_SERVER: those are nobody's fault.
_ALIKE = 0.85

T = TypeVar("T")
Parser = Callable[[str], Any]


class SettingsFault(Exception):
    """The settings cannot be used. `faults` names every variable at fault and what would be right."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class Secret(str):
    """A value that no log and no report may show. `str()` of it is the value, `repr()` is not."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret('***')"


def setting(default: Any, parse: Parser, meaning: str, *, secret: bool = False) -> Any:
    """Make a field of a settings class. `default` is written as it would stand in the environment.

    `parse` raises ValueError that says what would be right. `meaning` is what docs/settings.md says.
    """
    return dataclasses.field(
        default=parse(default),
        repr=not secret,
        metadata={"default": default, "parse": parse, "meaning": meaning, "secret": secret},
    )


def together(*checks: Callable[[], object]) -> None:
    """Run checks of settings, all of them. Raises SettingsFault with the faults of all that raised it."""
    faults: list[str] = []
    for check in checks:
        try:
            check()
        except SettingsFault as fault:
            faults += fault.faults
    if faults:
        raise SettingsFault(faults)


def variable(field: dataclasses.Field[Any]) -> str:
    """Name the variable that sets a field."""
    return PREFIX + field.name.upper()


def read(cls: type[T], variables: Mapping[str, str]) -> tuple[T, list[str]]:
    """Make a `cls` from variables; also give the RAG_ names that are there and mean nothing.

    A secret may come from a file named by the variable with _FILE behind it. An empty value is none.
    Raises SettingsFault.
    """
    fields = {variable(field): field for field in dataclasses.fields(cls)}  # type: ignore[arg-type] # a dataclass
    values: dict[str, Any] = {}
    faults: list[str] = []
    for name, field in fields.items():
        try:
            text = _text(name, field, variables)
            if text:
                values[field.name] = field.metadata["parse"](text)
        except (ValueError, OSError) as error:
            faults.append(f"{name}: {error}")
    secrets = {name + _FILE for name, field in fields.items() if field.metadata["secret"]}
    unknown = _unknown({*fields, *secrets}, variables, faults)
    if not faults:
        try:
            return cls(**values), unknown
        except ValueError as error:
            # What a class finds where values do not go together.
            faults.append(str(error))
    raise SettingsFault(faults)


def _text(name: str, field: dataclasses.Field[Any], variables: Mapping[str, str]) -> str:
    text = variables.get(name, "")
    path = variables.get(name + _FILE, "") if field.metadata["secret"] else ""
    if text and path:
        raise ValueError(f"is set, and so is {name + _FILE}; set one of them")
    return Path(path).read_text("utf-8").strip() if path else text.strip()


def _unknown(known: set[str], variables: Mapping[str, str], faults: list[str]) -> list[str]:
    unknown = []
    for name in sorted(set(variables) - known):
        if not name.startswith(PREFIX):
            continue
        near = difflib.get_close_matches(name, known, n=1, cutoff=_ALIKE)
        if near:
            faults.append(f"{name}: there is no such setting; {near[0]} is meant?")
        else:
            unknown.append(name)
    return unknown


# ---------------------------------------------------------------------------- parsers


def text(value: str) -> str:
    """Take any text."""
    return value


def secret(value: str) -> Secret:
    """Take any text, and keep it from being shown."""
    return Secret(value)


def path(value: str) -> Path:
    """Take a path; ~ is the home folder."""
    return Path(value).expanduser()


def optional_path(value: str) -> Path | None:
    """Take a path, or none."""
    return path(value) if value else None


def address(value: str) -> str:
    """Take HOST:PORT; IPv6 hosts stand in brackets, port 0 means any that is free."""
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]\s]+):([0-9]{1,5})", value)
    if match is None or int(match[2]) > 65535:  # noqa: PLR2004 # the largest port
        raise ValueError(f"{value!r} is no address; write HOST:PORT, such as 127.0.0.1:50051")
    return value


def split_address(value: str) -> tuple[str, int]:
    """Take an address apart: host without brackets, port."""
    host, _, port = value.rpartition(":")
    return host.strip("[]"), int(port)


def hosts(value: str) -> tuple[str, ...]:
    """Take names of hosts with commas between them, without ports; none for an empty value."""
    names = tuple(name.strip().lower() for name in value.split(",") if name.strip())
    for name in names:
        if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", name):
            raise ValueError(f"{name!r} is no name of a host; write rag.example.org, without a port")
    return names


def one_of(*choices: str) -> Parser:
    """Take one of these words."""

    def parse(value: str) -> str:
        if value.lower() not in choices:
            raise ValueError(f"{value!r} is none of {', '.join(choices)}")
        return value.lower()

    return parse


def flag(value: str) -> bool:
    """Take yes or no."""
    if value.lower() not in ("true", "false"):
        raise ValueError(f"{value!r} is neither true nor false")
    return value.lower() == "true"


def share(value: str) -> float:
    """Take a number from 0 to 1."""
    if not re.fullmatch(r"[0-9](?:\.[0-9]{1,9})?", value) or float(value) > 1:
        raise ValueError(f"{value!r} is no number from 0 to 1")
    return float(value)


def url(value: str) -> str:
    """Take the address of a service. One with a password in it is refused: addresses are shown."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{value!r} is no address of a service; write https://HOST/PATH")
    if "@" in parts.netloc:
        raise ValueError("has a user or password in it, which logs would show; set the key for it instead")
    return value.rstrip("/")


def whole(least: int, most: int) -> Parser:
    """Take a whole number between two bounds."""

    def parse(value: str) -> int:
        if not re.fullmatch(r"[0-9]{1,18}", value) or not least <= int(value) <= most:
            raise ValueError(f"{value!r} is not a whole number from {least} to {most}")
        return int(value)

    return parse


_SIZES = {"": 1, "B": 1, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


def size(least: str, most: str) -> Parser:
    """Take a number of bytes, as `1048576` or `1MiB`, between two bounds."""
    lowest, highest = _bytes(least), _bytes(most)

    def parse(value: str) -> int:
        number = _bytes(value)
        if number is None or not (lowest or 0) <= number <= (highest or 0):
            raise ValueError(f"{value!r} is no size from {least} to {most}; write 16MiB, for one, or bytes")
        return number

    return parse


def _bytes(value: str) -> int | None:
    match = re.fullmatch(r"([0-9]{1,18})\s*([A-Za-z]*)", value)
    if match is None or match[2].upper() not in _SIZES:
        return None
    return int(match[1]) * _SIZES[match[2].upper()]


_DURATIONS = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def duration(least: str, most: str) -> Parser:
    """Take a time, as `20`, `20s`, `500ms` or `2m`, between two bounds; gives seconds."""
    lowest, highest = _seconds(least), _seconds(most)

    def parse(value: str) -> float:
        seconds = _seconds(value)
        if not lowest <= seconds <= highest:  # false for nan, too
            raise ValueError(f"{value!r} is no time from {least} to {most}; write 20s, for one, or 500ms")
        return seconds

    return parse


def _seconds(value: str) -> float:
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(ms|s|m|h|)", value)
    return float(match[1]) * _DURATIONS[match[2]] if match else math.nan
