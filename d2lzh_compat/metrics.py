"""Totals and results of MXNet's metrics are float64, as NumPy 1 had them.

With NumPy 2, 0.0 + np.float32(1) is float32: totals drift, and stop growing at
2**24.
"""
from __future__ import annotations

import functools
import operator
import types
from collections.abc import Callable
from typing import Any

import numpy as np


class _Total(np.float64):
    """A number as NumPy 1 had it: float64, and shown as 0.5."""

    __repr__ = float.__repr__

    def __reduce__(self) -> Any:
        return float, (float(self),)


def _total(value: Any) -> Any:
    """A number of NumPy, or an array without axes, as `_Total` or int."""
    if isinstance(value, np.ndarray) and not value.ndim:
        value = value[()]
    if isinstance(value, (float, np.float32, np.float16)):
        return _Total(value)
    return value.item() if isinstance(value, np.generic) else value


def _totals(value: Any) -> Any:
    """The same of what a list or tuple has."""
    return (type(value)(map(_totals, value))
            if type(value) in (list, tuple) else _total(value))


def _computed(compute: Callable[[Any, Any], Any], turned: bool) -> Any:
    def method(total: Any, other: Any) -> Any:
        other = _total(other)
        # Beside an array, which keeps its dtype, a plain float.
        kind = np.float64 if isinstance(other, (int, float)) else float
        pair = kind(total), kind(other) if kind is np.float64 else other
        return _total(compute(*pair[::-1] if turned else pair))

    return method


for _name in ("add", "sub", "mul", "truediv"):
    _compute = getattr(operator, _name)
    setattr(_Total, f"__{_name}__", _computed(_compute, turned=False))
    setattr(_Total, f"__r{_name}__", _computed(_compute, turned=True))


class _TotalOf:
    """An attribute whose numbers, alone or in a list, are totals."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, metric: Any, owner: Any = None) -> Any:
        if metric is None:
            return self
        try:
            return _total(vars(metric)[self.name])
        except KeyError:
            raise AttributeError(f"{type(metric).__name__!r} object has no "
                                 f"attribute {self.name!r}") from None

    def __set__(self, metric: Any, value: Any) -> None:
        vars(metric)[self.name] = _totals(value)


def mend(module: Any) -> None:
    """Let the metrics of a module of MXNet, and a reader's, add up so."""
    base = module.EvalMetric

    def shown(get: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(get)
        def mended(*args: Any, **kwargs: Any) -> Any:
            return _totals(get(*args, **kwargs))

        return mended

    def mend_kind(kind: Any, /, **settings: Any) -> None:
        super(base, kind).__init_subclass__(**settings)
        for name, get in list(vars(kind).items()):
            if name in ("get", "get_global") and isinstance(
                    get, types.FunctionType):
                setattr(kind, name, shown(get))

    for name in ("sum_metric", "global_sum_metric", "num_inst",
                 "global_num_inst"):
        setattr(base, name, _TotalOf(name))
    for kind in vars(module).values():
        if isinstance(kind, type) and issubclass(kind, base):
            mend_kind(kind)
    base.__init_subclass__ = classmethod(mend_kind)
