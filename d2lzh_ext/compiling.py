"""Compile a network into one graph that suits the processor.

Two things are done to the convolutions of a network on a CPU. Neither
changes its scores or gradients, apart from rounding; the parameters and the
network itself stay as they are.

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

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mxnet as mx
from mxnet import autograd
from mxnet.gluon import nn

_WIDTH = 16  # numbers of 32 bits in an AVX-512 register


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


def _padded(channels: int) -> int:
    """The next multiple of 16."""
    return -(-channels // _WIDTH) * _WIDTH


def _rows(F: Any, matrix: Any, filters: int) -> Any:
    """`matrix`, of `filters` rows, with rows of zeros below."""
    # The first rows are those of the identity matrix.
    return F.dot(F.one_hot(F.arange(_padded(filters)), depth=filters), matrix)


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
        own = filters if filters % _WIDTH and _has_avx512() else 0
        if not (own or wide_input):
            return nn.Conv2D.hybrid_forward(block, F, X, weight, bias)
        if own:
            weight = _rows(F, weight.reshape((filters, -1)), own)
            bias = None if bias is None else _rows(F, bias, own)
            filters = _padded(filters)
        if wide_input:
            weight = weight.reshape((filters, channels, -1))
            weight = _rows(F, weight.transpose((1, 0, 2)).reshape(
                (channels, -1)), channels)
            channels = _padded(channels)
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
        if (type(block) is nn.MaxPool2D and id(X) in self.before
                and max(block._kwargs["stride"]) > 1):
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
            return self.pooling
        return None


@contextmanager
def _rearranged(net: Any) -> Iterator[None]:
    """Let the layers of `net` build a faster graph while this lasts."""
    graph, changed = _Rearranged(), []

    def change(block: Any) -> None:
        forward = graph.forward(block)
        if forward is not None:
            block.hybrid_forward = functools.partial(forward, block)
            changed.append(block)

    net.apply(change)
    try:
        yield
    finally:
        for block in changed:
            del block.hybrid_forward


def refusal(X: mx.nd.NDArray, error: Exception) -> ValueError:
    """MXNet's complaint about a batch, as one clear line."""
    reason = str(error).strip().splitlines()[-1].rpartition(" : ")[2]
    return ValueError(
        f"the network does not take a batch of shape {X.shape}: {reason}")


def compile_network(net: nn.HybridBlock, X: mx.nd.NDArray) -> None:
    """Hybridize `net` with static memory, for batches like `X`.

    It runs twice on one image of `X`: to settle the shapes of its
    parameters, and to build the graph. A network that is hybridized already
    stays as it is.

    Args:
        net: An initialised network.
        X: A batch of inputs, on the device of the parameters.

    Raises:
        ValueError: The network does not take inputs of that shape.
    """
    if net._active:
        return
    with autograd.pause():
        try:
            net(X[:1])
        except (mx.base.MXNetError, ValueError) as error:
            raise refusal(X, error) from None
        net.hybridize(static_alloc=True, static_shape=True)
        if X.context.device_type == "cpu":
            with _rearranged(net):
                net(X[:1])  # the first call builds the graph, for good
