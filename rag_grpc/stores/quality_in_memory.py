"""What was measured of the answers, for a store that keeps nothing on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from rag_grpc.core.quality import HOUR, KEPT, MOST, NEWEST, Measurement

_Key: TypeAlias = tuple[int, str, str, str]
_Series: TypeAlias = tuple[str, str, str]


class QualityInMemory:
    """See quality.QualityLog for what every method promises. `check` raises NotReady."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check
        self._kept: dict[_Key, Measurement] = {}

    async def record(self, measurements: Sequence[Measurement]) -> None:
        """Keep measurements, and forget what is too old or too much."""
        self._check()
        self._kept.update((_key(each), each) for each in measurements)
        oldest = max((each.time for each in measurements), default=KEPT) - KEPT
        self._kept = {key: each for key, each in self._kept.items() if each.time >= oldest}
        for series in {_key(each)[1:] for each in measurements}:
            self._thin(series)

    def _thin(self, series: _Series) -> None:
        times = sorted(key[0] for key in self._kept if key[1:] == series)
        if len(times) > MOST:
            older, newest = times[:-NEWEST], times[-NEWEST:]
            stay = {*newest, *{time // HOUR: time for time in older}.values()}
            for time in set(times) - stay:
                del self._kept[time, *series]

    async def since(self, time: int) -> list[Measurement]:
        """Everything of that time and later."""
        self._check()
        return [self._kept[key] for key in sorted(self._kept) if key[0] >= time]

    async def last(self) -> list[Measurement]:
        """The newest of each."""
        self._check()
        newest = {key[1:]: self._kept[key] for key in sorted(self._kept)}
        return [newest[key] for key in sorted(newest)]


def _key(measurement: Measurement) -> _Key:
    return measurement.time, measurement.collection, measurement.measure, measurement.origin.value
