"""The chapters as they are stored, and a guard of their guard.

nbval re-runs the chapters, but passes over one without outputs, over cells
that are tagged, and over pictures. These tests look at those, and then
tamper with outputs to see that somebody complains.
"""
from __future__ import annotations

import copy
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable

import nbformat
import pytest
import pytest_course
from interpreter import ROOT
from nbformat.v4 import (
    new_code_cell,
    new_markdown_cell,
    new_notebook,
    new_output,
)

from d2lzh_compat import openmp
from d2lzh_ext import doctor


def _load_tool(name: str) -> Any:
    """Import a module of tools/, which is a folder of scripts."""
    spec = importlib.util.spec_from_file_location(
        f"tools_{name}", ROOT / "tools" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


notebooks = _load_tool("notebooks")
CHAPTERS = notebooks.chapters()
each_notebook = pytest.mark.parametrize(
    "path", notebooks.with_solutions(),
    ids=lambda path: str(path.relative_to(notebooks.CHAPTERS)))
each_chapter = pytest.mark.parametrize(
    "path", CHAPTERS, ids=lambda path: path.stem)


def test_there_are_chapters() -> None:
    """Without this, no chapter at all would be green."""
    assert CHAPTERS


@each_notebook
def test_is_stored_as_it_should(path: Path) -> None:
    notebook = notebooks.read(path)
    nbformat.validate(notebook)
    assert notebooks.complaints(notebook) == []


@each_notebook
def test_file_has_the_form_of_the_tools(path: Path) -> None:
    """A diff shows what changed, not who wrote it."""
    text = path.read_text(encoding="utf-8")
    notebook = notebooks.read(path)
    assert text == nbformat.writes(notebook).rstrip("\n") + "\n"


def _outputs(notebook: Any) -> list[tuple[Any, Any]]:
    return [(cell, output) for cell in notebooks.code_cells(notebook)
            for output in cell.outputs]


def _change_training_line(notebook: Any) -> bool:
    """A digit in the output of a cell that nbval does not compare."""
    for cell, output in _outputs(notebook):
        if (output.output_type == "stream"
                and "nbval-ignore-output" in notebooks.tags(cell)):
            output.text = _other_digit(output.text)
            return True
    return False


def _change_text(notebook: Any) -> bool:
    for cell, output in _outputs(notebook):
        if (output.output_type == "stream"
                and "nbval-ignore-output" not in notebooks.tags(cell)):
            output.text += "and more\n"
            return True
    return False


def _change_picture(notebook: Any) -> bool:
    for _, output in _outputs(notebook):
        png = output.get("data", {}).get("image/png")
        if png:
            middle = len(png) // 2
            other = "A" if png[middle] != "A" else "B"
            output.data["image/png"] = png[:middle] + other + png[middle + 1:]
            return True
    return False


def _change_code(notebook: Any) -> bool:
    notebooks.code_cells(notebook)[0].source += "\n# changed"
    return True


def _other_digit(text: str) -> str:
    for position, letter in enumerate(text):
        if letter.isdigit():
            other = str((int(letter) + 1) % 10)
            return text[:position] + other + text[position + 1:]
    return text + "0"


@each_chapter
@pytest.mark.parametrize("tamper", [
    _change_training_line, _change_text, _change_picture, _change_code,
], ids=lambda function: function.__name__[1:])
def test_tampering_with_a_chapter_is_seen(
        path: Path, tamper: Callable[[Any], bool]) -> None:
    notebook = notebooks.read(path)
    notebook.metadata["d2lzh"] = {
        "outputs_sha256": notebooks.outputs_sha256(notebook)}
    before = notebooks.complaints(notebook)
    if not tamper(notebook):
        pytest.skip("the chapter has no such output")
    new = set(notebooks.complaints(notebook)) - set(before)
    assert any("make outputs" in line for line in new)


def test_every_kind_of_tampering_is_tried() -> None:
    """The skips above must not be all."""
    stored = [notebooks.read(path) for path in CHAPTERS]
    for tamper in (_change_training_line, _change_text, _change_picture):
        assert any(tamper(copy.deepcopy(notebook)) for notebook in stored)


def _tiny() -> Any:
    """A notebook about which there is nothing to complain."""
    notebook = new_notebook(cells=[
        new_code_cell("x = 6 * 7\nprint('x is', x)", execution_count=1,
                      outputs=[new_output("stream", name="stdout",
                                          text="x is 42\n")]),
        new_code_cell("assert x == 42", execution_count=2),
    ])
    notebooks.clean(notebook)
    return notebook


def test_tiny_notebook_is_fine() -> None:
    assert notebooks.complaints(_tiny()) == []


def _swap_counts(cells: list[Any]) -> None:
    cells[0].execution_count, cells[1].execution_count = 2, 1


def _drop_outputs(cells: list[Any]) -> None:
    cells[0].outputs = []


def _misspell_tag(cells: list[Any]) -> None:
    cells[0].metadata["tags"] = ["nbval_ignore_output"]


def _ignore_without_check(cells: list[Any]) -> None:
    cells[0].metadata["tags"] = ["nbval-ignore-output"]
    cells[1].source = "x"


def _store_error(cells: list[Any]) -> None:
    cells[1].outputs = [new_output("error", ename="E", evalue="",
                                   traceback=[])]


def _lengthen_line(cells: list[Any]) -> None:
    cells[0].source += "  # " + "x" * notebooks.MAX_COLUMNS


def _lengthen_cell(cells: list[Any]) -> None:
    cells[0].source += "\n" * notebooks.MAX_LINES + "1"


@pytest.mark.parametrize("change, word", [
    (_swap_counts, "execution counts"),
    (_drop_outputs, "no outputs"),
    (_misspell_tag, "unknown tags"),
    (_ignore_without_check, "assert"),
    (_store_error, "error"),
    (_lengthen_line, "columns"),
    (_lengthen_cell, "lines"),
])
def test_each_rule_has_teeth(
        change: Callable[[list[Any]], None], word: str) -> None:
    notebook = _tiny()
    change(notebook.cells)
    # Only the rule itself is under test, not the digest.
    notebook.metadata.d2lzh["outputs_sha256"] = notebooks.outputs_sha256(
        notebook)
    (complaint,) = notebooks.complaints(notebook)
    assert word in complaint


def _nbval(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Test a notebook, or a folder of them, as `make test` does."""
    pytest.importorskip("nbval")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"),
         "--rootdir", str(path.parent), "-p", "no:cacheprovider", "--nbval",
         "--nbval-current-env", "--nbval-sanitize-with",
         str(ROOT / "tests" / "nbval.cfg"), *arguments, str(path)],
        cwd=path.parent, capture_output=True, text=True, check=False,
        timeout=100)


@pytest.mark.parametrize("text, passes", [("42", True), ("43", False)])
def test_nbval_sees_a_tampered_output(
        tmp_path: Path, text: str, passes: bool) -> None:
    notebook = _tiny()
    notebook.cells[0].outputs[0].text = f"x is {text}\n"
    path = tmp_path / "tiny.ipynb"
    notebooks.write(notebook, path)
    result = _nbval(path)
    assert result.returncode == (0 if passes else 1), result.stdout
    assert f"{2 if passes else 1} passed" in result.stdout


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_cell_that_kills_its_kernel_or_never_ends_is_named(
        tmp_path: Path, workers: str) -> None:
    """The rest of its notebook is skipped; the others are tested."""
    folder = tmp_path / "books"
    for name, source in [
            ("dies", "import os\nos.kill(os.getpid(), 9)"),
            ("sleeps", "import time\ntime.sleep(1000)")]:
        notebook = _tiny()
        notebook.cells.insert(1, new_code_cell(source))
        notebooks.write(notebook, folder / f"{name}.ipynb")
    notebooks.write(_tiny(), folder / "well.ipynb")
    result = _nbval(folder, "-n", workers, "--nbval-cell-timeout", "5")
    assert "2 failed, 4 passed, 2 skipped" in result.stdout
    for name, message in [
            ("dies", "Cell 1: The kernel was killed by SIGKILL"),
            ("sleeps", "Cell 1: Timeout of 5 seconds exceeded")]:
        where = f"books/{name}.ipynb::Cell 1"
        assert f"\nFAILED {where}\n" in result.stdout  # at once
        _, _, details = result.stdout.partition(f"_ {where} _")
        assert message in details.partition("\n____")[0]


def test_a_test_that_kills_its_worker_is_named_once(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import os\ndef test_1(): pass\n"
        "def test_2(): os._exit(3)\ndef test_3(): pass\n")
    result = _nbval(tmp_path / "test_it.py", "-n", "1")
    assert "1 failed, 2 passed" in result.stdout
    assert "crashed while running 'test_it.py::test_2'" in result.stdout


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
    progress.expect(["chapters/solutions/05-lenet.ipynb::Cell 0",
                     "chapters/solutions/05-lenet.ipynb::Cell 1",
                     *(f"tests/test_it.py::test_{i}" for i in range(100))])
    progress.left = {"chapters/solutions/05-lenet.ipynb::Cell 1"}
    # 60 s for the notebook and 30 s for the tests: 30 of 90 are left.
    assert progress.line(240) == (
        "[101/102] 67 %, 1 of 1 notebooks left, about 2 min")


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
             for _, output in _outputs(notebooks.read(path))
             for line in output.get("text", "").splitlines()
             if line.endswith((" sec", " s"))]
    assert lines and all("SECONDS" in _sanitized(line) for line in lines)


def _run_chapter(path: Path, *arguments: str, output: Path
                 ) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "tools" / "run_chapter.py"),
         "--output", str(output), *arguments, str(path)],
        capture_output=True, text=True, check=False,
        env=dict(os.environ, MPLBACKEND="Agg"))


_BAR = """import os, sys
if os.environ["D2LZH_PROGRESS"] == "1":
    print("\\r 50%", file=sys.stderr, end="", flush=True)
    print("\\r100%", file=sys.stderr, flush=True)
print("trained in", os.path.basename(os.getcwd()))"""
_FIGURE = """import matplotlib.pyplot as plt
_ = plt.plot([1, 2])
plt.show()"""


def test_run_chapter_shows_and_saves(tmp_path: Path) -> None:
    path = tmp_path / "01-tiny.ipynb"
    notebook = _tiny()
    notebook.cells += [new_code_cell(_BAR), new_code_cell(_FIGURE)]
    notebooks.write(notebook, path)
    before = path.read_bytes()
    result = _run_chapter(path, output=tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert "x is 42" in result.stdout
    assert f"trained in {tmp_path.name}" in result.stdout
    assert "100%" in result.stderr
    assert path.read_bytes() == before
    cells = notebooks.read(tmp_path / "out" / path.name).cells
    assert cells[2].outputs == [new_output(
        "stream", name="stdout", text=f"trained in {tmp_path.name}\n")]
    assert "image/png" in cells[3].outputs[0].data
    assert "x is 42" in (tmp_path / "out" / "01-tiny.html").read_text(
        encoding="utf-8")


def test_run_chapter_stores(tmp_path: Path) -> None:
    path = tmp_path / "01-tiny.ipynb"
    notebook = _tiny()
    notebook.cells.insert(1, new_code_cell(
        _BAR, metadata={"execution": {"then": "now"}, "tags": []}))
    notebooks.write(notebook, path)
    assert notebooks.complaints(notebooks.read(path))
    result = _run_chapter(path, "--store", output=tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert notebooks.complaints(notebooks.read(path)) == []
    assert notebooks.read(path).cells[1].metadata == {"tags": []}
    first = path.read_bytes()
    _run_chapter(path, "--store", output=tmp_path / "out")
    assert path.read_bytes() == first


_RAISES = ("y = 1\n1 / 0", "ZeroDivisionError: division by zero")
_EXITS = ("import os\nos._exit(3)", "The kernel ended with status 3.")
_KILLED = ("import os\nos.kill(os.getpid(), 9)",
           "The kernel was killed by SIGKILL; out of memory, perhaps.")


@pytest.mark.parametrize("place, failing", [
    (1, _RAISES), (2, _RAISES), (3, _RAISES), (1, _KILLED), (3, _EXITS)])
def test_run_chapter_says_what_failed(
        tmp_path: Path, failing: tuple[str, str], place: int) -> None:
    source, error = failing
    path = tmp_path / "01-tiny.ipynb"
    notebook = _tiny()
    # As in every chapter: first what only Colab executes, then text.
    notebook.cells[:0] = [
        new_code_cell("1 / 0  # Colab", id=notebooks.COLAB,
                      metadata={"tags": ["skip-execution"]}),
        new_markdown_cell("# Tiny")]
    notebook.cells.insert(1 + place, new_code_cell(source))
    notebooks.write(notebook, path)
    before = path.read_bytes()
    result = _run_chapter(path, "--store", output=tmp_path / "out")
    assert result.returncode == 1, result.stderr
    said = result.stderr
    assert f"Code cell {place} of 3 failed" in said
    assert [line[4:] for line in said.splitlines()
            if line.startswith("    ")][:2] == source.splitlines()
    assert error in said
    assert "\x1b" not in said and "Colab" not in said
    assert path.read_bytes() == before
    saved = notebooks.code_cells(
        notebooks.read(tmp_path / "out" / path.name))
    assert bool(saved[0].outputs) == (place > 1 or failing is _RAISES)


def test_run_chapter_lists_the_chapters(tmp_path: Path) -> None:
    result = _run_chapter(Path("no-such"), output=tmp_path)
    assert result.returncode == 2
    assert all(path.stem in result.stderr for path in CHAPTERS)
