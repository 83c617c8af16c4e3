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
from typing import Any, Callable

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

ROOT = Path(__file__).resolve().parent.parent


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


@pytest.mark.parametrize("text, passes", [("42", True), ("43", False)])
def test_nbval_sees_a_tampered_output(
        tmp_path: Path, text: str, passes: bool) -> None:
    pytest.importorskip("nbval")
    notebook = _tiny()
    notebook.cells[0].outputs[0].text = f"x is {text}\n"
    path = tmp_path / "tiny.ipynb"
    notebooks.write(notebook, path)
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env",
         "--nbval-sanitize-with", str(ROOT / "tests" / "nbval.cfg"),
         "-p", "no:cacheprovider", str(path)],
        cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == (0 if passes else 1), result.stdout
    assert f"{2 if passes else 1} passed" in result.stdout


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


def test_run_chapter_says_what_failed(tmp_path: Path) -> None:
    path = tmp_path / "01-tiny.ipynb"
    notebook = _tiny()
    notebook.cells.append(new_code_cell("y = 1\n1 / 0"))
    notebooks.write(notebook, path)
    before = path.read_bytes()
    result = _run_chapter(path, "--store", output=tmp_path / "out")
    assert result.returncode == 1
    assert "Code cell 3 of 3 failed" in result.stderr
    assert "ZeroDivisionError" in result.stderr
    assert "\x1b" not in result.stderr
    assert path.read_bytes() == before
    saved = notebooks.read(tmp_path / "out" / path.name)
    assert saved.cells[0].outputs[0].text == "x is 42\n"


def test_run_chapter_lists_the_chapters(tmp_path: Path) -> None:
    result = _run_chapter(Path("no-such"), output=tmp_path)
    assert result.returncode == 2
    assert all(path.stem in result.stderr for path in CHAPTERS)
