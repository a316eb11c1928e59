"""What a reader makes of a file, and what it says where it cannot."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

MARKDOWN = "text/markdown"


@dataclass(frozen=True, slots=True)
class Content:
    """A file as a text.

    `media_type` is what the text is, not what the file was: "text/markdown", which the server splits at its
    headings, or nothing. `metadata` holds what JSON holds. `warnings` say what was left out.
    """

    text: str
    title: str = ""
    media_type: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class UnreadableError(Exception):
    """A file that should be a document and cannot be read; its text says why."""
