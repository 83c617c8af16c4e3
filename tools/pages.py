"""Pages for people: files written in one step, and their generated sections.

A generated section stands between two comments, `<!-- NAME: begin -->` and
`<!-- NAME: end -->`, in a page that is otherwise written by hand.
"""
from __future__ import annotations

import runpy
from pathlib import Path

# By its path: its package imports MXNet, which takes a second or fails.
_ATOMIC = Path(__file__).parents[1] / "d2lzh_ext" / "files" / "atomic.py"
written_aside = runpy.run_path(str(_ATOMIC))["written_aside"]


def write(path: Path, content: str | bytes) -> None:
    """Write a file so that readers see the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as aside:
        aside.write_bytes(content if isinstance(content, bytes)
                          else content.encode())


def _parts(path: Path, name: str) -> tuple[str, str, str]:
    """The page up to a section, the section itself, and what follows it."""
    begin, end = f"<!-- {name}: begin -->\n", f"\n<!-- {name}: end -->"
    before, found, rest = path.read_text(encoding="utf-8").partition(begin)
    text, closed, after = rest.partition(end)
    if not (found and closed):
        raise SystemExit(f"{path}: there is no section {name!r} between "
                         f"{begin.strip()} and {end.strip()}")
    return before + begin, text, end + after


def section(path: Path, name: str) -> str:
    """What stands in that section of a page."""
    return _parts(path, name)[1]


def replace(path: Path, name: str, text: str) -> None:
    """Put another text into that section of a page."""
    before, _, after = _parts(path, name)
    write(path, before + text + after)
