"""Names that NumPy has removed, what they meant, and today's spelling.

MXNet asks for many of them while it is imported, and for some when it runs.
"""
from __future__ import annotations

import contextlib
import types
from collections.abc import Iterator
from typing import Any

import numpy as np


def _in1d(ar1: Any, ar2: Any, *args: Any, **kwargs: Any) -> Any:
    return np.isin(np.ravel(ar1), ar2, *args, **kwargs)


def _msort(a: Any) -> Any:
    return np.sort(a, axis=0)


def _asscalar(a: Any) -> Any:
    return np.asarray(a).item()


def _financial(*args: Any, **kwargs: Any) -> None:
    raise RuntimeError("NumPy has removed its financial functions (in 1.20); "
                       "the package numpy-financial has them.")


# name: (value, today's spelling)
NUMPY: dict[str, tuple[Any, str]] = {
    "PZERO": (0.0, "0.0"), "NZERO": (-0.0, "-0.0"),
    "NaN": (np.nan, "np.nan"), "NAN": (np.nan, "np.nan"),
    **dict.fromkeys(("Inf", "infty", "Infinity", "PINF"),
                    (np.inf, "np.inf")),
    "NINF": (-np.inf, "-np.inf"),
    **{kind.__name__: (kind, kind.__name__)
       for kind in (bool, int, float, object, complex, str)},
    "float_": (np.float64, "np.float64"),
    "complex_": (np.complex128, "np.complex128"),
    "unicode_": (np.str_, "np.str_"), "string_": (np.bytes_, "np.bytes_"),
    "alltrue": (np.all, "np.all"), "sometrue": (np.any, "np.any"),
    "cumproduct": (np.cumprod, "np.cumprod"),
    "product": (np.prod, "np.prod"),
    "round_": (np.around, "np.round"), "row_stack": (np.vstack, "np.vstack"),
    "fix": (np.trunc, "np.trunc"),
    "in1d": (_in1d, "np.isin"),
    "trapz": (getattr(np, "trapezoid", None) or vars(np).get("trapz"),
              "np.trapezoid"),
    "msort": (_msort, "np.sort(..., axis=0)"),
    "asscalar": (_asscalar, ".item()"),
    **dict.fromkeys(("mirr", "npv", "pmt", "ppmt", "pv", "rate", "fv",
                     "ipmt", "irr", "nper"),
                    (_financial, "the package numpy-financial")),
}


@contextlib.contextmanager
def numpy_names() -> Iterator[None]:
    """Put the removed names on NumPy, and take the same ones away again."""
    # vars(), not hasattr(): NumPy 1.20 to 1.23 answer for `np.int` through
    # a module-level __getattr__ that warns.
    added = [name for name in NUMPY if name not in vars(np)]
    for name in added:
        setattr(np, name, NUMPY[name][0])
    try:
        yield
    finally:
        for name in added:
            delattr(np, name)


def numpy_with_names() -> types.ModuleType:
    """A stand-in for NumPy that has the removed names as well."""
    stand_in = types.ModuleType("numpy", np.__doc__)
    vars(stand_in).update(
        {name: value for name, (value, _) in NUMPY.items()}, **vars(np))
    return stand_in
