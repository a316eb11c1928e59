"""Every way in which a call can fail, as the domain sees it.

* RagError
  + InvalidRequest
    x InvalidField
    x DimensionMismatch
    x InvalidFilter
  + CollectionNotFound
  + DocumentNotFound
  + CollectionExists
  + RevisionMismatch
  + EmbedderMismatch
  + NotConfigured
  + LimitExceeded
  + RateLimited
  + StorageFull
  + NotReady
    x EmbedderChanged
    x WordsNotReady
  + ModelUnavailable
  + Unauthenticated
  + PermissionDenied
  + DeadlineExceeded
  + StorageFault

No error knows a status code: `rag_grpc.rpc.status` maps each class to one, in one
table, and a test fails for a class that has no row there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """A field that breaks its rule.

    `field` is its path from the request (`document.doc_id`), `description` says
    what is wrong and what would be right.
    """

    field: str
    description: str


class RagError(Exception):
    """Base of all errors that a caller may be told of. Never raised itself.

    `message` is for people. `metadata` is for programs, as in google.rpc.ErrorInfo.
    `retry_after` is in seconds, None where coming back later does not help.
    """

    def __init__(
        self,
        message: str,
        *,
        violations: Sequence[FieldViolation] = (),
        metadata: Mapping[str, str] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.violations = tuple(violations)
        self.metadata = dict(metadata or {})
        self.retry_after = retry_after

    def of_part(self, what: str, *, prefix: str = "", metadata: Mapping[str, str] | None = None) -> Self:
        """Return the same error, said of a part of a request: `what` in front, `prefix` before its fields.

        A copy, since one error may be the answer to several callers who were served together.
        """
        copy = type(self).__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy.message = f"{what}: {self.message}"
        copy.args = (copy.message,)
        copy.violations = tuple(
            FieldViolation(prefix + each.field, each.description) for each in self.violations
        )
        copy.metadata = {**self.metadata, **(metadata or {})}
        return copy


class InvalidRequest(RagError):
    """The request itself is wrong; sending it again cannot help. Never raised itself."""


class InvalidField(InvalidRequest):
    """Fields break their rules. `violations` names every one of them."""

    @classmethod
    def of(cls, violations: Sequence[FieldViolation]) -> InvalidField:
        """Make the error whose message lists all `violations`."""
        return cls(
            "; ".join(f"{each.field}: {each.description}" for each in violations), violations=violations
        )


class DimensionMismatch(InvalidRequest):
    """A vector's length is not the collection's dimension."""


class InvalidFilter(InvalidRequest):
    """The filter does not parse.

    `position`, also in `metadata`, is the offset in characters of what is wrong; `description` says what
    was found there and what was expected.
    """

    def __init__(self, description: str, *, position: int) -> None:
        super().__init__(
            f"filter, at character {position}: {description}",
            violations=[FieldViolation("filter", f"at character {position}: {description}")],
            metadata={"position": str(position)},
        )
        self.position = position


class CollectionNotFound(RagError):
    """There is no collection of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no collection {name!r}", metadata={"collection": name})
        self.name = name


class DocumentNotFound(RagError):
    """There is no document of that id in the collection."""

    def __init__(self, collection: str, doc_id: str) -> None:
        super().__init__(
            f"collection {collection!r} has no document {doc_id!r}",
            metadata={"collection": collection, "doc_id": doc_id},
        )
        self.doc_id = doc_id


class CollectionExists(RagError):
    """A collection of that name exists with another configuration."""


class RevisionMismatch(RagError):
    """The document's revision is not the expected one. 0 means that there is no document."""

    def __init__(self, doc_id: str, *, expected: int, current: int) -> None:
        super().__init__(
            f"document {doc_id!r} has revision {current}, not {expected}: read it, then decide",
            metadata={"current_revision": str(current), "doc_id": doc_id},
        )
        self.doc_id = doc_id
        self.current = current


class EmbedderMismatch(RagError):
    """The collection was written with another embedder than the one at hand."""


class NotConfigured(RagError):
    """This server lacks the capability that the request asks for."""


class LimitExceeded(RagError):
    """More at once than the server takes: split the request."""


class RateLimited(RagError):
    """Too many calls at once; `retry_after` says when to come back."""


class StorageFull(RagError):
    """No room on the disk. Reads go on, writes are refused."""


class NotReady(RagError):
    """Starting, draining or overloaded; `retry_after` says when to come back."""

    def __init__(self, message: str, *, retry_after: float = 1.0) -> None:
        super().__init__(message, retry_after=retry_after)


class WordsNotReady(NotReady):
    """The index of a collection's words is being made anew; all else goes on.

    A query that left its mode to the server is answered by its vectors meanwhile.
    """

    def __init__(self) -> None:
        super().__init__("the index of words is being made anew", retry_after=2)


class EmbedderChanged(NotReady):
    """The collection got another embedder meanwhile: vectors that were made for the old one are no use.

    The core makes them anew by itself; a caller sees this only where that happens twice in one call.
    """

    def __init__(self, collection: str) -> None:
        super().__init__(f"collection {collection!r} got another embedder meanwhile: send the call again")


class ModelUnavailable(RagError):
    """An embedding or language model did not answer. Safe to retry."""


class Unauthenticated(RagError):
    """No credentials, or wrong ones."""


class PermissionDenied(RagError):
    """These credentials may not do that."""


class DeadlineExceeded(RagError):
    """The caller's deadline passed before the work was done."""


class StorageFault(RagError):
    """The store failed in a way that nobody foresaw; whether a write happened is not known."""
