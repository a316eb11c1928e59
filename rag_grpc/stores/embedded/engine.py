"""The threads of the embedded store and what they share, put together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import monotonic, perf_counter

import apsw
import structlog

from rag_grpc.core.analysis import Analyzer
from rag_grpc.core.errors import CollectionNotFound, StorageFault
from rag_grpc.core.models import CollectionCounts, CollectionSpec
from rag_grpc.core.ports import HitCodec, MetadataCodec, Telemetry
from rag_grpc.core.searches import Search
from rag_grpc.core.store_state import StoreStats
from rag_grpc.stores.embedded.awake_words import AwakeWords
from rag_grpc.stores.embedded.collection_rows import insert_collection, read_collections
from rag_grpc.stores.embedded.collection_state import CollectionState
from rag_grpc.stores.embedded.database import last_seq, open_reader, open_writer
from rag_grpc.stores.embedded.dense_index import DenseIndex
from rag_grpc.stores.embedded.embedded_settings import EmbeddedSettings
from rag_grpc.stores.embedded.filter_index import FilterIndex
from rag_grpc.stores.embedded.final_save import save_all
from rag_grpc.stores.embedded.folder import DataFolder
from rag_grpc.stores.embedded.following import IndexFollower
from rag_grpc.stores.embedded.group_commit import GroupCommit
from rag_grpc.stores.embedded.housekeeping import Housekeeping
from rag_grpc.stores.embedded.index_thread import IndexThread
from rag_grpc.stores.embedded.lexical_keeping import LexicalKeeper
from rag_grpc.stores.embedded.lexical_rows import LexicalLoader
from rag_grpc.stores.embedded.loading import IndexLoader
from rag_grpc.stores.embedded.packed_hits import HitPacker
from rag_grpc.stores.embedded.page_thread import PageThread
from rag_grpc.stores.embedded.right_of_way import RightOfWay
from rag_grpc.stores.embedded.room import Room
from rag_grpc.stores.embedded.search_threads import SearchThreads
from rag_grpc.stores.embedded.shadow_writes import ShadowWrites
from rag_grpc.stores.embedded.shadows import Shadows
from rag_grpc.stores.embedded.tails import TailBounds
from rag_grpc.stores.embedded.write_health import WriteHealth
from rag_grpc.stores.embedded.writer import Writer

log = structlog.get_logger(__name__)

IDLE_SECONDS = 30.0
"""After so long without a write the writing connection gives back the pages that it keeps in memory."""


class Engine:
    """Everything behind the face. Built empty; `load` and `start` bring it to life, `stop` ends it."""

    def __init__(
        self,
        folder: DataFolder,
        codec: MetadataCodec,
        analyzer: Analyzer,
        telemetry: Telemetry,
        *,
        settings: EmbeddedSettings,
        failed: Callable[[str], None],
        packing: HitCodec | None = None,
    ) -> None:
        """`failed` is told, from any thread, why writes fail, or with an empty text that they work again."""
        self.states: dict[int, CollectionState] = {}
        self._folder = folder
        self._settings = settings
        self._tails = TailBounds(settings.tail_bound)
        self._telemetry = telemetry
        self._idle_seq, self._idle_since = 0, 0.0
        self._lexical_loader = LexicalLoader(folder, analyzer, telemetry)
        self._awake = AwakeWords()
        self._loader = IndexLoader(
            folder, settings.index, codec, telemetry, lexical=self._lexical_loader, awake=self._awake
        )
        health = WriteHealth(failed)
        self._room = Room(
            folder, self.states, partial(health.tell, "disk"), reserve_bytes=settings.disk_reserve_bytes
        )
        right_of_way = RightOfWay(lambda: self.searches.hurried)
        self._indexes = self._index_thread(telemetry)
        self._housekeeping = Housekeeping(self.states)
        follower = self._follower(health, right_of_way)
        self._commits = GroupCommit(self._open_writer, codec, follower, telemetry, right_of_way)
        self.writer = Writer(self._commits, self._keep_house)
        self.shadows = self._shadows()
        self.searches = self._search_threads(telemetry, packing)
        self._pages = PageThread(self.states)

    def _follower(self, health: WriteHealth, right_of_way: RightOfWay) -> IndexFollower:
        return IndexFollower(
            self.states,
            self._room,
            self._indexes,
            tails=self._tails,
            connection=lambda: self._commits.connection,
            changed=self._housekeeping.note_change,
            failed=partial(health.tell, "database"),
            right_of_way=right_of_way,
        )

    def _search_threads(self, telemetry: Telemetry, packing: HitCodec | None) -> SearchThreads:
        return SearchThreads(
            partial(open_reader, self._folder.database),
            self._state_of,
            telemetry,
            threads=self._settings.search_threads,
            ef=self._settings.index.ef,
            packer=None if packing is None else HitPacker(packing, self._room.spare_bytes),
        )

    def _index_thread(self, telemetry: Telemetry) -> IndexThread:
        words = LexicalKeeper(
            self._lexical_loader,
            telemetry,
            open_reader=partial(open_reader, self._folder.database),
            chunks=lambda collection: self._commits.counters[collection].chunks,
        )
        return IndexThread(
            self.states,
            self._folder,
            self._settings.index,
            telemetry,
            snapshot_seconds=self._settings.snapshot_seconds,
            spare_bytes=self._room.spare_bytes,
            remake=self._remake,
            lexical=words,
        )

    def _shadows(self) -> Shadows:
        changed = self._housekeeping.look_again
        return Shadows(
            self.states,
            self.writer,
            ShadowWrites(self._commits, self._room, self._folder, changed=changed),
            self._loader,
            open_reader=partial(open_reader, self._folder.database),
            spare_bytes=self._room.spare_bytes,
            tail_bound=self._settings.tail_bound,
        )

    # -- life

    def stop_loading(self) -> None:
        """Have `load`, in another thread, give up soon."""
        self._loader.stopping = True
        self._lexical_loader.stopping = True

    def load(self) -> None:
        """Lock the folder and load all of it. Blocks.

        Raises NotConfigured, NotReady, StorageFull, apsw.Error.
        """
        started = perf_counter()
        self._folder.lock()
        connection = self._open_writer()
        self._commits.connection = connection
        self._commits.seq = last_seq(connection)
        rows = read_collections(connection)
        self._folder.remove_strays({row.collection.id for row in rows})
        for row in rows:
            self._commits.counters[row.collection.id] = row.counters
            self._commits.sides[row.collection.id] = row.side
            self.states[row.collection.id] = self._loader.state(connection, row, self._commits.seq)
        # All rows went through its memory, and none of them will be asked for again soon.
        connection.release_memory()
        log.info(
            "store_loaded",
            collections=len(rows),
            chunks=sum(row.counters.chunks for row in rows),
            seq=self._commits.seq,
            sqlite=apsw.sqlite_lib_version(),
            seconds=round(perf_counter() - started, 2),
        )

    def start(self) -> None:
        """Start the threads. On the event loop."""
        self.searches.start()
        self.writer.start()
        self._indexes.start(self.writer.post)
        self._pages.start()

    def wait_until_caught_up(self) -> None:
        """Wait until no graph lacks so many chunks that searches would be slow. Blocks."""
        bounds = [(state, self._tails.at_start(state.collection.dimension)) for state in self.states.values()]
        self._indexes.wait_for_tails(bounds, timeout=None)

    def stop(self) -> None:
        """Finish what was submitted, save the graphs, release everything. Blocks."""
        self._indexes.release_waiters()
        self.searches.stop()
        self.writer.stop()
        self._indexes.stop()
        self._pages.stop()
        save_all(self.states.values(), self._folder, self._settings.index)
        self.abandon()

    def abandon(self) -> None:
        """Release everything, saving nothing."""
        try:
            self._commits.close()
        except apsw.Error as error:
            log.warning("close_failed", error=str(error))
        for state in self.states.values():
            state.close_indexes()
            state.lexical.close()
        self.states.clear()
        self._folder.unlock()

    def _open_writer(self) -> apsw.Connection:
        return open_writer(self._folder.database, vfs=self._settings.vfs)

    # -- writer thread

    def create(self, connection: apsw.Connection, spec: CollectionSpec, fingerprint: str) -> CollectionState:
        """Make a collection: its row and its files, or neither. Raises CollectionExists, StorageFull."""
        made: list[CollectionState] = []
        try:
            with connection:
                row = insert_collection(connection, spec, fingerprint)
                made.append(self._loader.state(connection, row, self._commits.seq))
        except BaseException:
            for each in made:
                each.index.close()
                each.lexical.close(remove=True)
            raise
        (state,) = made
        self._commits.counters[row.collection.id] = row.counters
        self._commits.sides[row.collection.id] = row.side
        self.states[row.collection.id] = state
        self._housekeeping.look_again(row.collection.id)
        return state

    def forget(self, state: CollectionState) -> None:
        """Let go of a collection that was just dropped."""
        number = state.collection.id
        self._commits.counters.pop(number, None)
        self._commits.sides.pop(number, None)
        self.states.pop(number, None)
        state.close_indexes()
        with state.following:
            state.lexical.close()
        self._awake.forget(state)
        self._folder.remove_index_folder(number)
        self._housekeeping.note_drop(number)

    def _keep_house(self, connection: apsw.Connection) -> bool:
        self._room.look_again(connection)
        if self._room.full:
            self._housekeeping.rouse()
        self._awake.rest()
        if self._commits.seq != self._idle_seq:
            self._idle_seq, self._idle_since = self._commits.seq, monotonic()
        elif monotonic() - self._idle_since > IDLE_SECONDS:
            connection.release_memory()
        return self._housekeeping(connection)

    def _remake(self, state: CollectionState) -> tuple[DenseIndex, FilterIndex]:
        """Load the indexes anew from what is committed."""
        connection = self._commits.connection
        if connection is None:
            raise StorageFault("the database is not open")
        number = state.collection.id
        row = next(each for each in read_collections(connection) if each.collection.id == number)
        # After a COMMIT of which nobody knew whether it came to pass, these may be others.
        state.collection, state.side, self._commits.sides[number] = row.collection, row.side, row.side
        counters = self._commits.counters[number]
        index = self._loader.vectors(connection, row)
        filters = self._loader.filters(connection, state.collection)
        state.publish_counts(self._commits.seq, CollectionCounts(counters.documents, counters.chunks))
        return index, filters

    # -- any thread

    def _state_of(self, search: Search) -> CollectionState:
        state = self.states.get(search.collection.id)
        if state is None:
            raise CollectionNotFound(search.collection.name)
        return state

    def stats(self) -> StoreStats:
        """Counts for dashboards."""
        return StoreStats(
            collections=tuple(state.stats() for state in list(self.states.values())),
            writes_waiting=self.writer.waiting,
            searches_waiting=self.searches.waiting,
            disk_free_bytes=self._folder.free_bytes() if self.states else None,
            disk_used_bytes=self._folder.used_bytes() if self.states else None,
        )
