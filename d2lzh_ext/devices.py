"""Where to compute: the first GPU, all of them, or the CPU."""
from __future__ import annotations

import ctypes
import functools
import sys
from typing import NamedTuple

import mxnet as mx
from mxnet import nd

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
