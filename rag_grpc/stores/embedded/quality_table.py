"""What was measured of the answers, in a table of the database.

Written by the writer thread as everything is, in a task of its own: a handful of rows
at a time, some times an hour. There is no index beside the key: what is kept is some
tens of thousands of rows, which are read through in milliseconds. How many rows a series
has is counted once, and then remembered, so that this is not done at each measuring.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import apsw

from rag_grpc.core.quality import HOUR, KEPT, MOST, NEWEST, Measurement, Origin
from rag_grpc.stores.embedded.waiting_searches import Work
from rag_grpc.stores.embedded.writer import Task

_Series: TypeAlias = tuple[str, str, str]
_COLUMNS = "time, collection, measure, value, origin"
_SERIES = "collection = :collection AND measure = :measure AND origin = :origin"
_THIN = f"""
    WITH older AS (SELECT time FROM quality WHERE {_SERIES} ORDER BY time DESC LIMIT -1 OFFSET :newest)
    DELETE FROM quality WHERE {_SERIES}
        AND time IN older
        AND time NOT IN (SELECT max(time) FROM older GROUP BY time / :hour)
"""  # noqa: S608 # a constant


class QualityTable:
    """See quality.QualityLog for what every method promises.

    `write` queues a task for the writer thread, `read` runs work in a read thread; `check` raises NotReady.
    """

    def __init__(
        self,
        *,
        write: Callable[[Task], asyncio.Future[object]],
        read: Callable[[Work], Awaitable[Any]],
        check: Callable[[], None],
    ) -> None:
        self._write = write
        self._read = read
        self._check = check
        self._sizes: dict[_Series, int] = {}
        """Rows of each series, or more, for those that this process has recorded. The writer thread's own."""

    async def record(self, measurements: Sequence[Measurement]) -> None:
        """Keep measurements, and forget what is too old or too much, in one transaction."""
        self._check()
        rows = [
            (each.time, each.collection, each.measure, each.value, each.origin.value) for each in measurements
        ]
        added = Counter((each.collection, each.measure, each.origin.value) for each in measurements)
        oldest = max((each.time for each in measurements), default=KEPT) - KEPT

        def insert(connection: apsw.Connection) -> None:
            with connection:
                connection.executemany(
                    f"INSERT OR REPLACE INTO quality ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)",  # noqa: S608 # a constant
                    rows,
                )
                connection.execute("DELETE FROM quality WHERE time < ?", (oldest,))
                # Forgotten if this fails: then they are counted anew.
                before = {series: self._sizes.pop(series, MOST) for series in added}
                sizes = {each: _bound(connection, each, before[each] + added[each]) for each in added}
            self._sizes.update(sizes)

        await self._write(insert)

    async def since(self, time: int) -> list[Measurement]:
        """Everything of that time and later."""
        self._check()
        return await self._rows(
            f"SELECT {_COLUMNS} FROM quality WHERE time >= ? ORDER BY time, collection, measure, origin",  # noqa: S608
            (time,),
        )

    async def last(self) -> list[Measurement]:
        """The newest of each."""
        self._check()
        # Beside a lone max(), SQLite takes the other columns from the row that has it.
        return await self._rows(
            "SELECT max(time), collection, measure, value, origin FROM quality"
            " GROUP BY collection, measure, origin ORDER BY collection, measure, origin",
            (),
        )

    async def _rows(self, statement: str, bindings: tuple[int, ...]) -> list[Measurement]:
        def read(reader: apsw.Connection) -> list[Measurement]:
            rows: Any = reader.execute(statement, bindings)
            return [
                Measurement(time, collection, measure, value, Origin(origin))
                for time, collection, measure, value, origin in rows
            ]

        found: list[Measurement] = await self._read(read)
        return found


def _bound(connection: apsw.Connection, series: _Series, size: int) -> int:
    """Thin a series that has more rows than it may; return how many there are, or more.

    What came in place of another, or was too old, is in `size` too, so it is no more than a reason to count.
    """
    named = dict(zip(("collection", "measure", "origin"), series, strict=True))
    if size > MOST:
        size = _count(connection, named)
    if size > MOST:
        connection.execute(_THIN, {**named, "newest": NEWEST, "hour": HOUR})
        size = _count(connection, named)
    return size


def _count(connection: apsw.Connection, series: dict[str, str]) -> int:
    rows: Any = connection.execute(f"SELECT count(*) FROM quality WHERE {_SERIES}", series)  # noqa: S608
    return int(next(rows)[0])
