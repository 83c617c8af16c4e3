"""Matplotlib draws MXNet's arrays, and lists with such in them.

Until NumPy 1.24 a list of numbers and arrays of one number each,
``[1.0, loss]``, became an array of objects, of which Matplotlib made
numbers; today NumPy refuses it. So the methods of Matplotlib's axes are given
numbers and NumPy's arrays in the place of MXNet's.
"""
from __future__ import annotations

import contextlib
import functools
import os
import sys
import types
from collections.abc import ValuesView
from importlib.machinery import PathFinder
from itertools import chain
from typing import Any

import numpy as np

_MODULE = "matplotlib.projections"  # knows every kind of axes


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


def _mend_method(method: Any, ndarray: Any) -> Any:
    drawn = functools.partial(_drawn, ndarray=ndarray)

    def mended(*args: Any, **kwargs: Any) -> Any:
        return method(*map(drawn, args), **dict(
            zip(kwargs, map(drawn, kwargs.values()))))

    # A warning of Matplotlib's is for the first line that is not its own, and
    # the list of `plt.setp` has what the first argument's name is said to be.
    old, new = method.__code__, mended.__code__
    return functools.wraps(method)(types.FunctionType(
        new.replace(
            co_filename=os.path.join(
                os.path.dirname(old.co_filename), f"<{__name__}>"),
            co_varnames=(new.co_varnames[0], *(
                old.co_varnames[1:2] or new.co_varnames[1:]))),
        method.__globals__, closure=mended.__closure__))


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
    ndarray = mxnet.nd.NDArray
    if _MODULE in sys.modules:
        _mend_axes(sys.modules[_MODULE], ndarray)
        return

    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
        spec = PathFinder.find_spec(name, path) if name == _MODULE else None
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: types.ModuleType) -> None:
            execute(module)
            with contextlib.suppress(ValueError):  # it may be gone
                sys.meta_path.remove(finder)
            _mend_axes(module, ndarray)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec

    finder: Any = types.SimpleNamespace(find_spec=find_spec)
    sys.meta_path.insert(0, finder)
