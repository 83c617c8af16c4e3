"""Links between chapters, their badges, and the READMEs' tables.

Writes the first and the last cell of every chapter, the first of its
solutions, the cell that installs the package in Colab, and by
tools/readme.py the tables of the READMEs. Links stay in their language as
far as there are chapters in it. The repository's address stands in
pyproject.toml.

Usage: python tools/navigation.py [ROOT]
"""
from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import notebooks
import readme
from nbformat.v4 import new_code_cell, new_markdown_cell

TOP, BOTTOM = "navigation-top", "navigation-bottom"
CHAPTER = {"en": "The chapter", "zh": "本章正文"}
CONTENTS = {"en": "[Contents]({}README.md#chapters)",
            "zh": "[目录]({}README.zh-CN.md#章节)"}
OTHER = {"en": "中文", "zh": "English"}  # the edition in the other language


def repository(root: Path) -> str:
    """OWNER/NAME on GitHub, of pyproject.toml's address."""
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^Repository = "https://github\.com/([^"/]+/[^"/]+)"$',
                      text, re.MULTILINE)
    if not found:
        raise SystemExit("pyproject.toml has no line Repository = "
                         '"https://github.com/OWNER/NAME"')
    return found[1]


def badges(repository: str, path: str) -> str:
    """Links that open a notebook, given from the root, in Colab or Binder."""
    return (
        "[![Open in Colab](https://colab.research.google.com/assets/"
        "colab-badge.svg)](https://colab.research.google.com/github/"
        f"{repository}/blob/main/{path}) "
        "[![Open in Binder](https://mybinder.org/badge_logo.svg)]"
        f"(https://mybinder.org/v2/gh/{repository}/main?labpath="
        f"{quote(path, safe='')})")


def _set_cell(notebook: Any, place: int | None, cell: Any) -> None:
    """Put a generated cell at its place; None: at the end."""
    notebook.cells = [c for c in notebook.cells if c.id != cell.id]
    notebook.cells.insert(len(notebook.cells) if place is None else place,
                          cell)


def _set_text(notebook: Any, place: int | None, cell_id: str, source: str
              ) -> None:
    _set_cell(notebook, place, new_markdown_cell(source, id=cell_id))


def colab(where: str) -> str:
    """Code that installs the package in Colab, and nowhere does more.

    --no-deps: MXNet's metadata would replace Colab's NumPy by an older one,
    and ask for a restart.
    """
    return "\n".join([
        "# Only in Colab: install the course, in less than a minute.",
        "import sys",
        "if 'google.colab' in sys.modules:",
        "    !apt-get install -qq libgomp1 libquadmath0 > /dev/null",
        "    %pip install -q --no-deps mxnet==1.9.1 d2lzh==1.0.0 \\",
        f"        git+https://github.com/{where}"])


def _set_colab(notebook: Any, where: str) -> None:
    """After the heading; never executed but by readers."""
    _set_cell(notebook, 2, new_code_cell(
        colab(where), id=notebooks.COLAB,
        metadata={"tags": ["skip-execution", "nbval-skip"]}))


def link(text: str, target: Path, page: Path) -> str:
    return f"[{text}]({Path(os.path.relpath(target, page.parent)).as_posix()})"


def _editions(path: Path, folder: Path) -> dict[str, Path]:
    """The languages in which a notebook is there."""
    both = {"en": path, "zh": notebooks.in_chinese(path, folder)}
    return {language: page for language, page in both.items()
            if page.exists()}


def _line(path: Path, language: str, folder: Path) -> str:
    """Links of a notebook to its neighbours, the contents, and itself."""
    editions, paths = _editions(path, folder), notebooks.chapters(folder)
    page = editions[language]

    def to(other: Path, text: str) -> str:
        there = _editions(other, folder)
        return link(text, there.get(language, other), page)

    up = "../" * (len(page.parent.relative_to(folder).parts) + 1)
    links = [CONTENTS[language].format(up)]
    if path not in paths:
        links.insert(0, to(folder / path.name, f"← {CHAPTER[language]}"))
    else:
        place = paths.index(path)
        if place > 0:
            other = paths[place - 1]
            links.insert(0, to(other, f"← {readme.heading(other, language)}"))
        if place + 1 < len(paths):
            other = paths[place + 1]
            links.append(to(other, f"{readme.heading(other, language)} →"))
    links += [link(OTHER[language], other, page)
              for other in editions.values() if other != page]
    return " · ".join(links)


def write(root: Path) -> None:
    """Bring all generated cells and the READMEs' tables up to date."""
    folder, where = root / "chapters", repository(root)
    for path in notebooks.with_solutions(folder):
        for language, page in _editions(path, folder).items():
            line = _line(path, language, folder)
            notebook = notebooks.read(page)
            _set_text(notebook, 0, TOP, f"{line}\n\n" + badges(
                where, page.relative_to(root).as_posix()))
            _set_colab(notebook, where)
            if path.parent == folder:
                _set_text(notebook, None, BOTTOM, line)
            notebooks.write(notebook, page)
    readme.write(root)


if __name__ == "__main__":
    write(Path(sys.argv[1]).resolve() if len(sys.argv) > 1
          else notebooks.ROOT)
