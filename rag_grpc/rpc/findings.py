"""What a look at a request found: every fault, sorted by the reason it will have."""

from __future__ import annotations

from rag_grpc.core.errors import FieldViolation, InvalidField, LimitExceeded, RagError
from rag_grpc.core.limits import Limits

MAX_FAULTS = 1000
"""Of each kind: 16 MiB of faults must not become gigabytes of descriptions. A status shows fewer still."""


class Findings:
    """Collects faults while a request is walked; `error` is what they come to.

    A break of a rule outweighs a limit, so that a caller first learns to write a request that is right;
    but all breaks and limits are named at once.
    """

    __slots__ = ("broken", "exceeded", "limits")

    def __init__(self) -> None:
        self.broken: list[FieldViolation] = []
        self.exceeded: list[FieldViolation] = []
        self.limits: list[str] = []

    def breaks(self, field: str, description: str) -> None:
        """Note a field that breaks its rule."""
        if len(self.broken) < MAX_FAULTS:
            self.broken.append(FieldViolation(field, description))

    def exceeds(self, field: str, description: str, limit: str) -> None:
        """Note a field that exceeds one of GetServerInfo's limits."""
        if len(self.exceeded) < MAX_FAULTS:
            self.exceeded.append(FieldViolation(field, f"{description} ({limit} of GetServerInfo)"))
            self.limits.append(limit)

    def error(self, limits: Limits) -> RagError | None:
        """Make the error that names all of them, or None where there are none."""
        if self.broken:
            return InvalidField.of([*self.broken, *self.exceeded])
        if self.exceeded:
            name = self.limits[0]
            return LimitExceeded(
                _sentence(self.exceeded),
                violations=self.exceeded,
                metadata={"limit": name, name: str(getattr(limits, name))},
            )
        return None


def _sentence(violations: list[FieldViolation]) -> str:
    return "; ".join(f"{each.field} {each.description}" for each in violations)
