"""How the notebooks read: a row of counts for each, and the places to mend.

Counted are what makes a text a test suite's (printed sentences, code that
draws, long cells), sentences of more than 30 words, words that
docs/glossary.md rules out, and numbers in the text (decimals, and those of
four digits and more) that come from nowhere: from no output or code of the
notebook, no record in data/results, no row of docs/quoted.md and no equation
such as 25 × 40 = 1,000. A chapter and its solutions may quote each other,
and a paragraph that says "chapter 6" may quote that one.

Usage: python tools/reading.py [CHAPTER ...]    such as 05
"""
from __future__ import annotations

import ast
import json
import re
import statistics
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import notebooks

DOCS = notebooks.ROOT / "docs"
RECORDS = notebooks.ROOT / "data" / "results"
# The chapters that keep the limits, with their solutions.
REWRITTEN = ("01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11",
             "12", "13", "14", "15", "16", "17")
LIMITS = {"fixed prints": 0, "drawing %": 12, "median cell": 6,
          "longest cell": 25, "long sentences": 3, "terms": 0, "numbers": 0}
MAX_WORDS = 30
NETWORKS = ("lenet", "alexnet", "vgg", "nin", "googlenet", "resnet",
            "densenet", "zfnet")  # as records name them
SCALES = {"thousand": 1e3, "K": 1e3, "million": 1e6, "M": 1e6,
          "billion": 1e9, "G": 1e9, "%": 0.01, "per cent": 0.01,
          "point": 0.01, "points": 0.01}
EXPONENT = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
NUMBER = re.compile(
    r"(?<![\w.,])((?:\d{1,3}(?:,\d{3})+|\d*)\.\d+|\d{1,3}(?:,\d{3})+|\d{4,})"
    rf"(?:\s?({'|'.join(sorted(SCALES, reverse=True))})(?!\w)"
    r"|\s?[·×]\s?10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+))?(?![\w]|[.,]\d)")
YEAR = re.compile(r"19\d\d|20[0-3]\d")
# What is written like a measurement and is none: section 5.5, MXNet 1.9.
NAMES = re.compile(
    r"(?:(?:section|table|figure|equation|version|page)s?|§|pp?\.?|arXiv:?"
    r"|Python|NumPy|MXNet|PyTorch|CUDA|cuDNN)\s*\d[\d.]*"
    r"(?:(?:\s?[–-]\s?|, | and | to | or )\d[\d.]*)*", re.IGNORECASE)
PRINTED = re.compile(r"(?<![\w.])(?:(?:\d{1,3}(?:,\d{3})+|\d+)?\.\d+"
                     r"|\d{1,3}(?:,\d{3})+|\d+)(?:e[+-]?\d+)?%?")
EQUATION = re.compile(r"([1-9][\d,]*(?: ?[×·+−/] ?[1-9][\d,]*)+) ?= ?$")
DRAWS = re.compile(r"plt|fig|figure|(\w+_)?ax(es)?\d*|image_grid"
                   r"|(show|plot|draw)(_\w+)?")


class Block(NamedTuple):
    text: str  # of a paragraph, a point of a list, a heading, a table's row
    kind: str  # "text", "heading" or "row"


def blocks(notebook: Any) -> list[Block]:
    """The prose: no code, formulas, addresses, navigation or references."""
    found: list[Block] = []
    skipped = 0  # level of the heading whose section is left out, if any
    for cell in notebook.cells:
        if cell.cell_type != "markdown" or cell.id.startswith("navigation"):
            continue
        text = cell.source
        for pattern, instead in (
                (r"^ *```.*?^ *```", ""), (r"(`+).+?\1", "Code"),
                (r"\$\$.*?\$\$|\$[^$]+\$", "Formula"),
                (r"!?\[((?:[^][]|\[[^]]*\])*)\]\([^)]*\)", r"\1"),
                (r"<[^<>]+>|https?://\S+", ""),
                (r"\*+(?=\S)|(?<=\S)\*+|\b_|_\b", "")):
            text = re.sub(pattern, instead, text,
                          flags=re.DOTALL | re.MULTILINE)
        joined = False
        for line in map(str.strip, text.splitlines()):
            heading = re.match(r"(#+) *(.*)", line)
            if heading and not 0 < skipped < len(heading[1]):
                skipped = len(heading[1]) * (heading[2] == "References")
            if skipped or not line or re.fullmatch(r"[|:\s-]+", line):
                joined = False
            elif heading or line.startswith("|"):
                found.append(Block(line, "heading" if heading else "row"))
                joined = False
            else:
                point = re.match(r"(?:[*+>-]|\d+\.) +", line)
                if joined and not point:
                    line = f"{found.pop().text} {line}"
                found.append(Block(line[point.end():] if point else line,
                                   "text"))
                joined = True
    return found


def sentences(text: str) -> list[str]:
    """The sentences of a paragraph."""
    text = re.sub(r"\b(et al|e\.g|i\.e|cf|vs|pp?(?=\. ?\d)|[Ff]ig)\.", r"\1",
                  text)
    return re.split(r"(?<=[.!?])[\"”’)]*\s+(?=[\"“(‘]?[A-Z\d])", text)


def num_words(sentence: str) -> int:
    """How many words; 3 × 3 is one, and so is 2 + 2 = 4."""
    sentence = re.sub(r"(?<=\d)\s*[×·+−/=–]\s*(?=\d)", "x", sentence)
    return len(re.findall(r"[^\W_]+(?:['’.,-][^\W_]+)*", sentence))


def table(page: Path) -> list[list[str]]:
    """The rows of the page's table, without its heading."""
    return [[entry.strip() for entry in line[1:-1].split("|")]
            for line in page.read_text(encoding="utf-8").splitlines()
            if line.startswith("|")][2:]


def ruled_out(glossary: Iterable[Sequence[str]]) -> list[re.Pattern[str]]:
    """What the last column of the glossary names, the plural too."""
    wrong = (entry.strip() for row in glossary for entry in row[3].split(","))
    return [re.compile(r"\b" + r"\s+".join(map(re.escape, entry.split()))
                       + r"s?\b", re.IGNORECASE) for entry in wrong if entry]


def _tree(source: str) -> ast.Module:
    return ast.parse(re.sub(r"^(\s*)[%!].*", r"\1pass", source,
                            flags=re.MULTILINE))


def _prints(node: ast.AST) -> list[ast.Call]:
    return [call for call in ast.walk(node) if isinstance(call, ast.Call)
            and isinstance(call.func, ast.Name) and call.func.id == "print"]


def _is_fixed(statement: ast.stmt) -> bool:
    """Whether it prints what stands in the code, and nothing else."""
    return isinstance(statement, ast.Expr) and any(
        call is statement.value and call.args and not any(
            isinstance(part, ast.Name) for argument in call.args
            for part in ast.walk(argument)) for call in _prints(statement))


def fixed_prints(tree: ast.AST) -> int:
    """Constants printed outside loops, without headings of a loop's rows."""
    count = 0
    loops = (ast.For, ast.While)
    looped = {part for loop in ast.walk(tree) if isinstance(loop, loops)
              for part in ast.walk(loop)}
    for node in ast.walk(tree):
        for body in (getattr(node, "body", []), getattr(node, "orelse", [])):
            if not isinstance(body, list) or looped.intersection(body[:1]):
                continue
            heading = False
            for statement in reversed(body):
                if not _is_fixed(statement):
                    heading = (isinstance(statement, loops)
                               and bool(_prints(statement)))
                elif not heading:
                    count += 1
    return count


def drawing_lines(tree: ast.AST) -> set[int]:
    """The numbers of the lines that draw; a call of d2l.show_* is one."""
    lines: set[int] = set()
    statements = [s for s in ast.walk(tree) if isinstance(s, ast.stmt)]
    axes = {part.id for s in statements if isinstance(s, ast.Assign)
            and ast.unparse(s.value).startswith("plt.")
            for target in s.targets for part in ast.walk(target)
            if isinstance(part, ast.Name)} - {"_"}
    for statement in reversed(statements):  # the inner ones first
        nodes: list[ast.AST] = [statement]
        span = range(statement.lineno, (statement.end_lineno or 0) + 1)
        body = [inner for inner in getattr(statement, "body", [])
                if not isinstance(getattr(inner, "value", 0), ast.Constant)]
        if body:  # of a loop or function: here its head
            nodes = [node for node in ast.iter_child_nodes(statement)
                     if not isinstance(node, (ast.stmt, ast.arguments))]
            span = range(statement.lineno, body[0].lineno)
        elif re.match(r"(.* = )?d2l\.(show|plot|image_grid)",
                      ast.unparse(statement)):
            span = span[:1]
        names = {getattr(part, "id", getattr(part, "attr", ""))
                 for node in nodes for part in ast.walk(node)}
        if (names & axes or any(map(DRAWS.fullmatch, names))
                or (body and all(inner.lineno in lines for inner in body))):
            lines.update(span)
    return lines


def counts(notebook: Any) -> dict[str, float]:
    """The counts of the code; lines are those of visible cells."""
    prints = drawn = total = 0
    lengths = []
    for cell in notebooks.code_cells(notebook):
        tree = _tree(cell.source)
        prints += fixed_prints(tree)
        if "hide-input" in notebooks.tags(cell) or not tree.body:
            continue
        lines = cell.source.splitlines()
        code = {number for number, line in enumerate(lines, 1)
                if line.strip() and not line.strip().startswith("#")}
        drawn += len(drawing_lines(tree) & code)
        total += len(code)
        lengths.append(len(lines))
    return {"fixed prints": prints,
            "drawing %": round(100 * drawn / max(total, 1), 1),
            "median cell": statistics.median(lengths or [0]),
            "longest cell": max(lengths, default=0)}


def printed(notebook: Any) -> list[float]:
    """The numbers of the outputs and of the code."""
    values = []
    for cell in notebooks.code_cells(notebook):
        values += [float(node.value) for node in ast.walk(_tree(cell.source))
                   if isinstance(node, ast.Constant)
                   and isinstance(node.value, (int, float))]
        for out in cell.outputs:
            text = out.get("text", out.get("data", {}).get("text/plain", ""))
            for number in PRINTED.findall(text):
                value = float(number.replace(",", "").rstrip("%"))
                values += [value, value / 100][:1 + number.endswith("%")]
    return values


def recorded(node: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of a record, each with its path; and lists' medians."""
    if isinstance(node, dict):
        path += " ".join(v for v in node.values() if isinstance(v, str))
        for key in node.keys() - {"provenance", "seed", "threads"}:
            yield from recorded(node[key], f"{path} {key}")
    elif isinstance(node, list) and node:
        for value in node:
            yield from recorded(value, path)
        lists = [node]
        if all(isinstance(run, dict) for run in node):  # the seeds' last epoch
            lists = [[run[key][-1] for run in node if run.get(key)]
                     for key in node[0] if isinstance(node[0][key], list)]
        for values in lists:
            if all(type(value) in (int, float) for value in values):
                yield from recorded(statistics.median(values), path)
    elif type(node) in (int, float):
        yield path.lower(), node


def _explained(number: re.Match[str], values: Sequence[float]) -> bool:
    """Whether one of the values, rounded, is this number."""
    digits = number[1].replace(",", "")
    _, point, decimals = digits.partition(".")
    zeros = len(digits) - len(digits.rstrip("0"))
    unit = 10.0 ** (-len(decimals) if point else
                    min(zeros, len(digits) - 2))  # 44,000 may be 44,426
    factors = {1.0, SCALES.get(number[2], 1.0)}
    if number[3]:
        factors = {10.0 ** int(number[3].translate(EXPONENT))}
    for factor in factors:
        low, high = (factor * (float(digits) + side * unit * (0.5 + 1e-9))
                     for side in (-1, 1))
        if any(low <= abs(value) <= high for value in values):
            return True
    return False


def _worked_out(number: re.Match[str]) -> bool:
    """Whether the number stands behind an equation sign, and it is right."""
    equation = EQUATION.search(number.string[:number.start()])
    if not equation:
        return False
    left = equation[1].replace(",", "").translate(str.maketrans("×·−", "**-"))
    return _explained(number, [eval(left)])  # digits and four operators


def unexplained(notebook: Any, values: Sequence[float] = (), name: str = "",
                quoted: str = "", others: Mapping[int, Sequence[float]] = {},
                records: Sequence[tuple[str, float]] = ()) -> list[str]:
    """The numbers of the prose without an origin, with their sentences.

    Args:
        values: What the chapter and its solutions print.
        name: The chapter's; a record counts in the chapter of its network
            and in the sections that name the network.
        quoted: The numbers of docs/quoted.md.
        others: What the chapters print, by their numbers.
    """
    found = []
    known = {number[1] for number in NUMBER.finditer(quoted)}
    sections: list[list[str]] = [[]]
    for block in blocks(notebook):
        sections += [[]] if block.kind == "heading" else []
        sections[-1].append(block.text)
    for section in sections:
        there = [network for network in NETWORKS if re.search(
            rf"\b{network}", " ".join([name, *section]).lower())]
        usable = [value for path, value in records if any(
            network in path for network in there) or not any(
            network in path for network in NETWORKS)]
        for text in section:
            origins = [values, usable, *(
                others.get(int(number), ()) for number in
                re.findall(r"[Cc]hapter (\d+)", text))]
            found += [
                f"{number[0].strip()}: {sentence}"
                for sentence in sentences(text)
                for number in NUMBER.finditer(NAMES.sub("", sentence))
                if not (number[1] in known or YEAR.fullmatch(number[1])
                        or _worked_out(number)
                        or any(_explained(number, v) for v in origins))]
    return found


def rows(names: Sequence[str] = ()
         ) -> Iterator[tuple[str, dict[str, float], list[str]]]:
    """For each notebook its name, its counts, and what is to be mended."""
    glossary = ruled_out(table(DOCS / "glossary.md"))
    quoted = table(DOCS / "quoted.md")
    records = [entry for path in sorted(RECORDS.glob("*.json"))
               for entry in recorded(json.loads(path.read_text("utf-8")),
                                     path.stem)]
    read = {path: notebooks.read(path) for path in notebooks.with_solutions()}
    others: dict[int, list[float]] = {}  # chapters with their solutions
    for path, notebook in read.items():
        others.setdefault(int(path.name[:2]), []).extend(printed(notebook))
    for path, notebook in read.items():
        number, _, network = path.stem.partition("-")
        if names and number not in [name[:2].zfill(2) for name in names]:
            continue
        solution = path.parent != notebooks.CHAPTERS
        prose = blocks(notebook)
        mend = {
            "long sentences": [s for text, kind in prose if kind == "text"
                               for s in sentences(text)
                               if num_words(s) > MAX_WORDS],
            "terms": [f"{found[0]}: {text}" for text, _ in prose
                      for wrong in glossary for found in wrong.finditer(text)],
            "numbers": unexplained(
                notebook, others[int(number)], network,
                "; ".join(row[1] for row in quoted
                          if row[0] in (number, "all")),
                others, records)}
        yield (("solutions/" if solution else "") + path.stem,
               {**counts(notebook), **{k: len(v) for k, v in mend.items()}},
               [f"{kind}: {text}" for kind in mend for text in mend[kind]])


def main(names: Sequence[str]) -> None:
    print(f"{'':31}", *LIMITS, sep="  ")
    places = []
    for name, counted, mend in rows(names):
        print(f"{name:31}", *(f"{counted[key]:{len(key)}g}"
                              for key in LIMITS), sep="  ", flush=True)
        places += [f"{name}: {line}" for line in mend]
    if names:
        print("", *places, sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
