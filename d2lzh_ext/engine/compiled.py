"""Compute a network by a graph beside it, which suits the processor.

The network is left alone: the graph is its own, takes the same parameters at
every call, and is dropped with the function that `compiled` returns.

Two things are done to the convolutions on a CPU. Neither changes scores or
gradients, apart from rounding.

* An activation that is followed by max pooling is applied after it, to a
  quarter of the numbers: activations never fall, so they keep the maximum.
* MXNet 1.9.1 computes convolutions with oneDNN 2.4, whose AVX-512 kernels
  work on 16 channels at a time. A layer with another number of them, such as
  LeNet's first with 6, falls back to methods that are several times slower.
  The graph carries the next multiple of 16 through such layers, padding the
  weights with zeros.

benchmarks/NOTES.md has the figures.
"""
from __future__ import annotations

import copy
import functools
import os
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon
from mxnet.gluon import nn

from d2lzh_ext.engine.tracing import Snapshot, symbol_of, trace
from d2lzh_ext.files.parameters import named_parameters

_SIMD_WIDTH = 16  # numbers of 32 bits in an AVX-512 register


@functools.cache
def _has_avx512() -> bool:
    """Whether oneDNN computes with it: DNNL_MAX_CPU_ISA can deny it."""
    limit = os.environ.get("DNNL_MAX_CPU_ISA", "ALL").upper()
    if not limit.startswith(("ALL", "DEFAULT", "AVX512")):
        return False
    try:
        return "avx512f" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def _padded_size(channels: int) -> int:
    """The next multiple of 16."""
    return -(-channels // _SIMD_WIDTH) * _SIMD_WIDTH


def _pad_rows(F: Any, matrix: Any, filters: int) -> Any:
    """`matrix`, of `filters` rows, with rows of zeros below."""
    # The first rows are those of the identity matrix.
    rows = F.arange(_padded_size(filters))
    return F.dot(F.one_hot(rows, depth=filters), matrix)


def _can_pool_first(block: Any) -> bool:
    """Whether max pooling may be done before the activation.

    It has to leave fewer numbers, and every window has to hold one: an
    empty window gives the lowest of all numbers, which an activation would
    change. Rounded up, the last one may lie in the padding.
    """
    options = block._kwargs
    return (type(block) is nn.MaxPool2D and max(options["stride"]) > 1
            and (options["pooling_convention"] == "valid" or all(
                pad + stride <= kernel for kernel, stride, pad in zip(
                    options["kernel"], options["stride"], options["pad"]))))


class _Rearranged:
    """Forward passes of single layers, on symbols, for one graph.

    Each returns the symbol that the layer would return. Where a faster one
    stands behind it, that is noted, and a layer that can use it does; what
    nobody uses is no part of the graph.
    """

    def __init__(self) -> None:
        # By the identity of a symbol: itself, so that it lives on, the one
        # with more channels, and the number of those that count.
        self.wide: dict[int, tuple[Any, Any, int]] = {}
        # Likewise: itself, what an activation has made it from, and that.
        self.before: dict[int, tuple[Any, Any, Any]] = {}

    def _wider(self, X: Any) -> tuple[Any, int]:
        """The symbol to compute with, and its own channels if it has more."""
        return self.wide.get(id(X), (X, X, 0))[1:]

    def _narrowed(self, F: Any, wide: Any, own: int) -> Any:
        if not own:
            return wide
        X = F.slice_axis(wide, axis=1, begin=0, end=own)
        self.wide[id(X)] = X, wide, own
        return X

    def convolution(self, block: Any, F: Any, X: Any, weight: Any,
                    bias: Any = None) -> Any:
        X, wide_input = self._wider(X)
        filters, channels, *kernel = block.weight.shape
        own = filters if filters % _SIMD_WIDTH and _has_avx512() else 0
        if not (own or wide_input):
            return nn.Conv2D.hybrid_forward(block, F, X, weight, bias)
        if own:
            weight = _pad_rows(F, weight.reshape((filters, -1)), own)
            bias = None if bias is None else _pad_rows(F, bias, own)
            filters = _padded_size(filters)
        if wide_input:
            weight = weight.reshape((filters, channels, -1))
            weight = _pad_rows(F, weight.transpose((1, 0, 2)).reshape(
                (channels, -1)), channels)
            channels = _padded_size(channels)
            weight = weight.reshape((channels, filters, -1)).transpose(
                (1, 0, 2))
        arrays = [X, weight.reshape((filters, channels, *kernel))]
        Y = self._narrowed(F, F.Convolution(
            *arrays, *([] if bias is None else [bias]),
            **{**block._kwargs, "num_filter": filters}), own)
        return Y if block.act is None else block.act(Y)

    def activation(self, block: Any, F: Any, X: Any) -> Any:
        wide, own = self._wider(X)
        Y = self._narrowed(
            F, nn.Activation.hybrid_forward(block, F, wide), own)
        self.before[id(Y)] = Y, X, block
        return Y

    def pooling(self, block: Any, F: Any, X: Any) -> Any:
        if id(X) in self.before and _can_pool_first(block):
            _, X, activation = self.before[id(X)]
            return activation(self.pooling(block, F, X))
        wide, own = self._wider(X)
        return self._narrowed(
            F, type(block).hybrid_forward(block, F, wide), own)

    def forward(self, block: Any) -> Any:
        """What to call in place of the block's own hybrid_forward."""
        if type(block) is nn.Conv2D:
            plain = (block._kwargs["num_group"] == 1
                     and block._kwargs["layout"] == "NCHW")
            return self.convolution if plain else None
        if type(block) is nn.Activation:
            return self.activation
        # Pooling and activations treat each channel by itself.
        if type(block) in (nn.MaxPool2D, nn.AvgPool2D, nn.GlobalAvgPool2D,
                           nn.GlobalMaxPool2D):
            return (self.pooling if block._kwargs["layout"] == "NCHW"
                    else None)
        return None


def _twin(block: Any, twins: dict[int, Any]) -> Any:
    """A block of the same parameters and settings, with twins inside."""
    if id(block) not in twins:
        twin = twins[id(block)] = copy.copy(block)
        own = vars(twin)
        own.update({name: _twin(value, twins) for name, value in own.items()
                    if isinstance(value, gluon.Block)})
        own["_children"] = OrderedDict(
            (name, _twin(child, twins))
            for name, child in block._children.items())
    return twins[id(block)]


def _rearranged(net: Any) -> Any:
    """A twin of `net` whose layers build a faster graph."""
    graph, twins = _Rearranged(), {}  # type: ignore[var-annotated]
    twin = _twin(net, twins)
    for layer in twins.values():
        forward = graph.forward(layer)
        # A reader's own way forward stays.
        if forward is not None and "hybrid_forward" not in vars(layer):
            layer.hybrid_forward = functools.partial(forward, layer)
    return twin


class _Graph:
    """One operator for a whole network, with its parameters."""

    def __init__(self, net: nn.HybridBlock, symbol: Any) -> None:
        self.symbol = symbol
        names = symbol.list_inputs()
        parameters = {p.name: p for _, p in named_parameters(net)}
        self.parameters = [parameters[name] for name in names
                           if name != "data"]
        self.place = names.index("data")
        self.operator = mx.nd.CachedOp(symbol, [
            ("data_indices", [self.place]),
            ("param_indices", [i for i in range(len(names))
                               if i != self.place]),
            ("static_alloc", True), ("static_shape", True)])

    def __call__(self, X: mx.nd.NDArray) -> Any:
        arrays = [p.data(X.context) for p in self.parameters]
        arrays.insert(self.place, X)
        return self.operator(*arrays)


def _graph(net: nn.HybridBlock, symbol: Any, X: mx.nd.NDArray
           ) -> _Graph | None:
    """A graph for `net`; None where it does not compute the same.

    Parameters whose shapes are not known get them, as from any first batch.
    """
    if any(np.dtype(each.dtype) != np.float32
           for each in (X, *(p for _, p in named_parameters(net)))):
        return None
    # Two images of which every number is another, drawn from nobody's
    # generator, that tell the ways apart in which Python may read them.
    few = mx.nd.array(np.random.RandomState(0).uniform(
        size=(2, *X.shape[1:])), ctx=X.context)
    try:
        with autograd.pause():
            scores = net(few).asnumpy()
            if X.context.device_type == "cpu":
                symbol = symbol_of(_rearranged(net))
            graph = _Graph(net, symbol)
            if np.allclose(graph(few).asnumpy(), scores, rtol=1e-3,
                           atol=1e-3 * np.abs(scores).max(), equal_nan=True):
                return graph
    except Exception:  # the network itself will say what it does not take
        with suppress(Exception):
            mx.nd.waitall()  # MXNet's engine would raise it once more
    return None


def _draws_between(net: nn.HybridBlock, symbol: Any) -> bool:
    """Whether the first batch draws numbers amid those of parameters.

    Dropout draws its mask from the generator of the initial values. Those of
    the layers behind it, if their shapes are not known, come after the mask.
    """
    return '"op": "Dropout"' in symbol.tojson() and any(
        p._deferred_init for _, p in named_parameters(net))


class Compiled:
    """A network as a function, computed by a graph beside it if it can be.

    Calling it gives what calling `net` gives, apart from rounding. The
    graph is made by the first call; where none is known to compute the
    same, and as soon as anything of the network has been changed, it is
    `net` that is called.
    """

    def __init__(self, net: nn.HybridBlock) -> None:
        self.net, self.fresh = net, True
        self.graph: _Graph | None = None

    def _prepare(self, X: mx.nd.NDArray) -> None:
        symbol = trace(self.net, X.shape)
        if symbol is not None and _draws_between(self.net, symbol):
            return  # the next batch will do
        self.fresh = False
        if symbol is not None:
            self.graph = _graph(self.net, symbol, X)
        if self.graph is not None:
            self.before = Snapshot(self.net)

    def __call__(self, X: mx.nd.NDArray) -> Any:
        if self.fresh:
            self._prepare(X)
        if self.graph is not None:
            if self.before.unchanged():
                try:
                    return self.graph(X)
                except mx.base.MXNetError:
                    pass  # the network says it in its own words
            else:
                self.graph = None
        return self.net(X)


def compiled(net: gluon.Block) -> Any:
    """`net` as a function that computes the same, faster where it can.

    Nothing of `net` is changed, apart from the shapes of parameters that the
    first batch was to settle. The graph costs memory of its own for as long
    as the function exists.

    Args:
        net: An initialised network. Only a `HybridBlock` is compiled, if it
            has float32 parameters, no hooks, is not hybridized, and its code
            does nothing but apply operators that are known to be right.

    Returns:
        A function of a batch of images, or `net` itself.
    """
    if isinstance(net, nn.HybridBlock):
        return Compiled(net)
    return net
