"""What was measured of the answers, in a table of the database.

Written by the writer thread as everything is, in a task of its own: a handful of rows
at a time, some times an hour. There is no index beside the key: what is kept is some
tens of thousands of rows, which are read through in milliseconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import apsw

from rag_grpc.core.quality import KEPT, Measurement, Origin
from rag_grpc.stores.embedded.search_threads import Work
from rag_grpc.stores.embedded.writer import Task

_COLUMNS = "time, collection, measure, value, origin"


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

    async def record(self, measurements: Sequence[Measurement]) -> None:
        """Keep measurements, and forget what is too old, in one transaction."""
        self._check()
        rows = [
            (each.time, each.collection, each.measure, each.value, each.origin.value) for each in measurements
        ]
        oldest = max((each.time for each in measurements), default=KEPT) - KEPT

        def insert(connection: apsw.Connection) -> None:
            with connection:
                connection.executemany(
                    f"INSERT OR REPLACE INTO quality ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)",  # noqa: S608 # a constant
                    rows,
                )
                connection.execute("DELETE FROM quality WHERE time < ?", (oldest,))

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
