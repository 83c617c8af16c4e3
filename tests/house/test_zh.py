"""The Chinese edition: code and outputs copied, text up to date, terms kept.
"""
from __future__ import annotations

import nbformat
import pytest
import zh
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook


@pytest.mark.parametrize("name", zh.begun())
def test_a_chapter_is_translated_whole(name: str) -> None:
    english, chinese = map(zh.notebooks.read, zh.pair(name))
    assert list(zh.complaints(name)) == []
    assert chinese.nbformat_minor == english.nbformat_minor
    assert [cell for cell in chinese.cells if cell.cell_type == "code"] == [
        cell for cell in english.cells if cell.cell_type == "code"]


def test_a_chapter_comes_with_its_solutions() -> None:
    names = set(zh.begun())
    assert {f"solutions/{name}" for name in names if "/" not in name} == {
        name for name in names if "/" in name}


@pytest.mark.parametrize("english, chinese, complaint", [
    ("It has `k` of 3.", "`k`为3。", None),
    ("Sizes 3, 2 and 1,000.", "大小为3、2和1,000。", None),
    ("It has `k`.", "它有k。", "code: without ['`k`']"),
    ("It is $x$.", "它是$y$。", "formulas: without ['$x$'], with ['$y$']"),
    ("See [this](a.md).", "见[这里](b.md)。", "links: without ['a.md']"),
    ("## One", "# 一", "headings: without ['##']"),
    ("It is 0.5.", "它是0.6。", "numbers: without ['0.5']"),
    ("**One.** Two", "**一。**二", "a space must follow **一。**"),
    ("A **(one)**", "有**（一）**", "a space must stand before **（一）**"),
    ("**One**: two. **Three**", "**一**：二。**三**", None),
    ("The stride is one.", "步长为一。", "stride is 步幅"),
    ("Two dense layers.", "两个全连接层。", None),
    ("A convolutional layer.", "一个卷积。", "convolutional layer is 卷积层"),
    ("See `stride` of it.", "见`stride`。", None),
    ("## References\n\n* On convolution.", "## 参考文献\n\n* 略。", None),
])
def test_what_a_translation_may_not_change(
        english: str, chinese: str, complaint: str | None) -> None:
    found = [*zh.differences(english, chinese),
             *zh.other_terms(english, chinese)]
    assert len(found) == bool(complaint)
    assert not complaint or found[0].startswith(complaint)


@pytest.fixture
def course(tmp_path):
    """A course of one chapter, not translated yet."""
    notebook = new_notebook(cells=[
        new_markdown_cell("# One", id="a"), new_code_cell("1", id="b"),
        new_markdown_cell("Two", id="c")])
    (tmp_path / "chapters" / "zh").mkdir(parents=True)
    nbformat.write(notebook, tmp_path / "chapters" / "01-x.ipynb")
    return tmp_path


def test_from_the_first_cell_to_a_change(course) -> None:
    text = zh.todo("01-x", course)
    assert text == "<!-- a -->\n# One\n\n<!-- c -->\nTwo\n"
    zh.put("01-x", text.replace("One", "一"), course)
    assert zh.begun(course) == ["01-x"]
    assert list(zh.complaints("01-x", course)) == []
    source, target = zh.pair("01-x", course)
    english = zh.notebooks.read(source)
    english.cells[1].source = "2"
    english.cells[2].source = "Three"
    nbformat.write(english, source)
    assert list(zh.complaints("01-x", course)) == [
        "01-x: code, outputs or order differ: run `zh.py sync`",
        "01-x, c: the English text has changed"]
    assert zh.todo("01-x", course) == "<!-- c -->\nThree\n"
    zh.sync("01-x", course)
    chinese = zh.notebooks.read(target)
    assert chinese.cells[1].source == "2"
    assert chinese.cells[0].source == "# 一"  # kept
    assert len(list(zh.complaints("01-x", course))) == 1


def test_put_names_a_cell_that_is_not_there(course) -> None:
    with pytest.raises(SystemExit, match="no text cells b, z"):
        zh.put("01-x", "<!-- b -->\n1\n\n<!-- z -->\n2\n", course)
