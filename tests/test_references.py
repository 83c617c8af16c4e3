"""Forward passes equal those of independent networks with the same weights.

Gluon's model zoo has VGG-16, ResNet-50 and DenseNet-121; the others are
written here a second time, in PyTorch.
"""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Callable

import numpy as np
import pytest
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


@pytest.mark.parametrize("name, make_zoo, prepare", [
    ("vgg16", vision.vgg16, None),
    ("resnet50", vision.resnet50_v1, _stride_in_the_3x3),
    ("densenet121", vision.densenet121, None),
])
def test_equals_the_model_zoo(
        name: str, make_zoo: Callable[[], Any],
        prepare: Callable[[Any], None] | None) -> None:
    net, zoo = getattr(models, name)(), make_zoo()
    if prepare:
        prepare(zoo)
    X = randomise(net, (1, 3, 224, 224))
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

def conv(cin: int, cout: int, k: int, s: int = 1, p: int = 0,
         bias: bool = True) -> Any:
    return torch.nn.Conv2d(cin, cout, k, s, p, bias=bias)


def relu_conv(*args: Any) -> list[Any]:
    return [conv(*args), torch.nn.ReLU()]


def dense(*sizes: int, p: float = 0.5) -> list[Any]:
    """Dense layers with ReLU and dropout between them."""
    chain = [torch.nn.Flatten()]
    for i, (inputs, outputs) in enumerate(zip(sizes, sizes[1:])):
        chain += [torch.nn.ReLU(), torch.nn.Dropout(p)] if i else []
        chain.append(torch.nn.Linear(inputs, outputs))
    return chain


def pool(k: int, s: int, p: int = 0) -> Any:
    return torch.nn.MaxPool2d(k, s, p)


def norm(wanted: bool) -> list[Any]:
    """The paper's constants; PyTorch divides alpha by the 5."""
    return ([torch.nn.LocalResponseNorm(5, 5e-4, 0.75, 2.0)]
            if wanted else [])


def to_scores() -> list[Any]:
    return [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]


def torch_lenet() -> Any:
    t, act = torch.nn, torch.nn.Sigmoid
    return t.Sequential(
        conv(1, 6, 5), act(), pool(2, 2), conv(6, 16, 5), act(), pool(2, 2),
        t.Flatten(), t.Linear(256, 120), act(), t.Linear(120, 84), act(),
        t.Linear(84, 10))


def torch_lenet_bn() -> Any:
    t, act = torch.nn, torch.nn.Sigmoid
    return t.Sequential(
        conv(1, 6, 5), t.BatchNorm2d(6), act(), pool(2, 2),
        conv(6, 16, 5), t.BatchNorm2d(16), act(), pool(2, 2),
        t.Flatten(), t.Linear(256, 120), t.BatchNorm1d(120), act(),
        t.Linear(120, 84), t.BatchNorm1d(84), act(), t.Linear(84, 10))


def torch_alexnet(channels: int, features: int, classes: int,
                  normalise: bool) -> Any:
    return torch.nn.Sequential(
        *relu_conv(channels, 96, 11, 4), *norm(normalise), pool(3, 2),
        *relu_conv(96, 256, 5, 1, 2), *norm(normalise), pool(3, 2),
        *relu_conv(256, 384, 3, 1, 1), *relu_conv(384, 384, 3, 1, 1),
        *relu_conv(384, 256, 3, 1, 1), pool(3, 2),
        *dense(features, 4096, 4096, classes))


def torch_zfnet(channels: int, widths: tuple[int, int, int, int, int],
                second_stride: int, sizes: tuple[int, ...]) -> Any:
    a, b, c, d, e = widths
    return torch.nn.Sequential(
        *relu_conv(channels, a, 7, 2, 1), pool(3, 2, 1),
        *relu_conv(a, b, 5, second_stride), pool(3, 2, 1),
        *relu_conv(b, c, 3, 1, 1), *relu_conv(c, d, 3, 1, 1),
        *relu_conv(d, e, 3, 1, 1), pool(3, 2), *dense(*sizes))


def torch_vgg() -> Any:
    chain, before = [], 1
    for number, channels in ((1, 16), (1, 32), (2, 64), (2, 128), (2, 128)):
        for _ in range(number):
            chain += relu_conv(before, channels, 3, 1, 1)
            before = channels
        chain.append(pool(2, 2))
    return torch.nn.Sequential(*chain, *dense(128 * 2 * 2, 4096, 4096, 10))


def torch_nin(channels: int, last: tuple[int, int, int]) -> Any:
    chain = []
    for cin, (a, b, c), k, s, p in (
            (channels, (96, 96, 96), 11, 4, 0), (96, (256, 256, 256), 5, 1, 2),
            (256, (384, 384, 384), 3, 1, 1), (384, last, 3, 1, 1)):
        chain += [*relu_conv(cin, a, k, s, p), *relu_conv(a, b, 1),
                  *relu_conv(b, c, 1), pool(3, 2)]
    return torch.nn.Sequential(*chain[:-2], *to_scores())  # no last ReLU


if torch is not None:
    class TorchInception(torch.nn.Module):
        def __init__(self, cin: int, c1: int, c2: tuple[int, int],
                     c3: tuple[int, int], c4: int) -> None:
            super().__init__()
            self.paths = torch.nn.ModuleList([
                torch.nn.Sequential(*relu_conv(cin, c1, 1)),
                torch.nn.Sequential(*relu_conv(cin, c2[0], 1),
                                    *relu_conv(c2[0], c2[1], 3, 1, 1)),
                torch.nn.Sequential(*relu_conv(cin, c3[0], 1),
                                    *relu_conv(c3[0], c3[1], 5, 1, 2)),
                torch.nn.Sequential(pool(3, 1, 1), *relu_conv(cin, c4, 1))])

        def forward(self, x: Any) -> Any:
            return torch.cat([path(x) for path in self.paths], 1)

    class TorchResidual(torch.nn.Module):
        def __init__(self, cin: int, cout: int, stride: int = 1) -> None:
            super().__init__()
            t = torch.nn
            self.main = t.Sequential(
                conv(cin, cout, 3, stride, 1), t.BatchNorm2d(cout), t.ReLU(),
                conv(cout, cout, 3, 1, 1), t.BatchNorm2d(cout))
            self.shortcut = (t.Identity() if cin == cout
                             else conv(cin, cout, 1, stride))

        def forward(self, x: Any) -> Any:
            return torch.relu(self.main(x) + self.shortcut(x))

    class TorchDenseLayer(torch.nn.Module):
        def __init__(self, cin: int) -> None:
            super().__init__()
            self.main = torch.nn.Sequential(
                torch.nn.BatchNorm2d(cin), torch.nn.ReLU(),
                conv(cin, 32, 3, 1, 1))

        def forward(self, x: Any) -> Any:
            return torch.cat([x, self.main(x)], 1)


def torch_googlenet(channels: int, classes: int, paper: bool) -> Any:
    cin, blocks = 192, []
    for c1, c2, c3, c4 in (
            (64, (96, 128), (16, 32), 32), (128, (128, 192), (32, 96), 64),
            (0, 0, 0, 0),
            (192, (96, 208), (16, 48), 64), (160, (112, 224), (24, 64), 64),
            (128, (128, 256), (24, 64), 64), (112, (144, 288), (32, 64), 64),
            (256, (160, 320), (32, 128), 128), (0, 0, 0, 0),
            (256, (160, 320), (32, 128), 128),
            (384, (192, 384), (48, 128), 128)):
        if not c1:
            blocks.append(pool(3, 2, 1))
            continue
        blocks.append(TorchInception(cin, c1, c2, c3, c4))
        cin = c1 + c2[1] + c3[1] + c4
    return torch.nn.Sequential(
        *relu_conv(channels, 64, 7, 2, 3), pool(3, 2, 1), *norm(paper),
        *relu_conv(64, 64, 1), *relu_conv(64, 192, 3, 1, 1), *norm(paper),
        pool(3, 2, 1), *blocks, *to_scores(), torch.nn.Linear(1024, classes))


def torch_stem() -> list[Any]:
    return [conv(1, 64, 7, 2, 3), torch.nn.BatchNorm2d(64), torch.nn.ReLU(),
            pool(3, 2, 1)]


def torch_resnet18() -> Any:
    blocks = [TorchResidual(64, 64), TorchResidual(64, 64)]
    for cin, cout in ((64, 128), (128, 256), (256, 512)):
        blocks += [TorchResidual(cin, cout, 2), TorchResidual(cout, cout)]
    return torch.nn.Sequential(*torch_stem(), *blocks, *to_scores(),
                               torch.nn.Linear(512, 10))


def torch_densenet() -> Any:
    t, c, chain = torch.nn, 64, torch_stem()
    for stage in range(4):
        if stage:
            chain += [t.BatchNorm2d(c), t.ReLU(), conv(c, c // 2, 1),
                      t.AvgPool2d(2)]
            c //= 2
        for _ in range(4):
            chain.append(TorchDenseLayer(c))
            c += 32
    return t.Sequential(*chain, t.BatchNorm2d(c), t.ReLU(), *to_scores(),
                        t.Linear(c, 10))


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
    ("lenet", lambda: torch_lenet(), 1, 28),
    ("lenet_bn", lambda: torch_lenet_bn(), 1, 28),
    ("alexnet", lambda: torch_alexnet(1, 1024, 10, False), 1, 128),
    ("alexnet_paper", lambda: torch_alexnet(3, 9216, 1000, True), 3, 227),
    ("vgg", lambda: torch_vgg(), 1, 64),
    ("nin", lambda: torch_nin(1, (10, 10, 10)), 1, 128),
    ("nin_paper", lambda: torch_nin(3, (1024, 1024, 1000)), 3, 224),
    ("googlenet", lambda: torch_googlenet(1, 10, False), 1, 96),
    ("googlenet_paper", lambda: torch_googlenet(3, 1000, True), 3, 224),
    ("resnet18", lambda: torch_resnet18(), 1, 96),
    ("densenet", lambda: torch_densenet(), 1, 96),
    ("zfnet_small", lambda: torch_zfnet(
        1, (48, 128, 192, 192, 128), 1, (512, 1024, 1024, 10)), 1, 64),
    ("zfnet", lambda: torch_zfnet(
        3, (96, 256, 384, 384, 256), 2, (9216, 4096, 4096, 1000)), 3, 224),
])
def test_equals_pytorch(name: str, make: Callable[[], Any], channels: int,
                        side: int) -> None:
    net, module = getattr(models, name)(), make()
    X = randomise(net, (2, channels, side, side))
    copy_to_torch(net, module)
    module.eval()
    with torch.no_grad():
        scores = module(torch.from_numpy(X.asnumpy())).numpy()
    assert_equal(net(X), scores)
