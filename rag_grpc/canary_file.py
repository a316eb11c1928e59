"""The file of the canary's questions: read at the start, and again at each run.

Whoever keeps it edits it while the server runs, or has a config map swapped under it. A
version that is wrong is refused and the one before stays, so that a slip of the pen does
not end the measuring; how that is told is the canary's.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from rag_grpc.core.golden_set import GoldenSetFault, Question, parse
from rag_grpc.environment import SettingsFault
from rag_grpc.settings import Settings

MAX_BYTES = 64 * 1024 * 1024
"""Ten thousand questions have some megabytes; a file of this size is another one than was meant."""


class CanaryFile:
    """A golden set in a file. `questions` are those of the last version that was right."""

    def __init__(self, path: Path) -> None:
        self.questions: tuple[Question, ...] = ()
        self._path = path
        self._known = b""

    async def refresh(self) -> None:
        """Read it again, in a thread. Raises GoldenSetFault, and keeps what it had."""
        await asyncio.to_thread(self.read)

    def read(self) -> None:
        """Read it now. Blocks. Raises GoldenSetFault."""
        try:
            with self._path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
            if content == self._known:
                return
            if len(content) > MAX_BYTES:
                raise GoldenSetFault([f"has more than {MAX_BYTES} bytes"])
            self.questions = parse(content.decode("utf-8-sig"))
        except OSError as error:
            raise GoldenSetFault([f"{str(self._path)!r} cannot be read: {error.strerror}"]) from error
        except UnicodeDecodeError as error:
            raise GoldenSetFault([f"is no UTF-8 at byte {error.start}"]) from error
        self._known = content


def canary_file(settings: Settings) -> CanaryFile | None:
    """Read the file that the settings name; None where they name none. Raises SettingsFault."""
    if settings.canary_file is None:
        return None
    file = CanaryFile(settings.canary_file)
    try:
        file.read()
    except GoldenSetFault as fault:
        raise SettingsFault([f"RAG_CANARY_FILE: {each}" for each in fault.faults]) from fault
    return file
