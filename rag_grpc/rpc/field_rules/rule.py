"""What can be said of a field: the columns of the table of field rules.

A rule is data. `rag_grpc.rpc.validation` compiles it to a check, tools/document_fields.py
writes it down in words, and tests make values that break it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from rag_grpc.core.limits import Limits

LIMIT_NAMES = frozenset(field.name for field in fields(Limits))
MAX_KEY_BYTES = 128
MAX_METADATA_DEPTH = 32
"""Levels of objects and lists. protobuf itself reads 100 levels of messages, and a level of a Struct is
two or three; the bound also keeps recursion over metadata shallow everywhere behind the edge."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a value must be. Where nothing is set, every value of the field's type will do.

    Lengths and ranges hold where the field is set: an empty string and 0 mean unset, unless `required`.
    Numbers are finite, and enum values are known ones, in every field. Where a bound is one of
    GetServerInfo's, the rule names that limit, and breaking it is LIMIT_EXCEEDED.
    """

    required: bool = False
    """Must be set: a text or a list not empty, a number not 0, a message there."""
    not_blank: bool = False
    """Where it is set, it holds more than white space."""
    min_value: float | None = None
    max_value: float | None = None
    max_value_limit: str = ""
    max_bytes: int | None = None
    max_bytes_limit: str = ""
    """Of UTF-8, or of a message's encoding."""
    max_characters: int | None = None
    max_characters_limit: str = ""
    pattern: str = ""
    """A regular expression that matches the whole value."""
    words: str = ""
    """What `pattern` asks for, for people."""
    choices: tuple[str, ...] = ()
    no_control_characters: bool = False
    max_items: int | None = None
    max_items_limit: str = ""
    specified: bool = False
    """An enum's zero value is not to be used, not even in a list."""
    metadata: bool = False
    """A Struct that holds metadata: see `rag_grpc.rpc.metadata_checks`."""
    page_token: bool = False
    each_alone: bool = False
    """Each item succeeds or fails by itself, and the paths of its bad fields begin at the item."""
    output_only: bool = False
    """Ignored on input, as AIP-203 has it, so that what was read can be changed and sent back."""
    unruled: bool = False
    """A message whose own rules (`MessageRule`) do not hold here."""
    note: str = ""
    """What else there is to know, for people."""

    def __post_init__(self) -> None:
        for name in (
            self.max_value_limit,
            self.max_bytes_limit,
            self.max_characters_limit,
            self.max_items_limit,
        ):
            if name and name not in LIMIT_NAMES:
                raise ValueError(f"there is no limit {name!r}")


@dataclass(frozen=True, slots=True)
class MessageRule:
    """What must hold between the fields of a message.

    `check` names a function of `rag_grpc.rpc.message_checks`; `words` say what it asks for.
    """

    check: str
    words: str


# Rules that many fields share.
ANY = Rule()
OUTPUT = Rule(output_only=True)
COLLECTION = Rule(
    pattern="[a-z][a-z0-9_-]{0,63}",
    words="1 to 64 of a-z, 0-9, '-' and '_', beginning with a letter",
    note='empty means "default"',
)
COLLECTION_NAME = Rule(required=True, pattern=COLLECTION.pattern, words=COLLECTION.words)
LANGUAGE = Rule(pattern="[a-z]{2}", words="an ISO 639-1 code: two of a-z")
DOC_ID = Rule(required=True, max_bytes=512, no_control_characters=True)
METADATA = Rule(metadata=True, max_bytes_limit="max_metadata_bytes")
FILTER = Rule(
    max_bytes_limit="max_filter_bytes", note="in the [language of filters](filters.md), else INVALID_FILTER"
)
PAGE_SIZE = Rule(max_value=1000, note="0 means 100")
PAGE_TOKEN = Rule(max_bytes=4096, page_token=True)
MODEL = Rule(
    pattern="[A-Za-z0-9][A-Za-z0-9._/-]{0,127}",
    words="a model's name: 1 to 128 of A-Z, a-z, 0-9, '.', '_', '/' and '-'",
)
