"""Where to compute: the first GPU, all of them, or the CPU."""
from __future__ import annotations

import mxnet as mx
from mxnet import nd


def _works(ctx: mx.Context) -> bool:
    # A build without CUDA would complain on standard error.
    if not mx.runtime.Features().is_enabled("CUDA"):
        return False
    try:
        nd.zeros((1,), ctx=ctx).wait_to_read()
    except mx.base.MXNetError:
        return False
    return True


def try_gpu() -> mx.Context:
    """Return ``mx.gpu(0)`` if an array can be made there, else ``mx.cpu()``.

    Source: section 5.5 of the book.
    """
    return mx.gpu() if _works(mx.gpu()) else mx.cpu()


def try_all_gpus() -> list[mx.Context]:
    """Return every GPU on which an array can be made, else ``[mx.cpu()]``.

    Source: section 9.1 of the book.
    """
    gpus: list[mx.Context] = []
    while _works(mx.gpu(len(gpus))):
        gpus.append(mx.gpu(len(gpus)))
    return gpus or [mx.cpu()]
