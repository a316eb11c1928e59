"""A graph on disk: written beside the server, checked before use, never believed in doubt.

hnswlib's file has no checksum and no version, saving reports no error, and one
flipped bit in it crashes the process at the next search. So a snapshot is a folder
with a manifest that holds sizes, SHA-256 and all parameters; it is written under
another name, synced, and renamed when it is whole. Whoever loads one verifies all
of it first, and builds the graph from the database where anything differs. The old
one goes after the new one is there, and under another name too: a process that is
killed in between must not leave half a snapshot, or none.

    snapshot-<seq>/graph.bin        hnswlib's own format
    snapshot-<seq>/members.npy      ids of the chunks in it that lived, rising, int64
    snapshot-<seq>/manifest.json
    snapshot-<seq>-<n>/             a later one of the same seq, which has more chunks in it
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import structlog

from rag_grpc.core.models import Collection
from rag_grpc.stores.embedded.dense_index import IndexParameters
from rag_grpc.stores.embedded.graph import Graph
from rag_grpc.stores.embedded.vector_file import Ids

log = structlog.get_logger(__name__)

FORMAT = 2
GRAPH_FILE = "graph.bin"
MEMBERS_FILE = "members.npy"
MANIFEST_FILE = "manifest.json"
_NAME: Final = re.compile(r"snapshot-(?P<seq>[0-9]+)(-(?P<number>[0-9]+))?")


class SnapshotUnusable(Exception):
    """The snapshot is not whole, or not of this collection and these parameters."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a snapshot says of itself: every chunk up to `last_chunk` that lived at `seq` is in it."""

    format: int
    collection_uid: str
    embedder_fingerprint: str
    seq: int
    last_chunk: int
    dimension: int
    metric: str
    m: int
    ef_construction: int
    elements: int
    marked: int
    graph_bytes: int
    graph_sha256: str
    members_sha256: str
    made_at: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A loaded snapshot."""

    manifest: Manifest
    graph: Graph
    members: Ids


@dataclass(frozen=True, slots=True)
class Content:
    """What a graph holds at one moment, to be noted beside its file.

    `members` are its chunks that are not marked dead, rising; `size` is that which the file must have.
    """

    seq: int
    last_chunk: int
    members: Ids
    elements: int
    marked: int
    size: int


def seal(making: Path, content: Content, collection: Collection, parameters: IndexParameters) -> Manifest:
    """Make a snapshot of the folder `making`, in which a graph was written, and sync it.

    Raises OSError where the graph's file is not whole. Blocks.
    """
    file = making / GRAPH_FILE
    written = file.stat().st_size if file.exists() else -1
    if written != content.size:
        raise OSError(f"the graph's file has {written} bytes instead of {content.size}: is the disk full?")
    np.save(making / MEMBERS_FILE, content.members)
    manifest = Manifest(
        format=FORMAT,
        collection_uid=collection.uid,
        embedder_fingerprint=collection.embedder_fingerprint,
        seq=content.seq,
        last_chunk=content.last_chunk,
        dimension=collection.dimension,
        metric=collection.metric.value,
        m=parameters.m,
        ef_construction=parameters.ef_construction,
        elements=content.elements,
        marked=content.marked,
        graph_bytes=content.size,
        graph_sha256=_sha256(making / GRAPH_FILE),
        members_sha256=_sha256(making / MEMBERS_FILE),
        made_at=time.time_ns(),
    )
    (making / MANIFEST_FILE).write_text(_with_checksum(manifest))
    for name in (GRAPH_FILE, MEMBERS_FILE, MANIFEST_FILE):
        sync(making / name)
    sync(making)
    return manifest


def publish(making: Path, seq: int) -> Path:
    """Rename a finished snapshot to its name, and remove older ones. Raises OSError."""
    folder = making.parent
    older = snapshots(folder)
    final = folder / _new_name(seq, {each.name for each in older})
    making.rename(final)
    sync(folder)
    for each in older:
        remove(each)
    return final


def _new_name(seq: int, taken: set[str]) -> str:
    """Name a snapshot so that it sorts behind those of the same seq.

    There are such where a graph took in chunks that were waiting, and nothing was written meanwhile.
    """
    numbers = [order[1] for name in taken if (order := _order(name)) is not None and order[0] == seq]
    return f"snapshot-{seq}-{max(numbers) + 1}" if numbers else f"snapshot-{seq}"


def _order(name: str) -> tuple[int, int] | None:
    """Return a snapshot's seq and number, None where that is not its name."""
    found = _NAME.fullmatch(name)
    return None if found is None else (int(found["seq"]), int(found["number"] or 0))


def snapshots(folder: Path) -> list[Path]:
    """List the snapshots of a collection's index folder, newest first."""
    found = [(order, path) for path in folder.glob("snapshot-*") if (order := _order(path.name)) is not None]
    return [path for _, path in sorted(found, reverse=True)]


def remove(snapshot: Path) -> None:
    """Remove a snapshot, or whatever has its name. What a kill leaves of it has another one."""
    removing = snapshot.with_name(f"removing-{snapshot.name}")
    try:
        snapshot.rename(removing)
    except OSError:  # what was removed before and could not go, or a disk that is only read
        removing = snapshot
    if removing.is_dir() and not removing.is_symlink():
        shutil.rmtree(removing, ignore_errors=True)
    else:
        removing.unlink(missing_ok=True)


def read_manifest(snapshot: Path) -> Manifest:
    """Read what a snapshot says of itself. Raises SnapshotUnusable."""
    try:
        written = (snapshot / MANIFEST_FILE).read_text()
        manifest = Manifest(**json.loads(written)["manifest"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise SnapshotUnusable(f"manifest: {error}") from error
    if written != _with_checksum(manifest):
        raise SnapshotUnusable("the manifest has another checksum")
    return manifest


def _with_checksum(manifest: Manifest) -> str:
    body = json.dumps(asdict(manifest), indent=1)
    return json.dumps(
        {"manifest": asdict(manifest), "sha256": hashlib.sha256(body.encode()).hexdigest()}, indent=1
    )


def verify(snapshot: Path, collection: Collection, parameters: IndexParameters, seq: int) -> Manifest:
    """Read all of a snapshot and compare it with its manifest. Raises SnapshotUnusable.

    `seq` is the database's: where an older one was put beside it, a snapshot may be of its future.
    """
    manifest = read_manifest(snapshot)
    wanted = (FORMAT, collection.uid, collection.dimension, collection.metric.value)
    if (manifest.format, manifest.collection_uid, manifest.dimension, manifest.metric) != wanted:
        raise SnapshotUnusable("it is of another format or collection")
    if manifest.embedder_fingerprint != collection.embedder_fingerprint:
        raise SnapshotUnusable("it is of another embedder")
    if (manifest.m, manifest.ef_construction) != (parameters.m, parameters.ef_construction):
        raise SnapshotUnusable("it was built with other parameters")
    if manifest.seq > seq:
        raise SnapshotUnusable(f"it is as of seq {manifest.seq}, and the database of {seq}")
    try:
        if (snapshot / GRAPH_FILE).stat().st_size != manifest.graph_bytes:
            raise SnapshotUnusable("the graph's file has another size")
        for file, expected in ((GRAPH_FILE, manifest.graph_sha256), (MEMBERS_FILE, manifest.members_sha256)):
            if _sha256(snapshot / file) != expected:
                raise SnapshotUnusable(f"{file} has another checksum")
    except OSError as error:
        raise SnapshotUnusable(str(error)) from error
    return manifest


def load(snapshot: Path, manifest: Manifest, collection: Collection, *, capacity: int) -> Snapshot:
    """Load a snapshot that was verified into a new graph. Raises SnapshotUnusable."""
    try:
        members: Ids = np.load(snapshot / MEMBERS_FILE, allow_pickle=False)
        graph = Graph(
            dimension=collection.dimension,
            metric=collection.metric,
            m=manifest.m,
            ef_construction=manifest.ef_construction,
            capacity=max(capacity, manifest.elements),
            file=snapshot / GRAPH_FILE,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise SnapshotUnusable(str(error)) from error
    if len(graph) != manifest.elements or len(members) + manifest.marked != manifest.elements:
        raise SnapshotUnusable("it holds another number of chunks than it says")
    graph.marked = manifest.marked
    return Snapshot(manifest, graph, members)


def sync(path: Path) -> None:
    """Force a file or folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
