"""Write the pages of docs/ that come from the code.

docs/api.md holds the docstrings of the public API. The table in
docs/first-edition.md says of every name of `d2lzh` 1.0.0 what works; for it
tests/ext/first_edition.py tries each.

Usage: python tools/docs.py [FOLDER]
FOLDER: where to write instead of docs/.
"""
from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import griffe
import griffe2md

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
# Of the package itself, what its __init__ offers; of these, all.
WHOLE = ("keypoints", "launch")
STYLE: Any = {
    "docstring_section_style": "list", "show_signature_annotations": True,
    "heading_level": 3, "show_root_heading": True,
    "show_root_full_path": False, "show_root_members_full_path": False,
    "show_bases": False,
    "show_docstring_modules": False, "show_docstring_classes": False,
    "show_docstring_functions": False, "summary": False,
    "filters": ["!^_"], "line_length": 79}
BEGIN, END = "<!-- names: begin -->", "<!-- names: end -->"


def api() -> str:
    """The docstrings of what the package offers, module by module."""
    package: Any = griffe.load("d2lzh_ext", search_paths=[str(ROOT)],
                              docstring_parser="google", docstring_options={
                                  "returns_multiple_items": False,
                                  "returns_named_value": False})
    offered = _imported(package, "d2lzh_ext")
    for module in WHOLE:
        offered[module] = [
            name for name, member in package[module].members.items()
            if not (name.startswith("_") or member.is_alias)
            and (member.is_function or member.is_class)]
    networks = _imported(package["models"], "d2lzh_ext.models")
    offered.update({f"models.{name}": networks[name] for name in sorted(
        networks, key=lambda name: _chapter(package["models"][name]))})
    parts = ["# The package\n\nMade from the docstrings by `make docs`. "
             "Names without a module given are those of `import d2lzh_ext as "
             "d2l`, which also offers every name of `d2lzh`: "
             "[first-edition.md](first-edition.md) lists those.\n"]
    for module, names in offered.items():
        parts.append(_heading(package[module], module))
        for name in names:
            found = package[module][name]
            if found.docstring:
                found.docstring.parsed  # noqa: B018 (needs the members)
            for member in list(found.members):
                if member != "__init__" and not found[member].has_docstring:
                    found.del_member(member)
            parts.append(_plain(griffe2md.render_object_docs(found, STYLE)))
    return "\n".join(parts)


def _chapter(module: Any) -> str:
    """Of a generated module, whose first line names its chapter."""
    line = module.filepath.read_text(encoding="utf-8").splitlines()[0]
    return Path(line.rpartition(" ")[2].rstrip(".")).stem


def _heading(found: Any, module: str) -> str:
    """What the names of a module have in common, and where they are."""
    if not module.startswith("models."):
        title = found.docstring.value.splitlines()[0].rstrip(".")
        where = f"In `d2lzh_ext.{module}`.\n\n" if module in WHOLE else ""
        return f"## {title}\n\n{where}"
    chapter = _chapter(found)
    return (f"## Of chapter [{chapter}](../chapters/{chapter}.ipynb)\n\n"
            "In `d2lzh_ext.models`.\n\n")


def _imported(package: Any, prefix: str) -> dict[str, list[str]]:
    """Names that a package offers of its modules, by module."""
    offered: dict[str, list[str]] = {}
    for name, origin in package.imports.items():
        where, _, own = origin.rpartition(".")
        module = where.removeprefix(prefix).lstrip(".")
        if own == name and module not in ("", "replace"):
            offered.setdefault(module, []).append(name)
    return offered


def _plain(text: str) -> str:
    """Types as code; links to what is on no page lead nowhere."""
    text = re.sub(r"<code>(.*?)</code>", lambda found: "`" + re.sub(
        r"\[([^][]+)\]\(#[^)]*\)", r"\1", found[1]) + "`", text)
    text = re.sub(r"#### `.*?(\w+\.\w+)`", r"#### `\1`", text)
    text = re.sub(r"\[(\*\*\w+\*\*)\]\(#[^)]*\)", r"\1", text)
    lines = [line.rstrip() for line in text.strip().splitlines()]
    return "\n".join(lines) + "\n"


def names() -> str:
    """The table of all names of d2lzh."""
    import d2lzh_ext as d2l

    sys.path.insert(0, str(ROOT / "tests" / "ext"))
    import first_edition
    original = first_edition.original()
    # In a process of its own, without what d2lzh_ext mends.
    alone = json.loads(subprocess.run(
        [sys.executable, "-W", "ignore", first_edition.__file__, "--alone"],
        env={**os.environ, "D2LZH_HOOK": "0"}, stdout=subprocess.PIPE,
        text=True, check=True).stdout.splitlines()[-1])
    own = [name for name, thing in vars(original).items() if name in alone
           or getattr(thing, "__module__", "") == original.__name__]
    lines = ["| name | `d2lzh` alone | with `d2lzh_ext` |", "|---|---|---|"]
    for name in sorted(own, key=str.lower):
        if name.startswith("_"):
            continue
        ours = getattr(d2l, name)
        replaced = getattr(ours, "__module__", "").startswith("d2lzh_ext")
        if name in alone:
            before = f"`{alone[name]}`" if alone[name] else "works"
            now = ("replaced" if replaced else
                   "works: what it calls is replaced" if alone[name] else
                   "the same")
        elif replaced:
            before, now = "downloads from a host that has gone", "replaced"
        else:
            before = now = "downloads another data set; not tried"
        lines.append(f"| `{name}` | {before} | {now} |")
    return "\n".join(lines)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "api.md").write_text(api(), encoding="utf-8")
    page = folder / "first-edition.md"
    if folder != DOCS:
        shutil.copy(DOCS / page.name, page)
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n{names()}\n{END}{after}",
                    encoding="utf-8")


if __name__ == "__main__":
    main()
