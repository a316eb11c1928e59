"""JSON lines: one document a line, as it stands."""

from __future__ import annotations

import json
from typing import Any

from rag_client.models import Chunk, Document

SUFFIXES = (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")
KEYS = ("doc_id", "text", "title", "media_type", "metadata", "chunks", "embedder_fingerprint")


def json_document(line: bytes) -> tuple[Document, list[str]]:
    """Return the document of one JSON line, and its keys that no document has.

    Raises ValueError that says what is wrong with it.
    """
    try:
        given = json.loads(line, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no JSON: {error}") from None
    if not isinstance(given, dict):
        raise ValueError("a line is an object")  # noqa: TRY004 - a bad value of the file
    given = {key: value for key, value in given.items() if value is not None}
    for key in ("doc_id", "text", "title", "media_type", "embedder_fingerprint"):
        if not isinstance(given.get(key, ""), str):
            raise ValueError(f"{key} is a string, not {given[key]!r}")  # noqa: TRY004 - as above
    if not given.get("doc_id"):
        raise ValueError("doc_id is missing")
    if not isinstance(given.get("metadata", {}), dict):
        raise ValueError("metadata is an object")  # noqa: TRY004 - as above
    if "chunks" in given:
        given["chunks"] = [_chunk(each) for each in given["chunks"]]
    known = {key: given[key] for key in KEYS if key in given}
    return Document(**known), [key for key in given if key not in known]


def _chunk(given: Any) -> Chunk:
    try:
        return Chunk(**{key: given[key] for key in given if key in ("text", "vector", "start", "end")})
    except TypeError:
        raise ValueError("a chunk is an object with text, and vector, start and end where known") from None


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")
