"""What MXNet's Python files take from NumPy, SciPy, Python and others.

Read from their sources, for most of it is asked for only when a function
runs, and no test calls them all.
"""
from __future__ import annotations

import ast
import importlib
import inspect
import sys
import textwrap
import types
import warnings
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.machinery import BuiltinImporter, PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple


class Use(NamedTuple):
    """A name that a module takes from a package that is not MXNet's."""

    module: str  # that asks: mxnet.image.image
    line: int
    source: str  # what it has imported: numpy
    name: str  # what it takes from that: random.normal; may be empty
    variable: str  # which it asks: np; may be empty
    keywords: tuple[str, ...] = ()  # with which it is called

    @property
    def full_name(self) -> str:
        return ".".join(filter(None, (self.source, self.name)))

    def __str__(self) -> str:
        return f"{self.module}:{self.line} {self.full_name}"


class Method(NamedTuple):
    """A method of an object; of which kind, the source does not say."""

    module: str
    line: int
    name: str

    def __str__(self) -> str:
        return f"{self.module}:{self.line} .{self.name}()"


class Names(NamedTuple):
    """What a file takes."""

    uses: list[Use]
    methods: list[Method]
    made_up: list[str]  # names that are known only when it runs


def files(package: str) -> Iterator[tuple[str, Path]]:
    """Every Python file of an installed package, with its module's name.

    The package is not imported.
    """
    spec = find_spec(package)
    assert spec is not None and spec.origin is not None
    root = Path(spec.origin).parent
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        yield ".".join(parts).removesuffix(".__init__"), path


def is_script(path: Path) -> bool:
    """Whether it is to be run, not imported."""
    return (path.name == "setup.py"
            or not path.with_name("__init__.py").exists())


def is_installed(name: str) -> bool:
    """Whether the package is there that a module or name is in."""
    top = name.split(".")[0]
    # No finder but Python's own: that of setuptools changes distutils when it
    # is asked for pip.
    return top in sys.modules or any(finder.find_spec(top) for finder in (
        BuiltinImporter, PathFinder))


def _children(node: ast.AST) -> Iterable[ast.AST]:
    """Its parts, without what is for other versions of Python."""
    if isinstance(node, ast.If) and {
            each.id for each in ast.walk(node.test)
            if isinstance(each, ast.Name)} == {"sys"}:
        test = compile(ast.Expression(node.test), "", "eval")
        return node.body if eval(test, {"sys": sys}) else node.orelse
    return ast.iter_child_nodes(node)


def _imports(node: ast.AST) -> Iterator[tuple[str, str]]:
    """(variable, what is imported) of an import from other packages."""
    if isinstance(node, ast.Import):
        for each in node.names:
            if each.name.split(".")[0] != "mxnet":
                yield each.asname or each.name.split(".")[0], each.name
    elif (isinstance(node, ast.ImportFrom) and not node.level and node.module
            and node.module.split(".")[0] not in ("mxnet", "__future__")):
        for each in node.names:
            yield each.asname or each.name, f"{node.module}.{each.name}"


def _imported(tree: ast.AST) -> dict[str, str]:
    """What a file imports from other packages, by variable.

    Of alternatives, the first that is there. A variable that is MXNet's own
    elsewhere in the file, or an argument, is left out; of 5,400 names in
    MXNet that concerns two.
    """
    found: dict[str, str] = {}
    others: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            others.add(node.arg)
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            imports = dict(_imports(node))
            others |= {each.asname or each.name.split(".")[0]
                       for each in node.names} - imports.keys()
            for variable, source in imports.items():
                if not is_installed(found.get(variable, "")):
                    # `import os.path` makes the variable os.
                    found[variable] = (variable if source.startswith(
                        f"{variable}.") else source)
    return {variable: source for variable, source in found.items()
            if variable not in others}


def _chain(node: ast.AST) -> tuple[str, list[str]]:
    """("np", ["random", "normal"]) of np.random.normal."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    return (node.id, names) if isinstance(node, ast.Name) else ("", [])


class _Reader(ast.NodeVisitor):
    """Collects what a module takes."""

    def __init__(self, module: str, tree: ast.Module) -> None:
        self.module = module
        self.names = Names([], [], [])
        self.imported = _imported(tree)
        self.visit(tree)

    def generic_visit(self, node: ast.AST) -> None:
        for child in _children(node):
            self.visit(child)

    def ask(self, node: Any, more: tuple[str, ...] = (),
            keywords: tuple[str, ...] = ()) -> bool:
        """Note what an expression takes, if it is of an import."""
        variable, names = _chain(node)
        if variable not in self.imported:
            return False
        self.names.uses.append(Use(
            self.module, node.lineno, self.imported[variable],
            ".".join((*names, *more)), variable, keywords))
        return True

    def visit_Import(self, node: Any) -> None:
        for variable, source in _imports(node):
            self.names.uses.append(Use(
                self.module, node.lineno, source, "", variable))

    visit_ImportFrom = visit_Import

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if not self.ask(node):
            self.names.methods.append(Method(
                self.module, node.lineno, node.attr))
            self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        if ast.unparse(node.func) == "getattr" and len(node.args) == 2:
            of, name = node.args
            if isinstance(name, ast.Constant):
                self.ask(of, (str(name.value),))
            elif self.ask(of):
                self.names.made_up.append(f"{self.module} "
                                          f"{ast.unparse(node)}")
        keywords = tuple(each.arg for each in node.keywords if each.arg)
        if not self.ask(node.func, keywords=keywords):
            self.visit(node.func)
        for each in (*node.args, *node.keywords):
            self.visit(each)


def reword(source: str, changes: Mapping[str, Mapping[str, str]]) -> str:
    """A module's source, with what the layer changes in its functions.

    See d2lzh_compat/rewording.py; line numbers stay.
    """
    lines = source.splitlines(keepends=True)
    tree: Any = ast.parse(source) if changes else None
    for path, words in changes.items():
        node = tree
        for name in path.split("."):
            node = next(each for each in reversed(node.body)
                        if getattr(each, "name", None) == name)
        place = slice(node.lineno - 1, node.end_lineno)
        text = "".join(lines[place])
        for old, new in words.items():
            text = text.replace(old, new)
        lines[place] = text.splitlines(keepends=True)
    return "".join(lines)


def read(module: str, source: str) -> Names:
    """What a module's source takes from other packages than MXNet."""
    return _Reader(module, ast.parse(source)).names


def _import(name: str) -> Any:
    """A module, or what is in one: numpy.random, onnx.mapping."""
    package, _, last = name.rpartition(".")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name or not package:
            raise
    return getattr(_import(package), last)


def _attribute(value: Any, name: str) -> Any:
    try:
        return getattr(value, name)
    except AttributeError:
        # A module of a package, which may not have been imported yet.
        path = f"{value.__name__}.{name}"
        if not hasattr(value, "__path__") or find_spec(path) is None:
            raise
    return importlib.import_module(path)


@cache
def is_deprecated(function: types.FunctionType) -> bool:
    """Whether a function says so as soon as it is called."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError, TypeError):  # no source, or half a line
        return False
    return any(
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func).endswith("warn")
        and "DeprecationWarning" in ast.unparse(node)
        for statement in tree.body if isinstance(statement, ast.FunctionDef)
        for node in statement.body)


def resolve(use: Use, variables: Mapping[str, Any]) -> None:
    """Take what is asked for, as its module takes it.

    `variables` are the module's globals; none if it cannot be imported.
    What is deprecated warns.

    Raises:
        ImportError, AttributeError: there is no such name.
        TypeError: what it calls does not take one of the keywords.
    """
    value = (variables[use.variable] if use.variable in variables
             else _import(use.source))
    for name in filter(None, use.name.split(".")):
        # An object's attributes are its own affair.
        if not isinstance(value, (types.ModuleType, type)):
            return
        value = _attribute(value, name)
    function = inspect.unwrap(value) if callable(value) else None
    if isinstance(function, types.FunctionType) and is_deprecated(function):
        warnings.warn(f"{use.full_name} is deprecated", DeprecationWarning,
                      stacklevel=2)
    if use.keywords:
        try:
            parameters = inspect.signature(value).parameters
        except (NameError, TypeError, ValueError):  # it does not tell
            return
        if all(each.kind is not each.VAR_KEYWORD
               for each in parameters.values()):
            for keyword in use.keywords:
                if keyword not in parameters:
                    raise TypeError(f"it takes no argument {keyword!r}")
