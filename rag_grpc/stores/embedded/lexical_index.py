"""The words of one collection, ready to be searched: a tantivy index on disk.

A copy of the database that can be thrown away, like the graph. The writer thread adds
and deletes after its COMMIT. A commit here makes that visible, and costs a dozen
fsyncs: large groups are committed at once, small ones when a search asks for words, or
when nothing was written for a moment (CollectionState sees to that). A searcher sees its
own commit for as long as it is held, whatever is written or merged meanwhile.

A document of tantivy's is a chunk: its terms, joined by spaces for a tokenizer that
only splits there (tantivy's own type for tokens costs eighteen times as much to hand
over), its id, and the key of its content, by which it is deleted. The text is not
stored. Deleted chunks count in the statistics until tantivy merges their segment.

A few changes wait as they came until the next commit, because a writer costs more than they do;
and an index that nobody uses *sleeps*, its files closed, until it is asked (awake_words.py).

`reached.json` says up to which seq the index is whole, and by which analysis. It is
written now and then, after a commit, so it may be behind: catching up again from
there changes nothing. A folder without it is an index that was never finished.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import tantivy

from rag_grpc.core.analysis import Analyzer
from rag_grpc.core.chunking import embedding_text
from rag_grpc.core.models import Collection
from rag_grpc.stores.embedded.awake_words import IDLE_SECONDS, WriterPlaces
from rag_grpc.stores.embedded.lexical_folder import (
    LexicalFault,
    Reached,
    dead_share,
    faults,
    read_reached,
    write_reached,
)
from rag_grpc.stores.embedded.lexical_schema import (
    CONTENT,
    FORMAT,
    ChunkText,
    LexicalView,
    document,
    prepare,
    schema,
)
from rag_grpc.stores.embedded.lexical_writer import LexicalWriter

EAGER_CHUNKS: Final = 1000
"""From so many chunks on, that nobody sees yet, a commit costs little more than adding them did."""
FEW_CHANGES: Final = 50
"""So many wait as they came; a writer is opened for more."""
QUIET_SECONDS: Final = 0.05
"""After so long without a write, what nobody sees yet is committed, before a search has to wait for it."""
DEAD_SHARE: Final = 0.2
"""From this share of dead chunks on, an index is made anew."""
DEAD_FROM: Final = 64
"""How many contents are deleted before the share is looked at."""
MOST_COMMITS: Final = 500
"""Then files are opened anew: tantivy 0.27 remembers each path that it ever mapped (`MmapCache`), some ten a
commit, which was 0.3 MiB a minute where words were written and searched for three times a second."""


class LexicalIndex:
    """An index and its writer. One thread at a time: CollectionState holds a lock around all that changes it.

    `pending` counts what was added or deleted since the last commit. `added_seq` is up to when that is all,
    as whoever adds says, and `durable_seq` up to when a start need not look.
    """

    def __init__(
        self,
        collection: Collection,
        analyzer: Analyzer,
        folder: Path,
        *,
        seq: int,
        places: WriterPlaces | None = None,
    ) -> None:
        """Make an index that holds nothing as of `seq`; the folder is made by the first write.

        Its writer stays open after a commit where it has one of the `places`.
        """
        self.collection = collection
        self.folder = folder
        self.durable_seq = self.added_seq = self._committed_seq = seq
        self._analyzer = analyzer
        self._schema = schema()
        self._index: tantivy.Index | None = None
        self._writer = LexicalWriter(places or WriterPlaces())
        self._searcher: tantivy.Searcher | None = None
        self.chunks = self.pending = self._deleted = self._commits = 0
        self._made = False
        self._waiting: list[ChunkText | int] = []
        self._written_at = 0.0

    @classmethod
    def open(
        cls, collection: Collection, analyzer: Analyzer, folder: Path, places: WriterPlaces | None = None
    ) -> LexicalIndex:
        """Open what is in `folder`. Raises LexicalFault where that is not whole, or made by other rules."""
        reached = read_reached(folder)
        index = cls(collection, analyzer, folder, seq=reached.seq, places=places)
        if reached != index._reached(reached.seq):
            raise LexicalFault("it was made by another analysis, or for another collection")
        index._made = True
        index.wake()
        return index

    @property
    def awake(self) -> bool:
        """Whether files are open. Any thread."""
        return self._index is not None

    @property
    def asleep(self) -> bool:
        """Whether there is an index whose files are closed. Any thread."""
        return self._made and self._index is None

    @property
    def crowded(self) -> bool:
        """Whether it has a writer for which there is no place, so that a commit is due."""
        return self._writer.crowded

    def wake(self) -> None:
        """Open the files of an index that sleeps. Raises LexicalFault."""
        if self.asleep:
            with faults("cannot be opened"):
                self._attach(tantivy.Index.open(str(self.folder)))

    def sleep(self) -> None:
        """Close the files until they are needed, unless there is a writer.

        It has what is not committed, or it may be merging: files of a merge that goes on beside an index that
        was opened meanwhile would stay for good.
        """
        if not self._writer.is_open:
            self._searcher = self._index = None

    def view(self) -> LexicalView:
        """Return what a search sees now."""
        whole = not (self.pending or self.asleep)
        return LexicalView(whole, self._searcher, self._schema, self._analyzer, self.collection.language)

    def add(self, chunks: Iterable[ChunkText]) -> None:
        """Add chunks; nobody sees them before `commit`. Raises LexicalFault."""
        self._take(list(chunks))

    def delete(self, contents: Iterable[int]) -> None:
        """Delete the chunks of contents, if they were added before; seen by `commit`. Raises LexicalFault."""
        if self._made or self._waiting:
            self._take(list(contents))

    def commit(self) -> None:
        """Write what was added and deleted to the disk, with fsync, and see it. Raises LexicalFault."""
        if self.pending:
            with faults("cannot be committed"):
                index, writer = self._written()
                writer.commit()
                self._commits += 1
                if self._commits < MOST_COMMITS or not self._open_anew():
                    index.reload()
                    self._see(index)
            if self.crowded:
                self._writer.finish()
        self.pending = 0
        self._committed_seq = self.added_seq

    def note(self, seq: int) -> None:
        """Write down that all up to `seq`, or to the last commit if some wait, is here. Raises OSError."""
        # While documents come without end some words nearly always wait, and a start takes in all behind.
        through = self._committed_seq if self.pending else seq
        if through > self.durable_seq and self._made:
            write_reached(self.folder, self._reached(through))
        self.durable_seq = max(through, self.durable_seq)

    def unchanged(self, seq: int) -> None:
        """Learn that nothing was written up to `seq`, so that what is noted already says as much."""
        self.durable_seq = max(seq, self.durable_seq)

    def finish(self, seq: int) -> None:
        """Write down that an index that was just made is whole up to `seq`. Raises OSError."""
        self.durable_seq = -1
        self.note(seq)

    @property
    def wants_renewal(self) -> bool:
        """Whether dead chunks distort what is counted. Any thread; dear only where much was deleted."""
        if self._deleted < DEAD_FROM or self.pending:
            return False
        self._deleted = 0
        share = dead_share(self.folder)
        return share is not None and share > DEAD_SHARE

    @property
    def quiet(self) -> bool:
        """Whether something waits for a commit, and nothing more has come for a moment. Any thread."""
        return self.pending > 0 and time.monotonic() - self._written_at > QUIET_SECONDS

    def rest(self) -> None:
        """Close a writer that nobody has used for a while."""
        idle = not self.pending and time.monotonic() - self._written_at > IDLE_SECONDS
        if idle:
            self._writer.finish()

    def close(self, *, remove: bool = False) -> None:
        """Let go of the files; searchers that are still held stay readable."""
        self._writer.close()
        self._searcher = self._index = None
        self._made = False
        self._waiting = []
        if remove:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _reached(self, seq: int) -> Reached:
        collection = self.collection
        return Reached(
            FORMAT,
            self._analyzer.version,
            collection.language,
            collection.chunking.without_context,
            collection.uid,
            seq,
        )

    def _take(self, changes: list[ChunkText] | list[int]) -> None:
        """Keep few changes for the next commit, and hand many to the writer."""
        self._waiting += changes
        self.pending += len(changes)
        if self._writer.is_open or len(self._waiting) >= FEW_CHANGES:
            with faults("cannot be written"):
                self._written()
        self._written_at = time.monotonic()

    def _written(self) -> tuple[tantivy.Index, tantivy.IndexWriter]:
        """Hand what waits to the writer, in its order."""
        index, writer = self._opened()
        without_context = self.collection.chunking.without_context
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if isinstance(each, int):
                writer.delete_documents_by_term(CONTENT, each)
                self._deleted += 1
                continue
            text = embedding_text(each.title, each.headings, each.text, without_context)
            terms = self._analyzer.joined(text, self.collection.language)
            writer.add_document(document(each, terms))
        return index, writer

    def _opened(self) -> tuple[tantivy.Index, tantivy.IndexWriter]:
        if not self._made:
            self.folder.mkdir(parents=True)
            self._attach(tantivy.Index(self._schema, path=str(self.folder)))
            write_reached(self.folder, self._reached(self.durable_seq))
            self._made = True
        self.wake()
        if self._index is None:
            raise AssertionError("awake without an index")
        return self._index, self._writer.opened(self._index)

    def _open_anew(self) -> bool:
        """Open the files again, after a commit; say whether that went well."""
        self._commits = 0
        # A merge that went on would leave files that the new index does not know of, for good.
        self._writer.finish()
        try:
            with faults("cannot be opened anew"):
                self._attach(tantivy.Index.open(str(self.folder)))
        except LexicalFault:
            # No descriptor to spare, say. The open one is whole, and will do until the next time.
            return False
        return True

    def _attach(self, index: tantivy.Index) -> None:
        prepare(index)
        self._index = index
        self._commits = 0
        self._see(index)

    def _see(self, index: tantivy.Index) -> None:
        self._searcher = index.searcher()
        self.chunks = self._searcher.num_docs
