"""OpenMP has the cores of the process, or of its container."""
from __future__ import annotations

import os
from pathlib import Path

import pytest

from d2lzh_compat import openmp


@pytest.mark.parametrize("files, cores", [
    ({"/sys/fs/cgroup/cpu.max": "max 100000"}, 64),
    ({"/sys/fs/cgroup/cpu.max": "150000 100000"}, 2),
    ({"/sys/fs/cgroup/cpu.max": "1000 100000"}, 1),
    ({"/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "400000",
      "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 4),
    ({"/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
      "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 64),
    ({}, 64)])
def test_cores_are_those_of_the_container(monkeypatch, files, cores):
    def read_text(path: Path) -> str:
        try:
            return files[str(path)]
        except KeyError:
            raise FileNotFoundError(path) from None

    monkeypatch.setattr(Path, "read_text", read_text)
    monkeypatch.setattr(os, "sched_getaffinity",
                        lambda pid: set(range(64)), raising=False)
    assert openmp.num_cores() == cores
