"""What needs an environment of its own.

`make test` runs the first four sessions, `make matrix` and `make projects`
those after them.
"""
from __future__ import annotations

import glob
import os
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


def _install_course(session: nox.Session) -> None:
    """The pins and this folder: MXNet's metadata refuses NumPy 2."""
    session.install("--quiet", "--no-deps", "-r", "requirements-test.txt")
    session.install("--quiet", "--no-deps", "--no-build-isolation", "-e", ".")


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
    _install_course(session)
    session.run("python", "-m", "mypy")  # NumPy's types have changed
    session.run("python", "-m", "pytest", "-m", "not slow", *TESTS,
                *session.posargs)
    _beside(session)


@nox.session(python=_pythons[MAIN] or False)
def installed(session: nox.Session) -> None:
    """Install in each of the ways that a README names, then without us."""
    _require(session, MAIN)
    root, folder = os.getcwd(), session.create_tmp()
    # A wheel, with all that it depends on, used far from the clone.
    for old in glob.glob(f"{folder}/*.whl"):
        os.remove(old)
    session.run("python", "-m", "pip", "wheel", "--quiet", "--no-deps",
                "--wheel-dir", folder, ".")
    (wheel,) = glob.glob(f"{folder}/*.whl")
    session.install("--quiet", wheel)
    # Once more, for the version does not change with the code.
    session.install("--quiet", "--no-deps", "--force-reinstall", wheel)
    with session.chdir(folder):
        session.run("python", "-I", f"{root}/tests/house/installed.py",
                    env={"D2LZH_DATA": f"{root}/data"})
    # What environment.yml lists for pip: conda writes such a file beside
    # it, and calls pip there.
    with open("environment.yml", encoding="utf-8") as file:
        lines = file.read().partition("- pip:")[2].splitlines()
    listed = [line.strip().removeprefix("- ") for line in lines]
    with open(f"{folder}/requirements.txt", "w", encoding="utf-8") as file:
        file.writelines(f"{line}\n".replace("-r ", f"-r {root}/").replace(
            "-e .", f"-e {root}") for line in listed if line)
    session.install("--quiet", "-r", f"{folder}/requirements.txt")
    session.run("python", "-m", "pip", "check")
    session.run("python", "-m", "d2lzh_ext", "doctor")
    # `d2lzh` itself, on an old NumPy, gives the recorded results.
    session.run("python", "-m", "pip", "uninstall", "--quiet", "--yes",
                "d2lzh-ext")
    session.install(
        "--quiet", "numpy==1.23.5", "mxnet==1.9.1", "d2lzh==1.0.0",
        "matplotlib<3.9", "ipython<8", "setuptools<70")
    session.run("python", "-W", "ignore", "tests/ext/first_edition.py")


@nox.session(python=_pythons[NEWEST] or False)
def colab(session: nox.Session) -> None:
    """Where all is new and the course is not: the repairs alone, and Colab.
    """
    _require(session, NEWEST)
    # Those of Colab's packages that matter here.
    session.install("--quiet", "numpy>=2", "matplotlib", "ipykernel",
                    "nbclient", "requests", "tqdm")
    remove = ("python", "-m", "pip", "uninstall", "--quiet", "--yes",
              "mxnet", "d2lzh", "d2lzh-ext", "d2lzh-compat")
    session.run(*remove, silent=True)  # of an earlier run of this session
    session.install("--quiet", "--no-deps", "mxnet==1.9.1")
    session.install("--quiet", "./d2lzh_compat")
    root = os.getcwd()
    with session.chdir(session.create_tmp()):
        session.run("python", "-I", f"{root}/tests/house/alone.py")
    session.run(*remove, silent=True)
    session.run("python", "tests/house/colab.py", root)


@nox.session(venv_backend="none")
def site(session: nox.Session) -> None:
    """Build the site in .venv-site, and try it in a browser."""
    # $PYTHON chooses the interpreter of .venv, which may be too old here.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHON"}
    if subprocess.run(["sh", "tools/setup.sh", "site-test"], check=False,
                      env=environment).returncode:
        reason = "not possible here; the reason is above"
        if os.environ.get("CI"):
            session.error(reason)
        session.skip(reason)
    python = ".venv-site/bin/python"
    session.run(python, "tools/website.py")
    session.run(python, "-m", "pytest", "-c", "tests/site/pytest.ini",
                "tests/site", *session.posargs)


@nox.session(python=_pythons[MAIN] or False, default=False)
def beside(session: nox.Session) -> None:
    """Try what MXNet does with other packages, on an old NumPy."""
    _require(session, MAIN)
    _install_course(session)
    _beside(session)


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
