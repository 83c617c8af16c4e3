"""What passes between MXNet's arrays and NumPy.
"""
from __future__ import annotations

import contextlib
import functools
import warnings
from typing import Any

import numpy as np


def check_arrays() -> None:
    """Refuse to go on where layers take and give arrays of mx.np.

    Raises:
        RuntimeError: ``mx.npx.set_np()`` is on.
    """
    import mxnet
    if mxnet.util.is_np_array():
        raise RuntimeError(
            "mx.npx.set_np() is on: layers then take and give arrays of "
            "mx.np, and this package computes with those of mx.nd. Call "
            "mx.npx.reset_np() and make the network anew")


def _plain(value: Any) -> Any:
    """`value` with Python's numbers in the place of NumPy's."""
    if type(value) in (tuple, list):
        return type(value)(map(_plain, value))
    return value.item() if isinstance(value, np.generic) else value


def _mend_var(symbol: Any) -> None:
    """Let a symbol's shape have numbers of NumPy; it becomes text as well."""
    var = symbol.var

    @functools.wraps(var)
    def mended(name: str, attr: Any = None, shape: Any = None, *args: Any,
               **kwargs: Any) -> Any:
        return var(name, attr, _plain(shape), *args, **kwargs)

    for module in (symbol, symbol.symbol):
        module.var = module.Variable = mended


def _as_text(value: Any) -> str:
    # The text of a NumPy number by itself has always been the number's.
    return str(_plain(value) if type(value) in (tuple, list) else value)


def _to_numpy(array: Any, dtype: Any = None, copy: bool | None = None
              ) -> Any:
    if copy is False:
        raise ValueError("NumPy cannot look into an NDArray without a copy.")
    values = array.asnumpy()
    return values if dtype is None else values.astype(dtype, copy=False)


class _OneNumber(np.ndarray):  # type: ignore[type-arg]
    """An array of one number, which converts to the number.

    ``'%f' % l.mean().asnumpy()`` in the book's loops needs that; NumPy has
    stopped doing it. What is computed from it is a plain array again.
    """

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __array_wrap__(self, array: Any, context: Any = None,
                       return_scalar: bool = False) -> Any:
        return array[()] if return_scalar else np.asarray(array)

    def __reduce__(self) -> Any:
        return np.asarray(self).__reduce__()


_OneNumber.__name__ = "array"  # as NumPy shows it


def _mend_asnumpy(array_type: Any) -> None:
    """Let `asnumpy` return what converts to a number, if it is one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy 1.25 to 2.4 only warn
        with contextlib.suppress(TypeError):
            float(np.ones(1))
            return
    asnumpy = array_type.asnumpy

    @functools.wraps(asnumpy)
    def mended(self: Any) -> Any:
        values = asnumpy(self)
        return (values.view(_OneNumber) if values.size == 1 and values.ndim
                else values)

    array_type.asnumpy = mended


def mend(mxnet: Any) -> None:
    """Let NumPy's arrays and numbers, and MXNet's, take each other."""
    # MXNet hands an operator its parameters as text, and since NumPy 2 the
    # text of (np.int64(2), 3) is not that of (2, 3).
    for module in (mxnet._ctypes.ndarray, mxnet._ctypes.symbol):
        module.str = _as_text
    _mend_var(mxnet.symbol)
    # Since NumPy 1.24 np.array(an NDArray) ends in an error.
    mxnet.nd.NDArray.__array__ = _to_numpy
    _mend_asnumpy(mxnet.nd.NDArray)
