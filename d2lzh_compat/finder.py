"""Make `import mxnet` and `import d2lzh` work by themselves.

The file `d2lzh_compat.pth`, or `d2lzh_compat.start` since Python 3.15, lets
Python call `install` when it starts. Nothing more happens until a program
imports MXNet or the book's package: MXNet is then imported as
`d2lzh_compat.mxnet` does it, and `d2lzh` gets working functions in the place
of broken ones, if a package that has them is installed: the course's is one.
The environment variable D2LZH_HOOK=0 switches it off.
"""
from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # typing's own, without its import at every start
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def _ours(name: str) -> Any:
    """A module of this package. By name: they import this one."""
    import importlib
    return importlib.import_module(f"d2lzh_compat.{name}")


def _complete(_: Any) -> None:
    """Let what is installed put its functions into d2lzh."""
    _ours("modules").import_complements()


# What to call, with the module, once a module of that name is executed.
_after_import: dict[str, Callable[[Any], None]] = {}


def _mending(loader: Any) -> Any:
    """The loader that Python found, which mends what it has executed."""
    import copy

    # One of the same class, as tools that complete names want it.
    mending = copy.copy(loader)

    def exec_module(module: Any) -> None:
        # As Python would have it without the finder.
        module.__loader__ = module.__spec__.loader = loader
        after_import = _after_import.get(module.__name__)
        if after_import:
            loader.exec_module(module)
            after_import(module)
        else:
            _ours("mxnet").execute(loader, module)

    mending.exec_module = exec_module
    return mending


class Finder:
    """Stands before Python's own finders; says no to nearly all names."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
        if name != "mxnet" and name not in _after_import and not (
                # The launcher of MXNet's wheel, which works without MXNet.
                name.startswith("dmlc_tracker.")
                # What MXNet brings, and `import mxnet` does not import.
                or (name.startswith("mxnet.") and vars(
                    sys.modules["mxnet"]).get("mended_by_d2lzh_compat"))):
            return None
        # Python's own finders, and those of editable or frozen programs.
        for other in sys.meta_path[sys.meta_path.index(Finder) + 1:]:
            find_spec: Any = getattr(other, "find_spec", None)
            spec = find_spec and find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _mending(spec.loader)
                return spec
        return None


def call_after_import(name: str, function: Callable[[Any], None]) -> None:
    """Let `function` have a module as soon as a program imports it."""
    _after_import[name] = function
    insert()


def insert() -> None:
    """Put the finder before the others, once."""
    if Finder not in sys.meta_path:
        sys.meta_path.insert(0, Finder)


def install() -> None:
    """Called when Python starts."""
    if os.environ.get("D2LZH_HOOK") != "0":
        call_after_import("d2lzh", _complete)
