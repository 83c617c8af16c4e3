"""Training every network: this project, d2lzh as shipped, and PyTorch.

In each round, every contestant of benchmarks/steps.py trains the network in
a process of its own, one after the other, and the machine's peak is measured.
Ratios are taken within a round. Writes data/results/training.json and, with
PyTorch there, the README's table and docs/training.svg. Nothing else should
run meanwhile.

Usage: python benchmarks/bench.py [--fast] [NETWORK ...]
NETWORK: only these, or `loader-224`; the others keep what was recorded. --fast
checks with LeNet and the loader that all of it runs, and writes nothing.
"""
from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import d2lzh_ext as d2l  # first: it makes `import mxnet` work

# isort: split
import records
from steps import CONTESTANTS, SIZES

from d2lzh_ext import models

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS = Path(__file__).resolve().parent / "steps.py"
NAME = "training"  # of the record
ROUNDS = 5
# Batches that are timed: some seconds for the fastest.
BATCHES = {"lenet": 200, "loader-28": 200, "loader-96": 200,
           "loader-224": 300, "densenet": 10}
USUAL_BATCHES = 5
FAST_BATCHES = 2


def contestants() -> list[str]:
    """Those whose library is installed."""
    return [name for name in CONTESTANTS
            if find_spec("torch") or not name.startswith("torch")]


def run(*words: str) -> tuple[Any, float]:
    """What steps.py printed, and its peak memory in MiB."""
    out, peak = records.run([sys.executable, STEPS, *words], interval=0.5)
    return json.loads(out.splitlines()[-1]), peak


def measure(network: str, rounds: int, batches: int) -> dict[str, Any]:
    """Images a second of every round, and the most memory."""
    entry: dict[str, Any] = {"batch_size": SIZES[network][0],
                             "side": SIZES[network][1], "batches": batches,
                             "peak": [], "contestants": {}}
    for number in range(rounds):
        entry["peak"].append(run("peak")[0])
        for name in contestants():
            rate, memory = run(name, network, str(batches))
            found = entry["contestants"].setdefault(
                name, {"images_per_second": [], "peak_mib": 0.0})
            found["images_per_second"].append(rate)
            found["peak_mib"] = round(max(found["peak_mib"], memory), 1)
            print(f"{network:10} round {number + 1}  {name:20} {rate:9.1f} "
                  f"images/s {memory:6.0f} MiB", flush=True)
    return entry


def _trained(entries: dict[str, Any]) -> dict[str, Any]:
    """Those of networks."""
    return {name: entry for name, entry in entries.items()
            if not name.startswith("loader")}


def spread(values: list[float], form: str) -> str:
    """Median and range, as text."""
    middle, least, most = (format(value, form) for value in (
        statistics.median(values), min(values), max(values)))
    return f"{middle} [{least}–{most}]"


def ratios(entry: dict[str, Any], name: str) -> list[float]:
    """How many times as fast as `name` this project is, round by round."""
    ours, theirs = (entry["contestants"][each]["images_per_second"]
                    for each in ("d2lzh_ext", name))
    return [one / other for one, other in zip(ours, theirs)]


def loader_ahead(entries: dict[str, Any]) -> dict[str, float]:
    """Of each network, how many times as fast its images are made."""
    def rate(name: str) -> float:
        return statistics.median(
            entries[name]["contestants"]["d2lzh_ext"]["images_per_second"])

    return {network: rate(f"loader-{entry['side']}") / rate(network)
            for network, entry in _trained(entries).items()}


def mean(values: Iterable[float]) -> float:
    """Geometric mean."""
    return math.exp(statistics.fmean(map(math.log, values)))


def share_of_peak(network: str, entry: dict[str, Any]) -> list[float]:
    """Share of the convolution's rate that training reaches.

    A step costs three forward passes, of two operations for each of the
    network's multiply-accumulates.
    """
    side = entry["side"]
    macs = d2l.summary(getattr(models, network)(), (1, 1, side, side)).macs
    rates = entry["contestants"]["d2lzh_ext"]["images_per_second"]
    return [6 * macs * rate / (peak["convolution"] * 1e9)
            for rate, peak in zip(rates, entry["peak"])]


def table(entries: dict[str, Any]) -> str:
    """Of all networks: rates, ratios, shares of the peak."""
    others = [name for name in CONTESTANTS if name != "d2lzh_ext" and all(
        name in entry["contestants"] for entry in entries.values())]
    lines = ["| network, size, batch | images/s of `d2lzh_ext`, median "
             "[min–max] | "
             + " | ".join(f"times as fast as `{name}`" for name in others)
             + " | of a convolution's rate | memory of `d2lzh_ext`, MiB |",
             "|---" * (len(others) + 4) + "|"]
    for network, entry in entries.items():
        found = entry["contestants"]
        share = ("–" if network.startswith("loader") else
                 spread(share_of_peak(network, entry), ".0%"))
        lines.append(" | ".join([
            f"| `{network}`, {entry['side']}, {entry['batch_size']}",
            spread(found["d2lzh_ext"]["images_per_second"], ".0f"),
            *(spread(ratios(entry, name), ".2f") for name in others), share,
            f"{found['d2lzh_ext']['peak_mib']:.0f}"]) + " |")
    trained = _trained(entries).values()
    if trained:
        means = [mean(statistics.median(ratios(entry, name))
                      for entry in trained) for name in others]
        lines.append("| geometric mean of the medians | | " + " | ".join(
            f"{value:.2f}" for value in means) + " | | |")
    return "\n".join(lines)


def draw(entries: dict[str, Any]) -> Figure:
    """Speed of the others, where this project's is 1."""
    from matplotlib.figure import Figure

    entries = _trained(entries)
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axis = figure.subplots()
    others = list(CONTESTANTS)[1:]
    width = 0.8 / len(others)
    for number, name in enumerate(others):
        speeds = [[1 / ratio for ratio in ratios(entry, name)]
                  for entry in entries.values()]
        middle = [statistics.median(each) for each in speeds]
        axis.bar(
            [i + (number - 1) * width for i in range(len(entries))], middle,
            width, label=name, yerr=[
                [m - min(each) for m, each in zip(middle, speeds)],
                [max(each) - m for m, each in zip(middle, speeds)]])
    axis.axhline(1, color="black", linewidth=1, label="d2lzh_ext")
    axis.set_xticks(range(len(entries)), [
        f"{name}\n{entry['side']} × {entry['side']}"
        for name, entry in entries.items()])
    axis.set_ylabel("images/s, d2lzh_ext = 1")
    axis.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.2))
    return figure


def against_better(entries: dict[str, Any]) -> dict[str, float]:
    """Of each network, the ratio to PyTorch's better layout, as a median."""
    return {network: min(statistics.median(ratios(entry, name))
                         for name in CONTESTANTS if name.startswith("torch"))
            for network, entry in _trained(entries).items()}


def show(record: dict[str, Any]) -> str:
    """What stands in the README."""
    where = record["provenance"]
    better = against_better(record["networks"])
    worst = min(better, key=lambda network: better[network])
    return (f"{table(record['networks'])}\n\n"
            "Against the faster of PyTorch's two layouts on each network: "
            f"{mean(better.values()):.2f} in the geometric mean; the smallest "
            f"median is {better[worst]:.2f} (`{worst}`). The loader makes "
            f"images {min(loader_ahead(record['networks']).values()):.0f} "
            "times as fast as a network takes them, or more.\n\n"
            f"![Speed of the others](docs/{NAME}.svg)\n\n"
            f"{records.place(where)}, PyTorch {where['packages']['torch']}, "
            f"{ROUNDS} rounds. `make bench` repeats it.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", nargs="*", choices=[[], *SIZES])
    parser.add_argument("--fast", action="store_true")
    options = parser.parse_args()
    if options.fast:
        print(table({network: measure(network, 1, FAST_BATCHES)
                     for network in ("lenet", "loader-224")}))
        return
    entries = records.load(NAME).get("networks", {})
    for network in options.network or list(SIZES):
        measured = measure(network, ROUNDS,
                           BATCHES.get(network, USUAL_BATCHES))
        where = records.provenance("make bench", "torch")
        # Its own, for the other networks may stay as they were recorded.
        entries[network] = {"date": where["date"], "commit": where["commit"],
                            **measured}
        entries = {name: entries[name] for name in SIZES if name in entries}
        record = {"provenance": where, "networks": entries}
        records.save(NAME, record)
        if entries.keys() == SIZES.keys() and all(
                entry["contestants"].keys() == CONTESTANTS.keys()
                for entry in entries.values()):
            records.save_figure(NAME, draw(entries))
            records.show_on_page(NAME, show(record))
    print(table(entries))


if __name__ == "__main__":
    main()
