"""The payload of a batch: what goes in comes out, and nothing else is taken for a payload."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lance_fmt import CorruptFileError
from tests.support import logs
from vego.errors import InvalidArgumentError
from vego.wal import Delete, Put
from vego.wal.format import MAX_BATCH_BYTES, BatchType, OperationType
from vego.wal.record import decode, encode


def back(payload: bytes, count: int):
    return decode(payload, count, path="p", base=0)


@given(logs.batches)
def test_round_trip(batch):
    payload = encode(batch)
    assert back(payload, len(batch)) == batch
    assert encode(back(payload, len(batch))) == payload


@given(logs.batches, st.data())
def test_any_truncation_or_wrong_count_is_refused(batch, data):
    payload = encode(batch)
    cut = data.draw(st.integers(0, len(payload) - 1))
    with pytest.raises(CorruptFileError):
        back(payload[:cut], len(batch))
    with pytest.raises(CorruptFileError):
        back(payload + b"x", len(batch))
    for count in (0, 2**32 - 1):
        with pytest.raises(CorruptFileError):
            back(payload, count)


@given(st.binary(max_size=80), st.integers(0, 10))
def test_any_bytes_are_operations_or_refused(payload, count):
    try:
        batch = back(payload, count)
    except CorruptFileError:
        return
    assert encode(batch) == payload


def test_a_delete_with_a_vector_is_refused():
    payload = bytearray(encode([Put("a", b"1234", b"{}")]))
    payload[0] = OperationType.DELETE
    with pytest.raises(CorruptFileError, match="operation type 2"):
        back(bytes(payload), 1)
    payload[0] = 77
    with pytest.raises(CorruptFileError, match="operation type 77"):
        back(bytes(payload), 1)


def test_ids_are_utf8():
    payload = bytearray(encode([Delete("a")]))
    payload[-1] = 0xFF
    with pytest.raises(CorruptFileError, match="UTF-8"):
        back(bytes(payload), 1)
    with pytest.raises(InvalidArgumentError, match="UTF-8"):
        encode([Delete("\ud800")])


def test_limits():
    with pytest.raises(InvalidArgumentError, match="at least one"):
        encode([])
    with pytest.raises(InvalidArgumentError, match="smaller parts"):
        encode([Put("a", bytes(MAX_BATCH_BYTES), b"")])


def test_thousands_of_operations():
    rng = np.random.default_rng(1)
    batch = tuple(Put(f"id-{i}", rng.bytes(64), b'{"i":1}') for i in range(5000))
    assert back(encode(batch), 5000) == batch


def test_ids_on_the_wire_are_forever():
    assert {kind.name: int(kind) for kind in OperationType} == {"PUT": 1, "DELETE": 2}
    assert {kind.name: int(kind) for kind in BatchType} == {"OPERATIONS": 1, "SEAL": 2}
