"""Errors of operators written in Python, at the end of the traceback.

MXNet calls the methods of a `CustomOp`, its `CustomOpProp` and an
`autograd.Function` from C++, on a thread of its own. It printed an error
there, and raised an MXNetError of "Check failed ... custom.cc" where the
result was read. The text of that MXNetError now ends with the error behind
it, which is its cause. The class is the same.

MXNet does not say which call a check was of. The error behind it is the one
that came since the last check, of the same kind (forward, backward, the
rest). Where several came, on threads say, the text names them all.
"""
from __future__ import annotations

import atexit
import builtins
import functools
import re
import sys
from collections import defaultdict, deque
from typing import Any

# What runs on MXNet's threads. Any other method's error is raised by the
# call that caused it.
_LATER = {"[kCustomOpForward]": "CustomOp.forward",
          "[kCustomOpBackward]": "CustomOp.backward",
          "[kCustomFunctionBackward]": "Function.backward"}

Found = tuple[str, Exception]  # where, and what


class _Noted:
    """Errors of one kind that have come up, the last few."""

    def __init__(self) -> None:
        self.errors: deque[Found] = deque(maxlen=4)  # they hold their arrays
        self.since = 0  # the last check
        self.mixed = 0  # how many checks more may be of these

    def add(self, where: str, error: Exception) -> None:
        self.errors.append((where, error))
        self.since += 1

    def take(self) -> list[Found]:
        """Those of which one is behind a check that has failed."""
        if self.since == 1 and not self.mixed:
            found = [self.errors[-1]]
        else:
            found = [*self.errors]
        self.mixed = max(self.since, self.mixed) - 1
        self.since = 0
        if self.mixed <= 0:
            self.mixed = 0
            self.errors.clear()
        return found


_errors: defaultdict[str, _Noted] = defaultdict(_Noted)


def _print(text: str) -> None:
    """MXNet's `print` in an except clause; its only use there."""
    where = text.partition(":")[0].replace("Error in ", "", 1)
    error = sys.exc_info()[1]
    if isinstance(error, Exception) and not where.endswith(".delete"):
        _errors[where if where in _LATER.values() else ""].add(where, error)
    builtins.print(text)


def _behind(message: str) -> list[Found]:
    """The error, and where, that let the check of `message` fail."""
    found = re.search(r"callbacks(\[\w+\])", message)
    return _errors[_LATER.get(found[1], "")].take() if found else []


def _in_words(where: str, error: Exception) -> str:
    import traceback

    lines = "".join(traceback.format_exception_only(type(error), error))
    frames = traceback.extract_tb(error.__traceback__)
    place = f", {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"in {where}{place}:\n{lines.rstrip()}"


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
    had started. A program without any ends as it did, whatever is pending.
    """
    def wait_at_exit(*_: Any) -> None:
        # Once, and before MXNet's own function, registered earlier.
        atexit.unregister(mxnet.nd.waitall)
        atexit.register(mxnet.nd.waitall)

    mxnet.autograd.Function.__init_subclass__ = classmethod(wait_at_exit)
    for module in (mxnet.operator, mxnet.autograd):
        module.print = _print
    last_error = mxnet.base.get_last_ffi_error

    @functools.wraps(last_error)
    def with_cause() -> Exception:
        error: Exception = last_error()
        behind = _behind(str(error))
        if behind:
            words = "\n".join(_in_words(*each) for each in behind)
            title = ("The error behind it, " if len(behind) == 1 else
                     "The error behind it is one of these:\n")
            error = type(error)(f"{error}\n{title}{words}")
            if len(behind) == 1:
                error.__cause__ = behind[0][1]
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

            wait_at_exit()
            register(reg_name)(make)
            return prop_cls

        return do_register

    mxnet.operator.register = mended
