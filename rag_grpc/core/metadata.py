"""How metadata changes: JSON merge patches, RFC 7396."""

from __future__ import annotations

from rag_grpc.core.models import JsonValue, MetadataDict


def merge_patch(target: MetadataDict, patch: MetadataDict) -> MetadataDict:
    """Return `target` with `patch` applied: keys are set, null removes, objects merge, lists are replaced.

    Neither argument is changed. Recursion is as deep as the patch, which the edge bounds.
    """
    merged = dict(target)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            existing = merged.get(key)
            merged[key] = merge_patch(existing if isinstance(existing, dict) else {}, value)
        else:
            merged[key] = value
    return merged


def without_nulls(metadata: MetadataDict) -> MetadataDict:
    """Drop the keys whose value is null, as the contract says of stored metadata; nested nulls stay."""
    return {key: value for key, value in metadata.items() if value is not None}


def patched(stored: MetadataDict, patch: MetadataDict, *, replace: bool) -> dict[str, JsonValue]:
    """Return what a document's metadata becomes."""
    return without_nulls(patch) if replace else merge_patch(stored, patch)
