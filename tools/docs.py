"""Write the table of docs/first-edition.md from trying every name of `d2lzh`.

It lists the names that do not work without `d2lzh_ext`, or are replaced by
it; tests/ext/first_edition.py tries each.

Usage: python tools/docs.py
"""
from __future__ import annotations

import json
import os
import subprocess
import sys

import notebooks
import pages

ROOT = notebooks.ROOT
PAGE = ROOT / "docs" / "first-edition.md"
NAME = "names"  # of the section


def names() -> str:
    """The names of d2lzh that are an exception, and how many are none."""
    import d2lzh_ext as d2l

    sys.path.insert(0, str(ROOT / "tests" / "ext"))
    import first_edition
    original = first_edition.original()
    # In a process of its own, without what d2lzh_ext mends.
    alone = json.loads(subprocess.run(
        [sys.executable, "-W", "ignore", first_edition.__file__, "--alone"],
        env={**os.environ, "D2LZH_HOOK": "0"}, stdout=subprocess.PIPE,
        text=True, check=True).stdout.splitlines()[-1])
    own = [name for name, thing in vars(original).items()
           if not name.startswith("_") and (
               name in alone
               or getattr(thing, "__module__", "") == original.__name__)]
    lines = ["| name | `d2lzh` alone | with `d2lzh_ext` |", "|---|---|---|"]
    same = 0
    for name in sorted(own, key=str.lower):
        replaced = getattr(getattr(d2l, name), "__module__", "").startswith(
            "d2lzh_ext")
        if name not in alone:
            before, now = (
                ("downloads from a host that has gone", "replaced")
                if replaced else ("downloads another data set; not tried",
                                  "the same"))
        elif alone[name]:
            before, now = f"`{alone[name]}`", (
                "replaced" if replaced else
                "works: what it calls is replaced")
        elif replaced:
            before, now = "works", "replaced"
        else:
            same += 1
            continue
        lines.append(f"| `{name}` | {before} | {now} |")
    return "\n".join([*lines, "", f"The other {same} names work alone, and "
                      "`d2lzh_ext` leaves them as they are."])


if __name__ == "__main__":
    pages.replace(PAGE, NAME, names())
