"""A graph is saved by a child process that was forked off: it has the graph as it was at that moment.

A process of its own, because hnswlib holds the GIL while it writes a graph, and the graph
must not change meanwhile: in the server that would be a pause of seconds. Forked, and
not started anew, because a new process would have to build the graph a second time:
that took minutes for a million chunks that came while the server was busy, and a kill
meanwhile cost the next start as many. A fork costs the page tables, ten milliseconds a
gigabyte, and a copy of what changes until the child is done.

A child of a process with many threads may do little. This one lets go of all files
first (the data folder's lock among them), writes the one file, and ends without any
tidying up; glibc sees to it that it can allocate memory. Checksums and manifest are
made by a thread of the parent's.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import threading
import warnings
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Final, NoReturn

import structlog

from rag_grpc.stores.embedded.collection_state import CollectionState
from rag_grpc.stores.embedded.dense_index import IndexParameters
from rag_grpc.stores.embedded.folder import DataFolder
from rag_grpc.stores.embedded.graph import Graph
from rag_grpc.stores.embedded.snapshots import GRAPH_FILE, Content, Manifest, publish, remove, seal

log = structlog.get_logger(__name__)

_PARENT_DEATH_SIGNAL: Final = 1
"""PR_SET_PDEATHSIG of prctl(2)."""
_NICENESS: Final = 5
"""A third of the weight of others. The last place would do it no good: what changes meanwhile is copied."""
_MOST_FILES: Final = 1 << 20


class SnapshotChild:
    """A child at work for one collection. All of it belongs to the index thread."""

    def __init__(self, state: CollectionState, folder: DataFolder, parameters: IndexParameters) -> None:
        """Fork a child for the graph as it is now. Raises OSError where there is no process or no room."""
        self.state = state
        self.side = state.side
        self.failed = False
        self.seconds = 0.0
        self._collection = state.collection
        self._parameters = parameters
        self._began = monotonic()
        self._births = state.births - state.index.tail
        self._content, graph = content_of(state)
        self._making = folder.index_folder(state.collection.id) / f"making-{self._content.seq}"
        shutil.rmtree(self._making, ignore_errors=True)
        self._making.mkdir(parents=True)
        self._fault = ""
        self._manifest: Manifest | None = None
        self._published = self._making
        self._sealing: threading.Thread | None = None
        self._pid = _fork(graph, self._making / GRAPH_FILE)

    @property
    def obsolete(self) -> bool:
        """Whether nobody wants its snapshot: the collection is gone, or has another embedder."""
        return self.state.dropped or self.state.side != self.side

    def finished(self) -> bool:
        """Whether the snapshot is whole; then it was taken, or its failure logged."""
        if self._sealing is None:
            status = self._status()
            if status is None:
                return False
            self._pid = 0
            if status:
                self._fault = f"the child ended with status {os.waitstatus_to_exitcode(status)}"
            sealing = threading.Thread(target=self._seal, name="snapshot", daemon=True)
            sealing.start()
            self._sealing = sealing
        if self._sealing.is_alive():
            return False
        self._take()
        return True

    def _status(self) -> int | None:
        """Return what the child ended with, None while it is at work."""
        try:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
        except ChildProcessError:
            # SIGCHLD was ignored by whoever started the server: nothing is kept of a child that ended.
            # Whether it wrote all of the graph is seen by the file's size.
            return 0
        return status if pid else None

    def _take(self) -> None:
        """Let the state know of the snapshot, or the log of its failure."""
        self.seconds = monotonic() - self._began
        self.failed = self._manifest is None
        if self._manifest is None:
            log.warning("snapshot_failed", collection=self._collection.name, error=self._fault)
            shutil.rmtree(self._making, ignore_errors=True)
            return
        # What takes the collection over holds `following` too, and sets the same anew.
        with self.state.following:
            if self.obsolete:
                remove(self._published)
                return
            self.state.births -= self._births
            self.state.snapshot_seq, self.state.snapshot_time = self._manifest.seq, self._manifest.made_at
        log.info(
            "snapshot_made",
            collection=self._collection.name,
            chunks=self._manifest.elements,
            seconds=round(self.seconds, 1),
        )

    def _seal(self) -> None:
        """Check and publish what the child wrote, in a thread of its own: it reads all of it."""
        graph = self.state.index.graph
        if graph is not None:
            with suppress(OSError):  # no file to spare to read of the process's memory: it does without
                graph.regain_large_pages()
        if self._fault:
            return
        try:
            manifest = seal(self._making, self._content, self._collection, self._parameters)
            self._published = publish(self._making, manifest.seq)
        except (OSError, MemoryError) as error:
            self._fault = str(error) or type(error).__name__
        else:
            self._manifest = manifest

    def stop(self) -> None:
        """End the child, and forget what it made."""
        if self._sealing is not None:
            self._sealing.join()
        # A number that was let go of may be another process by now: first ask whether it is this one's.
        if self._pid and self._status() is None:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(self._pid, 0)
        shutil.rmtree(self._making, ignore_errors=True)
        if self._manifest is not None and self.obsolete:
            # It was published after the folder had been emptied for another embedder.
            remove(self._published)


def content_of(state: CollectionState) -> tuple[Content, Graph]:
    """Mark the dead that no view wants, and say what the graph then holds. Raises OSError in doubt.

    In the thread that changes the graph, so that nothing changes it before the caller has it written.
    """
    seq = state.view.seq
    index, graph = state.index, state.index.graph
    if graph is None:
        raise OSError("there is no graph")
    index.advance(state.oldest_seq(), 0)
    slots, members = index.vectors.slots, index.members()
    if not graph.covered or len(members) != graph.unmarked:
        raise OSError(f"{len(members)} chunks should be in the graph, and {graph.unmarked} are")
    last = int(slots.ids[graph.covered - 1])
    return Content(seq, last, members, len(graph), graph.marked, graph.file_bytes()), graph


def _fork(graph: Graph, file: Path) -> int:
    parent = os.getpid()
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    with warnings.catch_warnings():
        # Python warns of locks that other threads hold; see the module for what the child does of it.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if not pid:
        _write(graph, file, parent, prctl)
    return pid


def _write(graph: Graph, file: Path, parent: int, prctl: ctypes._NamedFuncPointer | None) -> NoReturn:
    """What the child does, and all that it does."""
    status = 1
    try:
        os.closerange(0, _MOST_FILES)
        # Whoever searches or writes meanwhile goes first.
        os.nice(_NICENESS)
        if prctl is not None:
            prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        # The parent may have died before that was said.
        if os.getppid() == parent:
            graph.save(file)
            status = 0
    finally:
        os._exit(status)
