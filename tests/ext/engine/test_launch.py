"""Groups of processes start, compute the same, and never outlive a member."""
from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from dmlc_tracker import tracker
from interpreter import ROOT

from d2lzh_ext.engine import launch, worker

TIMEOUT = 300  # seconds, for what should take three
LAUNCH = [sys.executable, "-m", "d2lzh_ext.launch"]

# Says what it finds.
TELLS = """
import d2lzh_ext
import os, sys
import mxnet as mx
kv = mx.kv.create('dist_sync')
# One write: where workers share a pipe, parts of lines would mix.
sys.stdout.write(f"rank {kv.rank} {sys.argv[1:]} {os.environ.get('FLAVOUR')} "
                 f"{os.environ['MXNET_ENGINE_TYPE']}\\n")
"""

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


@pytest.mark.slow
def test_two_groups_at_once(tmp_path):
    """Each has its ports, its variables, and words that a shell would change.

    A Python to run the script may be named, as for MXNet's own launcher.
    """
    script = tmp_path / "tells it.py"
    script.write_text(TELLS)
    words = ["a b", "$HOME", "*", "--rate", "0.1", "-n", "7"]
    groups = [subprocess.Popen(
        [*LAUNCH, "-n", "2", "-s", "1", "--env", "FLAVOUR", "--env-worker",
         "OMP_NUM_THREADS:1", *python, str(script), *words],
        env={**os.environ, "FLAVOUR": "plain"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for python in ([], [sys.executable])]
    for group in groups:
        out, err = group.communicate(timeout=TIMEOUT)
        assert (group.returncode, err) == (0, "")
        assert sorted(out.splitlines()) == [
            f"worker {rank}: rank {rank} {words} plain NaiveEngine"
            for rank in range(2)]


@pytest.mark.slow
def test_the_launcher_of_mxnet_itself_runs(tmp_path):
    """With the names that it asks for put right."""
    script = tmp_path / "script.py"
    script.write_text("import mxnet as mx\n"
                      "print(mx.kv.create('dist_sync').num_workers)\n")
    own = Path(tracker.__file__).parents[1] / "mxnet" / "tools" / "launch.py"
    done = subprocess.run(
        [sys.executable, str(own), "-n", "2", "--launcher", "local",
         sys.executable, str(script)], text=True, capture_output=True,
        timeout=TIMEOUT, env={**os.environ, "OMP_NUM_THREADS": "1",
                              "DMLC_INTERFACE": "lo",
                              "MXNET_ENGINE_TYPE": "NaiveEngine"})
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^\d$", done.stdout, re.MULTILINE) == ["2", "2"]
    assert "Traceback" not in done.stderr


# What they are asked for, they do here.
STAND_INS = {
    "mpi": ("mpirun", """
if [ "$1" = --version ]; then echo 'mpirun (Open MPI) 4.1.4'; exit; fi
[ "$1" = -n ] || exit 2
count=$2; shift 2
while [ "$1" = -x ]; do export "$2"; shift 2; done
for i in $(seq $count); do "$@" & all="$all $!"; done
for pid in $all; do wait $pid || exit; done
"""),
    "slurm": ("srun", """
[ "$1 $2 $4" = '--exclusive=user -N -n' ] || exit 2
count=$5; shift 5
for i in $(seq $count); do "$@" & all="$all $!"; done
for pid in $all; do wait $pid || exit; done
"""),
    "sge": ("qsub", """
while :; do case $1 in
    -cwd) shift;;
    -t) count=${2#1-}; shift 2;;
    -v) variables=$2; shift 2;;
    -pe) shift 3;;
    -S|-N|-e|-o) shift 2;;
    -*) exit 2;;
    *) break;;
esac; done
IFS=,; for each in $variables; do export "$each"; done; unset IFS
for i in $(seq $count); do SGE_TASK_ID=$i bash "$@" >task$i 2>&1 & done
""")}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", STAND_INS)
def test_a_cluster_s_own_program_starts_the_group(tmp_path, launcher):
    """With a program in its place that takes the same options."""
    program, text = STAND_INS[launcher]
    (tmp_path / program).write_text("#!/bin/bash" + text)
    (tmp_path / program).chmod(0o755)
    script = tmp_path / "script.py"
    script.write_text(TELLS)
    done = subprocess.run(
        [*LAUNCH, "-n", "2", "-s", "1", "--launcher", launcher, str(script),
         "a b"], text=True, capture_output=True, timeout=TIMEOUT,
        cwd=tmp_path, env={
            **os.environ, "OMP_NUM_THREADS": "1", "DMLC_INTERFACE": "lo",
            "PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert done.returncode == 0, done.stderr
    printed = done.stdout + "".join(
        path.read_text() for path in tmp_path.glob("task*"))
    assert sorted(re.findall(r"rank (.*)", printed)) == [
        f"{rank} ['a b'] None NaiveEngine" for rank in range(2)]


@pytest.mark.slow
def test_two_hosts(monkeypatch):
    """The group on two hosts is the one on this; a death ends both parts."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    two_hosts = pytest.importorskip("two_hosts")
    reason = two_hosts.why_not()
    if reason:
        pytest.skip(reason)
    with two_hosts.two_hosts() as hosts:
        there = two_hosts.printed(hosts.launch("train.py", "64", "5"))
        assert {each["host"] for each in there} == {"node1", "node2"}
        here = subprocess.run(
            [*LAUNCH, "-n", "2", "-s", "1", "train.py", "64", "5"],
            text=True, capture_output=True, timeout=TIMEOUT,
            cwd=hosts.folder, env={**os.environ, "OMP_NUM_THREADS": "1"})
        assert [each["losses"] for each in there] == [
            each["losses"] for each in two_hosts.printed(here)]
        done = hosts.launch("dies.py")
        assert done.returncode == 1
        assert re.search(r"^worker \d on 10\.17\.0\.\d ended with status",
                         done.stderr, re.MULTILINE)
        deadline = time.monotonic() + worker.GRACE + 2
        while hosts.left_running() and time.monotonic() < deadline:
            time.sleep(0.2)
        assert hosts.left_running() == []


def test_free_ports_are_not_those_of_connections(monkeypatch):
    busy, free = launch._free_ports(2)
    assert busy < free < 32_768
    monkeypatch.setattr(launch, "_PORTS", [busy, free])
    with socket.socket() as taken:
        taken.bind((launch.LOOPBACK, busy))
        assert launch._free_ports(1) == [free]


def test_without_a_way_out_the_address_is_that_of_this_machine(tmp_path):
    hosts = tmp_path / "hosts"
    hosts.write_text("\n127.0.0.1:2222\n localhost slots=2\n")
    assert launch._address_for(str(hosts)) == launch.LOOPBACK


def test_on_a_gpu_the_engine_stays_as_it_is(monkeypatch):
    monkeypatch.delenv("MXNET_ENGINE_TYPE", raising=False)
    for role, has_gpu, engine in (("worker", True, None),
                                  ("server", True, "NaiveEngine"),
                                  ("worker", False, "NaiveEngine")):
        monkeypatch.setattr(worker, "_has_gpu", lambda has=has_gpu: has)
        monkeypatch.setattr(os, "environ", {})
        worker._choose_engine(role)
        assert os.environ.get("MXNET_ENGINE_TYPE") == engine
    monkeypatch.setattr(os, "environ", {"MXNET_ENGINE_TYPE": "Chosen"})
    worker._choose_engine("server")
    assert os.environ == {"MXNET_ENGINE_TYPE": "Chosen"}


@pytest.mark.parametrize("words, message", [
    (["-n", "1", "missing.py"], "There is no script missing.py."),
    (["-n", "1", "python3", "missing.py"], "There is no script missing.py."),
    (["-n", "1", "python"], "There is no script ."),
    (["-n", "1", "--launcher", "ssh", __file__], "(-H)"),
    (["-n", "1", "-H", "missing", __file__], "missing"),
    (["-n", "1", __file__, "it's"], "it's")])
def test_what_cannot_start_is_refused(words, message, capsys):
    assert launch.main(words) == 1
    assert message in capsys.readouterr().err


def test_a_missing_program_is_reported(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1\n")
    assert launch.main(["-n", "1", "--launcher", "mpi", "-H", str(hosts),
                        __file__]) == 1
    assert "mpirun" in capsys.readouterr().err


@pytest.mark.parametrize("words", [
    ["-n", "0", "x.py"], ["-n", "two", "x.py"], ["-n", "1"], ["x.py"],
    ["-n", "1", "--launcher", "pigeon", "x.py"]])
def test_wrong_words_are_refused(words, capsys):
    with pytest.raises(SystemExit) as stop:
        launch.main(words)
    assert stop.value.code == 2
    assert "usage:" in capsys.readouterr().err
