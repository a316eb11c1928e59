"""The writer of one index of words, while it is open, and its place among those that may stay so.

A writer of tantivy's holds memory and six threads, and it merges segments, of which each commit
makes one. Whoever lets go of it cuts merges off: what they leave is cleared by the next writer
of the same open index, and stays where the index was opened anew; they begin again after the
next commit. An index whose every commit closes its writer would never have any merged: after
200 commits it had 200 segments in 1,239 files, which took five times as long as with merges. So
what is closed on the way is *finished*: its merges are waited for while the GIL is free, tens
of milliseconds for small segments, seconds for hundreds of thousands of chunks, which are
merged once in hundreds of commits. Only who is to forget the index, or ends the process,
*closes* it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import tantivy

from rag_grpc.stores.embedded.awake_words import WriterPlaces
from rag_grpc.stores.embedded.lexical_folder import LexicalFault, faults

WRITER_BYTES: Final = 30_000_000
"""What the writer gathers before it writes a segment; it gives the memory back when it is closed."""


class LexicalWriter:
    """Opens a writer when there is something to write. One thread at a time, as its index."""

    def __init__(self, places: WriterPlaces) -> None:
        """A writer stays open after a commit where it has one of the `places`."""
        self._places = places
        self._writer: tantivy.IndexWriter | None = None
        self._has_place = False

    @property
    def is_open(self) -> bool:
        """Whether there is one."""
        return self._writer is not None

    @property
    def crowded(self) -> bool:
        """Whether it has no place, so that a commit is due, and then it is to be finished."""
        return self._writer is not None and not self._has_place

    def opened(self, index: tantivy.Index) -> tantivy.IndexWriter:
        """Return the writer, which is that of `index`. Raises what tantivy does."""
        if self._writer is None:
            self._writer = index.writer(heap_size=WRITER_BYTES, num_threads=1)
            self._has_place = self._places.take()
        return self._writer

    def finish(self) -> None:
        """Close it when its merges are done. What was not committed is lost, as by `close`."""
        if self._writer is not None:
            # What was committed is safe, whatever becomes of a merge.
            with suppress(LexicalFault), faults("cannot be merged"):
                self._writer.wait_merging_threads()
        self.close()

    def close(self) -> None:
        """Close it at once."""
        self._writer = None
        if self._has_place:
            self._has_place = False
            self._places.give_back()
