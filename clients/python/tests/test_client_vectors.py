from __future__ import annotations

import struct
import subprocess
import sys
from array import array

import numpy as np
import pytest

from rag_client.vectors import pack, unpack
from ragapi.v1 import types_pb2

NUMBERS = [0.5, -1.25, 3.0]
WIRE = struct.pack("<3f", *NUMBERS)


@pytest.mark.parametrize(
    "vector",
    [
        NUMBERS,
        tuple(NUMBERS),
        iter(NUMBERS),
        array("f", NUMBERS),
        array("d", NUMBERS),
        memoryview(array("f", NUMBERS)),
        np.array(NUMBERS, dtype=np.float32),
        np.array(NUMBERS, dtype=np.float64),
        np.array(NUMBERS, dtype=np.float16),
        np.array(NUMBERS, dtype=">f4"),
        np.array([[0.5, 9], [-1.25, 9], [3, 9]], dtype=np.float32)[:, 0],
    ],
)
def test_whatever_holds_numbers_is_packed_as_little_endian_float32(vector: object) -> None:
    assert pack(vector) == WIRE


def test_whole_numbers_are_numbers() -> None:
    assert pack(np.array([1, 2], dtype=np.uint8)) == pack([1, 2]) == struct.pack("<2f", 1, 2)


@pytest.mark.parametrize("vector", ["1,2", b"\x00\x00\x80\x3f", 7, ["a"], [None]])
def test_what_is_no_vector_is_refused(vector: object) -> None:
    with pytest.raises(TypeError):
        pack(vector)


@pytest.mark.parametrize("vector", [np.zeros((1, 3), np.float32), np.float32(1)])
def test_a_vector_has_one_dimension(vector: object) -> None:
    with pytest.raises(ValueError, match="one dimension"):
        pack(vector)


def test_both_forms_are_read_and_numpy_takes_them_without_a_copy() -> None:
    for message in (types_pb2.Vector(packed=WIRE), types_pb2.Vector(values=NUMBERS)):
        numbers = unpack(message)
        assert numbers is not None
        assert numbers.tolist() == NUMBERS
        seen = np.asarray(numbers)
        assert seen.dtype == np.float32
        assert np.shares_memory(seen, np.frombuffer(numbers, dtype=np.float32))


def test_no_numbers_are_no_vector() -> None:
    assert unpack(types_pb2.Vector()) is None


def test_a_cut_vector_is_an_error() -> None:
    with pytest.raises(ValueError, match="5 bytes"):
        unpack(types_pb2.Vector(packed=WIRE[:5]))


def test_a_big_endian_machine_writes_and_reads_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag_client.vectors.sys.byteorder", "big")
    swapped = array("f", NUMBERS)
    swapped.byteswap()
    # There, native float32 is big-endian; here, the nearest thing is an array whose bytes are turned round.
    assert pack(swapped) == array("f", NUMBERS).tobytes()
    numbers = unpack(types_pb2.Vector(packed=WIRE))
    assert numbers is not None
    assert numbers.tobytes() == swapped.tobytes()


def test_the_client_imports_neither_numpy_nor_the_server() -> None:
    program = (
        "import sys\n"
        "for name in ('numpy', 'hnswlib', 'rag_grpc', 'typer', 'rich', 'grpc_health', 'grpc_status'):\n"
        "    sys.modules[name] = None\n"  # an import of it now raises ImportError
        "import rag_client\n"
        "from rag_client import cli\n"
        "print(rag_client.RagClient.__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "RagClient\n", "")
