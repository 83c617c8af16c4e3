"""The compiled graph computes what the network computes."""
from __future__ import annotations

import json

import numpy as np
import pytest
from mxnet import autograd, init, nd
from mxnet.gluon import nn

import d2lzh_ext as d2l
from d2lzh_ext import compiling
from d2lzh_ext.models import densenet, googlenet, lenet, resnet18


def ends_in_convolution():
    net = nn.HybridSequential()
    net.add(nn.Conv2D(3, 3, padding=1, strides=2, use_bias=False),
            nn.AvgPool2D(2), nn.Activation("tanh"), nn.Conv2D(5, 1))
    return net


def all_kinds():
    """Narrow and wide layers, groups, and layers that mix channels."""
    net = nn.HybridSequential()
    net.add(nn.Conv2D(4, 3), nn.BatchNorm(), nn.Conv2D(8, 3),
            nn.Conv2D(8, 3, groups=2), nn.Conv2D(6, 3, activation="relu"),
            nn.Conv2D(32, 1), nn.GlobalAvgPool2D(), nn.Dense(3))
    return net


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
    net = nn.HybridSequential()
    net.add(Branches(), nn.Conv2D(20, 1), nn.GlobalMaxPool2D(), nn.Dense(3))
    return net


@pytest.fixture(autouse=True)
def on_any_processor(monkeypatch):
    monkeypatch.setattr(compiling, "_has_avx512", lambda: True)


@pytest.mark.parametrize("make", [lenet, ends_in_convolution, all_kinds,
                                  branches, googlenet, resnet18, densenet])
def test_scores_and_gradients_are_those_of_the_plain_network(make):
    side = 28 if make is lenet else 64
    d2l.seed(1)  # whatever ran before
    X = nd.random.uniform(shape=(3, 1, side, side))
    results = []
    for compiled in (False, True):
        net = make()
        d2l.seed(0)
        net.initialize(init.Xavier())
        if compiled:
            compiling.compile_network(net, X)
            assert "hybrid_forward" not in vars(net)
        with autograd.record():
            scores = net(X)
            loss = (scores ** 2).sum()
        loss.backward()
        results.append([scores.asnumpy(), *(
            p.grad().asnumpy() for p in net.collect_params().values()
            if p.grad_req != "null")])
    plain, wide = results
    assert len(plain) == len(wide) > 3
    # Some gradients cancel out, and rounding is all that is left of them; it
    # also decides between two pixels of a pool that are nearly the same.
    largest = max(np.abs(array).max() for array in plain)
    for a, b in zip(plain, wide):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * largest)


def nodes(net):
    return json.loads(net._cached_graph[1].tojson())["nodes"]


def widths(net):
    return [int(node["attrs"]["num_filter"]) for node in nodes(net)
            if node["op"] == "Convolution"]


def test_pooling_comes_before_its_activation():
    net = nn.HybridSequential()
    net.add(nn.Conv2D(16, 3), nn.BatchNorm(), nn.Activation("relu"),
            nn.MaxPool2D(2), nn.Conv2D(24, 3, activation="relu"),
            nn.MaxPool2D(3, strides=1), nn.AvgPool2D(2))
    net.initialize()
    compiling.compile_network(net, nd.ones((2, 1, 28, 28)))
    assert [node["op"] for node in nodes(net) if node["op"] in (
        "BatchNorm", "Convolution", "Activation", "Pooling", "slice_axis")
    ] == ["Convolution", "BatchNorm", "Pooling", "Activation",
          # Pooling with stride 1 leaves as many numbers as there were.
          "Convolution", "Activation", "Pooling", "Pooling", "slice_axis"]


@pytest.mark.parametrize("avx512, expected", [
    (True, [16, 16]), (False, [6, 16])])
def test_narrow_layers_are_widened_only_for_avx512(
        monkeypatch, avx512, expected):
    monkeypatch.setattr(compiling, "_has_avx512", lambda: avx512)
    net = lenet()
    net.initialize()
    X = nd.ones((2, 1, 28, 28))
    compiling.compile_network(net, X)
    net(X)
    assert widths(net) == expected


def test_wide_layers_stay_as_they_are():
    net = all_kinds()
    net.initialize()
    compiling.compile_network(net, nd.ones((2, 1, 28, 28)))
    assert widths(net) == [16, 16, 8, 16, 32]


def test_what_the_reader_hybridized_is_left_alone():
    net = lenet()
    net.initialize()
    net.hybridize()
    X = nd.ones((2, 1, 28, 28))
    net(X)
    graph = net._cached_graph
    compiling.compile_network(net, X)
    assert net._cached_graph is graph


def test_parameters_are_saved_and_loaded_as_ever(tmp_path):
    net = lenet()
    net.initialize(init.Xavier())
    X = nd.random.uniform(shape=(2, 1, 28, 28))
    compiling.compile_network(net, X)
    net.save_parameters(str(tmp_path / "net.params"))
    other = lenet()
    other.load_parameters(str(tmp_path / "net.params"))
    np.testing.assert_allclose(net(X).asnumpy(), other(X).asnumpy(),
                               atol=1e-5)
    assert d2l.summary(net, (1, 1, 28, 28)).parameters == 44_426
