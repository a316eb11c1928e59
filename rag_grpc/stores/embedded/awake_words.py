"""How many indexes of words are open at a time, and how many of them have writers.

An open index of tantivy's keeps a thread that reads its list of segments twice a second, though
nobody asked for that; a writer keeps six threads and some megabytes. Opening one takes half a
millisecond, a writer a few. So of a thousand collections those that were used last are open,
and of those that nobody has used for a while few are: their threads were half of what an idle
server took.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from itertools import islice
from time import monotonic
from typing import Final, Protocol

MOST_AWAKE: Final = 32
"""The threads of so many take a three-hundredth of a core. Those that have a writer come on top."""
AWAKE_AT_REST: Final = 4
"""So many stay open though nobody uses them: a server with few collections has no search that must wait."""
IDLE_SECONDS: Final = 30.0
"""After so long without a use an index is one that nobody uses, and after as long without a write its writer
is closed."""
MOST_WRITERS: Final = 8


class Sleeper(Protocol):
    """Something with an index of words: a collection's state. `words_used_at` is by time.monotonic()."""

    words_used_at: float

    def let_words_sleep(self) -> bool:
        """Close the index of words until it is asked for, unless it is at work or has a writer.

        Says whether there is nothing left to close. Must not wait.
        """

    def rest_words(self) -> None:
        """Close a writer that nobody has used for a while."""


class AwakeWords:
    """Closes what was used longest ago where too many are open. Any thread, without a collection's lock."""

    def __init__(self, most: int = MOST_AWAKE) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._used: OrderedDict[Sleeper, None] = OrderedDict()

    def used(self, sleeper: Sleeper) -> None:
        """Note that one is open, and was used just now."""
        with self._lock:
            self._used[sleeper] = None
            self._used.move_to_end(sleeper)
            for each in list(islice(self._used, max(0, len(self._used) - self._most))):
                if each is not sleeper and each.let_words_sleep():
                    del self._used[each]

    def rest(self) -> None:
        """Have writers closed that nobody has used for a while, then indexes."""
        with self._lock:
            awake = sorted(self._used, key=lambda each: each.words_used_at)
        for each in awake:
            each.rest_words()
        since = monotonic() - IDLE_SECONDS
        with self._lock:
            for each in awake[:-AWAKE_AT_REST]:
                if each.words_used_at < since and each.let_words_sleep():
                    self._used.pop(each, None)

    def forget(self, sleeper: Sleeper) -> None:
        """Let go of one whose collection is gone."""
        with self._lock:
            self._used.pop(sleeper, None)


class WriterPlaces:
    """Counts writers that may stay open after a commit. Any thread."""

    def __init__(self, most: int = MOST_WRITERS) -> None:
        self._free = threading.Semaphore(most)

    def take(self) -> bool:
        """Take a place, if one is free."""
        return self._free.acquire(blocking=False)

    def give_back(self) -> None:
        """Give back a place that was taken."""
        self._free.release()
