"""LeNet, one epoch: d2lzh as shipped, this project, and PyTorch.

Runs the contestants of benchmarks/lenet.py in turn, each time in a process
of its own, and takes the median of the second epochs. Writes
data/results/lenet-epoch.json and the table in README.md.

Usage: python benchmarks/run.py [--fast]
--fast checks in one round that all of it runs, and writes nothing.
"""
from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import records

HERE = Path(__file__).resolve().parent
NAME = "lenet-epoch"  # of the record
ROUNDS = 7
TITLES = {
    "d2lzh_ext": "`d2lzh_ext`",
    "d2lzh": "`d2lzh` 1.0.0 as shipped",
    "torch": "PyTorch, `DataLoader`",
    "torch-in-memory": "PyTorch, tensors in memory",
}


def run(name: str, epochs: int) -> tuple[dict[str, Any], float]:
    """Result of one contestant, and its peak memory in MiB."""
    out, peak = records.run(
        [sys.executable, HERE / "lenet.py", name, str(epochs)])
    result: dict[str, Any] = json.loads(out.splitlines()[-1])
    return result, peak


def table(record: dict[str, Any]) -> str:
    """The README's table, from a record."""
    results = record["results"]
    ours = statistics.median(results["d2lzh_ext"]["seconds"])
    lines = ["| LeNet, one epoch with its test | seconds, median "
             "[min–max] | `d2lzh_ext`, times as fast | peak memory |",
             "|---|---|---|---|"]
    for name, result in results.items():
        seconds = result["seconds"]
        median = statistics.median(seconds)
        lines.append(
            f"| {TITLES[name]} | {median:.2f} "
            f"[{min(seconds):.2f}–{max(seconds):.2f}] | "
            f"{median / ours:.2f} | {result['peak_mib']:.0f} MiB |")
    where = record["provenance"]
    lines.append("")
    lines.append(
        f"{where['cores']} cores of an {where['processor']}, "
        f"{len(seconds)} rounds, {where['date']}, MXNet "
        f"{where['packages']['mxnet']}, PyTorch "
        f"{where['packages']['torch']}. `make bench` repeats it.")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fast", action="store_true")
    fast = parser.parse_args().fast
    where = records.provenance("make bench", "torch")
    names = [name for name in TITLES
             if not name.startswith("torch") or where["packages"]["torch"]]
    for name in set(TITLES) - set(names):
        print(f"{name}: skipped, PyTorch is not installed")
    results: dict[str, Any] = {
        name: {"seconds": [], "test_acc": [], "peak_mib": 0.0}
        for name in names}
    for number in range(1 if fast else ROUNDS):
        for name in names:
            result, peak = run(name, 1 if fast else 2)
            entry = results[name]
            entry["seconds"].append(round(result["seconds"][-1], 3))
            entry["test_acc"].append(result["test_acc"])
            entry["peak_mib"] = round(max(entry["peak_mib"], peak), 1)
            print(f"round {number + 1}  {name:16} "
                  f"{result['seconds'][-1]:6.2f} s {peak:6.0f} MiB",
                  flush=True)
    record = {"provenance": where, "results": results}
    print(table(record))
    if fast:
        return
    records.save(NAME, record)
    records.show_on_page("benchmark", table(record))


if __name__ == "__main__":
    main()
