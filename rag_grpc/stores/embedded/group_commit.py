"""Commits groups of writes, and keeps its feet when SQLite or the disk fails.

What can go wrong, and what then happens:

- A write is refused by a rule: it alone fails; nothing of it was written.
- SQLite fails a statement (disk full, I/O, memory): SQLite may have rolled back the
  whole transaction by itself, and going on would commit half a group outside of one.
  So the group is rolled back, and each of its writes is tried again in a transaction
  of its own; those that fail again are answered with the reason.
- COMMIT fails: nobody knows what is on disk. The connection is thrown away and the
  database opened again; its counter says whether the group is there.

After any of them a tiny transaction shows whether anything can be written. It also
settles a failed COMMIT for good: its frames may stand in the log behind the last
valid one, whole, and would come to life when the process were killed; what is
committed next is written over them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Protocol, TypeAlias

import apsw
import structlog

from rag_grpc.core.errors import RagError, StorageFault, StorageFull
from rag_grpc.core.models import Outcome, PutDocument, Write
from rag_grpc.core.ports import MetadataCodec, Telemetry
from rag_grpc.stores.embedded.collection_rows import read_collections
from rag_grpc.stores.embedded.database import last_seq, tidied
from rag_grpc.stores.embedded.effects import Counters, Effects
from rag_grpc.stores.embedded.right_of_way import RightOfWay
from rag_grpc.stores.embedded.side import Side
from rag_grpc.stores.embedded.transaction import Transaction

log = structlog.get_logger(__name__)

PROOF = "INSERT INTO counter VALUES ('proofs', 1) ON CONFLICT DO UPDATE SET value = value + 1"
"""Another value each time: SQLite writes nothing where a row stays as it is."""

Result: TypeAlias = Outcome | RagError


class Follower(Protocol):
    """Who wants to know of groups: called in the writer thread."""

    def before(self, puts: list[PutDocument]) -> RagError | None:
        """Make room for these documents; an error refuses them."""

    def after(self, effects: dict[int, Effects], seq: int) -> None:
        """Take in what was committed. Must not fail."""

    def failed(self, reason: str) -> None:
        """Learn that the database failed, or with an empty reason that it works again."""

    def diverged(self) -> None:
        """Learn that the database holds what no `after` told of."""


class GroupCommit:
    """Owns the writing connection; all of it is the writer thread's."""

    def __init__(
        self,
        reopen: Callable[[], apsw.Connection],
        codec: MetadataCodec,
        follower: Follower,
        telemetry: Telemetry,
        right_of_way: RightOfWay,
    ) -> None:
        """Name what is needed; the public attributes are set when the store was loaded."""
        self.connection: apsw.Connection | None = None
        self.seq = 0
        self.counters: dict[int, Counters] = {}
        self.sides: dict[int, Side] = {}
        self.doubtful = False
        self._reopen = reopen
        self._codec = codec
        self._follower = follower
        self._telemetry = telemetry
        self._right_of_way = right_of_way

    def write(self, group: Sequence[Write]) -> list[Result]:
        """Apply and commit a group; one result for each write, in order."""
        started = perf_counter()
        puts = [write for write in group if isinstance(write, PutDocument)]
        refusal = self._follower.before(puts) if puts else None
        if refusal is None:
            results = self._write(group)
        else:
            others = iter(self._write([write for write in group if not isinstance(write, PutDocument)]))
            results = [refusal if isinstance(write, PutDocument) else next(others) for write in group]
        self._telemetry.batch("write", len(group))
        self._telemetry.stage("write", perf_counter() - started)
        return results

    def run(self, task: Callable[[apsw.Connection], object]) -> object:
        """Run a task between groups, and return its result or the error that it ended with."""
        if self.connection is None and not self.recover():
            return StorageFault("the database cannot be opened")
        if self.connection is None:
            raise AssertionError("recovered without a connection")
        try:
            return task(self.connection)
        except RagError as error:
            self.rollback()
            return error
        except apsw.Error as error:
            self.rollback()
            self.prove()
            return storage_error(error)

    def _write(self, group: Sequence[Write]) -> list[Result]:
        if not group:
            return []
        try:
            return self._transact(group)
        except apsw.Error as error:
            log.warning("group_rolled_back", writes=len(group), error=str(error))
            self.tidy()
            results = self._one_by_one(group, error)
            self.prove()
            return results

    def _one_by_one(self, group: Sequence[Write], cause: apsw.Error) -> list[Result]:
        if len(group) == 1 and not isinstance(cause, apsw.FullError):
            return [storage_error(cause)]
        results: list[Result] = []
        for write in group:
            try:
                results += self._transact([write])
            except apsw.Error as error:
                results.append(storage_error(error))
        return results

    def _transact(self, group: Sequence[Write]) -> list[Result]:
        """Apply and commit. Raises apsw.Error with nothing done, where SQLite fails before the end."""
        if self.connection is None and not self.recover():
            return [StorageFault("the database cannot be opened")] * len(group)
        if self.connection is None:
            raise AssertionError("recovered without a connection")
        results: list[Result] = []
        try:
            transaction = Transaction(
                self.connection,
                self._codec,
                seq=self.seq,
                counters=self.counters,
                sides=self.sides,
                right_of_way=self._right_of_way,
            )
            transaction.look_up(group)
            for write in self._right_of_way.between(group):
                try:
                    results.append(transaction.apply(write))
                except RagError as error:
                    results.append(error)
            transaction.insert()
        except apsw.Error:
            self.rollback()
            raise
        return self._commit(transaction, results)

    def _commit(self, transaction: Transaction, results: list[Result]) -> list[Result]:
        started = perf_counter()
        try:
            transaction.commit()
        except (apsw.FullError, apsw.NoMemError):
            # Nothing reached the end of the log: SQLite has rolled back, or does so now.
            self.rollback()
            raise
        except apsw.Error as error:
            log.error("commit_failed", error=str(error), writes=len(results))  # noqa: TRY400  # no traceback helps
            self.doubtful = True
            self._follower.failed("the database failed to commit")
            sound = self.recover(transaction.seq)
            if self.connection is None or self.seq != transaction.seq:
                return [storage_error(error)] * len(results)
            if not sound:
                # It is there, and the indexes must know; whether it stays there nobody can promise.
                results = [storage_error(error)] * len(results)
        else:
            self._work_again()
        self._telemetry.stage("commit", perf_counter() - started)
        self.seq = transaction.seq
        for collection, effects in transaction.effects.items():
            self.counters[collection] = effects.counters
        if transaction.effects:
            self._follower.after(transaction.effects, transaction.seq)
        return results

    def tidy(self) -> None:
        """Cut the log after a failure: what it holds may be all the room that a deletion needs."""
        if self.connection is not None:
            tidied(self.connection)

    def rollback(self) -> None:
        """End a transaction that is still open; SQLite ends some by itself."""
        if self.connection is None or not self.connection.in_transaction:
            return
        try:
            self.connection.execute("ROLLBACK")
        except apsw.Error as error:
            log.warning("rollback_failed", error=str(error))
            self.recover()

    def recover(self, expected: int | None = None) -> bool:
        """Open the database again, after a failure that left its state unknown; say whether it takes writes.

        `expected` is the seq of a group that may or may not be there, and that the caller takes in.
        """
        if self.connection is not None:
            self.connection.close(True)
            self.connection = None
        try:
            self.connection = self._reopen()
            seq = last_seq(self.connection)
        except (apsw.Error, OSError, RagError) as error:
            log.warning("reopen_failed", error=str(error))
            self.doubtful = True
            self._follower.failed("the database cannot be opened")
            return False
        if seq > self.seq and seq != expected:
            log.error("database_ahead", seq=seq, known=self.seq)
            rows = read_collections(self.connection)
            self.counters = {row.collection.id: row.counters for row in rows}
            self.sides = {row.collection.id: row.side for row in rows}
            self._follower.diverged()
        self.seq = max(self.seq, seq)
        return self.prove()

    def prove(self) -> bool:
        """Find out whether anything can be written, and tell the follower."""
        if self.connection is None:
            return False
        try:
            with self.connection:
                self.connection.execute(PROOF)
        except apsw.Error as error:
            self.doubtful = True
            self._follower.failed(storage_error(error).message)
            return False
        self._work_again()
        return True

    def _work_again(self) -> None:
        if self.doubtful:
            self.doubtful = False
            self._follower.failed("")

    def close(self) -> None:
        """Close the connection, which also empties the write-ahead log into the database."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def storage_error(error: apsw.Error) -> RagError:
    """Say what a failure of SQLite means to a caller."""
    if isinstance(error, apsw.FullError):
        return StorageFull("the disk is full: nothing was written")
    return StorageFault(f"the database failed: {type(error).__name__}")
