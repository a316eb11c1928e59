"""What was measured goes two ways: onto the scoreboard, and into the log that is kept for 90 days."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from rag_grpc.core.errors import RagError
from rag_grpc.core.ports import Scoreboard, Telemetry
from rag_grpc.core.quality import Measurement, Origin, QualityLog


class QualityRecords:
    """Takes results of measuring. One that cannot be kept is shown all the same, and counted as lost."""

    def __init__(
        self,
        *,
        scoreboard: Scoreboard,
        log: QualityLog,
        telemetry: Telemetry,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._scoreboard = scoreboard
        self._log = log
        self._telemetry = telemetry
        self._clock = clock

    async def add(
        self,
        collection: str,
        kind: str,
        scores: Mapping[str, float],
        *,
        origin: Origin = Origin.EVALUATION,
    ) -> None:
        """Show and keep the finite scores of one measuring; `kind` is as in Scoreboard.post."""
        self._scoreboard.post(collection, kind, scores, origin)
        now = self._clock()
        try:
            await self._log.record(
                [Measurement(now, collection, measure, value, origin) for measure, value in scores.items()]
            )
        except RagError:
            # Whoever measures is to have his result: a full disk is no reason to keep it from him.
            self._telemetry.event("quality_not_recorded")
