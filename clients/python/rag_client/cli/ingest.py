"""`ragctl ingest`: files into a collection, as fast as the server takes them."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from rag_client.cli.exit_codes import ExitCode
from rag_client.cli.files import NothingThereError, find
from rag_client.cli.options import DEFAULT_SERVER, CollectionName, Json, Server, Timeout, connect
from rag_client.cli.output import Output
from rag_client.cli.reading import Reader, Unread
from rag_client.errors import RagClientError
from rag_client.models import IngestResult
from rag_client.streaming.policy import IngestPolicy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rag_client.models import Document

STATUSES = ("created", "replaced", "unchanged", "failed")


class Tally:
    """What became of the documents so far: counted, and told where it went wrong."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._begin = time.monotonic()
        self.counts: Counter[str] = Counter()

    def unread(self, unread: Unread) -> None:
        """Count what was passed over or could not be read."""
        self.counts[unread.kind] += 1
        self._output.warn(f"{unread.kind} {unread.name}: {unread.why}")

    def result(self, result: IngestResult) -> None:
        """Count what the server said of a document."""
        self.counts[result.status] += 1
        if result.error is not None:
            self._output.warn(f"failed {result.doc_id}: {result.error}", style="red")
        if self._output.as_json:
            self._output.json_line(result)

    @property
    def documents(self) -> int:
        """Documents that went to the server."""
        return sum(self.counts[status] for status in STATUSES)

    def summary(self, *, dry: bool) -> None:
        """Print the counts; as JSON, one last line with nothing but them."""
        seconds = time.monotonic() - self._begin
        rate = self.documents / seconds if seconds else 0.0
        if self._output.as_json:
            names = ("found", "failed", "skipped") if dry else (*STATUSES, "skipped")
            counts = {name: self.counts[name] for name in names}
            self._output.json_line({"summary": {**counts, "seconds": round(seconds, 3)}})
        elif dry:
            found, failed = self.counts["found"], self.counts["failed"]
            self._output.line(
                f"{found} documents would be sent, {failed} failed, {self.counts['skipped']} skipped"
            )
        else:
            counted = ", ".join(f"{self.counts[status]} {status}" for status in STATUSES)
            skipped = f", {self.counts['skipped']} skipped" if self.counts["skipped"] else ""
            self._output.line(
                f"{self.documents} documents in {seconds:.1f} s ({rate:.0f}/s): {counted}{skipped}"
            )


def ingest(
    paths: Annotated[list[str], typer.Argument(help="Files, folders and globs.", metavar="PATHS...")],
    *,
    collection: CollectionName = "",
    create: Annotated[
        bool, typer.Option("--create", help="Create the collection if it is not there.")
    ] = False,
    language: Annotated[str, typer.Option(help="With --create: its language, ISO 639-1.")] = "",
    prefix: Annotated[str, typer.Option(help="Put this in front of every document's id.")] = "",
    root: Annotated[
        Path, typer.Option(help="Ids are paths relative to this folder.", show_default="the current folder")
    ] = Path(),
    batch: Annotated[
        int, typer.Option(min=1, help="Documents in one message.")
    ] = IngestPolicy().batch_documents,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read everything, send nothing.")] = False,
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Store files as documents, replacing those that changed.

    Markdown is split at its headings, HTML is read as Markdown, each line of .jsonl and .jsonl.gz is a
    document {doc_id, text, title, metadata}. Anything else that is text is taken as it is; what is not is
    named and passed over, hidden files silently. A document's id is the file's path, relative to --root
    where it lies below it.
    """
    if create and not collection:
        raise typer.BadParameter("--create needs a --collection")
    if language and not create:
        raise typer.BadParameter("--language is for --create")
    output = Output(as_json=json)
    tally = Tally(output)
    try:
        files = list(find(paths, root))
    except NothingThereError as error:
        raise typer.BadParameter(str(error)) from None
    reader = Reader(tally.unread, prefix=prefix)
    if dry_run:
        _show(output, reader.documents(files), tally)
    else:
        with connect(server, timeout) as client:
            if create:
                client.create_collection(collection, language=language)
            policy = IngestPolicy(batch_documents=batch)
            results = client.ingest_stream(reader.documents(files), collection=collection, policy=policy)
            try:
                _follow(output, results, tally, reader, sum(file.size for file in files))
            except (KeyboardInterrupt, RagClientError):
                tally.summary(dry=False)  # what is in is in
                raise
    tally.summary(dry=dry_run)
    if tally.counts["failed"]:
        raise typer.Exit(ExitCode.SOME_FAILED)


def _show(output: Output, documents: Iterable[Document], tally: Tally) -> None:
    """Name the documents that would be sent."""
    for document in documents:
        tally.counts["found"] += 1
        facts = {"doc_id": document.doc_id, "title": document.title, "characters": len(document.text)}
        if output.as_json:
            output.json_line(facts)
        else:
            output.line("{doc_id}  {characters} characters  {title}".format(**facts))


def _follow(output: Output, results: Iterator[IngestResult], tally: Tally, reader: Reader, size: int) -> None:
    """Take the results as they come, under a progress bar where somebody looks."""
    if not output.errors.is_terminal:
        for result in results:
            tally.result(result)
        return
    progress = Progress(
        TextColumn("{task.fields[documents]} documents"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%  {task.fields[rate]:.0f}/s"),
        TimeElapsedColumn(),
        console=output.errors,
        transient=True,
    )
    begin = time.monotonic()
    with progress:
        task = progress.add_task("", total=size, documents=0, rate=0.0)
        for result in results:
            tally.result(result)
            rate = tally.documents / max(time.monotonic() - begin, 0.001)
            progress.update(task, completed=reader.bytes_read, documents=tally.documents, rate=rate)
