"""The IDX reader: what it reads, and that nothing else passes."""
import gzip
import math
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from d2lzh_ext.files import idx
from d2lzh_ext.files.idx import DataError, read_idx

ITEMS = np.arange(60, dtype=np.uint8).reshape(5, 4, 3)


def pack(array, shape=None, kind=8):
    shape = array.shape if shape is None else shape
    return (struct.pack(f">BBBB{len(shape)}I", 0, 0, kind, len(shape), *shape)
            + array.tobytes())


VALID = pack(ITEMS)
GZIP = gzip.compress(VALID, mtime=0)
GIVEN = settings(deadline=None, max_examples=200, suppress_health_check=[
    HealthCheck.function_scoped_fixture])


@pytest.fixture
def file(tmp_path):
    return tmp_path / "some-file"


@pytest.mark.parametrize("content", [VALID, GZIP], ids=["plain", "gzip"])
def test_reads_what_was_written(file, content):
    file.write_bytes(content)
    for path in (file, str(file)):
        array = read_idx(path)
        assert array.dtype == np.uint8
        np.testing.assert_array_equal(array, ITEMS)
    array[0] = 1  # the caller's own, to change at will


def test_reads_many_pieces(file, monkeypatch):
    monkeypatch.setattr(idx, "_CHUNK", 7)
    file.write_bytes(GZIP)
    np.testing.assert_array_equal(read_idx(file), ITEMS)


BROKEN = {
    "missing": (None, "No such file"),
    "empty": (b"", "empty"),
    "empty gzip": (gzip.compress(b""), "empty"),
    "not gzip": (b"<html>not found</html>", "neither gzip nor IDX"),
    "little endian": (VALID[3::-1] + VALID[4:], "neither gzip nor IDX"),
    "two bytes": (VALID[:2], "neither gzip nor IDX"),
    "floats": (pack(ITEMS, kind=0x0D), "0x0d"),
    "no dimensions": (pack(ITEMS, ()), "0 dimensions"),
    "too many dimensions": (pack(ITEMS, (1,) * 33), "33 dimensions"),
    "short header": (VALID[:11], "ends after 11 bytes, expected 16"),
    "zero dimension": (pack(ITEMS, (0, 2**31)), "no items"),
    "one byte less": (VALID[:-1], "promises 60 .* only 59"),
    "one byte more": (VALID + b"x", "promises 60 .* more"),
    "one byte more, gzip": (gzip.compress(VALID + b"x"), "more"),
    "absurd": (pack(ITEMS, (2**31,) * 3), "only 60"),
    "absurd, gzip": (gzip.compress(pack(ITEMS, (2**32 - 1,) * 32)), "only"),
    "cut gzip": (GZIP[:-9], "cut short"),
    "flipped CRC": (GZIP[:-8] + bytes([GZIP[-8] ^ 1]) + GZIP[-7:], "damaged"),
    "garbage after gzip": (GZIP + b"garbage", "damaged"),
    "unknown method": (GZIP[:2] + b"\x07" + GZIP[3:], "damaged"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_refuses_what_is_broken(file, case):
    content, what = BROKEN[case]
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DataError, match=f"some-file: .*{what}"):
        read_idx(file)


def test_refuses_a_folder(tmp_path):
    with pytest.raises(DataError, match="directory"):
        read_idx(tmp_path)


def test_reports_lack_of_memory(file, monkeypatch):
    def exhausted(stream):
        raise MemoryError
    monkeypatch.setattr(idx, "_read", exhausted)
    file.write_bytes(VALID)
    with pytest.raises(DataError, match="memory"):
        read_idx(file)


def test_reads_no_further_than_promised(file, monkeypatch):
    """64 MiB of zeros behind a header of 60 bytes: one piece is read."""
    monkeypatch.setattr(idx, "_CHUNK", 1000)
    taken = []

    class Endless:
        def read(self, n):
            taken.append(n)
            assert sum(taken) < 5000
            return VALID[:n] if n == 4 else (
                VALID[4:16] if n == 12 else bytes(n))

    with pytest.raises(DataError, match="more"):
        idx._read(Endless())


@GIVEN
@given(st.binary(max_size=200))
def test_random_bytes_give_only_data_errors(file, content):
    for data in (content, b"\0\0\x08" + content, b"\x1f\x8b\x08" + content):
        file.write_bytes(data)
        try:
            array = read_idx(file)
        except DataError:
            continue
        # Chance can write a valid file: then it is all there.
        assert math.prod(array.shape) == len(data) - 4 - 4 * array.ndim


@GIVEN
@given(st.booleans(), st.data())
def test_mutations_give_only_data_errors(file, zipped, draw):
    """A byte changed and a piece cut out of the middle of a valid file."""
    good = bytearray(GZIP if zipped else VALID)
    where = draw.draw(st.integers(0, len(good) - 1))
    good[where] = draw.draw(st.integers(0, 255))
    start = draw.draw(st.integers(0, len(good)))
    del good[start:start + draw.draw(st.integers(0, 8))]
    file.write_bytes(good)
    try:
        array = read_idx(file)
    except DataError:
        return
    assert array.size == 60
    if zipped:  # its CRC lets no other content pass
        np.testing.assert_array_equal(array, ITEMS)
