"""Files as texts: one module a kind of file, behind one function, `read(data: bytes) -> Content | None`.

A reader is imported when the first file of its kind comes, for most of them need a library of the extra
"readers", and whoever has no PDF need not have pypdf. To read another kind, write a module with that
function and name it in KINDS. None means "no text at all": the file is passed over. UnreadableError means
that there should be a document and is none; so does any other exception, for a broken file brings out every
fault of its parser.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import PurePath
from typing import TYPE_CHECKING, Protocol

from rag_client.cli.readers.content import Content, UnreadableError

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["KINDS", "Content", "Kind", "UnreadableError", "kind_of", "read"]

INSTALLS = {"pypdf": "readers", "docx": "readers", "lxml": "readers", "docutils": "readers", "yaml": "cli"}
"""Which extra brings a module that a reader imports."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file: the module here that reads it, and its media type."""

    module: str
    media_type: str


MARKDOWN = Kind("markdown", "text/markdown")
HTML = Kind("html", "text/html")
RST = Kind("rst", "text/x-rst")
PLAIN = Kind("plain", "text/plain")
KINDS = {
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".html": HTML,
    ".htm": HTML,
    ".xhtml": HTML,
    ".rst": RST,
    ".pdf": Kind("pdf", "application/pdf"),
    ".docx": Kind("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
}


class Reader(Protocol):
    """What each module here has under the name `read`."""

    def __call__(self, data: bytes) -> Content | None:
        """Read a file's bytes."""


def kind_of(path: PurePath) -> Kind:
    """Return what a file is by its name; what is not known may be text."""
    return KINDS.get(path.suffix.lower(), PLAIN)


def read(kind: Kind, data: bytes) -> Content | None:
    """Read a file, or return None where it is no text. Raises UnreadableError that says why."""
    reader: Reader = _module(kind).read
    try:
        return reader(data)
    except UnreadableError:
        raise
    except ModuleNotFoundError as error:
        raise _missing(error) from None
    except Exception as error:
        raise UnreadableError(f"broken: {type(error).__name__}: {error}") from error


def _module(kind: Kind) -> ModuleType:
    try:
        return import_module(f"rag_client.cli.readers.{kind.module}")
    except ModuleNotFoundError as error:
        raise _missing(error) from None


def _missing(error: ModuleNotFoundError) -> Exception:
    """Say what to install; a module that is missing for another reason is a fault of ours."""
    name = (error.name or "").partition(".")[0]
    if name not in INSTALLS:
        return error
    return UnreadableError(f"{name} is missing: pip install 'rag-grpc-client[{INSTALLS[name]}]'")
