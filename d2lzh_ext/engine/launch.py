"""Start a training script as several processes that train one network.

    python -m d2lzh_ext.launch -n 2 train.py

runs ``train.py`` twice on this machine, beside a scheduler and a server:
the processes among which MXNet's ``KVStore('dist_sync')`` adds up gradients
and hands out parameters. Whatever they print is passed on behind their
names. If one of them dies, the others would wait for it for ever; they are
ended, and the command says who died. With ``--show HOST`` nothing is
started: what to run on many machines is printed, for ssh or a cluster's own
scheduler.

Source: M. Li and others, Scaling distributed machine learning with the
parameter server, OSDI 2014; chapter 17 shows its use.
"""
from __future__ import annotations

import argparse
import contextlib
import ctypes
import itertools
import os
import platform
import random
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Callable

from d2lzh_compat.openmp import num_cores

LOOPBACK = "127.0.0.1"
PORT = 9091  # of the scheduler, where nothing else is said
# Free ones are sought below those that systems give to connections: MXNet
# binds to them seconds later.
_PORTS = range(10_000, 32_768)
# Importing MXNet is all that a scheduler and a server do; it ends with the
# last worker.
SERVE = ["-c", "import d2lzh_ext"]
# Before the script: it leaves the group in good order.
_WORK = ["-m", "d2lzh_ext.engine.worker"]
_ENGINE_NOTICE = "MXNet start using engine"
_GRACE = 3.0  # seconds from SIGTERM to SIGKILL
_LEAVE = 10.0  # seconds for scheduler and servers after the last worker
_INTERVAL = 0.05  # seconds between two looks at the processes


class LaunchError(Exception):
    """The group cannot be started, or one of its processes has failed."""


@dataclass
class _Member:
    name: str
    process: subprocess.Popen[str]


def group_environment(host: str, port: int, num_workers: int,
                      num_servers: int) -> dict[str, str]:
    """The variables that all processes of a group share.

    Args:
        host: Where the scheduler runs.
        port: Its port.
        num_workers: Processes that run the script.
        num_servers: Processes that hold the parameters.
    """
    return {"DMLC_PS_ROOT_URI": host, "DMLC_PS_ROOT_PORT": str(port),
            "DMLC_NUM_WORKER": str(num_workers),
            "DMLC_NUM_SERVER": str(num_servers),
            # One operation after the other. MXNet's threaded engine sends
            # convolution weights while it brings them into another order,
            # and now and then waits for an answer that does not come.
            "MXNET_ENGINE_TYPE": "NaiveEngine"}


def show(command: Sequence[str], host: str, port: int, num_workers: int,
         num_servers: int) -> str:
    """What to run on which machine, as lines for a shell.

    Args:
        command: The script and its arguments.
        host: The machine of the scheduler, as the others reach it.
        port: A port there that the others may connect to.
        num_workers: How many processes run the script.
        num_servers: How many hold the parameters.
    """
    shared = group_environment(host, port, num_workers, num_servers)

    def line(role: str, words: Sequence[str]) -> str:
        variables = {"DMLC_ROLE": role, **shared}
        return shlex.join([
            "env", *(f"{name}={value}" for name, value in variables.items()),
            "python", *words])

    return "\n".join([
        f"# once, on {host}:", line("scheduler", SERVE),
        f"# {num_servers} ×, on any machines:", line("server", SERVE),
        f"# {num_workers} ×, on the machines that compute:",
        line("worker", [*_WORK, *command])])


def _bind_error(port: int) -> Exception | None:
    """Why a port of the loopback address cannot be used; None if it can."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except (OSError, OverflowError) as error:
            return error
    return None


def _free_ports(count: int) -> list[int]:
    """Ports of the loopback address that nobody uses, in ascending order."""
    ports = random.SystemRandom().sample(_PORTS, len(_PORTS))
    return sorted(itertools.islice(
        (port for port in ports if not _bind_error(port)), count))


def _dies_with_parent() -> Callable[[], Any] | None:
    """For a new process: to be killed when the launcher is, on Linux."""
    if platform.system() != "Linux":
        return None
    set_option = ctypes.CDLL(None).prctl
    death_signal = 1  # PR_SET_PDEATHSIG
    return lambda: set_option(death_signal, signal.SIGKILL)


def _pass_on(stream: IO[str], to: IO[str], name: str) -> None:
    for line in stream:
        if _ENGINE_NOTICE not in line:
            to.write(f"{name}: {line.rstrip()}\n")
            to.flush()


def _start(group: list[_Member], name: str, words: Sequence[str],
           environment: dict[str, str]) -> None:
    group.append(_Member(name, subprocess.Popen(
        [sys.executable, *words], text=True, errors="replace",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, start_new_session=True,
        preexec_fn=_dies_with_parent(),
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment})))


def _listen(group: list[_Member]) -> list[threading.Thread]:
    """Pass on what the processes print, from a thread for each stream."""
    threads = []
    for member in group:
        for stream, to in ((member.process.stdout, sys.stdout),
                           (member.process.stderr, sys.stderr)):
            threads.append(threading.Thread(
                target=_pass_on, args=(stream, to, member.name),
                daemon=True))
            threads[-1].start()
    return threads


def _signal(member: _Member, number: int) -> None:
    """To the process and to its own children, a DataLoader's workers say."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(member.process.pid, number)


def _end(group: list[_Member]) -> None:
    """End what is left of the group."""
    for member in group:
        _signal(member, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE
    for member in group:
        with contextlib.suppress(subprocess.TimeoutExpired):
            member.process.wait(max(0.0, deadline - time.monotonic()))
    for member in group:
        _signal(member, signal.SIGKILL)
        member.process.wait()


def _obituary(member: _Member) -> str:
    code = member.process.returncode
    how = (f"was killed by {signal.Signals(-code).name}" if code < 0
           else f"ended with status {code}")
    return f"{member.name} (process {member.process.pid}) {how}"


def _wait(members: list[_Member], group: list[_Member],
          deadline: float | None = None) -> bool:
    """Whether `members` ended well; False: `deadline` passed before.

    Raises:
        LaunchError: A process of the group, `members` or not, has failed.
    """
    while True:
        states = [member.process.poll() for member in group]
        dead = [member for member, state in zip(group, states) if state]
        if dead:
            raise LaunchError(
                " and ".join(map(_obituary, dead)) + ". Its last words, if "
                "any, are above. The others of the group were ended.")
        if all(member.process.returncode == 0 for member in members):
            return True
        if deadline is not None and time.monotonic() > deadline:
            return False
        time.sleep(_INTERVAL)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the launcher in good order.

    Also where it was started in the background, which ignores SIGINT.
    """
    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop)
              for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def launch(command: Sequence[str], num_workers: int, num_servers: int = 1,
           port: int | None = None) -> None:
    """Run a script in several processes of this machine, until all end.

    Worker number i has rank i in the group. Each computes with its share of
    the cores, unless ``OMP_NUM_THREADS`` is set. All connections stay on
    the loopback address.

    Args:
        command: The script and its arguments.
        num_workers: How many processes run it.
        num_servers: How many hold the parameters.
        port: Of the scheduler; a free one by default.

    Raises:
        LaunchError: The script is missing, the port is taken, a process has
            failed (it names which), or the workers never formed a group.
            Nothing of the group is left running.
    """
    if not Path(command[0]).is_file():
        raise LaunchError(f"There is no script {command[0]}.")
    error = None if port is None else _bind_error(port)
    if error:
        raise LaunchError(
            f"Port {port} of {LOOPBACK} cannot be used ({error}). Leave "
            "--port out, and a free one is taken, or name another.")
    scheduler_port, *ports = _free_ports(num_workers + 1)
    shared = {
        **group_environment(LOOPBACK, port or scheduler_port, num_workers,
                            num_servers),
        "DMLC_NODE_HOST": LOOPBACK}
    threads = str(max(1, num_cores() // num_workers))
    group: list[_Member] = []
    listeners: list[threading.Thread] = []
    with _terminable():
        try:
            _start(group, "scheduler", SERVE,
                   {**shared, "DMLC_ROLE": "scheduler"})
            for i in range(num_servers):
                _start(group, f"server {i}", SERVE, {
                    "OMP_NUM_THREADS": "1", **shared, "DMLC_ROLE": "server"})
            for i in range(num_workers):
                # MXNet ranks the workers of a machine by their ports.
                _start(group, f"worker {i}", [*_WORK, *command], {
                    "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS",
                                                      threads),
                    **shared, "DMLC_ROLE": "worker", "PORT": str(ports[i])})
            listeners = _listen(group)
            _wait(group[1 + num_servers:], group)
            if not _wait(group, group, time.monotonic() + _LEAVE):
                raise LaunchError(
                    "The workers ended without forming a group: does "
                    f"{command[0]} create a KVStore of type 'dist_sync', or "
                    "give one to its Trainer? Each may have trained alone.")
        finally:
            _end(group)
            for thread in listeners:
                thread.join(1.0)


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 on")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m d2lzh_ext.launch",
        description="Start a script as several processes that train one "
                    "network through a KVStore of type 'dist_sync'.")
    parser.add_argument("-n", "--workers", type=_number, required=True,
                        help="processes that run the script")
    parser.add_argument("-s", "--servers", type=_number, default=1,
                        help="processes that hold the parameters (1)")
    parser.add_argument("--port", type=_number,
                        help="of the scheduler (any that is free; with "
                             f"--show {PORT})")
    parser.add_argument("--show", metavar="HOST",
                        help="start nothing; print what to run on which "
                             "machine, with the scheduler on HOST")
    parser.add_argument("command", nargs=argparse.REMAINDER,
                        metavar="script.py [argument ...]")
    options = parser.parse_args(arguments)
    if not options.command:
        parser.error("which script?")
    if options.show:
        print(show(options.command, options.show, options.port or PORT,
                   options.workers, options.servers))
        return 0
    try:
        launch(options.command, options.workers, options.servers,
               options.port)
    except LaunchError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; so are all processes of the group.",
              file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
