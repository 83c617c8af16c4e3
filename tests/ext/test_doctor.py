"""The report on the environment, and what it says of what is wrong."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import mxnet as mx
import pytest
from interpreter import ROOT

import d2lzh_ext as d2l
from d2lzh_compat import openmp
from d2lzh_ext import devices, doctor
from d2lzh_ext.files import fetch
from d2lzh_ext.files.fetch import FASHION_MNIST


@pytest.fixture
def no_data(monkeypatch, tmp_path):
    """No folder with data but one, which is empty."""
    monkeypatch.setattr(fetch, "_CLONE", tmp_path / "clone")
    monkeypatch.setattr(fetch, "_DEBIAN", tmp_path / "debian")
    monkeypatch.setenv("D2LZH_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / "cache" / "fashion-mnist"


def run(command, **environment):
    return subprocess.run([sys.executable, "-m", "d2lzh_ext", command],
                          cwd=ROOT, text=True, capture_output=True,
                          env=environment or None)


def test_the_command():
    done = run("doctor")
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    names = [line[:14].strip() for line in lines if line[:1].strip()]
    assert names[:-1] == [
        "Python", "numpy", "MXNet", "d2lzh", "matplotlib", "IPython",
        "import d2lzh", "cores", "memory", "fashion-mnist", "mnist", "GPU"]
    assert str(ROOT / "data" / "fashion-mnist") in done.stdout
    assert (done.returncode == 0) == (lines[-1] == "All is well.")


def test_its_usage():
    done = run("patient")
    assert done.returncode == 1
    assert done.stderr.startswith("Usage: python -m d2lzh_ext doctor")


def test_a_missing_mxnet_is_one_line(tmp_path):
    """The package cannot be imported then; its error is the report."""
    (tmp_path / "mxnet.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'mxnet'\", "
        "name='mxnet')\n")
    done = run("doctor", PYTHONPATH=str(tmp_path), D2LZH_HOOK="0")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("MXNet is not installed. Install it with `pip")


def test_problems_and_their_cures(monkeypatch, capsys, no_data):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(openmp, "num_cores", lambda: 4)
    monkeypatch.setattr(doctor, "available_memory", lambda: 2**30)
    monkeypatch.setattr(sys, "version_info", (3, 8, 1))
    no_data.mkdir(parents=True)
    (no_data / FASHION_MNIST.train[0].name).write_bytes(b"rubbish")
    assert doctor.main() == 1
    printed = capsys.readouterr().out
    for text in ("use Python 3.9 or later", "unset OMP_NUM_THREADS",
                 "1.0 GiB available", "close other programs", "damaged",
                 "Delete the file and try again", "4 to cure"):
        assert text in printed, text


def test_a_newer_python_is_told_what_is_tested(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 99, 0))
    finding = doctor._python()
    assert finding.value.endswith("(tested: 3.9 to 3.15)")
    assert not finding.cure


def test_data_that_is_not_here_is_no_problem(no_data):
    finding = doctor._data(FASHION_MNIST)
    assert finding.value == "not here; the first use downloads it"
    assert not finding.cure


@pytest.mark.parametrize(("limit", "usage", "free"), [
    ("max", "5", 100 * 1024), ("9000", "1000", 8000)])
def test_memory_of_a_container(monkeypatch, limit, usage, free):
    files = {"/proc/meminfo": "MemTotal: 9 kB\nMemAvailable: 100 kB\n",
             "/sys/fs/cgroup/memory.max": limit,
             "/sys/fs/cgroup/memory.current": usage}

    def read_text(path, *args, **kwargs):
        try:
            return files[str(path)]
        except KeyError:
            raise FileNotFoundError(path) from None

    monkeypatch.setattr(Path, "read_text", read_text)
    assert doctor.available_memory() == free


def with_gpu(monkeypatch, *gpus):
    monkeypatch.setattr(devices, "gpus", lambda: list(gpus))
    devices._tell.cache_clear()


def test_a_gpu_that_cannot_be_used_is_named_once(monkeypatch, capsys):
    with_gpu(monkeypatch, devices.GPU(0, "NVIDIA L4", (8, 9)))
    assert [d2l.try_gpu(), d2l.try_gpu()] == [mx.cpu()] * 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("There is a GPU, but MXNet cannot use it: this "
                           "MXNet is built without CUDA")
    assert doctor._gpu().value == "NVIDIA L4 is not usable"
    assert "docs/gpu.md" in doctor._gpu().cure


def test_a_gpu_that_is_too_new_has_no_cure(monkeypatch):
    with_gpu(monkeypatch, devices.GPU(0, "NVIDIA H100", (9, 0)))
    assert doctor._gpu() == (
        "GPU", "no wheel of MXNet 1.9.1 has code for NVIDIA H100 (compute "
        "capability 9.0); the CPU is used", "")


def test_without_a_gpu_nothing_is_said(monkeypatch, capsys):
    with_gpu(monkeypatch)
    assert d2l.try_gpu() == mx.cpu()
    assert capsys.readouterr().err == ""
    assert doctor._gpu() == ("GPU", "none", "")
