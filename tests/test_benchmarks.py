"""The benchmark runs, and the README shows what it recorded."""
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_fast_mode_runs_every_contestant_that_is_installed():
    pytest.importorskip("psutil", reason="the benchmark measures with it")
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "run.py", "--fast"],
        text=True, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    for title in ("`d2lzh_ext`", "`d2lzh` 1.0.0 as shipped"):
        assert f"| {title} | " in done.stdout


def test_the_readme_shows_the_record():
    pytest.importorskip("psutil", reason="the benchmark measures with it")
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import run
    finally:
        sys.path.pop(0)
    record = json.loads(run.RESULT.read_text(encoding="utf-8"))
    assert run.table(record) in (ROOT / "README.md").read_text(
        encoding="utf-8"), "run `make bench`"
    where = record["provenance"]
    assert where["commit"] and where["date"] and where["processor"]
    assert {"d2lzh_ext", "d2lzh", "torch"} <= record["results"].keys()
