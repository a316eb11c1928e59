"""Markdown as it stands, without its front matter, which becomes metadata."""

from __future__ import annotations

import re

from rag_client.cli.readers.content import MARKDOWN, Content
from rag_client.cli.readers.front_matter import split
from rag_client.cli.readers.plain import decoded

FENCE = re.compile(r"^ {0,3}(```|~~~)")
TITLE = re.compile(r"^ {0,3}#[ \t]+(.*?)[ \t]*#*[ \t]*$")


def read(data: bytes) -> Content | None:
    """Return the text, titled by its front matter or by its first heading; None for what is no text."""
    text = decoded(data)
    if text is None:
        return None
    found = split(text)
    metadata = dict(found.values)
    title = str(metadata.pop("title", None) or "").strip()
    return Content(
        found.rest,
        title=title or markdown_title(found.rest),
        media_type=MARKDOWN,
        metadata=metadata,
        warnings=found.warnings,
    )


def markdown_title(text: str) -> str:
    """Return the first heading of the first level outside of fenced code, or nothing."""
    fence = ""
    for line in text.split("\n"):
        if mark := FENCE.match(line):
            fence = "" if fence == mark[1] else fence or mark[1]
        elif not fence and (heading := TITLE.match(line)):
            return heading[1]
    return ""
