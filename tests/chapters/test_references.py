"""Forward passes equal those of independent networks with the same weights.

Gluon's model zoo has VGG-16, ResNet-50 and DenseNet-121; the others are
written a second time in PyTorch, in benchmarks/torch_networks.py.
"""
from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any, Callable

import numpy as np
import pytest
from interpreter import ROOT
from mxnet import autograd, init, nd
from mxnet.gluon import nn
from mxnet.gluon.model_zoo import vision

import d2lzh_ext as d2l
from d2lzh_ext import models

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]

needs_torch = pytest.mark.skipif(
    torch is None, reason="PyTorch is not installed (`make torch`)")


def layers(block: Any) -> Iterator[Any]:
    """The layers with parameters, in the order of their definition."""
    if isinstance(block, (nn.Conv2D, nn.Dense, nn.BatchNorm)):
        yield block
    else:
        for child in block._children.values():
            yield from layers(child)


def randomise(net: Any, shape: tuple[int, ...]) -> nd.NDArray:
    """Give every parameter and running statistic a value; return input."""
    d2l.seed(0)
    net.initialize(init.Xavier("gaussian", "in", 2))
    X = nd.random.uniform(shape=shape)
    with autograd.predict_mode():
        net(X)
    for layer in layers(net):
        for name, parameter in layer._reg_params.items():
            if name in ("gamma", "running_var"):
                low, high = 0.5, 1.5
            elif name in ("beta", "running_mean", "bias"):
                low, high = -0.1, 0.1
            else:
                continue
            parameter.set_data(
                nd.random.uniform(low, high, parameter.shape))
    return X


# Layers pair up by kind and order.
KINDS = (nn.Conv2D, nn.Dense, nn.BatchNorm)


def _pairs(kind: Any, ours: Iterator[Any], their_kind: Any,
           theirs: Iterator[Any]) -> list[tuple[Any, Any]]:
    first = [layer for layer in ours if isinstance(layer, kind)]
    second = [layer for layer in theirs if isinstance(layer, their_kind)]
    assert len(first) == len(second)
    return list(zip(first, second))


def assert_equal(ours: nd.NDArray, theirs: np.ndarray[Any, Any]) -> None:
    scores = ours.asnumpy()
    assert scores.shape == theirs.shape
    assert np.ptp(scores) > 0.01, "scores without spread prove nothing"
    np.testing.assert_allclose(scores, theirs, rtol=1e-4, atol=1e-4)


# Gluon's model zoo

def _stride_in_the_3x3(zoo: Any) -> None:
    """The zoo's ResNet-50 has the stride in the first 1×1 convolution."""
    for layer, following in zip(list(layers(zoo)), list(layers(zoo))[2:]):
        if (isinstance(layer, nn.Conv2D) and isinstance(following, nn.Conv2D)
                and following._kwargs["kernel"] == (3, 3)
                and layer._kwargs["kernel"] == (1, 1)):
            following._kwargs["stride"] = layer._kwargs["stride"]
            layer._kwargs["stride"] = (1, 1)


@pytest.mark.parametrize("name, make_zoo, prepare, side", [
    # At 224, one of its dense layers alone has 103 million weights.
    ("vgg16", vision.vgg16, None, 64),
    ("resnet50", vision.resnet50_v1, _stride_in_the_3x3, 224),
    ("densenet121", vision.densenet121, None, 224),
])
def test_equals_the_model_zoo(
        name: str, make_zoo: Callable[[], Any],
        prepare: Callable[[Any], None] | None, side: int) -> None:
    net, zoo = getattr(models, name)(), make_zoo()
    if prepare:
        prepare(zoo)
    X = randomise(net, (1, 3, side, side))
    zoo.initialize()
    with autograd.predict_mode():
        zoo(X)
    for kind in KINDS:
        pairs = _pairs(kind, layers(net), kind, layers(zoo))
        for ours, theirs in pairs:
            for name, parameter in theirs._reg_params.items():
                mine = ours._reg_params.get(name)
                if parameter is not None:
                    # The zoo has biases before a batch norm, which undoes
                    # them.
                    parameter.set_data(mine.data() if mine is not None
                                       else nd.zeros(parameter.shape))
    assert_equal(net(X), zoo(X).asnumpy())


# PyTorch

def copy_to_torch(net: Any, module: Any) -> None:
    """Copy all weights."""
    t = torch.nn
    names = {"gamma": "weight", "beta": "bias"}
    for kind, their_kind in zip(KINDS, (
            t.Conv2d, t.Linear, (t.BatchNorm1d, t.BatchNorm2d))):
        for ours, theirs in _pairs(kind, layers(net), their_kind,
                                   module.modules()):
            for name, parameter in ours._reg_params.items():
                if parameter is None:
                    continue
                target = getattr(theirs, names.get(name, name))
                value = torch.from_numpy(parameter.data().asnumpy())
                assert target.shape == value.shape
                with torch.no_grad():
                    target.copy_(value)


@needs_torch
@pytest.mark.parametrize("name, make, channels, side", [
    ("lenet", lambda t: t.lenet(), 1, 28),
    ("lenet_bn", lambda t: t.lenet_bn(), 1, 28),
    ("alexnet", lambda t: t.alexnet(1, 1024, 10, False), 1, 128),
    ("alexnet_paper", lambda t: t.alexnet(3, 2304, 1000, True), 3, 131),
    ("vgg", lambda t: t.vgg(512), 1, 64),
    ("nin", lambda t: t.nin(1, (10, 10, 10)), 1, 128),
    ("nin_paper", lambda t: t.nin(3, (1024, 1024, 1000)), 3, 224),
    ("googlenet", lambda t: t.googlenet(1, 10, False), 1, 96),
    ("googlenet_paper", lambda t: t.googlenet(3, 1000, True), 3, 224),
    ("resnet18", lambda t: t.resnet18(), 1, 96),
    ("densenet", lambda t: t.densenet(), 1, 96),
    ("zfnet_small", lambda t: t.zfnet(
        1, (48, 128, 192, 192, 128), 1, (512, 1024, 1024, 10)), 1, 64),
    ("zfnet", lambda t: t.zfnet(
        3, (96, 256, 384, 384, 256), 2, (2304, 4096, 4096, 1000)), 3, 128),
])
def test_equals_pytorch(
        monkeypatch: pytest.MonkeyPatch, name: str,
        make: Callable[[Any], Any], channels: int, side: int) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    module = make(importlib.import_module("torch_networks"))
    net = getattr(models, name)()
    X = randomise(net, (2, channels, side, side))
    copy_to_torch(net, module)
    module.eval()
    with torch.no_grad():
        scores = module(torch.from_numpy(X.asnumpy())).numpy()
    assert_equal(net(X), scores)
