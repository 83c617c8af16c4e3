"""Matplotlib draws MXNet's arrays, and lists with such in them.

Until NumPy 1.24 a list of numbers and arrays of one number each,
``[1.0, loss]``, became an array of objects, of which Matplotlib made
numbers; today NumPy refuses it. So the methods of Matplotlib's axes are given
numbers and NumPy's arrays in the place of MXNet's.
"""
from __future__ import annotations

import functools
import os
import sys
import types
from collections.abc import ValuesView
from itertools import chain
from typing import Any

import numpy as np

from d2lzh_compat.finder import call_after_import


def _has_arrays(values: Any, ndarray: Any) -> bool:
    """Whether there is an array in a list, or in the lists in it.

    By types, for a list may have a million numbers, or 100,000 pairs.
    """
    while values:
        kinds = set(map(type, values))
        if any(issubclass(kind, (ndarray, np.ndarray, ValuesView))
               for kind in kinds):
            return True
        values = kinds & {list, tuple} and [*chain.from_iterable(
            each for each in values if type(each) in (list, tuple))]
    return False


def _drawn(value: Any, ndarray: Any) -> Any:
    """`value` with NumPy's arrays in the place of MXNet's.

    A list of one number each, in arrays or without, becomes numbers.
    """
    if isinstance(value, ndarray):
        return value.asnumpy()[()]  # of no axes, a number
    if isinstance(value, ValuesView):  # of a dictionary
        value = list(value)
    if type(value) not in (list, tuple) or not _has_arrays(value, ndarray):
        return value
    values = [_drawn(each, ndarray) for each in value]
    sizes = [getattr(each, "size", None) if isinstance(each, np.ndarray)
             else np.isscalar(each) and 1 for each in values]
    if set(sizes) == {1} and (
            any(isinstance(each, ndarray) for each in value)
            or len(set(map(np.ndim, values))) > 1):
        values = [np.asarray(each).item() for each in values]
    return type(value)(values)


@functools.lru_cache(None)
def _wrapper(folder: str, second: str) -> types.CodeType:
    """A function in the place of a method, as if it were Matplotlib's own.

    A warning of Matplotlib's is for the first line that is in no file of its
    own, and `plt.setp` lists what a method's second variable may be.
    """
    return compile(
        f"def wrapper(*_args, **{second}):\n"
        f"    return _method(*map(_drawn, _args), **{{name: _drawn(value)\n"
        f"                   for name, value in {second}.items()}})\n",
        os.path.join(folder, f"<{__name__}>"), "exec")


def _mend_method(method: Any, ndarray: Any) -> Any:
    code = method.__code__
    namespace = {"__name__": method.__module__, "_method": method,
                 "_drawn": functools.partial(_drawn, ndarray=ndarray)}
    exec(_wrapper(os.path.dirname(code.co_filename),
                  "".join(code.co_varnames[1:2]) or "kwargs"), namespace)
    return functools.wraps(method)(namespace["wrapper"])


def _mend_axes(projections: Any, ndarray: Any) -> None:
    """Mend the public methods of the axes, flat and in three dimensions."""
    names = projections.get_projection_names()
    for kind in {base for name in names
                 for base in projections.get_projection_class(name).__mro__
                 if base.__module__.startswith(("matplotlib.", "mpl_"))
                 and base.__name__ != "Artist"}:  # all that is drawn
        for name, method in list(vars(kind).items()):
            if isinstance(method, types.FunctionType) and not (
                    name.startswith(("_", "get_", "draw"))):
                setattr(kind, name, _mend_method(method, ndarray))


def mend(mxnet: Any) -> None:
    """Let Matplotlib draw what MXNet computes, once both are imported."""
    name = "matplotlib.projections"  # knows every kind of axes
    if name in sys.modules:
        _mend_axes(sys.modules[name], mxnet.nd.NDArray)
    else:
        call_after_import(name, functools.partial(
            _mend_axes, ndarray=mxnet.nd.NDArray))
