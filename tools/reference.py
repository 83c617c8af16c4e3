"""The reference of the package, from its docstrings, without importing it.
"""
from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import notebooks

ROOT = notebooks.ROOT
HEADING = "The package, name by name"


def _definition(module: str, name: str, root: Path) -> tuple[str, Any]:
    """The module that defines a name, and the syntax tree of it."""
    path = root.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and (
                node.name == name):
            return module, node
        if isinstance(node, ast.ImportFrom) and node.module and any(
                (alias.asname or alias.name) == name for alias in node.names):
            return _definition(node.module, name, root)
    raise SystemExit(f"{path}: {name} is not defined")


def public(root: Path = ROOT) -> Iterator[tuple[str, str, str, Any]]:
    """What the package offers: where, name, module that defines it, tree."""
    for where in ("d2lzh_ext", "d2lzh_ext.models"):
        path = root.joinpath(*where.split("."))
        path = (path / "__init__.py" if path.is_dir()
                else path.with_suffix(".py"))
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom) and (
                    node.module or "").startswith("d2lzh_ext."):
                for alias in node.names:
                    yield (where, alias.name,
                           *_definition(node.module or "", alias.name, root))


def _entry(kind: str, name: str, node: Any, depth: int, body: list[str]
           ) -> list[str]:
    """A description of Sphinx's for a name, with its docstring."""
    from sphinx.ext.napoleon import Config, GoogleDocstring

    made = node if isinstance(node, ast.FunctionDef) else next(
        (part for part in node.body if isinstance(part, ast.FunctionDef)
         and part.name == "__init__"), None)
    signature = ""
    if made is not None:
        if kind != "function":
            made.args.args = made.args.args[1:]  # self
        returns = (f" -> {ast.unparse(made.returns)}"
                   if made.returns and kind != "class" else "")
        signature = f"({ast.unparse(made.args)}){returns}"
    elif any("dataclass" in ast.unparse(mark)
             for mark in node.decorator_list):
        signature = "({})".format(", ".join(
            ast.unparse(part) for part in node.body
            if isinstance(part, ast.AnnAssign)))
    text = re.sub(r"(?<![`:])`([^`]+)`(?!`)", r"``\1``",
                  ast.get_docstring(node) or "")
    config = Config(napoleon_use_param=False, napoleon_use_rtype=False)
    lines = str(GoogleDocstring(text, config)).splitlines()
    pad = "   " * depth
    return [f"{pad}.. py:{kind}:: {name}{signature}", "",
            *(f"{pad}   {line}".rstrip() for line in lines), "", *body, ""]


def page(root: Path = ROOT) -> str:
    """The page of all names, in reStructuredText."""
    lines = [HEADING, "=" * len(HEADING), "",
             "What ``import d2lzh_ext as d2l`` offers beside the names of "
             "``d2lzh`` 1.0.0, and the networks and functions of the "
             "chapters in ``d2lzh_ext.models``. Written from the docstrings "
             "of the code; ``help(d2l.train_ch5)`` says the same.", ""]
    place = module = ""
    for where, name, defined, node in public(root):
        if where != place:
            place = where
            lines += [where, "-" * len(where), ""]
        if defined != module:
            module = defined
            text = re.sub(r"^chapters\.ch0?(\d+)_.*", r"chapter \1",
                          module.removeprefix("d2lzh_ext."))
            lines += [text, "~" * len(text), ""]
        if isinstance(node, ast.FunctionDef):
            lines += _entry("function", f"{where}.{name}", node, 0, [])
            continue
        body: list[str] = []
        for part in node.body:
            if isinstance(part, ast.FunctionDef) and (
                    not part.name.startswith("_") and ast.get_docstring(part)
                    and not part.decorator_list):
                body += _entry("method", part.name, part, 1, [])
        lines += _entry("class", f"{where}.{name}", node, 0, body)
    return "\n".join(lines)
