"""Load parameters from a file that need not be trusted.

Gluon's own `load_parameters` stops half-way where a file does not fit, and
MXNet's reader can take the whole process down with a damaged one. Here the
file is read by Python, all of it is compared with the network, and only then
is anything changed.
"""
from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
from mxnet import gluon, nd

_FILE_MAGIC, _ARRAY_MAGICS = 0x112, (0xF993FAC9, 0xF993FACA)
_DENSE = 0  # storage type
_TYPES = ("float32", "float64", "float16", "uint8", "int32", "int8", "int64")


class ParameterError(ValueError):
    """A file holds no parameters, or not those of this network."""


class _Reader:
    """Goes through the bytes of a file, and never past their end."""

    def __init__(self, content: bytes) -> None:
        self.content, self.place = content, 0

    def take(self, size: int) -> bytes:
        if size < 0 or size > len(self.content) - self.place:
            raise ParameterError(f"ends after {len(self.content)} bytes")
        self.place += size
        return self.content[self.place - size:self.place]

    def numbers(self, form: str) -> tuple[int, ...]:
        return struct.unpack("<" + form, self.take(struct.calcsize(
            "<" + form)))

    def count(self) -> int:
        """How many items follow, of which each has 8 bytes at least."""
        (count,) = self.numbers("Q")
        if count > len(self.content) // 8:
            raise ParameterError(f"announces {count} items")
        return count


def _array(reader: _Reader) -> np.ndarray[Any, Any]:
    magic, storage, dimensions = reader.numbers("Iii")
    if magic not in _ARRAY_MAGICS or storage != _DENSE:
        raise ParameterError("holds something other than dense arrays")
    if not 1 <= dimensions <= 32:
        raise ParameterError(f"holds an array of {dimensions} dimensions")
    shape = reader.numbers(f"{dimensions}q")
    _, _, kind = reader.numbers("iii")  # after the device it was on
    if (min(shape) < 0 or max(shape) > len(reader.content)
            or not 0 <= kind < len(_TYPES)):
        raise ParameterError(f"holds an array of shape {shape}, type {kind}")
    dtype = np.dtype(_TYPES[kind])
    values = reader.take(math.prod(shape) * dtype.itemsize)
    return np.frombuffer(values, dtype).reshape(shape)


def read_parameters(path: str | os.PathLike[str]
                    ) -> dict[str, np.ndarray[Any, Any]]:
    """Arrays by name, of a file that `net.save_parameters` wrote.

    Raises:
        ParameterError: It is no such file, or is damaged; with what is
            wrong.
        OSError: It cannot be opened.
    """
    reader = _Reader(Path(path).read_bytes())
    try:
        if reader.numbers("QQ")[0] != _FILE_MAGIC:
            raise ParameterError("is no file of MXNet's arrays")
        arrays = [_array(reader) for _ in range(reader.count())]
        names = [reader.take(reader.numbers("Q")[0]).decode()
                 for _ in range(reader.count())]
        if reader.place != len(reader.content):
            raise ParameterError("goes on after its last name")
        if len(set(names)) != len(arrays) or len(names) != len(arrays):
            raise ParameterError(f"has {len(arrays)} arrays and "
                                 f"{len(set(names))} names")
    except UnicodeDecodeError:
        raise ParameterError(
            f"{os.fspath(path)} has a name that is no text.") from None
    except ParameterError as error:
        raise ParameterError(f"{os.fspath(path)} {error}.") from None
    return dict(zip(names, arrays))


def named_parameters(net: gluon.Block) -> Iterator[tuple[str, Any]]:
    """Parameters by their place in the network, not by running numbers."""
    return iter(net._collect_params_with_prefix().items())


def misfit(net: gluon.Block, saved: dict[str, Any]) -> str | None:
    """The first difference between a file's arrays and a network's."""
    own = dict(named_parameters(net))
    # A parameter that several layers share may be saved under one name.
    there = {id(own[name]) for name in saved if name in own}
    for name in sorted(saved.keys() ^ own.keys()):
        if name in saved:
            return f"only the file has {name}"
        if id(own[name]) not in there:
            return f"only this network has {name}"
    for name, array in saved.items():
        shape, dtype = own[name].shape or (), np.dtype(own[name].dtype)
        # Sizes that the network does not know yet are 0 or -1.
        if len(shape) and (len(shape) != array.ndim or any(
                size > 0 and size != found
                for size, found in zip(shape, array.shape))):
            return f"{name} has the shape {array.shape} in it, here {shape}"
        if dtype != array.dtype:
            return f"{name} is {array.dtype} in it, here {dtype}"
    return None


def set_parameters(net: gluon.Block, arrays: dict[str, Any],
                   ctx: mx.Context | None = None) -> None:
    """Give every parameter of `net` its array, which has to fit."""
    own = dict(named_parameters(net))
    for name, values in arrays.items():
        # Sets the shape as well, where the first batch was to settle it.
        own[name]._load_init(nd.array(values, dtype=values.dtype), ctx)


def load_parameters(net: gluon.Block, path: str | os.PathLike[str],
                    ctx: mx.Context | None = None) -> None:
    """Load what `net.save_parameters` saved: all of it, or nothing.

    Args:
        net: A network of the same structure, initialised or not.
        path: The file; it may come from a stranger.
        ctx: Where the parameters go; where they are, or the CPU, for None.

    Raises:
        ParameterError: The file is damaged, or of another network; the
            message says what differs, and `net` is as it was.
        OSError: The file cannot be opened.
    """
    arrays = read_parameters(path)
    difference = misfit(net, arrays)
    if difference:
        raise ParameterError(f"{os.fspath(path)} is of another network: "
                             f"{difference}.")
    if ctx is None and not any(
            parameter._data or parameter._deferred_init
            for _, parameter in named_parameters(net)):
        ctx = mx.cpu()  # not initialised
    set_parameters(net, arrays, ctx)
