"""Errors of operators written in Python, at the end of the traceback.

MXNet calls the methods of a `CustomOp`, its `CustomOpProp` and an
`autograd.Function` from C++, on a thread of its own. An error there was
printed, and what the program got, later, where it read the result, was an
MXNetError of "Check failed ... custom.cc". Now that error has the one behind
it as its cause, and its text ends with it. The class is the same.

MXNet does not say which call a check was of. The error taken is the last one
of its kind (forward, backward, the rest) that has not been raised yet: one
whose result nobody reads is not mistaken for a later one's. Where two
results wait that have failed in different ways, their errors may be swapped.
"""
from __future__ import annotations

import atexit
import builtins
import functools
import re
import sys
import traceback
from collections import defaultdict, deque
from typing import Any

# What runs on MXNet's threads. Any other method's error is raised by the
# call that caused it.
_LATER = {"[kCustomOpForward]": "CustomOp.forward",
          "[kCustomOpBackward]": "CustomOp.backward",
          "[kCustomFunctionBackward]": "Function.backward"}

# Of each of them, and of the rest under "": those not raised yet, as (where,
# error). Few, for they hold their arrays.
_errors: defaultdict[str, deque[tuple[str, Exception]]] = defaultdict(
    lambda: deque(maxlen=4))


def _print(text: str) -> None:
    """MXNet's `print` in an except clause; its only use there."""
    where = text.partition(":")[0].replace("Error in ", "", 1)
    error = sys.exc_info()[1]
    if isinstance(error, Exception) and not where.endswith(".delete"):
        _errors[where if where in _LATER.values() else ""].append(
            (where, error))
    builtins.print(text)


def _behind(message: str) -> tuple[str, Exception] | None:
    """The error, and where, that let the check of `message` fail."""
    found = re.search(r"callbacks(\[\w+\])", message)
    errors = _errors[_LATER.get(found[1], "")] if found else None
    return errors.pop() if errors else None


def _in_words(where: str, error: Exception) -> str:
    lines = "".join(traceback.format_exception_only(type(error), error))
    frames = traceback.extract_tb(error.__traceback__)
    place = f", {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"The error behind it, in {where}{place}:\n{lines.rstrip()}"


class _NotMade:
    """In the place of a CustomOpProp whose `__init__` has failed.

    MXNet asks it for its arguments next, and can take an error there. That
    nothing was made would end Python.
    """

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __getattr__(self, name: str) -> Any:
        raise self.error


def mend(mxnet: Any) -> None:
    """Let an MXNet just imported raise such errors with their cause.

    And let Python's end wait for such operators: it stopped their threads,
    and now and then waited for ever for one that an operator still pending
    had started. It comes before MXNet's own function, registered earlier.
    """
    atexit.register(mxnet.nd.waitall)
    for module in (mxnet.operator, mxnet.autograd):
        module.print = _print
    last_error = mxnet.base.get_last_ffi_error

    @functools.wraps(last_error)
    def with_cause() -> Exception:
        error: Exception = last_error()
        behind = _behind(str(error))
        if behind:
            error = type(error)(f"{error}\n{_in_words(*behind)}")
            error.__cause__ = behind[1]
        return error

    for name in ("mxnet.base", "mxnet._ffi._ctypes.function"):
        vars(sys.modules[name])["get_last_ffi_error"] = with_cause
    register = mxnet.operator.register

    @functools.wraps(register)
    def mended(reg_name: str) -> Any:
        def do_register(prop_cls: Any) -> Any:
            def make(**kwargs: str) -> Any:
                try:
                    return prop_cls(**kwargs)
                except Exception as error:
                    return _NotMade(error)

            register(reg_name)(make)
            return prop_cls

        return do_register

    mxnet.operator.register = mended
