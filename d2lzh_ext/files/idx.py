"""Read the IDX format, in which MNIST and its successors are published.

A file begins with two zero bytes, a byte for the type of its items and one
for the number of dimensions; each dimension follows as a big-endian 32-bit
number, then the items in C order. Source: Y. LeCun, C. Cortes and
C. Burges, *The MNIST database of handwritten digits*.
"""
from __future__ import annotations

import gzip
import hashlib
import math
import os
import struct
import zlib
from typing import IO, Any, Union

import numpy as np
import numpy.typing as npt

PathLike = Union[str, "os.PathLike[str]"]
Bytes = npt.NDArray[np.uint8]

_UINT8 = 0x08  # the type byte of the only item type that data sets here use
_MOST_DIMENSIONS = 32  # what every NumPy can hold
_CHUNK = 1 << 20


class DataError(ValueError):
    """A data file is missing, damaged, or not what its name says."""


def _header(stream: IO[bytes]) -> tuple[bytes, tuple[int, ...]]:
    """The bytes of the header and the shape it promises."""
    magic = stream.read(4)
    if not magic:
        raise DataError("the file is empty")
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise DataError(f"neither gzip nor IDX: it begins with {magic!r}")
    if magic[2] != _UINT8:
        raise DataError(f"the items have type 0x{magic[2]:02x}, expected "
                        "0x08 (unsigned bytes)")
    if not 1 <= magic[3] <= _MOST_DIMENSIONS:
        raise DataError(f"the header announces {magic[3]} dimensions")
    sizes = stream.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise DataError(f"the header ends after {4 + len(sizes)} bytes, "
                        f"expected {4 + 4 * magic[3]}")
    shape = struct.unpack(f">{magic[3]}I", sizes)
    if 0 in shape:
        raise DataError(f"the header promises no items: shape {shape}")
    return magic + sizes, shape


def _read(stream: IO[bytes]) -> tuple[Bytes, str]:
    header, shape = _header(stream)
    promised = math.prod(shape)
    # Piece by piece, and no further than promised: neither a header that
    # lies nor a stream that never ends decides how much memory is taken.
    content = bytearray(header)
    total = len(header) + promised
    while len(content) <= total and (chunk := stream.read(_CHUNK)):
        content += chunk
    if len(content) != total:
        found = ("more" if len(content) > total
                 else f"only {len(content) - len(header)}")
        raise DataError(f"the header promises {promised} bytes, shape "
                        f"{shape}; there are {found}")
    array = np.frombuffer(content, np.uint8, offset=len(header))
    return array.reshape(shape), hashlib.sha256(content).hexdigest()


def read_idx_sha256(path: PathLike) -> tuple[Bytes, str]:
    """`read_idx`, and the SHA-256 of the uncompressed file in hexadecimal.

    Raises:
        DataError: as `read_idx`.
    """
    problem: Any
    try:
        with open(path, "rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if not packed:
                return _read(raw)
            with gzip.GzipFile(fileobj=raw) as unpacked:
                return _read(unpacked)  # type: ignore[arg-type]
    except DataError as error:
        problem = error
    except EOFError:
        problem = "the gzip stream is cut short"
    except (gzip.BadGzipFile, zlib.error) as error:
        problem = f"the gzip stream is damaged ({error})"
    except OSError as error:
        problem = error.strerror or error
    except MemoryError:
        problem = "the content does not fit into memory"
    raise DataError(f"{os.fspath(path)}: {problem}")


def read_idx(path: PathLike) -> Bytes:
    """Read an IDX file of unsigned bytes, gzip-compressed or plain.

    Args:
        path: the file; its name does not matter, only its content does.

    Returns:
        A writable uint8 array of the shape in the file's header: (60000,
        28, 28) for the training images of Fashion-MNIST.

    Raises:
        DataError: the file is missing or is not such a file, down to the
            last byte. The message names the file and what is wrong.
    """
    return read_idx_sha256(path)[0]
