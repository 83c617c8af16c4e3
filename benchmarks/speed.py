"""Time the training and the prediction of every network.

Each network, at the image size of its `book` and of its `quick` setting, has
a process of its own and both cores. A step is what training does with one
batch: the package's loader makes it, the compiled network computes scores
and gradients, the trainer updates the parameters. Two steps warm up, five
are timed; then the same for prediction. Writes data/results/speed.json.
Nothing else should run meanwhile.

Usage: python benchmarks/speed.py [--fast] [NETWORK ...]
NETWORK: only these; the others keep what was recorded. --fast checks with
small images that all of it runs, and writes nothing.
"""
from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any

import d2lzh_ext as d2l  # first: it makes `import mxnet` work

# isort: split
import mxnet as mx
import networks
import records
from mxnet import autograd, gluon
from networks import MODULES

from d2lzh_ext import models
from d2lzh_ext.engine.compiled import compiled

NAME = "speed"  # of the record
WARM_UP, TIMED = 2, 5
# Large pictures in the book's batches of 128 and 256 would take gigabytes.
MOST_LARGE = 64
FAST = {"resize": 32, "batch_size": 8}


def sizes(network: str) -> dict[int, dict[str, Any]]:
    """What is timed: by the side of the pictures, the setting to use."""
    chosen = {}
    for profile in ("quick", "book"):  # the book's, where both have one side
        setting = networks.setting(network, profile)
        if setting["resize"]:
            setting["batch_size"] = min(setting["batch_size"], MOST_LARGE)
        chosen[setting["resize"] or 28] = setting
    return dict(sorted(chosen.items()))


def steps(batches: Iterable[Any], step: Callable[[Any, Any], Any]
          ) -> list[float]:
    """Seconds for 1,000 images, of each step after the first ones."""
    times = []
    loader = iter(batches)
    for _ in range(WARM_UP + TIMED):
        start = time.perf_counter()
        X, y = next(loader)
        step(X, y)
        mx.nd.waitall()
        times.append((time.perf_counter() - start) * 1000 / len(y))
    return [round(seconds, 5) for seconds in times[WARM_UP:]]


def measure(network: str, setting: dict[str, Any]) -> dict[str, Any]:
    """Both times of one network, and the most memory it took, in MiB."""
    batch_size = setting["batch_size"]
    images = (WARM_UP + TIMED) * batch_size
    train_iter, test_iter = d2l.load_data_fashion_mnist(
        batch_size, resize=setting["resize"], num_train=images,
        num_test=images)
    d2l.seed(0)
    net = getattr(models, network)()
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

    def predict(X: Any, y: Any) -> None:
        forward(X)

    timed = {"train": steps(train_iter, train),
             "predict": steps(test_iter, predict)}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"batch_size": batch_size, "optimizer": setting["optimizer"],
            **timed, "peak_mib": round(peak / 2**10, 1)}


def line(network: str, side: int, entry: dict[str, Any]) -> str:
    """Median and range of both times, as text."""
    parts = [f"{kind} {statistics.median(entry[kind]):.3f} "
             f"[{min(entry[kind]):.3f}–{max(entry[kind]):.3f}]"
             for kind in ("train", "predict")]
    return (f"{network:10} {side:3} pixels, seconds for 1,000 images: "
            + ", ".join(parts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", nargs="*", choices=[[], *MODULES])
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--one", nargs=2, metavar=("NETWORK", "SIDE"),
                        help="measure in this process; prints JSON")
    options = parser.parse_args()
    if options.one:
        network, side = options.one[0], int(options.one[1])
        setting = sizes(network)[side]
        print(json.dumps(measure(
            network, {**setting, **FAST} if options.fast else setting)))
        return
    timed = records.load(NAME).get("networks", {})
    for network in options.network or list(MODULES):
        chosen = list(sizes(network))[:1 if options.fast else None]
        entries = {}
        for side in chosen:
            entries[str(side)] = networks.in_its_own_process(
                __file__, "--one", network, str(side),
                *(["--fast"] if options.fast else []))
            print(line(network, FAST["resize"] if options.fast else side,
                       entries[str(side)]), flush=True)
        timed[network] = entries
        if not options.fast:
            records.save(NAME, {
                "provenance": records.provenance("make speed"),
                "threads": networks.threads(),
                "networks": {name: timed[name] for name in MODULES
                             if name in timed}})


if __name__ == "__main__":
    main()
