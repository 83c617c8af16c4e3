"""What the measuring scripts share: processes, provenance, where it goes."""
from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
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


def run(command: list[Any], interval: float = 1) -> tuple[str, float]:
    """Output of a command, and its peak memory in MiB.

    Memory is the proportional set size of the process and its children,
    looked at every `interval` seconds: a page that they share counts once.

    Raises:
        SystemExit: The command failed; with what it wrote to stderr.
    """
    process = psutil.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=ROOT)
    peak = 0
    while process.poll() is None:
        time.sleep(interval)  # rare enough to leave the timing alone
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


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".part")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)


def load(name: str) -> dict[str, Any]:
    """The record of that name; empty if there is none."""
    path = RESULTS / f"{name}.json"
    if not path.exists():
        return {}
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def save(name: str, record: dict[str, Any]) -> None:
    _write(RESULTS / f"{name}.json", json.dumps(record, indent=1) + "\n")


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
    """Write docs/NAME.svg, which the README shows."""
    _write(figure_path(name), svg(figure))


def place(where: dict[str, Any]) -> str:
    """Where and when, as the last line under a table."""
    return (f"{where['cores']} cores of an {where['processor']}, "
            f"{where['date']}, MXNet {where['packages']['mxnet']}")


def show_on_page(section: str, table: str,
                   path: Path = ROOT / "README.md") -> None:
    """Put a table between the two comments of that section of a page."""
    begin, end = f"<!-- {section}: begin -->", f"<!-- {section}: end -->"
    before, rest = path.read_text(encoding="utf-8").split(begin)
    after = rest.split(end)[1]
    _write(path, f"{before}{begin}\n{table}\n{end}{after}")
