"""One contestant of the LeNet benchmark, in a process of its own.

Trains LeNet on all of Fashion-MNIST with the book's settings and prints, as
JSON, the seconds of each epoch, loader and test included, and the last test
accuracy. Usage: python benchmarks/lenet.py CONTESTANT EPOCHS
"""
from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BATCH_SIZE, LEARNING_RATE = 256, 0.9

# Trains one more epoch and returns the test accuracy.
Epoch = Callable[[], float]


def quietly(function: Callable[[], Any]) -> str:
    """Call a function that prints, and return what it printed."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        function()
    return printed.getvalue()


def read_idx(path: Path) -> Any:
    """The package's function, without MXNet, which the package imports."""
    spec = importlib.util.spec_from_file_location(
        "idx", ROOT / "d2lzh_ext" / "idx.py")
    assert spec and spec.loader
    idx = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(idx)
    return idx.read_idx(path)


def d2lzh_ext(plain_graph: bool = False) -> Epoch:
    """This project: its network, loader and trainer.

    With `plain_graph` MXNet compiles the network as it stands.
    """
    import d2lzh_ext as d2l  # first: it makes `import mxnet` work

    # isort: split
    import mxnet as mx
    from mxnet import gluon, init

    from d2lzh_ext.models import lenet

    train_iter, test_iter = d2l.load_data_fashion_mnist(BATCH_SIZE)
    net = lenet()
    net.initialize(init.Xavier())
    if plain_graph:
        net.hybridize(static_alloc=True, static_shape=True)
    trainer = gluon.Trainer(net.collect_params(), "sgd",
                            {"learning_rate": LEARNING_RATE})

    def epoch() -> float:
        history: list[d2l.History] = []
        quietly(lambda: history.append(d2l.train_ch5(
            net, train_iter, test_iter, BATCH_SIZE, trainer, mx.cpu(), 1)))
        return history[0].test_acc[0]

    return epoch


def load_d2lzh() -> Any:
    """The book's package as shipped, with MXNet's own defaults.

    Two things are lent to it: the names that NumPy has removed, while MXNet
    is imported, and MXNet's check of the gzip bytes, which no copy of the
    data passes any more. Neither runs while it is timed.
    """
    # Where d2lzh_ext is installed, its hook would change both.
    sys.meta_path[:] = [finder for finder in sys.meta_path if getattr(
        finder, "__module__", None) != "d2lzh_compat.finder"]
    from d2lzh_compat.removed import numpy_names
    with numpy_names():
        from mxnet import gluon

        # A module of its own: d2lzh_ext puts its functions into d2lzh.
        spec = importlib.util.find_spec("d2lzh.utils")
        assert spec and spec.loader
        d2l = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(d2l)

    for module in (gluon.utils, gluon.data.vision.datasets):
        module.check_sha1 = lambda *_: True
    return d2l


def d2lzh() -> Epoch:
    """The book's package and its own network, one epoch at a time."""
    d2l = load_d2lzh()
    import mxnet as mx
    from mxnet import gluon, init
    from mxnet.gluon import nn

    train_iter, test_iter = d2l.load_data_fashion_mnist(
        BATCH_SIZE, root=str(ROOT / "data" / "fashion-mnist"))
    # The book's own Sequential: importing ours would import d2lzh_ext.
    net = nn.Sequential()
    net.add(nn.Conv2D(6, kernel_size=5, activation="sigmoid"),
            nn.MaxPool2D(2, 2),
            nn.Conv2D(16, kernel_size=5, activation="sigmoid"),
            nn.MaxPool2D(2, 2),
            nn.Dense(120, activation="sigmoid"),
            nn.Dense(84, activation="sigmoid"), nn.Dense(10))
    net.initialize(init.Xavier())
    trainer = gluon.Trainer(net.collect_params(), "sgd",
                            {"learning_rate": LEARNING_RATE})

    def epoch() -> float:
        printed = quietly(lambda: d2l.train_ch5(
            net, train_iter, test_iter, BATCH_SIZE, trainer, mx.cpu(), 1))
        return float(printed.split("test acc ")[1].split(",")[0])

    return epoch


def torch(in_memory: bool) -> Epoch:
    """A plain PyTorch loop, with its DataLoader or over tensors in memory."""
    import numpy as np
    import torch
    import torch_networks
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    torch.set_num_threads(len(os.sched_getaffinity(0)))

    def read(name: str) -> Any:
        return torch.from_numpy(np.array(read_idx(
            ROOT / "data" / "fashion-mnist" / f"{name}-ubyte.gz")))

    def batches(part: str, shuffle: bool) -> Any:
        X = read(f"{part}-images-idx3")[:, None]
        y = read(f"{part}-labels-idx1").long()
        if not in_memory:
            return DataLoader(TensorDataset(X.float() / 255, y), BATCH_SIZE,
                              shuffle=shuffle)

        class Memory:
            def __iter__(self) -> Any:
                order = (torch.randperm(len(y)) if shuffle
                         else torch.arange(len(y)))
                for chosen in order.split(BATCH_SIZE):
                    yield X[chosen].float() / 255, y[chosen]

        return Memory()

    train_iter, test_iter = batches("train", True), batches("t10k", False)
    net = torch_networks.lenet()
    for layer in net:
        if hasattr(layer, "weight"):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    optimizer = torch.optim.SGD(net.parameters(), LEARNING_RATE)
    loss = nn.CrossEntropyLoss()

    def epoch() -> float:
        for X, y in train_iter:
            y_hat = net(X)
            l = loss(y_hat, y)  # noqa: E741
            optimizer.zero_grad()
            l.backward()
            optimizer.step()
            # What train_ch5 reports as well.
            l.item(), (y_hat.argmax(1) == y).sum().item()
        with torch.no_grad():
            correct = sum((net(X).argmax(1) == y).sum().item()
                          for X, y in test_iter)
        return correct / 10_000

    return epoch


CONTESTANTS: dict[str, Callable[[], Epoch]] = {
    "d2lzh_ext": d2lzh_ext,
    "d2lzh_ext-plain-graph": lambda: d2lzh_ext(plain_graph=True),
    "d2lzh": d2lzh,
    "torch": lambda: torch(in_memory=False),
    "torch-in-memory": lambda: torch(in_memory=True),
}


def main() -> None:
    name, epochs = sys.argv[1], int(sys.argv[2])
    epoch = CONTESTANTS[name]()
    seconds = []
    for _ in range(epochs):
        start = time.perf_counter()
        accuracy = epoch()
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"seconds": seconds, "test_acc": accuracy}))


if __name__ == "__main__":
    main()
