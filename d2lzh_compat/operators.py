"""Operators of MXNet that fail or are slow on a CPU.

* A slice of a convolution's output could end Python or raise an error,
  depending on the processor; see `_mend_slices`.
* Gradients through max pooling were wrong where predict mode is recorded;
  see `_mend_predict_mode`.
* MXNet's SGD updates four parameters in one call, which on a CPU takes
  longer than four calls for most networks; here it makes four.
"""
from __future__ import annotations

import contextlib
import functools
import sys
import types
from collections.abc import Callable
from typing import Any


def _one_by_one(together: Any, alone: Any) -> Any:
    """An operator that updates several arrays, by one that updates one.

    It gives the same digits, for most networks in less time on a CPU:
    benchmarks/NOTES.md has the figures.
    """
    @functools.wraps(together)
    def update(*arrays: Any, out: Any, num_weights: int, lrs: Any, wds: Any,
               **kwargs: Any) -> None:
        each = len(arrays) // num_weights  # weight, gradient, momentum
        # Without momentum, the two round weight decay in another order.
        if (arrays[0].context.device_type != "cpu"
                or (each == 2 and any(wds))):
            together(*arrays, out=out, num_weights=num_weights, lrs=lrs,
                     wds=wds, **kwargs)
            return
        for i, (weight, lr, wd) in enumerate(zip(out, lrs, wds)):
            alone(*arrays[i * each:(i + 1) * each], out=weight, lr=lr, wd=wd,
                  **kwargs)

    return update


def _bounds(shape: tuple[int, ...], begin: Any, end: Any
            ) -> list[tuple[int, int, int]]:
    """The axes that a slice shortens, each with its begin and end.

    Raises:
        ValueError: the slice is empty, or no slice of that shape.
    """
    cut = []
    for axis, (n, low, high) in enumerate(zip(shape, begin, end)):
        low = 0 if low is None else low + n if low < 0 else low
        high = n if high is None else high + n if high < 0 else min(high, n)
        if not 0 <= low < high:
            raise ValueError("empty")
        if high - low < n:
            cut.append((axis, low, high))
    return cut or [(0, 0, shape[0])]


def _everywhere(prefix: str, name: str, mend: Callable[[Any], Any]) -> None:
    """Mend the functions of that name in the modules of that prefix."""
    mended: dict[Any, Any] = {}
    for module_name, module in list(sys.modules.items()):
        found = vars(module).get(name) if module else None
        if (module_name.startswith(prefix) and isinstance(
                found, types.FunctionType)):
            if found not in mended:
                mended[found] = mend(found)
            setattr(module, name, mended[found])


def _by_slice_axis(mxnet: Any, slice_: Any) -> Any:
    """The operator `slice` without what ends Python; see `_mend_slices`."""
    def array(data: Any, begin: Any, end: Any) -> Any:
        result = data.as_nd_ndarray()
        for axis, low, high in _bounds(data.shape, begin, end):
            result = mxnet.nd.slice_axis(
                result, axis=axis, begin=low, end=high)
        return (result.as_np_ndarray()
                if isinstance(data, mxnet.np.ndarray) else result)

    def symbol(data: Any, begin: Any, end: Any, step: Any, name: Any,
               **kwargs: Any) -> Any:
        # Its shape is not known, so where the slice ends is not known to
        # lie within it, as slice_axis wants. With one axis more it is none
        # that oneDNN takes.
        sym = mxnet.sym
        with mxnet.name.NameManager() as names:
            # The reader's manager names the result, and nothing else.
            name = names._old_manager.get(name, "slice")
            result = sym.expand_dims(
                data.as_nd_ndarray(), axis=-1, name=f"{name}_expanded",
                **kwargs)
            result = mxnet.sym.op.slice.__wrapped__(
                result, begin, end, step, name=f"{name}_cut", **kwargs)
            result = sym.squeeze(result, axis=-1, name=name, **kwargs)
        return (result.as_np_ndarray()
                if isinstance(data, mxnet.sym.np._Symbol) else result)

    @functools.wraps(slice_)
    def mended(data: Any = None, begin: Any = None, end: Any = None,
               step: Any = None, **kwargs: Any) -> Any:
        begin, end, step = (
            (each,) if isinstance(each, int) else each or ()
            for each in (begin, end, step))
        if all(each in (None, 1) for each in step):
            if isinstance(data, mxnet.sym.Symbol) and "out" not in kwargs:
                return symbol(data, begin, end, step, kwargs.pop(
                    "name", None), **kwargs)
            with contextlib.suppress(ValueError):
                if (not kwargs and data.stype == "default"
                        and len(begin) == len(end) <= data.ndim > 2):
                    return array(data, begin, end)
        return slice_(data, begin, end, step, **kwargs)

    return mended


def _mend_slices(mxnet: Any) -> None:
    """Let a slice along channels not end Python.

    The cause is the layout of oneDNN, in which a convolution leaves its
    output in blocks of 8 or 16 channels: a slice that is no block raises
    "could not construct a sub-memory" or divides by zero. `slice_axis` is
    right, and so are arrays with over 4 axes.
    """
    _everywhere("mxnet.", "slice", lambda slice_: _by_slice_axis(
        mxnet, slice_))


def _predicting(mxnet: Any) -> bool:
    """Whether operations are recorded, and in predict mode."""
    autograd = mxnet.autograd
    return bool(autograd.is_recording() and not autograd.is_training())


def _mend_predict_mode(mxnet: Any) -> None:
    """Let gradients be right where predict mode is recorded.

    Two operators of oneDNN note in training mode only what their gradients
    need: max pooling where the maxima are, BatchNormWithReLU where the ReLU
    is active. In predict mode they read what is in memory by chance. A
    compiled graph has one mode for all of its operators, so a hybridized
    block runs them one by one there.
    """
    def noting(pooling: Any) -> Any:
        @functools.wraps(pooling)
        def mended(*args: Any, **kwargs: Any) -> Any:
            with (mxnet.autograd.train_mode() if _predicting(mxnet)
                  else contextlib.nullcontext()):  # the result is the same
                return pooling(*args, **kwargs)

        return mended

    def in_two(together: Any) -> Any:
        @functools.wraps(together)
        def mended(*args: Any, **kwargs: Any) -> Any:
            if not _predicting(mxnet):
                return together(*args, **kwargs)
            return mxnet.nd.relu(mxnet.nd.BatchNorm(*args, **kwargs))

        return mended

    for name in ("Pooling", "pooling"):
        _everywhere("mxnet.", name, noting)
    _everywhere("mxnet.ndarray.", "BatchNormWithReLU", in_two)
    block = mxnet.gluon.HybridBlock
    call = block._call_cached_op

    @functools.wraps(call)
    def one_by_one(self: Any, *args: Any) -> Any:
        if not _predicting(mxnet) or isinstance(
                self, mxnet.gluon.SymbolBlock):
            return call(self, *args)
        self._active = False
        try:
            return block.forward(self, *args)
        finally:
            self._active = True

    block._call_cached_op = one_by_one


def mend(mxnet: Any) -> None:
    """Put what is right, or faster, in the place of MXNet's operators."""
    optimizer = mxnet.optimizer.optimizer
    for name in ("sgd_update", "sgd_mom_update"):
        setattr(optimizer, f"multi_{name}", _one_by_one(
            getattr(optimizer, f"multi_{name}"), getattr(optimizer, name)))
    _mend_slices(mxnet)
    _mend_predict_mode(mxnet)
