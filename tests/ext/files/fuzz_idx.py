"""Feed the IDX reader with what atheris makes up: nox --session fuzz.

Any crash, hang or error other than DataError ends it with the input. The
reader is loaded by its file, so that MXNet stays out of it.

Usage: python tests/fuzz_idx.py [libFuzzer's options]
"""
from __future__ import annotations

import gzip
import importlib.util
import math
import struct
import sys
import tempfile
from pathlib import Path

import atheris

PATH = Path(__file__).resolve().parents[3] / "d2lzh_ext/files/idx.py"
spec = importlib.util.spec_from_file_location("idx", PATH)
idx = importlib.util.module_from_spec(spec)
with atheris.instrument_imports():
    spec.loader.exec_module(idx)
idx._header = atheris.instrument_func(idx._header)
idx._read = atheris.instrument_func(idx._read)

FOLDER = Path(tempfile.mkdtemp())
FILE = FOLDER / "file"
VALID = b"\0\0\x08\x02" + struct.pack(">2I", 3, 4) + bytes(range(12))


def one_input(data: bytes) -> None:
    FILE.write_bytes(data)
    try:
        array = idx.read_idx(FILE)
    except idx.DataError as error:
        assert str(FILE) in str(error)
        return
    if data[:2] != b"\x1f\x8b":
        assert math.prod(array.shape) == len(data) - 4 - 4 * array.ndim


def main() -> None:
    corpus = FOLDER / "corpus"
    corpus.mkdir()
    (corpus / "plain").write_bytes(VALID)
    (corpus / "gzip").write_bytes(gzip.compress(VALID))
    atheris.Setup([*sys.argv, str(corpus)], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
