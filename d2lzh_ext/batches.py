"""Batches as readers bring them: taken, checked, and given to devices.

One check stands before everything that trains or measures. MXNet takes
labels that fit no class for the nearest one, compares labels of another
shape as far as they go, and computes on with what is not a number.
"""
from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence, Sized
from contextlib import closing, nullcontext
from types import FrameType
from typing import Any, Union

import mxnet as mx
import numpy as np
from mxnet import gluon, nd

from d2lzh_compat.arrays import check_arrays
from d2lzh_ext.data import as_numpy, class_numbers, numpy_view
from d2lzh_ext.files.parameters import named_parameters

# Pairs of images and labels, as a Gluon DataLoader yields them, or the
# DataBatches of an mx.io iterator.
Batches = Iterable[Any]
Devices = Union[mx.Context, Sequence[mx.Context], None]
Pair = tuple[mx.nd.NDArray, mx.nd.NDArray]

_MAX_QUEUED_BYTES = 2**24  # bytes of images


def _parameters(net: Any) -> list[Any]:
    """The parameters of a network, or of what is compiled for it.

    The book's early sections have functions in the place of networks, which
    have none.
    """
    net = getattr(net, "net", net)
    return ([parameter for _, parameter in named_parameters(net)]
            if isinstance(net, gluon.Block) else [])


def _parameter_dtype(net: Any) -> np.dtype[Any]:
    parameters = _parameters(net)
    return np.dtype(parameters[0].dtype if parameters else "float32")


def devices_of(ctx: Devices, net: Any, training: bool = False
               ) -> list[mx.Context]:
    """`ctx` as a list; the CPU for None.

    Raises:
        RuntimeError: `net` has not been initialised.
        TypeError: It is neither a device nor a list of devices.
        ValueError: `net` has no parameters there; or, for training, on
            other devices as well.
    """
    several = ([mx.cpu()] if ctx is None else
               [ctx] if isinstance(ctx, mx.Context) else ctx)
    if not isinstance(several, (list, tuple)) or not several or not all(
            isinstance(each, mx.Context) for each in several):
        raise TypeError(f"ctx is {ctx!r}; it must be a device, such as "
                        "mx.cpu() or d2l.try_gpu(), or a list of devices")
    for parameter in _parameters(net):
        if parameter._data is None and not parameter._deferred_init:
            raise RuntimeError(
                f"{parameter.name} of the network has no values: call "
                "net.initialize(init.Xavier(), ctx=ctx), after the last "
                "layer has been added")
        there = parameter.list_ctx()
        if not set(several) <= set(there) or (
                training and len(several) < len(there)):
            raise ValueError(
                f"the network is on {there}, and ctx is {several}: move it "
                "by net.collect_params().reset_ctx(ctx), before its trainer "
                "is made, or name the devices that it is on")
    return list(several)


def check_trainer(trainer: Any, net: gluon.Block) -> None:
    """Refuse what cannot update the parameters of `net`.

    Raises:
        TypeError: It has no `step`.
        ValueError: It is the trainer of another network.
    """
    if not hasattr(trainer, "step"):
        raise TypeError(
            f"trainer is {trainer!r}; wanted is a Trainer, such as gluon."
            "Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.1})")
    own = {id(parameter) for parameter in _parameters(net)}
    if isinstance(trainer, gluon.Trainer) and not any(
            id(parameter) in own for parameter in trainer._params):
        raise ValueError(
            "the trainer has no parameter of this network: make it after "
            "the network, of net.collect_params()")


def _images_and_labels(batch: Any) -> tuple[Any, Any]:
    """Images and labels of one batch."""
    if isinstance(batch, mx.io.DataBatch):
        images, labels = batch.data, batch.label or []
        if len(images) != 1 or len(labels) != 1:
            raise TypeError(f"a DataBatch has {len(images)} arrays of data "
                            f"and {len(labels)} of labels; one each is "
                            "wanted")
        n = len(images[0]) - (batch.pad or 0)  # the rest are repeated
        return images[0][:n], labels[0][:n]
    if not isinstance(batch, (list, tuple)) or len(batch) != 2:
        what = (f"{type(batch).__name__} of {len(batch)}" if isinstance(
            batch, (list, tuple)) else type(batch).__name__)
        raise TypeError(
            f"a batch is a {what}; wanted is a pair (images, labels), as "
            "gluon.data.DataLoader(gluon.data.ArrayDataset(images, labels), "
            "batch_size) yields them")
    return batch[0], batch[1]


def _images(X: Any, dtype: np.dtype[Any]) -> mx.nd.NDArray:
    """Images as an NDArray of numbers with a fraction, none of them NaN."""
    if isinstance(X, (list, np.ndarray)):
        X = as_numpy(X)
        # Python's and NumPy's own numbers are float64, by nobody's choice.
        X = nd.array(X, dtype=X.dtype if X.dtype.kind in "iub" else dtype)
    if not isinstance(X, mx.nd.NDArray):
        raise TypeError(f"images are a {type(X).__name__}; wanted is an "
                        "NDArray (n, channels, height, width): nd.array(X)")
    dtype = np.dtype(X.dtype)
    if X.stype != "default":
        raise TypeError(f"images are of the sparse kind {X.stype}; "
                        "X.tostype('default') makes them dense")
    if X.ndim < 2 or not X.size:
        raise ValueError(f"images are an array {X.shape}; wanted is "
                         "(n, channels, height, width), with at least one")
    if not np.issubdtype(dtype, np.floating):
        raise TypeError(
            f"images are {dtype}, and the network computes with float32: "
            "X.astype('float32') / 255 makes such of bytes")
    on_cpu = X.context.device_type == "cpu"
    if np.isnan((numpy_view(X) if on_cpu else X.asnumpy()).min()):
        raise ValueError(
            "a batch has images with numbers that are not a number (NaN): "
            "look at the data with np.isnan(X.asnumpy()).any(axis=(1, 2, 3))")
    return X


def _labels(y: Any, n: int) -> mx.nd.NDArray:
    """Labels (n,) as an NDArray."""
    values = class_numbers(y, n)
    if (isinstance(y, mx.nd.NDArray) and y.shape == values.shape
            and values.dtype.kind != "b"):
        return y
    return nd.array(values, dtype="float32"
                    if values.dtype.kind == "f" else "int32")


def progress(batches: Batches, title: str) -> Any:
    """A bar over `batches` where a person watches, to be closed.

    ``D2LZH_PROGRESS`` set to 1 or 0 decides; otherwise a terminal or an
    open notebook counts as watched.
    """
    wanted = os.environ.get("D2LZH_PROGRESS")
    in_notebook = wanted is None and "ipykernel" in sys.modules
    if not (in_notebook or wanted == "1"
            or (wanted is None and sys.stderr.isatty())):
        return nullcontext(batches)
    if in_notebook:
        from tqdm.auto import tqdm
    else:
        from tqdm import tqdm
    # tqdm may ask for an iterator twice, and a loader shuffles each time.
    return closing(tqdm(
        iter(batches), desc=title, unit="batch", leave=False,
        total=len(batches) if isinstance(batches, Sized) else None))


def checked(data_iter: Batches, net: Any, title: str | None = None
            ) -> Iterator[Pair]:
    """Images and labels, batch by batch, checked; with a bar if titled.

    Args:
        data_iter: Batches of images and labels; NumPy arrays and labels
            (n, 1) are taken as well. An iterator of mx.io starts anew.
        net: The network they are for; NumPy's numbers get its type.
        title: What the bar says.

    Yields:
        Images of a floating type, (n, ...), and labels (n,).

    Raises:
        RuntimeError: ``mx.npx.set_np()`` is on.
        TypeError: A batch is no pair, images are not of a floating type, or
            labels are not numbers.
        ValueError: Labels are not one whole number from 0 for each image,
            or an image has a NaN.
    """
    check_arrays()
    dtype = _parameter_dtype(net)
    if isinstance(data_iter, mx.io.DataIter):
        data_iter.reset()
    with (progress(data_iter, title) if title
          else nullcontext(data_iter)) as batches:
        for batch in batches:
            images, labels = _images_and_labels(batch)
            X = _images(images, dtype)
            yield X, _labels(labels, len(X))


def split(X: mx.nd.NDArray, y: mx.nd.NDArray, devices: list[mx.Context]
          ) -> list[Pair]:
    """An equal part of a batch for each device; sizes differ by one.

    Raises:
        ValueError: There are fewer images than devices.
    """
    if len(X) < len(devices):
        raise ValueError(
            f"a batch of {len(X)} images cannot be divided among "
            f"{len(devices)} devices: leave it out (last_batch='discard' of "
            "a DataLoader), or name fewer devices")
    return list(zip(*(gluon.utils.split_and_load(
        array, devices, even_split=False) for array in (X, y))))


def scores(net: Any, X: mx.nd.NDArray, y: mx.nd.NDArray) -> mx.nd.NDArray:
    """What `net` gives for `X`: scores (n, classes), for labels `y` (n,).

    Raises:
        TypeError: `net` gives several arrays.
        ValueError: `net` does not take `X`, gives another shape, or a label
            is no class.
    """
    try:
        y_hat = net(X)
    except (mx.base.MXNetError, ValueError) as error:
        if not _raised_by_mxnet(error):
            raise
        raise _shape_error(net, X, error) from error
    if not isinstance(y_hat, mx.nd.NDArray):
        what = (f"{len(y_hat)} arrays" if isinstance(y_hat, (list, tuple))
                else f"a {type(y_hat).__name__}")
        raise TypeError(f"the network gives {what}; wanted is one array of "
                        "scores (n, classes): let its forward return that "
                        "alone")
    if y_hat.ndim != 2 or len(y_hat) != len(X):
        raise ValueError(
            f"the network gives an array {y_hat.shape} for {len(X)} images; "
            f"wanted are scores ({len(X)}, classes)" + (
                ": net.add(nn.GlobalAvgPool2D(), nn.Flatten()) makes such of "
                "maps" if y_hat.ndim == 4 else ""))
    class_numbers(y, len(y), high=y_hat.shape[1] - 1)
    return y_hat


def _frames(error: Exception) -> list[FrameType]:
    return [frame for frame, _ in traceback.walk_tb(error.__traceback__)]


def _raised_by_mxnet(error: Exception) -> bool:
    """Whether MXNet has refused something, and not the reader's own code."""
    return str(_frames(error)[-1].f_globals["__name__"]).startswith("mxnet.")


def _shape_error(net: Any, X: mx.nd.NDArray, error: Exception) -> ValueError:
    """MXNet's complaint about a batch, as one clear line."""
    reason = str(error).strip().splitlines()[-1].rpartition(" : ")[2]
    reason = reason.replace("MXNetError: ", "")
    layers = [frame.f_locals["self"] for frame in _frames(error)
              if isinstance(frame.f_locals.get("self"), gluon.Block)]
    if layers:  # the innermost is the one that was called last
        path = _layer_path(layers[0], layers[-1]) or ""
        reason = f"layer {path} {layers[-1]!r} says: {reason}"
    given, own = np.dtype(X.dtype), _parameter_dtype(net)
    if given != own:
        reason += (f"; images are {given} and parameters {own}: "
                   f"X.astype('{own}') makes them alike")
    return ValueError(f"the network does not take a batch of shape "
                      f"{X.shape}: {' '.join(reason.split())}")


def _layer_path(net: gluon.Block, layer: gluon.Block) -> str | None:
    """The path of a layer in a network; empty for the network itself."""
    if net is layer:
        return ""
    for name, child in net._children.items():
        path = _layer_path(child, layer)
        if path is not None:
            return f"{name}.{path}".rstrip(".")
    return None


def limit_queue(results: list[list[mx.nd.NDArray]], X: mx.nd.NDArray) -> None:
    """Let 32 MiB of batches like `X` wait for the engine, or two of them.

    `results` has an entry a batch, with an array a device.

    They keep their images, and the loader, which is faster, would queue a
    whole epoch. Of small batches, many are waited for at once: each time
    that Python goes on, it takes a core from the computation.
    """
    several = max(1, _MAX_QUEUED_BYTES // (4 * X.size))
    if len(results) > several and len(results) % several == 0:
        results[-1 - several][-1].wait_to_read()
