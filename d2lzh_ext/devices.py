"""Where to compute, with which settings, and from which random numbers."""
from __future__ import annotations

import ctypes
import functools
import os
import random
import sys
from types import SimpleNamespace
from typing import Any, NamedTuple

import mxnet as mx
import numpy as np
from mxnet import nd

PROFILES = ("book", "quick")

# The wheels of MXNet 1.9.1 hold machine code up to compute capability 8.6,
# which runs up to 8.9, and nothing that the driver could translate.
TOO_NEW = (9, 0)


class GPU(NamedTuple):
    """A GPU of NVIDIA's; its place is the number of its context."""

    place: int
    name: str
    capability: tuple[int, int]


def gpus() -> list[GPU]:
    """The GPUs that NVIDIA's driver names; none without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")  # in WSL 2, too
    except OSError:
        return []
    number, device = ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(256)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(number)):
        return []
    found = []
    for place in range(number.value):
        driver.cuDeviceGet(ctypes.byref(device), place)
        driver.cuDeviceGetName(name, len(name), device)
        driver.cuDeviceGetAttribute(ctypes.byref(number), 75, device)
        major = number.value
        driver.cuDeviceGetAttribute(ctypes.byref(number), 76, device)
        found.append(GPU(place, name.value.decode(), (major, number.value)))
    return found


def why_not(gpu: GPU) -> str | None:
    """Why MXNet cannot use it, in one line; None if it can."""
    # Without a kernel for it an array may be made, but nothing computed.
    if gpu.capability >= TOO_NEW:
        return ("no wheel of MXNet 1.9.1 has code for {} (compute capability "
                "{}.{}); the CPU is used".format(gpu.name, *gpu.capability))
    # A build without CUDA would complain on standard error.
    if not mx.runtime.Features().is_enabled("CUDA"):
        return ("this MXNet is built without CUDA; docs/gpu.md of the course "
                "names the wheels for GPUs")
    try:
        nd.zeros((1,), ctx=mx.gpu(gpu.place)).wait_to_read()
    except mx.base.MXNetError as error:
        return str(error).strip().splitlines()[-1]
    return None


@functools.cache
def _tell(reason: str) -> None:
    print(f"There is a GPU, but MXNet cannot use it: {reason}.",
          file=sys.stderr)


def try_gpu() -> mx.Context:
    """Return ``mx.gpu(0)`` if MXNet can compute there, else ``mx.cpu()``.

    Where there is a GPU that MXNet cannot use, the first call says why, in
    one line on standard error.

    Source: section 5.5 of the book.
    """
    for gpu in gpus()[:1]:
        reason = why_not(gpu)
        if reason is None:
            return mx.gpu()
        _tell(reason)
    return mx.cpu()


def try_all_gpus() -> list[mx.Context]:
    """Return every GPU on which MXNet can compute, else ``[mx.cpu()]``.

    Source: section 9.1 of the book.
    """
    usable = [mx.gpu(gpu.place) for gpu in gpus() if why_not(gpu) is None]
    return usable or [mx.cpu()]


def settings(*, book: dict[str, Any], quick: dict[str, Any]
             ) -> SimpleNamespace:
    """Choose between the book's numbers and quick ones, by the hardware.

    Args:
        book: The book's settings; chosen where MXNet sees a GPU.
        quick: Settings under the same names that two CPU cores can bear;
            chosen elsewhere.

    Returns:
        The chosen settings as attributes, and their name as ``profile``.
        The environment variable ``D2LZH_PROFILE`` overrides the choice.

    Raises:
        ValueError: The two do not name the same settings, or
            ``D2LZH_PROFILE`` is neither ``book`` nor ``quick``.
    """
    if book.keys() != quick.keys():
        raise ValueError(
            "book and quick must name the same settings; only one has "
            f"{sorted(book.keys() ^ quick.keys())}.")
    on_gpu = try_gpu().device_type == "gpu"
    profile = os.environ.get("D2LZH_PROFILE") or (
        "book" if on_gpu else "quick")
    if profile not in PROFILES:
        raise ValueError(f"D2LZH_PROFILE is {profile!r}; it must be one of "
                         f"{', '.join(PROFILES)}.")
    chosen = book if profile == "book" else quick
    return SimpleNamespace(profile=profile, **chosen)


def seed(n: int) -> None:
    """Start every random generator a chapter draws from at `n`.

    Python's `random`, NumPy's global generator (which shuffles the training
    images) and MXNet's (which initialises the parameters and draws dropout).
    A run then repeats digit for digit on one machine.
    """
    random.seed(n)
    np.random.seed(n)
    mx.random.seed(n)
