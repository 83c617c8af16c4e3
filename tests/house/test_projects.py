"""The page of old projects says what the record says, of every project."""
from __future__ import annotations

import ast
import re

import pages
import projects
import pytest
import records

FOUND = records.load(projects.NAME)[projects.NAME]


def test_every_project_is_recorded() -> None:
    assert list(FOUND) == list(projects.PROJECTS)
    for project, entry in FOUND.items():
        name, version = project.split()
        packages = entry["provenance"]["packages"]
        assert packages[name] == version
        assert packages["mxnet"] == "1.9.1"
        assert entry["provenance"]["date"]


def test_the_page_shows_the_record() -> None:
    assert pages.section(projects.PAGE, projects.NAME) == projects.table(FOUND)


def test_a_failing_project_is_shown_with_its_error() -> None:
    entry = {**FOUND["d2l 1.0.3"], "error": "ValueError: wrong"}
    assert "| fails: `ValueError: wrong` |" in projects.table(
        {"d2l 1.0.3": entry})


def test_scripts_and_projects_are_the_same() -> None:
    scripts = {projects.script(project) for project in projects.PROJECTS}
    folder = projects.ROOT / "tests" / "house" / "projects"
    assert scripts == set(folder.glob("*.py"))


@pytest.mark.parametrize("project", projects.PROJECTS)
def test_scripts_assert_and_download_nothing(project: str) -> None:
    text = projects.script(project).read_text(encoding="utf-8")
    nodes = list(ast.walk(ast.parse(text)))
    assert sum(isinstance(node, ast.Assert) for node in nodes) > 2
    assert not re.search("pretrained=True|https?:", text)
