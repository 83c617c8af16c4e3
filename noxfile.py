"""What needs an environment of its own.

`make test` runs the first six sessions, `make matrix` and `make projects`
those after them.
"""
from __future__ import annotations

import glob
import os
import shutil
import subprocess

import nox

MAIN, NEWEST = "3.11", "3.13"
# The oldest of each that the Python can install and the course admits.
OLDEST = {"3.9": ("numpy==1.23.0", "ipython==7.34.0"),
          "3.10": ("numpy==1.23.0", "ipython==7.34.0"),
          "3.11": ("numpy==1.23.2", "ipython==7.34.0"),
          "3.12": ("numpy==1.26.0", "ipython==8.16.0"),
          "3.13": ("numpy==2.1.0", "ipython==8.28.0")}
# Without what looks at notebooks, pages and benchmarks: that is the same on
# every Python.
TESTS = ["-n", "auto", "tests", "--ignore=tests/house",
         "--ignore=tests/chapters/test_chapters.py"]
# What a line of the matrix runs.
LINE = ["-q", "-p", "no:cacheprovider", "--nbval", "--nbval-current-env",
        "--nbval-sanitize-with", "tests/nbval.cfg", *TESTS,
        "chapters/05-lenet.ipynb"]

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


_pythons = {version: _find(version) for version in (MAIN, NEWEST)}


def _require(session: nox.Session, version: str) -> str:
    """That Python; skip where it is missing; in CI it may not be."""
    python = _pythons[version]
    if python is None:
        reason = f"no CPython {version} with venv was found"
        if os.environ.get("CI"):
            session.error(reason)
        session.skip(reason)
    return python


def _beside(session: nox.Session) -> None:
    """Run the tests of what MXNet uses where it is, and we do not need.

    Last, for it makes MXNet's import slower.
    """
    session.install("--quiet", "scipy", "onnx", "onnxruntime",
                    "opencv-python-headless", "-c", "requirements-test.txt")
    session.run("python", "-m", "pytest", "-n", "auto", *(
        f"tests/compat/test_{name}.py"
        for name in ("modules", "names", "onnx")))


@nox.session(python=_pythons[NEWEST] or False)
def newest(session: nox.Session) -> None:
    """Run the unit tests on Python 3.13 and the newest NumPy of the pins."""
    _require(session, NEWEST)
    # As in tools/setup.sh: MXNet's metadata refuses NumPy 2.
    session.install("--quiet", "--no-deps", "-r", "requirements-test.txt")
    session.install("--quiet", "--no-deps", "--no-build-isolation", "-e", ".")
    session.run("python", "-m", "pytest", *TESTS, *session.posargs)
    _beside(session)


@nox.session(python=_pythons[MAIN] or False)
def beside(session: nox.Session) -> None:
    """Try what MXNet does with other packages, on an old NumPy."""
    _require(session, MAIN)
    session.install("--quiet", "--no-deps", "-r", "requirements-test.txt")
    session.install("--quiet", "--no-deps", "--no-build-isolation", "-e", ".")
    _beside(session)


@nox.session(python=_pythons[MAIN] or False)
def first_edition(session: nox.Session) -> None:
    """Ask `d2lzh` itself, on an old NumPy, for the recorded results."""
    _require(session, MAIN)
    session.install(
        "--quiet", "numpy==1.23.5", "mxnet==1.9.1", "d2lzh==1.0.0",
        "matplotlib<3.9", "ipython<8", "setuptools<70")
    session.run("python", "-W", "ignore", "tests/ext/first_edition.py")


@nox.session(python=_pythons[MAIN] or False)
def installed(session: nox.Session) -> None:
    """Build a wheel, install it, and use it far from the clone."""
    _require(session, MAIN)
    folder = session.create_tmp()
    wheels = os.path.join(folder, "wheels")
    shutil.rmtree(wheels, ignore_errors=True)
    session.run("python", "-m", "pip", "wheel", "--quiet", "--no-deps",
                "--wheel-dir", wheels, ".")
    (wheel,) = glob.glob(os.path.join(wheels, "*.whl"))
    session.install("--quiet", wheel)  # with all that it depends on
    # Once more, for the version does not change with the code.
    session.install("--quiet", "--no-deps", "--force-reinstall", wheel)
    script = os.path.abspath("tests/house/installed.py")
    data = os.path.abspath("data")
    session.chdir(folder)
    session.run("python", "-I", script, env={"D2LZH_DATA": data})


@nox.session(python=_pythons[NEWEST] or False)
def colab(session: nox.Session) -> None:
    """Run the first cell of a chapter where it is as it is in Colab."""
    _require(session, NEWEST)
    # Those of Colab's packages that matter here.
    session.install("--quiet", "numpy>=2", "matplotlib", "ipykernel",
                    "nbclient")
    # Of an earlier run of this session.
    session.run("python", "-m", "pip", "uninstall", "--quiet", "--yes",
                "mxnet", "d2lzh", "d2lzh-ext", "pooch", "tqdm",
                silent=True)
    session.run("python", "tests/house/colab.py", os.getcwd())


@nox.session(python=_pythons[MAIN] or False)
def environment(session: nox.Session) -> None:
    """Install what environment.yml lists for pip, as conda hands it over."""
    _require(session, MAIN)
    with open("environment.yml", encoding="utf-8") as file:
        lines = file.read().partition("- pip:")[2].splitlines()
    lines = [line.strip().removeprefix("- ") for line in lines]
    path = os.path.join(session.create_tmp(), "requirements.txt")
    # conda writes such a file beside environment.yml, and calls pip there.
    root = os.getcwd()
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(f"{line}\n".replace("-r ", f"-r {root}/").replace(
            "-e .", f"-e {root}") for line in lines if line)
    session.install("--quiet", "-r", path)
    session.run("python", "-m", "pip", "check")
    session.run("python", "-m", "d2lzh_ext", "doctor")


@nox.session(default=False, venv_backend="none")
@nox.parametrize("age", ["oldest", "newest"])
@nox.parametrize("version", list(OLDEST))
def matrix(session: nox.Session, version: str, age: str) -> None:
    """Run unit tests and chapter 5 on a Python, with old or new NumPy.

    With arguments, they go to pytest, and nothing is recorded.
    """
    python = _find(version)
    if python is None:
        session.skip(f"no CPython {version} with venv was found")
    folder = os.path.abspath(os.path.join(".nox", f"matrix-{version}-{age}"))
    session.run(python, "-m", "venv", "--clear", folder)
    own = os.path.join(folder, "bin", "python")
    pip = (own, "-m", "pip", "install", "--quiet")
    session.run(*pip, "--no-deps", "-r", "requirements-test.txt")
    session.run(*pip, "--no-deps", "--no-build-isolation", "-e", ".")
    # pip remarks that MXNet and others would have other versions. Named
    # again, Matplotlib becomes one that fits an old NumPy.
    session.run(*pip, *(("--upgrade", "numpy", "ipython")
                        if age == "newest" else
                        (*OLDEST[version], "matplotlib", "pandas")))
    command = [own, "-m", "pytest"]
    if session.posargs:
        session.run(*command, *session.posargs)
        return
    session.run(own, "tools/matrix.py", version, age, *command, *LINE)
    session.run(own, "tools/matrix.py")


@nox.session(default=False, venv_backend="none")
@nox.parametrize("gcc", ["with", "without"])
@nox.parametrize("version", ["3.14", "3.15"])
def debian(session: nox.Session, version: str, gcc: str) -> None:
    """Do the same in a Debian of its own, as root."""
    done = subprocess.run(["sh", "tools/debian.sh", version, gcc, *LINE],
                          check=False).returncode
    if done == 3:
        session.skip("not possible here; the reason is above")
    if done:
        session.error(f"tools/debian.sh: exit status {done}")
    session.run(".venv/bin/python", "tools/matrix.py")


@nox.session(default=False, venv_backend="none")
def projects(session: nox.Session) -> None:
    """Try old projects, each in an environment of its own.

    Arguments are those to try: "gluoncv 0.10.5", say.
    """
    session.run(".venv/bin/python", "tools/projects.py",
                _require(session, NEWEST), *session.posargs)


@nox.session(default=False, venv_backend="none")
@nox.parametrize("limit", ["AVX2", "SSE41", "one core"])
def processor(session: nox.Session, limit: str) -> None:
    """Run `make test` as if this processor were a smaller one."""
    if limit == "one core":
        session.run("taskset", "-c", "0", "make", "test")
    else:
        session.run("make", "test", env={"DNNL_MAX_CPU_ISA": limit})


@nox.session(python=_pythons[MAIN] or False, default=False)
def fuzz(session: nox.Session) -> None:
    """Try to break the reader of data files, for five minutes."""
    _require(session, MAIN)
    session.install("--quiet", "atheris", "numpy<2")
    session.run("python", "tests/ext/files/fuzz_idx.py",
                *(session.posargs or ["-max_total_time=300"]))
