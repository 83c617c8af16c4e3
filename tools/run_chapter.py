"""Run chapters from the command line and show what they print, live.

    python tools/run_chapter.py 05          to output/, as notebook and page
    python tools/run_chapter.py --store 05  back into chapters/

A chapter is named by its number, its name, its file, or `all`.
"""
from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # no traceback for a Ctrl-C during the imports
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import ipykernel.kernelspec
import nbformat
import notebooks
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

OUTPUT = notebooks.ROOT / "output"
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_HEAD = 8  # lines of a failed cell that are shown


class _ThisPython(KernelSpecManager):
    """Whatever the kernel's name, and whatever is registered: this Python."""

    def get_kernel_spec(self, kernel_name: str) -> Any:
        # Errors only: the kernel warns that it listens on this machine.
        spec = ipykernel.kernelspec.get_kernel_dict(["--log-level=ERROR"])
        return KernelSpec(resource_dir=ipykernel.kernelspec.RESOURCES, **spec)


class LiveClient(NotebookClient):
    """Executes a notebook and prints its streams while they arrive."""

    def __init__(self, notebook: Any, path: Path) -> None:
        super().__init__(
            notebook,
            km=AsyncKernelManager(kernel_spec_manager=_ThisPython()),
            resources={"metadata": {"path": str(path.parent)}},
            timeout=None, record_timing=False, store_widget_state=False,
            coalesce_streams=True, shutdown_kernel="immediate",
            on_notebook_start=self._listen, on_cell_start=self._announce,
            on_cell_execute=self._note)
        # Hand over the manager, and with it the duty to shut it down.
        self.owns_km = True
        self.signal = 0
        self.at: Any = None  # the code cell at work
        self.kernel: Any = None  # its process
        self._bar = False

    async def _listen(self, notebook: Any) -> None:
        """End at a signal at once; nbclient alone takes its time."""
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        manager: Any = self.km
        self.kernel = manager.provisioner.process

        def stop(number: int) -> None:
            self.signal = number
            if task:
                task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop, number)

    def _announce(self, cell: Any, cell_index: int) -> None:
        heading = re.match(r"#+ .*", cell.source)
        if cell.cell_type == "markdown" and heading:
            self.show(f"\n{heading[0]}\n")

    def _note(self, cell: Any, cell_index: int) -> None:
        """Called for the cells that are executed, and only for those."""
        self.at = cell

    def show(self, text: str, bar: bool = False) -> None:
        stream = sys.stderr if bar else sys.stdout
        if self._bar and not bar:  # do not write into a progress bar
            text = "\n" + text
        self._bar = bar and not text.endswith(("\n", "\r"))
        stream.write(text)
        stream.flush()

    def process_message(
            self, msg: Any, cell: Any, cell_index: int) -> Any:
        content = msg["content"]
        if msg["msg_type"] == "stream":
            text = content["text"]
            if content["name"] == "stderr":
                bar = "\r" in text or self._bar
                self.show(text, bar)
                if bar:  # progress is for the eye: keep what else came
                    content["text"] = "".join(
                        line for line in re.findall(r"[^\n]*\n|[^\n]+", text)
                        if "\r" not in line and line.strip())
                    if not content["text"]:
                        return None
            else:
                self.show(text)
        return super().process_message(msg, cell, cell_index)


def find(name: str, store: bool) -> list[Path]:
    """The notebooks that a word of the command line means."""
    if name.endswith(".ipynb"):
        path = Path(name).resolve()
        return [path] if path.is_file() else []
    known = notebooks.with_solutions() if store else notebooks.chapters()

    def fits(stem: str) -> bool:
        number, _, title = stem.partition("-")
        return (name in ("all", stem, title)
                or (name.isdecimal() and number.isdecimal()
                    and int(name) == int(number)))

    return [path for path in known if fits(path.stem)]


def _destination(path: Path, output: Path) -> Path:
    """Where in the folder for output the executed notebook goes."""
    try:
        return output / path.relative_to(notebooks.CHAPTERS)
    except ValueError:
        return output / path.name


def _environment(store: bool) -> dict[str, str]:
    environment = dict(os.environ, D2LZH_PROGRESS="0" if store else "1")
    # A backend that the caller has chosen would leave out the figures.
    environment.pop("MPLBACKEND", None)
    return environment


def _near(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _save(notebook: Any, path: Path, output: Path) -> list[Path]:
    """Store an executed notebook and its web page in output/."""
    from nbconvert import HTMLExporter  # takes a second: not at the start

    target = _destination(path, output)
    notebooks.write(notebook, target)
    exporter = HTMLExporter(embed_images=True)
    page, _ = exporter.from_notebook_node(
        notebook, {"metadata": {"name": path.stem,
                                "path": str(path.parent)}})
    notebooks.write_aside(target.with_suffix(".html"), page)
    return [target, target.with_suffix(".html")]


def _say(*lines: str) -> None:
    sys.stdout.flush()
    print(*lines, sep="\n", file=sys.stderr, flush=True)


def _report(error: Exception, client: LiveClient) -> None:
    """Say what failed, and where."""
    cell = client.at
    if not cell:
        _say(f"The kernel does not start: {error}")
        return
    cells = notebooks.code_cells(client.nb)
    number = next(n for n, one in enumerate(cells, 1) if one is cell)
    source = cell.source.splitlines()
    if isinstance(error, CellExecutionError):
        message = _ANSI.sub("", "\n".join(
            line for output in cell.outputs if output.output_type == "error"
            for line in output.traceback)).strip()
    elif isinstance(error, DeadKernelError):
        message = notebooks.obituary(client.kernel)
    else:
        message = f"{type(error).__name__}: {error}"
    _say("", f"Code cell {number} of {len(cells)} failed:", "",
         *("    " + line for line in source[:_HEAD]),
         *(["    …"] if len(source) > _HEAD else []), "", message, "")


def run(path: Path, store: bool, output: Path = OUTPUT) -> int:
    """Execute one notebook; 0 if all went well, else an exit status."""
    notebook = notebooks.read(path)
    for cell in notebooks.code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    client = LiveClient(notebook, path)
    start = time.perf_counter()
    print(f"Running {_near(path)}", flush=True)
    failure: Exception | None = None
    try:
        client.execute(env=_environment(store))
    except (Exception, asyncio.CancelledError) as error:
        # nbclient's own handler stands until the kernel has started.
        early = getattr(client, "_async_cleanup_kernel_future", None)
        if client.signal or early:
            raise KeyboardInterrupt(client.signal or signal.SIGINT) from None
        if not isinstance(error, Exception):
            raise
        failure = error
    seconds = time.perf_counter() - start
    if failure:
        _report(failure, client)
        written = _save(notebook, path, output)
        _say("What ran until then: "
             + ", ".join(_near(file) for file in written))
        if store:
            _say(f"{_near(path)} is left as it was.")
        return 1
    if store:
        notebooks.clean(notebook)
        nbformat.validate(notebook)
        notebooks.write(notebook, path)
        written = [path]
    else:
        written = _save(notebook, path, output)
    client.show(f"\nDone in {seconds:.1f} s. The chapter with its outputs:\n"
                + "".join(f"    {_near(file)}\n" for file in written))
    return 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Run chapters and show what they print.")
    parser.add_argument("chapter", nargs="+",
                        help="number, name or file of a chapter, or `all`")
    parser.add_argument("--store", action="store_true",
                        help="store the outputs in the chapters themselves, "
                             "and in those of their solutions")
    parser.add_argument("--output", type=Path, default=OUTPUT,
                        metavar="FOLDER",
                        help="where executed notebooks and pages go")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    paths: list[Path] = []
    for name in options.chapter:
        found = find(name, options.store)
        if not found:
            _say(f"There is no chapter {name!r}. The chapters are:",
                 *(f"    {path.stem}" for path in notebooks.chapters()))
            return 2
        paths += [path for path in found if path not in paths]
    try:
        return max(run(path, options.store, options.output)
                   for path in paths)
    except KeyboardInterrupt as stop:
        number = stop.args[0] if stop.args else signal.SIGINT
        _say("", "Stopped; nothing of this chapter was saved.")
        return 128 + int(number)


if __name__ == "__main__":
    sys.exit(main())
