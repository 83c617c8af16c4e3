"""An old script runs, its libraries notice nothing, and the report is right.
"""
from __future__ import annotations

import importlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell

from d2lzh_compat import old_names, old_syntax, removed

SCRIPTS = Path(__file__).parent / "old_scripts"
NUMPY = tuple(map(int, np.__version__.split(".")[:2]))
# A library of others: it sees what its author has seen.
LIBRARY = """
import time
import numpy as np
def asks():
    try:
        from numpy import asscalar
    except ImportError:
        return hasattr(np, "asscalar"), hasattr(time, "clock")
"""
NOTHING = "d2lzh_compat: no removed name was asked for.\n"


@pytest.fixture
def python(tmp_path):
    """Runs Python in an empty folder, with a library beside it."""
    library, folder = tmp_path / "library", tmp_path / "folder"
    library.mkdir()
    folder.mkdir()
    (library / "library.py").write_text(LIBRARY)

    def run(*args, **files):
        for name, source in files.items():
            (folder / f"{name}.py").write_text(source)
        return subprocess.run(
            [sys.executable, *map(str, args)], text=True, cwd=folder,
            capture_output=True, timeout=120,
            env={**os.environ, "PYTHONPATH": str(library)})

    return run


@pytest.fixture
def old(python):
    return lambda *args, **files: python("-m", "d2lzh_compat", *args, **files)


def rows(report: str) -> dict[str, list[tuple[str, str, int]]]:
    """Of each old name: today's spelling, file, line."""
    found: dict[str, list[tuple[str, str, int]]] = {}
    for line in report.splitlines():
        row = re.match(r"  (\S.*?)  +for  (\S.*?)  +(\S.*)", line)
        for place in row[3].split("; ") if row else ():
            file, _, lines = place.rpartition(":")
            found.setdefault(row[2], []).extend(
                (row[1], file, int(each)) for each in lines.split(", "))
    return found


def is_gone(name: str) -> bool:
    module, _, name = name.rpartition(".")
    if module == "numpy.ndarray":  # NumPy 2.1 has it, and it raises
        return not hasattr(np.ones(1), name)
    return name not in vars(importlib.import_module(module))


OUTPUT = {
    ("train_mnist.py", "--out", "model"): """\
accuracy 1.00 1.0
best True seconds True
256 True ['mlp-0005.params', 'mlp-symbol.json']
""",
    ("custom_softmax.py",): """\
loss 0.7 True
right True
['a' None] text
""",
    **{("read_records.py", method): """\
[0, 6, 12, 18] ['self', 'start']
(2, 2, 3) cpu(0) 1.0
(2, 2, 3) cpu(0) 1.0
[('a', 2.0)]
(False, False)
""" for method in ("fork", "spawn", "forkserver")}}
# What the newest NumPy and Python lack of it.
NAMES = {
    "train_mnist.py": {
        "numpy.int", "numpy.float", "numpy.float_", "numpy.Inf",
        "numpy.asscalar", "numpy.product", "numpy.alltrue", "time.clock",
        "os.errno", "float(array of one number)",
        "'%' of an array of one number", "a[i] = array of one number"},
    "custom_softmax.py": {
        "numpy.int", "numpy.float", "numpy.Infinity", "numpy.NaN",
        "numpy.asscalar", "numpy.in1d", "numpy.object", "numpy.str",
        "'%' of an array of one number"},
    "read_records.py": {
        "numpy.int", "collections.Iterable", "inspect.getargspec",
        "numpy.fromstring", "numpy.ndarray.tostring", "numpy.ndarray.ptp",
        "math.*(array of one number)"}}


@pytest.mark.parametrize("script", OUTPUT, ids="-".join)
def test_three_old_scripts(old, python, script):
    path = SCRIPTS / script[0]
    done = old(path, *script[1:])
    assert done.returncode == 0, done.stderr
    assert done.stdout == OUTPUT[script]
    found = rows(done.stderr)
    if NUMPY >= (2, 5) and sys.version_info >= (3, 11):
        assert {*found} == NAMES[script[0]]
    else:
        assert {*found} <= NAMES[script[0]] | {"numpy.bool"}
    assert found
    for name, places in found.items():
        if " " not in name and name != "numpy.fromstring":
            assert is_gone(name)
        for spelling, file, line in places:
            lines = Path(old_names.__file__).parent.joinpath(
                SCRIPTS, file).read_text().splitlines()
            assert name.rpartition(".")[2] in lines[line - 1] or " " in name
            assert spelling in str(removed.MODULES) or spelling in str(
                removed.CLASSES) or "array.item()" in spelling
    alone = python(path, *script[1:])
    if script[0] == "read_records.py" and sys.version_info < (3, 10):
        assert alone.stdout == OUTPUT[script]
    else:
        assert alone.returncode == 1


def test_every_name_has_a_value():
    for owner, names in removed.MODULES.items():
        module = importlib.import_module(owner)
        for name in names:
            if name not in vars(module):
                removed.value(owner, name)
    missing = [name for name in removed.MODULES["numpy"]
               if name not in vars(np)]
    assert "asscalar" in missing
    assert old_names.asked(np, "asscalar", ("", 1)).asscalar([[3]]) == 3
    assert not hasattr(np, "asscalar")


def outcome(done, script):
    return (done.returncode, done.stdout,
            done.stderr.replace(script, "").replace(NOTHING, ""))


LIKE_PYTHON = {
    "place": """
import sys, inspect, pickle
print(sys.argv, __name__, __file__, sys.path[0], __package__, __spec__)
import __main__
class A: pass
print(pickle.loads(pickle.dumps(A())).__class__ is __main__.A, __doc__)
print(inspect.getsource(A), "__cached__" in dir())
""",
    "status": "import sys; sys.exit(3)",
    "text": "import sys; sys.exit('what is wrong')",
    "error": """
def f(x):
    return x.nothing
try:
    f(1)
except AttributeError:
    import numpy as np
    f(np.arange(3))
""",
    # Where tests run in the background, SIGINT may be ignored.
    "interrupt": "import os, signal\n"
                 "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
                 "os.kill(os.getpid(), signal.SIGINT)\n"
                 "import time; time.sleep(9)",
    "syntax": "print(1)\nx = = 2\n",
    "hook": "import sys\n"
            "sys.excepthook = lambda *args: print(args[:2])\n1 / 0",
    "missing_name": "import numpy as np\nnp.never_there",
    "missing_import": "from collections import Iterables",
    "missing_module": "import nothing_of_the_kind",
    "warning": "import warnings; warnings.warn('x', DeprecationWarning)",
    "at_exit": "import atexit; atexit.register(print, 'end')\n"
               "import threading, time\n"
               "threading.Timer(0.2, print, ['timer']).start()",
    "encoding": "# -*- coding: latin-1 -*-\nprint(len('é'))",
}


@pytest.mark.parametrize("name", LIKE_PYTHON)
@pytest.mark.parametrize("how", [("./script.py",), ("-m", "script")])
def test_as_python_does_it(old, python, name, how):
    args = (*how, "-a", "b c")
    alone = python(*args, script=LIKE_PYTHON[name])
    done = old(*args, script=LIKE_PYTHON[name])
    assert done.stderr.endswith(NOTHING) == (done.returncode == 0)
    # Without the frames of the standard library by which -m comes.
    expected = re.sub(r'  File "<frozen runpy>".*\n|  File ".*runpy.py".*\n'
                      r'    (?:return|exec|exit).*\n(?: {4,}[\w~^=,.() ]*\n)*',
                      "", alone.stderr)
    if name == "place" and how[0] == "-m":
        assert "ModuleSpec" in done.stdout
        done.stdout, alone.stdout = (
            re.sub("ModuleSpec.*", "", each.stdout) for each in (done, alone))
    assert done.stdout == alone.stdout
    assert done.returncode == alone.returncode
    if name == "interrupt":
        assert done.returncode == -signal.SIGINT
    elif (name, how[0]) != ("syntax", "-m"):
        assert done.stderr.replace(NOTHING, "") == expected


@pytest.mark.parametrize("args", [
    ("nothing.py",), ("-m", "nothing"), (), ("-",), ("--other", "script.py")])
def test_nothing_to_run(old, python, args):
    done = old(*args, script="")
    if "nothing" in str(args):
        alone = python(*args)
        assert done.returncode == alone.returncode
        assert done.stderr.replace(NOTHING, "") == alone.stderr
    else:
        assert done.returncode == 2
        assert done.stderr == old("--help").stdout


PACKAGE = """
import numpy as np
from collections import Iterable
def kind():
    return np.asscalar(np.array([3])), Iterable.__name__
"""


def test_its_files_and_no_others(old, tmp_path):
    script = """
import library, module
print(library.asks(), module.kind())
import sys
sys.path.append(sys.argv[1])
import package
try:
    print(package.kind())
except AttributeError:
    print("not for package")
"""
    other = tmp_path / "other"
    other.mkdir()
    (other / "package.py").write_text(PACKAGE.replace(
        "from collections", "from collections.abc"))
    done = old("script.py", other, script=script, module=PACKAGE)
    expected = "(False, False) (3, 'Iterable')\n"
    assert done.stdout == expected + "not for package\n", done.stderr
    assert rows(done.stderr)["numpy.asscalar"] == [
        (".item()", "module.py", 5)]
    for option in (["--names", "package,x"], ["--names=x,package"]):
        done = old(*option, "script.py", other)
        assert done.stdout == expected + "(3, 'Iterable')\n", done.stderr
        assert [*map(str, other.rglob("*.pyc"))] == []
    assert not [*tmp_path.glob("folder/__pycache__/*")]


def test_its_folder_may_go(old):
    done = old("script.py", script="""
import os, tempfile
import numpy as np
os.chdir(tempfile.mkdtemp())
os.rmdir(os.getcwd())
np.asscalar(np.ones(1))
""")
    assert done.returncode == 0
    assert "numpy.asscalar" in rows(done.stderr)


def test_an_environment_in_its_folder_is_no_file_of_its(old, tmp_path):
    site = tmp_path / "folder" / "env" / "site-packages"
    site.mkdir(parents=True)
    (site / "package.py").write_text("import numpy as np\nnp.asscalar")
    done = old("script.py", script="""
import sys
sys.path.append("env/site-packages")
try:
    import package
except AttributeError as error:
    print("asscalar" in str(error))
""")
    assert done.stdout == "True\n", done.stderr


def run(source: str, **names):
    sys.meta_path.remove(old_names.install("/nowhere", ()))
    space = {"np": np, **names}
    exec(old_syntax.compiled(source, "<test>"), space)
    return space


@pytest.mark.parametrize("source", [
    "r = np.asscalar(np.array([[2]]))",
    "from numpy import asscalar as a, array\nr = a(array([2]))",
    "def f():\n from numpy import asscalar\n return asscalar(2)\nr = f()",
    "class A:\n one = np.asscalar(2)\nr = A.one",
    "name = 'asscalar'\nr = getattr(np, name)(2)",
    "import numpy\nr = numpy.asscalar(2) if numpy is np else 0",
    "r = [np.asscalar(i) for i in range(3)][2]",
    "r = int(np.array([[2]]))", "r = float(np.array([2]))",
    "import math\nr = math.sqrt(np.array([4]))",
    "r = float('%d' % np.array([2]))", "r = float('%s%.*f' % ('', 1, 2))",
    "r = float('%(a)s' % dict(a=2))", "r = float('%.1f%%' [:4] % 2)",
    "r = np.zeros(3)\nr[1] = np.array([2.0])\nr = r[1]",
    "r = np.zeros((2, 2))\ni = 1\nr[i, i - 1] = np.array([[2]])\nr = r[1, 0]",
    "r = np.zeros(1, object)\nr[0] = np.array([2])\nr = r[0][0]",
    "r = {}\nr[0] = np.array([2])\nr = r[0][0]",
    "r = np.fromstring(np.array([2, 3]).tobytes(), np.int64)[0]",
    "r = np.fromstring('2 3', sep=' ')[0]",
    "r = len(np.array([[1], [2, 3]]))",
    "from numpy import asarray\nr = asarray([np.ones(1), np.ones(2)])[1].size",
    "import io\nfile = io.BytesIO()\n"
    "np.save(file, [np.ones(1), np.ones(2)], allow_pickle=True)\n"
    "file.seek(0)\nr = len(np.load(file, allow_pickle=True))",
    "r = np.array([2], np.float32)[0]",
    "r = np.frombuffer(np.array([2, 3]).tostring(), np.int64)[0]",
    "r = np.array([1, 3]).ptp()",
    "r = np.zeros(3)\nr.itemset(1, 2)\nr = r[1]",
    "r = np.array([2], '<i2').newbyteorder('>').byteswap()[0]",
    "try:\n r = np.asscalar(1)\nexcept AttributeError:\n r = 2",
    "try:\n from numpy import asscalar\n r = 1\nexcept ImportError:\n r = 2",
    "try:\n from numpy import asscalar\n r = 1\nexcept:\n r = 2",
    "try:\n r = np.asscalar(2)\nexcept KeyError:\n r = 1",
    "try:\n r = getattr(np, 'asscalar')(1)\nexcept AttributeError:\n r = 2",
    "try:\n np.array([[1], [2, 3]], dtype=float)\nexcept ValueError:\n r = 2",
    "try:\n np.array([[1], [2, 3]], float)\nexcept ValueError:\n r = 2",
    "r = len(np.array.__name__) - 3",
    "def f():\n global a\n a = [0]\n return 2\na[0] = f()\nr = a[0]",
    pytest.param("r = 2" + " + 0" * 500, id="deep"),
    "class A:\n ptp = 2\n clock = fix = 1\nr = A().ptp",
    "def float(x): return len(x) + 1\nr = float(np.array([5]))",
    "r = np.long(2) if hasattr(np, 'long') else 2",
    pytest.param("match np.pad:\n case np.pad: r = 2",
                 marks=pytest.mark.skipif(sys.version_info < (3, 10),
                                          reason="no match before 3.10")),
])
@pytest.mark.filterwarnings("ignore:Creating an ndarray from ragged")
def test_what_is_compiled(source):
    assert run(source)["r"] == 2
    assert "asscalar" not in vars(np)


def test_an_error_is_of_its_own_line():
    with pytest.raises(AttributeError) as caught:
        run("x = 1\nx.asscalar\n")
    assert caught.traceback[-1].lineno == 1
    with pytest.raises(IndexError) as caught:
        run("a = np.ones(2)\n\na[5] = np.ones(1)\n")
    assert caught.traceback[-1].lineno == 2


def test_in_a_program(python, tmp_path):
    (tmp_path / "library" / "package.py").write_text(PACKAGE)
    done = python("program.py", module=PACKAGE, program="""
from d2lzh_compat import old_names
with old_names.put_back():
    import module
print(module.kind())
import library
print(library.asks())
with old_names.put_back("package"):
    import package
print(package.kind())
""")
    assert done.stdout.splitlines() == [
        "(3, 'Iterable')", "(False, False)",
        "(3, 'Iterable')"], done.stderr
    # Where the first block ends, and the second.
    assert [file for _, file, _ in rows(done.stderr)["collections.Iterable"]
            ] == ["module.py", "module.py",
                  str(tmp_path / "library" / "package.py")]


def test_in_a_notebook(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(old_names, "_notes", set())
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    before = [*sys.meta_path]
    try:
        for cell in ("import numpy as np",
                     "from d2lzh_compat import old_names\n"
                     "stack = old_names.put_back()",
                     "r = 1\nr = np.asscalar(np.array([2]))"):
            shell.run_cell(cell, store_history=True).raise_error()
        assert shell.user_ns["r"] == 2
        assert rows(old_names.report()) == {
            "numpy.asscalar": [(".item()", "cell 3", 2)]}
        shell.user_ns["stack"].close()
        assert "numpy.asscalar" in capsys.readouterr().err
        assert shell.run_cell("np.asscalar").error_in_exec
    finally:
        sys.meta_path[:] = before
        InteractiveShell.clear_instance()


@pytest.mark.parametrize("first", ["mxnet", "d2lzh_ext"])
def test_the_workaround_with_bool(python, first):
    """`np.bool = bool` took from NumPy 2 what numpy.ma is made with."""
    done = python("-c", f"""
import numpy as np
np.bool = bool
import {first}
import mxnet as mx, numpy.ma
print(np.zeros(2, np.bool).dtype, np.ma.masked)
print(mx.nd.array(np.ones(2, np.bool)).asnumpy())
""")
    assert done.stdout == "bool --\n[1. 1.]\n", done.stderr
