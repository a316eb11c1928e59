"""What ragctl's exit codes mean: a promise to scripts, so a code keeps its meaning."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Self

from rag_client import errors

if TYPE_CHECKING:
    from rag_client.errors import RagClientError


class ExitCode(IntEnum):
    """Each with its meaning, as --help shows it."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> Self:
        """Make a member out of its number and its meaning."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    OK = 0, "done"
    SOME_FAILED = 1, "some items failed, a measure is below its floor, or the server is not healthy"
    USAGE = 2, "wrong arguments, or the server found the request invalid"
    NOT_FOUND = 3, "no such document or collection"
    UNAVAILABLE = 4, "the server is not there, not ready, or too slow"
    REFUSED = (
        5,
        "refused: exists already, changed meanwhile, over a limit, not configured, not allowed",
    )
    FAULT = 6, "something broke in the server or in ragctl"
    INTERRUPTED = 130, "interrupted"


_CODES: dict[type[RagClientError], ExitCode] = {
    errors.InvalidArgumentError: ExitCode.USAGE,
    errors.NotFoundError: ExitCode.NOT_FOUND,
    errors.UnavailableError: ExitCode.UNAVAILABLE,
    errors.DeadlineExceededError: ExitCode.UNAVAILABLE,
    errors.AlreadyExistsError: ExitCode.REFUSED,
    errors.AbortedError: ExitCode.REFUSED,
    errors.FailedPreconditionError: ExitCode.REFUSED,
    errors.ResourceExhaustedError: ExitCode.REFUSED,
    errors.UnauthenticatedError: ExitCode.REFUSED,
    errors.PermissionDeniedError: ExitCode.REFUSED,
    errors.UnimplementedError: ExitCode.REFUSED,
}


def exit_code(error: RagClientError) -> ExitCode:
    """Return the exit code of an error."""
    found = (_CODES[each] for each in type(error).__mro__ if each in _CODES)
    return next(found, ExitCode.FAULT)
