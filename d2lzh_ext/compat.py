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
"""
from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import sys
import warnings
from collections.abc import Iterator
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
        # How long a thread waits actively for the others. The default makes
        # training many times slower as soon as another program takes one of
        # the cores; benchmarks/NOTES.md has the figures.
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


def import_mxnet() -> None:
    """Import MXNet so that later ``import mxnet`` statements just work.

    An MXNet that is already imported is left as it is, as is
    ``OMP_NUM_THREADS`` where it is set.

    Raises:
        ImportError: MXNet, or a library it needs, is not there; the message
            names the cure.
    """
    if sys.modules.get("mxnet") is not None:
        return
    try:
        with _openmp_settings(), _numpy_names(), warnings.catch_warnings():
            # MXNet's sources are old; their warnings are not the reader's.
            warnings.simplefilter("ignore")
            import mxnet
            # The first use creates the engine, which asks how many threads.
            mxnet.nd.waitall()
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
        raise ImportError(
            f"MXNet's library does not load: {error}. On Debian and Ubuntu "
            "`apt-get install libgomp1` brings the OpenMP library that it "
            "needs.") from error
    except AttributeError as error:
        raise ImportError(
            f"MXNet 1.9.1 does not work with NumPy {np.__version__}: "
            f"{error}. Install an older one: `pip install 'numpy<2.6'`."
        ) from error
    if (platform.system() == "Linux"
            and os.environ.get("MXNET_ENGINE_TYPE") == "NaiveEngine"):
        _one_thread_after_fork()
