"""How time and memory grow with the batch, the images and the training set.

One of the three is changed at a time. Each point is measured ROUNDS times,
in turn with the others, in a process of its own, which goes through batches
of Fashion-MNIST with the package's loader and loop. Writes
data/results/growth.json, the README's table and docs/growth.svg. Nothing
else should run meanwhile.

Usage: python benchmarks/growth.py [--fast]
--fast checks with two points that all of it runs, and writes nothing.
"""
from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import records
import steps

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "growth"  # of the record
ROUNDS = 3
# Of each sweep: the network, what its points differ in, and what they share.
# A set of more than 60,000 images repeats those of Fashion-MNIST.
SWEEPS: dict[str, tuple[str, list[int], dict[str, int]]] = {
    "batch size": ("resnet18", [8, 16, 32, 64, 128],
                   {"image size": 96, "training images": 768}),
    "image size": ("resnet18", [28, 56, 112, 224],
                   {"batch size": 32, "training images": 256}),
    "training images": ("lenet", [15_000, 30_000, 60_000, 120_000, 240_000],
                        {"batch size": 256, "image size": 28})}
FAST = {"training images": [1_024, 2_048]}


def _peak_mib(since_now: bool = False) -> float:
    """The most memory this process has had, or, from now on, will have."""
    if since_now:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 2**10


def measure(network: str, batch_size: int, side: int, images: int
            ) -> dict[str, float]:
    """Seconds for 1,000 images, and the peak memory of training in MiB."""
    import d2lzh_ext as d2l

    # isort: split
    import numpy as np

    pixels, labels = d2l.fashion_mnist(train=True)
    chosen = np.arange(images) % len(labels)
    loader = d2l.ArrayLoader(pixels[chosen], labels[chosen], batch_size,
                             shuffle=True, resize=None if side == 28 else side)
    del pixels  # the set is what the loader has
    _peak_mib(since_now=True)
    batches = len(loader) - steps.WARM_UP
    seconds = steps.train_mxnet(d2l, network, loader, batch_size, side,
                                batches)
    return {"seconds": round(1000 * seconds / (batch_size * batches), 5),
            "peak_mib": round(_peak_mib(), 1)}


def _run(sweep: str, size: int) -> dict[str, float]:
    """Measure one point in a process of its own."""
    out, _ = records.run(
        [sys.executable, __file__, "--one", sweep, str(size)])
    found: dict[str, float] = json.loads(out.splitlines()[-1])
    print(f"{sweep} {size}: {found['seconds']:.3f} s for 1,000 images, "
          f"{found['peak_mib']:.0f} MiB", flush=True)
    return found


def _medians(sizes: dict[str, Any], what: str) -> list[float]:
    return [statistics.median(each[what] for each in sizes[size])
            for size in sizes]


def table(sweeps: dict[str, Any]) -> str:
    """The README's table, from the record."""
    lines = ["| what changes | network | to | seconds for 1,000 images, "
             "median [min–max] | peak memory, MiB |", "|---|---|---|---|---|"]
    for sweep, sizes in sweeps.items():
        memory = _medians(sizes, "peak_mib")
        for size, most in zip(sizes, memory):
            times = [each["seconds"] for each in sizes[size]]
            lines.append(
                f"| {sweep} | `{SWEEPS[sweep][0]}` | {int(size):,} | "
                f"{statistics.median(times):.3f} "
                f"[{min(times):.3f}–{max(times):.3f}] | {most:.0f} |")
    return "\n".join(lines)


def draw(sweeps: dict[str, Any]) -> Figure:
    """Time and memory against each size, on logarithmic axes."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import (
        FixedLocator,
        FuncFormatter,
        LogLocator,
        NullLocator,
    )

    figure = Figure(figsize=(9, 4.6), layout="constrained")
    axes = figure.subplots(2, len(sweeps), sharex="col", squeeze=False)
    for column, (sweep, sizes) in zip(axes.T, sweeps.items()):
        x = [int(size) for size in sizes]
        for axis, what, label in zip(
                column, ("seconds", "peak_mib"),
                ("seconds for 1,000 images", "peak memory, MiB")):
            y = _medians(sizes, what)
            axis.plot(x, y, "o-")
            axis.set(xscale="log", ylabel=label)
            if max(y) > 8 * min(y):
                axis.set_yscale("log")
                axis.yaxis.set(
                    major_locator=LogLocator(subs=(1, 2, 5)),
                    minor_locator=NullLocator(),
                    major_formatter=FuncFormatter(lambda n, _: f"{n:g}"))
            else:
                axis.set_ylim(0, 1.1 * max(y))
            axis.grid(True, alpha=0.3)
        column[0].set_title(SWEEPS[sweep][0])
        column[1].set_xlabel(sweep)
        column[1].xaxis.set(
            major_locator=FixedLocator(x), minor_locator=NullLocator(),
            major_formatter=FuncFormatter(
                lambda n, _: f"{n:.0f}" if n < 1e4 else f"{n / 1e3:.0f}k"))
    return figure


def with_the_set(sweeps: dict[str, Any]) -> str:
    """What a larger training set changes, in a sentence."""
    sweep = sweeps["training images"]
    sizes, times = list(map(int, sweep)), _medians(sweep, "seconds")
    beyond = [most - size * 28 * 28 / 2**20
              for size, most in zip(sizes, _medians(sweep, "peak_mib"))]
    return (f"From {min(sizes):,} to {max(sizes):,} training images, the "
            "medians of the time differ by "
            f"{max(times) / min(times) - 1:.0%} at most, and the memory is "
            f"{min(beyond):.0f} to {max(beyond):.0f} MiB plus 784 bytes for "
            "each image.")


def show(record: dict[str, Any]) -> str:
    """What stands in the README."""
    return (f"{table(record['sweeps'])}\n\n"
            f"{with_the_set(record['sweeps'])}\n\n"
            f"![Time and memory against each size](docs/{NAME}.svg)\n\n"
            f"{records.place(record['provenance'])}, {ROUNDS} rounds. "
            "`make bench` repeats it.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--one", nargs=2, metavar=("SWEEP", "SIZE"),
                        help="measure in this process; prints JSON")
    options = parser.parse_args()
    if options.one:
        sweep, size = options.one[0], int(options.one[1])
        network, _, shared = SWEEPS[sweep]
        point = {**shared, sweep: size}
        print(json.dumps(measure(
            network, point["batch size"], point["image size"],
            point["training images"])))
        return
    chosen = FAST if options.fast else {
        sweep: sizes for sweep, (_, sizes, _) in SWEEPS.items()}
    sweeps: dict[str, Any] = {}
    for _ in range(1 if options.fast else ROUNDS):
        for sweep, sizes in chosen.items():
            for size in sizes:
                sweeps.setdefault(sweep, {}).setdefault(str(size), []).append(
                    _run(sweep, size))
    if options.fast:
        draw(sweeps)
        print(table(sweeps))
        return
    record = {"provenance": records.provenance("make bench"),
              "sweeps": sweeps}
    records.save(NAME, record)
    records.save_figure(NAME, draw(sweeps))
    records.show_on_page(NAME, show(record))


if __name__ == "__main__":
    main()
