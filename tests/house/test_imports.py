"""Who imports whom, and under which names."""
from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import notebooks
import pytest
from interpreter import ROOT, run

import d2lzh_ext

PACKAGES = ("d2lzh_compat", "d2lzh_ext")
# Where a module stands, and where it stood before.
OLD_PATHS = {
    "d2lzh_ext.checkpoint": "d2lzh_ext.files.checkpoint",
    "d2lzh_ext.compiling": "d2lzh_ext.engine.compiled",
    "d2lzh_ext.fetch": "d2lzh_ext.files.fetch",
    "d2lzh_ext.idx": "d2lzh_ext.files.idx",
    "d2lzh_ext.keypoints": "d2lzh_ext.faces",
    "d2lzh_ext.models.keypoints": "d2lzh_ext.chapters.ch15_keypoints",
    "d2lzh_ext.models.lenet": "d2lzh_ext.chapters.ch05_lenet",
    "d2lzh_ext.models.scale_out": "d2lzh_ext.chapters.ch17_scale_out",
    "d2lzh_ext.parameters": "d2lzh_ext.files.parameters",
    "d2lzh_ext.replace": "d2lzh_ext.first_edition",
    "d2lzh_ext.results": "d2lzh_ext.records",
    "d2lzh_ext.settings": "d2lzh_ext.devices",
    "d2lzh_ext.summary": "d2lzh_ext.layers",
    "d2lzh_ext.tracing": "d2lzh_ext.engine.tracing",
}


def test_the_layers_hold() -> None:
    """The contracts of pyproject.toml; `lint-imports` shows what breaks."""
    pytest.importorskip("importlinter")  # there from Python 3.11 on
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def imports(source: str) -> Iterator[tuple[str, str]]:
    """Module and name of each import from our packages."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield node.module, alias.name
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, ""


@pytest.mark.parametrize("folder", [*PACKAGES, "benchmarks", "tools"])
def test_no_private_name_leaves_its_module(folder: str) -> None:
    found = [f"{path.name}: {module}.{name}"
             for path in sorted((ROOT / folder).rglob("*.py"))
             for module, name in imports(path.read_text(encoding="utf-8"))
             if module.split(".")[0] != "__future__"
             and re.match("_[a-z]", name)]
    assert not found


def test_old_paths_lead_to_the_modules_of_today() -> None:
    for old, new in OLD_PATHS.items():
        assert importlib.import_module(old) is importlib.import_module(new)
    assert callable(d2lzh_ext.summary) and callable(d2lzh_ext.settings)


@pytest.mark.parametrize("code", [
    "import d2lzh_ext.keypoints", "import d2lzh_ext.models.lenet",
    "from d2lzh_ext.launch import LAUNCHERS, LaunchError, launch, main",
    "import runpy; runpy.run_module('d2lzh_ext.worker')"])
def test_an_old_path_may_be_all_that_is_imported(code: str) -> None:
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_every_import_of_a_page_or_chapter_works() -> None:
    sources = [cell.source for path in notebooks.with_solutions()
               for cell in notebooks.code_cells(notebooks.read(path))]
    for page in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")):
        sources += re.findall(r"```python\n(.*?)```",
                              page.read_text(encoding="utf-8"), re.DOTALL)
    wanted = set()
    for source in sources:
        code = re.sub(r"(?m)^(\s*)[%!].*", r"\1pass", source)
        wanted |= {(module, name) for module, name in imports(code)
                   if module.split(".")[0] in PACKAGES}
    assert len(wanted) > 50
    for module, name in wanted:
        found = importlib.import_module(module)
        if name and not hasattr(found, name):
            importlib.import_module(f"{module}.{name}")
