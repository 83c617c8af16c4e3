"""The generated links are up to date, lead somewhere, and repeat exactly."""
from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from interpreter import ROOT

TOOL = ROOT / "tools" / "navigation.py"
NOTEBOOKS = sorted((ROOT / "chapters").rglob("[!.]*.ipynb"))


def _files(root: Path) -> dict[Path, bytes]:
    paths = [root / "README.md", *(root / "chapters").rglob("[!.]*.ipynb")]
    return {path.relative_to(root): path.read_bytes() for path in paths
            if ".ipynb_checkpoints" not in path.parts}


def test_the_command_changes_nothing(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "chapters", tmp_path / "chapters")
    shutil.copytree(ROOT / "data" / "results", tmp_path / "data" / "results")
    for name in ("README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    subprocess.run([sys.executable, TOOL, tmp_path], check=True)
    assert _files(tmp_path) == _files(ROOT), "run `make navigation`"


def test_a_removed_link_comes_back(tmp_path: Path) -> None:
    test_the_command_changes_nothing(tmp_path)
    for path in (tmp_path / "chapters").glob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        del notebook.cells[-1]
        nbformat.write(notebook, path)
    subprocess.run([sys.executable, TOOL, tmp_path], check=True)
    assert _files(tmp_path) == _files(ROOT)


@pytest.mark.parametrize(
    "path", NOTEBOOKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_the_notebooks_lead_somewhere(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    links = [link for cell in notebook.cells if cell.cell_type == "markdown"
             for link in re.findall(r"\]\(([^)\s]+)", cell.source)]
    missing = [link for link in links if not re.match(r"https?:|#", link)
               and not (path.parent / link.split("#")[0]).exists()]
    assert links and not missing


def test_the_address_stands_in_one_place() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (address,) = re.findall(r'Repository = "https://github\.com/(.+)"', text)
    result = subprocess.run(
        ["git", "grep", "-l", "--fixed-strings", address], cwd=ROOT,
        capture_output=True, text=True, check=False)
    generated = {str(path.relative_to(ROOT)) for path in NOTEBOOKS}
    assert set(result.stdout.split()) <= generated | {"pyproject.toml"}
