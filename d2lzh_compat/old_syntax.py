"""Compile a file of an old script so that it asks for removed names.

Where the file says `np.int`, it is compiled as if it said
`old_names.asked(np, "int").int`. `from collections import Iterable` is
compiled in this way, too, and so are `float(a)`, `math.exp(a)`, `"%f" % a`
and `b[0] = a`, for arrays of one number.

What a `try` that catches ImportError or AttributeError asks for is left to
it: such a script helps itself.
"""
from __future__ import annotations

import ast
import math
import sys
import types
from typing import Any

from d2lzh_compat.removed import CLASSES, MODULES

# Under this name compiled files find the module `old_names`: among the
# builtin names, for code may be executed in any namespace.
OLD_NAMES = "__d2lzh_old_names__"
_NAMES = {name for names in (*MODULES.values(), *CLASSES.values())
          for name in names}
_MATH = {name for name in vars(math) if not name.startswith("_")}


def _repeatable(node: ast.AST) -> bool:
    """Whether an expression may be computed twice."""
    return all(isinstance(part, (
        ast.Name, ast.Constant, ast.Attribute, ast.Tuple, ast.BinOp,
        ast.UnaryOp, ast.operator, ast.unaryop, ast.expr_context))
        for part in ast.walk(node))


def _caught(handlers: list[ast.ExceptHandler]) -> set[str]:
    """The names of the errors in the except clauses."""
    return {getattr(part, "id", "") for handler in handlers
            for part in ast.walk(handler.type or ast.Name("Exception"))}


class OldSyntax(ast.NodeTransformer):
    """Let the code of one file ask `old_names` for removed names."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.caught: set[str] = set()  # by the `try` around

    def call(self, node: Any, function: str, *args: Any) -> Any:
        """A call of a function of `old_names`, in the place of `node`."""
        values: list[Any] = [
            each if isinstance(each, ast.AST) else ast.Constant(each)
            for each in (*args, (self.file, node.lineno))]
        call = ast.Call(ast.Attribute(
            ast.Name(OLD_NAMES, ast.Load()), function, ast.Load()), values, [])
        return ast.fix_missing_locations(ast.copy_location(call, node))

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        self.generic_visit(node)
        if (node.attr in _NAMES and isinstance(node.ctx, ast.Load)
                and "AttributeError" not in self.caught):
            node.value = self.call(node.value, "asked", node.value, node.attr)
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> Any:
        names = MODULES.get(node.module or "", {})
        old = [] if (node.level or self.caught & {"ImportError", "Exception"}
                     ) else [each for each in node.names if each.name in names]
        if not old:
            return node
        # Where even the module is missing, the script's line says so.
        lines: list[ast.stmt] = [ast.ImportFrom(
            node.module, [each for each in node.names if each not in old]
            + [ast.alias("__name__", each.asname or each.name)
               for each in old], 0)]
        lines += [ast.Assign(
            [ast.Name(each.asname or each.name, ast.Store())],
            self.call(node, "taken", node.module, each.name)) for each in old]
        return [ast.fix_missing_locations(ast.copy_location(line, node))
                for line in lines]

    def visit_Try(self, node: Any) -> Any:
        before = self.caught
        self.caught = before | _caught(node.handlers)
        node.body = self.visit(ast.Module(node.body, [])).body
        self.caught, body, node.body = before, node.body, []
        self.generic_visit(node)
        node.body = body
        return node

    visit_TryStar = visit_Try

    def visit_Call(self, node: ast.Call) -> Any:
        self.generic_visit(node)
        args, name = node.args, getattr(node.func, "id", "")
        if isinstance(node.func, ast.Attribute) and node.func.attr in _MATH:
            function: Any = node.func.value
        else:
            function = node.func
        if (name == "getattr" and len(args) == 2
                and "AttributeError" not in self.caught
                and all(map(_repeatable, args))):
            args[0] = self.call(node, "asked", *args)
        elif isinstance(function, ast.Name) and (
                function is not node.func
                or name in ("float", "int", "complex")):
            node.args = [
                each if isinstance(each, (ast.Constant, ast.Starred))
                else self.call(node, "number", function, each)
                for each in args]
        return node

    def visit_BinOp(self, node: ast.BinOp) -> Any:
        self.generic_visit(node)
        if (isinstance(node.op, ast.Mod) and isinstance(
                template := getattr(node.left, "value", None), str)):
            node.right = self.call(node, "text", template, node.right)
        return node

    def visit_Assign(self, node: ast.Assign) -> Any:
        self.generic_visit(node)
        target = node.targets[0]
        if (len(node.targets) == 1 and isinstance(target, ast.Subscript)
                and not isinstance(node.value, ast.Constant)
                and _repeatable(target.value) and _repeatable(target.slice)):
            node.value = self.call(
                node, "element", node.value, target.value, target.slice)
        return node

    def leave(self, node: ast.AST) -> ast.AST:
        return node

    # These patterns have room for plain names only.
    visit_MatchValue = visit_MatchClass = visit_MatchMapping = leave


def compiled(source: Any, file: str) -> types.CodeType:
    """The code of a file that asks `old_names` for removed names."""
    limit = sys.getrecursionlimit()
    # `elif` for `elif` and `+` for `+`, a tree goes deeper.
    sys.setrecursionlimit(max(limit, 5000))
    try:
        tree = OldSyntax(file).visit(ast.parse(source, file))
        code: types.CodeType = compile(tree, file, "exec", dont_inherit=True)
    finally:
        sys.setrecursionlimit(limit)
    return code
