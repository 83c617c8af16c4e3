"""Run chapters from the command line and show what they print, live.

    python tools/run_chapter.py 05          to output/, as notebook and page
    python tools/run_chapter.py --store 05  back into chapters/

A chapter is named by its number, its name, its file, or `all`.
"""
from __future__ import annotations

import argparse
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
import pages
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

OUTPUT = notebooks.ROOT / "output"
HEAD = 8  # lines of a failed cell that are shown


class ThisPython(KernelSpecManager):
    """Whatever the kernel's name, and whatever is registered: this Python."""

    def get_kernel_spec(self, kernel_name: str) -> Any:
        # The kernel warns that it listens on this machine, and calls an
        # interrupt between two cells an error.
        spec = ipykernel.kernelspec.get_kernel_dict(["--log-level=CRITICAL"])
        return KernelSpec(resource_dir=ipykernel.kernelspec.RESOURCES, **spec)


class LiveClient(NotebookClient):
    """Executes cells and prints their streams while they arrive."""

    bar = False  # does standard error end within a progress bar?

    def show(self, text: str, bar: bool = False) -> None:
        stream = sys.stderr if bar else sys.stdout
        if self.bar and not bar:  # do not write into a progress bar
            text = "\n" + text
        self.bar = bar and not text.endswith(("\n", "\r"))
        stream.write(text)
        stream.flush()

    def process_message(
            self, msg: Any, cell: Any, cell_index: int) -> Any:
        content = msg["content"]
        if msg["msg_type"] == "stream":
            text, error = content["text"], content["name"] == "stderr"
            bar = error and ("\r" in text or self.bar)
            self.show(text, bar)
            if bar:  # progress is for the eye: keep what else came
                content["text"] = "".join(
                    line for line in re.findall(r"[^\n]*\n|[^\n]+", text)
                    if "\r" not in line and line.strip())
                if not content["text"]:
                    return None
        return super().process_message(msg, cell, cell_index)


class CellFailed(Exception):
    """Says which cell, and why."""

    def __init__(self, cells: list[Any], number: int, why: str) -> None:
        source = cells[number - 1].source.splitlines()
        super().__init__("\n".join([
            "", f"Code cell {number} of {len(cells)} failed:", "",
            *("    " + line for line in source[:HEAD]),
            *(["    …"] if len(source) > HEAD else []), "", why, ""]))


def execute(notebook: Any, folder: Path, bars: bool) -> LiveClient:
    """Execute all cells in place, and show what they print.

    Raises:
        CellFailed: A cell raised an error or ended its kernel.
    """
    environment = dict(os.environ, D2LZH_PROGRESS="1" if bars else "0")
    # A backend that the caller has chosen would leave out the figures.
    environment.pop("MPLBACKEND", None)
    client = LiveClient(
        notebook, km=AsyncKernelManager(kernel_spec_manager=ThisPython()),
        resources={"metadata": {"path": str(folder)}}, timeout=None,
        record_timing=False, store_widget_state=False, coalesce_streams=True,
        shutdown_kernel="immediate")
    # Hand over the manager, and with it the duty to shut it down.
    client.owns_km = True
    cells = notebooks.code_cells(notebook)
    with client.setup_kernel(env=environment):
        kernel = client.km.provisioner.process  # type: ignore[union-attr]
        number = 0
        for index, cell in enumerate(notebook.cells):
            number += cell in cells
            heading = re.match(r"#+ .*", cell.source)
            if cell.cell_type == "markdown" and heading:
                client.show(f"\n{heading[0]}\n")
            try:
                client.execute_cell(cell, index)
            except CellExecutionError:
                from nbconvert.filters import strip_ansi

                raise CellFailed(cells, number, strip_ansi("\n".join(
                    line for output in cell.outputs
                    if output.output_type == "error"
                    for line in output.traceback)).strip()) from None
            except DeadKernelError:
                raise CellFailed(
                    cells, number, notebooks.obituary(kernel)) from None
    return client


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


def save(notebook: Any, path: Path, output: Path) -> list[Path]:
    """Store an executed notebook and its web page in the output folder."""
    from nbconvert import HTMLExporter  # takes a second: not at the start

    inside = path.is_relative_to(notebooks.CHAPTERS)
    target = output / (
        path.relative_to(notebooks.CHAPTERS) if inside else path.name)
    notebooks.write(notebook, target)
    page, _ = HTMLExporter(embed_images=True).from_notebook_node(
        notebook, {"metadata": {"name": path.stem,
                                "path": str(path.parent)}})
    pages.write(target.with_suffix(".html"), page)
    return [target, target.with_suffix(".html")]


def say(*lines: str) -> None:
    sys.stdout.flush()
    print(*lines, sep="\n", file=sys.stderr, flush=True)


def run(path: Path, store: bool, output: Path = OUTPUT) -> int:
    """Execute one notebook; 0 if all went well, else an exit status."""
    notebook, near = notebooks.read(path), os.path.relpath(path)
    for cell in notebooks.code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    start = time.perf_counter()
    print(f"Running {near}", flush=True)
    try:
        client = execute(notebook, path.parent, bars=not store)
    except (CellFailed, RuntimeError) as error:
        say(str(error) if isinstance(error, CellFailed)
            else f"The kernel does not start: {error}")
        say("What ran until then: " + ", ".join(
            map(os.path.relpath, save(notebook, path, output))))
        if store:
            say(f"{near} is left as it was.")
        return 1
    seconds = time.perf_counter() - start
    if store:
        notebooks.clean(notebook)
        nbformat.validate(notebook)
        notebooks.write(notebook, path)
        written = [path]
    else:
        written = save(notebook, path, output)
    client.show(f"\nDone in {seconds:.1f} s. The chapter with its outputs:\n"
                + "".join(f"    {os.path.relpath(file)}\n"
                          for file in written))
    return 0


def stop(number: int, frame: Any) -> None:
    raise KeyboardInterrupt(number)


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
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    paths: list[Path] = []
    for name in options.chapter:
        found = find(name, options.store)
        if not found:
            say(f"There is no chapter {name!r}. The chapters are:",
                *(f"    {path.stem}" for path in notebooks.chapters()))
            return 2
        paths += [path for path in found if path not in paths]
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        return max(run(path, options.store, options.output)
                   for path in paths)
    except KeyboardInterrupt as interrupt:
        say("", "Stopped; nothing of this chapter was saved.")
        return 128 + int(interrupt.args[0])


if __name__ == "__main__":
    sys.exit(main())
