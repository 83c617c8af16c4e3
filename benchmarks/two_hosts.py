"""Two hosts in one machine: chapter 17's training through ssh, for real.

    python benchmarks/two_hosts.py

makes two network namespaces with an address, a host name and an ssh server
each, and a cable between them. On the first host it runs
``python -m d2lzh_ext.launch`` with chapter 17's script, once as it is, once
with a worker that dies, and with the cable made slower. The record goes to
data/results/ssh-launch.json. It needs Linux, root, and the packages
openssh-server, iproute2 and util-linux.
"""
from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import records

ADDRESSES = {"node1": "10.17.0.1", "node2": "10.17.0.2"}
PROGRAMS = ("ip", "tc", "unshare", "ssh", "sshd", "ssh-keygen")
CHAPTER = records.ROOT / "chapters" / "17-scale-out.ipynb"
MEGABITS = (1000, 100, 10)  # of the cable, a second
BATCH = 256


def why_not() -> str | None:
    """Why there can be no two hosts here; None if there can."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [name for name in PROGRAMS
               if shutil.which(name, path=path) is None]
    if missing:
        return f"missing: {' '.join(missing)}"
    if os.geteuid():
        return "making network namespaces needs root"
    name = f"d2lzh-{os.getpid()}-try"
    for command in (["ip", "netns", "add", name],
                    ["ip", "-n", name, "link", "set", "lo", "up"]):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            break
    subprocess.run(["ip", "netns", "del", name], capture_output=True)
    return f"no network namespaces: {done.stderr.strip()}" if (
        done.returncode) else None


def scripts() -> dict[str, str]:
    """The files that chapter 17 writes, by name."""
    cells = json.loads(CHAPTER.read_text(encoding="utf-8"))["cells"]
    found = ("".join(cell["source"]).partition("\n") for cell in cells)
    return {first.split()[1]: script for first, _, script in found
            if first.startswith("%%writefile")}


class Hosts:
    """Two network namespaces, node1 and node2, with a cable and ssh."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spaces = {node: f"d2lzh-{os.getpid()}-{node}"
                       for node in ADDRESSES}

    def _ip(self, *words: str) -> None:
        subprocess.run(["ip", *words], check=True)

    def connect(self) -> None:
        """Make the namespaces and the cable."""
        for space in self.spaces.values():
            self._ip("netns", "add", space)
            self._ip("-n", space, "link", "set", "lo", "up")
        one, two = self.spaces.values()
        self._ip("link", "add", "cable", "netns", one, "type", "veth",
                 "peer", "name", "cable", "netns", two)
        for node, address in ADDRESSES.items():
            space = self.spaces[node]
            self._ip("-n", space, "addr", "add", f"{address}/24",
                     "dev", "cable")
            self._ip("-n", space, "link", "set", "cable", "up")

    def limit(self, megabits: int) -> None:
        """Let the cable carry so much a second, in each direction."""
        burst = max(16_000, megabits * 1_000_000 // 8 // 250)
        for space in self.spaces.values():
            subprocess.run(
                ["tc", "-n", space, "qdisc", "replace", "dev", "cable",
                 "root", "tbf", "rate", f"{megabits}mbit", "burst",
                 str(burst), "latency", "500ms"], check=True)

    def on(self, node: str, *command: str) -> list[str]:
        """The words that run a command on a node."""
        return ["ip", "netns", "exec", self.spaces[node], "unshare", "--uts",
                "sh", "-c", f'hostname {node}; exec "$@"', "sh", *command]

    def serve(self) -> list[subprocess.Popen[bytes]]:
        """Start an ssh server on each node, and a client that knows them."""
        folder = self.folder
        for name in ("key", "host"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "",
                            "-C", "", "-f", folder / name], check=True)
        shutil.copy(folder / "key.pub", folder / "authorized")
        (folder / "sshd_config").write_text(
            f"HostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
            "PidFile none\nStrictModes no\nUsePAM no\n"
            "PasswordAuthentication no\n")
        (folder / "ssh_config").write_text(
            f"IdentityFile {folder}/key\nUserKnownHostsFile {folder}/known\n"
            "BatchMode yes\nLogLevel ERROR\nConnectTimeout 10\n")
        # The launcher calls `ssh`; this one leaves the user's own alone.
        (folder / "bin").mkdir()
        client = folder / "bin" / "ssh"
        client.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F '
                          f'{folder}/ssh_config "$@"\n')
        client.chmod(0o755)
        (folder / "hosts").write_text("\n".join(ADDRESSES.values()) + "\n")
        Path("/run/sshd").mkdir(exist_ok=True)
        server = shutil.which("sshd", path="/usr/sbin:/sbin:/usr/bin")
        return [subprocess.Popen(
            self.on(node, str(server), "-D", "-f", f"{folder}/sshd_config"),
            stderr=subprocess.DEVNULL) for node in ADDRESSES]

    def wait_for_ssh(self) -> None:
        """Until node1 reaches both nodes through ssh."""
        for address in ADDRESSES.values():
            for _ in range(50):
                done = self.run("ssh", "-o", "StrictHostKeyChecking=no",
                                address, "true")
                if done.returncode == 0:
                    break
                time.sleep(0.2)
            else:
                raise SystemExit(f"ssh to {address}: {done.stderr}")

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command on node1, in the folder."""
        environment = {
            **os.environ, "OMP_NUM_THREADS": "1",
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}"}
        return subprocess.run(self.on("node1", *command), text=True,
                              capture_output=True, cwd=self.folder,
                              env=environment, timeout=300)

    def launch(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run chapter 17's command on node1."""
        return self.run(sys.executable, "-m", "d2lzh_ext.launch",
                        "-n", "2", "-s", "1", "-H", "hosts", *words)

    def left_running(self) -> list[str]:
        """What runs on the nodes besides the ssh servers."""
        found = []
        for space in self.spaces.values():
            pids = subprocess.run(["ip", "netns", "pids", space], text=True,
                                  capture_output=True).stdout.split()
            for pid in pids:
                with contextlib.suppress(OSError):
                    words = Path(f"/proc/{pid}/cmdline").read_bytes()
                    if words and b"sshd" not in words:
                        found.append(words.replace(b"\0", b" ").decode())
        return found

    def bytes_through_cable(self) -> int:
        """What node1 has sent and received so far."""
        text = self.run("cat", *(
            f"/sys/class/net/cable/statistics/{way}_bytes"
            for way in ("rx", "tx"))).stdout
        return sum(map(int, text.split()))


@contextlib.contextmanager
def two_hosts() -> Iterator[Hosts]:
    """The nodes, with chapter 17's scripts in their common folder."""
    with tempfile.TemporaryDirectory() as name:
        hosts = Hosts(Path(name))
        for file, script in scripts().items():
            (hosts.folder / file).write_text(script, encoding="utf-8")
        servers: list[subprocess.Popen[bytes]] = []
        try:
            hosts.connect()
            servers = hosts.serve()
            hosts.wait_for_ssh()
            yield hosts
        finally:
            for server in servers:
                server.terminate()
                server.wait()
            for space in hosts.spaces.values():
                subprocess.run(["ip", "netns", "del", space],
                               capture_output=True)


def printed(done: subprocess.CompletedProcess[str]) -> list[Any]:
    """What the workers of ``train.py`` printed, by rank."""
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return sorted((json.loads(line.partition(": ")[2])
                   for line in done.stdout.splitlines()),
                  key=lambda each: each["rank"])


def _entry(done: subprocess.CompletedProcess[str], *words: str
           ) -> dict[str, Any]:
    return {"command": shlex.join(["python", "-m", "d2lzh_ext.launch", "-n",
                                   "2", "-s", "1", "-H", "hosts", *words]),
            "status": done.returncode,
            "stdout": sorted(done.stdout.splitlines()),
            "stderr": done.stderr.splitlines()}


def main() -> None:
    reason = why_not()
    if reason:
        raise SystemExit(reason)
    record: dict[str, Any] = {"provenance": records.provenance(
        "python benchmarks/two_hosts.py")}
    with two_hosts() as hosts:
        record["hosts"] = (hosts.folder / "hosts").read_text().splitlines()
        store = hosts.launch("store.py")
        words = ("train.py", str(BATCH), "60")
        training, dying = hosts.launch(*words), hosts.launch("dies.py")
        time.sleep(1)
        record["store"] = _entry(store, "store.py")
        record["training"] = {
            "command": _entry(training, *words)["command"],
            "workers": [{key: each[key] for key in
                         ("host", "rank", "losses")}
                        for each in printed(training)]}
        record["dying"] = {**_entry(dying, "dies.py"),
                           "left_running": hosts.left_running()}
        record["cable"] = []
        for megabits in MEGABITS:
            hosts.limit(megabits)
            moved = []
            for steps in (10, 30):
                before = hosts.bytes_through_cable()
                run = printed(hosts.launch("train.py", str(BATCH),
                                           str(steps)))
                moved.append(hosts.bytes_through_cable() - before)
            (remote,) = [each for each in run if each["host"] == "node2"]
            record["cable"].append({
                "megabits": megabits,
                "bytes_a_step": round((moved[1] - moved[0]) / 20),
                "milliseconds": round(1000 * statistics.median(
                    remote["exchange"][1:]), 2),
                "share_computing": round(1 - sum(remote["exchange"][1:]) / (
                    remote["ends"][-1] - remote["ends"][0]), 3)})
    records.save("ssh-launch", record)


if __name__ == "__main__":
    main()
