"""Run the tests of one line of the platform matrix, and record it.

`make matrix` calls this with the Python whose environment is tried, and then
once more, without arguments: the table of docs/platforms.md is made from the
record, data/results/matrix.json.

Usage: python tools/matrix.py [VERSION AGE COMMAND...]
AGE: oldest or newest (NumPy), or, in Debian testing, with-gcc or without-gcc
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
import pages
import records

NAME = "matrix"
PAGE = records.ROOT / "docs" / "platforms.md"
SYSTEMS = {"with-gcc": ", Debian testing",
           "without-gcc": ", Debian testing without gcc"}
COUNT = re.compile(r"(\d+) (passed|failed|skipped|error)")


def _versions(line: tuple[str, dict[str, Any]]) -> list[int]:
    """What sorts a line: its Python, then its NumPy."""
    entry = line[1]
    text = f"{entry['provenance']['python']} {entry['numpy']}"
    return [int(part) for part in re.findall(r"\d+", text)]


def table(lines: dict[str, dict[str, Any]]) -> str:
    """The page's table, from the record."""
    rows = ["| Python | NumPy | IPython | unit tests and chapter 5 | date |",
            "|---|---|---|---|---|"]
    for name, entry in sorted(lines.items(), key=_versions):
        system = SYSTEMS.get(name.split()[1], "")
        counts = ", ".join(f"{entry[kind]} {kind}" for kind in
                           ("passed", "failed", "error", "skipped")
                           if entry.get(kind))
        rows.append(f"| {entry['provenance']['python']}{system} | "
                    f"{entry['numpy']} | {entry['ipython']} | {counts} | "
                    f"{entry['provenance']['date']} |")
    return "\n".join(rows)


def main() -> int:
    if len(sys.argv) == 1:
        pages.replace(PAGE, NAME, table(records.load(NAME)["lines"]))
        return 0
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
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
