"""What passes between MXNet's arrays and NumPy."""
from __future__ import annotations

import functools
from typing import Any

import numpy as np

from d2lzh_compat import drawing
from d2lzh_compat.removed import arrays_are_no_numbers


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


def plain(value: Any) -> Any:
    """`value` with Python's numbers in the place of NumPy's."""
    if type(value) in (tuple, list):
        return type(value)(map(plain, value))
    return value.item() if isinstance(value, np.generic) else value


def _mend_var(symbol: Any) -> None:
    """Let a symbol's shape have numbers of NumPy; it becomes text as well."""
    var = symbol.var

    @functools.wraps(var)
    def mended(name: str, attr: Any = None, shape: Any = None, *args: Any,
               **kwargs: Any) -> Any:
        return var(name, attr, plain(shape), *args, **kwargs)

    for module in (symbol, symbol.symbol):
        module.var = module.Variable = mended


def _as_text(value: Any) -> str:
    # The text of a NumPy number by itself has always been the number's.
    return str(plain(value) if type(value) in (tuple, list) else value)


def _to_numpy(array: Any, dtype: Any = None, copy: bool | None = None
              ) -> Any:
    if copy is False:
        raise ValueError("NumPy cannot look into an NDArray without a copy.")
    values = array.asnumpy()
    return values if dtype is None else values.astype(dtype, copy=False)


def _is_number(values: Any) -> bool:
    """Whether an array, or each of its rows, is an array of one number."""
    return bool((values.size == 1 and values.ndim)
                or (values.ndim == 2 and values.shape[1] == 1))


class _OneNumber(np.ndarray):  # type: ignore[type-arg,unused-ignore]
    """An array of one number, or of rows of one, which convert to numbers.

    ``'%f' % l.mean().asnumpy()`` in the book's loops needs that; NumPy has
    stopped doing it. What is computed from it does as well, where it has
    such a shape; anything else is a plain array again.
    """

    def __float__(self) -> float:
        return float(self.item()) if self.size == 1 else super().__float__()

    def __int__(self) -> int:
        return int(self.item()) if self.size == 1 else super().__int__()

    def __complex__(self) -> complex:
        return complex(self.item()) if self.size == 1 else (
            super().__complex__())

    def __array_wrap__(self, array: Any, context: Any = None,
                       return_scalar: bool = False) -> Any:
        if array is self:  # += and out=
            return self
        if return_scalar:
            return array[()]
        return array.view(_OneNumber if _is_number(array) else np.ndarray)

    def __reduce__(self) -> Any:
        return np.asarray(self).__reduce__()


_OneNumber.__name__ = "array"  # as NumPy shows it


def _mend_asnumpy(array_type: Any) -> None:
    """Let `asnumpy` return what converts to a number, if it is one."""
    if not arrays_are_no_numbers():
        return
    asnumpy = array_type.asnumpy

    @functools.wraps(asnumpy)
    def mended(self: Any) -> Any:
        values = asnumpy(self)
        return values.view(_OneNumber) if _is_number(values) else values

    array_type.asnumpy = mended


def array(object: Any, dtype: Any = None, **kwargs: Any) -> Any:
    """`numpy.array` that wraps integers which `dtype` does not hold.

    Before NumPy 2, -1 became 255 as uint8; old projects count on it.
    """
    try:
        return np.array(object, dtype, **kwargs)
    except OverflowError:
        # What 64 bits do not hold, infinity say, never wrapped.
        return np.array(object, np.int64, **kwargs).astype(dtype)


def _values(argument: Any, array_type: Any) -> Any:
    """An argument with NumPy's arrays in the place of MXNet's.

    They are copies, in which a function that writes must not write.
    """
    if isinstance(argument, array_type):
        values = argument.asnumpy()
        values.flags.writeable = False
        return values
    if type(argument) in (list, tuple):
        return type(argument)(_values(each, array_type) for each in argument)
    return argument


def _mend_dispatch(mxnet: Any) -> None:
    """Leave to NumPy what MXNet's version of a function cannot take.

    A function of NumPy that is given an array of mx.np calls MXNet's of that
    name, which knows fewer arguments, and in many places takes neither
    numbers nor NumPy's arrays beside its own.
    """
    array_type = mxnet.numpy.ndarray

    def mend(protocol: str, by_numpy: Any) -> None:
        by_mxnet = getattr(array_type, protocol)

        @functools.wraps(by_mxnet)
        def mended(self: Any, *call: Any, **kwargs: Any) -> Any:
            found = NotImplemented
            try:
                found = by_mxnet(self, *call, **kwargs)
            except mxnet.MXNetError:
                raise  # of wrong values, or of an operator before, only once
            except Exception:
                if mxnet.autograd.is_recording():
                    raise  # NumPy's result would have no gradient
            return by_numpy(*call, **kwargs) if (
                found is NotImplemented) else found

        setattr(array_type, protocol, staticmethod(mended))

    def compute(function: Any, args: Any, kwargs: Any) -> Any:
        out = kwargs.get("out")  # an array of mx.np would not be written to
        if mxnet.autograd.is_recording() or isinstance(
                out[0] if type(out) is tuple else out, array_type):
            return NotImplemented
        return function(*_values(args, array_type), **{
            key: _values(value, array_type) for key, value in kwargs.items()})

    mend("__array_function__", lambda function, types, args, kwargs:
         compute(function, args, kwargs))
    # `at` of older NumPys writes where nobody may.
    mend("__array_ufunc__", lambda ufunc, method, *inputs, **kwargs:
         NotImplemented if (
             method == "at" and isinstance(inputs[0], array_type))
         else compute(getattr(ufunc, method), inputs, kwargs))


def mend(mxnet: Any) -> None:
    """Let NumPy's arrays and numbers, and MXNet's, take each other."""
    # MXNet hands an operator its parameters as text, and since NumPy 2 the
    # text of (np.int64(2), 3) is not that of (2, 3).
    for module in (mxnet._ctypes.ndarray, mxnet._ctypes.symbol, mxnet.io.io):
        module.str = _as_text
    _mend_var(mxnet.symbol)
    # Since NumPy 1.24 np.array(an NDArray) ends in an error.
    mxnet.nd.NDArray.__array__ = _to_numpy
    _mend_asnumpy(mxnet.nd.NDArray)
    _mend_dispatch(mxnet)
    # What an array is as a dtype: NumPy asks for this since 2.4, and takes
    # no attribute `dtype` that is a type since 2.3.
    mxnet.nd.NDArray.__numpy_dtype__ = property(
        lambda array: np.dtype(array.dtype))
    drawing.mend(mxnet)
