"""Measure time and memory: this project, d2lzh as shipped, and PyTorch.

Each measurement runs in a process of its own (contestants.py). Those that
are compared take turns, round by round, and ratios are taken within a round.
Records go to data/results, tables and figures to docs/benchmarks.md. Nothing
else should run meanwhile.

Usage: python benchmarks/bench.py WHAT [--fast] [NAME ...]
NAME: only these networks, or chapters such as 05-lenet; the others keep what
was recorded. --fast checks with few small batches that all of it runs, and
writes nothing. WHAT:

epoch     LeNet, one epoch with its test
training  images a second of every network, and of the loaders
growth    time and memory by size of batch, image and training set
all       these three
speed     one step of every network, which chapter 16 quotes
chapters  every chapter alone; stores its outputs, as `make outputs` does
startup   `import d2lzh_ext`; printed only, as is the next
updates   SGD's update, with and without this project's operator
pages     nothing is measured; tables and figures of what is recorded
"""
from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.util import find_spec
from typing import Any, NamedTuple

import contestants
import networks
import records
import tables

Record = dict[str, Any]
CHAPTERS = [path.stem for path in sorted(
    (records.ROOT / "chapters").glob("*.ipynb"))]
NETWORKS = [name for name in contestants.SIZES if name in networks.MODULES]
BATCHES = {"lenet": 200, "loader-28": 200, "loader-96": 200,
           "loader-224": 300, "densenet": 10}  # some seconds for the fastest
USUAL_BATCHES = 5


def measure(measurement: str, environment: dict[str, str] | None = None,
            **arguments: Any) -> Record:
    """What contestants.py measures in a process of its own.

    `peak_mib` is as it was measured there, or as seen from here.
    """
    out, peak = records.run(
        [sys.executable, contestants.__file__, measurement,
         json.dumps(arguments)], **environment or {})
    return {"peak_mib": round(peak, 1), **json.loads(out.splitlines()[-1])}


def in_turn(tasks: Mapping[str, Callable[[], Record]], rounds: int,
            title: str = "") -> dict[str, list[Record]]:
    """What every task gives, one after the other, in every round."""
    found: dict[str, list[Record]] = {name: [] for name in tasks}
    for number in range(rounds):
        for name, task in tasks.items():
            result = task()
            found[name].append(result)
            print(f"round {number + 1}  {title:10} {name:30}", *(
                f"{key} {value}" for key, value in result.items()), flush=True)
    return found


def columns(results: list[Record]) -> Record:
    """The values of all rounds by their names; of the memory, the most."""
    found = {key: [result[key] for result in results] for key in results[0]}
    return {**found, "peak_mib": max(found["peak_mib"])}


def available(names: list[str]) -> list[str]:
    """The contestants that can run here; says why another cannot."""
    compiler = os.environ.get("CXX", "g++")
    chosen = []
    for name in names:
        if name.startswith("torch") and not find_spec("torch"):
            print(f"{name}: left out, PyTorch is not installed")
        elif "compiled" in name and not shutil.which(compiler):
            print(f"{name}: left out, torch.compile needs {compiler}")
        else:
            chosen.append(name)
    return chosen


def in_order(entries: Record, order: Any) -> Record:
    return {name: entries[name] for name in order if name in entries}


# Each of these yields its record whenever a part of it is done. `names` are
# those of the command line, or all that there are.

def epoch(names: list[str], fast: bool) -> Iterator[Record]:
    arguments: Record = {"epochs": 1, "batches": 2} if fast else {}
    found = in_turn(
        {name: partial(measure, "epoch", contestant=name, **arguments)
         for name in available(list(tables.TITLES))}, 1 if fast else 7)
    yield {"results": {name: columns(each) for name, each in found.items()}}


def training(names: list[str], fast: bool) -> Iterator[Record]:
    entries = {} if fast else records.load("training").get("networks", {})
    compared = available(contestants.TRAINING)
    for network in names:
        batches = 2 if fast else BATCHES.get(network, USUAL_BATCHES)
        tasks = {"peak": partial(measure, "peak",
                                 **({"side": 256} if fast else {}))}
        # Only the first round finds nothing that was compiled before.
        with tempfile.TemporaryDirectory() as cache:
            for name in compared:
                if "compiled" in name and network.startswith("loader"):
                    continue
                tasks[name] = partial(
                    measure, "training", {"TORCHINDUCTOR_CACHE_DIR": cache},
                    contestant=name, network=network, batches=batches)
            found = in_turn(tasks, 1 if fast else 5, network)
        peak = [{"matrix product": each["matrix product"]}
                for each in found.pop("peak")]
        now = provenance("training")
        batch_size, side = contestants.SIZES[network]
        # With its own provenance, for others stay as they were recorded.
        entries[network] = {
            "date": now["date"], "commit": now["commit"],
            "batch_size": batch_size, "side": side, "batches": batches,
            "peak": peak, "contestants": {
                name: columns(each) for name, each in found.items()}}
        entries = in_order(entries, contestants.SIZES)
        yield {"networks": entries}


def growth(names: list[str], fast: bool) -> Iterator[Record]:
    sweeps = {name: sweep.values for name, sweep in tables.SWEEPS.items()}
    if fast:
        sweeps = {"training images": [1_024, 2_048]}
    tasks = {}
    for name, values in sweeps.items():
        network, argument, _, others = tables.SWEEPS[name]
        for value in values:
            tasks[f"{name} {value}"] = partial(
                measure, "growth", network=network,
                **{**others, argument: value})
    found = in_turn(tasks, 1 if fast else 3)
    yield {"sweeps": {name: {str(value): found[f"{name} {value}"]
                             for value in values}
                      for name, values in sweeps.items()}}


def speed(names: list[str], fast: bool) -> Iterator[Record]:
    entries = {} if fast else records.load("speed").get("networks", {})
    for network in names:
        sides = list(networks.timed_settings(network))[:1 if fast else None]
        found = in_turn({str(side): partial(
            measure, "speed", network=network, side=side, small=fast)
            for side in sides}, 1, network)
        entries[network] = {side: each[0] for side, each in found.items()}
        entries = in_order(entries, networks.MODULES)
        yield {"threads": networks.threads(), "networks": entries}


def chapters(names: list[str], fast: bool) -> Iterator[Record]:
    def run(path: str) -> Record:
        out, peak = records.run(
            [sys.executable, "tools/run_chapter.py",
             # The file, for the name means its solutions as well.
             *([] if fast else ["--store"]), path])
        (seconds,) = re.findall(r"^Done in ([\d.]+) s", out, re.MULTILINE)
        print(f"{path:48} {seconds:>5} s {peak:6.0f} MiB", flush=True)
        return {"seconds": float(seconds), "peak_mib": round(peak, 1)}

    entries = records.load("chapters").get("chapters", {})
    for stem in names:
        entries[stem] = {
            **run(f"chapters/{stem}.ipynb"),
            "solutions": run(f"chapters/solutions/{stem}.ipynb")}
        yield {"chapters": in_order(entries, CHAPTERS)}


def startup(names: list[str], fast: bool) -> Iterator[Record]:
    tasks = {name: partial(measure, "startup", contestant=name)
             for name in ("d2lzh", "d2lzh_ext")}
    # The first round fills the disk's cache.
    found = in_turn(tasks, 2 if fast else 10)
    yield {"results": {name: columns(each[1:])
                       for name, each in found.items()}}


def updates(names: list[str], fast: bool) -> Iterator[Record]:
    variable = {"MXNET_OPTIMIZER_AGGREGATION_SIZE": "1"}
    variants: dict[str, tuple[bool, dict[str, str]]] = {
        "MXNet's": (False, {}),
        "the variable at 1": (False, variable),
        "this project's": (True, {})}
    entries = {}
    for network in names:
        found = in_turn({name: partial(
            measure, "updates", environment, network=network, patched=patched,
            batches=2 if fast else 9, small=fast)
            for name, (patched, environment) in variants.items()},
            1 if fast else 5, network)
        entries[network] = {name: columns(each)
                            for name, each in found.items()}
        yield {"networks": entries}


class Kind(NamedTuple):
    measure: Callable[[list[str], bool], Iterator[Record]]
    table: Callable[[Record], str] | None
    record: str | None = None   # its name, where it is stored
    names: list[str] = []       # noqa: RUF012 (never changed)
    fast_names: list[str] = []  # noqa: RUF012 (never changed)


KINDS = {
    "epoch": Kind(epoch, tables.epoch, "lenet-epoch"),
    "training": Kind(training, tables.training_table, "training",
                     list(contestants.SIZES), ["lenet", "loader-28"]),
    "growth": Kind(growth, tables.growth, "growth"),
    "speed": Kind(speed, None, "speed",
                  list(networks.MODULES), ["lenet_bn"]),
    "chapters": Kind(chapters, None, "chapters",
                     CHAPTERS, ["03-channels"]),
    "startup": Kind(startup, tables.startup),
    "updates": Kind(updates, tables.updates, None, NETWORKS, ["lenet"])}


def provenance(what: str) -> Record:
    return records.provenance(
        f"python benchmarks/bench.py {what}",
        *(["torch"] if what in ("epoch", "training") else []))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=[*KINDS, "all", "pages"])
    parser.add_argument("name", nargs="*")
    parser.add_argument("--fast", action="store_true")
    options = parser.parse_intermixed_args(arguments)
    if options.what == "pages":
        for name in tables.ON_PAGE:
            tables.show(name)
        return
    for what in (["epoch", "training", "growth"] if options.what == "all"
                 else [options.what]):
        kind = KINDS[what]
        unknown = set(options.name) - set(kind.names)
        if unknown:
            parser.error(f"{what} has no {', '.join(sorted(unknown))}; it "
                         f"has {', '.join(kind.names) or 'no names'}")
        names = options.name or (
            kind.fast_names if options.fast else kind.names)
        for measured in kind.measure(names, options.fast):
            record = {"provenance": provenance(what), **measured}
            if kind.record and not options.fast:
                records.save(kind.record, record)
                tables.show(kind.record)
        if kind.table:
            print(kind.table(record))


if __name__ == "__main__":
    main()
