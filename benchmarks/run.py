"""LeNet, one epoch: d2lzh as shipped, this project, and PyTorch.

Runs the contestants of benchmarks/lenet.py in turn, each time in a process
of its own, and takes the median of the second epochs. Writes
data/results/lenet-epoch.json and the table in README.md.

Usage: python benchmarks/run.py [--fast]
--fast checks in one round that all of it runs, and writes nothing.
"""
from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RESULT = ROOT / "data" / "results" / "lenet-epoch.json"
ROUNDS = 7
TITLES = {
    "d2lzh_ext": "`d2lzh_ext`",
    "d2lzh": "`d2lzh` 1.0.0 as shipped",
    "torch": "PyTorch, `DataLoader`",
    "torch-in-memory": "PyTorch, tensors in memory",
}
BEGIN, END = "<!-- benchmark: begin -->", "<!-- benchmark: end -->"


def run(name: str, epochs: int) -> tuple[dict[str, Any], float]:
    """Result of one contestant, and its peak memory in MiB.

    Memory is the proportional set size of the process and its children: a
    page that they share counts once.
    """
    process = psutil.Popen(
        [sys.executable, HERE / "lenet.py", name, str(epochs)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=ROOT)
    peak = 0
    while process.poll() is None:
        time.sleep(1)  # rare enough to leave the timing alone
        total = 0
        try:
            for p in (process, *process.children(recursive=True)):
                total += p.memory_full_info().pss
        except psutil.Error:
            continue  # it has just ended
        peak = max(peak, total)
    out, err = process.communicate()
    if process.returncode:
        raise SystemExit(f"{name} failed:\n{err}")
    result: dict[str, Any] = json.loads(out.splitlines()[-1])
    return result, peak / 2**20


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.machine()


def provenance() -> dict[str, Any]:
    """Where, when and with what the numbers were measured."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, text=True,
                            capture_output=True).stdout.strip()
    packages = {}
    for name in ("mxnet", "d2lzh", "numpy", "torch"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = None
    return {
        "command": "make bench",
        "date": datetime.date.today().isoformat(),
        "commit": commit,
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "packages": packages,
    }


def table(record: dict[str, Any]) -> str:
    """The README's table, from a record."""
    results = record["results"]
    ours = statistics.median(results["d2lzh_ext"]["seconds"])
    lines = ["| LeNet, one epoch with its test | seconds, median "
             "[min–max] | ours / this | peak memory |",
             "|---|---|---|---|"]
    for name, result in results.items():
        seconds = result["seconds"]
        median = statistics.median(seconds)
        lines.append(
            f"| {TITLES[name]} | {median:.2f} "
            f"[{min(seconds):.2f}–{max(seconds):.2f}] | "
            f"{ours / median:.2f} | {result['peak_mib']:.0f} MiB |")
    where = record["provenance"]
    lines.append("")
    lines.append(
        f"{where['cores']} cores of an {where['processor']}, "
        f"{len(seconds)} alternating runs, {where['date']}, MXNet "
        f"{where['packages']['mxnet']}, PyTorch "
        f"{where['packages']['torch']}. `make bench` repeats it.")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fast", action="store_true")
    fast = parser.parse_args().fast
    where = provenance()
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
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    for path, text in ((RESULT, json.dumps(record, indent=1) + "\n"),
                       (ROOT / "README.md", with_table(record))):
        aside = path.with_name(path.name + ".part")
        aside.write_text(text, encoding="utf-8")
        aside.replace(path)


def with_table(record: dict[str, Any]) -> str:
    """The README with the table of `record` in its place."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    before, rest = readme.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n{table(record)}\n{END}{after}"


if __name__ == "__main__":
    main()
