"""One contestant that trains one network, in a process of its own.

The networks have the book's image sizes. A contestant goes through some
batches of Fashion-MNIST with the loop and the loader of its library: two to
warm up, then those that are timed. Prints, as JSON, the images a
second.

Usage: python benchmarks/steps.py CONTESTANT NETWORK BATCHES
NETWORK `loader-224`: no training, batches of 224 × 224 are only made.
CONTESTANT `peak`: GFLOP/s of a large convolution and of a matrix product.
"""
from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import lenet

WARM_UP = 2  # batches
LEARNING_RATE = 0.01
# Batch size and side of the images.
SIZES = {"lenet": (256, 28), "alexnet": (64, 224), "vgg": (64, 224),
         "nin": (64, 224), "googlenet": (64, 96), "resnet18": (64, 96),
         "densenet": (64, 96), "loader-28": (256, 28), "loader-96": (64, 96),
         "loader-224": (64, 224)}


class Timed:
    """The first batches of a loader; it times those after the warm-up."""

    def __init__(self, batches: Iterable[Any], count: int,
                 wait: Callable[[], Any] = lambda: None) -> None:
        self.batches, self.count, self.wait = batches, count, wait
        self.seconds = 0.0

    def __iter__(self) -> Iterator[Any]:
        loader, start = iter(self.batches), 0.0
        for number in range(WARM_UP + self.count):
            if number == WARM_UP:
                self.wait()
                start = time.perf_counter()
            yield next(loader)
        self.wait()
        self.seconds = time.perf_counter() - start


def train_mxnet(d2l: Any, network: str, loader: Any, batch_size: int,
                side: int, count: int) -> float:
    """Seconds of `count` batches in `d2l.train_ch5`."""
    import mxnet as mx
    from mxnet import gluon, init

    from d2lzh_ext import models

    batches = Timed(loader, count, mx.nd.waitall)
    test_iter = [(mx.nd.zeros((1, 1, side, side)), mx.nd.zeros(1))]
    mx.random.seed(0)
    net = getattr(models, network)()
    net.initialize(init.Xavier())
    trainer = gluon.Trainer(net.collect_params(), "sgd",
                            {"learning_rate": LEARNING_RATE})
    lenet.quietly(lambda: d2l.train_ch5(
        net, batches, test_iter, batch_size, trainer, mx.cpu(), 1))
    return batches.seconds


def _load(loader: Any, count: int) -> float:
    batches = Timed(loader, count)
    for X, _ in batches:
        if hasattr(X, "wait_to_read"):
            X.wait_to_read()
    return batches.seconds


def d2lzh_ext(network: str, count: int) -> float:
    """This project: its networks, loader and loop."""
    import d2lzh_ext as d2l

    batch_size, side = SIZES[network]
    train_iter, _ = d2l.load_data_fashion_mnist(
        batch_size, resize=None if side == 28 else side)
    if network.startswith("loader"):
        return _load(train_iter, count)
    return train_mxnet(d2l, network, train_iter, batch_size, side, count)


def d2lzh(network: str, count: int) -> float:
    """The book's package as shipped, which uses one core by default."""
    d2l = lenet.load_d2lzh()
    batch_size, side = SIZES[network]
    train_iter, _ = d2l.load_data_fashion_mnist(
        batch_size, resize=None if side == 28 else side,
        root=str(lenet.ROOT / "data" / "fashion-mnist"))
    if network.startswith("loader"):
        return _load(train_iter, count)
    return train_mxnet(d2l, network, train_iter, batch_size, side, count)


def torch(network: str, count: int, channels_last: bool = False) -> float:
    """A plain PyTorch loop over a tensor in memory, resized by batches."""
    import numpy as np
    import torch
    import torch_networks
    from torch.nn.functional import cross_entropy, interpolate

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(0)
    folder = lenet.ROOT / "data" / "fashion-mnist"
    images, labels = (
        torch.from_numpy(np.array(lenet.read_idx(folder / f"train-{name}.gz")))
        for name in ("images-idx3-ubyte", "labels-idx1-ubyte"))
    images, labels = images[:, None], labels.long()
    batch_size, side = SIZES[network]
    layout = (torch.channels_last if channels_last
              else torch.contiguous_format)

    def batches() -> Iterator[Any]:
        for chosen in torch.randperm(len(labels)).split(batch_size):
            X = images[chosen].float() / 255
            if side != 28:
                X = interpolate(X, size=(side, side), mode="bilinear",
                                align_corners=False)
            yield X.contiguous(memory_format=layout), labels[chosen]

    if network.startswith("loader"):
        return _load(batches(), count)
    arguments = {"alexnet": (1, 6400, 10, False), "vgg": (128 * 7 * 7,),
                 "nin": (1, (10, 10, 10)), "googlenet": (1, 10, False)}
    net = getattr(torch_networks, network)(*arguments.get(network, ()))
    net = net.to(memory_format=layout)
    optimizer = torch.optim.SGD(net.parameters(), LEARNING_RATE)
    timed = Timed(batches(), count)
    for X, y in timed:
        y_hat = net(X)
        l = cross_entropy(y_hat, y)  # noqa: E741 (the book's name)
        optimizer.zero_grad()
        l.backward()
        optimizer.step()
        # What train_ch5 reports as well.
        l.item(), (y_hat.argmax(1) == y).sum().item()
    return timed.seconds


CONTESTANTS: dict[str, Callable[[str, int], float]] = {
    "d2lzh_ext": d2lzh_ext,
    "d2lzh": d2lzh,
    "torch": torch,
    "torch, channels last": lambda network, count: torch(
        network, count, channels_last=True),
}


def peak() -> dict[str, float]:
    """The best of five, in GFLOP/s, with all cores."""
    import d2lzh_ext  # noqa: F401  (first: it makes `import mxnet` work)

    # isort: split
    from mxnet import nd

    X = nd.random.uniform(shape=(32, 128, 56, 56))
    W = nd.random.uniform(shape=(128, 128, 3, 3))
    A = nd.random.uniform(shape=(2048, 2048))
    tasks = {
        "convolution": (2 * 32 * 128 * 128 * 9 * 56 * 56,
                        lambda: nd.Convolution(
                            X, W, kernel=(3, 3), pad=(1, 1), num_filter=128,
                            no_bias=True)),
        "matrix product": (2 * 2048**3, lambda: nd.dot(A, A))}
    best = {}
    for name, (flop, task) in tasks.items():
        task().wait_to_read()
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            task().wait_to_read()
            seconds.append(time.perf_counter() - start)
        best[name] = round(flop / min(seconds) / 1e9, 1)
    return best


def main() -> None:
    if sys.argv[1] == "peak":
        print(json.dumps(peak()))
        return
    contestant, network, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    seconds = CONTESTANTS[contestant](network, count)
    print(json.dumps(round(SIZES[network][0] * count / seconds, 2)))


if __name__ == "__main__":
    main()
