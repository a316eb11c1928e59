"""What a clean stop leaves, so that the next start is quick: graphs, filters, and how far words have come.

Nothing is served any more, so the process does itself what a child does while it serves.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from typing import Final

import structlog

from rag_grpc.stores.embedded.collection_state import CollectionState
from rag_grpc.stores.embedded.dense_index import IndexParameters
from rag_grpc.stores.embedded.folder import DataFolder
from rag_grpc.stores.embedded.kept_filters import keep_filters
from rag_grpc.stores.embedded.snapshot_child import content_of
from rag_grpc.stores.embedded.snapshots import GRAPH_FILE, publish, seal

log = structlog.get_logger(__name__)

LAST_ROWS: Final = 8192
"""Chunks that are put into a graph before it is saved: as many as wait where ingest was at full speed. What a
start left beside the graph may be more, and is left to the next one."""


def save_all(states: Iterable[CollectionState], data: DataFolder, parameters: IndexParameters) -> None:
    """Save what each collection's next start can use. Raises nothing: one's failure is not the others'."""
    for state in states:
        try:
            save_graph(state, data, parameters)
            save_filters(state, data)
            note_words(state)
        except Exception:
            log.exception("snapshot_broke", collection=state.collection.name)


def save_graph(state: CollectionState, data: DataFolder, parameters: IndexParameters) -> None:
    """Save a graph that changed since its last snapshot."""
    if state.index.graph is None or state.fault:
        return
    making = data.index_folder(state.collection.id) / "making-at-stop"
    shutil.rmtree(making, ignore_errors=True)
    try:
        # The next start has it, and need not build while it serves.
        state.index.advance(state.view.seq, LAST_ROWS)
        if _is_saved(state):
            return
        making.mkdir(parents=True)
        content, graph = content_of(state)
        graph.save(making / GRAPH_FILE)
        seal(making, content, state.collection, parameters)
        publish(making, content.seq)
    except (OSError, RuntimeError, MemoryError) as error:
        log.warning("snapshot_failed", collection=state.collection.name, error=str(error))
        shutil.rmtree(making, ignore_errors=True)
    else:
        log.info("snapshot_made", collection=state.collection.name, chunks=content.elements, seconds=0)


def _is_saved(state: CollectionState) -> bool:
    """Say whether the last snapshot has all that the graph has, and all that is dead is dead in it."""
    return state.snapshot_seq == state.view.seq and state.births <= state.index.tail


def save_filters(state: CollectionState, data: DataFolder) -> None:
    """Save what filters ask, of a collection that is large enough for a graph, where it changed."""
    if state.index.graph is None or state.fault or state.filters_seq == state.view.seq:
        return
    try:
        keep_filters(state, data.index_folder(state.collection.id))
    except (OSError, MemoryError) as error:
        log.warning("filters_not_kept", collection=state.collection.name, error=str(error))


def note_words(state: CollectionState) -> None:
    """Spare the next start what the index of words has already."""
    state.commit_words()
    if state.lexical_fault or state.fault:
        return
    try:
        state.lexical.note(state.view.seq)
    except OSError as error:
        log.warning("lexical_index_not_noted", collection=state.collection.name, error=str(error))
