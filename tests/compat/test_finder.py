"""Where the package is installed, the book's own imports work."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from interpreter import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel brings and Python's start looks at."""
    folder = tmp_path_factory.mktemp("site")
    for path in (*(ROOT / "d2lzh_compat").glob("d2lzh_compat.*"),
                 ROOT / "d2lzh_compat", ROOT / "d2lzh_ext"):
        (folder / path.name).symlink_to(path)
    return folder


def run(site: Path, code: str, **environment: str
        ) -> subprocess.CompletedProcess[str]:
    """`code` where `site` is a folder whose .pth files Python reads."""
    # The one that an editable installation brings must not do the work.
    start = ("import site, sys; sys.meta_path[:] = [f for f in sys.meta_path "
             "if getattr(f, '__module__', '') != 'd2lzh_compat.finder']; "
             "[sys.modules.pop(name, None) for name in "
             "('d2lzh_compat', 'd2lzh_compat.finder')]; "
             f"site.addsitedir({str(site)!r})\n")
    inherited = {name: value for name, value in os.environ.items()
                 if name not in ("D2LZH_HOOK", "OMP_NUM_THREADS")}
    return subprocess.run(
        [sys.executable, "-c", start + code], text=True, capture_output=True,
        timeout=120, cwd=site, env={**inherited, **environment})


BOOK = """
import d2lzh as d2l
from mxnet import nd
import numpy as np
print(d2l.__version__, d2l.train_ch5.__module__)
d2l.set_figsize()
print(nd.zeros((np.int64(2), 3))[:, np.int64(1)].shape)
print(np.array(nd.ones((2, 2))).sum())
"""
# What programs print.
PROGRAMS = {
    "mxnet_first": ("""
import mxnet as mx
print(mx.nd.ones((2, 2)).sum().asscalar())
print("d2lzh_ext" in sys.modules, "matplotlib" in sys.modules)
import d2lzh_ext
""", "4.0\nFalse False\n"),
    # With numbers that NumPy 2 writes in a way that MXNet cannot read.
    "the_books_own_import": (BOOK, "1.0.0 d2lzh_ext.training\n(2,)\n4.0\n"),
    "the_books_import_after_mxnet": (
        f"from mxnet import nd\n{BOOK}",
        "1.0.0 d2lzh_ext.training\n(2,)\n4.0\n"),
    # By content, as with the course; MXNet wants bytes of its own host.
    "data_sets_are_found_with_mxnet_alone": ("""
from mxnet.gluon.data import vision
print("d2lzh_ext.data" in sys.modules)
images = vision.FashionMNIST(train=False)
print(images[7][0].shape, len(images), vision.MNIST._get_data.__module__)
""", "False\n(28, 28, 1) 10000 d2lzh_ext.first_edition\n"),
    "two_threads_find_a_data_set": ("""
import threading
from mxnet.gluon.data import vision
def find():
    both.wait()
    found.append(len(vision.FashionMNIST(train=False)))
found, both = [], threading.Barrier(2)
threads = [threading.Thread(target=find) for _ in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(*found)
""", "10000 10000\n"),
    # Python 3.13.0 itself fails where two threads at once are the first to
    # import collections.abc, which puts another module in its own place.
    "two_threads_import_the_book_and_the_course": ("""
import collections.abc, threading
def load(name):
    both.wait()
    __import__(name)
both = threading.Barrier(2)
threads = [threading.Thread(target=load, args=(name,))
           for name in ("d2lzh", "d2lzh_ext")]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
import d2lzh
print(d2lzh.train_ch5.__module__)
""", "d2lzh_ext.training\n"),
    # As editable and frozen programs have them.
    "an_mxnet_that_another_finder_finds": ("""
from importlib.machinery import PathFinder
class Other:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return find_spec(name, path, target) if name == "mxnet" else None
find_spec = PathFinder.find_spec
PathFinder.find_spec = classmethod(
    lambda _, name, *where: None if name == "mxnet" else find_spec(
        name, *where))
sys.meta_path.append(Other)
import mxnet as mx
print(mx.nd.ones((2, 2)).sum().asscalar())
""", "4.0\n"),
    "nothing_happens_without_mxnet": ("""
from d2lzh_compat import finder
print(sorted(name for name in sys.modules
             if name.startswith(("numpy", "mxnet", "d2lzh"))))
print(finder.Finder.find_spec("numpy"))
""", "['d2lzh_compat', 'd2lzh_compat.finder']\nNone\n"),
    "a_missing_mxnet_is_an_import_error_as_ever": ("""
sys.path[:] = [folder for folder in sys.path if "site-packages" not in folder]
try:
    import mxnet
except ModuleNotFoundError as error:
    print(error.name)
""", "mxnet\n"),
    # Python 3.15 deprecates import lines in .pth files, and reads .start.
    "the_start_warns_of_nothing": ("""
from d2lzh_compat import finder
print(sys.meta_path.count(finder.Finder))
""", "1\n"),
    # Jupyter's completion asks the loader's class for the source.
    "editors_find_names_without_an_import": ("""
import jedi
here = jedi.InterpreterEnvironment()
for code in ("import mxnet; mxnet.metr", "from d2lzh import train_ch5"):
    print(jedi.Script(code, environment=here).complete()[0].name)
print("mxnet" in sys.modules)
""", "metric\ntrain_ch5\nFalse\n")}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(site, name):
    if name.startswith("editors"):
        pytest.importorskip("jedi")
    code, printed = PROGRAMS[name]
    done = run(site, code, **({
        "PYTHONWARNINGS": "error::DeprecationWarning"} if "warns" in name
        else {}))
    assert (done.stdout, done.stderr) == (printed, "")


def test_a_package_that_cannot_complete_is_named(site, tmp_path):
    folder = tmp_path / "other-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Name: other\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(
        "[d2lzh_compat]\nmine = no_such_module\n")
    done = run(site, f"sys.path.insert(0, {str(tmp_path)!r})\n"
               "import d2lzh\nprint(d2lzh.train_ch5.__module__)")
    assert done.stdout == "d2lzh_ext.training\n", done.stderr
    assert "no_such_module cannot complete d2lzh" in done.stderr


def test_it_can_be_switched_off(site):
    code = """
from d2lzh_compat import finder
print(finder.Finder in sys.meta_path)
finder.install()
finder.install()
print(sys.meta_path.count(finder.Finder))
"""
    assert run(site, code, D2LZH_HOOK="0").stdout == "False\n0\n"
    assert run(site, code).stdout == "True\n1\n"
