"""Writing what an index is made of as one run of bytes, and reading it back in the same order.

Arrays are copied as they lie in memory: a million documents' worth is read in a tenth
of a second, where taking it from the rows anew needs a dozen. Nothing here is
verified: whoever keeps the bytes keeps a checksum with them. They are of this machine's
byte order, and of no use to another release: the keeper notes both.
"""

from __future__ import annotations

import json
from array import array
from typing import Any

from pyroaring import BitMap


class PartsOut:
    """Takes parts, one behind the other."""

    def __init__(self) -> None:
        self._sizes: list[int] = []
        self._parts: list[bytes] = []

    def raw(self, part: bytes) -> None:
        """Take bytes."""
        self._sizes.append(len(part))
        self._parts.append(part)

    def numbers(self, numbers: array[Any]) -> None:
        """Take the numbers of an array, a copy of them."""
        self.raw(numbers.tobytes())

    def rows(self, rows: BitMap) -> None:
        """Take a bitmap."""
        self.raw(rows.serialize())

    def value(self, value: object) -> None:
        """Take what JSON can say."""
        self.raw(json.dumps(value).encode())

    def parts(self) -> list[bytes]:
        """Return all that was taken, to be written one behind the other."""
        sizes = array("Q", self._sizes).tobytes()
        return [len(sizes).to_bytes(8, "little"), sizes, *self._parts]


class PartsIn:
    """Gives the parts back in the order in which they were taken. Raises ValueError where none is left."""

    def __init__(self, written: memoryview) -> None:
        begin = 8 + int.from_bytes(written[:8], "little")
        self._sizes = array("Q", bytes(written[8:begin]))
        self._sizes.reverse()
        self._rest = written[begin:]

    def raw(self) -> memoryview:
        """Give bytes back, not copied."""
        if not self._sizes:
            raise ValueError("there are fewer parts than expected")
        size = self._sizes.pop()
        part, self._rest = self._rest[:size], self._rest[size:]
        if len(part) != size:
            raise ValueError("a part is cut off")
        return part

    def numbers(self, typecode: str) -> array[Any]:
        """Give an array back."""
        numbers = array(typecode)
        numbers.frombytes(self.raw())
        return numbers

    def rows(self) -> BitMap:
        """Give a bitmap back."""
        return BitMap.deserialize(bytes(self.raw()))

    def value(self) -> Any:
        """Give back what JSON said."""
        return json.loads(bytes(self.raw()))
