"""Where to compute: the first GPU, all of them, or the CPU."""
from __future__ import annotations

import functools
import sys
from pathlib import Path

import mxnet as mx
from mxnet import nd


def _error(ctx: mx.Context) -> str | None:
    """Why no array can be made there, in one line; None if it can."""
    # A build without CUDA would complain on standard error.
    if not mx.runtime.Features().is_enabled("CUDA"):
        return ("this MXNet is built without CUDA; docs/gpu.md of the course "
                "names the wheels for GPUs")
    try:
        nd.zeros((1,), ctx=ctx).wait_to_read()
    except mx.base.MXNetError as error:
        return str(error).strip().splitlines()[-1]
    return None


def _is_there() -> bool:
    """Whether the machine has a GPU of NVIDIA's, with its driver."""
    return any(Path("/dev").glob("nvidia[0-9]*"))


def why_no_gpu() -> str | None:
    """Why a GPU that is there cannot be used; None if it can, or is not."""
    return _error(mx.gpu()) if _is_there() else None


@functools.cache
def _tell() -> None:
    reason = why_no_gpu()
    if reason:
        print(f"There is a GPU, but MXNet cannot use it: {reason}.",
              file=sys.stderr)


def try_gpu() -> mx.Context:
    """Return ``mx.gpu(0)`` if an array can be made there, else ``mx.cpu()``.

    Where there is a GPU that MXNet cannot use, the first call says why, in
    one line on standard error.

    Source: section 5.5 of the book.
    """
    if _error(mx.gpu()) is None:
        return mx.gpu()
    _tell()
    return mx.cpu()


def try_all_gpus() -> list[mx.Context]:
    """Return every GPU on which an array can be made, else ``[mx.cpu()]``.

    Source: section 9.1 of the book.
    """
    gpus: list[mx.Context] = []
    while _error(mx.gpu(len(gpus))) is None:
        gpus.append(mx.gpu(len(gpus)))
    return gpus or [mx.cpu()]
