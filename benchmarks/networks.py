"""The networks that are trained on Fashion-MNIST, and one run of one.

MXNet is imported where it is used: experiments.py sets the number of threads
before, and a contestant imports another MXNet than this project's.
"""
from __future__ import annotations

import hashlib
import importlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import records

from d2lzh_compat.openmp import num_cores

if TYPE_CHECKING:
    import d2lzh_ext as d2l

# The function, and the module of d2lzh_ext.chapters that defines it.
MODULES = {"lenet": "ch05_lenet", "alexnet": "ch06_alexnet",
           "vgg": "ch07_vgg", "nin": "ch08_nin",
           "googlenet": "ch09_googlenet", "lenet_bn": "ch10_lenet_bn",
           "resnet18": "ch11_resnet", "densenet": "ch12_densenet",
           "zfnet_small": "ch13_zfnet"}
CHECKPOINTS = records.ROOT / "output" / "book"
# Large images in the book's batches of 128 and 256 would take gigabytes.
MOST_LARGE = 64


def module(network: str) -> Any:
    return importlib.import_module(f"d2lzh_ext.chapters.{MODULES[network]}")


def build(network: str) -> Any:
    """The network, not initialised."""
    return getattr(module(network), network)()


def chapter(network: str) -> str:
    """The chapter that holds the network, such as 06-alexnet."""
    number = MODULES[network][2:4]
    (path,) = (records.ROOT / "chapters").glob(f"{number}-*.ipynb")
    return path.stem


def setting(network: str, profile: str) -> dict[str, Any]:
    """The numbers of a network's chapter: `book` or `quick`."""
    return dict(module(network).SETTINGS[profile])


def timed_settings(network: str) -> dict[int, dict[str, Any]]:
    """By the side of the images, the setting whose steps are timed."""
    chosen = {}
    for profile in ("quick", "book"):  # the book's, where both have one side
        numbers = setting(network, profile)
        if numbers["resize"]:
            numbers["batch_size"] = min(numbers["batch_size"], MOST_LARGE)
        chosen[numbers["resize"] or 28] = numbers
    return dict(sorted(chosen.items()))


def readable(setting: dict[str, Any]) -> dict[str, Any]:
    """The setting as JSON can hold it; a function by its name."""
    return {key: json.loads(value.dumps()) if hasattr(value, "dumps")
            else getattr(value, "__name__", value)
            for key, value in setting.items()}


def threads() -> int:
    """OpenMP's threads in this process: the environment's, or all cores."""
    return int(os.environ.get("OMP_NUM_THREADS") or num_cores())


def checkpoint(name: str, setting: dict[str, Any], seed: int,
               folder: Path = CHECKPOINTS) -> Path:
    """Where a run is saved; another setting has another file."""
    text = json.dumps([readable(setting), seed])
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return folder / f"{name}-{digest}.npz"


def train(build: Callable[[], Any], setting: dict[str, Any], seed: int,
          checkpoint: str | os.PathLike[str] | None = None,
          measure: Callable[[Any, Any, Any], Any] | None = None
          ) -> tuple[d2l.History, Any]:
    """One run: what a chapter's cells do.

    With `num_valid` in the setting, the accuracy that the history calls the
    test's is that of as many held-out training images. `measure` gets the
    trained network, the test images and the device.
    """
    import d2lzh_ext as d2l  # first: it makes `import mxnet` work

    # isort: split
    from mxnet import gluon

    train_iter, *_, test_iter = loaders = d2l.load_data_fashion_mnist(
        setting["batch_size"], resize=setting["resize"],
        num_train=setting["num_train"], num_test=setting["num_test"],
        num_valid=setting.get("num_valid"), augment=setting.get("augment"))
    d2l.seed(seed)
    ctx = d2l.try_gpu()
    net = build()
    net.initialize(setting["initializer"], ctx=ctx)
    # All initial values are drawn before the first mask of Dropout.
    net(next(iter(test_iter))[0][:1].as_in_context(ctx))
    trainer = gluon.Trainer(net.collect_params(), setting["optimizer"],
                            {"learning_rate": setting["learning_rate"]})
    history = d2l.train_ch5(
        net, train_iter, loaders[1], setting["batch_size"], trainer, ctx,
        setting["num_epochs"], checkpoint)
    return history, measure and measure(net, test_iter, ctx)
