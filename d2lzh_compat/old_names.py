"""Names that NumPy and Python have removed, for the files of an old script.

The names are there for the script's own files, and for nobody else: NumPy and
the standard library stay as they are, so that a library that asks whether
there is an `np.int` gets the answer its author has tested. Where a file of
the script says `np.int`, it is compiled as if it said `asked(np, "int").int`,
and `asked` returns NumPy itself where that has the name, else a stand-in that
has this one name. So `np` is NumPy wherever the script hands it on, functions
and later imports need no care, and an error is raised by the script's own
line. None of it goes into `__pycache__`.

`old_syntax` compiles, `run_script` runs a script; here is what compiled files
call, what finds them, and `put_back` for notebooks and programs.
"""
from __future__ import annotations

import ast
import builtins
import contextlib
import functools
import json
import math
import os
import re
import sys
import sysconfig
import types
from collections.abc import Callable, Collection
from importlib.machinery import SourceFileLoader
from typing import Any

from d2lzh_compat.old_syntax import OLD_NAMES, OldSyntax, compiled
from d2lzh_compat.removed import (
    CLASSES,
    MODULES,
    arrays_are_no_numbers,
    value,
)

_METHODS = {name for names in CLASSES.values() for name in names}

Place = tuple[str, int]  # a file and a line

NOTHING = "d2lzh_compat: no removed name was asked for.\n"
# What was used: the old name, today's spelling, the place.
_notes: set[tuple[str, str, str, int]] = set()
_shared = ""  # a file to which a script's child processes write theirs


def share_notes(file: str) -> None:
    """Let all processes that get the same file report together."""
    global _shared
    _shared = file


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
        module = vars(owner).get("__name__", "")
        names = MODULES.get(module, {})
        # Not hasattr(): it makes NumPy 1.20 to 1.23 and Python 3.9 warn.
        function = vars(owner).get(name)
        if module == "numpy" and name in _CHANGED:
            return _as_before(place, name, function)
        if name not in names or name in vars(owner):
            return owner
        _note(f"{module}.{name}", names[name], place)
        return types.SimpleNamespace(**{name: value(module, name)})
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


def _fromstring(place: Place, name: str, function: Any, *args: Any,
                sep: str = "", **kwargs: Any) -> Any:
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


# Functions of NumPy that are there still, and do less.
_CHANGED: dict[str, Any] = {"fromstring": _fromstring, **{
    name: _of_objects for name, spelling in MODULES["numpy"].items()
    if "dtype=object" in spelling}}


@functools.lru_cache(None)  # for loops
def _as_before(place: Place, name: str, function: Any) -> Any:
    return types.SimpleNamespace(**{name: functools.update_wrapper(
        functools.partial(_CHANGED[name], place, name, function), function)})


def _is_number(array: Any) -> bool:
    """Whether NumPy has made a number of it, and does so no more."""
    np: Any = sys.modules.get("numpy")
    return (np is not None and isinstance(array, np.ndarray)
            and array.size == 1 and array.ndim > 0
            and type(array).__float__ is np.ndarray.__float__
            and arrays_are_no_numbers())


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


class OldLoader(SourceFileLoader):
    """Has the code of an old file."""

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
            os.path.join(sysconfig.get_path(name), "")
            for name in ("stdlib", "platstdlib", "purelib", "platlib"))

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
                    spec.loader = OldLoader(name, spec.origin)
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
        return NOTHING
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


def install(folder: str, packages: Collection[str]) -> _Finder:
    """Give the names to files in a folder, and to packages."""
    setattr(builtins, OLD_NAMES, sys.modules[__name__])
    finder = _Finder(folder, packages)
    sys.meta_path.insert(0, finder)
    return finder


class _Cells(OldSyntax):
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
    finder = install(os.path.dirname(os.path.abspath(file)) if file
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
