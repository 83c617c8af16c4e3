"""What tools and tests know of the notebooks: where, their form, a digest."""
from __future__ import annotations

import hashlib
import json
import signal
from pathlib import Path
from typing import Any

import nbformat
import pages

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = ROOT / "chapters"

# Every tag must do something: the first three steer nbval, the next nbclient.
TAGS = {
    "nbval-ignore-output",  # differs across machines; an assert follows
    "nbval-skip",           # too slow or too big for a test
    "raises-exception",     # shows an error on purpose
    "skip-execution",       # for Colab only; see tools/navigation.py
    "hide-input",           # what would only distract; folded
}
COLAB = "navigation-colab"  # the id of the cell that installs the package
MAX_COLUMNS = 79
MAX_PRINTED = 88  # of what a cell prints: as wide as a page of the site
MAX_LINES = 40


def chapters(folder: Path = CHAPTERS) -> list[Path]:
    """The chapters in reading order."""
    return sorted(folder.glob("*.ipynb"))


def with_solutions(folder: Path = CHAPTERS) -> list[Path]:
    """The chapters, and then the notebooks with the exercises' solutions."""
    return chapters(folder) + chapters(folder / "solutions")


def in_chinese(path: Path, folder: Path = CHAPTERS) -> Path:
    """Where a notebook's Chinese edition is, if there is one."""
    return folder / "zh" / path.relative_to(folder)


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: Any) -> list[Any]:
    """All but the one for Colab, which is executed nowhere else."""
    return [c for c in notebook.cells
            if c.cell_type == "code" and c.id != COLAB]


def tags(cell: Any) -> list[str]:
    return list(cell.metadata.get("tags", []))


def obituary(kernel: Any) -> str:
    """How the process of a kernel that is no more has ended."""
    code = kernel.returncode
    if code >= 0:
        return f"The kernel ended with status {code}."
    return (f"The kernel was killed by {signal.Signals(-code).name}"
            + ("; out of memory, perhaps." if code == -signal.SIGKILL
               else "."))


def outputs_sha256(notebook: Any) -> str:
    """Digest of all code and of all that it has put out.

    Text between the code cells may change without the outputs being made
    again; code may not.
    """
    # Through nbformat once: lists of lines and strings become the same.
    notebook = nbformat.reads(nbformat.writes(notebook), as_version=4)
    content = [[cell.source, cell.outputs] for cell in code_cells(notebook)]
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def clean(notebook: Any) -> None:
    """Take out what changes from run to run, and state the digest.

    What the README says of a chapter stays: see tools/readme.py.
    """
    notebook.metadata = nbformat.from_dict({
        "kernelspec": {"display_name": "Python 3", "language": "python",
                       "name": "python3"},
        "language_info": {"name": "python"},
        "d2lzh": notebook.metadata.get("d2lzh", {}),
    })
    for cell in notebook.cells:
        for key in set(cell.metadata) - {"tags"}:
            del cell.metadata[key]
    notebook.metadata["d2lzh"]["outputs_sha256"] = outputs_sha256(notebook)


def fold(notebook: Any) -> None:
    """Let JupyterLab and Colab fold what is tagged hide-input."""
    for cell in code_cells(notebook):
        cell.metadata.pop("jupyter", None)
        cell.metadata.pop("cellView", None)
        if "hide-input" in tags(cell):
            cell.metadata.update(jupyter={"source_hidden": True},
                                 cellView="form")


def write(notebook: Any, path: Path) -> None:
    fold(notebook)
    pages.write(path, nbformat.writes(notebook).rstrip("\n") + "\n")


def complaints(notebook: Any) -> list[str]:
    """What is wrong with a notebook as it is stored; empty if nothing is.

    nbval passes over a notebook without outputs in silence, and does not
    look at pictures; this does.
    """
    found = []
    cells = code_cells(notebook)
    counts = [cell.execution_count for cell in cells]
    if not cells:
        found.append("no code cell")
    if counts != list(range(1, len(cells) + 1)):
        found.append(f"execution counts are not 1 to {len(cells)}: {counts}")
    if not any(cell.outputs for cell in cells):
        found.append("no outputs")
    for number, cell in enumerate(cells, 1):
        here = f"code cell {number}"
        unknown = sorted(set(tags(cell)) - TAGS)
        if unknown:
            found.append(f"{here}: unknown tags {unknown}")
        if "raises-exception" not in tags(cell) and any(
                out.output_type == "error" for out in cell.outputs):
            found.append(f"{here}: an error is stored")
        if "nbval-ignore-output" in tags(cell) and not any(
                "assert" in later.source.split()
                and "nbval-skip" not in tags(later)
                for later in cells[number:number + 2]):
            found.append(f"{here}: its output is not compared, and neither "
                         "of the next two code cells has an assert")
        lines = cell.source.splitlines()
        if len(lines) > MAX_LINES:
            found.append(f"{here}: {len(lines)} lines")
        found += [f"{here}: longer than {MAX_COLUMNS} columns: {line}"
                  for line in lines if len(line) > MAX_COLUMNS]
        found += [f"{here}: prints more than {MAX_PRINTED} columns: {line}"
                  for out in cell.outputs
                  for line in out.get("text", "").splitlines()
                  if len(line) > MAX_PRINTED]
    stated = notebook.metadata.get("d2lzh", {}).get("outputs_sha256")
    if stated != outputs_sha256(notebook):
        found.append("code or outputs are not those that `make outputs` "
                     "stored: run it again")
    return found
