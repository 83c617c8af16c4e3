"""What goes wrong, what is said, and what is left: see docs/faults.md."""
from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading

import mxnet as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from interpreter import ROOT
from mxnet import gluon, init, nd

import d2lzh_ext as d2l
from d2lzh_ext import models
from d2lzh_ext.files.parameters import read_parameters


def test_every_row_of_the_table_is_a_test():
    page = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?!fault|---).*\| `(\w+)`: `(\w+)` \|$", page,
                      re.MULTILINE)
    assert len(rows) > 20
    assert page.count("\n| ") == len(rows) + page.count("\n| fault |")
    tests = {(path.stem, name) for path in (ROOT / "tests").rglob("test_*.py")
             for name in re.findall(r"^def (test_\w+)", path.read_text(
                 encoding="utf-8"), re.MULTILINE)}
    assert set(rows) - tests == set()


def small_net():
    net = models.lenet()
    net.initialize(init.Xavier())
    return net


def train(net, batches, num_epochs=1, test=None, **arguments):
    trainer = gluon.Trainer(net.collect_params(), "sgd",
                            {"learning_rate": 0.01})
    return d2l.train_ch5(net, batches, test or batches, 64, trainer,
                         mx.cpu(), num_epochs, **arguments)


def images(shape=(4, 1, 28, 28), dtype="float32"):
    return nd.ones(shape, dtype=dtype)


LABELS = nd.array([0, 1, 2, 3])


@pytest.mark.parametrize("label", [10, -1, 1.5, float("nan")])
def test_labels_out_of_range(label):
    with pytest.raises(ValueError, match=rf"label 2 is {label:.1f}, which "
                       "is no class: labels must be whole numbers from 0"):
        train(small_net(), [(images(), nd.array([0, 1, label, 2]))])


def test_labels_out_of_range_later_on():
    bad = nd.array([0, 0, 0, 11])
    with pytest.raises(ValueError, match=r"is 11.0, which is .* 0 to 9"):
        train(small_net(), [(images(), LABELS), (images(), bad)])


def test_fewer_labels_than_images():
    with pytest.raises(ValueError, match="4 images and 3 labels"):
        train(small_net(), [(images(), LABELS[:3])])


def test_images_of_bytes():
    with pytest.raises(TypeError, match=r"images are uint8.*/ 255"):
        train(small_net(), [(images(dtype="uint8"), LABELS)])


@pytest.mark.parametrize(("shape", "reason"), [
    ((4, 28, 28), "should be 4D"), ((4, 1, 3, 3), "kernel size exceed")])
def test_images_of_the_wrong_shape(shape, reason):
    with pytest.raises(ValueError, match=rf"does not take a batch of shape "
                       rf"{re.escape(str(shape))}: .*{reason}"):
        train(small_net(), [(images(shape), LABELS)])


def plain_net():
    net = gluon.nn.Sequential()
    net.add(gluon.nn.Conv2D(6, 5), gluon.nn.Dense(10))
    net.initialize()
    return net


@pytest.mark.parametrize(("make", "shape"), [
    (small_net, (4, 3, 28, 28)), (plain_net, (4, 28, 28))])
def test_channels_that_the_network_does_not_know(make, shape):
    net = make()
    net(images())
    with pytest.raises(ValueError, match=rf"does not take a batch of shape "
                       rf"{re.escape(str(shape))}"):
        train(net, [(images(shape), LABELS)])


def test_a_batch_larger_than_the_set():
    """One batch with all images, as in the book."""
    train_iter, _ = d2l.load_data_fashion_mnist(256, num_train=100,
                                                num_test=10)
    assert [X.shape[0] for X, _ in train_iter] == [100]


class Interrupting:
    """Batches, and something that is done amid those of one epoch."""

    def __init__(self, batches, epoch, interrupt):
        self.batches, self.epoch, self.interrupt = batches, epoch, interrupt

    def __iter__(self):
        self.epoch -= 1
        for i, batch in enumerate(self.batches):
            if i == 1 and not self.epoch:
                self.interrupt()
            yield batch


@pytest.fixture
def control_c():
    """Ctrl-C works, also where the tests run in a shell's background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_control_c_leaves_network_and_history(control_c, capsys):
    net, batches = small_net(), [(images(), LABELS)] * 3
    with pytest.raises(KeyboardInterrupt):
        train(net, Interrupting(batches, 3, lambda: signal.raise_signal(
            signal.SIGINT)), 5, test=batches)
    assert "interrupted after 2 whole epochs" in capsys.readouterr().out
    history = d2l.last_history()
    assert len(history.loss) == len(history.test_acc) == 2
    assert np.isfinite(net(images()).asnumpy()).all()
    assert len(train(net, batches).loss) == 1  # and it goes on


@pytest.mark.filterwarnings("ignore:The loss rests")
def test_control_c_in_the_midst_of_a_batch(control_c, monkeypatch):
    """A signal from outside, at no moment of the test's choice."""
    net = small_net()
    train_iter, test_iter = d2l.load_data_fashion_mnist(
        64, num_train=2000, num_test=100)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        train(net, Interrupting(train_iter, 2, timer.start), 10**6,
              test=test_iter)
    finished = len(d2l.last_history().loss)
    assert finished == len(d2l.last_history().seconds) > 0
    assert 0 <= d2l.evaluate_accuracy(test_iter, net) <= 1


# --- parameters -----------------------------------------------------------

def written(path, net=None):
    net = net or small_net()
    net(images())
    net.save_parameters(str(path))
    return net


def assert_not_loaded(path, message):
    net = small_net()
    before = net(images()).asnumpy()
    with pytest.raises(d2l.ParameterError, match=message):
        d2l.load_parameters(net, path)
    assert (net(images()).asnumpy() == before).all()


def test_parameters_of_this_network(tmp_path):
    net = written(tmp_path / "p")
    other = models.lenet()
    d2l.load_parameters(other, tmp_path / "p")
    assert (net(images()) == other(images())).asnumpy().all()
    for name, array in read_parameters(tmp_path / "p").items():
        assert (nd.load(str(tmp_path / "p"))[name].asnumpy() == array).all()


@pytest.mark.parametrize("dtype", ["float64", "float16", "uint8", "int32",
                                   "int8", "int64"])
def test_parameters_of_every_type_are_read(tmp_path, dtype):
    nd.save(str(tmp_path / "p"), {"a": nd.ones((2, 3), dtype=dtype)})
    array = read_parameters(tmp_path / "p")["a"]
    assert (array.dtype, array.shape) == (dtype, (2, 3))


@pytest.mark.parametrize(("other", "difference"), [
    (models.lenet_bn, "only the file has"),
    (lambda: models.lenet(7), r"has the shape \(7, 84\) in it")])
def test_parameters_of_another_network(tmp_path, other, difference):
    """Gluon's own would load those that fit before it stops."""
    other = other()
    other.initialize()
    written(tmp_path / "p", other)
    assert_not_loaded(tmp_path / "p", difference)


def test_parameters_of_another_type(tmp_path):
    """As many bytes, but other numbers: nothing is set."""
    written(tmp_path / "p")
    arrays = nd.load(str(tmp_path / "p"))
    last = list(arrays)[-1]
    arrays[last] = arrays[last].astype("int32")
    nd.save(str(tmp_path / "p"), arrays)
    assert_not_loaded(tmp_path / "p", f"{last} is int32 in it")


@pytest.mark.parametrize("deduplicate", [False, True])
def test_shared_parameters(tmp_path, deduplicate):
    def make():
        net, shared = gluon.nn.Sequential(), gluon.nn.Dense(4, in_units=4)
        net.add(shared, gluon.nn.Dense(4, params=shared.params))
        return net

    net = make()
    net.initialize(init.Xavier())
    net.save_parameters(str(tmp_path / "p"), deduplicate=deduplicate)
    other = make()
    d2l.load_parameters(other, tmp_path / "p")
    assert (net(nd.ones((1, 4))) == other(nd.ones((1, 4)))).asnumpy().all()


def test_parameters_go_where_the_network_is(tmp_path):
    net = gluon.nn.Dense(3, use_bias=False)
    net.initialize(ctx=mx.cpu(1))
    net(nd.ones((1, 2), ctx=mx.cpu(1)))
    net.save_parameters(str(tmp_path / "p"))
    other = gluon.nn.Dense(3, use_bias=False)
    other.initialize(ctx=mx.cpu(1))  # deferred: its input is not known yet
    d2l.load_parameters(other, tmp_path / "p")
    assert other.weight.list_ctx() == [mx.cpu(1)]


@pytest.mark.parametrize("shape", [(0, 2**62), (2**40, 2**40), (-1, 3)])
def test_absurd_shapes(tmp_path, shape):
    nd.save(str(tmp_path / "p"), {"a": nd.ones((2, 3))})
    content = (tmp_path / "p").read_bytes()
    old, new = (np.array(each, np.int64).tobytes()
                for each in ((2, 3), shape))
    assert content.count(old) == 1
    (tmp_path / "p").write_bytes(content.replace(old, new))
    with pytest.raises(d2l.ParameterError):
        read_parameters(tmp_path / "p")


@settings(max_examples=300, deadline=None)
@given(draw=st.data())
def test_hostile_parameters(tmp_path_factory, draw):
    """Bytes changed, cut, inserted: read as numbers, or one clear error.

    MXNet's own reader ends the process on some of these.
    """
    folder = tmp_path_factory.getbasetemp()
    good = folder / "good.params"
    if not good.exists():
        nd.save(str(good), {"a": nd.ones((2, 3)), "bc": nd.ones((4,))})
    content = bytearray(good.read_bytes())
    for _ in range(draw.draw(st.integers(1, 4))):
        place = draw.draw(st.integers(0, len(content) - 1))
        piece = draw.draw(st.binary(max_size=9) | st.sampled_from(
            [b"\xff" * 8, b"\0" * 8, b"\xff" * 4, b"\0\0\0\0\xff\xff\0\0"]))
        end = draw.draw(st.sampled_from(
            [place, place + len(piece), len(content)]))
        content[place:end] = piece
        if not content:
            break
    bad = folder / "bad.params"
    bad.write_bytes(content)
    try:
        arrays = read_parameters(bad)
    except d2l.ParameterError as error:
        assert str(bad) in str(error)
    else:
        assert sum(array.nbytes for array in arrays.values()) <= len(content)


def test_missing_parameters(tmp_path):
    with pytest.raises(FileNotFoundError):
        d2l.load_parameters(small_net(), tmp_path / "none")


# --- the disk -------------------------------------------------------------

def test_a_full_disk_while_a_checkpoint_is_written(tmp_path):
    """A limit on the size of files stands for the disk."""
    code = """
import resource, signal, sys
import d2lzh_ext
from test_faults import LABELS, images, small_net, train
batches = [(images(), LABELS)]
train(small_net(), batches, checkpoint=sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    train(small_net(), batches, 2, checkpoint=sys.argv[1])
except OSError as error:
    sys.exit(f'{type(error).__name__}: {error}')
"""
    path = tmp_path / "run.npz"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(path)], text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True)
    assert done.returncode == 1, done
    (line,) = done.stderr.splitlines()
    assert re.fullmatch(
        r"OSError: \[Errno 27\] the checkpoint cannot be written \(.*\); "
        rf"make room .*: '{path}'", line), line
    assert [file.name for file in tmp_path.iterdir()] == ["run.npz"]
    # The checkpoint of the first epoch is whole.
    history = train(small_net(), [(images(), LABELS)], checkpoint=path)
    assert len(history.loss) == 1 and not history.resumed
