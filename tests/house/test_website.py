"""What tools/website.py makes of the repository, without Sphinx."""
from __future__ import annotations

import re
from pathlib import Path

import alternative
import notebooks
import pictures
import pytest
import reference
import website
from interpreter import ROOT

import d2lzh_ext as d2l
from d2lzh_ext import models

CHAPTERS = notebooks.chapters()
CHINESE = sorted((ROOT / "chapters" / "zh").rglob("*.ipynb"))


def test_the_reference_has_every_name_of_the_package() -> None:
    listed = {(where, name) for where, name, _, _ in reference.public()}
    for where, module in (("d2lzh_ext", d2l), ("d2lzh_ext.models", models)):
        own = {name for name in vars(module) if not name.startswith("_")
               and callable(getattr(module, name))
               and getattr(getattr(module, name), "__module__", "")
               .startswith("d2lzh_ext.")}
        assert own and own <= {name for place, name in listed
                               if place == where}


def test_pictures_are_cut_from_figures_that_exist() -> None:
    assert set(pictures.PICTURES) == {path.stem for path in CHAPTERS}
    wanted = [*pictures.PICTURES.items(),
              *((name, picture) for name, picture, _ in pictures.STRIP),
              (pictures.ICON[0][:8], pictures.ICON)]
    missing = []
    for chapter, (cell_id, number, box) in wanted:
        cells = {cell.id: cell for cell in notebooks.read(
            ROOT / "chapters" / f"{chapter}.ipynb").cells}
        figures = [out for out in cells.get(cell_id, {}).get("outputs", [])
                   if "image/png" in out.get("data", {})]
        if len(figures) <= number:
            missing.append(f"{chapter}: {cell_id}")
        left, top, right, bottom = box
        assert 0 <= left < right <= 1 and 0 <= top < bottom <= 1
    assert not missing


@pytest.mark.parametrize("language, source, link, leads_to", [
    ("en", "chapters/05-lenet.ipynb", "06-alexnet.ipynb",
     "06-alexnet.ipynb"),
    ("en", "chapters/05-lenet.ipynb", "solutions/05-lenet.ipynb",
     "solutions/05-lenet.ipynb"),
    ("en", "chapters/solutions/05-lenet.ipynb", "../05-lenet.ipynb#x",
     "../05-lenet.ipynb#x"),
    ("en", "chapters/05-lenet.ipynb", "../data/photos",
     "https://github.com/{}/tree/main/data/photos"),
    ("en", "docs/first-edition.md", "gpu.md", "gpu.md"),
    ("en", "docs/first-edition.md", "../README.md#where-it-runs",
     "https://github.com/{}/blob/main/README.md#where-it-runs"),
    ("en", "docs/first-edition.md", "../README.md#chapters",
     "../index.md#chapters"),
    ("zh", "site/zh/student.md", "../../docs/glossary.md",
     "english://docs/glossary"),
    ("zh", "site/zh/student.md", "../../chapters/17-scale-out.ipynb",
     "english://17-scale-out"),
    ("en", "site/en/student.md", "../../chapters/solutions",
     "solutions/index.md"),
    ("en", "site/en/student.md", "#here", "#here"),
    ("en", "site/en/student.md", "https://x.org/y", "https://x.org/y")])
def test_links(language: str, source: str, link: str, leads_to: str) -> None:
    links = website.Links(language)
    path = ROOT / source
    (page,) = (name for name, own in website.sources(language).items()
               if own == path)
    assert links.target(link, page, path) == leads_to.format(
        website.navigation.repository(ROOT))


def test_the_readmes_lead_to_the_site() -> None:
    for language, name in website.readme.FILES.items():
        first = (ROOT / name).read_text(encoding="utf-8").splitlines()[0]
        below = "zh/" if language == "zh" else ""
        assert f"({website.address()}{below})" in first


def test_a_link_that_leads_nowhere_is_refused() -> None:
    with pytest.raises(SystemExit, match="nowhere"):
        website.Links("en").target("none.md", "student",
                                   ROOT / "site" / "en" / "student.md")


def test_code_is_no_link() -> None:
    path = ROOT / "site" / "en" / "student.md"
    text = "`a[0](b)` and\n```\nc[1](d)\n```\n[`e`](teacher.md)"
    assert website.Links("en").rewrite(text, "student", path) == text


@pytest.mark.parametrize("path", [
    *notebooks.with_solutions(), *CHINESE],
    ids=lambda path: str(path.relative_to(ROOT / "chapters")))
def test_a_page_of_a_notebook(path: Path) -> None:
    """Code and outputs as stored; what serves notebooks alone is hidden."""
    language = "zh" if path in CHINESE else "en"
    names = {own: name for name, own in website.sources(language).items()}
    page = website.notebook_page(path, names[path], language,
                                 website.Links(language))
    stored = notebooks.read(path)
    exports = {cell.id for cell in stored.cells if re.fullmatch(
        r"#\| default_exp \S+", cell.source)}
    for cell, copy in zip(stored.cells, page.cells):
        hidden = "remove-cell" in copy.metadata.get("tags", [])
        assert hidden == (cell.id.startswith("navigation")
                          or cell.id in exports)
        if cell.cell_type == "code":
            assert (cell.source, cell.outputs) == (copy.source, copy.outputs)
            if alternative.has_figure(cell):
                words = copy.metadata["mystnb"]["image"]["alt"]
                assert 15 < len(words) <= 400 and '"' not in words
                assert ("一节的图" in words) == (language == "zh")
