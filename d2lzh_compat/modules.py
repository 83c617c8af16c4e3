"""MXNet's own Python files on newer NumPys and Pythons.

* They have a stand-in for NumPy with the removed names.
* `_WORDS` lists what a file must say instead of what it says.
* Totals of metrics are float64 and results plain floats, as NumPy 1 had them:
  with NumPy 2, 0.0 + np.float32(1) is float32.
* Gluon's MNIST and FashionMNIST find their files, where the course is at hand.
"""
from __future__ import annotations

import functools
import importlib.util
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from d2lzh_compat.removed import numpy_with_names
from d2lzh_compat.rewording import Changes, reword

_CSR = {"spsp.csr.csr_matrix": "spsp.csr_matrix"}
_BYTES = {".tostring()": ".tobytes()"}
_TYPES = {"from onnx.mapping import": "from d2lzh_compat.onnx import"}
_NO_TYPE = {"isinstance(mode, _np.compat.basestring)": "isinstance(mode, str)"}
_WORDS: dict[str, dict[str, Changes]] = {
    "mxnet.contrib.onnx.onnx2mx._op_translations": dict.fromkeys(
        ("random_uniform", "random_normal", "sample_multinomial", "cast"),
        _TYPES),
    "mxnet.io.io": {
        "PrefetchingIter.__init__": {
            "thread.setDaemon(True)": "thread.daemon = True"}},
    # Within one update as well.
    "mxnet.metric": {
        "Perplexity.update": {
            "ndarray.sum(ignore).asscalar()":
            "float(ndarray.sum(ignore).asscalar())",
            "ndarray.sum(ndarray.log(ndarray.maximum(1e-10, pred)))"
            ".asscalar()":
            "float(ndarray.sum(ndarray.log(ndarray.maximum(1e-10, pred)))"
            ".asscalar())"}},
    "mxnet.ndarray.ndarray": {
        "moveaxis": {
            "np.core.numeric.normalize_axis_tuple":
            "np.lib.array_utils.normalize_axis_tuple"}}
    if hasattr(np.lib, "array_utils") else {},
    "mxnet.ndarray.numpy._op": {"pad": _NO_TYPE},
    "mxnet.ndarray.sparse": dict.fromkeys(
        ("_prepare_default_dtype", "csr_matrix", "array"), _CSR),
    "mxnet.ndarray.utils": {"array": _CSR},
    # NumPy's linear algebra returns named tuples.
    "mxnet.numpy.multiarray": {
        "_as_mx_np_array": {
            "return object.__class__(tmp)":
            "return tuple(tmp) if isinstance(object, tuple) else tmp"}},
    "mxnet.onnx.mx2onnx._export_model": {
        "export_model": {
            "from onnx import helper, mapping, shape_inference":
            "from onnx import helper, shape_inference; "
            "from d2lzh_compat import onnx as mapping"}},
    "mxnet.onnx.mx2onnx._export_onnx": {
        "MXNetGraph.get_outputs": {
            "from onnx import mapping":
            "from d2lzh_compat import onnx as mapping"}},
    "mxnet.recordio": {"pack": _BYTES, "pack_img": _BYTES},
    "mxnet.symbol.numpy._symbol": {"pad": _NO_TYPE},
}
_numpy = numpy_with_names()


class _Total(float):
    """A total that NumPy's float32 cannot make one of its own kind."""

    def __add__(self, other: Any) -> Any:
        return float(self) + _wide(other)

    def __sub__(self, other: Any) -> Any:
        return float(self) - _wide(other)

    def __mul__(self, other: Any) -> Any:
        return float(self) * _wide(other)

    def __truediv__(self, other: Any) -> Any:
        return float(self) / _wide(other)


def _wide(value: Any) -> Any:
    """A number of NumPy as one of Python."""
    return value.item() if isinstance(value, np.generic) else value


class _TotalOf:
    """An attribute that is a `_Total` where it is a float."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, metric: Any, owner: Any = None) -> Any:
        if metric is None:
            return self
        try:
            value = vars(metric)[self.name]
        except KeyError:
            raise AttributeError(self.name) from None
        return _Total(value) if isinstance(value, float) else value

    def __set__(self, metric: Any, value: Any) -> None:
        vars(metric)[self.name] = _wide(value)


def _mend_metrics(module: Any) -> None:
    def plain(get: Callable[[Any], Any]) -> Callable[[Any], Any]:
        @functools.wraps(get)
        def mended(self: Any) -> Any:
            names, values = get(self)
            return names, ([*map(_wide, values)] if isinstance(values, list)
                           else _wide(values))

        return mended

    for name in ("sum_metric", "global_sum_metric", "num_inst",
                 "global_num_inst"):
        setattr(module.EvalMetric, name, _TotalOf(name))
    for kind in vars(module).values():
        if isinstance(kind, type) and issubclass(kind, module.EvalMetric):
            for name in {"get", "get_global"} & vars(kind).keys():
                setattr(kind, name, plain(vars(kind)[name]))


def _mend_random(mxnet: Any) -> None:
    """Let a size be a number of NumPy, which is compared with ()."""
    def plain_size(draw: Any, place: int) -> Any:
        @functools.wraps(draw)
        def mended(*args: Any, **kwargs: Any) -> Any:
            if "size" in kwargs:
                kwargs["size"] = _wide(kwargs["size"])
            elif len(args) > place:
                args = (*args[:place], _wide(args[place]), *args[place + 1:])
            return draw(*args, **kwargs)

        return mended

    for module in (mxnet.ndarray.numpy.random, mxnet.symbol.numpy.random,
                   mxnet.ndarray.numpy_extension.random,
                   mxnet.symbol.numpy_extension.random):
        for name, draw in list(vars(module).items()):
            if (isinstance(draw, types.FunctionType)
                    and draw.__module__ == module.__name__):
                code = draw.__code__
                names = code.co_varnames[:code.co_argcount]
                if "size" in names:
                    setattr(module, name,
                            plain_size(draw, names.index("size")))


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


def _onnx_with_mapping(onnx: types.ModuleType) -> types.ModuleType:
    """A stand-in for onnx that still has `onnx.mapping`."""
    def find(name: str) -> Any:
        if name == "mapping":
            return importlib.import_module("d2lzh_compat.onnx")
        return getattr(onnx, name)

    stand_in = types.ModuleType("onnx", onnx.__doc__)
    vars(stand_in).update({**vars(onnx), "__getattr__": find})
    return stand_in


def mend_module(module: types.ModuleType,
                replaced: dict[int, Any] | None = None) -> None:
    """Mend a module that MXNet brings.

    Args:
        replaced: by what to replace the globals of these identities.
    """
    found = {id(np): _numpy, **(replaced or {})}
    for name, value in list(vars(module).items()):
        if id(value) in found:
            setattr(module, name, found[id(value)])
        elif name == "onnx" and isinstance(value, types.ModuleType):
            setattr(module, name, _onnx_with_mapping(value))


def mend(mxnet: Any) -> None:
    """Mend what is imported with MXNet."""
    reworded = {}
    for name, changes in _WORDS.items():
        reworded.update(reword(sys.modules[name], changes))
    replaced = {id(old): new for old, new in reworded.items()}
    for name, module in list(sys.modules.items()):
        if name.startswith("mxnet.") and module is not None:
            mend_module(module, replaced)
    operators = mxnet.contrib.onnx.onnx2mx._import_helper._convert_map
    for name, function in operators.items():
        operators[name] = reworded.get(function, function)
    if not isinstance(0.0 + np.float32(0), np.float64):
        _mend_metrics(mxnet.metric)
    _mend_random(mxnet)
    _mend_data_sets(mxnet.gluon.data.vision)
