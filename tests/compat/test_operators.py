"""Operators that were wrong, or ended Python."""
from __future__ import annotations

import os
import re

import mxnet as mx
import numpy as np
import pytest
from interpreter import run
from mxnet import autograd, nd
from mxnet.gluon import nn

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


@pytest.mark.slow
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


@pytest.mark.parametrize("bounds", [
    {"begin": (0, -9, 0), "end": (2, 3, 3)}, {"begin": (-9,), "end": (1,)}])
def test_bounds_beyond_an_array_of_three_axes(bounds):
    x = np.arange(30, dtype="float32").reshape(2, 5, 3)
    wanted = x[tuple(map(slice, bounds["begin"], bounds["end"]))]
    assert (nd.slice(nd.array(x), **bounds).asnumpy() == wanted).all()


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
