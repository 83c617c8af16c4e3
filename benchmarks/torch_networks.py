"""The networks of the course a second time, in PyTorch.

Tests compare scores with them, benchmarks compare speed.
"""
from __future__ import annotations

from typing import Any

import torch


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


def lenet() -> Any:
    t, act = torch.nn, torch.nn.Sigmoid
    return t.Sequential(
        conv(1, 6, 5), act(), pool(2, 2), conv(6, 16, 5), act(), pool(2, 2),
        t.Flatten(), t.Linear(256, 120), act(), t.Linear(120, 84), act(),
        t.Linear(84, 10))


def lenet_bn() -> Any:
    t, act = torch.nn, torch.nn.Sigmoid
    return t.Sequential(
        conv(1, 6, 5), t.BatchNorm2d(6), act(), pool(2, 2),
        conv(6, 16, 5), t.BatchNorm2d(16), act(), pool(2, 2),
        t.Flatten(), t.Linear(256, 120), t.BatchNorm1d(120), act(),
        t.Linear(120, 84), t.BatchNorm1d(84), act(), t.Linear(84, 10))


def alexnet(channels: int, features: int, classes: int,
                  normalise: bool) -> Any:
    return torch.nn.Sequential(
        *relu_conv(channels, 96, 11, 4), *norm(normalise), pool(3, 2),
        *relu_conv(96, 256, 5, 1, 2), *norm(normalise), pool(3, 2),
        *relu_conv(256, 384, 3, 1, 1), *relu_conv(384, 384, 3, 1, 1),
        *relu_conv(384, 256, 3, 1, 1), pool(3, 2),
        *dense(features, 4096, 4096, classes))


def zfnet(channels: int, widths: tuple[int, int, int, int, int],
                second_stride: int, sizes: tuple[int, ...]) -> Any:
    a, b, c, d, e = widths
    return torch.nn.Sequential(
        *relu_conv(channels, a, 7, 2, 1), pool(3, 2, 1),
        *relu_conv(a, b, 5, second_stride), pool(3, 2, 1),
        *relu_conv(b, c, 3, 1, 1), *relu_conv(c, d, 3, 1, 1),
        *relu_conv(d, e, 3, 1, 1), pool(3, 2), *dense(*sizes))


def vgg(features: int) -> Any:
    chain, before = [], 1
    for number, channels in ((1, 16), (1, 32), (2, 64), (2, 128), (2, 128)):
        for _ in range(number):
            chain += relu_conv(before, channels, 3, 1, 1)
            before = channels
        chain.append(pool(2, 2))
    return torch.nn.Sequential(*chain, *dense(features, 4096, 4096, 10))


def nin(channels: int, last: tuple[int, int, int]) -> Any:
    chain = []
    for cin, (a, b, c), k, s, p in (
            (channels, (96, 96, 96), 11, 4, 0), (96, (256, 256, 256), 5, 1, 2),
            (256, (384, 384, 384), 3, 1, 1), (384, last, 3, 1, 1)):
        chain += [*relu_conv(cin, a, k, s, p), *relu_conv(a, b, 1),
                  *relu_conv(b, c, 1), pool(3, 2)]
    return torch.nn.Sequential(*chain[:-1], *to_scores())


class Inception(torch.nn.Module):
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


class Residual(torch.nn.Module):
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


class DenseLayer(torch.nn.Module):
    def __init__(self, cin: int) -> None:
        super().__init__()
        self.main = torch.nn.Sequential(
            torch.nn.BatchNorm2d(cin), torch.nn.ReLU(),
            conv(cin, 32, 3, 1, 1))

    def forward(self, x: Any) -> Any:
        return torch.cat([x, self.main(x)], 1)


def googlenet(channels: int, classes: int, paper: bool) -> Any:
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
        blocks.append(Inception(cin, c1, c2, c3, c4))
        cin = c1 + c2[1] + c3[1] + c4
    return torch.nn.Sequential(
        *relu_conv(channels, 64, 7, 2, 3), pool(3, 2, 1), *norm(paper),
        *relu_conv(64, 64, 1), *relu_conv(64, 192, 3, 1, 1), *norm(paper),
        pool(3, 2, 1), *blocks, *to_scores(), torch.nn.Linear(1024, classes))


def stem() -> list[Any]:
    return [conv(1, 64, 7, 2, 3), torch.nn.BatchNorm2d(64), torch.nn.ReLU(),
            pool(3, 2, 1)]


def resnet18() -> Any:
    blocks = [Residual(64, 64), Residual(64, 64)]
    for cin, cout in ((64, 128), (128, 256), (256, 512)):
        blocks += [Residual(cin, cout, 2), Residual(cout, cout)]
    return torch.nn.Sequential(*stem(), *blocks, *to_scores(),
                               torch.nn.Linear(512, 10))


def densenet() -> Any:
    t, c, chain = torch.nn, 64, stem()
    for stage in range(4):
        if stage:
            chain += [t.BatchNorm2d(c), t.ReLU(), conv(c, c // 2, 1),
                      t.AvgPool2d(2)]
            c //= 2
        for _ in range(4):
            chain.append(DenseLayer(c))
            c += 32
    return t.Sequential(*chain, t.BatchNorm2d(c), t.ReLU(), *to_scores(),
                        t.Linear(c, 10))
