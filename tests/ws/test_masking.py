"""Masking, quick and in pure Python."""

from __future__ import annotations

import os
import sys

import pytest

from reqivo_ws import masking
from reqivo_ws.codec import BINARY, FrameCodec
from reqivo_ws.masking import MaskSource, mask, mask_in_python


def plainly(data: bytes, key: bytes) -> bytes:
    return bytes(octet ^ key[n % 4] for n, octet in enumerate(data))


@pytest.mark.parametrize("length", [*range(71), 1000, 1023, 1024, 1025, 4099])
def test_w28_both_ways_agree_for_every_length(length: int) -> None:
    data, key = os.urandom(length), os.urandom(4)
    assert mask_in_python(data, key) == plainly(data, key)
    assert mask(data, key) == plainly(data, key)


def test_w28_keys_are_fresh_for_every_frame() -> None:
    codec = FrameCodec()
    keys = [codec.encode(BINARY, b"x")[0][2:6] for _ in range(4000)]
    assert len(set(keys)) > 3990
    ones = sum(bin(int.from_bytes(key, "big")).count("1") for key in keys)
    assert abs(ones - 4000 * 16) < 2000  # 11 standard deviations


def test_keys_come_in_batches_without_overlap() -> None:
    source = MaskSource()
    assert len({source.key() for _ in range(MaskSource.BATCH)}) > MaskSource.BATCH - 3


def test_without_the_accelerator_python_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "websockets.speedups", None)
    assert masking._load() is mask_in_python
