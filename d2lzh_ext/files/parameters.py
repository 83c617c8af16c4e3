"""Load parameters from a file that need not be trusted.

Gluon's own `load_parameters` stops half-way where a file does not fit, and
MXNet's reader can take the whole process down with a damaged one. Here the
file is read by Python, all of it is compared with the network, and only then
is anything changed.
"""
from __future__ import annotations

import math
import os
import re
import struct
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
from mxnet import gluon, nd

from d2lzh_compat.arrays import check_arrays

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
    first: dict[int, str] = {}
    for name, array in saved.items():
        other = first.setdefault(id(own[name]), name)
        if other != name and array.tobytes() != saved[other].tobytes():
            return f"{other} and {name} differ in it, and are shared here"
    return None


def _pairs(saved: Iterable[str], own: Iterable[str]) -> dict[str, str]:
    """Names of a file by those of a network whose layers count otherwise.

    Layers of a kind are numbered as they are made, so that the numbers of
    another network of the same code are shifted, each kind's by one step.
    """
    def parts(name: str) -> list[Any]:
        return [int(part) if i % 2 else part
                for i, part in enumerate(re.split(r"(\d+)", name))]

    pairs, steps = {}, dict[Any, int]()
    for theirs, ours in zip_longest(sorted(saved, key=parts),
                                    sorted(own, key=parts)):
        there, here = parts(theirs or ""), parts(ours or "")
        if there[::2] != here[::2] or any(
                steps.setdefault(tuple(here[:i:2]), here[i] - there[i])
                != here[i] - there[i] for i in range(1, len(here), 2)):
            raise ParameterError(f"it has {theirs or 'nothing'} where this "
                                 f"network has {ours or 'nothing'}")
        pairs[ours] = theirs
    return pairs


def _by_place(net: gluon.Block, arrays: dict[str, Any]) -> dict[str, Any]:
    """Arrays of a file by place, where it has MXNet's names of parameters.

    Such are written by `net.export` and `net.collect_params().save`.
    """
    exported = all(name.startswith(("arg:", "aux:")) for name in arrays)
    names = {name[4:] if exported else name: name for name in arrays}
    own = dict(named_parameters(net))
    if len(names) < len(arrays):
        raise ParameterError("it has one name both as arg: and as aux:")
    if names.keys() & own.keys() or (
            not exported and any("." in name for name in names)):
        return {name: arrays[names[name]] for name in names}
    places = {parameter.name: place for place, parameter in own.items()}
    for prefix in ("", net.prefix):  # which `save` may have stripped
        if {prefix + name for name in names} == places.keys():
            return {places[prefix + name]: arrays[names[name]]
                    for name in names}
    return {places[ours]: arrays[names[theirs]]
            for ours, theirs in _pairs(names, places).items()}


def set_parameters(net: gluon.Block, arrays: dict[str, Any],
                   ctx: mx.Context | list[mx.Context] | None = None
                   ) -> None:
    """Give every parameter of `net` its array, which has to fit."""
    own = dict(named_parameters(net))
    for name, values in arrays.items():
        # Sets the shape as well, where the first batch was to settle it.
        own[name]._load_init(nd.array(values, dtype=values.dtype), ctx)


def load_parameters(net: gluon.Block, path: str | os.PathLike[str],
                    ctx: mx.Context | list[mx.Context] | None = None
                    ) -> None:
    """Load a network's parameters: all of them, or nothing.

    The file is one that `net.save_parameters`, `net.export` or
    `net.collect_params().save` wrote. The latter two keep MXNet's names,
    with numbers that count the layers of a process: another network of the
    same code may count from elsewhere.

    Args:
        net: A network of the same structure, initialised or not.
        path: The file; it may come from a stranger.
        ctx: Where the parameters go, one device or a list; where they are,
            or the CPU, for None.

    Raises:
        ParameterError: The file is damaged, or of another network, or the
            network is elsewhere than on `ctx`; the message says what
            differs, and `net` is as it was.
        OSError: The file cannot be opened.
        RuntimeError: ``mx.npx.set_np()`` is on.
    """
    check_arrays()
    arrays = read_parameters(path)
    try:
        arrays = _by_place(net, arrays)
        difference = misfit(net, arrays)
    except ParameterError as error:
        difference = str(error)
    if difference:
        raise ParameterError(f"{os.fspath(path)} is of another network: "
                             f"{difference}.")
    initialised = [parameter for _, parameter in named_parameters(net)
                   if parameter._data or parameter._deferred_init]
    if ctx is None and not initialised:
        ctx = mx.cpu()
    devices = [ctx] if isinstance(ctx, mx.Context) else ctx
    for parameter in initialised:
        if devices and set(parameter.list_ctx()) != set(devices):
            raise ParameterError(
                f"{parameter.name} is on {parameter.list_ctx()}, not on "
                f"{devices}: net.collect_params().reset_ctx moves a network.")
    set_parameters(net, arrays, ctx)
