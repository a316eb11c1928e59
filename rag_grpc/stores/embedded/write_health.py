"""Whether documents can be written, put together from those who find out.

A full disk and a database that fails are found in different places and end at
different times: the store can write again when none of them has a complaint.
"""

from __future__ import annotations

from collections.abc import Callable


class WriteHealth:
    """Keeps each one's complaint. Writer thread."""

    def __init__(self, changed: Callable[[str], None]) -> None:
        """`changed` is told the reason when it changes, empty where there is none."""
        self._changed = changed
        self._reasons: dict[str, str] = {}
        self._told = ""

    def tell(self, who: str, reason: str) -> None:
        """Take a complaint, or with an empty reason that it is over."""
        self._reasons[who] = reason
        now = next((each for each in self._reasons.values() if each), "")
        if now != self._told:
            self._told = now
            self._changed(now)
