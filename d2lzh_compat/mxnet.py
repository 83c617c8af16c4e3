"""Import MXNet 1.9.1 on today's Python, and mend it.

* NumPy has removed names that MXNet asks for. While it is imported they
  stand on NumPy itself, which is then left as it was found; from then on
  MXNet's modules, and no others, have a stand-in for NumPy with the names.
* `distutils` left the standard library in Python 3.12. A stand-in has the
  two names that MXNet takes from it.
* The workers of a Gluon DataLoader are forks, as they were before Python
  3.14: MXNet sends them arrays that only a fork can take along.
* `openmp`, `arrays`, `drawing`, `modules`, `metrics`, `operators` and `custom`
  say what else is mended.
"""
from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import platform
import re
import subprocess
import sys
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from d2lzh_compat import (
    arrays,
    custom,
    finder,
    modules,
    operators,
    rewording,
)
from d2lzh_compat.openmp import one_thread_after_fork, openmp_settings
from d2lzh_compat.removed import numpy_names


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
                "d2lzh_compat makes it work with the newer one).")
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


def _fork_workers(dataloader: Any) -> None:
    """Let a DataLoader's workers be forks, as before Python 3.14.

    They inherit the data set; sent to them, its NDArrays do not arrive. A
    start method that the reader has chosen stands, unless it is the default.
    """
    def context() -> Any:
        chosen = multiprocessing.get_start_method(allow_none=True)
        # Whoever uses multiprocessing settles for the default, unasked.
        default = multiprocessing.get_all_start_methods()[0]
        return multiprocessing.get_context(
            "fork" if chosen in (None, default) else chosen)

    # In the place of the module's `multiprocessing`.
    dataloader.multiprocessing = stand_in = types.ModuleType(
        "multiprocessing")
    vars(stand_in).update(
        vars(multiprocessing), get_context=context,
        Pool=lambda *args, **kwargs: context().Pool(*args, **kwargs),
        Process=lambda *args, **kwargs: context().Process(*args, **kwargs))


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
    """Repair what newer NumPys and Pythons have broken in MXNet."""
    if vars(mxnet).get("mended_by_d2lzh_compat"):
        return  # it is reloaded
    mxnet.mended_by_d2lzh_compat = True
    arrays.mend(mxnet)
    modules.mend(mxnet)
    operators.mend(mxnet)
    custom.mend(mxnet)
    if sys.version_info >= (3, 14) and platform.system() == "Linux":
        _fork_workers(mxnet.gluon.data.dataloader)
    mend_ipython()
    # The first use creates the engine, which asks how many threads.
    mxnet.nd.waitall()
    if (platform.system() == "Linux"
            and os.environ.get("MXNET_ENGINE_TYPE") == "NaiveEngine"):
        one_thread_after_fork()


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
    ours = {"distutils": package, "distutils.version": module}
    before = {name: sys.modules[name] for name in ours.keys() & sys.modules}
    sys.modules.update(ours)
    try:
        yield
    finally:
        for name, stand_in in ours.items():
            # setuptools puts its own there, if it is imported meanwhile.
            if sys.modules.get(name) is stand_in:
                del sys.modules[name]
        sys.modules.update(before)


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
    # A RuntimeError where it looks for a function by its name; others are of
    # MXNet itself, a port that is taken say, or of two threads that import.
    except (AttributeError, RuntimeError) as error:
        if "numpy" not in str(error).lower():
            raise
        raise ImportError(
            f"MXNet 1.9.1 does not work with NumPy {np.__version__}: "
            f"{error}. Install one that is known to work: `pip install "
            "'numpy>=1.23,<2.6'`.") from error


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Let Python not look for garbage among what stays: modules."""
    if not gc.isenabled() or gc.get_freeze_count():  # the reader's choice
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        # So they count as old, and are not looked through right after.
        gc.freeze()
        gc.unfreeze()
        gc.enable()


@contextlib.contextmanager
def _loading() -> Iterator[None]:
    """What MXNet's modules find while they are executed."""
    with _clear_errors(), openmp_settings(), numpy_names(), _distutils(), \
            _no_collection(), warnings.catch_warnings():
        # MXNet's sources are old; their warnings are not the reader's.
        warnings.simplefilter("ignore")
        yield


def execute(loader: Any, module: types.ModuleType) -> None:
    """Execute MXNet, or a module of its wheel that comes later; mend it.

    Raises:
        ImportError: MXNet, or a library it needs, is not there; the message
            names the cure.
    """
    before = {*sys.modules}
    with _loading():
        if module.__name__ != "mxnet":
            loader.exec_module(module)
            rewording.reword(
                module, modules.REWORDED.get(module.__name__, {}))
            modules.mend_module(module)
            return
        try:
            loader.exec_module(module)
            _mend(module)
        except BaseException:
            # Half of it would stay, and fail in another way the next time.
            for name in {*sys.modules} - before:
                if name.startswith("mxnet."):
                    del sys.modules[name]
            raise


def import_mxnet() -> None:
    """Import MXNet so that later ``import mxnet`` statements just work.

    An MXNet that is already imported is left as it is, as is
    ``OMP_NUM_THREADS`` where it is set.

    Raises:
        ImportError: see `execute`.
    """
    finder.insert()  # which calls `execute`
    with _clear_errors():
        import mxnet  # noqa: F401
