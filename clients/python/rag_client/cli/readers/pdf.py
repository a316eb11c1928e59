"""PDF: the text that it carries, page after page. Scanned pages carry none, and no image is looked at.

A PDF says where glyphs stand, not what they mean: words are broken at line ends and every page repeats its
header. Both are put right here as far as the text itself tells how. pypdf has bounds of its own against
streams that unpack to gigabytes; ours are on pages, characters and time, for a PDF is a program that draws.
"""

from __future__ import annotations

import io
import itertools
import logging
import re
import time
import warnings
from collections import Counter
from typing import Any

import pypdf
from pypdf.errors import DependencyError, PyPdfError

from rag_client.cli.readers.content import Content, UnreadableError
from rag_client.cli.readers.front_matter import timestamp

MOST_PAGES = 5_000
MOST_CHARACTERS = 5_000_000
"""Several times what a server takes as one document; the server's own bound has the last word."""
MOST_SECONDS = 300.0

RUNNING = 3
"""On so many pages, at least, a header stands."""
DEEP = 3
"""So many lines a header or a footer has at most; a page's number is often drawn beside its title."""
MOST_NUMBERS = 3
"""In a header: the page, the pages in all, the chapter."""
BROKEN = re.compile(r"(\w+)[-\u00ad\u2010]\n(\w+)")
LIGATURES = str.maketrans({"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"})


def read(data: bytes) -> Content:
    """Return the text of all pages, with `page_count`, and `author` and `created_time` where it has them."""
    if b"%PDF-" not in data[:1024]:
        raise UnreadableError("broken: this is no PDF")
    # What pypdf puts up with it logs; ragctl's stderr has one line for what failed.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            reader = pypdf.PdfReader(io.BytesIO(data))
            _unlock(reader)
            pages, bad = _pages(reader)
            facts = _facts(reader)
        except DependencyError:
            raise UnreadableError("encrypted with AES: pip install cryptography") from None
        except PyPdfError as error:
            raise UnreadableError(f"broken: {error}") from None
    text = clean(pages)
    if not text:
        why = (
            "no page can be read"
            if len(bad) == len(pages)
            else "it has no text: scanned pages need OCR first"
        )
        raise UnreadableError(why)
    title = str(facts.pop("title", "")).strip()
    return Content(text, title=title, metadata={**facts, "page_count": len(pages)}, warnings=bad)


def clean(pages: list[str]) -> str:
    """Return the pages' text without what typesetting put into it."""
    plain = ["\n".join(line.strip() for line in _plain(page).split("\n")) for page in pages]
    text = "\n\n".join(page.strip() for page in _without_running_lines(plain) if page.strip())
    return re.sub(r"\n{3,}", "\n\n", _joined(text)).replace("\u00ad", "")


def _unlock(reader: pypdf.PdfReader) -> None:
    """Open what is encrypted for show, with an empty password."""
    if reader.is_encrypted and not reader.decrypt(""):
        raise UnreadableError("encrypted: it needs a password")


def _pages(reader: pypdf.PdfReader) -> tuple[list[str], tuple[str, ...]]:
    """Return each page's text, and what is wrong with some."""
    count = len(reader.pages)
    if count > MOST_PAGES:
        raise UnreadableError(f"{count} pages are too many, there may be {MOST_PAGES}")
    end = time.monotonic() + MOST_SECONDS
    texts: list[str] = []
    bad: list[str] = []
    characters = 0
    for number in range(count):
        try:
            texts.append(reader.pages[number].extract_text())
        except Exception as error:  # noqa: BLE001 - one broken page, and a parser that raises all there is
            texts.append("")
            bad.append(f"page {number + 1} cannot be read: {type(error).__name__}: {error}")
        characters += len(texts[-1])
        if characters > MOST_CHARACTERS:
            raise UnreadableError(f"it has more than {MOST_CHARACTERS} characters")
        if time.monotonic() > end:
            raise UnreadableError(f"reading it takes longer than {MOST_SECONDS:.0f} s")
    return texts, tuple(bad)


def _facts(reader: pypdf.PdfReader) -> dict[str, Any]:
    """Return what the PDF says of itself; what cannot be read is not worth losing the text for."""
    try:
        said = reader.metadata
        if said is None:
            return {}
        created = said.creation_date
        found = {
            "title": said.title,
            "author": said.author,
            "created_time": timestamp(created) if created else None,
        }
    except Exception:  # noqa: BLE001 - dates are free text in too many PDFs
        return {}
    return {name: _plain(str(value)).strip() for name, value in found.items() if value}


def _plain(text: str) -> str:
    """Return text of what prints: no lone surrogates, no control characters, no ligatures."""
    text = text.encode("utf-8", "replace").decode().translate(LIGATURES)
    return "".join(each for each in text if each >= " " or each in "\n\t")


def _without_running_lines(pages: list[str]) -> list[str]:
    """Drop the first and the last lines of the pages where a third of them has the same.

    A page keeps at least one line: where all look alike, they are the text.
    """
    split = [page.strip().split("\n") for page in pages]
    for place in (0,) * DEEP + (-1,) * DEEP:
        shapes = [_shapes(lines[place], number) for number, lines in enumerate(split)]
        seen = Counter(shape for each in shapes for shape in each)
        running = {shape for shape, count in seen.items() if count >= max(RUNNING, len(pages) / 3)}
        for lines, each in zip(split, shapes, strict=True):
            if len(lines) > 1 and not running.isdisjoint(each):
                del lines[place]
    return ["\n".join(lines) for lines in split]


def _shapes(line: str, page: int) -> set[str]:
    """Return what a line may look like on other pages: each number may be the same, or count the pages."""
    parts = re.split(r"(\d{1,6})", line.lower())
    if len(parts) > 2 * MOST_NUMBERS + 1:
        return {line.lower()}
    choices = [(part, f"#{int(part) - page}") if part.isdecimal() else (part,) for part in parts]
    return {"".join(each) for each in itertools.product(*choices)} - {""}


def _joined(text: str) -> str:
    """Put words together that were broken at a line's end.

    A hyphen stays where the text has the same word with it elsewhere, or where a capital or a digit follows.
    """
    words = set(re.findall(r"\w+(?:-\w+)*", text.lower()))

    def join(found: re.Match[str]) -> str:
        first, second = found.groups()
        whole, hyphened = first + second, f"{first}-{second}"
        if not second[0].islower() or not first[-1].isalpha():
            return f"{hyphened}\n"
        stays = hyphened.lower() in words and whole.lower() not in words
        return (hyphened if stays else whole) + "\n"

    # The line that goes on behind the word begins behind it: spaces there are the line break's.
    return re.sub(r"\n ", "\n", BROKEN.sub(join, text))
