"""Run an old script, with the names that NumPy and Python have removed.

    python -m d2lzh_compat script.py arguments...

The names are there for the script's own files, and for nobody else: NumPy and
the standard library stay as they are, so that a library that asks whether
there is an `np.int` gets the answer its author has tested. Where a file of
the script says `np.int`, it is compiled as if it said `asked(np, "int").int`,
and `asked` returns NumPy itself where that has the name, else a stand-in that
has this one name. So `np` is NumPy wherever the script hands it on, functions
and later imports need no care, and an error is raised by the script's own
line. `from collections import Iterable` is compiled in this way, too, and so
are `float(a)`, `math.exp(a)`, `"%f" % a` and `b[0] = a`, for arrays of one
number. None of it goes into `__pycache__`.

What a `try` that catches ImportError or AttributeError asks for is left to
it: such a script helps itself.
"""
from __future__ import annotations

import ast
import atexit
import builtins
import contextlib
import copy
import functools
import importlib.util
import json
import math
import os
import re
import sys
import sysconfig
import tempfile
import types
import warnings
from collections.abc import Callable, Collection, Iterator
from importlib.machinery import SourceFileLoader
from typing import Any

from d2lzh_compat.removed import CLASSES, MODULES, value

_USAGE = """\
usage: python -m d2lzh_compat [--names PACKAGES] script.py arguments...
       python -m d2lzh_compat [--names PACKAGES] -m module arguments...

Runs an old script as `python` does, and puts names back that NumPy and
Python have removed: np.int, collections.Iterable, time.clock and more. They
are there for the files in the script's folder, and for those of PACKAGES (a
list with commas), wherever they are. At the end it says which name was used
where, and what to write today.
"""

# Under this name compiled files find this module: among the builtin names,
# for code may be executed in any namespace.
_HERE = "__d2lzh_old_names__"
_METHODS = {name for names in CLASSES.values() for name in names}
_NAMES = _METHODS.union(*MODULES.values())
_OBJECTS = {name for name, spelling in MODULES["numpy"].items()
            if "dtype=object" in spelling}
_MATH = {name for name in vars(math) if not name.startswith("_")}

Place = tuple[str, int]  # a file and a line

_NOTHING = "d2lzh_compat: no removed name was asked for.\n"
# What was used: the old name, today's spelling, the place.
_notes: set[tuple[str, str, str, int]] = set()
# With the runner, a file to which its child processes write theirs.
_shared = ""


def _note(name: str, spelling: str, place: Place) -> None:
    note = (name, spelling, *place)
    if note not in _notes:
        _notes.add(note)
        if _shared:
            with open(_shared, "a", encoding="utf-8") as file:
                file.write(json.dumps(note) + "\n")


# What compiled files call.

def asked(owner: Any, name: Any, place: Place) -> Any:
    """`owner`, or what has the name that it has lost."""
    if isinstance(owner, types.ModuleType):
        module = vars(owner).get("__name__")
        names = MODULES.get(module, {}) if isinstance(module, str) else {}
        if name not in names:
            return owner
        if module == "numpy" and name in _OBJECTS:
            return _making_objects(place, name, getattr(owner, name))
        full = f"{module}.{name}"
        if full == "numpy.fromstring":
            found = functools.partial(_fromstring, place)
        # Not hasattr(): it makes NumPy 1.20 to 1.23 and Python 3.9 warn.
        elif name in vars(owner):
            return owner
        else:
            found = value(module, name)
            _note(full, names[name], place)
        return types.SimpleNamespace(**{name: found})
    if name in _METHODS:
        for kind in type(owner).__mro__:
            full = f"{kind.__module__}.{kind.__qualname__}"
            names = CLASSES.get(full, {})
            if name in names and not hasattr(owner, name):
                _note(f"{full}.{name}", names[name], place)
                method = (getattr(owner, names[name][1:])
                          if names[name].startswith(".") else
                          functools.partial(value(full, name), owner))
                return types.SimpleNamespace(**{name: method})
    return owner


def taken(module: str, name: str, place: Place) -> Any:
    """What ``from module import name`` brings."""
    return getattr(asked(sys.modules[module], name, place), name)


def _fromstring(place: Place, *args: Any, sep: str = "", **kwargs: Any
                ) -> Any:
    if not sep:
        _note("numpy.fromstring", MODULES["numpy"]["fromstring"], place)
    return value("numpy", "fromstring")(*args, sep=sep, **kwargs)


def _of_objects(place: Place, name: str, function: Any, *args: Any,
                **kwargs: Any) -> Any:
    """A function that made arrays of objects where lengths differ."""
    try:
        return function(*args, **kwargs)
    except ValueError as error:
        if "inhomogeneous" not in str(error) or (
                name != "save" and (len(args) > 1 or "dtype" in kwargs)):
            raise
        _note(f"numpy.{name}", MODULES["numpy"][name], place)
        if name != "save":
            return function(*args, dtype=object, **kwargs)
        import numpy as np

        file, values, *others = args
        return function(file, np.asanyarray(values, dtype=object), *others,
                        **kwargs)


@functools.lru_cache(None)  # for loops
def _making_objects(place: Place, name: str, function: Any) -> Any:
    return types.SimpleNamespace(**{name: functools.update_wrapper(
        functools.partial(_of_objects, place, name, function), function)})


@functools.lru_cache(None)
def _numpy_refuses() -> bool:
    """Whether an array of one number, with axes, is no number any more."""
    import numpy as np

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy 1.25 to 2.4 only warn
        try:
            float(np.ones(1))
        except TypeError:
            return True
    return False


def _is_number(array: Any) -> bool:
    """Whether NumPy has made a number of it, and does so no more."""
    np: Any = sys.modules.get("numpy")
    return (np is not None and isinstance(array, np.ndarray)
            and array.size == 1 and array.ndim > 0
            and type(array).__float__ is np.ndarray.__float__
            and _numpy_refuses())


def number(function: Any, array: Any, place: Place) -> Any:
    """What the builtin `function`, or one of `math`, is to take."""
    # Not `in`: it would compare an array, in `array.sqrt(x)`.
    if _is_number(array) and any(
            function is each for each in (float, int, complex, math)):
        name = "math.*" if function is math else function.__name__
        _note(f"{name}(array of one number)", f"{name}(array.item())", place)
        return array.item()
    return array


def text(template: str, values: Any, place: Place) -> Any:
    """What ``template %`` is to take."""
    if not any(map(_is_number, values if isinstance(values, tuple)
                   else [values])):
        return values
    kinds = [kind for stars, kind in re.findall(
        r"%(?:\(.*?\))?[-+ #0]*((?:\*|\d+)?(?:\.(?:\*|\d+))?)[hlL]?(.)",
        template) for kind in [*"d" * stars.count("*"), kind] if kind != "%"]

    def one(kind: str, array: Any) -> Any:
        if kind in "diufFeEgG" and _is_number(array):
            _note("'%' of an array of one number", "array.item()", place)
            return array.item()
        return array

    if isinstance(values, tuple) and len(values) == len(kinds):
        return tuple(map(one, kinds, values))
    return one(kinds[0], values) if len(kinds) == 1 else values


def element(new: Any, array: Any, index: Any, place: Place) -> Any:
    """What ``array[index] =`` is to take, which is computed first."""
    if (_is_number(new) and type(array) is sys.modules["numpy"].ndarray
            and not array.dtype.hasobject):
        with contextlib.suppress(Exception):  # its own line will raise it
            if array[index].ndim == 0:
                _note("a[i] = array of one number", "a[i] = array.item()",
                      place)
                return new.reshape(())
    return new


# How files are compiled.

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


class OldNames(ast.NodeTransformer):
    """Let the code of one file ask this module for removed names."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.caught: set[str] = set()  # by the `try` around

    def call(self, node: Any, function: str, *args: Any) -> Any:
        """A call of one of the functions above, in the place of `node`."""
        values: list[Any] = [
            each if isinstance(each, ast.AST) else ast.Constant(each)
            for each in (*args, (self.file, node.lineno))]
        call = ast.Call(ast.Attribute(
            ast.Name(_HERE, ast.Load()), function, ast.Load()), values, [])
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
                node, "element", node.value, _loaded(target.value),
                _loaded(target.slice))
        return node

    def visit_match_case(self, node: Any) -> Any:
        # A pattern has room for a plain name only.
        pattern, node.pattern = node.pattern, ast.Pass()
        self.generic_visit(node)
        node.pattern = pattern
        return node


def _loaded(node: Any) -> Any:
    """The same expression once more, to be read."""
    again = copy.deepcopy(node)
    for part in ast.walk(again):
        if hasattr(part, "ctx"):
            part.ctx = ast.Load()
    return again


def compiled(source: Any, file: str) -> types.CodeType:
    """The code of a file that asks this module for removed names."""
    limit = sys.getrecursionlimit()
    # `elif` for `elif` and `+` for `+`, a tree goes deeper.
    sys.setrecursionlimit(max(limit, 5000))
    try:
        tree = OldNames(file).visit(ast.parse(source, file))
        code: types.CodeType = compile(tree, file, "exec", dont_inherit=True)
    finally:
        sys.setrecursionlimit(limit)
    return code


class _Loader(SourceFileLoader):
    def get_code(self, fullname: str) -> types.CodeType:
        # Without the cache: it is plain Python's.
        path = self.get_filename(fullname)
        return compiled(self.get_data(path), path)


class _Finder:
    """Lets a script's modules be compiled with the removed names."""

    def __init__(self, folder: str, packages: Collection[str]) -> None:
        self.folder = os.path.join(folder, "")
        self.packages = packages
        # They may be in the folder, an environment say.
        self.libraries = tuple(
            os.path.join(path, "") for name, path in
            sysconfig.get_paths().items()
            if name in ("stdlib", "platstdlib", "purelib", "platlib"))

    def is_old(self, name: str, path: str) -> bool:
        if name.partition(".")[0] in self.packages:
            return True
        path = os.path.abspath(path)
        return (path.startswith(self.folder)
                and not path.startswith(self.libraries)
                and not {"site-packages", "dist-packages"} & {
                    *path[len(self.folder):].split(os.sep)})

    def find_spec(self, name: str, path: Any = None, target: Any = None
                  ) -> Any:
        after = sys.meta_path[sys.meta_path.index(self) + 1:]
        for finder in after:
            find = getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find else None
            if spec is not None:
                if type(spec.loader) is SourceFileLoader and self.is_old(
                        name, spec.origin):
                    spec.loader = _Loader(name, spec.origin)
                return spec
        return None


def _near(path: str) -> str:
    with contextlib.suppress(OSError, ValueError):  # no folder, two drives
        near = os.path.relpath(path)
        return path if near.startswith("..") else near
    return path


def report() -> str:
    """Which removed names were used where, and what to write today."""
    notes = set(_notes)
    if _shared:
        with open(_shared, encoding="utf-8") as file:
            notes.update(tuple(json.loads(line)) for line in file)
    if not notes:
        return _NOTHING
    lines: dict[tuple[str, str], dict[str, list[int]]] = {}
    for name, spelling, path, line in sorted(notes):
        lines.setdefault((name, spelling), {}).setdefault(
            _near(path), []).append(line)
    rows = [(name, spelling, "; ".join(
        f"{path}:{', '.join(map(str, at))}" for path, at in places.items()))
        for (name, spelling), places in lines.items()]
    wide = [max(len(row[i]) for row in rows) for i in (0, 1)]
    return ("d2lzh_compat: these names are gone and were put back. To run "
            "without it, write\n" + "".join(
                f"  {spelling:{wide[1]}}  for  {name:{wide[0]}}  {places}\n"
                for name, spelling, places in rows))


def _install(folder: str, packages: Collection[str]) -> _Finder:
    setattr(builtins, _HERE, sys.modules[__name__])
    finder = _Finder(folder, packages)
    sys.meta_path.insert(0, finder)
    return finder


# The runner.

def _main_module(name: str, file: str, loader: Any) -> types.ModuleType:
    """A module `__main__`, in the place of the one there is."""
    module = types.ModuleType(name)
    vars(module).update(__file__=file, __builtins__=builtins,
                        __loader__=loader)
    if sys.version_info < (3, 15):  # which has it no more
        vars(module)["__cached__"] = None
    sys.modules["__main__"] = sys.modules[name] = module
    return module


class _ForChild(dict):  # type: ignore[type-arg]
    """What a child process is told, which gets the names by reading it."""

    def __reduce__(self) -> Any:
        return _in_child, (dict(self), *_runs, _shared)


_runs: tuple[str, Collection[str]]  # the runner's folder and packages


def _in_child(data: dict[str, Any], folder: str, packages: Collection[str],
              shared: str) -> dict[str, Any]:
    from multiprocessing import spawn

    global _shared
    _shared = shared
    _run_with(folder, packages)
    path = data.pop("init_main_from_path", None)
    spawn.prepare(data)
    if path is not None:
        loader = _Loader("__mp_main__", path)
        old, new = sys.modules["__main__"], _main_module(
            "__mp_main__", path, loader)
        vars(spawn)["old_main_modules"].append(old)
        exec(loader.get_code("__mp_main__"), vars(new))
    return {}


def _run_with(folder: str, packages: Collection[str]) -> None:
    """Give this process the names, and those that it starts."""
    from multiprocessing import forkserver, spawn

    global _runs
    _runs = folder, packages
    _install(folder, packages)
    told = spawn.get_preparation_data
    spawn.get_preparation_data = lambda name: _ForChild(told(name))
    # Else it would import the script before it is told.
    forkserver.set_forkserver_preload([])


def _options(args: list[str]) -> tuple[list[str], str, list[str]]:
    """The packages, "-m" or "", and the script with its arguments."""
    packages: list[str] = []
    while args and args[0].startswith("-"):
        option, equals, names = args.pop(0).partition("=")
        if option == "--names" and (equals or args):
            packages += (names if equals else args.pop(0)).split(",")
        elif option == "-m" and args:
            return packages, option, args
        elif option in ("-h", "--help"):
            print(_USAGE, end="")
            sys.exit()
        else:
            args.clear()
    if not args:
        sys.stderr.write(_USAGE)
        sys.exit(2)
    return packages, "", args


def _start_module(name: str) -> tuple[types.ModuleType, types.CodeType]:
    try:
        spec: Any = importlib.util.find_spec(name)
        if spec and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{name}.__main__")
    except ModuleNotFoundError as error:
        sys.exit(f"{sys.executable}: {error}")
    if spec is None or not hasattr(spec.loader, "get_code"):
        sys.exit(f"{sys.executable}: No module named {name}")
    code = spec.loader.get_code(spec.name)
    module = _main_module("__main__", spec.origin, spec.loader)
    vars(module).update(__spec__=spec, __package__=spec.parent)
    if "__cached__" in vars(module):
        vars(module)["__cached__"] = spec.cached
    sys.argv[0] = spec.origin
    return module, code


def _start_script(path: str) -> tuple[types.ModuleType, types.CodeType]:
    file = os.path.join(os.getcwd(), path)
    loader = _Loader("__main__", file)
    module = _main_module("__main__", file, loader)
    try:
        return module, loader.get_code("__main__")
    except OSError as error:
        sys.stderr.write(f"{sys.executable}: can't open file {file!r}: "
                         f"[Errno {error.errno}] {error.strerror}\n")
        sys.exit(2)


@contextlib.contextmanager
def _own_traceback(code: list[types.CodeType]) -> Iterator[None]:
    """Let an error's traceback begin at the script."""
    try:
        yield
    except BaseException:
        show = sys.excepthook  # the script may have set it

        def show_script(kind: Any, error: Any, trace: Any) -> None:
            while trace and trace.tb_frame.f_code not in code:
                trace = trace.tb_next
            show(kind, error.with_traceback(trace), trace)

        sys.excepthook = show_script
        raise


def main() -> None:
    """Run the script that the command line names, and report."""
    global _shared
    packages, module, args = _options(sys.argv[1:])
    handle, _shared = tempfile.mkstemp(prefix="d2lzh_old_names_")
    os.close(handle)
    process, whole = os.getpid(), False

    def at_exit() -> None:
        if os.getpid() == process:  # and not a fork
            text = report()
            os.remove(_shared)
            if whole or text != _NOTHING:
                sys.stderr.write(text)

    atexit.register(at_exit)
    sys.argv[:] = args
    folder = os.getcwd() if module else os.path.dirname(
        os.path.realpath(args[0]))
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = folder
    _run_with(folder, packages)
    code: list[types.CodeType] = []
    with _own_traceback(code):
        script, found = (_start_module if module else _start_script)(args[0])
        code.append(found)
        try:
            exec(found, vars(script))
        except SystemExit as error:
            whole = not error.code
            raise
    whole = True


# For notebooks and programs.

class _Cells(OldNames):
    """What IPython has each cell pass through."""

    def __init__(self, shell: Any) -> None:
        super().__init__("")
        self.shell = shell

    def visit_Module(self, node: ast.Module) -> Any:
        cells = self.shell.history_manager.input_hist_parsed  # with none, 0
        self.file = f"cell {len(cells) - 1}"
        return self.generic_visit(node)


class _PutBack(contextlib.ExitStack):
    def _ipython_display_(self) -> None:
        """Show nothing under the cell."""


def put_back(*packages: str) -> contextlib.ExitStack:
    """Put the removed names back for old code that comes after this line.

        from d2lzh_compat import old_names
        old_names.put_back()

    In a notebook these are the cells below, and the modules in its folder
    that they import. In a program, modules in its folder, and those of
    `packages`, that are imported from then on; what has been imported before,
    the program itself too, is compiled already and stays as it is. `with
    old_names.put_back("gluoncv"):` is for the imports in that block, and
    writes `report` to stderr where it ends.
    """
    file = sys._getframe(1).f_globals.get("__file__")
    finder = _install(os.path.dirname(os.path.abspath(file)) if file
                      else os.getcwd(), packages)
    stack = _PutBack()
    stack.callback(lambda: sys.stderr.write(report()))
    stack.callback(sys.meta_path.remove, finder)
    ipython: Any = sys.modules.get("IPython")
    shell: Callable[[], Any] | None = getattr(ipython, "get_ipython", None)
    if shell and shell() and not file:
        cells = _Cells(shell())
        cells.shell.ast_transformers.append(cells)
        stack.callback(cells.shell.ast_transformers.remove, cells)
    return stack
