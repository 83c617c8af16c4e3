"""OpenMP's threads: every core for MXNet, and short waits.

MXNet by itself uses half of the processors, and OpenMP's threads wait for
each other in a way that any other program upsets. benchmarks/NOTES.md has
the figures.
"""
from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path


def num_cores() -> int:
    """Cores this process may use: its affinity, capped by its cgroup.

    A container with a quota of 1.5 processors on a host with 64 gets 2.
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        cores = os.cpu_count() or 1
    for quota_file, period_file in (
            ("/sys/fs/cgroup/cpu.max", None),
            ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us",
             "/sys/fs/cgroup/cpu/cpu.cfs_period_us")):
        try:
            words = Path(quota_file).read_text().split()
            if period_file:
                words += Path(period_file).read_text().split()
            quota, period = int(words[0]), int(words[1])
        except (OSError, ValueError, IndexError):
            continue  # no such file, or "max": no limit
        if quota > 0 and period > 0:
            cores = min(cores, max(1, -(-quota // period)))
    return max(1, cores)


@contextlib.contextmanager
def openmp_settings() -> Iterator[None]:
    """Let OpenMP find its settings; leave the environment alone.

    OpenMP reads them once, when its library is loaded, and other programs
    that this process starts may want their own. Settings that the reader
    has made stand.
    """
    ours = {"OMP_NUM_THREADS": str(num_cores())}
    if "OMP_WAIT_POLICY" not in os.environ:
        # How long a thread waits actively for the others. The default costs
        # more as soon as another program takes one of the cores;
        # benchmarks/NOTES.md has the figures.
        ours["GOMP_SPINCOUNT"] = "6000"
    added = {k: v for k, v in ours.items() if k not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def one_thread_after_fork() -> None:
    """Make forked children, a DataLoader's workers say, compute serially.

    GNU OpenMP's threads do not survive a fork. With the synchronous engine,
    which groups of processes use (`d2lzh_ext.launch`), the forking thread
    owns a team, and the child's first parallel region waits for it for ever.
    One thread needs no team.
    """
    libgomp = ctypes.CDLL("libgomp.so.1")
    os.register_at_fork(
        after_in_child=lambda: libgomp.omp_set_num_threads(1))
