"""What became of the documents of an ingest: counted, told as it happens, and summed up."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rag_client.cli.files import Unread
    from rag_client.cli.output import Output
    from rag_client.models import IngestResult

STATUSES = ("created", "replaced", "unchanged", "failed")
MOST_NAMED = 1000
"""Failures that the summary names; all of them are counted."""
MOST_SHOWN = 20
"""Failures that it names to people, who have seen them go by."""


class Tally:
    """Counts. `deleting` says that documents may be deleted, and `dry` that nothing is really done."""

    def __init__(self, output: Output, *, deleting: bool = False, dry: bool = False) -> None:
        self._output = output
        self._deleting = deleting
        self._dry = dry
        self._begin = time.monotonic()
        self._failures: list[dict[str, str]] = []
        self.counts: Counter[str] = Counter()

    def unread(self, unread: Unread) -> None:
        """Count what was passed over or could not be read."""
        self.counts[unread.kind] += 1
        if unread.kind == "failed":
            self._failed(unread.name, unread.why)
        self._output.warn(f"{unread.kind} {unread.name}: {unread.why}")

    def result(self, result: IngestResult) -> None:
        """Count what the server said of a document, or would say."""
        self.counts[result.status] += 1
        if result.error is not None:
            self._failed(result.doc_id, str(result.error))
            self._output.warn(f"failed {result.doc_id}: {result.error}", style="red")
        if self._output.as_json:
            self._output.json_line(result)
        elif self._dry:
            self._output.line(f"{result.status}  {result.doc_id}")

    def would_send(self, facts: dict[str, Any]) -> None:
        """Count a document of a dry run that does not ask the server."""
        self.counts["found"] += 1
        if self._output.as_json:
            self._output.json_line(facts)
        else:
            self._output.line("{doc_id}  {characters} characters  {title}".format(**facts))

    @property
    def documents(self) -> int:
        """Documents that went to the server."""
        return sum(self.counts[status] for status in STATUSES)

    def summary(self) -> None:
        """Print the names of what failed, and last the counts; as JSON, one line with nothing but them."""
        if self._output.as_json:
            self._as_json()
            return
        for failure in self._failures[:MOST_SHOWN]:
            self._output.line(f"failed: {failure['name']}")
        if (more := self.counts["failed"] - MOST_SHOWN) > 0:
            self._output.line(f"failed: {more} more")
        self._output.line(self._line())

    def _as_json(self) -> None:
        counted = ("found", "failed") if self._only_found else (*STATUSES, "deleted")
        counts: dict[str, Any] = {name: self.counts[name] for name in (*counted, "skipped")}
        seconds = round(time.monotonic() - self._begin, 3)
        summary = {**counts, "seconds": seconds, "dry_run": self._dry, "failures": self._failures}
        self._output.json_line({"summary": summary})

    def _line(self) -> str:
        counts = self.counts
        if self._only_found:
            rest = f"{counts['failed']} failed, {counts['skipped']} skipped"
            return f"{counts['found']} documents would be sent, {rest}"
        seconds = time.monotonic() - self._begin
        rate = self.documents / seconds if seconds else 0.0
        names = [
            *STATUSES,
            *(["deleted"] if self._deleting else []),
            *(["skipped"] if counts["skipped"] else []),
        ]
        counted = ", ".join(f"{counts[name]} {name}" for name in names)
        if self._dry:
            return f"{self.documents} documents, nothing sent: {counted}"
        return f"{self.documents} documents in {seconds:.1f} s ({rate:.0f}/s): {counted}"

    @property
    def _only_found(self) -> bool:
        return self._dry and not self._deleting

    def _failed(self, name: str, why: str) -> None:
        if len(self._failures) < MOST_NAMED:
            # The names of files may hold what no output can.
            self._failures.append({"name": name.encode("utf-8", "replace").decode(), "why": why})
