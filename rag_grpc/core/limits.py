"""How much the server takes and gives at once, as GetServerInfo tells it.

The numbers hang together. A response must fit gRPC's default limit of 4 MiB, so
that any caller can read it, and GetDocument answers with the whole text: 750,000
characters are at most 3 MB of UTF-8, which leaves room for title and metadata.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds; more is LimitExceeded. Bytes are those of the protobuf encoding."""

    max_request_bytes: int = 16 * 1024 * 1024
    max_response_bytes: int = 4 * 1024 * 1024 - 64 * 1024
    """64 KiB below gRPC's default: status, trailing metadata and framing come on top."""
    max_batch_documents: int = 1000
    max_batch_queries: int = 256
    max_top_k: int = 1000
    max_ef: int = 4096
    max_candidates: int = 1000
    max_document_characters: int = 750_000
    max_document_chunks: int = 10_000
    max_metadata_bytes: int = 256 * 1024
    max_query_characters: int = 10_000
    max_filter_bytes: int = 16 * 1024
    max_stream_window: int = 8
    max_collections: int = 10_000
