"""Examine the environment: what is there, what is missing, and the cure.

    python -m d2lzh_ext doctor
"""
from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import mxnet as mx

from d2lzh_compat import openmp
from d2lzh_ext import devices
from d2lzh_ext.files.fetch import FASHION_MNIST, MNIST, DataSet, find
from d2lzh_ext.files.idx import DataError

_PYTHONS = ((3, 9), (3, 15))  # the oldest and the newest that are tested
_MEMORY = 2 * 2**30  # Binder's; every chapter is kept below it


class Finding(NamedTuple):
    """One line of the report; `cure` is empty where all is well."""

    name: str
    value: str
    cure: str = ""


def _python() -> Finding:
    low, high = (".".join(map(str, each)) for each in _PYTHONS)
    value = (f"{platform.python_version()} on {platform.system()} "
             f"{platform.machine()}")
    if sys.version_info[:2] > _PYTHONS[1]:  # which may well do
        value += f" (tested: {low} to {high})"
    return Finding("Python", value, "" if sys.version_info >= _PYTHONS[0]
                   else f"use Python {low} or later")


def _package(name: str) -> Finding:
    try:
        return Finding(name, version(name))
    except PackageNotFoundError:
        return Finding(name, "missing", f"pip install {name}")


def _mxnet() -> Finding:
    features = mx.runtime.Features()
    named = filter(features.is_enabled, (
        "MKLDNN", "OPENMP", "CUDA", "CUDNN", "DIST_KVSTORE", "OPENCV"))
    return Finding("MXNet", f"{mx.__version__} with {', '.join(named)}",
                   "" if mx.__version__ == "1.9.1"
                   else "pip install --no-deps mxnet==1.9.1")


def _cores() -> Finding:
    cores = openmp.num_cores()
    value = f"{cores} to use of {os.cpu_count() or 1}"
    threads = os.environ.get("OMP_NUM_THREADS")
    if threads is None:
        return Finding("cores", value)
    return Finding("cores", f"{value}, OMP_NUM_THREADS={threads}",
                   "" if threads == str(cores) else
                   "unset OMP_NUM_THREADS to use them all")


def available_memory() -> int | None:
    """Bytes that this process may still take; None where nothing tells."""
    free = []
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                free.append(int(line.split()[1]) * 1024)
    except OSError:
        pass
    for limit, usage in (
            ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes",
             "/sys/fs/cgroup/memory/memory.usage_in_bytes")):
        try:
            free.append(int(Path(limit).read_text())
                        - int(Path(usage).read_text()))
        except (OSError, ValueError):
            continue  # no such file, or "max": no limit
    return min(free) if free else None


def _memory() -> Finding:
    free = available_memory()
    if free is None:
        return Finding("memory", "unknown")
    return Finding(
        "memory", f"{free / 2**30:.1f} GiB available",
        "" if free >= _MEMORY else "close other programs; chapters may "
        "take up to 2 GiB")


def _data(dataset: DataSet) -> Finding:
    """Where a data set is found; its files are read and verified."""
    try:
        paths = [find(dataset, file)
                 for file in (*dataset.train, *dataset.test)]
    except DataError as error:
        return Finding(dataset.name, "damaged", str(error))
    if None in paths:
        return Finding(dataset.name, "not here; the first use downloads it")
    return Finding(dataset.name, ", ".join(sorted(
        {str(path.parent) for path in paths if path})))


def _gpu() -> Finding:
    """Every GPU; one that is too new for any MXNet has no cure."""
    value, cures = [], []
    for gpu in devices.gpus():
        reason = devices.why_not(gpu)
        if reason is None:
            value.append(f"{mx.gpu(gpu.place)}, {gpu.name}")
        elif gpu.capability >= devices.TOO_NEW:
            value.append(reason)
        else:
            value.append(f"{gpu.name} is not usable")
            cures.append(reason)
    return Finding("GPU", "; ".join(value) or "none", "; ".join(cures))


def examine() -> Iterator[Finding]:
    """All findings, in the order of the report."""
    yield _python()
    yield _package("numpy")
    yield _mxnet()
    for name in ("d2lzh", "matplotlib", "IPython"):
        yield _package(name)
    hook = any(getattr(finder, "__module__", "") == "d2lzh_compat.finder"
               for finder in sys.meta_path)
    yield Finding("import d2lzh", "by itself, too" if hook else
                  "after `import d2lzh_ext`")
    yield _cores()
    yield _memory()
    yield _data(FASHION_MNIST)
    yield _data(MNIST)
    yield _gpu()


def main() -> int:
    """Print the report; 1 where something needs a cure."""
    findings = list(examine())
    for name, value, cure in findings:
        print(f"{name:14} {value}")
        if cure:
            print(f"{'':14} -> {cure}")
    problems = sum(bool(finding.cure) for finding in findings)
    print(f"{problems} to cure" if problems else "All is well.")
    return int(problems > 0)
