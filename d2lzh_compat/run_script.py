"""Run an old script as `python` does, with the names that it asks for.

    python -m d2lzh_compat script.py arguments...

Child processes of `multiprocessing` have the names as well. `old_names` says
how a file gets them.
"""
from __future__ import annotations

import atexit
import builtins
import getopt
import importlib.util
import os
import sys
import tempfile
import types
from collections.abc import Collection
from typing import Any

from d2lzh_compat import old_names
from d2lzh_compat.old_names import OldLoader

_USAGE = """\
usage: python -m d2lzh_compat [--names PACKAGES] script.py arguments...
       python -m d2lzh_compat [--names PACKAGES] -m module arguments...

Runs an old script as `python` does, and puts names back that NumPy and
Python have removed: np.int, collections.Iterable, time.clock and more. They
are there for the files in the script's folder, and for those of PACKAGES (a
list with commas), wherever they are. At the end it says which name was used
where, and what to write today.
"""


def _options(arguments: list[str]) -> tuple[list[str], bool, list[str]]:
    """The packages, whether a module runs, and what, with its arguments."""
    options: list[tuple[str, str]] = []
    try:
        options, rest = getopt.getopt(arguments, "hm", ["help", "names="])
    except getopt.GetoptError:
        rest = []
    names = {name for name, _ in options}
    if names & {"-h", "--help"}:
        print(_USAGE, end="")
        sys.exit()
    if not rest or rest[0] == "-":
        sys.stderr.write(_USAGE)
        sys.exit(2)
    packages = ",".join(value for _, value in options)
    return packages.split(","), "-m" in names, rest


def _main_module(name: str, file: str, loader: Any) -> types.ModuleType:
    """A module `__main__`, in the place of the one there is."""
    module = types.ModuleType(name)
    vars(module).update(__file__=file, __builtins__=builtins,
                        __loader__=loader)
    if sys.version_info < (3, 15):  # which has it no more
        vars(module)["__cached__"] = None
    sys.modules["__main__"] = sys.modules[name] = module
    return module


def _start_module(name: str) -> tuple[types.ModuleType, types.CodeType]:
    try:
        spec: Any = importlib.util.find_spec(name)
        if spec and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{name}.__main__")
    except ModuleNotFoundError as error:
        sys.exit(f"{sys.executable}: {error}")
    if spec is None or not hasattr(spec.loader, "get_code"):
        sys.exit(f"{sys.executable}: No module named {name}")
    code = spec.loader.get_code(spec.name)
    module = _main_module("__main__", spec.origin, spec.loader)
    vars(module).update(__spec__=spec, __package__=spec.parent)
    if "__cached__" in vars(module):
        vars(module)["__cached__"] = spec.cached
    sys.argv[0] = spec.origin
    return module, code


def _start_script(path: str) -> tuple[types.ModuleType, types.CodeType]:
    file = os.path.join(os.getcwd(), path)
    loader = OldLoader("__main__", file)
    module = _main_module("__main__", file, loader)
    try:
        return module, loader.get_code("__main__")
    except OSError as error:
        sys.stderr.write(f"{sys.executable}: can't open file {file!r}: "
                         f"[Errno {error.errno}] {error.strerror}\n")
        sys.exit(2)


class _ForChild(dict):  # type: ignore[type-arg]
    """What a child process is told, which gets the names by reading it."""

    def __init__(self, told: dict[str, Any], *settings: Any) -> None:
        super().__init__(told)
        self.settings = settings

    def __reduce__(self) -> Any:
        return _in_child, (dict(self), *self.settings)


def _in_child(told: dict[str, Any], *settings: Any) -> dict[str, Any]:
    from multiprocessing import spawn

    _put_names_back(*settings)
    path = told.pop("init_main_from_path", None)
    spawn.prepare(told)
    if path is not None:
        loader = OldLoader("__mp_main__", path)
        old, new = sys.modules["__main__"], _main_module(
            "__mp_main__", path, loader)
        vars(spawn)["old_main_modules"].append(old)
        exec(loader.get_code("__mp_main__"), vars(new))
    return {}


def _put_names_back(folder: str, packages: Collection[str], notes: str
                    ) -> None:
    """Give this process the names, and those that it starts."""
    from multiprocessing import forkserver, spawn

    old_names.share_notes(notes)
    old_names.install(folder, packages)
    told = spawn.get_preparation_data
    spawn.get_preparation_data = lambda name: _ForChild(
        told(name), folder, packages, notes)
    # Else it would import the script before it is told.
    forkserver.set_forkserver_preload([])


def _begin_traceback_at(code: types.CodeType | None) -> None:
    """Let the traceback of an error that is on its way begin there."""
    show = sys.excepthook  # the script may have set it

    def show_script(kind: Any, error: Any, trace: Any) -> None:
        while trace and trace.tb_frame.f_code is not code:
            trace = trace.tb_next
        show(kind, error.with_traceback(trace), trace)

    sys.excepthook = show_script


def main() -> None:
    """Run the script that the command line names, and report."""
    packages, is_module, sys.argv[:] = _options(sys.argv[1:])
    handle, notes = tempfile.mkstemp(prefix="d2lzh_old_names_")
    os.close(handle)
    process, whole, code = os.getpid(), False, None

    def at_exit() -> None:
        if os.getpid() == process:  # and not a fork
            text = old_names.report()
            os.remove(notes)
            if whole or text != old_names.NOTHING:
                sys.stderr.write(text)

    atexit.register(at_exit)
    folder = os.getcwd() if is_module else os.path.dirname(
        os.path.realpath(sys.argv[0]))
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = folder
    _put_names_back(folder, packages, notes)
    start = _start_module if is_module else _start_script
    try:
        script, code = start(sys.argv[0])
        exec(code, vars(script))
        whole = True
    except BaseException as error:
        whole = isinstance(error, SystemExit) and not error.code
        _begin_traceback_at(code)
        raise
