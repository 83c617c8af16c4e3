"""The files around the code agree with each other and keep the rules."""
from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from interpreter import ROOT
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from d2lzh_ext import doctor

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

PROJECT: dict[str, Any] = tomllib.loads(
    (ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MAX_BYTES = 2_000_000
# Minor versions on which the course is meant to run.
PYTHONS = [f"3.{minor}" for minor in range(9, 16)]


def _tracked() -> list[Path]:
    """The files of the repository: those of git, and new ones to come."""
    result = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others",
         "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=False)
    if result.returncode:
        pytest.skip("not a git checkout")
    names = [name.decode() for name in result.stdout.split(b"\0") if name]
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def _pins(name: str) -> dict[str, list[Requirement]]:
    """The pins of a requirements file, by project."""
    pins: dict[str, list[Requirement]] = {}
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            pin = Requirement(line)
            pins.setdefault(pin.name, []).append(pin)
    return pins


def _versions(pins: list[Requirement], python: str) -> list[str]:
    """What is installed on this Python, on Linux."""
    environment = {
        "python_version": python, "python_full_version": python + ".99",
        "sys_platform": "linux", "os_name": "posix",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
    }
    return [str(pin.specifier) for pin in pins
            if pin.marker is None or pin.marker.evaluate(environment)]


@pytest.mark.parametrize("name, extras", [
    ("requirements.txt", []), ("requirements-test.txt", ["test"])])
@pytest.mark.parametrize("python", PYTHONS)
def test_dependencies_are_pinned(
        name: str, extras: list[str], python: str) -> None:
    pins = _pins(name)
    wanted = list(PROJECT["dependencies"])
    for extra in extras:
        wanted += PROJECT["optional-dependencies"][extra]
    for dependency in map(Requirement, wanted):
        if dependency.marker and not dependency.marker.evaluate(
                {"python_version": python}):
            continue
        (pin,) = _versions(pins[dependency.name], python)
        assert pin.startswith("==")
        assert dependency.specifier.contains(pin[2:]), dependency


def test_pythons_are_those_of_pyproject_and_later_ones() -> None:
    admitted = SpecifierSet(PROJECT["requires-python"])
    assert [f"3.{minor}" for minor in range(30)
            if admitted.contains(f"3.{minor}")] == [
                *PYTHONS, *(f"3.{minor}" for minor in range(16, 30))]
    assert tuple(
        tuple(map(int, version.split(".")))
        for version in (PYTHONS[0], PYTHONS[-1])) == doctor._PYTHONS


def test_no_code_warns_of_its_syntax() -> None:
    """Neither ours nor the notebooks'; seen only where it is compiled."""
    sources = {}
    for path in _tracked():
        text = path.read_text(encoding="utf-8", errors="replace")
        if path.suffix == ".py":
            sources[str(path)] = text
        elif path.suffix == ".ipynb":
            for number, cell in enumerate(json.loads(text)["cells"]):
                source = "".join(cell["source"])
                if cell["cell_type"] == "code" and not re.search(
                        r"^\s*[%!]", source, re.MULTILINE):
                    sources[f"{path}, cell {number}"] = source
    assert len(sources) > 1000
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, source in sources.items():
            compile(source, name, "exec")


@pytest.mark.parametrize("python", PYTHONS)
def test_pins_of_run_are_among_those_of_test(python: str) -> None:
    test = _pins("requirements-test.txt")
    for name, pins in _pins("requirements.txt").items():
        assert set(_versions(pins, python)) <= set(
            _versions(test[name], python)), name


@pytest.mark.parametrize("name", [
    "requirements.txt", "requirements-test.txt", "requirements-site.txt"])
def test_requirements_hold_pins_and_nothing_else(name: str) -> None:
    """No option, no address, no hash; nothing that only measures."""
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        assert re.fullmatch(
            r"#.*|[a-z0-9-]+==[a-z0-9.]+( ; [a-z0-9_.'=<>!*() A-Z]+)?", line)
    assert "torch" not in _pins(name)


SITE_PYTHONS = PYTHONS[PYTHONS.index("3.11"):]


@pytest.mark.parametrize("python", SITE_PYTHONS)
def test_what_the_site_needs_is_pinned(python: str) -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(
        encoding="utf-8"))["dependency-groups"]
    pins = _pins("requirements-site.txt")
    for dependency in map(Requirement, groups["site"]):
        (pin,) = _versions(pins[dependency.name], python)
        assert pin.startswith("==")
        assert dependency.specifier.contains(pin[2:]), dependency
    assert "mxnet" not in pins
    npm = json.loads((ROOT / "site" / "package.json").read_text("utf-8"))
    assert all(re.fullmatch(r"[0-9.]+", version)
               for version in npm["dependencies"].values())


def test_makefile_installs_the_torch_of_pyproject() -> None:
    (torch,) = (requirement for requirement in
                PROJECT["optional-dependencies"]["reference"]
                if Requirement(requirement).name == "torch")
    assert torch in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_environment_for_conda() -> None:
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    lines = [line.strip() for line in text.splitlines()]
    assert "- -r requirements.txt" in lines
    assert "- -e ." in lines
    (python,) = re.findall(r"- python=(\S+)", text)
    assert SpecifierSet(PROJECT["requires-python"]).contains(python)


def test_no_file_names_a_registry_or_this_machine() -> None:
    forbidden = ["py" + "pi.org", "pythonhosted" + ".org",
                 "anaconda" + ".org/", "npmjs" + ".org"]
    if len(ROOT.parts) > 2:  # "/src" would be found everywhere
        forbidden.append(str(ROOT))
    found = []
    for path in _tracked():
        if path.suffix in (".gz", ".png") or path.is_symlink():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{path.relative_to(ROOT)}: {word}"
                  for word in forbidden if word in text]
    assert not found


def test_no_large_files() -> None:
    large = [path for path in _tracked()
             if path.stat().st_size > MAX_BYTES
             and ROOT / "data" / "fashion-mnist" not in path.parents]
    assert not large


def test_makefile_help_lists_every_target() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    (line,) = re.findall(r"^\.PHONY: (.*)$", text.replace("\\\n", " "),
                         re.MULTILINE)
    # What make passes on to a make within a test would confuse it.
    result = subprocess.run(
        ["env", "-u", "MAKEFLAGS", "-u", "MAKELEVEL", "make", "help"],
        cwd=ROOT, capture_output=True, text=True, check=True)
    listed = [entry.split()[0] for entry in result.stdout.splitlines()[1:]]
    assert sorted(listed) == sorted(line.split())


def test_links_of_the_readme_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)\s]+)", text)
    links += re.findall(r'(?:src|href)="([^"]+)"', text)
    missing = [link for link in links
               # ../../actions is a page of the repository's site.
               if not re.match(r"[a-z]+:|#|\.\./\.\./actions/", link)
               and not (ROOT / unquote(link.split("#")[0])).exists()]
    assert not missing
