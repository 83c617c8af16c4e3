"""Names that NumPy and Python have removed, and today's spelling.

MXNet asks for some of NumPy's while it is imported, and when it runs; old
scripts ask for all of them. NumPy itself is imported where it is needed: a
script may have settings to make before.
"""
from __future__ import annotations

import builtins
import collections.abc
import contextlib
import functools
import importlib
import inspect
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

# Those that MXNet asks for.
NUMPY: dict[str, str] = {
    "PZERO": "0.0", "NZERO": "-0.0", "NaN": "np.nan", "NAN": "np.nan",
    **dict.fromkeys(("Inf", "infty", "Infinity", "PINF"), "np.inf"),
    "NINF": "-np.inf",
    **{name: name for name in (
        "bool", "int", "float", "object", "complex", "str")},
    "float_": "np.float64", "complex_": "np.complex128",
    "unicode_": "np.str_", "string_": "np.bytes_",
    "alltrue": "np.all", "sometrue": "np.any",
    "cumproduct": "np.cumprod", "product": "np.prod",
    "round_": "np.round", "row_stack": "np.vstack", "fix": "np.trunc",
    "in1d": "np.isin", "trapz": "np.trapezoid",
    "msort": "np.sort(..., axis=0)", "asscalar": ".item()",
    **dict.fromkeys(("mirr", "npv", "pmt", "ppmt", "pv", "rate", "fv",
                     "ipmt", "irr", "nper"), "the package numpy-financial"),
}

# The same for every module.
MODULES: dict[str, dict[str, str]] = {
    "numpy": {
        **NUMPY, "long": "int", "unicode": "str",
        "bool8": "np.bool_", "int0": "np.intp", "uint0": "np.uintp",
        "object0": "np.object_", "str0": "np.str_", "bytes0": "np.bytes_",
        "void0": "np.void", "cfloat": "np.complex128",
        "singlecomplex": "np.complex64", "longfloat": "np.longdouble",
        "longcomplex": "np.clongdouble", "clongfloat": "np.clongdouble",
        "mat": "np.asmatrix", "rank": "np.ndim", "alen": "len",
        "asfarray": "np.asarray(..., dtype=float)",
        "typeDict": "np.sctypeDict", "math": "math", "warnings": "warnings",
        "fromstring": "np.frombuffer(...).copy()",
        # There still, but not for lists of different lengths.
        **{name: f"np.{name}(..., dtype=object)" for name in (
            "array", "asarray", "asanyarray")},
        "save": "np.save(file, np.array(..., dtype=object))",
        **{name: f"np.exceptions.{name}" for name in (
            "AxisError", "ComplexWarning", "RankWarning", "TooHardError",
            "VisibleDeprecationWarning")}},
    "numpy.lib": {"pad": "np.pad"},
    "numpy.linalg": {"linalg": "np.linalg"},
    "numpy.random": {
        "random_integers": "np.random.randint(low, high + 1)"},
    "base64": {"encodestring": "base64.encodebytes",
               "decodestring": "base64.decodebytes"},
    "collections": {name: f"collections.abc.{name}"
                    for name in collections.abc.__all__},
    "fractions": {"gcd": "math.gcd"},
    "inspect": {"getargspec": "inspect.getfullargspec"},
    "os": {"errno": "errno"},
    "string": {"letters": "string.ascii_letters",
               "lowercase": "string.ascii_lowercase",
               "uppercase": "string.ascii_uppercase"},
    "sys": {"maxint": "sys.maxsize"},
    "time": {"clock": "time.perf_counter"},
}

# And for the objects of classes; a spelling that begins with a dot is a
# method of the object, any other a function that takes it.
CLASSES: dict[str, dict[str, str]] = {
    "numpy.ndarray": {
        "tostring": ".tobytes", "itemset": "a[...] = value",
        "newbyteorder": "a.view(a.dtype.newbyteorder())", "ptp": "np.ptp"},
    "numpy.generic": {"tostring": ".tobytes"},
    "array.array": {"tostring": ".tobytes", "fromstring": ".frombytes"},
    "threading.Thread": {"isAlive": ".is_alive"},
    "unittest.case.TestCase": {
        "assertEquals": ".assertEqual", "assertNotEquals": ".assertNotEqual",
        "assert_": ".assertTrue", "assertAlmostEquals": ".assertAlmostEqual",
        "assertRaisesRegexp": ".assertRaisesRegex"},
    "xml.etree.ElementTree.Element": {
        "getchildren": "list", "getiterator": ".iter"},
    "xml.etree.ElementTree.ElementTree": {"getiterator": ".iter"},
}


def _in1d(ar1: Any, ar2: Any, *args: Any, **kwargs: Any) -> Any:
    import numpy as np
    return np.isin(np.ravel(ar1), ar2, *args, **kwargs)


def _msort(a: Any) -> Any:
    import numpy as np
    return np.sort(a, axis=0)


def _asscalar(a: Any) -> Any:
    import numpy as np
    return np.asarray(a).item()


def _asfarray(a: Any, dtype: Any = float) -> Any:
    import numpy as np
    return np.asarray(
        a, dtype if np.issubdtype(dtype, np.inexact) else float)


def _random_integers(low: int, high: int | None = None, size: Any = None
                     ) -> Any:
    import numpy as np
    low, high = (1, low) if high is None else (low, high)
    return np.random.randint(low, high + 1, size)


def _fromstring(string: Any, dtype: Any = float, count: int = -1, *,
                sep: str = "") -> Any:
    import numpy as np
    if sep:
        return np.fromstring(string, dtype, count, sep=sep)
    if isinstance(string, str):
        string = string.encode()
    return np.frombuffer(string, dtype, count).copy()


def _financial(*args: Any, **kwargs: Any) -> None:
    raise RuntimeError("NumPy has removed its financial functions (in 1.20); "
                       "the package numpy-financial has them.")


_ArgSpec = collections.namedtuple(
    "_ArgSpec", "args varargs keywords defaults")
_ArgSpec.__name__ = "ArgSpec"


def _getargspec(func: Callable[..., Any]) -> Any:
    found = inspect.getfullargspec(func)
    if found.kwonlyargs or found.annotations:
        raise ValueError("Function has keyword-only parameters or "
                         "annotations, use inspect.signature()")
    return _ArgSpec(*found[:4])


def _itemset(array: Any, *args: Any) -> None:
    import numpy as np
    index = args[:-1]  # nothing, a place in the flat array, or a whole index
    if len(index) == 1:
        index = (index[0] if isinstance(index[0], tuple)
                 else np.unravel_index(index[0], array.shape))
    array[index or ...] = args[-1]


def _newbyteorder(array: Any, order: str = "S") -> Any:
    return array.view(array.dtype.newbyteorder(order))


# Where the spelling is not the value.
_VALUES: dict[str, Any] = {
    "numpy.in1d": _in1d, "numpy.msort": _msort, "numpy.asscalar": _asscalar,
    "numpy.asfarray": _asfarray, "numpy.fromstring": _fromstring,
    "numpy.random.random_integers": _random_integers,
    "numpy.ndarray.itemset": _itemset,
    "numpy.ndarray.newbyteorder": _newbyteorder,
    "inspect.getargspec": _getargspec,
}


class _Modules(dict):  # type: ignore[type-arg]
    """Where a spelling's names are looked up, before the builtin ones."""

    def __missing__(self, name: str) -> types.ModuleType:
        if hasattr(builtins, name):
            raise KeyError(name)
        return importlib.import_module("numpy" if name == "np" else name)


@functools.lru_cache(None)
def value(owner: str, name: str) -> Any:
    """What a name of a module meant; of a class, what its objects call."""
    spelling = (MODULES.get(owner) or CLASSES[owner])[name]
    if spelling.startswith("the package"):
        return _financial
    return _VALUES.get(f"{owner}.{name}") or eval(spelling, {}, _Modules())


@functools.lru_cache(None)
def arrays_are_no_numbers() -> bool:
    """Whether NumPy makes no number of an array of one that has axes."""
    import numpy as np

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy 1.25 to 2.4 only warn
        try:
            float(np.ones(1))
        except TypeError:
            return True
    return False


def _missing() -> dict[str, Any]:
    """The names that MXNet asks for and this NumPy does not have."""
    import numpy as np

    # vars(), not hasattr(): NumPy 1.20 to 1.23 answer for `np.int` through
    # a module-level __getattr__ that warns.
    return {name: value("numpy", name) for name in NUMPY
            if name not in vars(np)}


@contextlib.contextmanager
def numpy_names() -> Iterator[None]:
    """Put the removed names on NumPy, and take the same ones away again."""
    import numpy as np

    if np.bool_.__name__ == "bool" and vars(np)["bool"] is bool:
        # `np.bool = bool`, a workaround in many an old script. NumPy 2 has a
        # `bool` of its own, without which numpy.ma does not import, nor
        # SciPy, which MXNet imports where it is.
        vars(np)["bool"] = np.bool_
    added = _missing()
    vars(np).update(added)
    try:
        yield
    finally:
        for name in added:
            vars(np).pop(name, None)


def numpy_with_names() -> types.ModuleType:
    """A stand-in for NumPy that has the removed names as well."""
    import numpy as np

    stand_in = types.ModuleType("numpy", np.__doc__)
    vars(stand_in).update(vars(np), **_missing())
    return stand_in
