"""What a clean stop leaves behind, so that the next start is quick: graphs, and how far words have come.

Nothing is served any more, so the process does itself what a child does while it serves.
"""

from __future__ import annotations

import shutil

import structlog

from rag_grpc.stores.embedded.collection_state import CollectionState
from rag_grpc.stores.embedded.dense_index import IndexParameters
from rag_grpc.stores.embedded.folder import DataFolder
from rag_grpc.stores.embedded.snapshots import publish, write_snapshot

log = structlog.get_logger(__name__)


def save_graph(state: CollectionState, data: DataFolder, parameters: IndexParameters) -> None:
    """Save a graph that changed since its last snapshot."""
    index, graph = state.index, state.index.graph
    if graph is None or state.fault or state.snapshot_seq == state.view.seq:
        return
    making = data.index_folder(state.collection.id) / "making-at-stop"
    shutil.rmtree(making, ignore_errors=True)
    try:
        index.advance(state.view.seq, 0)
        slots = index.vectors.slots
        if not graph.covered:
            return
        write_snapshot(
            making,
            graph,
            index.members(),
            collection=state.collection,
            seq=state.view.seq,
            last_chunk=int(slots.ids[graph.covered - 1]),
            parameters=parameters,
        )
        publish(making, state.view.seq)
    except (OSError, RuntimeError) as error:
        log.warning("snapshot_failed", collection=state.collection.name, status=0, error=str(error))
        shutil.rmtree(making, ignore_errors=True)
    else:
        log.info("snapshot_made", collection=state.collection.name, chunks=len(graph), seconds=0)


def note_words(state: CollectionState) -> None:
    """Spare the next start what the index of words has already."""
    state.commit_words()
    if state.lexical_fault or state.fault:
        return
    try:
        state.lexical.note(state.view.seq)
    except OSError as error:
        log.warning("lexical_index_not_noted", collection=state.collection.name, error=str(error))
