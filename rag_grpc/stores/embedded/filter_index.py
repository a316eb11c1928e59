"""What filters ask of one collection, kept beside its vectors: metadata -> rows of documents.

A *row* is one version of one document: a change of metadata makes a new row and ends
the old one. Rows are only ever added, so what is known of a row never changes, and a
view needs nothing of its own but the bitmap of the rows that live in it: that is its
copy on write. Whatever else a search reads may have grown since its view was
published; the rows that came later are not in its bitmap, and fall out.

Row numbers are 32 bits: they count the versions since the index was last made (a start,
or a compaction when half of the rows are dead), not those that ever were, and roaring
bitmaps of 32 bits take half the time of those of 64.

One lock, for the writer thread's additions and for searches: each holds it for the
microseconds that a step takes.
"""

from __future__ import annotations

import threading
import weakref
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from rag_grpc.core.filters import (
    And,
    Comparison,
    Contains,
    Filter,
    Not,
    Operator,
    Or,
    Present,
)
from rag_grpc.core.models import MetadataDict
from rag_grpc.core.ports import MetadataCodec
from rag_grpc.stores.embedded.allowed_chunks import AllowedChunks
from rag_grpc.stores.embedded.dense_index import Died
from rag_grpc.stores.embedded.document_times import compared
from rag_grpc.stores.embedded.effects import Version
from rag_grpc.stores.embedded.kept_parts import PartsIn, PartsOut
from rag_grpc.stores.embedded.metadata_column import MetadataColumn
from rag_grpc.stores.embedded.sorted_values import SortedValues
from rag_grpc.stores.embedded.value_columns import NumberColumn
from rag_grpc.stores.embedded.vector_file import Ids

COMPACT_FROM = 4096
KEPT_ANSWERS = 16
"""Filters whose answer a view keeps: the same few are asked for again and again."""
_TEXTS = ("doc_id", "title")
_TIMES = ("create_time", "update_time")


class FilterIndex:
    """Rows by what documents have. `apply` and `view` are the writer thread's; the rest is for any thread."""

    def __init__(self, codec: MetadataCodec) -> None:
        """Begin empty; `codec` takes metadata apart."""
        self.lock = threading.Lock()
        self._codec = codec
        self._columns: dict[tuple[str, ...], MetadataColumn] = {}
        self._texts = {name: MetadataColumn() for name in _TEXTS}
        self._times = {name: SortedValues(partial(NumberColumn, "q")) for name in _TIMES}
        self._contents, self._firsts, self._counts = array("q"), array("q"), array("I")
        """By row: the document's key, its first chunk's id, and how many chunks it has."""
        self._newest: dict[int, int] = {}
        """By first chunk: the newest row of each content that has more than one."""
        self._first_rows = (array("q"), array("I"))
        """First chunks in order, and the row that each content began with."""
        self._publish(BitMap())

    # -- writer thread

    def apply(self, versions: Sequence[Version], died: Sequence[Died]) -> None:
        """Take in new versions, in their order, and then the contents that died."""
        unpacked = [
            self._codec.unpack(version.packed_metadata) if version.metadata is None else version.metadata
            for version in versions
        ]
        with self.lock:
            live = self._live.copy()
            for version, metadata in zip(versions, unpacked, strict=True):
                row = len(self._contents)
                self._describe(version, metadata, row)
                older = self._row_of(version.first_chunk)
                if older is None:
                    self._first_rows[0].append(version.first_chunk)
                    self._first_rows[1].append(row)
                else:
                    live.discard(older)
                    self._newest[version.first_chunk] = row
                live.add(row)
            for death in died:
                gone = self._row_of(death.first_chunk)
                if gone is not None:
                    live.discard(gone)
                    self._newest.pop(death.first_chunk, None)
            self._publish(live)

    def _publish(self, live: BitMap) -> None:
        self._live = live
        # Weakly, because a view holds its index: an index that is made anew, or whose collection is dropped,
        # would stay in memory until Python looks for cycles, which is seldom here. Who searches holds it.
        self._view: weakref.ref[FilterView] | None = None

    def _row_of(self, first_chunk: int) -> int | None:
        """Return the newest row of the content with that first chunk, None where it has none."""
        newest = self._newest.get(first_chunk)
        if newest is not None:
            return newest
        firsts, rows = self._first_rows
        place = bisect_left(firsts, first_chunk)
        return rows[place] if place < len(firsts) and firsts[place] == first_chunk else None

    def _describe(self, version: Version, metadata: MetadataDict, row: int) -> None:
        self._contents.append(version.content)
        self._firsts.append(version.first_chunk)
        self._counts.append(version.chunk_count)
        self._texts["doc_id"].add(version.doc_id, row)
        self._texts["title"].add(version.title, row)
        self._times["create_time"].add(version.create_time, row)
        self._times["update_time"].add(version.update_time, row)
        self._add(metadata, (), row)

    def _add(self, metadata: MetadataDict, path: tuple[str, ...], row: int) -> None:
        for key, value in metadata.items():
            if value is None:
                continue
            where = (*path, key)
            column = self._columns.get(where)
            if column is None:
                column = self._columns[where] = MetadataColumn()
            column.add(value, row)
            if isinstance(value, dict):
                self._add(value, where, row)

    def view(self) -> FilterView:
        """Return what a search that begins now asks; the same one until the next `apply`, if it is held."""
        view = None if self._view is None else self._view()
        if view is None:
            view = FilterView(self, self._live)
            self._view = weakref.ref(view)
        return view

    @property
    def documents(self) -> int:
        """How many live."""
        return len(self._live)

    @property
    def wants_compaction(self) -> bool:
        """Whether most rows are dead."""
        dead = len(self._contents) - len(self._live)
        return dead > COMPACT_FROM and dead > len(self._live)

    def compacted(self) -> FilterIndex:
        """Return an index of the living rows alone; views of this one keep it."""
        fresh = FilterIndex(self._codec)
        with self.lock:
            rows = np.frombuffer(self._live.to_array(), np.uint32)
            rows = rows[np.argsort(np.frombuffer(self._firsts, np.int64)[rows])]
            numbers = np.full(len(self._contents), -1, np.int64)
            numbers[rows] = np.arange(len(rows))
            for name in ("_contents", "_firsts", "_counts"):
                old: array[int] = getattr(self, name)
                getattr(fresh, name).frombytes(np.frombuffer(old, np.dtype(old.typecode))[rows].tobytes())
            columns = {path: column.renumbered(numbers) for path, column in self._columns.items()}
            fresh._columns = {path: column for path, column in columns.items() if column.present}
            fresh._texts = {name: column.renumbered(numbers) for name, column in self._texts.items()}
            fresh._times = {name: values.renumbered(numbers) for name, values in self._times.items()}
            fresh._first_rows[0].extend(fresh._firsts)
            fresh._first_rows[1].extend(range(len(rows)))
            fresh._publish(BitMap(range(len(rows))))
        return fresh

    # -- kept over a restart

    def write(self, out: PartsOut) -> None:
        """Write all of it, as of the last `apply`. Any thread; additions wait meanwhile."""
        with self.lock:
            for numbers in (self._contents, self._firsts, self._counts, *self._first_rows):
                out.numbers(numbers)
            out.value(list(self._newest.items()))
            out.rows(self._live)
            for name in _TEXTS:
                self._texts[name].write(out)
            for name in _TIMES:
                self._times[name].write(out)
            out.value([list(path) for path in self._columns])
            for column in self._columns.values():
                column.write(out)

    @classmethod
    def read(cls, codec: MetadataCodec, parts: PartsIn) -> FilterIndex:
        """Read one that was written. Raises ValueError where it is cut off."""
        made = cls(codec)
        made._contents, made._firsts, made._counts = (parts.numbers(each) for each in "qqI")
        made._first_rows = parts.numbers("q"), parts.numbers("I")
        made._newest = dict(parts.value())
        made._publish(parts.rows())
        made._texts = {name: MetadataColumn.read(parts) for name in _TEXTS}
        for name in _TIMES:
            made._times[name].read(parts)
        paths = [tuple(path) for path in parts.value()]
        made._columns = {path: MetadataColumn.read(parts) for path in paths}
        return made

    # -- searches, with the lock held

    def rows(self, filter_: Filter, live: BitMap) -> BitMap:
        """Return the rows of `live` that pass."""
        match filter_:
            case And(terms):
                for term in terms:
                    live = self.rows(term, live)
                return live
            case Or(terms):
                return BitMap.union(*(self.rows(term, live) for term in terms))
            case Not(term):
                return live - self.rows(term, live)
            case _:
                return self._leaf(filter_) & live

    def _leaf(self, filter_: Comparison | Contains | Present) -> BitMap:
        name = filter_.name
        if name.own and name.path[0] in _TIMES:
            return self._time_rows(filter_)
        column = self._texts[name.path[0]] if name.own else self._columns.get(name.path)
        if column is None:
            return BitMap()
        match filter_:
            case Comparison(_, comparator, value):
                return column.compare(comparator, value)
            case Contains(_, value):
                return column.contains(value)
            case Present():
                return column.present

    def _time_rows(self, filter_: Comparison | Contains | Present) -> BitMap:
        everything = BitMap(range(len(self._contents)))
        if isinstance(filter_, Present):
            return everything
        comparator = filter_.operator if isinstance(filter_, Comparison) else Operator.EQUAL
        values = self._times[filter_.name.path[0]]
        if comparator is Operator.UNEQUAL:
            return everything - compared(values, Operator.EQUAL, filter_.value)
        return compared(values, comparator, filter_.value)

    def located(self, rows: BitMap) -> tuple[Ids, Ids, NDArray[np.uint32]]:
        """Return the contents, first chunks and chunk counts of rows."""
        if not rows:
            return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint32)
        places = np.frombuffer(rows.to_array(), np.uint32)
        return (
            np.frombuffer(self._contents, np.int64)[places],
            np.frombuffer(self._firsts, np.int64)[places],
            np.frombuffer(self._counts, np.uint32)[places],
        )


class FilterView:
    """What filters let through of one state of the collection; see the module. Any thread."""

    def __init__(self, index: FilterIndex, live: BitMap) -> None:
        self._index = index
        self._live = live
        self._kept: dict[int, tuple[Filter, AllowedChunks, Ids]] = {}

    def allowed(self, filter_: Filter) -> AllowedChunks:
        """Return the chunks that pass."""
        return self._answer(filter_)[1]

    def contents(self, filter_: Filter) -> Ids:
        """Return the keys of the documents that pass: int64, in no order."""
        return self._answer(filter_)[2]

    def _answer(self, filter_: Filter) -> tuple[Filter, AllowedChunks, Ids]:
        # By identity: the same text is parsed to the same tree, and comparing trees takes long. The kept
        # tree keeps its id from being another's.
        kept = self._kept.get(id(filter_))
        if kept is not None:
            return kept
        with self._index.lock:
            contents, firsts, counts = self._index.located(self._index.rows(filter_, self._live))
        answer = (filter_, AllowedChunks(firsts, counts), contents)
        if len(self._kept) >= KEPT_ANSWERS:
            self._kept = {}
        self._kept[id(filter_)] = answer
        return answer
