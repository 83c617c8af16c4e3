"""Start a training script as several processes that train one network.

    python -m d2lzh_ext.launch -n 2 train.py
    python -m d2lzh_ext.launch -n 4 -H hosts --launcher ssh train.py

starts the workers, which run ``train.py``, and the scheduler and servers
through which MXNet's ``KVStore('dist_sync')`` adds up gradients and hands out
parameters. The processes are started by `dmlc_tracker`, the launcher that
MXNet's wheel brings, with the options of its ``mxnet/tools/launch.py``. That
one waits for ever when a process has died. Here the others are then ended,
wherever they run, and the command says who died. What they print is passed on
behind their names.

Source: M. Li and others, Scaling distributed machine learning with the
parameter server, OSDI 2014; chapter 17 shows its use.
"""
from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from dmlc_tracker import opts, tracker

from d2lzh_compat.openmp import num_cores
from d2lzh_ext.engine import worker

LOOPBACK = "127.0.0.1"
LAUNCHERS = ("local", "ssh", "mpi", "slurm", "sge")
# Free ones are sought below those that systems give to connections: MXNet
# binds to them seconds later.
_PORTS = range(10_000, 32_768)
_ENGINE_NOTICE = "MXNet start using engine"
_LEAVE = 10.0  # seconds for scheduler and servers after the last worker
_INTERVAL = 0.05  # seconds between two looks at the processes


class LaunchError(Exception):
    """The group cannot be started, or one of its processes has failed."""


@dataclass
class _Member:
    name: str
    role: str
    process: subprocess.Popen[str]


def _free_ports(count: int) -> list[int]:
    """Ports of the loopback address that nobody uses, in ascending order."""
    found: list[int] = []
    for port in random.SystemRandom().sample(_PORTS, len(_PORTS)):
        if len(found) == count:
            break
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((LOOPBACK, port))
            found.append(port)
    return sorted(found)


def _address_for(hostfile: str) -> str:
    """The address of this machine that the hosts of a file reach."""
    address = LOOPBACK
    for line in Path(hostfile).read_text(encoding="utf-8").splitlines():
        if line.strip() and address.startswith("127."):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                # Sends nothing.
                probe.connect((re.split(r"[\s:]", line.strip())[0], 9))
                address = probe.getsockname()[0]
    return address


def _pass_on(stream: IO[str], to: IO[str], name: str) -> None:
    for line in stream:
        if _ENGINE_NOTICE not in line:
            to.write(f"{name}: {line.rstrip()}\n")
            to.flush()


class _Group:
    """Starts what the tracker asks for, and knows what has become of it."""

    def __init__(self, launcher: str, num_workers: int) -> None:
        self.launcher = launcher
        self.ports = _free_ports(num_workers)  # of local workers
        self.members: list[_Member] = []
        self.listeners: list[threading.Thread] = []
        self.error: Exception | None = None
        self.lock = threading.Lock()
        # Nothing is written. Members that are tied to it end when the
        # launcher has closed it or is gone: see `worker`.
        self.tie, self.held = os.pipe()

    def _name(self, program: str, role: str) -> str:
        if role in ("", "scheduler"):
            return role or program.split()[0]
        if self.launcher in ("mpi", "slurm"):  # all that have this role
            return f"{role}s"
        number = sum(member.role == role for member in self.members)
        host = re.search(r"DMLC_NODE_HOST=([^;]+);", program)
        return f"{role} {number}" + (f" on {host[1]}" if host else "")

    def _local(self, name: str, role: str) -> dict[str, str]:
        """What a process of this machine finds in its environment."""
        if role != "worker":
            return {"OMP_NUM_THREADS": "1", "DMLC_NODE_HOST": LOOPBACK}
        threads = str(max(1, num_cores() // len(self.ports)))
        return {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads),
                "DMLC_NODE_HOST": LOOPBACK,
                # MXNet ranks the workers of a machine by their ports.
                "PORT": str(self.ports[int(name.split()[1])])}

    def call(self, program: Any, env: dict[str, str] | None = None,
             **options: Any) -> int:
        """In the place of the tracker's `subprocess.call` and `check_call`.

        The tracker, which would not act on it, hears of no failure; `wait`
        looks for itself.
        """
        if not isinstance(program, str):  # rsync, which copies the scripts
            return subprocess.check_call(program, env=env, **options)
        env = {**(env or os.environ)}
        found = re.search(r"DMLC_ROLE=(\w+)", program)
        role = found[1] if found else env.get("DMLC_ROLE", "")
        with self.lock:
            name = self._name(program, role)
            if self.launcher == "local":
                env.update(self._local(name, role))
            process = subprocess.Popen(
                program, text=True, errors="replace", stdin=self.tie,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                start_new_session=True, env=env, **options)
            self.members.append(_Member(name, role, process))
            for stream, to in ((process.stdout, sys.stdout),
                               (process.stderr, sys.stderr)):
                self.listeners.append(threading.Thread(
                    target=_pass_on, args=(stream, to, name), daemon=True))
                self.listeners[-1].start()
        process.wait()
        return 0

    def track(self, submit: Any, options: argparse.Namespace) -> None:
        """Let the tracker start the group; until the scheduler has ended."""
        try:
            submit(options)
        except Exception as error:
            self.error = error

    def wait(self, tracking: threading.Thread) -> None:
        """Until all have ended well.

        Raises:
            LaunchError: One has failed, or the workers formed no group.
        """
        deadline = None
        while True:
            over = not tracking.is_alive()
            states = [member.process.poll() for member in self.members]
            dead = [member for member, state in zip(self.members, states)
                    if state]
            if dead:
                raise LaunchError(
                    " and ".join(map(_obituary, dead)) + ". Its last words, "
                    "if any, are above. The others of the group were ended.")
            if self.error:
                raise LaunchError(f"The group cannot be started: {self.error}")
            if over and None not in states:
                return
            workers = [state for member, state in zip(self.members, states)
                       if member.role == "worker"]
            if not workers or None in workers:
                deadline = None
            elif deadline is None:
                deadline = time.monotonic() + _LEAVE
            elif time.monotonic() > deadline:
                raise LaunchError(
                    "The workers ended without forming a group: does the "
                    "script create a KVStore of type 'dist_sync', or give "
                    "one to its Trainer? Each may have trained alone.")
            time.sleep(_INTERVAL)

    def end(self) -> None:
        """End what is left of the group."""
        os.close(self.held)
        with self.lock:
            for number in (signal.SIGTERM, signal.SIGKILL):
                deadline = time.monotonic() + worker.GRACE
                left = [each for each in self.members if _signal(each, number)]
                while left and time.monotonic() < deadline:
                    time.sleep(_INTERVAL)
                    left = [each for each in left if _signal(each, 0)]
        for thread in self.listeners:
            thread.join(1.0)
        os.close(self.tie)


def _signal(member: _Member, number: int) -> bool:
    """To the process and to its own children; whether one was there."""
    member.process.poll()
    try:
        os.killpg(member.process.pid, number)
    except ProcessLookupError:
        return False
    return True


def _obituary(member: _Member) -> str:
    code = member.process.returncode
    how = (f"was killed by {signal.Signals(-code).name}" if code < 0
           else f"ended with status {code}")
    process = ("" if " on " in member.name  # that of ssh, here
               else f" (process {member.process.pid})")
    return f"{member.name}{process} {how}"


@contextlib.contextmanager
def _replaced(module: Any, **names: Any) -> Iterator[None]:
    """Let a module have other values for some of its names."""
    before = {name: vars(module)[name] for name in names}
    vars(module).update(names)
    try:
        yield
    finally:
        vars(module).update(before)


def _quoted(word: str) -> str:
    """For a shell, also between the single quotes of the ssh launcher."""
    if "'" in word or "\n" in word:
        raise LaunchError(f"The launcher cannot pass on {word!r}.")
    return re.sub(r"([^\w@%+=:,./-])", r"\\\1", word, flags=re.ASCII)


def launch(command: Sequence[str], num_workers: int,
           num_servers: int | None = None, launcher: str = "local",
           hostfile: str | None = None, sync_dst_dir: str | None = None,
           env_server: Sequence[str] = (), env_worker: Sequence[str] = (),
           p3: bool = False) -> None:
    """Run a script in several processes, until all end.

    On this machine (``local``) worker number i has rank i, computes with its
    share of the cores unless ``OMP_NUM_THREADS`` is set, and all connections
    stay on the loopback address.

    Args:
        command: The script and its arguments; a Python to run it may stand
            before it.
        num_workers: How many processes run it.
        num_servers: How many hold the parameters; as many by default.
        launcher: One of `LAUNCHERS`.
        hostfile: Names a host a line, for ssh (``host`` or ``host:port``)
            and mpi.
        sync_dst_dir: Where on the hosts ssh copies this folder to first.
        env_server: ``NAME:VALUE`` pairs, for the servers' environment.
        env_worker: The same for the workers.
        p3: Let MXNet send important gradients first.

    Raises:
        OSError: The file with hosts cannot be read, or a host not found.
        LaunchError: The script is missing, a process has failed (it names
            which), or the workers never formed a group. Nothing of the group
            is left running; but jobs in a queue (sge) stay there.
    """
    python, words = sys.executable, list(command)
    if words and re.match(r"python[\d.]*$", Path(words[0]).name):
        python = words.pop(0)
    if not words or not Path(words[0]).is_file():
        raise LaunchError(f"There is no script {' '.join(words[:1])}.")
    if launcher == "ssh" and hostfile is None:
        raise LaunchError("The launcher ssh needs a file with hosts (-H).")
    options = opts.get_opts([
        "--cluster", launcher, "--num-workers", str(num_workers),
        "--num-servers", str(num_servers or num_workers), "command"])
    options.host_file, options.sync_dst_dir = hostfile, sync_dst_dir
    options.command = [
        *(("env", "DMLC_PS_VAN_TYPE=p3", "DMLC_PS_WATER_MARK=10")
          if p3 else ()),
        *map(_quoted, [python, worker.__file__,
                       *(["--tied"] if launcher in ("local", "ssh") else []),
                       *(f"--env-server={pair}" for pair in env_server),
                       *(f"--env-worker={pair}" for pair in env_worker),
                       *words])]
    group = _Group(launcher, num_workers)
    processes = types.ModuleType("subprocess")
    vars(processes).update(vars(subprocess), call=group.call,
                           check_call=group.call)
    names: dict[str, Any] = {"subprocess": processes}
    if launcher == "local":
        # Two groups that start at once would both find port 9091 free.
        names["PSTracker"] = functools.partial(
            tracker.PSTracker, port=_free_ports(1)[0], port_end=_PORTS.stop)
        names["get_host_ip"] = lambda _: LOOPBACK
    elif hostfile is not None:
        address = _address_for(hostfile)
        names["get_host_ip"] = lambda _: address
    module = importlib.import_module(f"dmlc_tracker.{launcher}")
    tracking = threading.Thread(
        target=group.track, args=(module.submit, options), daemon=True)
    with _replaced(tracker, **names), _replaced(module, subprocess=processes):
        try:
            tracking.start()
            group.wait(tracking)
        finally:
            group.end()
            tracking.join(1.0)


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 on")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m d2lzh_ext.launch",
        description="Start a script as several processes that train one "
                    "network through a KVStore of type 'dist_sync', by the "
                    "launcher that MXNet brings.")
    add = parser.add_argument
    add("-n", "--num-workers", type=_number, required=True,
        help="processes that run the script")
    add("-s", "--num-servers", type=_number,
        help="processes that hold the parameters (as many as workers)")
    add("--launcher", choices=LAUNCHERS,
        help="who starts the processes (ssh with a hostfile, else local)")
    add("-H", "--hostfile", help="names a host a line, for ssh and mpi")
    add("--sync-dst-dir", metavar="FOLDER",
        help="where on the hosts ssh copies this folder to first")
    for option, form, text in (
            ("--env-server", "NAME:VALUE", "a variable that servers get"),
            ("--env-worker", "NAME:VALUE", "a variable that workers get"),
            ("--env", "NAME", "a variable of this shell that both get")):
        add(option, action="append", default=[], metavar=form, help=text)
    add("--p3", action="store_true",
        help="let MXNet send important gradients first")
    add("command", nargs=argparse.REMAINDER,
        metavar="[python] script.py [argument ...]")
    options = parser.parse_args(arguments)
    if not options.command:
        parser.error("which script?")
    passed = [f"{name}:{os.environ[name]}" for name in options.env
              if name in os.environ]
    for number in (signal.SIGINT, signal.SIGTERM):
        # Also where it was started in the background, which ignores SIGINT.
        signal.signal(number, signal.default_int_handler)
    try:
        launch(options.command, options.num_workers, options.num_servers,
               options.launcher or ("ssh" if options.hostfile else "local"),
               options.hostfile, options.sync_dst_dir,
               passed + options.env_server, passed + options.env_worker,
               options.p3)
    except (LaunchError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; so are all processes of the group.",
              file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
