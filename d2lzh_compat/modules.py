"""MXNet's own Python files on a newer NumPy."""
from __future__ import annotations

import functools
import importlib.util
import sys
import types
from typing import Any

import numpy as np

from d2lzh_compat.removed import numpy_with_names

_numpy = numpy_with_names()


def mend_module(module: types.ModuleType) -> None:
    """Give a module of MXNet a NumPy that has the removed names."""
    for name, value in vars(module).items():
        if value is np:
            setattr(module, name, _numpy)


def _mend_data_sets(vision: Any) -> None:
    """Let MNIST and FashionMNIST find their files, with the course at hand.

    MXNet downloads them from a host that has gone. The course replaces
    `_get_data` when it is imported; see d2lzh_ext/replace.py.
    """
    def finding(kind: Any) -> Any:
        download = kind._get_data

        @functools.wraps(download)
        def get_data(self: Any) -> None:
            if importlib.util.find_spec("d2lzh_ext"):
                importlib.import_module("d2lzh_ext")
            found = kind._get_data
            (download if found is get_data else found)(self)

        return get_data

    for kind in (vision.MNIST, vision.FashionMNIST):
        kind._get_data = finding(kind)


def mend(mxnet: Any) -> None:
    """Mend what is imported with MXNet."""
    for name, module in list(sys.modules.items()):
        if name.startswith("mxnet.") and module is not None:
            mend_module(module)
    _mend_data_sets(mxnet.gluon.data.vision)
