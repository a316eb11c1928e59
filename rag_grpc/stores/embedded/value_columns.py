"""Values of one type in a row, as small as they can be: the memory that filters take is mostly this.

A text that stands in every document, a language or a folder's name, is kept once and
costs four bytes a document; one that stands in none other, like a document's id, costs
its UTF-8 and twelve bytes, where a Python text takes 50 more than its letters.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from rag_grpc.stores.embedded.kept_parts import PartsIn, PartsOut

KNOWN_TEXTS = 1024
"""Of so many texts it is remembered that they are there; a column of ever new ones is none the larger."""

C = TypeVar("C", bound="Column")
Key = Callable[[Any], Any]


class Column(Protocol):
    """Values by place. `left` and `right` are those of bisect, in a column that is sorted."""

    def __len__(self) -> int: ...

    def append(self, value: Any) -> None:
        """Add one at the end."""

    def holding(self, holds: Callable[[Any], bool]) -> NDArray[np.bool_]:
        """Say of each whether it is so."""

    def left(self, value: Any, key: Key | None) -> int:
        """Return the first place whose value is not below."""

    def right(self, value: Any, key: Key | None) -> int:
        """Return the first place whose value is above."""

    def sorted_with(self, other: Self) -> tuple[Self, NDArray[np.intp]]:
        """Return both in order, and at which place of one behind the other each stood."""

    def chosen(self, places: NDArray[np.bool_]) -> Self:
        """Return those of the places that are true."""

    def write(self, out: PartsOut) -> None:
        """Write all of it."""

    def read(self, parts: PartsIn) -> None:
        """Read it into this one, which is empty."""


class NumberColumn:
    """Numbers of one of array.array's types."""

    __slots__ = ("_numbers",)

    def __init__(self, typecode: str) -> None:
        self._numbers = array(typecode)

    def __len__(self) -> int:
        return len(self._numbers)

    def append(self, value: Any) -> None:
        """See Column."""
        self._numbers.append(value)

    def holding(self, holds: Callable[[Any], bool]) -> NDArray[np.bool_]:
        """See Column."""
        return np.fromiter(map(holds, self._numbers), np.bool_, len(self._numbers))

    def left(self, value: Any, key: Key | None) -> int:
        """See Column."""
        return bisect_left(self._numbers, value, key=key)

    def right(self, value: Any, key: Key | None) -> int:
        """See Column."""
        return bisect_right(self._numbers, value, key=key)

    def sorted_with(self, other: NumberColumn) -> tuple[NumberColumn, NDArray[np.intp]]:
        """See Column."""
        numbers = _of(self._numbers + other._numbers)
        order = np.argsort(numbers, kind="stable")
        return self._with(numbers[order]), order

    def chosen(self, places: NDArray[np.bool_]) -> NumberColumn:
        """See Column."""
        return self._with(_of(self._numbers)[places])

    def _with(self, numbers: NDArray[Any]) -> NumberColumn:
        fresh = NumberColumn(self._numbers.typecode)
        fresh._numbers.frombytes(numbers.tobytes())
        return fresh

    def write(self, out: PartsOut) -> None:
        """See Column."""
        out.numbers(self._numbers)

    def read(self, parts: PartsIn) -> None:
        """See Column."""
        self._numbers = parts.numbers(self._numbers.typecode)


class TextColumn:
    """Texts: the letters of the distinct ones in one piece, and for each place which of them it is.

    One may be there more than once, until the column is sorted.
    """

    __slots__ = ("_codes", "_ends", "_known", "_letters")

    def __init__(self) -> None:
        self._codes = array("I")
        self._ends = array("Q")
        self._letters = bytearray()
        self._known: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._codes)

    def append(self, value: str) -> None:
        """See Column."""
        code = self._known.get(value)
        if code is None:
            code = len(self._ends)
            self._add(value)
            if len(self._known) >= KNOWN_TEXTS:
                self._known.clear()
            self._known[value] = code
        self._codes.append(code)

    def _add(self, value: str) -> None:
        self._letters += value.encode(errors="surrogatepass")
        self._ends.append(len(self._letters))

    def _text(self, code: int) -> str:
        begin = self._ends[code - 1] if code else 0
        return self._letters[begin : self._ends[code]].decode(errors="surrogatepass")

    def _read_as(self, key: Key | None) -> Key:
        return self._text if key is None else lambda code: key(self._text(code))

    def _distinct(self) -> Iterator[str]:
        return map(self._text, range(len(self._ends)))

    def holding(self, holds: Callable[[Any], bool]) -> NDArray[np.bool_]:
        """See Column."""
        verdicts = np.fromiter(map(holds, self._distinct()), np.bool_, len(self._ends))
        return np.asarray(verdicts[_of(self._codes)])

    def left(self, value: str, key: Key | None) -> int:
        """See Column."""
        code = bisect_left(range(len(self._ends)), value, key=self._read_as(key))
        return bisect_left(self._codes, code)

    def right(self, value: str, key: Key | None) -> int:
        """See Column."""
        code = bisect_right(range(len(self._ends)), value, key=self._read_as(key))
        return bisect_left(self._codes, code)

    def sorted_with(self, other: TextColumn) -> tuple[TextColumn, NDArray[np.intp]]:
        """See Column."""
        texts = list(chain(self._distinct(), other._distinct()))
        fresh = TextColumn()
        new_codes = fresh._take_in_order(texts)
        old_codes = np.concatenate([_of(self._codes), _of(other._codes) + np.uint32(len(self._ends))])
        codes = new_codes[old_codes]
        order = np.argsort(codes, kind="stable")
        fresh._codes.frombytes(codes[order].tobytes())
        return fresh, order

    def _take_in_order(self, texts: Sequence[str]) -> NDArray[np.uint32]:
        """Take the distinct ones of these texts in order, and return the code of each.

        Text by text, so that the one step that holds Python up, the sort, is as short as it can be.
        """
        codes = np.empty(len(texts), np.uint32)
        last: str | None = None
        for place in sorted(range(len(texts)), key=texts.__getitem__):
            if texts[place] != last:
                last = texts[place]
                self._add(last)
            codes[place] = len(self._ends) - 1
        return codes

    def chosen(self, places: NDArray[np.bool_]) -> TextColumn:
        """See Column."""
        codes = _of(self._codes)[places]
        used, new_codes = np.unique(codes, return_inverse=True)
        fresh = TextColumn()
        for code in used.tolist():
            fresh._add(self._text(code))
        fresh._codes.frombytes(new_codes.astype(np.uint32).tobytes())
        return fresh

    def write(self, out: PartsOut) -> None:
        """See Column."""
        out.numbers(self._codes)
        out.numbers(self._ends)
        out.raw(bytes(self._letters))

    def read(self, parts: PartsIn) -> None:
        """See Column."""
        self._codes, self._ends = parts.numbers("I"), parts.numbers("Q")
        self._letters = bytearray(parts.raw())


def _of(numbers: array[Any]) -> NDArray[Any]:
    """See an array as numpy's; a copy, since an array cannot grow while it is seen."""
    return np.frombuffer(numbers.tobytes(), np.dtype(numbers.typecode))
