"""What was measured goes two ways: onto the scoreboard, and into the log that is kept for 90 days."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from rag_grpc.core.errors import RagError
from rag_grpc.core.ports import Scoreboard, Telemetry
from rag_grpc.core.quality import Measurement, Origin, QualityLog, kind_of


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
        now = self._clock()
        self._scoreboard.post(collection, kind, scores, origin, now)
        try:
            await self._log.record(
                [Measurement(now, collection, measure, value, origin) for measure, value in scores.items()]
            )
        except RagError:
            # Whoever measures is to have his result: a full disk is no reason to keep it from him.
            self._telemetry.event("quality_not_recorded")

    async def restore(self) -> None:
        """Show again what was measured last before this process began, each as of its own time."""
        kinds: dict[tuple[str, str, Origin], list[Measurement]] = {}
        for each in sorted(await self._log.last(), key=lambda each: each.time):
            kinds.setdefault((each.collection, kind_of(each.measure), each.origin), []).append(each)
        for (collection, kind, origin), measurements in kinds.items():
            newest = measurements[-1].time
            # The last measuring alone: one before it may have had other measures, such as other cutoffs.
            scores = {each.measure: each.value for each in measurements if each.time == newest}
            self._scoreboard.post(collection, kind, scores, origin, newest)
