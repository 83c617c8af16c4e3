"""Run every chapter alone and note its time and peak memory.

Stores the outputs in the chapters, as `make outputs` does, then writes
data/results/chapters.json and the README's table of the chapters.

Usage: python benchmarks/chapters.py [NAME ...]
NAME: only these, such as 05-lenet; the others keep what was recorded.
"""
from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import records

NAME = "chapters"  # of the record
MOST_SECONDS, MOST_MIB = 150, 2048


def measure(path: Any) -> dict[str, float]:
    """Seconds from the kernel's start to the last cell, and MiB."""
    out, peak = records.run(
        [sys.executable, "tools/run_chapter.py", "--store", path],
        interval=0.5)
    (seconds,) = re.findall(r"^Done in ([\d.]+) s", out, re.MULTILINE)
    return {"seconds": float(seconds), "peak_mib": round(peak, 1)}


def main() -> None:
    record = records.load(NAME) or {"chapters": {}}
    chapters = sorted((records.ROOT / "chapters").glob("*.ipynb"))
    names = sys.argv[1:] or [path.stem for path in chapters]
    unknown = set(names) - {path.stem for path in chapters}
    if unknown:
        raise SystemExit(f"No such chapters: {', '.join(sorted(unknown))}")
    for path in chapters:
        if path.stem not in names:
            continue
        entry = measure(path)
        print(f"{path.stem:24} {entry['seconds']:6.1f} s "
              f"{entry['peak_mib']:6.0f} MiB", flush=True)
        record["chapters"][path.stem] = entry
        record["chapters"] = dict(sorted(record["chapters"].items()))
        record["provenance"] = records.provenance("make measured")
        records.save(NAME, record)
    subprocess.run([sys.executable, "tools/navigation.py"],
                   cwd=records.ROOT, check=True)


if __name__ == "__main__":
    main()
