"""What each setting of the package is worth: LeNet with one changed.

Runs the contestants of benchmarks/lenet.py in turn, some of them beside a
program that keeps one core busy, and prints the table of NOTES.md from the
medians of their first epochs. Usage: python benchmarks/variants.py [ROUNDS]
"""
from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

# title: contestant, changed environment, whether another program runs
VARIANTS: dict[str, tuple[str, dict[str, str], bool]] = {
    "as it is": ("d2lzh_ext", {}, False),
    "MXNet's own graph": ("d2lzh_ext-plain-graph", {}, False),
    "the synchronous engine": (
        "d2lzh_ext", {"MXNET_ENGINE_TYPE": "NaiveEngine"}, False),
    "MXNet's own graph, the synchronous engine": (
        "d2lzh_ext-plain-graph", {"MXNET_ENGINE_TYPE": "NaiveEngine"}, False),
    "one thread": ("d2lzh_ext", {"OMP_NUM_THREADS": "1"}, False),
    "OpenMP's own waiting": (
        "d2lzh_ext", {"GOMP_SPINCOUNT": "300000"}, False),
    "as it is, a core busy": ("d2lzh_ext", {}, True),
    "OpenMP's own waiting, a core busy": (
        "d2lzh_ext", {"GOMP_SPINCOUNT": "300000"}, True),
    "PyTorch, `DataLoader`, a core busy": ("torch", {}, True),
}


def seconds(contestant: str, changed: dict[str, str], busy: bool) -> float:
    """The first epoch of one run."""
    other = subprocess.Popen(
        [sys.executable, "-c", "while True: pass"]) if busy else None
    try:
        done = subprocess.run(
            [sys.executable, HERE / "lenet.py", contestant, "1"],
            env={**os.environ, **changed}, text=True, check=True,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    finally:
        if other:
            other.kill()
            other.wait()
    return float(json.loads(done.stdout.splitlines()[-1])["seconds"][-1])


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    measured: dict[str, list[float]] = {title: [] for title in VARIANTS}
    for _ in range(rounds):
        for title, variant in VARIANTS.items():
            measured[title].append(seconds(*variant))
            print(f"{measured[title][-1]:6.2f} s  {title}", file=sys.stderr)
    base = statistics.median(measured["as it is"])
    print("| LeNet, one epoch | seconds, median [min–max] | ratio |\n"
          "|---|---|---|")
    for title, values in measured.items():
        median = statistics.median(values)
        print(f"| {title} | {median:.2f} [{min(values):.2f}–"
              f"{max(values):.2f}] | {median / base:.2f} |")


if __name__ == "__main__":
    main()
