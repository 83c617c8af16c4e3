"""What `make` does before there is an environment, on other systems too.

The scripts run with a PATH of stubs, so that a system is a few lines here.
"""
from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from interpreter import ROOT

PACKAGES = "d2lzh_compat/packages.sh"
LIBRARIES = ["libgomp.so.1", "libquadmath.so.0"]
TOOLS = ["sh", "sed", "sort", "head", "grep", "dirname", "rm", "touch", "cmp",
         "tail", "mkdir", "cp", "chmod"]
UNAME = "case $1 in -s) echo Linux ;; *) echo {} ;; esac"
APT = "apt-get update && apt-get install -y"
# A Python as far as the scripts ask; LOG has what it was told to make, and
# HIDDEN the libraries that it does not find. $DIE names the step in which it
# kills the script that called it, and $SAYS what pip says when it fails.
PYTHON = """#!/bin/sh
die() { [ "$DIE" != "$1" ] || { kill -KILL $PPID; exit 1; }; }
case "$*" in
*ensurepip*) echo "ANSWER" ;;
*ctypes*) [ -e HIDDEN ] && cat HIDDEN ;;
*platform*) echo VERSION ;;
"-m venv "*)
    mkdir -p "$3/bin"
    printf '#!/bin/sh\necho npm >>"%s"\n' LOG >"$3/bin/npm"
    chmod +x "$3/bin/npm"
    echo venv >>LOG
    die venv
    cp "$0" "$3/bin/python"
    ;;
*" -r "*)
    echo packages >>LOG
    die packages
    [ -z "$SAYS" ] || { echo "$SAYS"; exit 1; }
    ;;
*" -e "*)
    die between
    echo course >>LOG
    ;;
esac
exit 0
"""


class System:
    """A folder of programs, and what the scripts say with them alone."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "the bin"
        self.course = folder / "a course 卷积"
        self.log = folder / "log"
        self.hidden = folder / "hidden"
        self.bin.mkdir()
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found, tool
            (self.bin / tool).symlink_to(found)
        for name in ("tools/setup.sh", "tools/find-python.sh", PACKAGES,
                     "requirements.txt", "pyproject.toml",
                     "requirements-site.txt", "site/package.json"):
            path = self.course / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, path)
        self.program("uname", UNAME.format("x86_64"))
        self.program("ldd", "echo ldd, GNU libc 2.41")
        self.program("ldconfig", "")
        self.user(0)
        self.release("")

    def program(self, name: str, text: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        path.chmod(0o755)

    def user(self, number: int, sudo: bool = False) -> None:
        self.program("id", f"echo {number}")
        if sudo:
            self.program("sudo", "exit 1")

    def release(self, text: str) -> None:
        """What /etc/os-release holds."""
        cat = shutil.which("cat")
        self.program("cat", f"""case $1 in
            /etc/os-release) printf '%s\\n' '{text}' ;;
            *) exec {cat} "$@" ;; esac""")

    def python(self, name: str, version: str, kind: str = "CPython",
               bits: int = 64, venv: str = "yes", prefix: str = "/usr"
               ) -> Path:
        minor = ".".join(version.split(".")[:2])
        text = PYTHON
        for word, value in {
                "ANSWER": f"{kind} {minor} {version} {bits} {venv} {prefix}",
                "VERSION": version, "LOG": f"'{self.log}'",
                "HIDDEN": f"'{self.hidden}'"}.items():
            text = text.replace(word, value)
        path = self.bin / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
        return path

    def run(self, script: str, *arguments: str, within: Sequence[str] = (),
            **environment: str) -> subprocess.CompletedProcess[str]:
        # Neither HOME nor anything else of the caller's.
        settings = {"PATH": str(self.bin), "LC_ALL": "C",
                    "PYENV_ROOT": str(self.bin / "pyenv"), **environment}
        return subprocess.run(
            [*within, "env", "-i",
             *(f"{name}={value}" for name, value in settings.items()),
             str(self.bin / "sh"), str(self.course / script), *arguments],
            capture_output=True, text=True, check=False, cwd=self.bin)

    def steps(self) -> list[str]:
        """What was made since the last call."""
        if not self.log.exists():
            return []
        lines = self.log.read_text(encoding="utf-8").split()
        self.log.unlink()
        return lines


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(tmp_path)


def _apt(system: System, candidate: str, *names: str) -> None:
    """Let apt offer this version as python3, and packages of these names."""
    system.program("apt-get", "exit 1")
    listed = " ".join(names)
    system.program("apt-cache", f"""case $1 in
        policy) [ -z "{candidate}" ] || echo "python3:
  Installed: (none)
  Candidate: {candidate}" ;;
        pkgnames) printf '%s\\n' {listed} ;; esac""")


@pytest.mark.parametrize("manager, line", [
    ("apt-get", f"{APT} libgomp1 libquadmath0 python3.13-venv make"),
    ("dnf", "dnf install -y libgomp libquadmath python3.12 make"),
    ("zypper", "zypper --non-interactive install libgomp1 libquadmath0 "
     "python313 make"),
    ("pacman", "pacman -Syu --noconfirm gcc-libs python make")])
@pytest.mark.parametrize("root, sudo", [
    (True, True), (False, True), (False, False)])
def test_one_line_installs_all(
        system: System, manager: str, line: str, root: bool, sudo: bool
        ) -> None:
    system.program(manager, "exit 1")
    system.user(0 if root else 1000, sudo)
    if sudo and not root:
        line = " && ".join(f"sudo {part}" for part in line.split(" && "))
    result = system.run(PACKAGES, *LIBRARIES, "venv3.13", "make")
    assert (result.returncode, result.stdout) == (0, line + "\n")


@pytest.mark.parametrize("candidate, names, release, packages", [
    ("3.13.5-1", [], "", "python3 python3-venv"),
    ("3.9.2-3", ["python3.9-venv"], "", "python3 python3-venv"),
    ("3.8.2-0ubuntu2", ["python3.8-venv", "python3.9", "python3.9-venv"],
     "", "python3.9 python3.9-venv"),
    # A version of two digits is not a small one.
    ("3.6.7-1", ["python3.6-venv", "python3.10-venv", "python3.11-venv"],
     "", "python3.10 python3.10-venv"),
    # No lists, and none with an old one installed.
    ("", [], "VERSION_CODENAME=trixie", "python3 python3-venv"),
    ("", [], "UBUNTU_CODENAME=focal", "python3.9 python3.9-venv"),
    ("3.8.2", [], "UBUNTU_CODENAME=focal", "python3.9 python3.9-venv"),
    ("", [], "VERSION_CODENAME=buster", ""),
    ("3.7.3-1", ["python3.7-venv"], "VERSION_CODENAME=buster", "")])
def test_apts_python_is_one_that_will_do(
        system: System, candidate: str, names: list[str], release: str,
        packages: str) -> None:
    _apt(system, candidate, *names)
    system.release(release)
    result = system.run(PACKAGES, "python", "libgomp.so.1")
    assert result.stdout == (
        f"{APT} {packages} libgomp1\n" if packages else "")
    assert result.returncode == (0 if packages else 1)


@pytest.mark.parametrize("manager, release, package", [
    ("zypper", 'VERSION_ID="15.6"', "python311"),
    ("zypper", 'VERSION_ID="20260101"', "python313"),
    ("dnf", "", "python3.12"), ("pacman", "", "python")])
def test_python_of_other_managers(
        system: System, manager: str, release: str, package: str) -> None:
    system.program(manager, "exit 1")
    system.release(release)
    assert system.run(PACKAGES, "python").stdout.endswith(f" {package}\n")


@pytest.mark.parametrize("manager, what, says", [
    ("apk", "libgomp.so.1", "musl"), ("brew", "libgomp.so.1", "libgomp.so.1"),
    ("apt-get", "libcudart.so.11.0", "libcudart.so.11.0")])
def test_no_line_where_none_is_known(
        system: System, manager: str, what: str, says: str) -> None:
    system.program(manager, "exit 1")
    result = system.run(PACKAGES, what)
    assert (result.returncode, result.stdout) == (1, "")
    assert says in result.stderr


FIND = "tools/find-python.sh"


@pytest.mark.parametrize("name, version", [
    ("python3", "3.14.4"), ("python3.15", "3.15.0"), ("python3", "3.20.1"),
    ("python3.20", "3.20.1"), ("python", "3.9.25"),
    ("pyenv/versions/3.16.2/bin/python", "3.16.2")])
def test_every_python_from_3_9_on_is_found(
        system: System, name: str, version: str) -> None:
    path = system.python(name, version)
    assert system.run(FIND).stdout == f"{path}\n"
    assert system.run(FIND, PYTHON=str(path)).stdout == f"{path}\n"


def test_preferred_pythons_come_first(system: System) -> None:
    for version in ("3.16", "3.15", "3.9", "3.10", "3.14", "3.13", "3.12",
                    "3.11"):
        path = system.python(f"python{version}", f"{version}.0")
        assert system.run(FIND).stdout == f"{path}\n", version


def test_versions_asked_for_are_the_only_ones(system: System) -> None:
    path = system.python("python3", "3.14.4")
    system.python("python3.20", "3.20.1")
    assert system.run(FIND, "3.14").stdout == f"{path}\n"
    result = system.run(FIND, "3.13")
    assert (result.returncode, result.stdout) == (1, "")
    assert "Python 3.14.4, not 3.13" in result.stderr


@pytest.mark.parametrize("python, refusal", [
    ({"version": "3.8.10"}, "Python 3.8.10, not 3.9 or later"),
    ({"version": "2.7.18"}, "Python 2.7.18, not 3.9 or later"),
    ({"version": "4.0.0"}, "Python 4.0.0, not 3.9 or later"),
    ({"version": "3.11.9", "kind": "PyPy"}, "PyPy, not CPython"),
    ({"version": "3.11.9", "bits": 32}, "Python 3.11.9 for 32 bits"),
    # No package of the system mends a Python that is not the system's.
    ({"version": "3.12.1", "venv": "no", "prefix": "/usr/local"},
     "Python 3.12.1 without the modules venv and ensurepip"),
    (None, "")])
def test_refused_pythons_are_named(
        system: System, python: dict[str, str] | None, refusal: str) -> None:
    if python:
        path = system.python("python3", **python)  # type: ignore[arg-type]
        refusal = f"refused:\n    {path}: {refusal}\n"
    result = system.run(FIND)
    assert (result.returncode, result.stdout) == (1, "python\n")
    assert result.stderr.endswith(refusal)
    if python:
        result = system.run(FIND, PYTHON="python3")
        assert (result.returncode, result.stdout) == (1, "")
        assert "PYTHON=python3 cannot be used" in result.stderr


def test_missing_venv_is_that_of_the_best_python(system: System) -> None:
    for version in ("3.8", "3.14", "3.13", "3.20"):
        system.python(f"python{version}", f"{version}.0", venv="no")
    assert system.run(FIND).stdout == "venv3.13\n"
    assert system.run(FIND, PYTHON="python3.20").stdout == "venv3.20\n"
    assert system.run(FIND, "3.13").stdout == ""


def _no_venv(system: System) -> None:
    system.python("python3", "3.13.5", venv="no")


def _no_libraries(system: System) -> None:
    system.python("python3", "3.13.5")
    system.hidden.write_text("\n".join(LIBRARIES), encoding="utf-8")


def _only_old(system: System) -> None:
    system.python("python3", "3.8.10")
    _apt(system, "3.8.2-0ubuntu2", "python3.9-venv")


def _only_quadmath(system: System) -> None:
    system.program("ldconfig", "echo 'libgomp.so.1 (libc6,x86-64) => x'")


BARE: list[tuple[Callable[[System], None], str]] = [
    (lambda system: None, "python3 python3-venv libgomp1 libquadmath0"),
    (_only_quadmath, "python3 python3-venv libquadmath0"),
    (_no_venv, "python3.13-venv libgomp1 libquadmath0"),
    (_no_libraries, "libgomp1 libquadmath0"),
    (_only_old, "python3.9 python3.9-venv libgomp1 libquadmath0")]


@pytest.mark.parametrize("lacks, packages", BARE)
@pytest.mark.parametrize("sudo", [True, False])
def test_a_user_is_told_one_line(
        system: System, lacks: Callable[[System], None], packages: str,
        sudo: bool) -> None:
    _apt(system, "3.13.5-1")
    lacks(system)
    system.user(1000, sudo)
    result = system.run("tools/setup.sh")
    line = ("Run this line:\n    sudo apt-get update && sudo apt-get install"
            f" -y {packages}\n" if sudo else
            f"Run this line as root:\n    {APT} {packages}\n")
    assert result.stderr.endswith(f"{line}then run make again.\n")
    assert result.returncode == 1
    assert not (system.course / ".venv").exists()


@pytest.mark.parametrize("lacks, packages", BARE)
def test_root_with_apt_gets_it_installed(
        system: System, lacks: Callable[[System], None], packages: str
        ) -> None:
    _apt(system, "3.13.5-1")
    lacks(system)
    # The packages bring a Python, and the libraries.
    new = system.python("new", "3.13.5")
    asked = system.bin / "asked"
    system.program("apt-get", f"""echo "$*" >>'{asked}'
        [ "$1" = update ] || {{ cp '{new}' '{system.bin}/python3'
        rm -f '{system.hidden}'; }}""")
    result = system.run("tools/setup.sh")
    assert result.returncode == 0, result.stderr
    assert asked.read_text("utf-8") == f"update\ninstall -y {packages}\n"
    assert f"Running: {APT} {packages}\n" in result.stdout
    assert system.steps() == ["venv", "packages", "course"]


def test_what_apt_says_is_shown_where_it_fails(system: System) -> None:
    _apt(system, "")
    system.program("apt-get", "echo E: no network; exit 100")
    result = system.run("tools/setup.sh")
    assert result.returncode == 1
    assert "E: no network\n" in result.stderr
    assert f"\n    {APT} python3 python3-venv libgomp1" in result.stderr


def test_packages_without_effect_end_it(system: System) -> None:
    _no_libraries(system)
    system.program("apt-get", "exit 0")
    result = system.run("tools/setup.sh")
    assert result.returncode == 1
    assert "Still missing: libgomp.so.1 libquadmath.so.0" in result.stderr


@pytest.mark.parametrize("python, says", [
    ("nowhere", "PYTHON=nowhere cannot be used: no such program"),
    ("mine", f"\n    {APT} python3.14-venv libgomp1 libquadmath0\n"
             "then run make again.\n")])
def test_python_of_the_reader_is_the_only_one(
        system: System, python: str, says: str) -> None:
    _apt(system, "3.13.5-1")
    system.python("python3", "3.12.3")
    system.python("mine", "3.14.2", venv="no")
    result = system.run("tools/setup.sh", PYTHON=python)
    assert result.returncode == 1 and says in result.stderr
    assert not system.steps()


@pytest.mark.parametrize("programs, says", [
    ({}, "Missing: python libgomp.so.1 libquadmath.so.0. Install it with"),
    ({"dnf": "exit 1"}, "Run this line:\n    dnf install -y python3.12 "
     "libgomp libquadmath\nthen run make again.\n"),
    ({"pacman": "exit 1", "uname": UNAME.format("aarch64")},
     "Missing: python libgomp.so.1. Run this line:"),
    ({"apk": "exit 1", "ldd": "echo musl libc; exit 1"}, "no wheel for musl")])
def test_root_without_apt_is_told_what_to_do(
        system: System, programs: dict[str, str], says: str) -> None:
    for name, text in programs.items():
        system.program(name, text)
    result = system.run("tools/setup.sh")
    assert result.returncode == 1 and says in result.stderr
    assert "apk" not in result.stderr


@pytest.mark.parametrize("step, made", [
    ("venv", ["venv"]), ("packages", ["venv", "packages"]),
    ("between", ["venv", "packages"])])
def test_interrupted_installation_is_taken_up(
        system: System, step: str, made: list[str]) -> None:
    system.python("python3", "3.14.2")
    assert system.run("tools/setup.sh", DIE=step).returncode == -9
    assert system.steps() == made
    result = system.run("tools/setup.sh")
    assert result.returncode == 0, result.stderr
    assert system.steps() == ["venv", "packages", "course"]
    result = system.run("tools/setup.sh")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert not system.steps()


@pytest.mark.parametrize("says, told", [
    ("OSError: [Errno 28] No space left on device", "The disk is full"),
    ("[Errno 122] Disk quota exceeded", "The disk is full"),
    ("NewConnectionError: [Errno 101]", "is there a network?"),
    ("hash mismatch", "what was said is above")])
def test_what_pip_says_is_shown_with_what_to_do(
        system: System, says: str, told: str) -> None:
    system.python("python3.11", "3.11.7")
    system.program("df", "echo Filesystem Size")
    result = system.run("tools/setup.sh", SAYS=says)
    assert result.returncode == 1
    assert says in result.stderr
    assert told in result.stderr
    assert ("Filesystem" in result.stderr) == ("full" in told)
    system.steps()
    assert system.run("tools/setup.sh").returncode == 0
    assert system.steps() == ["venv", "packages", "course"]


def test_the_site_has_an_environment_of_its_own(system: System) -> None:
    """Without the libraries of MXNet, and on a later Python."""
    system.python("python3", "3.10.9")
    _apt(system, "3.10.9")
    system.program("uname", "echo Windows")
    result = system.run("tools/setup.sh", "site")
    assert result.returncode == 1 and not system.steps()
    assert "Python 3.10.9, not 3.11 or later" in result.stderr
    system.python("python3", "3.14.2")
    for _ in range(2):
        result = system.run("tools/setup.sh", "site")
        assert result.returncode == 0, result.stderr
    assert system.steps() == ["venv", "packages", "npm"]
    assert not (system.course / ".venv").exists()
    (system.course / "site" / "package.json").write_text("{}", "utf-8")
    system.run("tools/setup.sh", "site")
    assert system.steps() == ["packages", "npm"]


@pytest.mark.parametrize("release, package", [
    ("ID=debian", "chromium"), ("ID=ubuntu", "chromium-browser")])
def test_its_tests_need_a_browser(
        system: System, release: str, package: str) -> None:
    system.python("python3", "3.12.3")
    _apt(system, "3.12.3")
    system.release(release)
    system.user(1000)
    result = system.run("tools/setup.sh", "site-test")
    assert f"\n    {APT} {package}\n" in result.stderr
    system.program("google-chrome", "")
    assert system.run("tools/setup.sh", "site-test").returncode == 0


def test_moved_course_keeps_its_python(system: System) -> None:
    system.python("python3", "3.12.3")
    system.python("mine", "3.10.9")
    system.run("tools/setup.sh", PYTHON="mine")
    system.course = system.course.rename(system.bin.parent / "moved")
    assert "Python 3.10.9" in system.run("tools/setup.sh").stdout
    (system.bin / "mine").unlink()
    (system.course / ".venv" / "bin" / "python").unlink()
    assert "Python 3.12.3" in system.run("tools/setup.sh").stdout


def test_library_that_goes_later_is_missed(system: System) -> None:
    system.python("python3", "3.12.3")
    assert system.run("tools/setup.sh").returncode == 0
    _no_libraries(system)
    system.program("pacman", "exit 1")
    assert "\n    pacman -Syu --noconfirm gcc-libs\n" in system.run(
        "tools/setup.sh").stderr


def _namespace() -> list[str]:
    """A command that runs another with mounts of its own."""
    if not shutil.which("unshare"):
        pytest.skip("there is no unshare")
    for options in ("-m", "-rm"):
        result = subprocess.run(
            ["unshare", options, "mount", "-t", "tmpfs", "none", "/mnt"],
            capture_output=True, text=True, check=False)
        if result.returncode == 0:
            return ["unshare", options]
    pytest.skip(f"no mount namespace here: {result.stderr.strip()}")


def test_read_only_clone_is_one_clear_line(system: System) -> None:
    system.python("python3", "3.12.3")
    mount = """mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" ||
        exit 77
        shift && exec "$@" """
    result = system.run("tools/setup.sh", within=[
        *_namespace(), "sh", "-c", mount, "sh", str(system.course)])
    if result.returncode == 77:
        pytest.skip(f"no read-only mount here: {result.stderr.strip()}")
    assert result.returncode == 1
    assert result.stderr.startswith(f"{system.course} is not writable")
    assert not system.steps()


# The library is looked for in a folder where, in this namespace, it is not.
HIDE = """
mount -t tmpfs none /mnt && mkdir /mnt/new /mnt/work &&
mount -t overlay none \
    -o "lowerdir=$2,upperdir=/mnt/new,workdir=/mnt/work" "$2" &&
rm -f "$2/$1"* || exit 77
exec "$3" -c 'import d2lzh_ext'
"""


@pytest.mark.skipif(platform.system() != "Linux",
                    reason="MXNet brings its libraries on macOS")
@pytest.mark.parametrize("name", LIBRARIES)
def test_import_names_the_missing_library(name: str) -> None:
    if name == "libquadmath.so.0" and platform.machine() != "x86_64":
        pytest.skip("MXNet needs libquadmath on x86-64 only")
    known = subprocess.run(
        ["ldconfig", "-p"], capture_output=True, text=True, check=True,
        env={**os.environ, "PATH": os.environ["PATH"] + ":/sbin:/usr/sbin"})
    paths = [line.split()[-1] for line in known.stdout.splitlines()
             if line.split()[0] == name]
    if not paths:
        pytest.skip(f"{name} is not a library of the system's here")
    folder = str(Path(paths[0]).resolve().parent)
    result = subprocess.run(
        [*_namespace(), "sh", "-c", HIDE, "sh", name, folder, sys.executable],
        cwd=ROOT, capture_output=True, text=True, check=False)
    if result.returncode == 77:
        pytest.skip(f"cannot be hidden here: {result.stderr.strip()}")
    message = result.stderr.splitlines()[-1]
    assert f"library does not load: {name} is missing." in message
    line = subprocess.run(
        ["sh", PACKAGES, name], cwd=ROOT, capture_output=True, text=True,
        check=False).stdout.strip()
    if line:
        assert message.endswith(f"Install it with `{line}`.")
