"""The table against the published counts and Gluon's model zoo."""
from __future__ import annotations

import math
import tempfile
import warnings

import mxnet as mx
import pytest
from mxnet import gluon, init, nd
from mxnet.gluon import nn
from mxnet.gluon.model_zoo import vision

import d2lzh_ext as d2l
from d2lzh_ext.layers import Window, activation_of, window_of
from d2lzh_ext.models import lenet

pytestmark = pytest.mark.filterwarnings("ignore:.*already initialized")


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


def stack(*layers, kind=nn.HybridSequential):
    net = kind()
    net.add(*layers)
    return net


def test_running_statistics_are_not_trainable():
    table = d2l.summary(stack(nn.Conv2D(6, 5), nn.BatchNorm()),
                        (1, 1, 28, 28))
    assert [layer.parameters for layer in table.layers] == [156, 12]


def test_groups_strides_and_shared_layers():
    shared = nn.Conv2D(4, 3, padding=1, groups=2, in_channels=4)
    table = d2l.summary(stack(shared, shared, nn.Conv2D(2, 1, strides=2)),
                        (1, 4, 8, 8))
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
    net(nd.zeros((1, 3, 32, 32)))
    assert table.parameters == trainable(net)
    assert table.layers[-1].output_shape == (1, 10)


def trainable(net):
    return sum(math.prod(p.shape) for p in net.collect_params().values()
               if p.grad_req != "null")


def test_hybridized_parts_count_as_the_others():
    net = d2l.resnet18(10)
    net.add(stack(nn.Dense(10)))
    net.initialize()
    before = d2l.summary(net, (1, 3, 32, 32))
    net.hybridize()
    for _ in range(2):
        assert d2l.summary(net, (1, 3, 32, 32)) == before
        net(nd.zeros((1, 3, 32, 32)))
    assert before.parameters == trainable(net)


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
    net = stack(nn.Conv2DTranspose(6, kernel, strides, padding, extra,
                                   groups=groups, in_channels=4))
    (layer,) = d2l.summary(net, (2, 4, size, size)).layers
    weights = 4 * (6 // groups) * kernel ** 2
    assert layer.parameters == weights + 6
    assert layer.macs == 2 * size ** 2 * weights
    net.initialize()
    assert net(nd.zeros((2, 4, size, size))).shape == layer.output_shape


@pytest.mark.parametrize(("layer", "shape", "macs"), [
    (nn.Conv1DTranspose(2, 3, strides=2), (1, 4, 5), 5 * 4 * 2 * 3),
    (nn.Conv3DTranspose(2, 3), (1, 4, 5, 6, 7), 5 * 6 * 7 * 4 * 2 * 27),
    (nn.Conv2DTranspose(2, 3, strides=2, dilation=2), (1, 1, 5, 5), 25 * 18),
    # As much as Conv2D(8, 7, strides=2, padding=1) of 3 channels, which
    # walks the same pairs of places the other way.
    (nn.Conv2DTranspose(3, 7, strides=2, padding=1, output_padding=1),
     (1, 8, 30, 30), 30 * 30 * 8 * 3 * 49),
    (nn.Conv2D(8, 7, strides=2, padding=1), (1, 3, 64, 64),
     30 * 30 * 8 * 3 * 49)])
def test_operations_of_other_convolutions(layer, shape, macs):
    assert d2l.summary(stack(layer), shape).macs == macs


# --- networks of every kind -----------------------------------------------

class Own(nn.HybridBlock):
    """Owns a parameter, and contains layers that own others."""

    def __init__(self):
        super().__init__()
        self.scale = self.params.get("scale", shape=(1,), init="ones")
        self.conv = nn.Conv2D(6, 3, activation="relu")
        self.dense = nn.Dense(3)

    def hybrid_forward(self, F, X, scale):
        return self.dense(F.broadcast_mul(self.conv(X), scale.reshape(
            (1, 1, 1, 1))))


class OwnAlone(nn.HybridBlock):
    def __init__(self, in_units=4, **kwargs):
        super().__init__()
        self.weight = self.params.get("weight", shape=(in_units, 3), **kwargs)

    def hybrid_forward(self, F, X, weight):
        return F.dot(X, weight)


class Shaped(nn.HybridBlock):
    """Asks for the shape, which a symbol does not have."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Dense(3)

    def hybrid_forward(self, F, X):
        return self.dense(X.reshape((X.shape[0], -1)))


class Plain(nn.Block):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2D(6, 3)
        self.dense = nn.Dense(3)

    def forward(self, X):
        return [[self.dense(self.conv(X))], X]


class Two(nn.HybridBlock):
    def __init__(self):
        super().__init__()
        self.dense = nn.Dense(3)

    def hybrid_forward(self, F, X, Y):
        return self.dense(X) + self.dense(Y)


class PlainTwo(nn.Block):
    def forward(self, X, Y):
        return X + Y


class Failing(nn.HybridBlock):
    """Fails after its first layer, whatever it is given."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Dense(3)

    def hybrid_forward(self, F, X):
        self.called = self.dense(X)
        raise KeyError("of the reader")


def twice():
    dense = nn.Dense(4, in_units=4)
    return stack(dense, nn.Activation("relu"), dense)


def shared():
    dense = nn.Dense(4, in_units=4)
    return stack(dense, nn.Dense(4, in_units=4, params=dense.params))


def frozen():
    net = stack(nn.Dense(4), nn.Dense(2))
    net[0].collect_params().setattr("grad_req", "null")
    return net


def symbol_block(net=None, shape=(1, 1, 28, 28)):
    """What is read from the file of an exported network."""
    net = lenet() if net is None else net
    net.initialize()
    net.hybridize()
    net(nd.zeros(shape))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net.export(f"{folder}/net")
        return gluon.SymbolBlock.imports(
            f"{folder}/net-symbol.json", ["data"], f"{folder}/net-0000.params")


def up_and_down():
    return stack(nn.Conv2D(4, 3, strides=2, groups=1),
                 nn.Conv2DTranspose(2, 3, strides=2), nn.Dense(3))


IMAGE, MAPS = (1, 1, 8, 8), (2, 1, 28, 28)
# The network, the shape of its input; rows, (parameters, operations) each.
TABLES = {
    "own parameter and layers": (Own, IMAGE, {
        "conv Conv2D (relu)": (60, 36 * 54), "dense Dense": (651, 648),
        "Own": (1, 0)}),
    "the same in a container": (lambda: stack(Own(), nn.Dense(2)), IMAGE, {
        "0.conv Conv2D (relu)": (60, 36 * 54), "0.dense Dense": (651, 648),
        "0 Own": (1, 0), "1 Dense": (8, 6)}),
    "own parameter only": (OwnAlone, (1, 4), {"OwnAlone": (12, 0)}),
    "one layer twice": (twice, (1, 4), {
        "0 Dense": (20, 16), "1 Activation (relu)": (0, 0),
        "0 Dense again": (0, 16)}),
    "parameters of two layers": (shared, (1, 4), {
        "0 Dense": (20, 16), "1 Dense": (0, 16)}),
    "a frozen layer": (frozen, (1, 4), {
        "0 Dense": (0, 16), "1 Dense": (10, 8)}),
    "LSTM": (lambda: gluon.rnn.LSTM(5), (3, 2, 4), {
        "LSTM": (4 * 5 * (4 + 5 + 2), 0)}),
    "LSTM in a container": (
        lambda: stack(gluon.rnn.LSTM(5), nn.Dense(2)), (3, 2, 4), {
            "0 LSTM": (220, 0), "1 Dense": (22, 60)}),
    "embedding": (lambda: stack(nn.Embedding(10, 4), nn.Dense(2)), (1, 3), {
        "0 Embedding": (40, 0), "1 Dense": (26, 24)}),
    "lambda": (lambda: stack(nn.Dense(3), nn.HybridLambda("relu")), (1, 4), {
        "0 Dense": (15, 12), "1 HybridLambda": (0, 0)}),
    "plain lambda": (
        lambda: stack(nn.Dense(3), nn.Lambda("relu"), kind=nn.Sequential),
        (1, 4), {"0 Dense": (15, 12), "1 Lambda": (0, 0)}),
    "what cannot be traced": (Shaped, (2, 2, 2), {"dense Dense": (15, 24)}),
    "plain": (Plain, IMAGE, {"conv Conv2D": (60, 36 * 54),
                             "dense Dense": (651, 648)}),
    "SymbolBlock": (symbol_block, MAPS, {
        "SymbolBlock": (44_426, 2 * 281_640)}),
    "SymbolBlock in a container": (
        lambda: stack(symbol_block(), nn.Dense(3)), MAPS, {
            "0 SymbolBlock": (44_426, 2 * 281_640), "1 Dense": (33, 60)}),
    "SymbolBlock in a plain one": (
        lambda: stack(symbol_block(), nn.Lambda("relu"), kind=nn.Sequential),
        MAPS, {"0 SymbolBlock": (44_426, 2 * 281_640), "1 Lambda": (0, 0)}),
}


@pytest.mark.parametrize("state", ["new", "waiting", "called", "hybridized"])
@pytest.mark.parametrize("case", TABLES)
def test_table_of_any_network(case, state):
    """Whatever was done to it before; and it stays as it was."""
    make, shape, rows = TABLES[case]
    net = make()
    imperative = "plain" in case or "cannot be traced" in case
    if state != "new" or imperative:
        net.initialize()
    if state == "hybridized":
        net.hybridize("cannot be traced" not in case)
    if state in ("called", "hybridized"):
        net(nd.zeros(shape))
    before = everything(net)
    table = d2l.summary(net, shape)
    assert everything(net) == before
    assert [layer.name for layer in table.layers] == [
        name.replace(" again", "") for name in rows]
    assert [(layer.parameters, layer.macs) for layer in table.layers
            ] == list(rows.values())
    net.initialize()
    output = net(nd.zeros(shape))
    while isinstance(output, list):
        output = output[0]
    assert table.layers[-1].output_shape == output.shape


ALIVE = []


def everything(net):
    """Attributes of blocks and parameters, and the counters of names."""
    blocks = []
    net.apply(blocks.append)
    owners = [*blocks, *{id(p): p for block in blocks for p in (
        *block.params.values(), *block._reg_params.values())}.values()]
    attributes = [dict(vars(owner)) for owner in owners]
    # Identities, for a copy would not do; they are those of living objects.
    ALIVE[:] = [*ALIVE[-1:], attributes]
    return ([{name: (id(value), str(value)) for name, value
              in items.items()} for items in attributes],
            dict(mx.name.NameManager._current.value._counter))


def test_rows_follow_the_data():
    """A block's own row comes when its output is there."""
    table = d2l.summary(stack(Own(), nn.Dense(2)), IMAGE)
    assert [layer.output_shape for layer in table.layers] == [
        (1, 6, 6, 6), (1, 3), (1, 3), (1, 2)]


@pytest.mark.parametrize("net, names", [
    (Two(), "Two has 2, X, Y"), (stack(Two()), "Two has 2, X, Y"),
    (PlainTwo(), "PlainTwo has 2, X, Y"),
    (gluon.rnn.LSTMCell(3), "LSTMCell has 2, inputs, states"),
    (gluon.SymbolBlock(mx.sym.var("a") + mx.sym.var("b"), [
        mx.sym.var("a"), mx.sym.var("b")]), "SymbolBlock has 2, a, b")])
def test_several_inputs_are_refused(net, names):
    with pytest.raises(ValueError, match=f"one input; {names}") as caught:
        d2l.summary(net, (1, 4))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make, shape", [
    (up_and_down, (2, 3, 9, 9)), (lambda: vision.get_model(
        "mobilenetv2_0.25", classes=7), (1, 3, 64, 64))])
def test_an_exported_network_counts_as_the_network(make, shape):
    net = make()
    table = d2l.summary(net, shape)
    (layer,) = d2l.summary(symbol_block(net, shape), shape).layers
    assert (layer.parameters, layer.macs) == (table.parameters, table.macs)


@pytest.mark.parametrize("name", [
    "resnet18_v2", "squeezenet1.0", "mobilenet0.25", "inceptionv3"])
def test_model_zoo(name):
    net, shape = vision.get_model(name), (1, 3, 299, 299)
    table = d2l.summary(net, shape)
    net.infer_shape(nd.zeros(shape))
    assert table.parameters == trainable(net)


@pytest.mark.parametrize("state", ["new", "waiting", "hybridized"])
def test_a_forward_that_fails_changes_nothing(state):
    net = stack(nn.Dense(4), Failing())
    if state != "new":
        net.initialize()
    if state == "hybridized":
        net.hybridize()
    fired = []
    net[0].register_forward_hook(lambda *args: fired.append(args))
    before = everything(net)
    with pytest.raises(ValueError if state == "new" else KeyError,
                       match=r"initialise it|of the reader"):
        d2l.summary(net, (1, 4))
    assert everything(net) == before and not fired


@pytest.mark.parametrize("make", [Own, Plain, Shaped])
def test_the_readers_hooks_do_not_fire_and_stay(make):
    net, fired = make(), []
    net.initialize()
    for block in (net, net.dense):
        block.register_forward_hook(lambda *args: fired.append(args))
        block.register_forward_pre_hook(lambda *args: fired.append(args))
    d2l.summary(net, IMAGE)
    assert not fired
    net(nd.zeros(IMAGE))
    assert len(fired) == 4


@pytest.mark.parametrize("make", [Own, Plain, Shaped])
def test_first_weights_are_those_without_a_summary(make):
    """It draws no random numbers, and settles no shape."""
    weights = []
    for look in (False, True):
        net = make()
        d2l.seed(3)
        net.initialize(init.Xavier())
        if look:
            d2l.summary(net, (1, 1, 12, 12))
        net(nd.zeros(IMAGE))
        weights.append(net.dense.weight.data().asnumpy())
    assert (weights[0] == weights[1]).all()


@pytest.mark.parametrize("shape", [(1, 1, 2, 2), (1, 4)])
def test_an_input_that_does_not_fit_a_plain_block(shape, capsys):
    net = Plain()
    net.initialize()
    for _ in range(2):
        with pytest.raises(ValueError, match="does not fit") as caught:
            d2l.summary(net, shape)
        assert "\n" not in str(caught.value)
        net(nd.zeros(IMAGE))  # the second time all shapes are known
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("in_units", [0, 4])
def test_a_parameter_that_is_not_used(in_units):
    class Unused(OwnAlone):
        def hybrid_forward(self, F, X, weight):
            return X * 2

    net = Unused(in_units, allow_deferred_init=True)
    if in_units:
        assert d2l.summary(net, (1, 4)).parameters == 12
    else:
        with pytest.raises(ValueError,
                           match=r"_weight is not known.*give it"):
            d2l.summary(net, (1, 4))


def test_a_layer_that_is_not_reached():
    class Skips(Own):
        def hybrid_forward(self, F, X, scale):
            return self.conv(X)

    with pytest.raises(ValueError, match="did not call dense"):
        d2l.summary(Skips(), IMAGE)


# What the chapters ask of a layer

def test_window_of_a_layer():
    assert window_of(nn.Conv2D(6, (3, 2), strides=(1, 2), padding=1,
                               dilation=2, groups=2, in_channels=4)) == \
        Window((3, 2), (1, 2), (1, 1), (2, 2), 2)
    assert window_of(nn.MaxPool2D(3, strides=2, padding=1)) == \
        Window((3, 3), (2, 2), (1, 1), (1, 1), 1)
    with pytest.raises(TypeError, match="Dense has no window"):
        window_of(nn.Dense(3))


@pytest.mark.parametrize("layer, name", [
    (nn.Conv2D(2, 3, activation="relu"), "relu"), (nn.Conv2D(2, 3), None),
    (nn.Dense(2, activation="tanh"), "tanh"),
    (nn.Activation("sigmoid"), "sigmoid"), (nn.MaxPool2D(2), None)])
def test_activation_of_a_layer(layer, name):
    assert activation_of(layer) == name
