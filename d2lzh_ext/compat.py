"""MXNet 1.9.1 on today's Python: import it, and give it every core.

The package imports this module before anything else, so that
``import mxnet`` works wherever ``import d2lzh_ext`` has run:

* NumPy has removed names that MXNet asks for while it is imported. They
  stand on NumPy for just that time; NumPy is left as it was found.
* `distutils` left the standard library in Python 3.12. Setuptools brings
  its own copy, which MXNet then uses.
* MXNet by itself uses half of the processors, and OpenMP's threads wait for
  each other in a way that any other program upsets. Here OpenMP has all the
  cores, and short waits; benchmarks/NOTES.md has the figures.
* MXNet's SGD updates four parameters in one call, which on a CPU takes
  longer than four calls for most networks; here it makes four.
"""
from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import platform
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np


def _withdrawn(*args: Any, **kwargs: Any) -> None:
    raise RuntimeError("NumPy withdrew this function.")


# What MXNet 1.9.1 takes from NumPy by name and newer NumPys no longer have.
_REMOVED: dict[str, Any] = {
    "PZERO": 0.0, "NZERO": -0.0,
    "NaN": np.nan, "NAN": np.nan,
    **dict.fromkeys(
        ("Inf", "infty", "Infinity", "PINF"), np.inf), "NINF": -np.inf,
    "bool": bool, "int": int, "float": float, "object": object,
    "complex": complex, "str": str,
    "float_": np.float64, "complex_": np.complex128,
    "unicode_": np.str_, "string_": np.bytes_,
    "alltrue": np.all, "sometrue": np.any,
    "cumproduct": np.cumprod, "product": np.prod,
    "round_": np.around, "row_stack": np.vstack,
    **dict.fromkeys(
        ("in1d", "trapz", "msort", "mirr", "npv", "pmt", "ppmt", "pv",
         "rate", "fv", "ipmt", "irr", "nper"), _withdrawn),
}


@contextlib.contextmanager
def _numpy_names() -> Iterator[None]:
    """Put the removed names on NumPy, and take the same ones away again."""
    # vars(), not hasattr(): NumPy 1.20 to 1.23 answer for `np.int` through
    # a module-level __getattr__ that warns.
    added = [name for name in _REMOVED if name not in vars(np)]
    for name in added:
        setattr(np, name, _REMOVED[name])
    try:
        yield
    finally:
        for name in added:
            delattr(np, name)


def num_cores() -> int:
    """Cores this process may use: its affinity, capped by its cgroup.

    A container with a quota of 1.5 processors on a host with 64 gets 2.
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        cores = os.cpu_count() or 1
    for quota_file, period_file in (
            ("/sys/fs/cgroup/cpu.max", None),
            ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us",
             "/sys/fs/cgroup/cpu/cpu.cfs_period_us")):
        try:
            words = Path(quota_file).read_text().split()
            if period_file:
                words += Path(period_file).read_text().split()
            quota, period = int(words[0]), int(words[1])
        except (OSError, ValueError, IndexError):
            continue  # no such file, or "max": no limit
        if quota > 0 and period > 0:
            cores = min(cores, max(1, -(-quota // period)))
    return max(1, cores)


@contextlib.contextmanager
def _openmp_settings() -> Iterator[None]:
    """Let OpenMP find its settings; leave the environment alone.

    OpenMP reads them once, when its library is loaded, and other programs
    that this process starts may want their own. Settings that the reader
    has made stand.
    """
    ours = {"OMP_NUM_THREADS": str(num_cores())}
    if "OMP_WAIT_POLICY" not in os.environ:
        # How long a thread waits actively for the others. The default costs
        # more as soon as another program takes one of the cores;
        # benchmarks/NOTES.md has the figures.
        ours["GOMP_SPINCOUNT"] = "6000"
    added = {k: v for k, v in ours.items() if k not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _one_thread_after_fork() -> None:
    """Make forked children, a DataLoader's workers say, compute serially.

    GNU OpenMP's threads do not survive a fork. With the synchronous engine,
    which groups of processes use (`d2lzh_ext.launch`), the forking thread
    owns a team, and the child's first parallel region waits for it for ever.
    One thread needs no team.
    """
    libgomp = ctypes.CDLL("libgomp.so.1")
    os.register_at_fork(
        after_in_child=lambda: libgomp.omp_set_num_threads(1))


def _cure() -> str:
    """What to do where MXNet is missing, for this platform."""
    system, machine = platform.system(), platform.machine()
    if system == "Windows":
        return ("MXNet 1.9.1 has no wheel for Windows. Use WSL 2 (a Linux "
                "inside Windows), Colab or Binder; see README.md.")
    if system == "Darwin" and machine == "arm64":
        return ("MXNet 1.9.1 has no wheel for Apple silicon. Use Colab, "
                "Binder or a Linux container for x86-64; see README.md.")
    if sys.version_info >= (3, 13):
        return ("Install it with `pip install --no-deps mxnet==1.9.1` (its "
                "metadata asks for a NumPy that this Python does not have; "
                "d2lzh_ext makes it work with the newer one).")
    return "Install it with `pip install mxnet==1.9.1`."


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


def mend_ipython() -> None:
    """Give IPython.display back the function that draws figures as SVG.

    The book's code calls it; it has moved to matplotlib_inline.
    """
    display: Any = sys.modules.get("IPython.display")
    if display is None or hasattr(display, "set_matplotlib_formats"):
        return

    def set_matplotlib_formats(*formats: str, **options: Any) -> None:
        from matplotlib_inline import backend_inline as backend
        backend.set_matplotlib_formats(*formats, **options)  # type: ignore[no-untyped-call,unused-ignore]

    display.set_matplotlib_formats = set_matplotlib_formats


def _mend(mxnet: Any) -> None:
    """Repair what newer NumPys have broken in an MXNet just imported."""
    if vars(mxnet).get("mended_by_d2lzh_ext"):
        return  # by the hook, within the import
    mxnet.mended_by_d2lzh_ext = True
    # MXNet hands an operator its parameters as text, and since NumPy 2 the
    # text of (np.int64(2), 3) is not that of (2, 3).
    for module in (mxnet._ctypes.ndarray, mxnet._ctypes.symbol):
        module.str = _as_text
    _mend_var(mxnet.symbol)
    # Since NumPy 1.24 np.array(an NDArray) ends in an error.
    mxnet.nd.NDArray.__array__ = _to_numpy
    _mend_asnumpy(mxnet.nd.NDArray)
    optimizer = mxnet.optimizer.optimizer
    for name in ("sgd_update", "sgd_mom_update"):
        setattr(optimizer, f"multi_{name}", _one_by_one(
            getattr(optimizer, f"multi_{name}"), getattr(optimizer, name)))
    mend_ipython()
    # The first use creates the engine, which asks how many threads.
    mxnet.nd.waitall()
    if (platform.system() == "Linux"
            and os.environ.get("MXNET_ENGINE_TYPE") == "NaiveEngine"):
        _one_thread_after_fork()


@contextlib.contextmanager
def _clear_errors() -> Iterator[None]:
    """Errors of MXNet's import as an ImportError that names the cure."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name == "mxnet":
            raise ImportError(
                f"MXNet is not installed. {_cure()}") from None
        if error.name and error.name.startswith("distutils"):
            raise ImportError(
                "MXNet needs distutils, which left Python in 3.12. Install "
                "it with `pip install setuptools`.") from None
        raise ImportError(
            f"MXNet needs the package {error.name!r}. Install it with "
            f"`pip install {error.name}`.") from error
    except OSError as error:
        cure = ("On Debian and Ubuntu `apt-get install libgomp1` brings the "
                "OpenMP library that it needs." if "libgomp" in str(error)
                else "A wheel for GPUs needs NVIDIA's libraries; docs/gpu.md "
                "of the course lists them.")
        raise ImportError(
            f"MXNet's library does not load: {error}. {cure}") from error
    except AttributeError as error:
        raise ImportError(
            f"MXNet 1.9.1 does not work with NumPy {np.__version__}: "
            f"{error}. Install one that is known to work: `pip install "
            "'numpy>=1.23,<2.6'`.") from error


def load_mxnet(load: Callable[[], Any]) -> None:
    """Call `load`, which imports MXNet and returns it, and mend it.

    Raises:
        ImportError: MXNet, or a library it needs, is not there; the message
            names the cure.
    """
    with _clear_errors(), _openmp_settings(), _numpy_names(), \
            warnings.catch_warnings():
        # MXNet's sources are old; their warnings are not the reader's.
        warnings.simplefilter("ignore")
        if sys.version_info >= (3, 12):
            # Where setuptools came after Python had started.
            with contextlib.suppress(ImportError):
                import _distutils_hack
                _distutils_hack.add_shim()
        _mend(load())


def import_mxnet() -> None:
    """Import MXNet so that later ``import mxnet`` statements just work.

    An MXNet that is already imported is left as it is, as is
    ``OMP_NUM_THREADS`` where it is set.

    Raises:
        ImportError: see `load_mxnet`.
    """
    def load() -> Any:
        import mxnet
        return mxnet

    if sys.modules.get("mxnet") is None:
        load_mxnet(load)
