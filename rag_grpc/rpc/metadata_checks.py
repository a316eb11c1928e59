"""The rule of metadata: what a google.protobuf.Struct must be to be stored and filtered.

Keys are 1 to 128 bytes, on every level. Numbers are finite: JSON knows no others.
Nesting is bounded. The walk stays on protobuf's own objects; the plain dict is
made later, and only from what passed.
"""

from __future__ import annotations

import math

from google.protobuf.struct_pb2 import Struct, Value

from rag_grpc.rpc.field_rules.rule import MAX_KEY_BYTES, MAX_METADATA_DEPTH
from rag_grpc.rpc.findings import Findings
from rag_grpc.rpc.status import cut

_MAX_SHOWN = 32


def check_metadata(metadata: Struct, path: str, findings: Findings) -> None:
    """Note every fault of `metadata`, which stands at `path`."""
    _check_object(metadata, path, 1, findings)


def _check_object(metadata: Struct, path: str, depth: int, findings: Findings) -> None:
    if depth > MAX_METADATA_DEPTH:
        findings.breaks(path, f"is nested deeper than {MAX_METADATA_DEPTH} levels")
        return
    for key, value in metadata.fields.items():
        # A character takes four bytes at most, so most keys need not be encoded to be measured.
        if not key:
            findings.breaks(path, f"has an empty key; keys are 1 to {MAX_KEY_BYTES} bytes")
        elif len(key) * 4 > MAX_KEY_BYTES and len(key.encode()) > MAX_KEY_BYTES:
            findings.breaks(
                path, f"has the key {cut(key, _MAX_SHOWN)!r}, which is longer than {MAX_KEY_BYTES} bytes"
            )
        kind = value.WhichOneof("kind")
        if kind not in ("string_value", "bool_value", "null_value"):
            _check_value(value, kind, f"{path}.{cut(key, _MAX_SHOWN)}", depth, findings)


def _check_value(value: Value, kind: str | None, path: str, depth: int, findings: Findings) -> None:
    if kind == "number_value":
        if not math.isfinite(value.number_value):
            findings.breaks(path, f"is {value.number_value}; numbers must be finite")
    elif kind == "struct_value":
        _check_object(value.struct_value, path, depth + 1, findings)
    elif kind == "list_value":
        if depth >= MAX_METADATA_DEPTH:
            findings.breaks(path, f"is nested deeper than {MAX_METADATA_DEPTH} levels")
            return
        for place, item in enumerate(value.list_value.values):
            _check_value(item, item.WhichOneof("kind"), f"{path}[{place}]", depth + 1, findings)
    elif kind is None:
        findings.breaks(path, "has no value; write null, or leave the key out")
