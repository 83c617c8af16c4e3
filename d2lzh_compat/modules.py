"""The Python files of MXNet's wheel on newer NumPys and Pythons.

* They have a stand-in for NumPy with the removed names.
* `REWORDED` lists what a file must say instead of what it says.
* Gluon's MNIST and FashionMNIST find their files, where the course is at hand.
"""
from __future__ import annotations

import functools
import importlib
import sys
import types
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from d2lzh_compat import metrics, operators
from d2lzh_compat.arrays import array, plain
from d2lzh_compat.removed import numpy_with_names
from d2lzh_compat.rewording import Changes, reword

_CSR = {"spsp.csr.csr_matrix": "spsp.csr_matrix"}
_BYTES = {".tostring()": ".tobytes()"}
_TYPES = {"from onnx.mapping import": "from d2lzh_compat.onnx import"}
_NO_TYPE = {"isinstance(mode, _np.compat.basestring)": "isinstance(mode, str)"}
_DAEMON = {".setDaemon(True)": ".daemon = True"}
_ALIVE = {".isAlive()": ".is_alive()"}
REWORDED: dict[str, dict[str, Changes]] = {
    # The launcher of the wheel, which is a package of its own.
    "dmlc_tracker.local": {"submit": _DAEMON},
    "dmlc_tracker.mesos": {"submit": _DAEMON},
    "dmlc_tracker.mpi": {"submit": _DAEMON},
    # Options that this release calls otherwise, and a missing space.
    "dmlc_tracker.sge": {
        "submit": {"args.logdir": "args.sge_log_dir",
                   "args.vcores": "args.worker_cores",
                   "'-q %s'": "' -q %s'"}},
    # An option that Slurm has removed.
    "dmlc_tracker.slurm": {
        "submit": {**_DAEMON, "srun --share": "srun"}},
    "dmlc_tracker.ssh": {"submit": _DAEMON},
    "dmlc_tracker.tracker": {
        "RabitTracker.start": _DAEMON, "RabitTracker.join": _ALIVE,
        "RabitTracker.alive": _ALIVE, "PSTracker.__init__": _DAEMON,
        "PSTracker.join": _ALIVE, "PSTracker.alive": _ALIVE,
        "get_host_ip": {"logging.warn(": "logging.warning("}},
    "dmlc_tracker.yarn": {"yarn_submit": _DAEMON},
    "mxnet.contrib.onnx.onnx2mx._op_translations": dict.fromkeys(
        ("random_uniform", "random_normal", "sample_multinomial", "cast"),
        _TYPES),
    "mxnet.io.io": {"PrefetchingIter.__init__": _DAEMON},
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
    # A model of `Module`: what is not written out, and no label to look up.
    "mxnet.onnx.mx2onnx._op_translations._op_translations_opset12": {
        "convert_fully_connected": {
            "get_boolean_attribute_value(attrs, 'flatten')":
            "attrs.get('flatten', 'True') in ('True', '1')"}},
    "mxnet.onnx.mx2onnx._op_translations._op_translations_opset13": {
        "convert_softmax_output": {
            "get_inputs(node, kwargs)":
            "get_inputs({**node, 'inputs': node['inputs'][:1]}, kwargs)"}},
    "mxnet.recordio": {"pack": _BYTES, "pack_img": _BYTES},
    "mxnet.symbol.numpy._symbol": {"pad": _NO_TYPE},
}
_numpy: Any = numpy_with_names()
_numpy.array = array


def _mend_random(mxnet: Any) -> None:
    """Let a size be a number of NumPy, which is compared with ()."""
    def with_plain_numbers(draw: Any) -> Any:
        @functools.wraps(draw)
        def mended(*args: Any, **kwargs: Any) -> Any:
            return draw(*map(plain, args), **{
                name: plain(value) for name, value in kwargs.items()})

        return mended

    for module in (mxnet.ndarray.numpy.random, mxnet.symbol.numpy.random,
                   mxnet.ndarray.numpy_extension.random,
                   mxnet.symbol.numpy_extension.random):
        for name, draw in list(vars(module).items()):
            if getattr(draw, "__module__", "") == module.__name__:
                setattr(module, name, with_plain_numbers(draw))


def import_complements() -> None:
    """Import what completes d2lzh and Gluon's data sets: the course does.

    A distribution names such a module by an entry point `d2lzh_compat`.
    """
    from importlib import metadata  # slow to import

    found: Any = metadata.entry_points()
    for entry_point in (found.select(group="d2lzh_compat")
                        if sys.version_info >= (3, 10)
                        else found.get("d2lzh_compat", ())):
        try:
            # Not `load`, which does not accept a module that is half made,
            # in another thread say.
            __import__(entry_point.value)
        except Exception as error:  # of somebody else's package
            warnings.warn(f"{entry_point.value} cannot complete d2lzh and "
                          f"Gluon's data sets: {error}", stacklevel=2)


def _mend_data_sets(vision: Any) -> None:
    """Let MNIST and FashionMNIST find their files, with the course at hand.

    MXNet downloads them from a host that has gone. The course replaces
    `_get_data` when it is imported; see d2lzh_ext/first_edition.py.
    """
    def finding(kind: Any) -> Any:
        download = kind._get_data

        def get_data(self: Any) -> None:
            import_complements()
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
    vars(stand_in)["__getattr__"] = find
    return stand_in


def mend_module(module: types.ModuleType,
                replaced: Mapping[int, Any] | None = None) -> None:
    """Mend a module that MXNet brings.

    Args:
        replaced: by what to replace the globals of these identities.
    """
    found = {id(np): _numpy, **(replaced or {})}
    for name, value in list(vars(module).items()):
        if id(value) in found:
            setattr(module, name, found[id(value)])
        elif name == "onnx" and getattr(value, "__name__", "") == name:
            setattr(module, name, _onnx_with_mapping(value))


def mend(mxnet: Any) -> None:
    """Mend what is imported with MXNet."""
    loaded = [module for name, module in list(sys.modules.items())
              if name.startswith("mxnet.") and module is not None]
    replaced = operators.replacements(mxnet, loaded)
    for module in loaded:
        replaced.update(reword(module, REWORDED.get(module.__name__, {})))
    by_identity = {id(old): new for old, new in replaced.items()}
    for module in loaded:
        mend_module(module, by_identity)
    converters = [
        mxnet.contrib.onnx.onnx2mx._import_helper._convert_map,
        *mxnet.onnx.mx2onnx._export_onnx.MXNetGraph.registry_.values()]
    for table in converters:
        for name, function in table.items():
            table[name] = replaced.get(function, function)
    if not isinstance(0.0 + np.float32(0), np.float64):
        metrics.mend(mxnet.metric)
    _mend_random(mxnet)
    _mend_data_sets(mxnet.gluon.data.vision)
