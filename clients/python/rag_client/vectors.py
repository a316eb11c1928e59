"""Vectors on their way to the wire and back, without numpy.

The contract's `packed` form is little-endian float32. Whatever offers the buffer protocol (a numpy array, an
`array.array`, a memoryview) is read through it, and what comes back is an `array.array("f")`, which
`numpy.asarray` takes without copying. So callers with numpy pay nothing, and callers without need nothing.
"""

from __future__ import annotations

import sys
from array import array
from typing import Any, TypeAlias

from ragapi.v1 import types_pb2

VectorLike: TypeAlias = Any
"""A one-dimensional buffer of numbers, or an iterable of floats. No narrower type holds for both numpy arrays
and lists without importing numpy."""

FLOAT32 = 4
"""Bytes of one number on the wire."""


def pack(vector: VectorLike) -> bytes:
    """Return the numbers of `vector` as little-endian float32, four bytes each.

    Raises TypeError for what is no vector, and ValueError for an array that has not exactly one dimension.
    """
    if isinstance(vector, str | bytes | bytearray):
        # bytes could be packed numbers or a list of small integers: guessing wrong would search for nonsense.
        message = "a vector is an array or a sequence of numbers, not a string; for packed float32 bytes"
        raise TypeError(f'{message} pass memoryview(data).cast("f")')
    numbers = _float32(vector)
    if sys.byteorder == "big":
        numbers = array("f", numbers)
        numbers.byteswap()
    return numbers.tobytes()


def unpack(vector: types_pb2.Vector) -> array[float] | None:
    """Return the numbers of a message as `array("f")`, or None where it has none."""
    numbers = array("f")
    if vector.packed:
        if len(vector.packed) % FLOAT32:
            raise ValueError(f"{len(vector.packed)} bytes are no whole number of float32 values")
        numbers.frombytes(vector.packed)
        if sys.byteorder == "big":
            numbers.byteswap()
    elif vector.values:
        numbers.extend(vector.values)
    else:
        return None
    return numbers


def _float32(vector: VectorLike) -> array[float] | memoryview[Any]:
    """See the numbers as native float32, without a copy where they are that already."""
    try:
        view = memoryview(vector)
    except TypeError:
        return array("f", vector)
    if view.ndim != 1:
        raise ValueError(f"a vector has one dimension, this array has {view.ndim}")
    if view.format == "f":
        return view
    # Iterating the object, not the view: a memoryview cannot read float16 or a foreign byte order.
    return array("f", vector)
