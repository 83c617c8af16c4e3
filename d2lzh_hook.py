"""Make `import mxnet` and `import d2lzh` work by themselves.

Where d2lzh_ext is installed, its file `d2lzh_ext.pth`, or `d2lzh_ext.start`
since Python 3.15, lets Python call `install` when it starts. Nothing more
happens until a program imports MXNet or the book's package: MXNet is then
imported as `d2lzh_ext.compat` does it, and `d2lzh` gets the functions that
d2lzh_ext has in the place of broken ones.
The environment variable D2LZH_HOOK=0 switches it off.
"""
import os
import sys


class _Loader:
    """The loader that Python found, and what d2lzh_ext does besides."""

    def __init__(self, loader):
        self.loader = loader

    def __getattr__(self, name):
        return getattr(self.loader, name)

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        # As Python would have it without the hook.
        module.__loader__ = module.__spec__.loader = self.loader
        if module.__name__ == "d2lzh":
            self.loader.exec_module(module)
            import d2lzh_ext  # noqa: F401  (puts its functions into d2lzh)
            return

        def load():
            self.loader.exec_module(module)
            return module

        _compat().load_mxnet(load)


def _compat():
    """The module d2lzh_ext.compat, without the rest of its package."""
    name = "d2lzh_ext.compat"
    if name not in sys.modules:
        from importlib import util
        package = util.find_spec("d2lzh_ext")
        path = os.path.join(*package.submodule_search_locations, "compat.py")
        spec = util.spec_from_file_location(name, path)
        sys.modules[name] = util.module_from_spec(spec)
        try:
            spec.loader.exec_module(sys.modules[name])
        except BaseException:  # Ctrl-C, say
            del sys.modules[name]
            raise
    return sys.modules[name]


class Finder:
    """Stands before Python's own finders; says no to all but two names."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name not in ("mxnet", "d2lzh"):
            return None
        from importlib.machinery import PathFinder
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


def install():
    """Called when Python starts."""
    if os.environ.get("D2LZH_HOOK") != "0" and Finder not in sys.meta_path:
        sys.meta_path.insert(0, Finder)
