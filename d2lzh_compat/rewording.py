"""Functions of MXNet with a few words of their source replaced.

MXNet 1.9.1 is the last release, so what its files say stays. A function is
compiled anew when it is first called: nothing is read while MXNet is imported.
"""
from __future__ import annotations

import functools
import inspect
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

Changes = Mapping[str, str]  # what a source says: what it must say


def compile_anew(function: Any, changes: Changes) -> Any:
    """The function that its source makes after `changes`.

    Raises:
        LookupError: the source does not have what is to change.
    """
    lines, first = inspect.getsourcelines(function)
    source = textwrap.dedent("".join(lines))
    for old, new in changes.items():
        if old not in source:
            raise LookupError(f"{function.__qualname__}: no {old!r}")
        source = source.replace(old, new)
    # Tracebacks show the file of MXNet, and the line there.
    code = compile("\n" * (first - 1) + source,
                   inspect.getsourcefile(function) or "?", "exec",
                   dont_inherit=True)
    made: dict[str, Any] = {}
    exec(code, function.__globals__, made)
    anew = made[function.__name__]
    return anew.__func__ if isinstance(anew, staticmethod) else anew


def _reworded(function: Any, changes: Changes) -> Any:
    anew = functools.lru_cache(None)(
        functools.partial(compile_anew, function, changes))

    @functools.wraps(function)
    def first_compiled(*args: Any, **kwargs: Any) -> Any:
        return anew()(*args, **kwargs)

    return first_compiled


def reword(module: Any, changes: Mapping[str, Changes]
           ) -> dict[Any, Callable[..., Any]]:
    """Replace functions of a module and methods of its classes.

    Args:
        changes: for each `function` or `Class.method`, what to change.

    Returns:
        What has been replaced, and by what.
    """
    replaced = {}
    for path, words in changes.items():
        *classes, name = path.split(".")
        owner = functools.reduce(getattr, classes, module)
        found = vars(owner)[name]
        if isinstance(found, staticmethod):
            setattr(owner, name, staticmethod(
                _reworded(found.__func__, words)))
        else:
            replaced[found] = _reworded(found, words)
            setattr(owner, name, replaced[found])
    return replaced
