"""MXNet imports everywhere, and readers' loaders and operators work."""
from __future__ import annotations

import multiprocessing
import os
import pickle
import re
import subprocess
import sys
import types
import warnings
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, nd
from mxnet.gluon import nn

from d2lzh_ext import compat


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a fresh interpreter that can import the package."""
    root = Path(__file__).parent.parent
    inherited = {name: value for name, value in os.environ.items()
                 if name not in ("OMP_NUM_THREADS", "MXNET_ENGINE_TYPE")}
    return subprocess.run(
        [sys.executable, "-c", code], text=True, capture_output=True,
        timeout=120, cwd=root, env={**inherited, **environment})


def test_numpy_is_left_as_it_was_found():
    done = run("import numpy as np\n"
               "from d2lzh_ext import compat\n"
               "names = [n for n in compat._REMOVED if n not in vars(np)]\n"
               "assert len(names) > 10, names\n"
               "import mxnet\n"
               "left = [n for n in names if n in vars(np)]\n"
               "assert not left, left\n"
               "print(mxnet.nd.ones(3).sum().asscalar())\n")
    assert done.returncode == 0, done.stderr
    # On the oldest NumPys the names are still there and nothing is added.
    assert done.stdout == "3.0\n"


def test_numpy_may_withdraw_fix():
    """It is deprecated in NumPy 2.5."""
    done = run("import numpy as np\n"
               "vars(np).pop('fix')\n"
               "import d2lzh_ext\n"
               "print(hasattr(np, 'fix'))\n")
    assert done.stdout == "False\n", done.stderr[-2000:]


def test_import_is_silent_and_leaves_the_environment_alone():
    done = run("import os; before = dict(os.environ)\n"
               "import d2lzh_ext\n"
               "assert os.environ == before\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


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
    compat._fork_workers(dataloader)
    ours = dataloader.multiprocessing
    for chosen, method in ((None, "fork"), ("spawn", "spawn")):
        monkeypatch.setattr(multiprocessing, "get_start_method",
                            lambda allow_none, chosen=chosen: chosen)
        assert ours.get_context().get_start_method() == method
    assert ours.pool is multiprocessing.pool


def test_distutils_is_there_for_mxnet_only():
    done = run("""
import sys
before = {n: m for n, m in sys.modules.items() if n.startswith("distutils")}
import d2lzh_ext
after = {n: m for n, m in sys.modules.items() if n.startswith("distutils")}
assert before == after or sys.version_info < (3, 12), after
""")
    assert done.returncode == 0, done.stderr
    one, two = compat._Version("1.9.1"), compat._Version("1.17")
    assert one < two < compat._Version("2.5.0.dev1")


# The functions of slices; what ended Python was along the channels.
SLICES = """
import sys
import numpy as np
import d2lzh_ext
import mxnet as mx
from mxnet import autograd, nd
from mxnet.gluon import nn

def operator(**bounds):
    return (lambda F, Y: F.slice(Y, **bounds),
            lambda Y: Y[tuple(map(slice, bounds["begin"], bounds["end"]))])

def index(*key):
    return lambda F, Y: Y[key], lambda Y: Y[key]

every = slice(None)
ARRAYS = [index(every, 0), index(every, slice(0, 3)), index(every, -1),
          index(every, slice(1, -1), slice(1, 3)), index(..., 0),
          index(every, None, 1), index(every, slice(2, 99)),
          index(every, slice(None, None, 2))]
SYMBOLS = [operator(begin=(None, 1), end=(None, 3)),
           operator(begin=(1, 0, 1), end=(-1, 99, None)),
           operator(begin=(None, -3), end=(None, -1))]

class Cut(nn.HybridBlock):
    def __init__(self, channels, cut):
        super().__init__()
        self.cut = cut
        with self.name_scope():
            self.convolution = nn.Conv2D(channels, 3)

    def hybrid_forward(self, F, X):
        return self.cut(F, self.convolution(X))

X = nd.random.uniform(shape=(4, 3, 8, 8))
for channels in (4, 8, 12, 16, 20, 24, 32, 40, 48, 64):
    for hybrid, cases in (False, ARRAYS + SYMBOLS), (True, SYMBOLS):
        for cut, expected in cases:
            net = Cut(channels, cut)
            net.initialize()
            net.hybridize(hybrid)
            with autograd.record():
                Y = net(X)
                (Y * Y).sum().backward()
            weight = net.convolution.weight
            found = Y.asnumpy(), weight.grad().asnumpy()
            with autograd.record():
                whole = net.convolution(X) + 0  # in no layout of oneDNN's
            Z = whole.asnumpy()
            into = np.zeros_like(Z)
            expected(into)[...] = 2 * expected(Z)
            whole.backward(nd.array(into))
            for ours, right in zip(found, (expected(Z), weight.grad())):
                right = np.asarray(right)
                assert ours.shape == right.shape, (channels, ours.shape)
                np.testing.assert_allclose(ours, right, 1e-3, 1e-4)

mx.npx.set_np()
net = nn.Conv2D(24, 3)
net.initialize()
Y = net(mx.np.ones((4, 3, 8, 8)))[:, 1:3]
assert type(Y) is mx.np.ndarray and Y.asnumpy().shape == (4, 2, 6, 6)
print("done")
"""


@pytest.mark.parametrize("limit", ["ALL", "AVX2", "SSE41"])
def test_slices_along_channels_end_no_process(limit):
    """Python ended with SIGFPE, or "could not construct a sub-memory"."""
    limit = min(limit, os.environ.get("DNNL_MAX_CPU_ISA", "ALL"),
                key=["SSE41", "AVX2", "ALL"].index)
    done = run(SLICES, DNNL_MAX_CPU_ISA=limit)
    assert (done.returncode, done.stdout) == (0, "done\n"), (
        done.stderr[-2000:])


def test_slices_keep_names_shapes_and_errors():
    x = mx.sym.var("x")
    with mx.name.Prefix("my_"):
        outputs = [each.list_outputs() for each in (
            mx.sym.slice(x, begin=1, end=2, name="given"),
            x.slice(begin=(1,), end=(2,)))]
    assert outputs[0] == ["my_given_output"]
    assert re.fullmatch(r"my_slice\d+_output", outputs[1][0])
    with pytest.raises(mx.MXNetError):
        nd.slice(nd.ones((4, 3, 2)), begin=(0,) * 5, end=(1,) * 5).asnumpy()


@pytest.mark.parametrize("numpy_arrays", [False, True])
@pytest.mark.parametrize("pool, axes", [
    (nn.MaxPool1D(), (3,)), (nn.MaxPool2D(), (3, 5)),
    (nn.MaxPool3D(), (3, 5, 7)), (nn.GlobalMaxPool2D(), (2, 3))])
def test_max_pooling_in_predict_mode(pool, axes, numpy_arrays):
    """MXNet gives each gradient to whatever pixel is in memory by chance."""
    rng = np.random.default_rng(0)
    shape = (6, 16, *[6] * len(pool._kwargs["kernel"]))
    x = nd.array(rng.permutation(np.prod(shape)).reshape(shape))
    x.attach_grad()
    block = x.asnumpy()
    if not pool._kwargs["global_pool"]:
        block = block.reshape(6, 16, *[3, 2] * (len(shape) - 2))
    expected = block == block.max(axis=axes, keepdims=True)
    with mx.util.np_array(numpy_arrays):
        data = x.as_np_ndarray() if numpy_arrays else x
        data.attach_grad()
        with autograd.record(), autograd.predict_mode():
            scores = pool(data)
        scores.backward(train_mode=False)
    np.testing.assert_array_equal(
        data.grad.asnumpy(), expected.reshape(shape))


@pytest.mark.parametrize("flags", [
    {"active": False}, {}, {"static_alloc": True, "static_shape": True}])
def test_gradients_of_a_network_in_predict_mode(flags):
    mx.random.seed(0)
    net = nn.HybridSequential()
    net.add(nn.Conv2D(8, 3), nn.BatchNorm(), nn.MaxPool2D(), nn.Dropout(0.5),
            nn.Conv2D(6, 2), nn.BatchNormReLU(), nn.GlobalMaxPool2D(),
            nn.Dense(3))
    net.initialize(mx.init.Normal(0.5))
    x = nd.random.normal(shape=(2, 3, 10, 10))
    with autograd.record():
        net(x)  # the normalisations get averages to use
    before = net[1].running_mean.data().asnumpy()
    net.hybridize(**flags)
    x.attach_grad()
    with autograd.record(train_mode=False):
        scores = net(x)
    scores.backward(train_mode=False)
    np.testing.assert_allclose(
        scores.asnumpy(), net(x).asnumpy(), 1e-4, 1e-4)
    assert (net[1].running_mean.data().asnumpy() == before).all()
    assert (net._cached_op is None) == (flags == {"active": False})
    for i in range(0, x.size, 25):
        step = nd.one_hot(nd.array([i]), x.size).reshape(x.shape) / 200
        slope = (net(x + step) - net(x - step)).sum() * 100
        np.testing.assert_allclose(
            x.grad.reshape(-1)[i].asscalar(), slope.asscalar(), 0, 0.01)


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


@pytest.mark.parametrize("settings", [
    {}, {"wd": 0.01}, {"momentum": 0.9}, {"momentum": 0.9, "wd": 0.01},
    {"clip_gradient": 0.5}])
def test_updates_one_by_one_give_the_digits_of_one_call(
        monkeypatch, settings):
    optimizer = mx.optimizer.optimizer

    def train():
        """Three parameters after three updates, as one update takes them."""
        rng = np.random.default_rng(0)
        shapes = [(20, 3, 5, 5), (7,), (33, 20)]
        weights = [nd.array(rng.normal(size=s)) for s in shapes]
        update = mx.optimizer.get_updater(mx.optimizer.SGD(
            learning_rate=0.1, rescale_grad=1 / 7, **settings))
        for _ in range(3):
            gradients = [nd.array(rng.normal(size=s)) for s in shapes]
            update([0, 1, 2], gradients, weights)
        return np.concatenate([w.asnumpy().ravel() for w in weights])

    ours = train()
    for name in ("multi_sgd_update", "multi_sgd_mom_update"):
        mxnets = getattr(optimizer, name).__wrapped__
        monkeypatch.setattr(optimizer, name, mxnets)
    np.testing.assert_array_equal(ours, train())


def test_custom_operators_work():
    done = run("""
import d2lzh_ext
import mxnet as mx
class Square(mx.operator.CustomOp):
    def forward(self, is_train, req, in_data, out_data, aux):
        self.assign(out_data[0], req[0], in_data[0] * in_data[0])
    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
        self.assign(in_grad[0], req[0], 2 * in_data[0] * out_grad[0])
@mx.operator.register("square_here")
class Prop(mx.operator.CustomOpProp):
    def create_operator(self, ctx, shapes, dtypes):
        return Square()
x = mx.nd.array([1, 2, 3])
x.attach_grad()
wrong = 0
for _ in range(100):
    with mx.autograd.record():
        y = mx.nd.Custom(x, op_type="square_here")
    y.backward()
    wrong += x.grad.asnumpy().tolist() != [2, 4, 6]
print(wrong)
""")
    assert done.stdout == "0\n", done.stderr[-2000:]


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
        compat, "install_line", lambda library:
        f"the line for {library}" if "opencv" not in library else "")
    monkeypatch.delitem(sys.modules, "mxnet")
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(ImportError) as caught:
        compat.import_mxnet()
    assert cure in str(caught.value)


@pytest.mark.parametrize("system, machine, cure", [
    ("Windows", "AMD64", "WSL 2"), ("Darwin", "arm64", "Apple silicon"),
    ("Linux", "x86_64", "pip install")])
def test_the_cure_fits_the_platform(monkeypatch, system, machine, cure):
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert cure in compat._cure()


@pytest.mark.parametrize("files, cores", [
    ({"/sys/fs/cgroup/cpu.max": "max 100000"}, 64),
    ({"/sys/fs/cgroup/cpu.max": "150000 100000"}, 2),
    ({"/sys/fs/cgroup/cpu.max": "1000 100000"}, 1),
    ({"/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "400000",
      "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 4),
    ({"/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
      "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 64),
    ({}, 64)])
def test_cores_are_those_of_the_container(monkeypatch, files, cores):
    def read_text(path: Path) -> str:
        try:
            return files[str(path)]
        except KeyError:
            raise FileNotFoundError(path) from None

    monkeypatch.setattr(Path, "read_text", read_text)
    monkeypatch.setattr(os, "sched_getaffinity",
                        lambda pid: set(range(64)), raising=False)
    assert compat.num_cores() == cores


def test_import_reads_and_starts_nothing():
    """Beyond MXNet and d2lzh, which are imported before it is watched."""
    done = run("""
import sys
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("compat", "d2lzh_ext/compat.py")
compat = module_from_spec(spec)
spec.loader.exec_module(compat)
compat.import_mxnet()
import d2lzh
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
""")
    assert done.stdout == "[]\n['pyproject.toml']\n", done.stderr


def test_an_array_of_one_number_is_that_number():
    """Whatever NumPy says; see section 3.2 of the book."""
    one = nd.array([0.5]).mean().asnumpy()
    assert isinstance(one, np.ndarray) and one.shape == (1,)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy 1.25 to 2.4 do
        assert "%f" % one == "0.500000"  # noqa: UP031
        assert (float(one), int(one)) == (0.5, 0)
    assert repr(one) == "array([0.5], dtype=float32)"
    assert type(one + 1) is np.ndarray
    assert type(one + np.ones(3)) is np.ndarray
    assert type(pickle.loads(pickle.dumps(one))) is np.ndarray
    assert type(nd.ones(3).asnumpy()) is np.ndarray
    with pytest.raises(TypeError):
        float(nd.ones(3).asnumpy())


def test_numbers_of_numpy_are_numbers():
    """NumPy 2 writes np.int64(2) where MXNet expects 2."""
    assert nd.zeros((np.int64(2), np.int32(3))).shape == (2, 3)
    x = nd.arange(12).reshape((3, 4))
    assert x[:, np.int64(1)].asnumpy().tolist() == [1, 5, 9]
    x[np.int64(1)] = 0
    assert x[np.int64(1)].asnumpy().tolist() == [0] * 4
    data = mx.sym.var("data").reshape((np.int64(2), -1))
    assert data.infer_shape(data=(4, 3))[1] == [(2, 6)]
    for hybrid in (False, True):
        net = nn.HybridSequential()
        net.add(nn.Dense(np.int64(10)))
        net.initialize()
        net.hybridize(hybrid)
        assert net(nd.ones((2, 4))).shape == (2, 10)


def test_numpy_makes_arrays_of_ndarrays():
    x = nd.arange(6).reshape((2, 3))
    assert np.array(x).tolist() == x.asnumpy().tolist()
    for dtype in ("float32", "uint8", "int32"):
        assert np.asarray(x.astype(dtype)).dtype == dtype
    assert np.array(x, dtype="int64").dtype == "int64"
    assert np.sqrt(x).shape == (2, 3)
