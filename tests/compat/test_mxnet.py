"""MXNet imports everywhere, and what it needs for that is put back."""
from __future__ import annotations

import multiprocessing
import sys
import types

import mxnet as mx
import pytest
from interpreter import run

from d2lzh_compat import mxnet as layer

# Programs that end well and print nothing, and what they may find set.
PROGRAMS = {
    # On the oldest NumPys the names are still there and nothing is added.
    "numpy_is_left_as_it_was_found": """
import numpy as np
from d2lzh_compat import removed
names = [name for name in removed.NUMPY if name not in vars(np)]
assert len(names) > 10, names
import mxnet
assert not [name for name in names if name in vars(np)]
assert mxnet.nd.ones(3).sum().asscalar() == 3
""",
    # It is deprecated in NumPy 2.5.
    "numpy_may_withdraw_fix": """
import numpy as np
vars(np).pop("fix")
import mxnet
assert not hasattr(np, "fix")
""",
    "import_leaves_environment_and_distutils_alone": """
import os, sys
def distutils():
    return {name: module for name, module in sys.modules.items()
            if name.startswith("distutils") and sys.version_info >= (3, 12)}
before = dict(os.environ), distutils()
import mxnet
assert (os.environ, distutils()) == before
""",
    # While MXNet is imported it is not.
    **{f"garbage_is_collected_as_before_{choice}": f"""
import gc
{choice}
before = gc.isenabled(), gc.get_freeze_count() > 0
import mxnet
assert before == (gc.isenabled(), gc.get_freeze_count() > 0)
""" for choice in ("pass", "gc.disable()", "gc.freeze()")},
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name):
    done = run(PROGRAMS[name])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_import_reads_and_starts_nothing():
    """Beyond MXNet and d2lzh, which are imported before it is watched."""
    done = run("""
import sys
from d2lzh_compat import mxnet
mxnet.import_mxnet()
import d2lzh
assert "d2lzh_ext" not in sys.modules
seen = []
def watch(event, arguments):
    if event == "open":
        if not str(arguments[0]).endswith((".py", ".pyc", ".so")):
            seen.append(arguments[0])
    elif event.startswith(("subprocess", "os.fork", "os.posix_spawn",
                           "os.exec", "os.system", "socket")):
        seen.append(event)
sys.addaudithook(watch)
import d2lzh_ext
print(seen)
open("pyproject.toml").close()
print(seen)
""", D2LZH_HOOK="0")
    assert done.stdout == "[]\n['pyproject.toml']\n", done.stderr


def test_the_readers_own_settings_stand():
    done = run("import os, d2lzh_ext\n"
               "print(os.environ['OMP_NUM_THREADS'])\n"
               "print(os.environ.get('GOMP_SPINCOUNT'))\n",
               OMP_NUM_THREADS="1")
    assert done.stdout == "1\nNone\n", done.stderr


LOADER = """
import d2lzh_ext
import numpy as np
from mxnet import nd, gluon
from mxnet.gluon import data as gdata, nn
net = nn.Conv2D(16, 3)
net.initialize()
# The parent computes first, so that OpenMP has threads when it forks.
net(nd.random.normal(shape=(64, 1, 96, 96))).wait_to_read()
transforms = gdata.vision.transforms
transform = transforms.Compose([
    transforms.Resize(96), transforms.RandomFlipLeftRight(),
    transforms.ToTensor()])
if {threads}:  # Gluon's own transforms compile themselves: not thread-safe
    def transform(image):
        return nd.image.to_tensor(nd.image.resize(image, 96))
# Over 200,000 items, which the main thread copies with a team of its own.
images = nd.array(np.zeros((300, 28, 28, 1)), dtype="uint8")
dataset = gdata.ArrayDataset(images, np.arange(300)).transform_first(
    transform)
for _ in range(2):
    loader = gdata.DataLoader(dataset, 64, {arguments}, timeout=30)
    print(sum(net(X).shape[0] for X, y in loader))
"""


@pytest.mark.slow
@pytest.mark.parametrize("arguments, engine", [
    ("num_workers=2", {}), ("num_workers=2, thread_pool=True", {}),
    ("num_workers=0", {}),
    # As in a group of processes.
    ("num_workers=2", {"MXNET_ENGINE_TYPE": "NaiveEngine"})])
def test_readers_dataloader_with_operators_in_its_workers(arguments, engine):
    done = run(LOADER.replace("{arguments}", arguments).replace(
        "{threads}", str("thread_pool" in arguments)), **engine)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == "300\n300\n"


def test_a_start_method_that_the_reader_chose_stands(monkeypatch):
    dataloader = types.ModuleType("dataloader")
    layer._fork_workers(dataloader)
    ours = dataloader.multiprocessing
    monkeypatch.setattr(multiprocessing, "get_all_start_methods",
                        lambda: ["forkserver", "fork", "spawn"])
    for chosen, method in ((None, "fork"), ("spawn", "spawn"),
                           ("forkserver", "fork")):
        monkeypatch.setattr(multiprocessing, "get_start_method",
                            lambda allow_none, chosen=chosen: chosen)
        assert ours.get_context().get_start_method() == method
    assert ours.pool is multiprocessing.pool


def test_a_stand_in_for_distutils():
    with layer._distutils():  # as setuptools, if something imports it
        sys.modules.pop("distutils.version", None)
    one, two = layer._Version("1.9.1"), layer._Version("1.17")
    assert one < two < layer._Version("2.5.0.dev1")


@pytest.mark.slow
def test_the_engine_changes_no_digit():
    code = """
import d2lzh_ext as d2l
from mxnet import gluon, init
from mxnet.gluon import nn
train_iter, test_iter = d2l.load_data_fashion_mnist(
    64, num_train=512, num_test=64)
d2l.seed(0)
net = nn.HybridSequential()
net.add(nn.Conv2D(16, 5, activation='relu'), nn.BatchNorm(),
        nn.MaxPool2D(), nn.Dropout(0.5), nn.Dense(10))
net.initialize(init.Xavier())
trainer = gluon.Trainer(net.collect_params(), 'adam')
history = d2l.train_ch5(
    net, train_iter, test_iter, 64, trainer, d2l.try_gpu(), 2)
print(history.loss, history.test_acc)
"""
    threaded = run(code)
    assert threaded.returncode == 0, threaded.stderr[-2000:]
    synchronous = run(code, MXNET_ENGINE_TYPE="NaiveEngine")
    assert (threaded.stdout.splitlines()[-1]
            == synchronous.stdout.splitlines()[-1])


MISSING = """
import sys
sys.modules[{name!r}] = None  # what Python takes for a missing module
try:
    import d2lzh_ext
except ImportError as error:
    print(error)
"""


@pytest.mark.parametrize("name, cure", [
    ("mxnet", "MXNet is not installed."),
    ("requests", "pip install requests")])
def test_a_missing_package_gives_one_clear_error(name, cure):
    done = run(MISSING.replace("{name!r}", repr(name)))
    assert done.returncode == 0, done.stderr[-2000:]
    assert cure in done.stdout
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize("error, cure", [
    (OSError("libgomp.so.1: cannot open shared object file: No such file"),
     "libgomp.so.1 is missing. Install it with `the line for libgomp.so.1`."),
    (OSError("libquadmath.so.0: cannot open shared object file: No such"),
     "libquadmath.so.0 is missing. Install it with `the line for "
     "libquadmath.so.0`."),
    (OSError("libopencv.so.4: cannot open shared object file: No such file"),
     "libopencv.so.4 is missing. Install your system's package"),
    (OSError("libcudart.so.11.0: cannot open shared object file: No such"),
     "libcudart.so.11.0 is missing. It is NVIDIA's"),
    (OSError("libmxnet.so: undefined symbol: x"),
     "does not load: libmxnet.so: undefined symbol: x."),
    (AttributeError("module 'numpy' has no attribute 'x'"), "'numpy>="),
    (RuntimeError("x is not a function of NumPy"), "'numpy>=")])
def test_a_broken_installation_names_its_cure(monkeypatch, error, cure):
    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name == "mxnet":
                raise error

    monkeypatch.setattr(
        layer, "install_line", lambda library:
        f"the line for {library}" if "opencv" not in library else "")
    monkeypatch.delitem(sys.modules, "mxnet")
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(ImportError) as caught:
        layer.import_mxnet()
    assert cure in str(caught.value)


@pytest.mark.parametrize("error", [
    mx.MXNetError("bind failed"), RuntimeError("deadlock detected by _Module"),
    AttributeError("partially initialized module 'mxnet' has no ...")])
def test_an_error_of_mxnet_is_not_one_of_numpy(error):
    """A scheduler whose port is taken was told to install another NumPy."""
    with pytest.raises(type(error)) as caught, layer._clear_errors():
        raise error
    assert caught.value is error


def test_a_second_try_after_a_failed_import():
    """A reader installs what is missing, in the same kernel."""
    done = run(MISSING.replace("{name!r}", "'requests'") + """
del sys.modules["requests"]
import mxnet as mx
print(mx.nd.ones(3).sum().asscalar(), mx.mended_by_d2lzh_compat)
""")
    assert done.stdout.endswith("3.0 True\n"), done.stderr


@pytest.mark.parametrize("system, machine, cure", [
    ("Windows", "AMD64", "WSL 2"), ("Darwin", "arm64", "Apple silicon"),
    ("Linux", "x86_64", "pip install")])
def test_the_cure_fits_the_platform(monkeypatch, system, machine, cure):
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert cure in layer._cure()
