"""What the measuring scripts share: processes, provenance, where it goes."""
from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "data" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"
sys.path.insert(0, str(ROOT / "tools"))

import pages  # noqa: E402 (from tools/)


def run(command: list[Any], **environment: str) -> tuple[str, float]:
    """Output of a command, and its peak memory in MiB.

    Memory is the proportional set size of the process and its children,
    looked at twice a second: a page that they share counts once.

    Raises:
        SystemExit: The command failed; with what it wrote to stderr.
    """
    process = psutil.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=ROOT, env={**os.environ, **environment})
    peak = 0
    while process.poll() is None:
        time.sleep(0.5)  # rare enough to leave the timing alone
        total = 0
        try:
            for p in (process, *process.children(recursive=True)):
                total += p.memory_full_info().pss
        except psutil.Error:
            continue  # it has just ended
        peak = max(peak, total)
    out, err = process.communicate()
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{err}")
    return out, peak / 2**20


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.machine()


def provenance(command: str, *packages: str) -> dict[str, Any]:
    """Where, when and with what the numbers are measured."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, text=True,
                            capture_output=True).stdout.strip()
    versions = {}
    for name in ("mxnet", "d2lzh", "numpy", *packages):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return {
        "command": command,
        "date": datetime.date.today().isoformat(),
        "commit": commit,
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "packages": versions,
    }


def load(name: str) -> dict[str, Any]:
    """The record of that name; empty if there is none."""
    path = RESULTS / f"{name}.json"
    if not path.exists():
        return {}
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def save(name: str, record: dict[str, Any]) -> None:
    pages.write(RESULTS / f"{name}.json", json.dumps(record, indent=1) + "\n")


def figure_path(name: str) -> Path:
    """Where the figure of that record is."""
    return ROOT / "docs" / f"{name}.svg"


def svg(figure: Figure) -> str:
    """A figure as SVG, in the same letters each time."""
    import matplotlib

    text = StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "d2lzh_ext"}):
        figure.savefig(text, format="svg", bbox_inches="tight",
                       metadata={"Date": None})
    return "\n".join(line.rstrip() for line in
                     text.getvalue().splitlines()) + "\n"


def save_figure(name: str, figure: Figure) -> None:
    """Write docs/NAME.svg, which docs/benchmarks.md shows."""
    pages.write(figure_path(name), svg(figure))


def show_on_page(section: str, text: str) -> None:
    """Put a table, and what belongs to it, into that section of the page."""
    pages.replace(PAGE, section, text)
