"""Text as it stands: what decodes as text is text, whatever its name."""

from __future__ import annotations

from rag_client.cli.readers.content import Content


def read(data: bytes) -> Content | None:
    """Return the text; None for what is none."""
    text = decoded(data)
    return None if text is None else Content(text)


def decoded(data: bytes) -> str | None:
    """Return the text that bytes are: UTF-8, or UTF-16 with its mark; None for what is no text."""
    try:
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            return data.decode("utf-16")
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text
