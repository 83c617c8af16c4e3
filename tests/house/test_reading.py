"""The counter of tools/reading.py, and the limits that chapters keep."""
from __future__ import annotations

import ast
from typing import Any

import pytest
import reading
from nbformat.v4 import (
    new_code_cell,
    new_markdown_cell,
    new_notebook,
    new_output,
)

GLOSSARY = reading.table(reading.DOCS / "glossary.md")
QUOTED = reading.table(reading.DOCS / "quoted.md")


def _text(*cells: str) -> Any:
    return new_notebook(cells=[new_markdown_cell(text) for text in cells])


def _code(source: str, printed: str = "", **metadata: Any) -> Any:
    return new_code_cell(source, metadata=metadata, outputs=[
        new_output("stream", text=printed)] if printed else [])


def _strange(text: str, printed: str = "", source: str = "x", **more: Any
             ) -> list[str]:
    """The numbers that are named as coming from nowhere."""
    notebook = _text(text)
    notebook.cells.append(_code(source, printed))
    return [place.split(": ")[0] for place in reading.unexplained(
        notebook, reading.printed(notebook), **more)]


@pytest.mark.parametrize("source, expected", [
    ("print('the same')", 1),
    ("print('the same', f'and again')", 1),
    ("if x:\n    print('the same')", 1),
    ("def f():\n    print('the same')", 1),
    ("print(x)", 0),
    ("print(f'{x:.3f}')", 0),
    ("print()", 0),
    ("for x in y:\n    print('-')", 0),
    ("print('a  b')\nprint('----')\nfor x in y:\n    print(x)", 0),
    ("print('a  b')\nfor x in y:\n    pass", 1),
    ("%matplotlib inline\nprint('done')", 1),
])
def test_fixed_prints(source: str, expected: int) -> None:
    assert reading.counts(new_notebook(
        cells=[_code(source)]))["fixed prints"] == expected


@pytest.mark.parametrize("source, expected", [
    ("_, (left, right) = plt.subplots(1, 2)\nleft.imshow(\n    X)\nplt.show()",
     {1, 2, 3, 4}),
    ("for ax, x in zip(axes, X):\n    ax.plot(x)\n    y = 1", {1, 2}),
    ("def draw(x):\n    '''Draw.'''\n    plt.plot(x)", {1, 2, 3}),
    ("def f(x):\n    y = x\n    return y", set()),
    ("d2l.show_kernels(\n    net[0].weight.data())\nplt.show()", {1, 3}),
    ("history.plot()", {1}),
    ("import matplotlib.pyplot as plt\nleft = nd.zeros(3)\nleft.sum()",
     set()),
])
def test_drawing_lines(source: str, expected: set[int]) -> None:
    assert reading.drawing_lines(ast.parse(source)) == expected


def test_cells_are_counted_where_they_are_seen() -> None:
    cells = [_code("x = 1\n\n# why\ny = 2"), _code("plt.show()"),
             _code("plt.show()\n" * 30, tags=["hide-input"]),
             _code("#| default_exp chapters.ch05_lenet")]
    assert reading.counts(new_notebook(cells=cells)) == {
        "fixed prints": 0, "drawing %": 33.3, "median cell": 2.5,
        "longest cell": 4}


def test_blocks_are_the_prose() -> None:
    assert reading.blocks(_text(
        "# A *title*\n\nSee [the book](https://a.b/1.5), `x = 0.5` and\n"
        "$y = 0.25$.\n\n```python\nz = 0.125\n```\n* One *point*,\n  long.\n"
        "* Another.\n\n| a | b |\n|---|---|\n| 1 | 2 |",
        "## References\n\n* Somebody. 1234.\n\n### Of theirs\n\nMore.",
        "## Exercises\n\n1. Do.")) == [
            ("# A title", "heading"),
            ("See the book, Code and Formula.", "text"),
            ("One point, long.", "text"), ("Another.", "text"),
            ("| a | b |", "row"), ("| 1 | 2 |", "row"),
            ("## Exercises", "heading"), ("Do.", "text")]


def test_sentences_and_their_words() -> None:
    text = ('He et al. (2015) use 3 × 3 windows, cf. Table 2. "Do they?" '
            "They do (by 0.5 %). 2 + 2 = 4 is right.")
    assert [reading.num_words(s) for s in reading.sentences(text)] == [
        10, 2, 4, 3]


def test_words_that_the_glossary_rules_out() -> None:
    (pattern,) = reading.ruled_out([["image", "图像", "pixels", "big picture"],
                                    ["class", "类", "kind", ""]])
    assert pattern.search("The Big\npictures.")
    assert not pattern.search("A picture is big; big pictured.")


@pytest.mark.parametrize("text, printed", [
    ("It is 0.767.", "test acc 0.7666"),
    ("It is .77.", "0.7666"),
    ("It is 76.7 %.", "0.7666"),
    ("It is 0.767.", "76.7%"),
    ("It rose by 2.5 points.", "0.0250"),
    ("It has 44,426 parameters.", "44426"),
    ("It has 44,000 parameters.", "44,426"),
    ("It has 1.2 million.", "1,234,567"),
    ("It has 2.7K.", "2,712"),
    ("It takes 5.98 million.", "5.978 M"),
    ("It is 1.2 · 10⁻⁵.", "1.23e-05"),
])
def test_numbers_that_are_printed(text: str, printed: str) -> None:
    assert _strange(text, printed) == []
    assert len(_strange(text, "0.5 and 12")) == 1


def test_numbers_that_need_no_origin() -> None:
    assert _strange(
        "In 1998, sections 5.8 and 5.9, Table 3.1, MXNet 1.9.1, Python 3.13, "
        "pp. 2278–2324 and arXiv:1708.07747 measure nothing; 28 is short. "
        "48 · 25 + 3 = 1,203. One is 28 × 28.\n\n## References\n\n0.5") == []
    assert _strange("48 · 25 + 3 = 1,204.") == ["1,204"]
    assert _strange("A rate of 0.9.", source="rate = 0.9") == []


def test_numbers_of_records_and_quotations() -> None:
    records = list(reading.recorded({"networks": {
        "nin": {"test_acc": [0.763, 0.819, 0.779, 0.701]},
        "vgg": [{"seed": 0.33, "loss": [2.0, 0.5]},
                {"seed": 0.44, "loss": [2.0, 0.7]}]}}))
    text = "# A\n\nTraining.\n\n# B\n\nNiN: 0.819, in the median 0.771."
    assert _strange(text, records=records) == []
    assert _strange(text.replace("NiN", "It"), records=records) == [
        "0.819", "0.771"]
    assert _strange("It: 0.819, 0.600.", name="nin", records=records) == [
        "0.600"]
    assert _strange("VGG: 0.600, 0.33.", records=records) == ["0.33"]
    assert _strange("15.3 %, 26.2 %.", quoted="15.3 %; 26.20 %") == ["26.2 %"]
    assert _strange("As in chapter 6: 0.123.", others={6: [0.123]}) == []
    assert _strange("As in chapter 7: 0.123.", others={6: [0.123]}) == [
        "0.123"]


def test_a_page_of_rows(capsys: pytest.CaptureFixture[str]) -> None:
    reading.main(["05"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == [
        "05-lenet", "solutions/05-lenet"]
    assert len({len(line) for line in lines[:3]}) == 1


@pytest.mark.parametrize("page, columns, filled", [
    (GLOSSARY, 4, 3), (QUOTED, 3, 3)], ids=["glossary", "quoted"])
def test_tables_are_well_formed(page: list[list[str]], columns: int,
                                filled: int) -> None:
    assert page
    for row in page:
        assert len(row) == columns and all(row[:filled]), row
    assert len(page) == len({tuple(row[:2]) for row in page})


def test_glossary_is_sorted_and_without_contradiction() -> None:
    names = [row[0] for row in GLOSSARY]
    assert names == sorted(set(names), key=str.casefold)
    for pattern in reading.ruled_out(GLOSSARY):
        for name, _, meaning, _ in GLOSSARY:
            assert not pattern.search(f"{name}: {meaning}"), name


def test_quoted_figures_are_numbers_of_chapters_in_order() -> None:
    assert [row[0] for row in QUOTED] == sorted(row[0] for row in QUOTED)
    for chapter, numbers, _ in QUOTED:
        assert chapter == "all" or list(
            reading.notebooks.CHAPTERS.glob(f"{chapter}-*.ipynb"))
        for number in numbers.split("; "):
            assert reading.NUMBER.fullmatch(number), number


def test_rewritten_chapters_keep_the_limits() -> None:
    """`make reading CHAPTER=05` names the places."""
    broken = [
        f"{name}: {key} {counted[key]}, at most {limit}"
        for name, counted, _ in reading.rows(reading.REWRITTEN or ("none",))
        for key, limit in reading.LIMITS.items() if counted[key] > limit]
    assert not broken
