"""The graph beside a network computes what the network computes."""
from __future__ import annotations

import json

import numpy as np
import pytest
from mxnet import autograd, init, nd
from mxnet.gluon import nn

import d2lzh_ext as d2l
from d2lzh_ext.engine import compiled as compiling
from d2lzh_ext.engine.compiled import compiled
from d2lzh_ext.engine.tracing import OPERATORS, trace
from d2lzh_ext.models import densenet, googlenet, lenet, resnet18


def chain(*layers):
    net = nn.HybridSequential()
    net.add(*layers)
    return net


def ends_in_convolution():
    return chain(nn.Conv2D(3, 3, padding=1, strides=2, use_bias=False),
                 nn.AvgPool2D(2), nn.Activation("tanh"), nn.Conv2D(5, 1))


def all_kinds():
    """Narrow and wide layers, groups, and layers that mix channels."""
    return chain(nn.Conv2D(4, 3), nn.BatchNorm(), nn.Conv2D(8, 3),
                 nn.Conv2D(8, 3, groups=2),
                 nn.Conv2D(6, 3, activation="relu"), nn.Conv2D(32, 1),
                 nn.GlobalAvgPool2D(), nn.Dense(3))


class Branches(nn.HybridBlock):
    """An activation with two uses, and 24 channels between two layers."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2D(24, 3, activation="relu")
        self.left = nn.Conv2D(40, 3, padding=1)
        self.right = nn.MaxPool2D(3, strides=1, padding=1)
        self.norm, self.act = nn.BatchNorm(), nn.Activation("sigmoid")
        self.pool = nn.MaxPool2D(2)

    def hybrid_forward(self, F, X):
        X = self.first(X)
        Y = F.concat(self.left(X), self.right(X), X, dim=1)
        # The same layers twice.
        return self.pool(self.act(self.norm(self.pool(self.act(Y)))))


def branches():
    return chain(Branches(), nn.Conv2D(20, 1), nn.GlobalMaxPool2D(),
                 nn.Dense(3))


def shared():
    """One layer used twice, and one with the parameters of another."""
    layer = nn.Conv2D(6, 3, padding=1, in_channels=6)
    other = nn.Conv2D(6, 3, padding=1, in_channels=6, params=layer.params)
    return chain(nn.Conv2D(6, 3), layer, nn.Activation("relu"),
                 nn.MaxPool2D(2), layer, other, nn.Dense(3))


def oblong():
    return chain(
        nn.Conv2D(6, (1, 3), strides=(2, 1), padding=(0, 1)),
        nn.Conv2D(7, (3, 1), activation="tanh"),
        nn.MaxPool2D((2, 3), (1, 2), padding=(1, 0)),
        nn.Conv2D(9, 3, dilation=2, activation="softsign"),
        nn.MaxPool2D(3, 2, padding=1, ceil_mode=True), nn.Dense(3))


@pytest.fixture(autouse=True)
def on_any_processor(monkeypatch):
    monkeypatch.setattr(compiling, "_has_avx512", lambda: True)


def started(make):
    net = make()
    d2l.seed(0)
    net.initialize(init.Xavier())
    return net


def steps(net, forward, X):
    """Scores, gradients and running averages of three steps."""
    found = []
    d2l.seed(2)
    for batch in (X, X[:2], X):
        with autograd.record():
            scores = forward(batch)
            loss = (scores ** 2).sum()
        loss.backward()
        found.append(scores.asnumpy())
    return found + [p.grad().asnumpy() for p in net.collect_params().values()
                    if p.grad_req != "null"] + [
                    p.data().asnumpy() for p in net.collect_params().values()
                    if p.grad_req == "null"]


def assert_same(make, X, is_compiled=True):
    net = started(make)
    plain = steps(net, net, X)
    net = started(make)
    forward = compiled(net)
    beside = steps(net, forward, X)
    assert (forward.graph is not None) is is_compiled
    assert not net._active and not net._cached_graph
    assert len(plain) == len(beside) > 1
    # Some gradients cancel out, and rounding is all that is left of them; it
    # also decides between two pixels of a pool that are nearly the same.
    largest = max(np.abs(array).max() for array in plain)
    for a, b in zip(plain, beside):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * largest)


@pytest.mark.parametrize("make", [
    lenet, ends_in_convolution, all_kinds, branches, shared, oblong,
    googlenet, resnet18, densenet])
def test_scores_and_gradients_are_those_of_the_plain_network(make):
    side = 28 if make in (lenet, oblong) else 64
    d2l.seed(1)  # whatever ran before
    assert_same(make, nd.random.uniform(shape=(3, 1, side, side)))


# What networks make of maps (n, 4, 6, 6) with each operator.
LAYERS = {
    "BatchNorm": nn.BatchNorm,
    "Convolution": lambda: nn.Conv2D(5, 3),
    "Deconvolution": lambda: nn.Conv2DTranspose(5, 3, strides=2),
    "Dropout": lambda: nn.Dropout(0.5),
    "Flatten": nn.Flatten,
    "FullyConnected": lambda: nn.Dense(5),
    "InstanceNorm": nn.InstanceNorm,
    "LayerNorm": nn.LayerNorm,
    "Pooling": lambda: nn.AvgPool2D(3, 2, padding=1,
                                    count_include_pad=False),
}
FUNCTIONS = {
    "Activation": lambda F, X: sum(
        F.Activation(X, act_type=kind) for kind in (
            "relu", "sigmoid", "tanh", "softrelu", "softsign")),
    "Concat": lambda F, X: F.concat(X, X * 2, dim=1),
    "LRN": lambda F, X: F.LRN(X, nsize=3),
    "LeakyReLU": lambda F, X: F.LeakyReLU(X, slope=0.1) + F.LeakyReLU(
        X, act_type="elu") + F.LeakyReLU(X, act_type="selu"),
    "Reshape": lambda F, X: F.reshape(X, (0, 2, -1)),
    "SliceChannel": lambda F, X: F.split(X, 2, axis=1)[1],
    "broadcast_add": lambda F, X: F.broadcast_add(
        X, F.mean(X, axis=1, keepdims=True)),
    "broadcast_mul": lambda F, X: F.broadcast_mul(
        X, F.sigmoid(F.mean(X, axis=(2, 3), keepdims=True))),
    "broadcast_sub": lambda F, X: F.broadcast_sub(
        X, F.mean(X, axis=(2, 3), keepdims=True)),
    "clip": lambda F, X: F.clip(X, 0, 0.1),
    "elemwise_add": lambda F, X: X + F.relu(X),
    "elemwise_div": lambda F, X: X / F.square(X + 3),
    "elemwise_mul": lambda F, X: X * F.relu(X),
    "elemwise_sub": lambda F, X: X - F.relu(X),
    "expand_dims": lambda F, X: F.squeeze(F.expand_dims(X, 1), 1),
    "log_softmax": lambda F, X: F.log_softmax(X, axis=1),
    "mean": lambda F, X: F.mean(X, axis=(2, 3)),
    "negative": lambda F, X: F.negative(X),
    "relu": lambda F, X: F.relu(X),
    "sigmoid": lambda F, X: F.sigmoid(X),
    "slice_axis": lambda F, X: F.slice_axis(X, axis=1, begin=1, end=3),
    "softmax": lambda F, X: F.softmax(X, axis=1),
    "sqrt": lambda F, X: F.sqrt(F.square(X) + 1),
    "square": lambda F, X: F.square(X),
    "squeeze": lambda F, X: F.squeeze(F.expand_dims(X, 1), 1),
    "sum": lambda F, X: F.sum(X, axis=1),
    "tanh": lambda F, X: F.tanh(X),
    "transpose": lambda F, X: F.transpose(X, (0, 2, 3, 1)),
    "_copy": lambda F, X: F.identity(X),
    "_div_scalar": lambda F, X: X / 2,
    "_minus_scalar": lambda F, X: X - 2,
    "_mul_scalar": lambda F, X: X * 2,
    "_plus_scalar": lambda F, X: X + 2,
    "_power_scalar": lambda F, X: X ** 2,
    "_rminus_scalar": lambda F, X: 2 - X,
}


@pytest.mark.parametrize("operator", sorted(OPERATORS))
def test_every_operator_that_is_compiled(operator):
    def make():
        layer = (LAYERS[operator]() if operator in LAYERS
                 else nn.HybridLambda(FUNCTIONS[operator]))
        return chain(nn.Conv2D(4, 3, padding=1), layer, nn.Dense(3))

    d2l.seed(1)
    X = nd.random.uniform(-1, 1, shape=(3, 2, 6, 6))
    nodes = json.loads(trace(started(make), X.shape).tojson())["nodes"]
    assert operator in {node["op"] for node in nodes}
    assert_same(make, X)


def nodes(forward):
    return json.loads(forward.graph.symbol.tojson())["nodes"]


def widths(forward):
    return [int(node["attrs"]["num_filter"]) for node in nodes(forward)
            if node["op"] == "Convolution"]


def called(net, X):
    net.initialize()
    forward = compiled(net)
    forward(X)
    return forward


def test_pooling_comes_before_its_activation():
    forward = called(chain(
        nn.Conv2D(16, 3), nn.BatchNorm(), nn.Activation("relu"),
        nn.MaxPool2D(2), nn.Conv2D(24, 3, activation="relu"),
        nn.MaxPool2D(3, strides=1), nn.AvgPool2D(2)),
        nd.ones((2, 1, 28, 28)))
    assert [node["op"] for node in nodes(forward) if node["op"] in (
        "BatchNorm", "Convolution", "Activation", "Pooling", "slice_axis")
    ] == ["Convolution", "BatchNorm", "Pooling", "Activation",
          # Pooling with stride 1 leaves as many numbers as there were.
          "Convolution", "Activation", "Pooling", "Pooling", "slice_axis"]


@pytest.mark.parametrize("pool", [
    nn.MaxPool2D(1, 3, ceil_mode=True), nn.MaxPool2D(2, 2, 1, ceil_mode=True),
    nn.MaxPool2D(2, 3, ceil_mode=True), nn.MaxPool2D(2, 2, ceil_mode=True)])
def test_an_empty_window_stays_what_it_is(pool):
    """MXNet gives the lowest number for it, which no activation may see."""
    net = chain(nn.Conv2D(4, 1), nn.Activation("relu"), pool)
    net.initialize()
    for side in (5, 6, 7, 33):
        X = nd.random.uniform(shape=(2, 1, side, side))
        forward = compiled(net)
        np.testing.assert_allclose(forward(X).asnumpy(), net(X).asnumpy(),
                                   rtol=1e-5)
        assert forward.graph is not None


@pytest.mark.parametrize("avx512, expected", [
    (True, [16, 16]), (False, [6, 16])])
def test_narrow_layers_are_widened_only_for_avx512(
        monkeypatch, avx512, expected):
    monkeypatch.setattr(compiling, "_has_avx512", lambda: avx512)
    assert widths(called(lenet(), nd.ones((2, 1, 28, 28)))) == expected


def test_wide_layers_stay_as_they_are():
    forward = called(all_kinds(), nd.ones((2, 1, 28, 28)))
    assert widths(forward) == [16, 16, 8, 16, 32]


def test_what_the_reader_hybridized_is_left_alone():
    net = lenet()
    net.initialize()
    net.hybridize()
    X = nd.ones((2, 1, 28, 28))
    net(X)
    graph = net._cached_graph
    forward = compiled(net)
    assert (forward(X).asnumpy() == net(X).asnumpy()).all()
    assert forward.graph is None and net._cached_graph is graph


def test_a_plain_block_is_its_own_function():
    net = nn.Sequential()
    assert compiled(net) is net
