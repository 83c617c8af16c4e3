"""Links between chapters, their badges, and the README's contents.

Writes the first and the last cell of every chapter, the first of its
solutions, the cell that installs the package in Colab, and the table between
two comments of the README. The repository's address stands in
pyproject.toml, the measured time and memory in data/results/chapters.json
(`make measured`).

Usage: python tools/navigation.py [ROOT]
"""
from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import notebooks
from nbformat.v4 import new_code_cell, new_markdown_cell

# What each chapter builds, for the README.
CONTENTS = {
    "01-convolution":
        "cross-correlation and convolution, from scratch; finding edges; "
        "learning a kernel; the backward pass by hand",
    "02-padding-and-stride":
        "the output-size formula; VALID and SAME; receptive fields",
    "03-channels":
        "several input and output channels; 1×1 convolutions; convolution "
        "as a matrix product",
    "04-pooling":
        "maximum and average pooling, forward and backward",
    "05-lenet":
        "LeNet on all of Fashion-MNIST; the training loop; reading what a "
        "network has learnt",
    "06-alexnet":
        "AlexNet; ReLU, dropout, local response normalisation, augmentation",
    "07-vgg":
        "VGG; blocks; why 3×3",
    "08-nin":
        "Network in Network; global average pooling; a dead run, cured",
    "09-googlenet":
        "GoogLeNet; the Inception block and where its work goes",
    "10-batch-norm":
        "batch normalisation from scratch and in Gluon; LeNet with it",
    "11-resnet":
        "ResNet-18 and ResNet-50; shortcuts and the gradient",
    "12-densenet":
        "DenseNet and DenseNet-121; concatenation, transition layers",
    "13-zfnet":
        "ZFNet; filters, feature maps, the deconvnet, occlusion, saliency",
    "14-mnist":
        "the classic tutorial network and DeepConvNet on MNIST; shifts; "
        "why test images must not choose the epoch",
    "15-keypoints":
        "regression: facial keypoints to under two pixels; reading a CSV "
        "file; masks for missing values",
    "16-compare":
        "all networks compared: accuracy against parameters, work and time; "
        "Pareto fronts; seeds and chance; long runs with checkpoints",
    "17-scale-out":
        "several devices in one process, several processes around a "
        "parameter server; what a step sends, and which networks gain",
}
TOP, BOTTOM = "navigation-top", "navigation-bottom"
BEGIN, END = "<!-- chapters: begin -->", "<!-- chapters: end -->"


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


def title(notebook: Any) -> str:
    """The first heading."""
    for cell in notebook.cells:
        found = re.match(r"# (.+)", cell.source)
        if cell.cell_type == "markdown" and found:
            return found[1]
    raise SystemExit("a notebook has no heading")


def number(path: Path) -> int:
    return int(path.stem.split("-")[0])


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
        "    %pip install -q pooch tqdm",
        "    %pip install -q --no-deps mxnet==1.9.1 d2lzh==1.0.0 \\",
        f"        git+https://github.com/{where}"])


def _set_colab(notebook: Any, where: str) -> None:
    """After the heading; never executed but by readers."""
    _set_cell(notebook, 2, new_code_cell(
        colab(where), id=notebooks.COLAB,
        metadata={"tags": ["skip-execution", "nbval-skip"]}))


def _row(path: Path, heading: str, has_solutions: bool,
         measured: dict[str, Any]) -> str:
    link = f"[{number(path)} {heading}](chapters/{path.name})"
    if has_solutions:
        link += f" ([solutions](chapters/solutions/{path.name}))"
    entry = measured.get(path.stem)
    cost = (f"{entry['seconds']:.0f} s | {entry['peak_mib']:.0f} MiB"
            if entry else "– | –")
    section = f"5.{number(path)}" if number(path) <= 12 else "–"
    return f"| {link} | {section} | {CONTENTS[path.stem]} | {cost} |"


def contents(root: Path, headings: dict[Path, str]) -> str:
    """The README's table of the chapters."""
    record = root / "data" / "results" / "chapters.json"
    measured = (json.loads(record.read_text(encoding="utf-8"))
                if record.exists() else {"chapters": {}, "provenance": None})
    lines = ["| chapter | section of the book | what it holds | "
             "time | peak memory |", "|---|---|---|---|---|"]
    lines += [_row(path, heading,
                   (path.parent / "solutions" / path.name).exists(),
                   measured["chapters"])
              for path, heading in headings.items()]
    where = measured["provenance"]
    if where:
        lines += ["", "Time and memory of running the whole chapter with its "
                  f"`quick` setting, on {where['cores']} cores of an "
                  f"{where['processor']}, {where['date']}. `make measured` "
                  "repeats it."]
    return "\n".join(lines)


def write(root: Path) -> None:
    """Bring all generated cells and the README's table up to date."""
    folder, where = root / "chapters", repository(root)
    paths = notebooks.chapters(folder)
    headings = {path: title(notebooks.read(path)) for path in paths}
    for before, path, after in zip([None, *paths], paths,
                                   [*paths[1:], None]):
        links = ["[Contents](../README.md#chapters)"]
        if before:
            links.insert(0, f"[← {number(before)} {headings[before]}]"
                         f"({before.name})")
        if after:
            links.append(f"[{number(after)} {headings[after]} →]"
                         f"({after.name})")
        line = " · ".join(links)
        notebook = notebooks.read(path)
        _set_text(notebook, 0, TOP, f"{line}\n\n"
                  + badges(where, f"chapters/{path.name}"))
        _set_colab(notebook, where)
        _set_text(notebook, None, BOTTOM, line)
        notebooks.write(notebook, path)
    for path in notebooks.chapters(folder / "solutions"):
        notebook = notebooks.read(path)
        _set_text(notebook, 0, TOP, f"[← The chapter](../{path.name}) · "
                  "[Contents](../../README.md#chapters)\n\n"
                  + badges(where, f"chapters/solutions/{path.name}"))
        _set_colab(notebook, where)
        notebooks.write(notebook, path)
    readme = root / "README.md"
    text = readme.read_text(encoding="utf-8")
    before_table, rest = text.split(BEGIN)
    after_table = rest.split(END)[1]
    notebooks.write_aside(
        readme, f"{before_table}{BEGIN}\n{contents(root, headings)}\n{END}"
        f"{after_table}")


if __name__ == "__main__":
    write(Path(sys.argv[1]).resolve() if len(sys.argv) > 1
          else notebooks.ROOT)
