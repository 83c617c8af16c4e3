"""For every run of pytest: one thread, long files first, progress, a watch.

pyproject.toml loads it, for unit tests and chapters alike.
"""
from __future__ import annotations

import json
import math
import os
import time
from collections import Counter
from collections.abc import Generator, Sequence
from pathlib import Path, PurePath
from queue import Empty
from typing import Any

import notebooks
import pytest

# Workers and the chapters' kernels inherit both. With one thread each, as
# many workers as cores do not wait for each other, and no result depends on
# how many there are.
os.environ["OMP_NUM_THREADS"] = "1"
# A notebook would show its progress bars as widgets, which differ each time.
os.environ["D2LZH_PROGRESS"] = "0"

GIB_PER_WORKER = 2  # a chapter takes up to 1.3
PAUSE = 15          # seconds between two lines of progress, at least
# Seconds for a test, where it trains networks or compares great ones.
SLOW = {"test_exit": 30, "test_benchmarks": 4, "test_launch": 2}
UNRECORDED = 30.0  # for a notebook
CHAPTERS = json.loads((notebooks.ROOT / "data" / "results" / "chapters.json")
                      .read_text(encoding="utf-8"))["chapters"]


@pytest.hookimpl(tryfirst=True, optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """A worker for each core, as far as memory reaches."""
    from d2lzh_compat import openmp
    from d2lzh_ext import doctor

    cores, free = openmp.num_cores(), doctor.available_memory()
    if free is None:
        return cores
    return max(1, min(cores, free // (GIB_PER_WORKER * 2**30)))


def file_of(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def seconds(file: str, tests: int) -> float:
    """What a file takes, roughly: as recorded, or by experience."""
    path = PurePath(file)
    if path.suffix == ".ipynb":
        recorded = CHAPTERS.get(path.stem, {})
        if path.parent.name == "solutions":
            recorded = recorded.get("solutions", {})
        return float(recorded.get("seconds", UNRECORDED))
    return tests * SLOW.get(path.stem, 0.3)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first: so the workers end together."""
    tests = Counter(file_of(item.nodeid) for item in items)
    costs = {file: seconds(file, number) for file, number in tests.items()}
    items.sort(key=lambda item: (
        -costs[file_of(item.nodeid)], file_of(item.nodeid)))


def pytest_sessionfinish() -> None:
    """Root can lose /dev/null: MXNet's profiler deletes what it is given."""
    if not Path(os.devnull).is_char_device():
        pytest.exit(f"{os.devnull} is no device any more: something has "
                    "replaced it", returncode=1)


class Progress:
    """A line now and then of what is left, for a reader or a log."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.tests: Counter[str] = Counter()  # of each file
        self.left: set[str] = set()
        self.start = self.said = time.monotonic()

    def expect(self, nodeids: Sequence[str]) -> None:
        if not self.tests:  # every worker reports the same
            self.tests.update(map(file_of, nodeids))
            self.left.update(nodeids)
            self.start = self.said = time.monotonic()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.expect([item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(
            self, ids: Sequence[str]) -> None:
        self.expect(ids)

    @pytest.hookimpl(trylast=True)  # after pytest's own dot
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:  # the details come at the end
            self.say(f"FAILED {report.nodeid}")
        if report.when in ("setup", "call"):
            return
        self.left.discard(report.nodeid)
        now = time.monotonic()
        if self.left and now - self.said >= PAUSE:
            self.said = now
            self.say(self.line(now - self.start))

    def line(self, elapsed: float) -> str:
        total, left = self.tests, Counter(map(file_of, self.left))
        cost = {file: seconds(file, total[file]) for file in total}
        todo = sum(cost[file] * n / total[file] for file, n in left.items())
        done = sum(cost.values()) - todo
        all_books, books = (sum(file.endswith(".ipynb") for file in files)
                            for files in (total, left))
        tests = sum(total.values())
        return (f"[{tests - len(self.left):{len(str(tests))}}/{tests}] "
                f"{100 * done / (done + todo):.0f} %, "
                + (f"{books} of {all_books} notebooks left, "
                   if all_books else "")
                + f"about {math.ceil(elapsed * todo / done / 60)} min")

    def say(self, text: str) -> None:
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        writer = self.config.get_terminal_writer()
        if reporter:
            reporter.ensure_newline()
            if writer.width_of_current_line:  # by a worker's dots
                writer.line()
            writer.line(text)
            writer.flush()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Go on behind a test that killed its worker.

    xdist would give it to every other worker in turn, and wait for ever for
    a worker that got a file of which nothing is left.
    """
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def remove_node(self, node: Any) -> str | None:
            files = self.assigned_work.pop(node)
            left = [(tests, test) for tests in files.values()
                    for test, done in tests.items() if not done]
            if not left:
                return None
            tests, killer = left[0]
            tests[killer] = True
            self.workqueue.update({file: tests for file, tests in
                                   files.items() if not all(tests.values())})
            for other in self.assigned_work:
                self._reschedule(other)
            return killer

    return Scheduling(config, log)


class KernelDied(Exception):
    """While it executed a cell."""


def watch(kernel_class: Any) -> None:
    """Let nbval's kernels notice their death, which nbval waits through."""
    await_reply = kernel_class.await_reply

    def watched(self: Any, msg_id: str, timeout: float) -> Any:
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            try:
                return await_reply(self, msg_id, max(0, min(1, left)))
            except Empty:
                if not self.is_alive():
                    raise KernelDied(notebooks.obituary(
                        self.km.provisioner.process)) from None
                if left <= 1:
                    raise

    kernel_class.await_reply = watched


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # of pytest-xdist
        config.pluginmanager.register(Progress(config))
    if config.getoption("nbval", False):
        from nbval.plugin import RunningKernel

        watch(RunningKernel)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """End a notebook with the cell that kills its kernel, or runs too long.

    The limit of a cell is nbval's own, 2000 s: twenty times what the longest
    takes where it was recorded. `--nbval-cell-timeout` sets another.
    """
    notebook: Any = item.parent
    if getattr(notebook, "timed_out", False):
        pytest.skip("an earlier cell ended the kernel, or ran too long")
    try:
        return (yield)
    except KernelDied as death:
        notebook.timed_out = True
        item.raise_cell_error(str(death))  # type: ignore[attr-defined]
