"""MXNet 1.9.1 on today's Python: import it, and give it every core.

The package imports this module before anything else, so that
``import mxnet`` works wherever ``import d2lzh_ext`` has run:

* NumPy has removed names that MXNet asks for while it is imported. They
  stand on NumPy for just that time; NumPy is left as it was found.
* `distutils` left the standard library in Python 3.12. A stand-in has the
  two names that MXNet takes from it.
* The workers of a Gluon DataLoader are forks, as they were before Python
  3.14: MXNet sends them arrays that only a fork can take along.
* A slice of a convolution's output could end Python or raise an error,
  depending on the processor; see `_mend_slices`.
* Gradients through max pooling were wrong where predict mode is recorded;
  see `_mend_predict_mode`.
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
import multiprocessing
import os
import platform
import re
import subprocess
import sys
import types
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
    "round_": np.around, "row_stack": np.vstack, "fix": np.trunc,
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


def install_line(library: str) -> str:
    """The shell line that brings a library here; empty if none is known.

    packages.sh knows the names of each system's packages.
    """
    try:
        return subprocess.run(
            ["sh", Path(__file__).with_name("packages.sh"), library],
            capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _library_error(error: OSError) -> str:
    """What to say of a library that does not load, with the cure."""
    found = re.match(r"(lib\S+\.so\S*): cannot open shared object file",
                     str(error))
    if not found:
        return f"MXNet's library does not load: {error}."
    library = found[1]
    what = f"MXNet's library does not load: {library} is missing."
    if re.match(r"lib(cu|nv|nccl)", library):
        return (f"{what} It is NVIDIA's, and this MXNet is one for GPUs; "
                "docs/gpu.md of the course lists what it needs.")
    line = install_line(library)
    return (f"{what} Install it with `{line}`." if line else
            f"{what} Install your system's package that brings it.")


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


def _fork_workers(dataloader: Any) -> None:
    """Let a DataLoader's workers be forks, as before Python 3.14.

    They inherit the data set; sent to them, its NDArrays do not arrive. A
    start method that the reader has chosen stands.
    """
    def context() -> Any:
        chosen = multiprocessing.get_start_method(allow_none=True)
        return multiprocessing.get_context(chosen or "fork")

    # In the place of the module's `multiprocessing`.
    dataloader.multiprocessing = stand_in = types.ModuleType(
        "multiprocessing")
    vars(stand_in).update(
        vars(multiprocessing), get_context=context,
        Pool=lambda *args, **kwargs: context().Pool(*args, **kwargs),
        Process=lambda *args, **kwargs: context().Process(*args, **kwargs))


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
    _mend_slices(mxnet)
    _mend_predict_mode(mxnet)
    if sys.version_info >= (3, 14) and platform.system() == "Linux":
        _fork_workers(mxnet.gluon.data.dataloader)
    mend_ipython()
    # The first use creates the engine, which asks how many threads.
    mxnet.nd.waitall()
    if (platform.system() == "Linux"
            and os.environ.get("MXNET_ENGINE_TYPE") == "NaiveEngine"):
        _one_thread_after_fork()


class _Version(tuple):  # type: ignore[type-arg]
    """Numbers to compare: (2, 5, 1) of "2.5.1"."""

    def __new__(cls, text: str) -> _Version:
        return super().__new__(cls, map(int, re.findall(r"\d+", text)[:3]))


@contextlib.contextmanager
def _distutils() -> Iterator[None]:
    """Let MXNet find two names of distutils, which left Python in 3.12."""
    if sys.version_info < (3, 12):
        yield
        return
    package = types.ModuleType("distutils")
    module = types.ModuleType("distutils.version")
    vars(package).update(__path__=[], version=module)
    vars(module).update(StrictVersion=_Version, LooseVersion=_Version)
    before = {name: sys.modules.pop(name, None)
              for name in ("distutils", "distutils.version")}
    sys.modules.update({"distutils": package, "distutils.version": module})
    try:
        yield
    finally:
        for name, found in before.items():
            del sys.modules[name]
            if found:
                sys.modules[name] = found


@contextlib.contextmanager
def _clear_errors() -> Iterator[None]:
    """Errors of MXNet's import as an ImportError that names the cure."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name == "mxnet":
            raise ImportError(
                f"MXNet is not installed. {_cure()}") from None
        raise ImportError(
            f"MXNet needs the package {error.name!r}. Install it with "
            f"`pip install {error.name}`.") from error
    except OSError as error:
        raise ImportError(_library_error(error)) from error
    # A RuntimeError where it looks for a function by its name.
    except (AttributeError, RuntimeError) as error:
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
            _distutils(), warnings.catch_warnings():
        # MXNet's sources are old; their warnings are not the reader's.
        warnings.simplefilter("ignore")
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
