"""Hits as the edge sends them: from what is remembered of them or of their places, else from their rows.

Packed where they are read, a hit is one object until it is sent, and not a dozen that another
thread takes apart again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import apsw
import numpy as np
from numpy.typing import NDArray

from rag_grpc.core.errors import StorageFault
from rag_grpc.core.ports import HitCodec
from rag_grpc.core.searches import Candidates, HitParts, PackedHits, Search, Select
from rag_grpc.core.selection import DenseSelection
from rag_grpc.stores.embedded.dense_search import DenseView
from rag_grpc.stores.embedded.hit_rows import (
    FEW_ROWS,
    MOST_CHARACTERS,
    missing,
    read_packed,
    read_places,
)

Found: TypeAlias = PackedHits | StorageFault
Cut: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float32], int]
"""What a search selected: chunk ids, scores, and the rank of the first."""


def wants_packed(search: Search) -> bool:
    """Whether a search's hits can be made of packed bytes and scores."""
    parts = search.parts
    return (
        isinstance(search.select, DenseSelection)
        and search.lexical is None
        and (parts.places_alone or (parts.packed and not parts.vectors))
    )


class HitPacker:
    """Gives packed hits, and remembers what it had to read."""

    def __init__(self, codec: HitCodec, spare_bytes: Callable[[], int]) -> None:
        """`spare_bytes` says how much of the disk may be taken for what can be done without."""
        self._codec = codec
        self._spare_bytes = spare_bytes

    def hits(
        self,
        reader: apsw.Connection,
        view: DenseView,
        selects: Sequence[Select],
        candidates: Sequence[Candidates | None],
        parts: HitParts,
    ) -> list[Found] | None:
        """Make the hits of searches that all want these parts packed; None where this is not the way.

        What is selected is a StorageFault where a row is not there.
        """
        cuts = [
            (*select.cut(found), select.offset + 1)
            for select, found in zip(selects, candidates, strict=True)
            if isinstance(select, DenseSelection) and found is not None
        ]
        if len(cuts) < len(selects):
            return None
        chunks = cuts[0][0] if len(cuts) == 1 else np.concatenate([chunks for chunks, _, _ in cuts])
        if not parts.places_alone:
            return self._whole(reader, view, cuts, chunks, parts)
        if view.places is None:
            return None
        slots = view.slots.slots_of(chunks)
        places = view.places.known(slots)
        lost: frozenset[int] = frozenset()
        if b"" in places:
            read = self._read(reader, view, chunks, slots, places)
            if read is None:
                return None
            lost = read
        return self._made(cuts, places, lost)

    def _whole(
        self,
        reader: apsw.Connection,
        view: DenseView,
        cuts: Sequence[Cut],
        chunks: NDArray[np.int64],
        parts: HitParts,
    ) -> list[Found] | None:
        """Make hits with texts, titles or metadata as of the view; chunks that several found, once."""
        wanted = chunks.tolist()
        differing = dict.fromkeys(wanted)
        distinct = chunks if len(differing) == len(chunks) else np.array([*differing], np.int64)
        kept = view.hits if parts.whole else None
        if kept is None:
            slots, moment, hits = distinct, 0, [b""] * len(distinct)
        else:
            slots = view.slots.slots_of(distinct)
            moment, hits = kept.moment, kept.known(slots, view.seq)
        lost: frozenset[int] = frozenset()
        held = sum(map(len, hits))
        if held > MOST_CHARACTERS and len(distinct) > FEW_ROWS:
            return None
        gaps = [number for number, hit in enumerate(hits) if not hit]
        if gaps:
            rows = read_packed(reader, distinct[gaps], view.seq, parts, self._codec, held=held)
            if rows is None:
                return None
            missed = distinct[gaps].tolist()
            for number, chunk in zip(gaps, missed, strict=True):
                hits[number] = rows[chunk].packed if chunk in rows else b""
            if kept is not None:
                by_slot = zip(slots[gaps].tolist(), missed, strict=True)
                fresh = {slot: rows[chunk] for slot, chunk in by_slot if chunk in rows}
                kept.remember(fresh, len(view.slots.ids), self._spare_bytes, view.seq, moment=moment)
            lost = frozenset(missed) - rows.keys()
        if distinct is not chunks:
            by_chunk = dict(zip(differing, hits, strict=True))
            hits = [by_chunk[chunk] for chunk in wanted]
        return self._made(cuts, hits, lost)

    def _made(self, cuts: Sequence[Cut], packed: list[bytes], lost: frozenset[int]) -> list[Found]:
        hits: list[Found] = []
        begin = 0
        for chunks, scores, first_rank in cuts:
            end = begin + len(chunks)
            fault = next((chunk for chunk in chunks.tolist() if chunk in lost), None) if lost else None
            if fault is None:
                hits.append(PackedHits(packed[begin:end], scores, first_rank, self._codec.unpack))
            else:
                hits.append(missing(fault))
            begin = end
        return hits

    def _read(
        self,
        reader: apsw.Connection,
        view: DenseView,
        chunks: NDArray[np.int64],
        slots: NDArray[np.int64],
        places: list[bytes],
    ) -> frozenset[int] | None:
        """Fill in what is not known; return the chunks that have no rows, or None for too long rows."""
        gaps = [number for number, place in enumerate(places) if not place]
        rows = read_places(reader, np.unique(chunks[gaps]))
        if rows is None or view.places is None:
            return None
        packed = {chunk: self._codec.pack(*row, "", None) for chunk, row in rows.items()}
        wanted = chunks[gaps].tolist()
        for number, chunk in zip(gaps, wanted, strict=True):
            places[number] = packed.get(chunk, b"")
        by_slot = dict(zip(slots[gaps].tolist(), wanted, strict=True))
        kept = {slot: packed[chunk] for slot, chunk in by_slot.items() if chunk in packed}
        view.places.remember([*kept], [*kept.values()], len(view.slots.ids), self._spare_bytes)
        return frozenset(wanted) - packed.keys()
