"""The unit tests once more, on the newest Python and NumPy of the pins.

`make test` runs this; see the session below.
"""
from __future__ import annotations

import os
import subprocess

import nox

NEWEST = "3.13"

nox.options.envdir = ".nox"
nox.options.reuse_existing_virtualenvs = True
nox.options.default_venv_backend = "virtualenv"


def _find(version: str) -> str | None:
    """The path of a Python that runs: a shim on PATH may not."""
    # $PYTHON chooses the interpreter of .venv, not this one.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHON"}
    result = subprocess.run(
        ["sh", "tools/find-python.sh", version], env=environment,
        capture_output=True, text=True, check=False)
    return result.stdout.strip() or None


_newest = _find(NEWEST)


@nox.session(python=_newest or False)
def newest(session: nox.Session) -> None:
    """Run the unit tests on Python 3.13."""
    if _newest is None:
        reason = (f"no CPython {NEWEST} with venv was found, so the unit "
                  "tests are not repeated on it")
        if os.environ.get("CI"):
            session.error(reason)
        session.skip(reason)
    # As in tools/setup.sh: MXNet's metadata refuses NumPy 2.
    session.install("--quiet", "--no-deps", "-r", "requirements-test.txt")
    session.install("--quiet", "--no-deps", "--no-build-isolation", "-e", ".")
    session.run("python", "-m", "pytest", "tests", *session.posargs)
