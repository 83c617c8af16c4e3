"""Make `import mxnet` and `import d2lzh` work by themselves.

The file `d2lzh_compat.pth`, or `d2lzh_compat.start` since Python 3.15, lets
Python call `install` when it starts. Nothing more happens until a program
imports MXNet or the book's package: MXNet is then imported as
`d2lzh_compat.mxnet` does it, and `d2lzh` gets the functions that d2lzh_ext
has in the place of broken ones.
The environment variable D2LZH_HOOK=0 switches it off.
"""
from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # typing's own, without its import at every start
if TYPE_CHECKING:
    from typing import Any


def _mending(loader: Any) -> Any:
    """The loader that Python found, which mends what it has executed."""
    import copy

    # One of the same class, as tools that complete names want it.
    mending = copy.copy(loader)

    def exec_module(module: Any) -> None:
        # As Python would have it without the finder.
        module.__loader__ = module.__spec__.loader = loader
        if module.__name__ == "d2lzh":
            loader.exec_module(module)
            from d2lzh_compat import modules
            modules.import_course()  # it puts its functions into d2lzh
            return

        def load() -> Any:
            loader.exec_module(module)
            return module

        from d2lzh_compat import mxnet
        if module.__name__ == "mxnet":
            mxnet.load_mxnet(load)
        else:
            mxnet.load_module(load)

    mending.exec_module = exec_module
    return mending


class Finder:
    """Stands before Python's own finders; says no to nearly all names."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
        if name not in ("mxnet", "d2lzh") and not (
                # What MXNet brings, and `import mxnet` does not import.
                name.startswith("mxnet.") and vars(sys.modules["mxnet"]).get(
                    "mended_by_d2lzh_compat")):
            return None
        from importlib.machinery import PathFinder
        spec: Any = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _mending(spec.loader)
        return spec


def install() -> None:
    """Called when Python starts."""
    if os.environ.get("D2LZH_HOOK") != "0" and Finder not in sys.meta_path:
        sys.meta_path.insert(0, Finder)
