"""SGD's update of a network: MXNet's four parameters a call, and one by one.

Prints the milliseconds of `trainer.step`, which `d2lzh_ext` does one by one,
for each network: the medians of ROUNDS steps, in turn.

Usage: python benchmarks/updates.py [NETWORK ...]
"""
from __future__ import annotations

import argparse
import statistics
import time

import d2lzh_ext as d2l  # first: it makes `import mxnet` work

# isort: split
import mxnet as mx
from mxnet import autograd, gluon, init, nd
from steps import SIZES

from d2lzh_ext import models
from d2lzh_ext.engine.compiled import compiled

ROUNDS = 10
NETWORKS = [name for name in SIZES if not name.startswith("loader")]


def measure(network: str) -> tuple[float, float]:
    """Milliseconds of an update, by MXNet's operator and by ours."""
    optimizer = mx.optimizer.optimizer
    ours = optimizer.multi_sgd_update
    batch_size, side = SIZES[network]
    d2l.seed(0)
    X = nd.random.uniform(shape=(batch_size, 1, side, side))
    net = getattr(models, network)()
    net.initialize(init.Xavier())
    forward = compiled(net)
    forward(X)
    trainer = gluon.Trainer(net.collect_params(), "sgd")
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(2 + ROUNDS):  # two to warm up
        for update, found in zip((ours.__wrapped__, ours), seconds):
            with autograd.record():
                scores = forward(X)
            scores.backward()
            nd.waitall()
            optimizer.multi_sgd_update = update
            start = time.perf_counter()
            trainer.step(batch_size)
            nd.waitall()
            found.append(time.perf_counter() - start)
    optimizer.multi_sgd_update = ours
    theirs, mine = (1000 * statistics.median(found[2:]) for found in seconds)
    return theirs, mine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", nargs="*", choices=[[], *NETWORKS])
    chosen = parser.parse_args().network or NETWORKS
    print("| network | four a call, ms | one by one, ms |\n|---|---|---|")
    for network in chosen:
        theirs, ours = measure(network)
        print(f"| `{network}` | {theirs:.2f} | {ours:.2f} |", flush=True)


if __name__ == "__main__":
    main()
