"""Every name that MXNet and its launcher take is there today."""
from __future__ import annotations

import importlib
import itertools
import logging
import subprocess
import sys
import types
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from threading import Thread
from typing import Any, NamedTuple

import mxnet_names
import numpy as np
import pytest
from mxnet_names import Method, Names, Use, is_installed

from d2lzh_compat import removed
from d2lzh_compat.modules import REWORDED

# Packages that MXNet does without, what lies beside its scripts or in its
# repository, and modules of Python 2.
OPTIONAL = {
    "bokeh", "boken", "caffe", "caffe_pb2", "cv2", "decorator", "google",
    "google.protobuf", "h5py", "kubernetes", "mxboard", "onnx", "pandas",
    "pip", "pymesos", "requests", "scipy", "setuptools", "sklearn", "yaml",
    "caffe_parser", "caffe_proto_utils", "compare_layers",
    "convert_caffe_modelzoo", "convert_mean", "convert_model",
    "convert_symbol", "measure", "score", "test_score",
    "Queue", "__builtin__", "urllib2", "urlparse"}

# They import the package kubernetes.
UNIMPORTED = {"dmlc_tracker.kubernetes", "dmlc_tracker.submit"}

# What is not there and need not be, with the reason.
KNOWN = {
    ("mxnet.numpy_dispatch_protocol", "distutils.version.LooseVersion"):
        "asked for by decorators, so only while MXNet is imported",
    ("mxnet.tools.caffe_converter.compare_layers", "urllib.urlretrieve"):
        "a script for Python 2",
}

# The one place where names are made up, and the list that they are in.
MADE_UP = {
    f"mxnet.numpy_dispatch_protocol getattr(_np, {name})":
        "_NUMPY_ARRAY_FUNCTION_LIST" for name in ("op_name", "strs[0]")}

_ARRAY, _THREAD = np.zeros(1), Thread()
# Methods that have gone or will go, each with an object and arguments.
METHODS: dict[str, tuple[Any, ...]] = {
    "tostring": (_ARRAY,), "itemset": (_ARRAY, 0, 1.0),
    "newbyteorder": (_ARRAY,), "ptp": (_ARRAY,),
    "isAlive": (_THREAD,), "setDaemon": (_THREAD, True),
    "isDaemon": (_THREAD,), "getName": (_THREAD,),
    "setName": (_THREAD, "name"),
    "warn": (logging.Logger("quiet", logging.CRITICAL), "text"),
}


class Module(NamedTuple):
    """One of MXNet's files, and its globals where it can be imported."""

    names: Names
    variables: dict[str, Any]


@pytest.fixture(scope="module")
def found() -> dict[str, Module]:
    """All files of MXNet's wheel, as the layer has them."""
    modules = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, path in itertools.chain(*map(
                mxnet_names.files, ("mxnet", "dmlc_tracker"))):
            source = mxnet_names.reword(
                path.read_text(encoding="utf-8"), REWORDED.get(name, {}))
            modules[name] = Module(
                mxnet_names.read(name, source),
                {} if mxnet_names.is_script(path) or name in UNIMPORTED
                else vars(importlib.import_module(name)))
    assert len(modules) > 250
    return modules


def _fault(take: Callable[[], Any], action: Any) -> str:
    """What is wrong with a name; nothing if it is there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for category in (DeprecationWarning, PendingDeprecationWarning,
                         FutureWarning):
            warnings.simplefilter(action, category)
        try:
            take()
        except (ImportError, AttributeError, TypeError, Warning) as error:
            if (isinstance(error, ModuleNotFoundError)
                    and error.name in OPTIONAL):
                return ""
            return f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return ""


def use_faults(uses: Iterable[Use], variables: dict[str, Any],
               action: Any = "ignore") -> list[str]:
    """The names that are not there; with "error", those that warn too.

    What the layer has an answer for may warn: MXNet gets that when it goes.
    """
    faults = []
    for use in uses:
        package = use.source.split(".")[0]
        if (use.module, use.full_name) in KNOWN or (
                package in OPTIONAL and not is_installed(package)):
            continue
        if use.variable not in variables:
            # Warnings of a package's own import are not of the name.
            _fault(partial(importlib.import_module, package), "ignore")
        answered = use.source == "numpy" and use.name in removed.NUMPY
        fault = _fault(partial(mxnet_names.resolve, use, variables),
                       "ignore" if answered else action)
        if fault:
            faults.append(f"{use}: {fault}")
    return faults


def method_faults(methods: Iterable[Method], action: Any = "ignore"
                  ) -> list[str]:
    """The same for methods."""
    def call(name: str) -> None:
        owner, *arguments = METHODS[name]
        getattr(owner, name)(*arguments)

    faults = [(method, _fault(partial(call, method.name), action))
              for method in methods if method.name in METHODS]
    return [f"{method}: {fault}" for method, fault in faults if fault]


@pytest.mark.slow
@pytest.mark.parametrize("action", ["ignore", "error"])
def test_every_name_is_there(found, action):
    """And with "error": none is about to go."""
    faults = [fault for names, variables in found.values() for fault in (
        *use_faults(names.uses, variables, action),
        *method_faults(names.methods, action))]
    assert not faults, "\n".join(["", *faults])


@pytest.mark.slow
def test_names_that_are_made_up(found):
    made_up = [each for names, _ in found.values() for each in names.made_up]
    assert sorted(made_up) == sorted(MADE_UP)
    for text, names in MADE_UP.items():
        module = text.split()[0]
        variables = found[module].variables
        uses = [Use(module, 0, "numpy", name, "_np")
                for name in variables[names]]
        assert len(uses) > 100
        assert not use_faults(uses, variables, "error")


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info < (3, 10), reason="it lists no modules")
def test_no_module_of_python_is_about_to_go(found):
    """They warn when they are imported first, which has been long ago."""
    names = {use.source.split(".")[0] for each in found.values()
             for use in each.names.uses}
    names &= sys.stdlib_module_names
    # distutils: the layer has a stand-in where Python has none.
    names -= OPTIONAL | {"distutils"}
    assert len(names) > 30
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", "-c",
         f"import {', '.join(sorted(names))}"],
        capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_what_is_known_is_still_asked_for(found):
    uses = {(use.module, use.full_name) for each in found.values()
            for use in each.names.uses}
    assert len(uses) > 1500
    assert KNOWN.keys() <= uses


SOURCE = """
import collections.abc
import os, sys
import numpy as np
import numpy.random as rnd
from json import dumps, made_up_1
from . import numpy as mx_np
try:
    import made_up_2
except ImportError:
    pass

class A:
    def f(self, x):
        import xml.made_up_3
        from json import loads as read, made_up_4
        mx_np.made_up, x.made_up  # no imports, these
        read.made_up              # a function's own affair
        collections.abc.Mapping, np.linalg.norm(x, axis=0), np.float32.itemsize
        np.made_up_5, np.linalg.made_up_6, np.float32.made_up_7
        rnd.made_up_8(lambda: os.sep), getattr(np, "made_up_9")
        getattr(np, x)
        dumps(x, made_up_10=1), np.full((1,), 0, made_up_11=np.made_up_12)
        self.thread.isAlive()
        if sys.version_info < (3,):
            np.unicode_made_up
"""


def test_a_name_that_is_not_there_is_found():
    names = mxnet_names.read("a.b", SOURCE)
    faults = "\n".join(use_faults(names.uses, {}))
    for i in (*range(1, 10), 11, 12):  # json.dumps takes any keyword
        assert f"made_up_{i}:" in faults or f"'made_up_{i}'" in faults, i
    assert faults.count("\n") == 10, faults
    assert names.made_up == ["a.b getattr(np, x)"]
    (fault,) = method_faults(names.methods)
    assert fault.startswith("a.b:24 .isAlive(): AttributeError")


def test_a_name_is_asked_of_what_the_module_has():
    """As with the stand-ins that the layer puts in the place of NumPy."""
    use = Use("a", 1, "numpy", "made_up", "np")
    assert use_faults([use], {"np": np})
    stand_in = types.ModuleType("numpy")
    assert use_faults([use], {"np": stand_in})
    stand_in.made_up = 1
    assert not use_faults([use], {"np": stand_in})


def test_a_name_that_warns_is_found():
    stand_in = types.ModuleType("numpy")
    stand_in.__getattr__ = lambda name: warnings.warn(
        f"{name} will go", DeprecationWarning, stacklevel=2)
    use = Use("a", 1, "numpy", "pi", "np")
    assert not use_faults([use], {"np": stand_in})
    assert use_faults([use], {"np": stand_in}, "error") == [
        "a:1 numpy.pi: DeprecationWarning: pi will go"]
    assert not use_faults([use._replace(name="Inf")], {"np": stand_in},
                          "error")


def _deprecated():
    """What np.fix is in NumPy 2.5."""
    warnings.warn("gone soon", DeprecationWarning, stacklevel=2)


def test_a_function_that_warns_when_it_is_called_is_found():
    use = Use("a", 1, "numpy", "sort", "np")
    for sort, fault in ((_deprecated, True), (np.sort, False)):
        stand_in = types.ModuleType("numpy")
        stand_in.sort = sort
        variables = {"np": stand_in}
        assert not use_faults([use], variables)
        assert bool(use_faults([use], variables, "error")) is fault
