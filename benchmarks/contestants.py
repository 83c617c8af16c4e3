"""What bench.py measures, each time in a process of its own.

A contestant is a library with its own loader of Fashion-MNIST and its own
loop of training. Most measurements time it over some batches, after two that
warm up: a library that compiles does so then.

Usage: python benchmarks/contestants.py MEASUREMENT ARGUMENTS
MEASUREMENT: a function of MEASUREMENTS; ARGUMENTS: its own, as JSON. The last
line that is printed is what it returns, as JSON.
"""
from __future__ import annotations

import contextlib
import inspect
import io
import itertools
import json
import multiprocessing
import re
import statistics
import sys
import time
import types
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import networks
from records import ROOT

from d2lzh_compat.openmp import num_cores

FASHION_MNIST = ROOT / "data" / "fashion-mnist"
WARM_UP = 2  # batches
LEARNING_RATE = 0.01
LENET = {"batch_size": 256, "learning_rate": 0.9}  # the book's
# Batch size and side of the images, as in the book or half as many.
SIZES = {"lenet": (256, 28), "alexnet": (64, 224), "vgg": (64, 224),
         "nin": (64, 224), "googlenet": (64, 96), "resnet18": (64, 96),
         "densenet": (64, 96), "loader-28": (256, 28), "loader-96": (64, 96),
         "loader-224": (64, 224)}


class Library(NamedTuple):
    """What a contestant brings along."""

    # Batch size and side of the images; batches to train and to test on.
    load: Callable[[int, int], tuple[Iterable[Any], Iterable[Any]]]
    # Network, both batches, batch size and learning rate; a function that
    # trains one more epoch and returns the test accuracy.
    train: Callable[..., Callable[[], float]]
    # Called before and after what is timed.
    wait: Callable[[], Any]


class Finished(Exception):
    """The last batch that is timed is through."""


class Timed:
    """The first batches of a loader; it times those after the warm-up."""

    def __init__(self, batches: Iterable[Any], count: int,
                 wait: Callable[[], Any]) -> None:
        self.batches, self.count, self.wait = batches, count, wait
        self.warm_up = self.seconds = 0.0

    def __iter__(self) -> Iterator[Any]:
        loader, begin = iter(self.batches), time.perf_counter()
        yield from itertools.islice(loader, WARM_UP)
        self.wait()
        start = time.perf_counter()
        yield from itertools.islice(loader, self.count)
        self.wait()
        self.warm_up = start - begin
        self.seconds = time.perf_counter() - start
        raise Finished  # no test follows

    def go(self, epoch: Callable[[], Any]) -> None:
        """Call what goes through the batches."""
        with contextlib.suppress(Finished):
            epoch()


def quietly(function: Callable[[], Any]) -> str:
    """Call a function that prints, and return what it printed."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        function()
    return printed.getvalue()


def gluon_library(d2l: Any, **where: Any) -> Library:
    """A package with the functions of d2lzh; `where` its data is."""
    import mxnet as mx
    from mxnet import gluon, init

    def load(batch_size: int, side: int) -> Any:
        # The workers of d2lzh are forks, as before Python 3.14.
        multiprocessing.set_start_method("fork", force=True)
        return d2l.load_data_fashion_mnist(
            batch_size, resize=None if side == 28 else side, **where)

    def train(network: str, train_iter: Any, test_iter: Any, batch_size: int,
              learning_rate: float) -> Callable[[], float]:
        mx.random.seed(0)
        net = networks.build(network)
        net.initialize(init.Xavier())
        trainer = gluon.Trainer(net.collect_params(), "sgd",
                                {"learning_rate": learning_rate})

        def epoch() -> float:
            printed = quietly(lambda: d2l.train_ch5(
                net, train_iter, test_iter, batch_size, trainer, mx.cpu(), 1))
            return float(re.findall(r"test acc ([\d.]+)", printed)[0])

        return epoch

    return Library(load, train, mx.nd.waitall)


def d2lzh_ext() -> Library:
    """This project."""
    import d2lzh_ext as d2l

    return gluon_library(d2l)


def leave_mxnet_alone() -> None:
    """Let modules of d2lzh_ext be imported without the package's own code.

    Where it is installed, its finder would change MXNet as well.
    """
    sys.meta_path[:] = [finder for finder in sys.meta_path if getattr(
        finder, "__module__", None) != "d2lzh_compat.finder"]
    sys.modules["d2lzh_ext"] = bare = types.ModuleType("d2lzh_ext")
    bare.__path__ = [str(ROOT / "d2lzh_ext")]


def d2lzh() -> Library:
    """The book's package as shipped, with MXNet's own defaults.

    Two things are lent to it: the names that NumPy has removed, while MXNet
    is imported, and MXNet's check of the gzip bytes, which no copy of the
    data passes any more. Neither runs while it is timed.
    """
    leave_mxnet_alone()
    from d2lzh_compat.removed import numpy_names
    with numpy_names():
        import d2lzh as d2l
        from mxnet import gluon

    for module in (gluon.utils, gluon.data.vision.datasets):
        module.check_sha1 = lambda *_: True
    return gluon_library(d2l, root=str(FASHION_MNIST))


def torch(data_loader: bool = False, channels_last: bool = False,
          compiled: bool = False) -> Library:
    """A plain PyTorch loop, over tensors in memory or with its DataLoader."""
    import numpy as np
    import torch
    import torch_networks
    from torch.nn.functional import cross_entropy, interpolate
    from torch.utils.data import DataLoader, TensorDataset

    leave_mxnet_alone()
    from d2lzh_ext.files.idx import read_idx

    torch.set_num_threads(num_cores())
    torch.manual_seed(0)
    layout = (torch.channels_last if channels_last
              else torch.contiguous_format)

    def read(name: str) -> Any:
        return torch.from_numpy(np.array(read_idx(
            FASHION_MNIST / f"{name}-ubyte.gz")))

    class InMemory:
        """Batches that are scaled, and resized, when they are needed."""

        def __init__(self, part: str, batch_size: int, side: int) -> None:
            self.images = read(f"{part}-images-idx3")[:, None]
            self.labels = read(f"{part}-labels-idx1").long()
            self.shuffle = part == "train"
            self.batch_size, self.side = batch_size, side

        def __iter__(self) -> Iterator[Any]:
            number = len(self.labels)
            order = (torch.randperm(number) if self.shuffle
                     else torch.arange(number))
            for chosen in order.split(self.batch_size):
                X = self.images[chosen].float() / 255
                if self.side != 28:
                    X = interpolate(X, size=(self.side, self.side),
                                    mode="bilinear", align_corners=False)
                yield X.contiguous(memory_format=layout), self.labels[chosen]

    def load(batch_size: int, side: int) -> Any:
        parts = [InMemory(part, batch_size, side) for part in
                 ("train", "t10k")]
        return [DataLoader(TensorDataset(part.images.float() / 255,
                                         part.labels), batch_size,
                           shuffle=part.shuffle)
                for part in parts] if data_loader else parts

    def train(network: str, train_iter: Any, test_iter: Any, batch_size: int,
              learning_rate: float) -> Callable[[], float]:
        arguments = {"alexnet": (1, 6400, 10, False), "vgg": (128 * 7 * 7,),
                     "nin": (1, (10, 10, 10)), "googlenet": (1, 10, False)}
        net = getattr(torch_networks, network)(*arguments.get(network, ()))
        net = net.to(memory_format=layout)
        for layer in net.modules():
            if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
                torch.nn.init.xavier_uniform_(layer.weight)
                torch.nn.init.zeros_(layer.bias)
        forward = torch.compile(net) if compiled else net
        optimizer = torch.optim.SGD(net.parameters(), learning_rate)

        def epoch() -> float:
            for X, y in train_iter:
                y_hat = forward(X)
                l = cross_entropy(y_hat, y)  # noqa: E741 (the book's name)
                optimizer.zero_grad()
                l.backward()
                optimizer.step()
                # What train_ch5 reports as well.
                l.item(), (y_hat.argmax(1) == y).sum().item()
            right = []
            with torch.no_grad():
                for X, y in test_iter:
                    right += (forward(X).argmax(1) == y).tolist()
            return statistics.fmean(right)

        return epoch

    def wait() -> None:
        if compiled:  # what is timed must not compile again
            torch.compiler.set_stance("fail_on_recompile")

    return Library(load, train, wait)


CONTESTANTS: dict[str, Callable[[], Library]] = {
    "d2lzh_ext": d2lzh_ext,
    "d2lzh": d2lzh,
    "torch": torch,
    "torch, channels last": partial(torch, channels_last=True),
    "torch, compiled": partial(torch, compiled=True),
    "torch, compiled, channels last": partial(
        torch, compiled=True, channels_last=True),
    "torch, DataLoader": partial(torch, data_loader=True),
}

TRAINING = [name for name in CONTESTANTS if name != "torch, DataLoader"]


def startup(contestant: str) -> dict[str, float]:
    """Seconds until the library is imported."""
    start = time.perf_counter()
    CONTESTANTS[contestant]()
    return {"seconds": round(time.perf_counter() - start, 3)}


def epoch(contestant: str, epochs: int = 2, batches: int | None = None
          ) -> dict[str, float]:
    """Seconds of LeNet's last epoch, loader and test included."""
    library = CONTESTANTS[contestant]()
    both: Any = library.load(LENET["batch_size"], 28)
    if batches:
        both = [list(itertools.islice(each, batches)) for each in both]
    train = library.train("lenet", *both, **LENET)
    for _ in range(epochs):
        start = time.perf_counter()
        accuracy = train()
        seconds = time.perf_counter() - start
    return {"seconds": round(seconds, 3), "test_acc": round(accuracy, 4)}


def training(contestant: str, network: str, batches: int
             ) -> dict[str, float]:
    """Images a second of training; of `loader-N`, of making batches."""
    library = CONTESTANTS[contestant]()
    batch_size, side = SIZES[network]
    train_iter, _ = library.load(batch_size, side)
    timed = Timed(train_iter, batches, library.wait)

    def only_load() -> None:
        for X, _ in timed:
            if hasattr(X, "wait_to_read"):
                X.wait_to_read()

    timed.go(only_load if network.startswith("loader") else library.train(
        network, timed, [], batch_size, LEARNING_RATE))
    found = {"images_per_second": round(
        batch_size * batches / timed.seconds, 2)}
    if "compiled" in contestant:  # beyond what these steps take by themselves
        found["compile_seconds"] = round(
            timed.warm_up - WARM_UP * timed.seconds / batches, 1)
    return found


def peak(side: int = 2048) -> dict[str, float]:
    """GFLOP/s of a product of large float32 matrices, the best of ten."""
    import d2lzh_ext  # noqa: F401  (it makes MXNet use all cores)

    # isort: split
    from mxnet import nd

    A = nd.random.uniform(shape=(side, side))
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        nd.dot(A, A).wait_to_read()
        seconds.append(time.perf_counter() - start)
    return {"matrix product": round(2 * side**3 / min(seconds) / 1e9, 1)}


def peak_mib(since_now: bool = False) -> float:
    """The most memory this process has had, or, from now on, will have."""
    if since_now:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return round(int(status.split("VmHWM:")[1].split()[0]) / 2**10, 1)


def growth(network: str, batch_size: int, side: int, images: int
           ) -> dict[str, float]:
    """Seconds for 1,000 images, and the peak memory of training."""
    import d2lzh_ext as d2l

    # isort: split
    import numpy as np

    pixels, labels = d2l.fashion_mnist(train=True)
    chosen = np.arange(images) % len(labels)  # the set, repeated if need be
    loader = d2l.ArrayLoader(pixels[chosen], labels[chosen], batch_size,
                             shuffle=True, resize=None if side == 28 else side)
    del pixels  # the set is what the loader has
    peak_mib(since_now=True)
    library = d2lzh_ext()
    timed = Timed(loader, len(loader) - WARM_UP, library.wait)
    timed.go(library.train(network, timed, [], batch_size, LEARNING_RATE))
    return {"seconds": round(
        1000 * timed.seconds / (batch_size * timed.count), 5),
        "peak_mib": peak_mib()}


def speed(network: str, side: int, small: bool = False) -> dict[str, Any]:
    """Seconds for 1,000 images of five steps of training and prediction.

    A step is what training does with one batch: the loader makes it, the
    compiled network computes scores and gradients, the trainer updates the
    parameters.
    """
    import d2lzh_ext as d2l

    # isort: split
    import mxnet as mx
    from mxnet import autograd, gluon

    from d2lzh_ext.engine.compiled import compiled

    timed = 5
    setting = networks.timed_settings(network)[side]
    if small:
        setting.update(resize=32, batch_size=8)
    batch_size = setting["batch_size"]
    images = (WARM_UP + timed) * batch_size
    train_iter, test_iter = d2l.load_data_fashion_mnist(
        batch_size, resize=setting["resize"], num_train=images,
        num_test=images)
    d2l.seed(0)
    net = networks.build(network)
    net.initialize(setting["initializer"])
    trainer = gluon.Trainer(net.collect_params(), setting["optimizer"],
                            {"learning_rate": setting["learning_rate"]})
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    loss.hybridize(static_alloc=True)
    forward = compiled(net)

    def train(X: Any, y: Any) -> None:
        with autograd.record():
            l = loss(forward(X), y)  # noqa: E741 (the book's name)
        l.backward()
        trainer.step(batch_size)

    def steps(batches: Any, step: Callable[[Any, Any], Any]) -> list[float]:
        times, loader = [], iter(batches)
        for _ in range(WARM_UP + timed):
            start = time.perf_counter()
            step(*next(loader))
            mx.nd.waitall()
            times.append(time.perf_counter() - start)
        return [round(seconds * 1000 / batch_size, 5)
                for seconds in times[WARM_UP:]]

    return {"batch_size": batch_size, "optimizer": setting["optimizer"],
            "train": steps(train_iter, train),
            "predict": steps(test_iter, lambda X, y: forward(X)),
            "peak_mib": peak_mib()}


def updates(network: str, patched: bool, batches: int, small: bool = False
            ) -> dict[str, float]:
    """Milliseconds of SGD's update and of the whole step, medians.

    Without `patched`, by MXNet's own operator.
    """
    import d2lzh_ext as d2l

    # isort: split
    import mxnet as mx
    from mxnet import autograd, gluon, init, nd

    from d2lzh_ext.engine.compiled import compiled

    optimizer = mx.optimizer.optimizer
    if not patched:
        optimizer.multi_sgd_update = inspect.unwrap(
            optimizer.multi_sgd_update)
    batch_size, side = SIZES[network]
    batch_size = 2 if small else batch_size
    d2l.seed(0)
    X = nd.random.uniform(shape=(batch_size, 1, side, side))
    net = networks.build(network)
    net.initialize(init.Xavier())
    forward = compiled(net)
    trainer = gluon.Trainer(net.collect_params(), "sgd")
    times = []
    for _ in range(WARM_UP + batches):
        start = time.perf_counter()
        with autograd.record():
            scores = forward(X)
        scores.backward()
        nd.waitall()
        middle = time.perf_counter()
        trainer.step(batch_size)
        nd.waitall()
        end = time.perf_counter()
        times.append((1000 * (end - middle), 1000 * (end - start)))
    update, step = map(statistics.median, zip(*times[WARM_UP:]))
    return {"update_ms": round(update, 2), "step_ms": round(step, 2)}


MEASUREMENTS: dict[str, Callable[..., dict[str, Any]]] = {
    function.__name__: function for function in (
        startup, epoch, training, peak, growth, speed, updates)}


if __name__ == "__main__":
    print(json.dumps(MEASUREMENTS[sys.argv[1]](**json.loads(sys.argv[2]))))
