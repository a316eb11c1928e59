"""Lists of byte strings in files: what a driver recorded, and what came back."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path


def write_messages(file: Path, messages: Sequence[bytes]) -> None:
    """Write each with its length before it."""
    file.write_bytes(b"".join(struct.pack(">I", len(message)) + message for message in messages))


def read_messages(file: Path) -> list[bytes]:
    """Read what `write_messages` wrote."""
    content, at = file.read_bytes(), 0
    messages = []
    while at < len(content):
        (length,) = struct.unpack_from(">I", content, at)
        messages.append(content[at + 4 : at + 4 + length])
        at += 4 + length
    return messages
