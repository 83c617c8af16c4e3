"""Run old projects in environments of their own, and record which do.

`make projects` calls this with the newest Python: each project is installed
without the versions it asks for, beside today's versions of what it needs,
and tests/house/projects/ has a script that tries it. docs/platforms.md's
table is made from the record, data/results/projects.json.

Usage: python tools/projects.py PYTHON [PROJECT...]
PROJECT: one of `PROJECTS`; all of them where none is named
"""
from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent
                       / "benchmarks"))
import pages
import records

NAME = "projects"
ROOT = records.ROOT
PAGE = ROOT / "docs" / "platforms.md"


class Project(NamedTuple):
    """What a project needs."""

    packages: str  # beside it; with bounds where today's versions do not do
    names: str = ""  # of packages whose own files ask for removed names


# What the layer needs, and what each project needs besides.
LAYER = "numpy requests graphviz<0.9 setuptools"
PROJECTS = {
    "gluoncv 0.10.5": Project(
        "autocfg matplotlib opencv-python-headless pandas pillow portalocker "
        "pyyaml scipy tqdm yacs"),
    "gluonnlp 0.10.0": Project("cython packaging"),
    "d2l 1.0.3": Project("ipython matplotlib matplotlib-inline pandas scipy"),
    "sockeye 2.3.24": Project(
        "portalocker pyyaml sacrebleu==1.4.14", "sockeye"),
    "gluonts 0.13.7": Project(
        "packaging pandas<3 pydantic<2 toolz tqdm typing-extensions",
        "gluonts"),
    "gluonts 0.16.2": Project(
        "packaging pandas<3 pydantic toolz tqdm typing-extensions"),
    "keras-mxnet 2.2.4.3": Project(
        "h5py keras-applications keras-preprocessing pyyaml scipy six",
        "keras"),
    "mxboard 0.1.0": Project("pillow protobuf<3.21 six", "mxboard"),
}


def script(project: str) -> Path:
    """What tries the project."""
    name = project.split()[0].replace("-", "_")
    return Path(ROOT, "tests", "house", "projects", f"run_{name}.py")


def runner(project: str) -> list[str]:
    """What stands between `python` and the script."""
    names = PROJECTS[project].names
    return ["-m", "d2lzh_compat", f"--names={names}"] if names else []


def _install(python: str, project: str) -> str:
    """The Python of the project's environment, made anew."""
    folder = ROOT / ".nox" / "projects" / project.replace(" ", "-")
    subprocess.run([python, "-m", "venv", "--clear", folder], check=True)
    own = str(folder / "bin" / "python")
    pip = [own, "-m", "pip", "install", "--quiet",
           "--disable-pip-version-check"]
    for options in (
            [*LAYER.split(), *PROJECTS[project].packages.split()],
            ["--no-deps", "--no-build-isolation", "mxnet==1.9.1",
             project.replace(" ", "=="), "-e", str(ROOT)]):
        subprocess.run([*pip, *options], check=True)
    return own


def _versions(own: str) -> dict[str, str]:
    """What is installed for that Python, and its own version."""
    code = ("import importlib.metadata, json, platform\n"
            "print(json.dumps({'python': platform.python_version(), **{\n"
            "    each.metadata['Name'].lower().replace('_', '-'):\n"
            "    each.version for each in\n"
            "    importlib.metadata.distributions()}}))")
    found: dict[str, str] = json.loads(subprocess.run(
        [own, "-c", code], stdout=subprocess.PIPE, check=True).stdout)
    return found


def _error(stderr: str) -> str:
    """What a failing script said last, without paths of this machine."""
    lines = stderr.strip().splitlines() or ["no message"]
    errors = [line for line in lines
              if re.match(r"(?!d2lzh_compat:)[\w.]+: ", line)]
    text = re.sub(r"/\S*/", "", (errors or lines)[-1])[:150]
    return text.replace("|", r"\|")  # it goes into a table


def run(python: str, project: str) -> dict[str, Any]:
    """Install and try a project; the record of it."""
    own = _install(python, project)
    versions = _versions(own)
    start = time.monotonic()
    done = subprocess.run(
        [own, *runner(project), str(script(project))], capture_output=True,
        text=True, env={**os.environ, "OMP_NUM_THREADS": "1",
                        "PYTHONWARNINGS": "ignore"})
    seconds = time.monotonic() - start
    print(done.stdout)
    provenance = records.provenance(f"make {NAME}")
    needed = (re.split("[<=]", each)[0]
              for each in PROJECTS[project].packages.split())
    provenance.update(python=versions["python"], packages={
        name: versions[name] for name in (
            "mxnet", "numpy", project.split()[0], *needed)})
    record = {"seconds": round(seconds, 1), "provenance": provenance}
    if done.returncode:
        print(done.stderr)
        record["error"] = _error(done.stderr)
    return record


def table(found: dict[str, dict[str, Any]]) -> str:
    """The page's table, from the record."""
    rows = ["| project | what is tried | result | Python, NumPy | beside it | "
            "needs |", "|---|---|---|---|---|---|"]
    for project, entry in found.items():
        path = script(project)
        provenance = entry["provenance"]
        versions = provenance["packages"]
        tried = str(ast.get_docstring(ast.parse(path.read_text(
            encoding="utf-8")))).partition(".")[0].partition(": ")[2]
        needs = [f"`{each}`" for each in PROJECTS[project].packages.split()
                 if re.search("[<=]", each)]
        if runner(project):
            needs.append(f"`python {' '.join(runner(project))} script.py`")
        result = (f"fails: `{entry['error']}`" if "error" in entry
                  else f"runs, {entry['seconds']:.0f} s")
        beside = ", ".join(
            f"{name} {version}" for name, version in versions.items()
            if name not in ("mxnet", "numpy", project.split()[0]))
        rows.append(
            f"| {project} | [{tried}](../{path.relative_to(ROOT)}) | {result} "
            f"| {provenance['python']}, {versions['numpy']} | {beside} | "
            f"{'; '.join(needs)} |")
    return "\n".join(rows)


def main() -> int:
    python, *chosen = sys.argv[1:]
    found = records.load(NAME).get(NAME, {})
    for project in chosen or PROJECTS:
        print(f"{project}:")
        found[project] = run(python, project)
        found = {each: found[each] for each in PROJECTS if each in found}
        records.save(NAME, {NAME: found})
        pages.replace(PAGE, NAME, table(found))
    return any("error" in found[project] for project in chosen or PROJECTS)


if __name__ == "__main__":
    sys.exit(main())
