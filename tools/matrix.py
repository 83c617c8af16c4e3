"""Run the tests of one line of the platform matrix, and record it.

`make matrix` calls this with the Python whose environment is tried. Writes
data/results/matrix.json and, from it, the README's table.

Usage: python tools/matrix.py VERSION oldest|newest COMMAND...
"""
from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent
                       / "benchmarks"))
import records

NAME = "matrix"
COUNT = re.compile(r"(\d+) (passed|failed|skipped|error)")


def _versions(entry: dict[str, Any]) -> list[int]:
    """What sorts an entry: its Python, then its NumPy."""
    text = f"{entry['provenance']['python']} {entry['numpy']}"
    return [int(part) for part in re.findall(r"\d+", text)]


def table(lines: dict[str, dict[str, Any]]) -> str:
    """The README's table, from the record."""
    rows = ["| Python | NumPy | IPython | unit tests and chapter 5 |",
            "|---|---|---|---|"]
    for entry in sorted(lines.values(), key=_versions):
        counts = ", ".join(f"{entry[kind]} {kind}" for kind in
                           ("passed", "failed", "error", "skipped")
                           if entry.get(kind))
        rows.append(f"| {entry['provenance']['python']} | {entry['numpy']} | "
                    f"{entry['ipython']} | {counts} |")
    return "\n".join(rows)


def main() -> int:
    python, age, *command = sys.argv[1:]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    print(done.stdout)
    counts = {kind: int(number) for number, kind in COUNT.findall(
        done.stdout.rstrip().rpartition("\n")[2])}
    if not counts:  # it did not come to a test
        return done.returncode
    lines = records.load(NAME).get("lines", {})
    lines[f"{python} {age}"] = {
        "numpy": version("numpy"), "ipython": version("ipython"), **counts,
        "provenance": records.provenance("make matrix")}
    records.save(NAME, {"lines": lines})
    records.show_in_readme(NAME, table(lines))
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
