"""Train every network with its `quick` setting from several seeds.

Writes the test accuracy of each run to data/results/quick-seeds.json, which
the chapters quote. Nothing is timed, so other programs may run meanwhile.
Each run has a process of its own, with one thread, so that the number of
cores has no say; the file is written after each network.

Usage: python benchmarks/seeds.py [--fast] [NETWORK ...]
NETWORK: only these; the others keep what was recorded. --fast checks on 256
images that all of it runs, and writes nothing.
"""
from __future__ import annotations

import argparse
import json
import statistics
from typing import Any

import networks
import records
from networks import MODULES

SEEDS = [0, 1, 2, 3, 4]
NAME = "quick-seeds"  # of the record


def train(network: str, seed: int, fast: bool) -> float:
    """Test accuracy of one run."""
    setting = networks.setting(network, "quick")
    if fast:
        setting.update(num_train=256, num_test=100, num_epochs=1)
    return networks.train(network, setting, seed).test_acc[-1]


def measure(network: str, fast: bool) -> dict[str, Any]:
    """All runs of one network."""
    entry: dict[str, Any] = {
        "setting": networks.readable(networks.setting(network, "quick")),
        "seeds": SEEDS[:1] if fast else SEEDS, "test_acc": []}
    for seed in entry["seeds"]:
        accuracy = networks.in_its_own_process(
            __file__, "--train", network, str(seed),
            *(["--fast"] if fast else []), OMP_NUM_THREADS="1")
        entry["test_acc"].append(accuracy)
        print(f"{network:10} seed {seed}  test acc {accuracy:.3f}",
              flush=True)
    return entry


def table(record: dict[str, Any]) -> str:
    """The README's table, from a record."""
    lines = ["| network | image size | training images × epochs | "
             "test accuracy, median [min–max] |", "|---|---|---|---|"]
    for network, entry in record["networks"].items():
        setting, accuracies = entry["setting"], entry["test_acc"]
        lines.append(
            f"| `{network}` | {setting['resize'] or 28} | "
            f"{setting['num_train'] or 60_000:,} × {setting['num_epochs']} | "
            f"{statistics.median(accuracies):.3f} "
            f"[{min(accuracies):.3f}–{max(accuracies):.3f}] |")
    where = record["provenance"]
    return "\n".join([*lines, "", "Seeds 0 to 4, each run with one thread, on "
                      f"an {where['processor']}, {where['date']}, MXNet "
                      f"{where['packages']['mxnet']}. `make seeds` repeats "
                      "it."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", nargs="*", choices=[[], *MODULES])
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--train", nargs=2, metavar=("NETWORK", "SEED"),
                        help="one run in this process; prints JSON")
    options = parser.parse_args()
    if options.train:
        network, seed = options.train
        print(json.dumps(train(network, int(seed), options.fast)))
        return
    old = records.load(NAME).get("networks", {})
    chosen = options.network or list(MODULES)
    for network in chosen:
        old[network] = measure(network, options.fast)
        record = {"provenance": records.provenance("make seeds"),
                  "networks": {name: old[name] for name in MODULES
                               if name in old}}
        if not options.fast:
            records.save(NAME, record)
    print(table(record))
    if not options.fast:
        records.show_on_page("seeds", table(record))


if __name__ == "__main__":
    main()
