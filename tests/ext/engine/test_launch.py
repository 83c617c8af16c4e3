"""Groups of processes start, compute the same, and never outlive a member."""
from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from d2lzh_ext.engine import launch

TIMEOUT = 300  # seconds, for what should take three
LAUNCH = [sys.executable, "-m", "d2lzh_ext.launch"]

# Joins the group, says so, and then waits to be killed.
WAITS = """
import d2lzh_ext
import os, time
import mxnet as mx
kv = mx.kv.create('dist_sync')
print('rank', kv.rank, os.getpid(), flush=True)
time.sleep(600)
"""


def start(tmp_path: Path, script: str, *words: str) -> subprocess.Popen[str]:
    path = tmp_path / "script.py"
    path.write_text(script)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*LAUNCH, *words, str(path)], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env=environment)


def run(tmp_path: Path, script: str, *words: str
        ) -> subprocess.CompletedProcess[str]:
    with start(tmp_path, script, *words) as process:
        out, err = process.communicate(timeout=TIMEOUT)
    return subprocess.CompletedProcess(process.args, process.returncode,
                                       out, err)


def members(group: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(group.pid).children(recursive=True)


def until_joined(group: subprocess.Popen[str], workers: int) -> None:
    """Read until every worker has said its rank, which equals its name."""
    assert group.stdout is not None
    ranks = []
    while len(ranks) < workers:
        line = group.stdout.readline()
        found = re.match(r"worker (\d): rank (\d) \d+$", line)
        assert found, line + group.communicate()[1]
        assert found[1] == found[2]
        ranks.append(found[1])


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["worker", "server", "scheduler"])
def test_a_death_ends_the_group(tmp_path, victim):
    with start(tmp_path, WAITS, "-n", "2", "-s", "2") as group:
        until_joined(group, 2)
        before = members(group)
        chosen = next(process for process in before
                      if process.environ()["DMLC_ROLE"] == victim)
        chosen.kill()
        _, err = group.communicate(timeout=TIMEOUT)
    assert group.returncode == 1
    assert re.search(rf"^{victim}.* \(process {chosen.pid}\) was killed by "
                     "SIGKILL", err, re.MULTILINE), err
    assert len(before) == 5
    assert not any(process.is_running() for process in before)


@pytest.mark.slow
@pytest.mark.parametrize("number, status", [
    (signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)])
@pytest.mark.skipif(sys.platform != "linux", reason="needs prctl")
def test_nothing_outlives_the_launcher(tmp_path, number, status):
    with start(tmp_path, WAITS, "-n", "1") as group:
        until_joined(group, 1)
        before = members(group)
        group.send_signal(number)
        group.communicate(timeout=TIMEOUT)
    assert group.returncode == status
    _, alive = psutil.wait_procs(before, timeout=TIMEOUT)
    assert not alive


@pytest.mark.slow
def test_a_failing_worker_is_named_and_its_words_are_kept(tmp_path):
    done = run(tmp_path, "raise SystemExit('no data here')\n", "-n", "2")
    assert done.returncode == 1
    assert re.search(r"^worker [01]: no data here$", done.stderr,
                     re.MULTILINE)
    assert re.search(r"worker [01] \(process \d+\) ended with status 1",
                     done.stderr)
    assert "Traceback" not in done.stderr


# The workers meet at every step, until one of them ends.
STEPS = """
import sys
import d2lzh_ext
import mxnet as mx
from mxnet import autograd, gluon
kv = mx.kv.create('dist_sync')
w = gluon.Parameter('w', shape=(3,))
w.initialize()
trainer = gluon.Trainer([w], 'sgd', kvstore=kv)
for step in range(4):
    if kv.rank == 0 and step == 2:
        {end}
    with autograd.record():
        l = w.data().sum()
    l.backward()
    trainer.step(1)
"""


@pytest.mark.slow
@pytest.mark.parametrize("end, words, status", [
    ("raise ValueError('bad data')", "ValueError: bad data", 1),
    ("sys.exit(3)", None, 3)])
def test_an_error_between_two_steps_ends_the_group(tmp_path, end, words,
                                                   status):
    done = run(tmp_path, STEPS.replace("{end}", end), "-n", "2")
    assert done.returncode == 1
    lines = [line.partition(": ")[2] for line in done.stderr.splitlines()
             if line.startswith("worker 0: ")]
    assert lines[-1:] == ([] if words is None else [words])
    # The reader's line, and nothing of the files that ran it.
    assert not any("runpy" in line or "worker.py" in line for line in lines)
    assert re.search(rf"worker 0 \(process \d+\) ended with status {status}",
                     done.stderr)


@pytest.mark.slow
def test_workers_that_end_well_leave_the_group(tmp_path):
    """In each of three ways, after the third step."""
    script = STEPS.replace("kv.rank == 0 and step == 2", "step == 3")
    done = run(tmp_path, script.replace(
        "{end}", "[str, sys.exit, lambda: sys.exit(0)][kv.rank](); break"),
        "-n", "3")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_a_script_that_joins_no_group_is_told_so(tmp_path, monkeypatch,
                                                 capfd):
    path = tmp_path / "alone.py"
    path.write_text("print('alone')\n")
    monkeypatch.setattr(launch, "_LEAVE", 0.5)
    assert launch.main(["-n", "1", str(path)]) == 1
    out, err = capfd.readouterr()
    assert out == "worker 0: alone\n"
    assert "without forming a group" in err


def test_free_ports_are_not_those_of_connections(monkeypatch):
    busy, free = launch._free_ports(2)
    assert busy < free < 32_768
    monkeypatch.setattr(launch, "_PORTS", [busy, free])
    with socket.socket() as taken:
        taken.bind((launch.LOOPBACK, busy))
        assert launch._free_ports(1) == [free]


def test_a_busy_port_is_reported(tmp_path, capsys):
    with socket.socket() as busy:
        busy.bind((launch.LOOPBACK, 0))
        busy.listen()
        port = busy.getsockname()[1]
        (tmp_path / "script.py").touch()
        assert launch.main(["-n", "1", "--port", str(port),
                            str(tmp_path / "script.py")]) == 1
    err = capsys.readouterr().err
    assert f"Port {port} of 127.0.0.1" in err and "--port" in err


@pytest.mark.parametrize("words, message", [
    (["-n", "1", "missing.py"], "There is no script missing.py."),
    (["-n", "1", "--port", "70000", __file__], "Port 70000")])
def test_what_cannot_start_is_refused(words, message, capsys):
    assert launch.main(words) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("words", [
    ["-n", "0", "x.py"], ["-n", "two", "x.py"], ["-n", "1"], ["x.py"]])
def test_wrong_words_are_refused(words, capsys):
    with pytest.raises(SystemExit) as stop:
        launch.main(words)
    assert stop.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_what_to_run_on_many_machines(capsys):
    assert launch.main(["-n", "4", "-s", "2", "--show", "node0",
                        "train.py", "--rate", "0.1"]) == 0
    lines = [shlex.split(line)
             for line in capsys.readouterr().out.splitlines()
             if not line.startswith("#")]
    shared = ["DMLC_PS_ROOT_URI=node0", "DMLC_PS_ROOT_PORT=9091",
              "DMLC_NUM_WORKER=4", "DMLC_NUM_SERVER=2",
              "MXNET_ENGINE_TYPE=NaiveEngine", "python"]
    serve = ["-c", "import d2lzh_ext"]
    assert lines == [
        ["env", f"DMLC_ROLE={name}", *shared, *words]
        for name, words in [("scheduler", serve), ("server", serve),
                            ("worker", ["-m", "d2lzh_ext.engine.worker",
                                        "train.py", "--rate", "0.1"])]]


@pytest.mark.slow
def test_the_lines_shown_form_a_group(tmp_path):
    """What --show prints works, here with all machines being this one."""
    script = tmp_path / "script.py"
    script.write_text(WAITS.replace("time.sleep(600)", ""))
    (port,) = launch._free_ports(1)
    lines = [line for line in launch.show(
        [str(script)], launch.LOOPBACK, port, 1, 1).splitlines()
        if not line.startswith("#")]
    processes = [subprocess.Popen(
        [sys.executable if word == "python" else word
         for word in shlex.split(line)],
        env={**os.environ, "DMLC_INTERFACE": "lo"}) for line in lines]
    assert [process.wait(TIMEOUT) for process in processes] == [0, 0, 0]
