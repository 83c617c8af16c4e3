"""The table against the published counts and Gluon's model zoo."""
from __future__ import annotations

import math

import pytest
from mxnet import init, nd
from mxnet.gluon import nn
from mxnet.gluon.model_zoo import vision

import d2lzh_ext as d2l
from d2lzh_ext.models import lenet


def test_lenet_line_by_line():
    table = d2l.summary(lenet(), (1, 1, 28, 28))
    assert (table.parameters, table.macs) == (44_426, 281_640)
    assert [layer.output_shape for layer in table.layers] == [
        (1, 6, 24, 24), (1, 6, 12, 12), (1, 16, 8, 8), (1, 16, 4, 4),
        (1, 120), (1, 84), (1, 10)]
    assert [layer.parameters for layer in table.layers] == [
        156, 0, 2_416, 0, 30_840, 10_164, 850]
    printed = str(table).splitlines()
    assert printed[-1].split() == ["total", "44,426", "281,640"]
    assert max(map(len, printed)) <= 79
    assert printed == [line.rstrip() for line in printed]


@pytest.mark.parametrize("name, parameters, macs", [
    ("vgg16", 138_357_544, 15.47e9), ("densenet121", 7_978_856, 2.83e9)])
def test_published_counts_without_computing(name, parameters, macs):
    table = d2l.summary(getattr(vision, name)(), (1, 3, 224, 224))
    assert table.parameters == parameters
    assert table.macs == pytest.approx(macs, rel=2e-3)


@pytest.mark.parametrize("hybridize", [False, True])
def test_parameters_and_state_of_the_network_stay(hybridize):
    net = lenet()
    net.initialize(init.Xavier())
    if hybridize:
        net.hybridize()
    X = nd.ones((2, 1, 28, 28))
    before = net(X)
    table = d2l.summary(net, (2, 1, 28, 28))
    assert table.macs == 2 * 281_640
    assert (net(X) == before).asnumpy().all()


def test_running_statistics_are_not_trainable():
    net = nn.HybridSequential()
    net.add(nn.Conv2D(6, 5), nn.BatchNorm())
    table = d2l.summary(net, (1, 1, 28, 28))
    assert [layer.parameters for layer in table.layers] == [156, 12]


def test_groups_strides_and_shared_layers():
    net = nn.HybridSequential()
    shared = nn.Conv2D(4, 3, padding=1, groups=2, in_channels=4)
    net.add(shared, shared, nn.Conv2D(2, 1, strides=2))
    table = d2l.summary(net, (1, 4, 8, 8))
    # A group of two channels: 2 x 9 weights for each of 4 outputs.
    assert [layer.macs for layer in table.layers] == [
        4 * 64 * 18, 4 * 64 * 18, 2 * 16 * 4]
    assert [layer.parameters for layer in table.layers] == [
        4 * 18 + 4, 0, 2 * 4 + 2]


def test_a_plain_block_runs_forward_once():
    net = d2l.resnet18(10)  # the book's: a Sequential of plain Blocks
    with pytest.raises(ValueError, match="initialise it"):
        d2l.summary(net, (1, 3, 32, 32))
    net.initialize()
    table = d2l.summary(net, (1, 3, 32, 32))
    assert table.parameters == sum(
        p.data().size for p in net.collect_params().values()
        if p.grad_req != "null")
    assert table.layers[-1].output_shape == (1, 10)


def test_hybridized_parts_are_not_miscounted():
    net = d2l.resnet18(10)
    net.initialize()
    net.add(lenet_head := nn.HybridSequential())
    lenet_head.add(nn.Dense(10))
    lenet_head.initialize()
    lenet_head.hybridize()
    with pytest.raises(ValueError, match="hybridize"):
        d2l.summary(net, (1, 3, 32, 32))


@pytest.mark.parametrize("shape", [
    (), (1, 0, 28, 28), (1, 1, 28.0, 28), 28, "abc"])
def test_what_is_no_shape_is_refused(shape):
    with pytest.raises(ValueError, match="input_shape"):
        d2l.summary(lenet(), shape)


def test_a_shape_that_does_not_fit_is_explained(capsys):
    with pytest.raises(ValueError, match="does not fit") as caught:
        d2l.summary(lenet(), (1, 1, 3, 3))
    assert "kernel size" in str(caught.value)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("size, kernel, strides, padding, extra, groups", [
    (4, 2, 1, 0, 0, 1), (5, 3, 2, 1, 0, 1), (5, 3, 2, 1, 1, 1),
    (6, 7, 3, 2, 2, 2)])
def test_transposed_convolution_meets_every_weight_at_every_input_place(
        size, kernel, strides, padding, extra, groups):
    net = nn.HybridSequential()
    net.add(nn.Conv2DTranspose(6, kernel, strides, padding, extra,
                               groups=groups, in_channels=4))
    (layer,) = d2l.summary(net, (2, 4, size, size)).layers
    weights = 4 * (6 // groups) * kernel ** 2
    assert layer.parameters == weights + 6
    assert layer.macs == 2 * size ** 2 * weights
    net.initialize()
    assert net(nd.zeros((2, 4, size, size))).shape == layer.output_shape


def test_transposed_convolution_works_as_much_as_the_convolution():
    """It walks the same pairs of places, the other way."""
    there, back = nn.HybridSequential(), nn.HybridSequential()
    there.add(nn.Conv2D(8, 7, strides=2, padding=1, use_bias=False))
    back.add(nn.Conv2DTranspose(3, 7, strides=2, padding=1,
                                output_padding=1, use_bias=False))
    first = d2l.summary(there, (1, 3, 64, 64))
    second = d2l.summary(back, first.layers[0].output_shape)
    assert second.layers[0].output_shape == (1, 3, 64, 64)
    assert (first.macs, first.parameters) == (second.macs, second.parameters)


def test_transposed_convolutions_of_one_and_three_dimensions():
    for layer, shape in ((nn.Conv1DTranspose(2, 3, strides=2), (1, 4, 5)),
                         (nn.Conv3DTranspose(2, 3), (1, 4, 5, 6, 7))):
        net = nn.HybridSequential()
        net.add(layer)
        places, weights = math.prod(shape[2:]), 4 * 2 * 3 ** (len(shape) - 2)
        assert d2l.summary(net, shape).macs == places * weights


def test_dilated_transposed_convolution():
    net = nn.HybridSequential()
    net.add(nn.Conv2DTranspose(2, 3, strides=2, dilation=2, in_channels=1))
    assert d2l.summary(net, (1, 1, 5, 5)).macs == 25 * 18
