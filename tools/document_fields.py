"""Write docs/fields.md from the table of field rules, and nothing else.

The page is committed, so that it can be read without running anything;
tests/repository/test_field_rules.py fails where it is not what this would write.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from rag_grpc.core.limits import Limits
from rag_grpc.rpc.field_rules import MESSAGE_RULES, RULES, Rule

PAGE = Path(__file__).resolve().parent.parent / "docs" / "fields.md"

HEAD = """\
# Rules of the fields

What every field of every request must be. This page is written by `tools/document_fields.py` from the table
in `rag_grpc/rpc/field_rules/`, which the server itself checks requests with.

- All faults of a request are named at once, each by its path from the request: `document.doc_id`,
  `queries[3].vector`. In a batch or a stream each item is looked at by itself, and the path begins at the
  item: `document.doc_id`.
- What breaks a rule is `INVALID_FIELD`. What exceeds one of GetServerInfo's limits is `LIMIT_EXCEEDED`; the
  numbers below are the defaults. A request that does both is `INVALID_FIELD`, and both are named.
- A field marked *output only* is ignored in requests, as [AIP-203](https://google.aip.dev/203) has it:
  whoever reads a document, changes its title and sends it back need not clear what the server filled in.
- Numbers are finite everywhere, enums have known values, and lists of texts hold no empty ones. Lengths and
  ranges hold where a field is set: 0 and the empty text mean unset, save in a field that the contract calls
  `optional`.
- Metadata: keys are 1 to 128 bytes of UTF-8 on every level, values nest up to 32 levels deep, and no value is
  left without a kind. A null on the top level is dropped; in a patch it removes the key.
- Control characters are those of Unicode's category Cc (U+0000 to U+001F, U+007F to U+009F). Format
  characters (Cf) are allowed: joiners are part of words in some languages.
"""


def page() -> str:
    """Write the whole page."""
    lines = [HEAD]
    for message, fields in groupby(RULES, key=lambda name: name.rpartition(".")[0]):
        lines += [f"## {message.removeprefix('ragapi.v1.')}", "", "| Field | Rule |", "| --- | --- |"]
        lines += [f"| `{name.rpartition('.')[2]}` | {_sentence(RULES[name])} |" for name in fields]
        lines.append("")
        if message in MESSAGE_RULES:
            words = MESSAGE_RULES[message].words
            lines += [f"Together: {words}.", ""]
    return "\n".join(lines).rstrip() + "\n"


def _sentence(rule: Rule) -> str:
    return "; ".join(_words(rule)).replace("|", "\\|") or "any"


_WORDS = {
    "output_only": "*output only*",
    "required": "**required**",
    "not_blank": "more than white space",
    "no_control_characters": "no control characters",
    "metadata": "metadata, see above",
    "page_token": "from the last response of the same list",
    "specified": "not the UNSPECIFIED value",
    "each_alone": "each item succeeds or fails by itself",
}


def _words(rule: Rule) -> Iterator[str]:
    for name, words in _WORDS.items():
        if getattr(rule, name):
            yield words
    if rule.words:
        yield rule.words
    if rule.choices:
        yield " or ".join(f'"{choice}"' for choice in rule.choices)
    yield from _bounds(rule)
    if rule.note:
        yield rule.note


def _bounds(rule: Rule) -> Iterator[str]:
    if rule.min_value is not None:
        yield f"at least {rule.min_value:,}"
    numbers = (
        ("{}", rule.max_value, rule.max_value_limit),
        ("{} bytes", rule.max_bytes, rule.max_bytes_limit),
        ("{} characters", rule.max_characters, rule.max_characters_limit),
        ("{} items", rule.max_items, rule.max_items_limit),
    )
    for words, bound, limit in numbers:
        if bound is not None:
            yield "at most " + words.format(f"{bound:,}")
        if limit:
            yield "at most " + words.format(f"{getattr(Limits(), limit):,}") + f" (`{limit}`)"


def main() -> None:
    """Write the page, or with --check say whether it is current."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 where the page is stale")
    if parser.parse_args().check:
        current = PAGE.exists() and PAGE.read_text(encoding="utf-8") == page()
        sys.exit(0 if current else "docs/fields.md is stale: run tools/document_fields.py")
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
