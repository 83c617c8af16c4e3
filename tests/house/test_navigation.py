"""What `make navigation` writes is up to date, and repeats exactly."""
from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import navigation
import nbformat
import notebooks
import readme
from interpreter import ROOT

NOTEBOOKS = [*notebooks.with_solutions(),
             *notebooks.with_solutions(notebooks.CHAPTERS / "zh")]
WRITTEN = [Path("docs", "images", "filters.png"),
           *(Path(name) for name in readme.FILES.values()),
           *(path.relative_to(ROOT) for path in NOTEBOOKS)]


def test_a_copy_comes_back_as_it_is_without_its_links_too(
        tmp_path: Path) -> None:
    """Once as it stands, and once after the last cells were removed."""
    for path in [*WRITTEN, "pyproject.toml",
                 *(ROOT / "data" / "results").glob("*.json")]:
        copy = tmp_path / (ROOT / path).relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, copy)
    for _ in range(2):
        navigation.write(tmp_path)
        for path in WRITTEN:
            assert (tmp_path / path).read_bytes() == (
                ROOT / path).read_bytes(), f"{path}: run `make navigation`"
        folder = tmp_path / "chapters"
        for path in [*folder.glob("*.ipynb"), *folder.glob("zh/*.ipynb")]:
            notebook = nbformat.read(path, as_version=4)
            del notebook.cells[-1]
            nbformat.write(notebook, path)


def test_the_address_stands_in_one_place() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (address,) = re.findall(r'Repository = "https://github\.com/(.+)"', text)
    result = subprocess.run(
        ["git", "grep", "-l", "--fixed-strings", address], cwd=ROOT,
        capture_output=True, text=True, check=False)
    generated = {str(path.relative_to(ROOT)) for path in NOTEBOOKS}
    assert set(result.stdout.split()) <= generated | {"pyproject.toml"}
