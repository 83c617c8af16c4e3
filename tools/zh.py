"""The Chinese edition: chapters/zh/, with the code and outputs of chapters/.

A notebook of it has the same cells under the same ids. Its text cells are
Chinese, each with the digest of the English text that it translates, in
`metadata.en`; all the rest is copied. One that is not there has not begun.

Usage: python tools/zh.py sync            copy code, outputs, order of cells
       python tools/zh.py check           what is missing, stale or differs
       python tools/zh.py todo NAME       English text that needs translation
       python tools/zh.py put NAME FILE   take its translation

NAME is that of a notebook, such as 05-lenet or solutions/05-lenet. `todo`
prints each cell under a line `<!-- ID -->`, and `put` takes such a file; for
a notebook that has not begun it begins it.
"""
from __future__ import annotations

import copy
import functools
import hashlib
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import notebooks
import pages
import reading

ROOT = notebooks.ROOT
# What must be the same in both languages, wherever it stands in the cell.
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
FORMULA = re.compile(r"\$\$.+?\$\$|\$[^$\n]+\$", re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)*")
HEADING = re.compile(r"^(#+) ", re.MULTILINE)
# For CommonMark, asterisks between such a mark and a letter are no bold.
MARKS = "。，、：；！？（）“”‘’《》"
REFERENCES = re.compile(r"^## References$.*", re.MULTILINE | re.DOTALL)


def digest(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def begun(root: Path = ROOT) -> list[str]:
    """The names of the notebooks that have a Chinese one."""
    folder = root / "chapters" / "zh"
    return [path.relative_to(folder).with_suffix("").as_posix()
            for path in notebooks.with_solutions(folder)]


def pair(name: str, root: Path = ROOT) -> tuple[Path, Path]:
    """The paths of a notebook, English and Chinese."""
    folder = root / "chapters"
    path = folder / f"{name}.ipynb"
    return path, notebooks.in_chinese(path, folder)


def is_text(cell: Any) -> bool:
    """Is it a cell to translate? tools/navigation.py writes the others."""
    return (cell.cell_type == "markdown"
            and not cell.id.startswith("navigation"))


def built(english: Any, chinese: Any) -> Any:
    """The notebook `chinese` as it should be: its own text, all else new."""
    own = {cell.id: cell for cell in chinese.cells
           if cell.cell_type == "markdown"}
    new = copy.deepcopy(english)
    for cell in new.cells:
        if cell.id in own and cell.cell_type == "markdown":
            cell.source = own[cell.id].source
            cell.metadata = own[cell.id].metadata
        elif is_text(cell):
            cell.metadata["en"] = ""  # not translated yet
    return new


def differences(english: str, chinese: str) -> list[str]:
    """What a translation has changed that it may not, and its slips."""
    found = []
    for what, pattern in (("code", CODE), ("formulas", FORMULA),
                          ("links", LINK), ("headings", HEADING),
                          ("numbers", NUMBER)):
        before, after = (Counter(pattern.findall(text))
                         for text in (english, chinese))
        if before != after:
            lost, new = before - after, after - before
            found.append(f"{what}: without {sorted(lost.elements())}, "
                         f"with {sorted(new.elements())}")
        if what in ("code", "formulas", "links"):
            english, chinese = (pattern.sub(" ", text)
                                for text in (english, chinese))
    return found + not_bold(chinese)


def not_bold(text: str) -> list[str]:
    """Bold text that needs a space before or after it to be bold."""
    found = []
    for line in text.splitlines():
        parts = line.split("**")
        for before, bold, after in zip(parts[::2], parts[1::2], parts[2::2]):
            if bold[:1] in MARKS and before[-1:].isalnum():
                found.append(f"a space must stand before **{bold}**")
            if bold[-1:] in MARKS and after[:1].isalnum():
                found.append(f"a space must follow **{bold}**")
    return found


@functools.cache
def glossary() -> dict[str, str]:
    """The Chinese of each English term; terms within others come last."""
    rows = reading.table(reading.DOCS / "glossary.md")
    return {row[0]: row[1].rstrip("*")
            for row in sorted(rows, key=lambda row: -len(row[0]))}


def other_terms(english: str, chinese: str) -> list[str]:
    """Terms of the glossary that a cell has in English, not in Chinese.

    What is quoted does not count: code, links and the titles of papers.
    """
    for quoted in (REFERENCES, CODE, LINK):
        english = quoted.sub(" ", english)
    found = []
    for term, translation in glossary().items():
        english, times = re.subn(rf"\b{term}(?:s|es)?\b", " ", english,
                                 flags=re.IGNORECASE)
        if times and translation not in chinese:
            found.append(f"{term} is {translation}")
    return found


def complaints(name: str, root: Path = ROOT) -> Iterator[str]:
    """What is wrong with a Chinese notebook; nothing if all is well."""
    english, chinese = (notebooks.read(path) for path in pair(name, root))
    if built(english, chinese) != chinese:
        yield f"{name}: code, outputs or order differ: run `zh.py sync`"
    texts = {cell.id: cell.source for cell in english.cells}
    for cell in filter(is_text, chinese.cells):
        made_of = cell.metadata.get("en")
        if not made_of:
            yield f"{name}, {cell.id}: not translated"
        elif made_of != digest(texts.get(cell.id, "")):
            yield f"{name}, {cell.id}: the English text has changed"
        else:
            texts_of = texts[cell.id], cell.source
            for what in differences(*texts_of) + other_terms(*texts_of):
                yield f"{name}, {cell.id}: {what}"


def sync(name: str, root: Path = ROOT) -> None:
    """Bring all that is not Chinese text up to date; begin it if need be."""
    source, target = pair(name, root)
    chinese = (notebooks.read(target) if target.exists()
               else nbformat.v4.new_notebook())
    new = built(notebooks.read(source), chinese)
    pages.write(target, nbformat.writes(new).rstrip("\n") + "\n")


def todo(name: str, root: Path = ROOT) -> str:
    """The English text of what is not translated or no longer true."""
    source, target = pair(name, root)
    known = {cell.id: cell.metadata.get("en")
             for cell in (notebooks.read(target).cells
                          if target.exists() else [])}
    return "\n".join(f"<!-- {cell.id} -->\n{cell.source}\n"
                     for cell in filter(is_text, notebooks.read(source).cells)
                     if known.get(cell.id) != digest(cell.source))


def put(name: str, text: str, root: Path = ROOT) -> None:
    """Take translations: cells, each under a line `<!-- ID -->`."""
    source, target = pair(name, root)
    sync(name, root)
    chinese = notebooks.read(target)
    english = {cell.id: cell.source for cell in notebooks.read(source).cells}
    parts = re.split(r"^<!-- (\S+) -->\n", text, flags=re.MULTILINE)[1:]
    new = {key: part.strip("\n") for key, part in zip(parts[::2],
                                                     parts[1::2])}
    unknown = sorted(set(new) - {c.id for c in filter(is_text,
                                                      chinese.cells)})
    if unknown:
        raise SystemExit(f"{name} has no text cells {', '.join(unknown)}")
    for cell in chinese.cells:
        if cell.id in new:
            cell.source = new[cell.id]
            cell.metadata["en"] = digest(english[cell.id])
    notebooks.write(chinese, target)


def main(argv: list[str]) -> None:
    if argv == ["sync"]:
        for name in begun():
            sync(name)
    elif argv == ["check"]:
        found = [line for name in begun() for line in complaints(name)]
        print("\n".join(found) or f"{len(begun())} notebooks: all is well")
        raise SystemExit(bool(found))
    elif len(argv) == 2 and argv[0] == "todo":
        print(todo(argv[1]), end="")
    elif len(argv) == 3 and argv[0] == "put":
        put(argv[1], Path(argv[2]).read_text(encoding="utf-8"))
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
