"""Progress under an evaluation, where somebody looks: on stderr, so that results can be piped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from types import TracebackType

    from rag_client.cli.output import Output


class Counted:
    """A bar that counts, of `total` where that is known."""

    def __init__(self, output: Output, what: str, total: int | None = None) -> None:
        columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(
            *columns, console=output.errors, transient=True, disable=not output.errors.is_terminal
        )
        self._task = self._progress.add_task("", total=total)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def set(self, done: int) -> None:
        """Say how many are done."""
        self._progress.update(self._task, completed=done)
