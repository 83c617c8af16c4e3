"""Compile a network into one graph that suits the processor.

Two things are done to a chain of layers (`nn.HybridSequential`) on a CPU.
Neither changes its scores or gradients, apart from rounding; the parameters
and the network itself stay as they are.

* An activation that is followed by max pooling is applied after it, to a
  quarter of the numbers: activations never fall, so they keep the maximum.
* MXNet 1.9.1 computes convolutions with oneDNN 2.4, whose AVX-512 kernels
  work on 16 channels at a time. A layer with fewer, such as LeNet's first
  with 6, falls back to a general method that is several times slower. The
  graph carries 16 channels through such layers, padding the weights with
  zeros.

benchmarks/NOTES.md has the figures.
"""
from __future__ import annotations

import functools
from pathlib import Path
from types import MethodType
from typing import Any

import mxnet as mx
from mxnet import autograd
from mxnet.gluon import nn

_WIDTH = 16  # numbers of 32 bits in an AVX-512 register


@functools.cache
def _has_avx512() -> bool:
    try:
        return "avx512f" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def _is_plain(block: Any) -> bool:
    """Whether `block` is a convolution that `_convolution` can replace."""
    return (type(block) is nn.Conv2D
            and block._kwargs["num_group"] == 1
            and block._kwargs["layout"] == "NCHW")


def _convolution(block: Any, F: Any, X: Any, wide_input: bool, wide: bool
                 ) -> Any:
    """Apply `block` without its activation.

    With `wide` the output has 16 channels, those beyond the block's own
    without meaning; with `wide_input` X has 16, of which the same holds.
    """
    filters, channels, *kernel = block.weight.shape
    weight = block.weight.var()
    bias = None if block.bias is None else block.bias.var()
    if wide:
        # 16 rows, of which the first ones are those of the identity matrix.
        rows = F.one_hot(F.arange(_WIDTH), depth=filters)
        weight = F.dot(rows, weight.reshape((filters, -1)))
        bias = None if bias is None else F.dot(rows, bias)
        filters = _WIDTH
    if wide_input:
        weight = weight.reshape((filters, channels, -1)).transpose((1, 0, 2))
        columns = F.one_hot(F.arange(_WIDTH), depth=channels)
        weight = F.dot(columns, weight.reshape((channels, -1)))
        weight = weight.reshape((_WIDTH, filters, -1)).transpose((1, 0, 2))
        channels = _WIDTH
    if wide or wide_input:
        weight = weight.reshape((filters, channels, *kernel))
    arrays = [X, weight] if bias is None else [X, weight, bias]
    return F.Convolution(*arrays,
                         **{**block._kwargs, "num_filter": filters})


def _forward(net: Any, F: Any, X: Any) -> Any:
    """The forward pass of a HybridSequential, rearranged."""
    own = 0  # channels of X that count where it carries 16; 0: all of them
    delayed = None  # an activation that waits for the pooling to be done
    blocks = list(net._children.values())
    for block, following in zip(blocks, [*blocks[1:], None]):
        if _is_plain(block):
            filters = block._kwargs["num_filter"]
            wide = filters < _WIDTH and _has_avx512()
            X = _convolution(block, F, X, own > 0, wide)
            own = filters if wide else 0
            delayed = block.act
        else:
            # Pooling and activations treat each channel by itself.
            if own and not isinstance(
                    block, (nn.MaxPool2D, nn.AvgPool2D, nn.Activation)):
                X, own = F.slice_axis(X, axis=1, begin=0, end=own), 0
            X = block(X)
        if delayed is not None and not isinstance(following, nn.MaxPool2D):
            X, delayed = delayed(X), None
    return F.slice_axis(X, axis=1, begin=0, end=own) if own else X


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
        if not (type(net) is nn.HybridSequential
                and X.context.device_type == "cpu"):
            return
        net.hybrid_forward = MethodType(_forward, net)
        try:
            net(X[:1])  # the first call builds the graph, for good
        finally:
            del net.hybrid_forward
