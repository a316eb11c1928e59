"""`ragctl ingest`: files into a collection, as fast as the server takes them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from rag_client.cli.exit_codes import ExitCode
from rag_client.cli.files import Finder, NothingThereError, SourceFile, Unread
from rag_client.cli.ingest_options import (
    Batch,
    Create,
    DryRun,
    Language,
    Paths,
    Plan,
    Prefix,
    Root,
    SourceName,
    Syncing,
    Yes,
)
from rag_client.cli.options import DEFAULT_SERVER, CollectionName, Json, Server, Timeout, connect
from rag_client.cli.output import Output
from rag_client.cli.reading import Reader
from rag_client.cli.rehearsal import rehearse
from rag_client.cli.sync import Sync, delete_vanished
from rag_client.cli.tally import Tally
from rag_client.streaming.policy import IngestPolicy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rag_client import RagClient
    from rag_client.models import Document, IngestResult

DEFAULT_BATCH = IngestPolicy().batch_documents


def ingest(
    paths: Paths,
    *,
    collection: CollectionName = "",
    create: Create = False,
    language: Language = "",
    prefix: Prefix = "",
    root: Root = Path(),
    source: SourceName = "",
    batch: Batch = DEFAULT_BATCH,
    sync: Syncing = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Store files as documents, replacing those that changed.

    Markdown, HTML, DOCX and reStructuredText are split at their headings, PDF is read page by page, each line
    of .jsonl and .jsonl.gz is a document {doc_id, text, title, metadata}. Anything else that is text is taken
    as it is; what is not is named and passed over, hidden files silently. A document's id is the file's path,
    relative to --root where it lies below it; front matter and facts of the file become its metadata. With
    --sync, what vanished from PATHS since an earlier ingest is deleted.
    """
    plan = Plan(tuple(paths), collection, create, language, prefix, root, source, batch, sync, yes, dry_run)
    loading = Loading(plan, Output(as_json=json))
    if dry_run and not sync:
        loading.show()
    else:
        with connect(server, timeout) as client:
            loading.run(client)
    if loading.failed:
        raise typer.Exit(ExitCode.SOME_FAILED)


class Loading:
    """One run: finds the files at once, reads them as the server takes them, and counts."""

    def __init__(self, plan: Plan, output: Output) -> None:
        self._plan = plan
        self._output = output
        self._tally = Tally(output, deleting=plan.sync, dry=plan.dry_run)
        finder = Finder(plan.root, plan.source, report=self._unread)
        self._sync = Sync({path: finder.place(path) for path in plan.paths}, prefix=plan.prefix)
        self._reader = Reader(self._unread, prefix=plan.prefix, mark_lines=plan.sync)
        self._files = list(self._found(finder))

    @property
    def failed(self) -> bool:
        """Say whether anything failed."""
        return self._tally.counts["failed"] > 0

    def show(self) -> None:
        """Name the documents that would be sent."""
        for document in self._documents():
            facts = {"doc_id": document.doc_id, "title": document.title, "characters": len(document.text)}
            self._tally.would_send(facts)
        self._tally.summary()

    def run(self, client: RagClient) -> None:
        """Send them, or say what that would do."""
        plan = self._plan
        if plan.create and not plan.dry_run:
            client.create_collection(plan.collection, language=plan.language)
        try:
            if plan.dry_run:
                self._rehearse(client)
                return
            policy = IngestPolicy(batch_documents=plan.batch)
            results = client.ingest_stream(self._documents(), collection=plan.collection, policy=policy)
            self._follow(results)
            if plan.sync:
                result = self._tally.result
                delete_vanished(client, self._sync, result, collection=plan.collection, yes=plan.yes)
        finally:  # what is in is in, also where it ends with an error
            self._tally.summary()

    def _rehearse(self, client: RagClient) -> None:
        result, plan = self._tally.result, self._plan
        rehearse(
            client, self._documents(), self._sync, result, collection=plan.collection, create=plan.create
        )

    def _documents(self) -> Iterator[Document]:
        documents = self._reader.documents(self._files)
        return self._sync.passing(documents) if self._plan.sync else documents

    def _found(self, finder: Finder) -> Iterator[SourceFile]:
        """Yield the files; a PATH that is not there is an error, unless all that came from it shall go."""
        there = [path for path in self._plan.paths if not (self._plan.yes and _is_missing(path))]
        try:
            yield from finder.find(there)
        except NothingThereError as error:
            hint = "; --yes deletes what came from there" if self._plan.sync else ""
            raise typer.BadParameter(f"{error}{hint}") from None

    def _unread(self, unread: Unread) -> None:
        self._sync.unread(unread)
        self._tally.unread(unread)

    def _follow(self, results: Iterator[IngestResult]) -> None:
        """Take the results as they come, under a progress bar where somebody looks."""
        if not self._output.errors.is_terminal:
            for result in results:
                self._tally.result(result)
            return
        progress = Progress(
            TextColumn("{task.fields[documents]} documents"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%  {task.fields[rate]:.0f}/s"),
            TimeElapsedColumn(),
            console=self._output.errors,
            transient=True,
        )
        begin = time.monotonic()
        with progress:
            task = progress.add_task("", total=sum(file.size for file in self._files), documents=0, rate=0.0)
            for result in results:
                self._tally.result(result)
                documents = self._tally.documents
                rate = documents / max(time.monotonic() - begin, 0.001)
                progress.update(task, completed=self._reader.bytes_read, documents=documents, rate=rate)


def _is_missing(path: str) -> bool:
    return not Path(path).exists()
