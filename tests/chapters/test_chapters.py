"""The chapters as they are stored, and a guard of their guard.

nbval re-runs the chapters, but passes over one without outputs, over cells
that are tagged, and over pictures. These tests look at those, and then
tamper with outputs to see that somebody complains.
"""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import notebooks
import pytest
import pytest_course
from interpreter import ROOT
from nbformat.v4 import new_code_cell, new_output

from d2lzh_compat import openmp
from d2lzh_ext import doctor


def test_there_are_chapters() -> None:
    """Without this, no chapter at all would be green."""
    assert notebooks.chapters()


@pytest.mark.parametrize(
    "path", notebooks.with_solutions(),
    ids=lambda path: str(path.relative_to(notebooks.CHAPTERS)))
def test_is_stored_as_it_should(path: Path) -> None:
    notebook = notebooks.read(path)
    nbformat.validate(notebook)
    assert notebooks.complaints(notebook) == []
    # In the form of the tools: a diff shows what changed, not who wrote it.
    assert path.read_text(encoding="utf-8") == (
        nbformat.writes(notebook).rstrip("\n") + "\n")


@pytest.mark.parametrize("old, new", [
    ("6 * 7", "7 * 6"), ("x is 42", "x is 43"),
    # What nbval does not compare: an ignored output, and a picture.
    ("loss 0.123", "loss 0.124"), ("iVBORw0KGgo", "iVBORw0KGgp")])
def test_tampering_is_seen(tiny: Any, old: str, new: str) -> None:
    tiny.cells.insert(1, new_code_cell(
        "train()", execution_count=2,
        metadata={"tags": ["nbval-ignore-output"]}, outputs=[
            new_output("stream", text="loss 0.123\n"),
            new_output("display_data", {"image/png": "iVBORw0KGgo="})]))
    tiny.cells[2].execution_count = 3
    notebooks.clean(tiny)
    assert notebooks.complaints(tiny) == []
    text = nbformat.writes(tiny)
    assert text.count(old) == 1
    (complaint,) = notebooks.complaints(
        nbformat.reads(text.replace(old, new), as_version=4))
    assert "make outputs" in complaint


@pytest.mark.parametrize("cell, changed, word", [
    (0, {"execution_count": 2}, "execution counts"),
    (0, {"outputs": []}, "no outputs"),
    (0, {"metadata": {"tags": ["nbval_ignore_output"]}}, "unknown tags"),
    (1, {"metadata": {"tags": ["nbval-ignore-output"]}}, "assert"),
    (1, {"outputs": [new_output("error", ename="E", evalue="",
                                traceback=[])]}, "error"),
    (0, {"source": "x" * (notebooks.MAX_COLUMNS + 1)}, "columns"),
    (0, {"outputs": [new_output("stream", text="x" * 99)]}, "prints"),
    (0, {"source": "\n" * notebooks.MAX_LINES + "1"}, "lines")])
def test_each_rule_has_teeth(
        tiny: Any, cell: int, changed: dict[str, Any], word: str) -> None:
    tiny.cells[cell].update(nbformat.from_dict(changed))
    # Only the rule itself is under test, not the digest.
    tiny.metadata.d2lzh["outputs_sha256"] = notebooks.outputs_sha256(tiny)
    (complaint,) = notebooks.complaints(tiny)
    assert word in complaint


@pytest.mark.slow
def test_what_fails_is_named_and_the_rest_goes_on(
        tmp_path: Path, tiny: Any) -> None:
    """As `make test` runs them: notebooks, and a test beside them."""
    pytest.importorskip("nbval")
    (tmp_path / "test_it.py").write_text(
        "import os\ndef test_1(): pass\n"
        "def test_2(): os._exit(3)\ndef test_3(): pass\n")
    notebooks.write(tiny, tmp_path / "well.ipynb")
    for name, source in [
            ("dies", "import os\nos.kill(os.getpid(), 9)"),
            ("sleeps", "import time\ntime.sleep(1000)")]:
        notebook = nbformat.from_dict(tiny)
        notebook.cells.insert(1, new_code_cell(source))
        notebooks.write(notebook, tmp_path / f"{name}.ipynb")
    tiny.cells[0].outputs[0].text = "x is 43\n"
    notebooks.write(tiny, tmp_path / "changed.ipynb")
    said = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml",
         "--rootdir", tmp_path, "-p", "no:cacheprovider", "--nbval",
         "--nbval-current-env", "--nbval-sanitize-with",
         ROOT / "tests" / "nbval.cfg", "--nbval-cell-timeout", "10",
         "-n", "2", tmp_path], cwd=tmp_path, capture_output=True, text=True,
        check=False, timeout=600).stdout
    # One cell is right in each of the three, two in well.ipynb.
    assert "4 failed, 7 passed, 2 skipped" in said
    for where, message in [
            ("changed.ipynb::Cell 0", "Cell 0: Cell outputs differ"),
            ("dies.ipynb::Cell 1",
             "Cell 1: The kernel was killed by SIGKILL"),
            ("sleeps.ipynb::Cell 1",
             "Cell 1: Timeout of 10 seconds exceeded")]:
        assert f"\nFAILED {where}\n" in said  # at once
        _, _, details = said.partition(f"_ {where} _")
        assert message in details.partition("\n____")[0]
    assert "crashed while running 'test_it.py::test_2'" in said


@pytest.mark.parametrize("cores, gib, workers", [
    (2, 64, 2), (8, 7, 3), (8, 1, 1), (4, None, 4)])
def test_workers_are_as_many_as_cores_and_memory_allow(
        monkeypatch: pytest.MonkeyPatch, cores: int, gib: int | None,
        workers: int) -> None:
    monkeypatch.setattr(openmp, "num_cores", lambda: cores)
    monkeypatch.setattr(doctor, "available_memory",
                        lambda: None if gib is None else gib * 2**30)
    assert pytest_course.pytest_xdist_auto_num_workers() == workers


def test_progress_weighs_the_files(request: pytest.FixtureRequest) -> None:
    progress = pytest_course.Progress(request.config)
    progress.expect(["chapters/solutions/99-new.ipynb::Cell 0",
                     "chapters/solutions/99-new.ipynb::Cell 1",
                     *(f"tests/test_it.py::test_{i}" for i in range(100))])
    progress.left = {"chapters/solutions/99-new.ipynb::Cell 1"}
    # 30 s for the notebook and 30 s for the tests: 15 of 60 are left.
    assert progress.line(240) == (
        "[101/102] 75 %, 1 of 1 notebooks left, about 2 min")


def _sanitized(text: str) -> str:
    plugin = pytest.importorskip("nbval.plugin")
    patterns = plugin.get_sanitize_patterns(
        (ROOT / "tests" / "nbval.cfg").read_text(encoding="utf-8"))
    cell = SimpleNamespace(parent=SimpleNamespace(
        sanitize_patterns=dict(patterns)))
    return str(plugin.IPyNbCell.sanitize(cell, text))


@pytest.mark.parametrize("text, expected", [
    ("epoch 1, loss 1.1, test acc 0.133, time 19.8 sec\nepoch",
     "epoch 1, loss 1.1, test acc 0.133, time SECONDS\nepoch"),
    ("    1     0.02146        3.93  11.8 s\n    2  ",
     "    1     0.02146        3.93  SECONDS\n    2  "),
    ("<Thing at 0x7f12ab34cd56>", "<Thing at ADDRESS>"),
    ("[10:24:59] src/a.cc", "[TIME] src/a.cc"),
    *((text, text) for text in (
        "accuracy 0.912 sec", "loss 0.912 s", "0.912 ms", "a 3.5 s filter",
        "time 3.5", "side 0x20", "padding 12.3 seconds"))])
def test_only_times_and_addresses_may_differ(
        text: str, expected: str) -> None:
    assert _sanitized(text) == expected


def test_every_time_that_is_stored_may_differ() -> None:
    lines = [line for path in notebooks.with_solutions()
             for cell in notebooks.code_cells(notebooks.read(path))
             for output in cell.outputs
             for line in output.get("text", "").splitlines()
             if line.endswith((" sec", " s"))]
    assert lines and all("SECONDS" in _sanitized(line) for line in lines)
