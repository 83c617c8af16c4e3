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


class _Loader:
    """The loader that Python found, and what we do besides."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def create_module(self, spec: Any) -> Any:
        return self.loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        # As Python would have it without the finder.
        module.__loader__ = module.__spec__.loader = self.loader
        if module.__name__ == "d2lzh":
            self.loader.exec_module(module)
            import d2lzh_ext  # noqa: F401  (puts its functions into d2lzh)
            return

        def load() -> Any:
            self.loader.exec_module(module)
            return module

        from d2lzh_compat import mxnet
        if module.__name__ == "mxnet":
            mxnet.load_mxnet(load)
        else:
            mxnet.load_module(load)


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
            spec.loader = _Loader(spec.loader)
        return spec


def install() -> None:
    """Called when Python starts."""
    if os.environ.get("D2LZH_HOOK") != "0" and Finder not in sys.meta_path:
        sys.meta_path.insert(0, Finder)
