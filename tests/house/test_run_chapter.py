"""`make run` and `make outputs` show, save and store, or say what failed."""
from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import notebooks
import psutil
import pytest
import run_chapter
from interpreter import ROOT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

BAR = """import os, sys
if os.environ["D2LZH_PROGRESS"] == "1":
    print("\\r 50%", file=sys.stderr, end="", flush=True)
    print("\\r100%", file=sys.stderr, flush=True)
print("trained in", os.path.basename(os.getcwd()))"""
WARNS = "import sys\n_ = sys.stderr.write('the loss rests\\n')"
FIGURE = """import matplotlib.pyplot as plt
_ = plt.plot([1, 2])
plt.show()"""


def test_it_shows_and_saves(
        tmp_path: Path, tiny: Any, capfd: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "Agg")
    path, output = tmp_path / "01-tiny.ipynb", tmp_path / "out"
    tiny.cells += [new_markdown_cell("## More"), new_code_cell(BAR),
                   new_code_cell(FIGURE), new_code_cell(WARNS)]
    notebooks.write(tiny, path)
    before = path.read_bytes()
    assert run_chapter.run(path, store=False, output=output) == 0
    shown, errors = capfd.readouterr()
    trained = f"trained in {tmp_path.name}\n"
    assert f"x is 42\n\n## More\n{trained}the loss rests\n\nDone in " in shown
    assert errors == "\r 50%\r100%\n"
    assert path.read_bytes() == before
    cells = notebooks.code_cells(notebooks.read(output / path.name))
    assert cells[2].outputs == [new_output(
        "stream", name="stdout", text=trained)]
    assert "image/png" in cells[3].outputs[0].data
    assert "x is 42" in (output / "01-tiny.html").read_text("utf-8")


def test_it_stores(tmp_path: Path, tiny: Any) -> None:
    path = tmp_path / "01-tiny.ipynb"
    tiny.cells.insert(1, new_code_cell(
        BAR, metadata={"execution": {"then": "now"}, "tags": []}))
    notebooks.write(tiny, path)
    assert notebooks.complaints(notebooks.read(path))
    assert run_chapter.run(path, store=True) == 0
    stored = notebooks.read(path)
    assert notebooks.complaints(stored) == []
    assert stored.cells[1].metadata == {"tags": []}
    first = path.read_bytes()
    assert run_chapter.run(path, store=True) == 0
    assert path.read_bytes() == first


@pytest.mark.parametrize("place, source, error", [
    (1, "import os\nos.kill(os.getpid(), 9)",
     "The kernel was killed by SIGKILL; out of memory, perhaps."),
    (2, "y = 1\n1 / 0", "ZeroDivisionError: division by zero"),
    (3, "import os\nos._exit(3)", "The kernel ended with status 3.")])
def test_it_says_what_failed(
        tmp_path: Path, tiny: Any, capfd: pytest.CaptureFixture[str],
        place: int, source: str, error: str) -> None:
    path, output = tmp_path / "01-tiny.ipynb", tmp_path / "out"
    # As in every chapter: first what only Colab executes, then text.
    tiny.cells[:0] = [
        new_code_cell("1 / 0  # Colab", id=notebooks.COLAB,
                      metadata={"tags": ["skip-execution"]}),
        new_markdown_cell("# Tiny")]
    tiny.cells.insert(1 + place, new_code_cell(source))
    notebooks.write(tiny, path)
    before = path.read_bytes()
    assert run_chapter.run(path, store=True, output=output) == 1
    said = capfd.readouterr().err
    assert f"Code cell {place} of 3 failed" in said
    assert [line[4:] for line in said.splitlines()
            if line.startswith("    ")][:2] == source.splitlines()
    assert error in said
    assert said.endswith("is left as it was.\n")
    assert "\x1b" not in said and "Colab" not in said
    assert path.read_bytes() == before
    saved = notebooks.code_cells(notebooks.read(output / path.name))
    assert bool(saved[0].outputs) == (place > 1)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_at_once(
        tmp_path: Path, tiny: Any, number: signal.Signals) -> None:
    path = tmp_path / "01-tiny.ipynb"
    tiny.cells.append(new_code_cell("import time\ntime.sleep(600)"))
    notebooks.write(tiny, path)
    with subprocess.Popen(
            [sys.executable, ROOT / "tools" / "run_chapter.py", "--output",
             tmp_path / "out", path], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and "x is 42\n" in iter(
            process.stdout.readline, "")
        kernels = psutil.Process(process.pid).children()
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert said == "\nStopped; nothing of this chapter was saved.\n"
    assert not (tmp_path / "out").exists()
    _, alive = psutil.wait_procs(kernels, timeout=60)
    assert kernels and not alive


def test_it_lists_the_chapters(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_chapter.main(["no-such"]) == 2
    assert re.findall(r"^    (.*)$", capsys.readouterr().err, re.M) == [
        path.stem for path in notebooks.chapters()]


@pytest.mark.parametrize("word", ["5", "05", "lenet", "05-lenet"])
def test_a_chapter_has_several_names(word: str) -> None:
    chapter = notebooks.CHAPTERS / "05-lenet.ipynb"
    assert run_chapter.find(word, store=False) == [chapter]
    assert run_chapter.find(word, store=True) == [
        chapter, notebooks.CHAPTERS / "solutions" / chapter.name]
