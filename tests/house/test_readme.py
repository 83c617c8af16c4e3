"""The pages for people: two READMEs of one structure, links that lead on."""
from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import mistune
import notebooks
import pages
import pytest
import readme
from interpreter import ROOT

ENGLISH, CHINESE = (ROOT / name for name in readme.FILES.values())
PAGES = sorted([ENGLISH, CHINESE, ROOT / "CONTRIBUTING.md",
                ROOT / "benchmarks" / "NOTES.md",
                *(ROOT / "docs").glob("*.md"),
                *(ROOT / "site").glob("*/*.md"),
                *(ROOT / "data").glob("*/*.md")])


def each_of(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "page", paths, ids=[str(path.relative_to(ROOT)) for path in paths])


def _text(page: Path) -> str:
    if page.suffix == ".md":
        return page.read_text(encoding="utf-8")
    return "\n\n".join(cell.source for cell in notebooks.read(page).cells
                       if cell.cell_type == "markdown")


def _tokens(page: Path) -> Iterator[dict[str, Any]]:
    """All that the page consists of, from top to bottom."""
    parse = mistune.create_markdown(renderer="ast", plugins=["table"])
    waiting: Any = parse(_text(page))
    while waiting:
        token = waiting.pop(0)
        yield token
        waiting = token.get("children", []) + waiting


def _links(page: Path, *kinds: str) -> list[str]:
    return [token["attrs"]["url"] for token in _tokens(page)
            if token["type"] in kinds]


def _structure(page: Path) -> dict[str, list[Any]]:
    tokens = list(_tokens(page))
    return {
        "headings": [token["attrs"]["level"] for token in tokens
                     if token["type"] == "heading"],
        "tables": [[len(row["children"]) for part in token["children"]
                    for row in (part["children"] if part["type"] ==
                                "table_body" else [part])]
                   for token in tokens if token["type"] == "table"],
        "code": [token["raw"] for token in tokens
                 if token["type"] == "block_code"],
        "images": _links(page, "image"),
        "links": sorted(_links(page, "link"))}


def test_the_chinese_readme_has_the_structure_of_the_english_one() -> None:
    english, chinese = _structure(ENGLISH), _structure(CHINESE)
    # Each leads to the other, and to what is in its own language.
    chinese["links"] = sorted(
        link.replace("/zh/", "/") if link != ENGLISH.name else CHINESE.name
        for link in chinese["links"])
    assert english == chinese
    assert len(english["tables"]) == 3 and len(english["images"]) > 3
    for page, other in ((ENGLISH, CHINESE), (CHINESE, ENGLISH)):
        assert f"({other.name})" in _text(page).splitlines()[0]


@each_of([ENGLISH, CHINESE])
def test_a_readme_is_short(page: Path) -> None:
    assert len(_text(page).splitlines()) <= 120


def _anchors(page: Path) -> set[str]:
    """What GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", _text(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            for heading in headings}


@each_of(PAGES + notebooks.with_solutions()
         + notebooks.with_solutions(notebooks.CHAPTERS / "zh"))
def test_links_lead_somewhere(page: Path) -> None:
    missing = []
    for link in _links(page, "link", "image"):
        # ../../actions is a page of the repository's site.
        if re.match(r"[a-z]+:|\.\./\.\./actions/", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            missing.append(link)
    assert not missing


@each_of(PAGES)
def test_commands_of_make_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = re.findall(r"(?:`|^)make\s([a-z-]+)", _text(page), re.MULTILINE)
    assert set(named) <= targets


def test_pictures_are_small() -> None:
    pictures = list((ROOT / "docs" / "images").iterdir())
    assert pictures
    for path in pictures:
        assert path.suffix == ".png" and path.stat().st_size < 300_000


def test_a_section_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    text = "a\n<!-- one: begin -->\n{}\n<!-- one: end -->\nz 卷积\n"
    page.write_text(text.format("old"), encoding="utf-8")
    pages.replace(page, "one", "| new |\n\nline")
    assert page.read_text(encoding="utf-8") == text.format("| new |\n\nline")
    assert pages.section(page, "one") == "| new |\n\nline"
    with pytest.raises(SystemExit, match=r"page\.md: .* 'two'"):
        pages.replace(page, "two", "")
    assert [page] == list(tmp_path.iterdir())
