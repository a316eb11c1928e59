"""What each character is to whoever takes words from text, the same in every Python.

Python's `unicodedata` grows with Python; the mock embedder's vectors are stored for
years and may not. So the classes come from a table, characters.txt, that is frozen at
one version of Unicode and written by tools/generate_character_classes.py.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

import numpy as np
from numpy.typing import NDArray

SEPARATOR, LETTER, MARK, ALONE, IGNORED, UNASSIGNED = range(6)
_NAMES: Final = {"letter": LETTER, "mark": MARK, "alone": ALONE, "ignored": IGNORED, "unassigned": UNASSIGNED}

Classes = NDArray[np.uint8]


@cache
def character_classes() -> Classes:
    """Class of each code point, shape (0x110000,), from characters.txt, whose head explains the names."""
    table = np.zeros(0x110000, dtype=np.uint8)
    for line in files(__package__).joinpath("characters.txt").read_text("ascii").splitlines():
        if line and not line.startswith("#"):
            first, last, name = line.split()
            table[int(first, 16) : int(last, 16) + 1] = _NAMES[name]
    table.flags.writeable = False
    return table
