"""Operators of MXNet that fail or are slow on a CPU.

* A slice of a convolution's output could end Python or raise an error,
  depending on the processor; see `_slice_with_more_axes`.
* Gradients through max pooling were wrong where predict mode is recorded;
  see `_mend_predict_mode`.
* MXNet's SGD updates four parameters in one call, which on a CPU takes
  longer than four calls for most networks; here it makes four.
"""
from __future__ import annotations

import contextlib
import functools
import types
from collections.abc import Iterable
from typing import Any


def _update_one_by_one(together: Any, alone: Any) -> Any:
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


def _slice_with_more_axes(mxnet: Any, slice_: Any) -> Any:
    """Let a slice along channels not end Python.

    The cause is the layout of oneDNN, in which a convolution leaves its
    output in blocks of 8 or 16 channels: a slice that is no block raises
    "could not construct a sub-memory" or divides by zero. Arrays with over 4
    axes are none that oneDNN takes, and right.
    """
    def array(data: Any, *bounds: Any) -> Any:
        result = mxnet.nd.op.slice.__wrapped__(
            data.as_nd_ndarray().reshape(
                (*data.shape, *(1,) * (5 - data.ndim))), *bounds)
        result = result.reshape(result.shape[:data.ndim])
        return (result.as_np_ndarray()
                if isinstance(data, mxnet.np.ndarray) else result)

    def symbol(data: Any, *bounds: Any, name: Any, **kwargs: Any) -> Any:
        sym = mxnet.sym
        with mxnet.name.NameManager() as names:
            # The reader's manager names the result, and nothing else.
            name = names._old_manager.get(name, "slice")
            result = sym.expand_dims(
                data.as_nd_ndarray(), axis=-1, name=f"{name}_expanded",
                **kwargs)
            result = sym.op.slice.__wrapped__(
                result, *bounds, name=f"{name}_cut", **kwargs)
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
                return symbol(data, begin, end, step,
                              name=kwargs.pop("name", None), **kwargs)
            if (not kwargs and data.stype == "default"
                    and len(begin) <= data.ndim and 2 < data.ndim < 5):
                return array(data, begin, end, step)
        return slice_(data, begin, end, step, **kwargs)

    return mended


def _predicting(mxnet: Any) -> bool:
    """Whether operations are recorded, and in predict mode."""
    autograd = mxnet.autograd
    return bool(autograd.is_recording() and not autograd.is_training())


def _pooling_in_train_mode(mxnet: Any, pooling: Any) -> Any:
    """Let max pooling note where the maxima are; see `_mend_predict_mode`."""
    @functools.wraps(pooling)
    def mended(*args: Any, **kwargs: Any) -> Any:
        with (mxnet.autograd.train_mode() if _predicting(mxnet)
              else contextlib.nullcontext()):  # the result is the same
            return pooling(*args, **kwargs)

    return mended


def _mend_predict_mode(mxnet: Any) -> None:
    """Let gradients be right where predict mode is recorded.

    Two operators of oneDNN note in training mode only what their gradients
    need: max pooling where the maxima are, BatchNormWithReLU where the ReLU
    is active. In predict mode they read what is in memory by chance. A
    compiled graph has one mode for all of its operators, so a hybridized
    block runs them one by one there.
    """
    block = mxnet.gluon.HybridBlock
    together, call = mxnet.nd.contrib.BatchNormWithReLU, block._call_cached_op

    @functools.wraps(together)
    def in_two(*args: Any, **kwargs: Any) -> Any:
        if not _predicting(mxnet):
            return together(*args, **kwargs)
        return mxnet.nd.relu(mxnet.nd.BatchNorm(*args, **kwargs))

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

    mxnet.nd.contrib.BatchNormWithReLU = in_two
    block._call_cached_op = one_by_one


def replacements(mxnet: Any, loaded: Iterable[types.ModuleType]
                 ) -> dict[Any, Any]:
    """Functions of operators, each with what is to stand in its place.

    An operator has a function of its own in many a module of MXNet.
    """
    mend = {"slice": _slice_with_more_axes,
            "Pooling": _pooling_in_train_mode,
            "pooling": _pooling_in_train_mode}
    return {function: mend[name](mxnet, function)
            for module in loaded for name in mend
            if isinstance(function := vars(module).get(name),
                          types.FunctionType)}


def mend(mxnet: Any) -> None:
    """Mend what `replacements` does not."""
    optimizer = mxnet.optimizer.optimizer
    for name in ("sgd_update", "sgd_mom_update"):
        setattr(optimizer, f"multi_{name}", _update_one_by_one(
            getattr(optimizer, f"multi_{name}"), getattr(optimizer, name)))
    _mend_predict_mode(mxnet)
