"""Training does to any network what the book's own loop does, and no more.

The book's loop is `train_ch5` of d2lzh 1.0.0, which calls the network as it
is. Each network here trains by both, from one seed.
"""
from __future__ import annotations

import contextlib
import copy
import functools
import json
import logging
import pickle
import random
import warnings

import mxnet as mx
import numpy as np
import pytest
from first_edition import original
from mxnet import autograd, gluon, init, nd
from mxnet.autograd import is_training
from mxnet.gluon import nn
from mxnet.random import uniform

import d2lzh_ext as d2l
from d2lzh_ext import models
from d2lzh_ext.engine import compiled as compiling
from d2lzh_ext.engine import tracing
from d2lzh_ext.engine.compiled import compiled


def chain(*layers):
    net = nn.HybridSequential()
    net.add(*layers)
    return net


# --- blocks that Python computes -------------------------------------------

class Flat(nn.HybridBlock):
    def hybrid_forward(self, F, X):
        return X.reshape((X.shape[0], -1))


class Slice(nn.HybridBlock):
    def hybrid_forward(self, F, X):
        return X[:, :, 2:26, 2:26]


class FirstImage(nn.HybridBlock):
    """Indexing by one number takes an output of a symbol."""

    def hybrid_forward(self, F, X):
        return F.concat(X, X - X[0], dim=1)


class Branch(nn.HybridBlock):
    def hybrid_forward(self, F, X):
        if X.mean().asscalar() > 0.28:
            X = X * 0.5
        return X


class Stretch(nn.HybridBlock):
    def hybrid_forward(self, F, X):
        return X - X.mean(axis=(2, 3), keepdims=True)


class StretchOverBatch(nn.HybridBlock):
    """Of one image, both have the same shape."""

    def hybrid_forward(self, F, X):
        return X - X.mean(axis=0, keepdims=True)


class InPlace(nn.HybridBlock):
    def hybrid_forward(self, F, X):
        Y = X * 1
        Y *= 2
        return Y


class Noise(nn.HybridBlock):
    def hybrid_forward(self, F, X):
        return X + nd.random.normal(0, 0.1, shape=(1,))


class SymbolNoise(nn.HybridBlock):
    def hybrid_forward(self, F, X):
        return F.broadcast_add(X, F.random.normal(0, 0.1, shape=(1, 1, 1, 1)))


class ScalarNoise(nn.HybridBlock):
    def hybrid_forward(self, F, X):
        return X * mx.random.uniform(0.5, 1, shape=(1,)).asscalar()


class PythonNoise(nn.HybridBlock):
    """Stochastic depth, as it is mostly written."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2D(1, 3, padding=1, in_channels=1)

    def hybrid_forward(self, F, X):
        return X + self.layer(X) * (random.random() < 0.5)


class NumPyNoise(nn.HybridBlock):
    def hybrid_forward(self, F, X):
        return X * float(np.random.rand() < 0.5)


class GeneratorNoise(nn.HybridBlock):
    def __init__(self):
        super().__init__()
        self.generator = np.random.default_rng(0)

    def hybrid_forward(self, F, X):
        return X * float(self.generator.uniform())


class Overridden(nn.HybridBlock):
    def forward(self, X):
        return X.reshape((X.shape[0], -1))


class TrainingMode(nn.HybridBlock):
    def hybrid_forward(self, F, X):
        return X * (0.5 if autograd.is_training() else 1)


class TrainingModeByName(nn.HybridBlock):
    def hybrid_forward(self, F, X):
        return X * (0.5 if is_training() else 1)


class KindOfArray(nn.HybridBlock):
    def __init__(self):
        super().__init__()
        self.seen = []

    def hybrid_forward(self, F, X):
        if F is nd:
            self.seen.append(float(X.max().asscalar()))
        return X


class Counter(nn.HybridBlock):
    def __init__(self):
        super().__init__()
        self.seen = 0

    def hybrid_forward(self, F, X):
        self.seen += 1
        return X * (1 + 1 / self.seen)


class Recorder(nn.HybridBlock):
    def __init__(self):
        super().__init__()
        self.seen = []

    def hybrid_forward(self, F, X):
        self.seen.append(len(self.seen))
        return X


class Appends(nn.HybridBlock):
    def __init__(self):
        super().__init__()
        self.seen = []

    def hybrid_forward(self, F, X):
        self.seen.append(1)
        return X


class Cache(nn.HybridBlock):
    def __init__(self):
        super().__init__()
        self.kept = {}

    def hybrid_forward(self, F, X):
        if "first" not in self.kept:
            self.kept["first"] = F.mean(X)
        return F.broadcast_add(X, F.reshape(self.kept["first"], (1, 1, 1, 1)))


calls = []


class Global(nn.HybridBlock):
    def hybrid_forward(self, F, X):
        calls.append(len(calls))
        return X


class Prints(nn.HybridBlock):
    def hybrid_forward(self, F, X):
        print("forward")
        return X


class Logs(nn.HybridBlock):
    def hybrid_forward(self, F, X):
        logging.error("forward")
        return X


class Weights(nn.HybridBlock):
    """Python looks at a parameter, which changes from batch to batch."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Dense(30, in_units=784)

    def hybrid_forward(self, F, X):
        norm = float(self.layer.weight.data().norm().asscalar())
        return self.layer(X) / norm


class Helper(nn.HybridBlock):
    def hybrid_forward(self, F, X):
        return scaled(X)


def scaled(X):
    return X * (0.5 if autograd.is_training() else 1)


class Double(mx.operator.CustomOp):
    def forward(self, is_train, req, in_data, out_data, aux):
        self.assign(out_data[0], req[0], 2 * in_data[0])

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
        self.assign(in_grad[0], req[0], 2 * out_grad[0])


@mx.operator.register("double_of_the_tests")
class DoubleProp(mx.operator.CustomOpProp):
    def create_operator(self, ctx, shapes, dtypes):
        return Double()


class Custom(nn.HybridBlock):
    def hybrid_forward(self, F, X):
        return F.Custom(X, op_type="double_of_the_tests")


class Loop(nn.HybridBlock):
    def hybrid_forward(self, F, X):
        out, _ = F.contrib.foreach(lambda row, state: (row * 2, state),
                                   F.transpose(X, (1, 0, 2, 3)), [])
        return F.transpose(out, (1, 0, 2, 3))


class Scaled(nn.HybridBlock):
    """One of a reader's own that can be traced."""

    def __init__(self, scale=2.0):
        super().__init__()
        self.scale, self.inner = scale, chain(nn.Dense(20))

    def hybrid_forward(self, F, X):
        return F.relu(self.inner(X)) * self.scale


class Groups(nn.HybridBlock):
    """Four images at a time, as ghost batch normalisation has them."""

    def hybrid_forward(self, F, X):
        Y = F.reshape(X, (-1, 4, 784))
        return F.reshape(F.softmax(Y, axis=1), (-1, 784))


class Tries(nn.HybridBlock):
    def __init__(self):
        super().__init__()
        self.seen = []

    def hybrid_forward(self, F, X):
        with contextlib.suppress(AttributeError):
            self.seen.append(X.shape[0])
        return X


class Handles(nn.HybridBlock):
    def hybrid_forward(self, F, X):
        try:
            return X * 0.5 if X.max() > 0.5 else X
        except TypeError:
            return X


class Length(nn.HybridBlock):
    def hybrid_forward(self, F, X):
        return X * 0.5 if len(X) > 100 else X


class Attribute(nn.HybridBlock):
    def hybrid_forward(self, F, X):
        shape = getattr(X, "shape", None)
        return X if shape is None or shape[0] < 100 else X * 0.5


class Imports(nn.HybridBlock):
    def hybrid_forward(self, F, X):
        from numpy.random import rand
        return X * float(rand() < 0.5)


class Formats(nn.HybridBlock):
    def hybrid_forward(self, F, X):
        return X * 0.5 if "array" in f"{F}" else X


class CountsInArray(nn.HybridBlock):
    def __init__(self):
        super().__init__()
        self.count = nd.zeros(1)

    def hybrid_forward(self, F, X):
        self.count[:] += 1
        return X * 0.5 if self.count > 6 else X


class Iterates(nn.HybridBlock):
    """A method that Python calls by itself."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Dense(20)

    def __iter__(self):
        yield self.layer
        if random.random() < 0.5:
            yield nn.Activation("tanh")

    def hybrid_forward(self, F, X):
        for layer in self:
            X = layer(X)
        return X


class OfMXNetsRandom(nn.HybridBlock):
    def hybrid_forward(self, F, X):
        return X * 0.5 if uniform(0, 1) > 0.5 else X


def drawing(F, X):
    return X * float(random.random() < 0.5)


class Drawing:
    __name__ = "drawing"

    def __call__(self, F, X):
        return drawing(F, X)


def with_partial():
    net = chain(nn.Flatten(), nn.Dense(10))
    net[0].hybrid_forward = functools.partial(drawing)
    return net


def one_prefix():
    """Two parts whose parameters have the same names."""
    net = nn.HybridSequential()
    for _ in range(2):
        part = nn.HybridSequential(prefix="part_")
        with part.name_scope():
            part.add(nn.Dense(10, in_units=10 if len(net) else 784))
        net.add(part)
    return net


class CrossedDropout(nn.HybridBlock):
    """Python calls the second argument of the difference first."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Dropout(0.5), nn.Dropout(0.5)

    def hybrid_forward(self, F, X):
        a = self.first(X)
        return self.second(X) - a


def with_hook(layer):
    layer.seen = []
    layer.register_forward_hook(
        lambda block, X, Y: block.seen.append(Y.shape))
    return layer


def with_pre_hook(layer):
    layer.seen = []
    layer.register_forward_pre_hook(
        lambda block, X: block.seen.append(float(X[0].mean().asscalar())))
    return layer


def frozen(net, places=(0,)):
    for place in places:
        net[place].collect_params().setattr("grad_req", "null")
    return net


def added_up(net):
    net.collect_params().setattr("grad_req", "add")
    return net


def partly_hybridized():
    net = chain(nn.Dense(20, activation="relu"), nn.Dense(10))
    net[0].hybridize()
    return net


def own_way():
    """A layer whose hybrid_forward the reader has replaced."""
    net = chain(nn.Conv2D(4, 5), nn.Dense(10))
    plain = net[0].hybrid_forward
    net[0].hybrid_forward = lambda F, X, **arrays: plain(F, X, **arrays) * 2
    return net


def twice():
    layer = nn.Conv2D(4, 3, padding=1, in_channels=4)
    return chain(nn.Conv2D(4, 5), layer, nn.Activation("relu"), layer,
                 nn.MaxPool2D(2), nn.Dense(10))


def shared_parameters():
    layer = nn.Conv2D(4, 3, padding=1, in_channels=4)
    other = nn.Conv2D(4, 3, padding=1, in_channels=4, params=layer.params)
    return chain(nn.Conv2D(4, 5), layer, nn.MaxPool2D(2), other,
                 nn.Dense(10))


PYTHON = (Flat, Slice, FirstImage, Branch, Stretch, StretchOverBatch,
          InPlace, Noise, SymbolNoise, ScalarNoise, PythonNoise, NumPyNoise,
          GeneratorNoise, Overridden, TrainingMode, TrainingModeByName,
          KindOfArray, Counter, Recorder, Appends, Cache, Global, Prints,
          Logs, Weights, Helper, Custom, Loop, CrossedDropout, Groups, Tries,
          Handles, Length, Attribute, Imports, Formats, CountsInArray,
          Iterates, OfMXNetsRandom)
NETWORKS = {
    **{kind.__name__: functools.partial(
        lambda kind: chain(kind(), nn.Dense(10)), kind) for kind in PYTHON},
    "lambda": lambda: chain(nn.HybridLambda(
        lambda F, X: X * (0.5 if autograd.is_training() else 1)),
        nn.Dense(10)),
    "closure": lambda: (lambda seen: chain(nn.HybridLambda(
        lambda F, X: seen.append(1) or X / len(seen)), nn.Dense(10)))([]),
    "PReLU": lambda: chain(nn.Conv2D(4, 5), nn.PReLU(), nn.MaxPool2D(2),
                           nn.Conv2D(8, 5), nn.PReLU(), nn.Dense(10)),
    "empty windows": lambda: chain(
        nn.Conv2D(4, 5), nn.Activation("relu"),
        nn.MaxPool2D(1, 3, ceil_mode=True), nn.Activation("sigmoid"),
        nn.Dense(10)),
    "hook": lambda: chain(with_hook(nn.Dense(20)), nn.Dense(10)),
    "pre-hook": lambda: chain(nn.Dense(20), with_pre_hook(nn.Dense(10))),
    "hook of the whole": lambda: with_hook(chain(nn.Dense(10))),
    "twice": twice,
    "shared parameters": shared_parameters,
    "frozen": lambda: frozen(chain(nn.Dense(20), nn.Dense(10))),
    "frozen in the middle": lambda: frozen(twice(), (1, 3)),
    "gradients that add up": lambda: added_up(chain(nn.Dense(10))),
    "dropout": lambda: chain(nn.Conv2D(4, 5), nn.Dropout(0.3), nn.Dense(30),
                             nn.Dropout(0.5), nn.Dense(10)),
    "batch norm": lambda: chain(
        nn.Conv2D(4, 5, use_bias=False), nn.BatchNorm(),
        nn.Activation("relu"), nn.MaxPool2D(2), nn.Dense(10)),
    "partly hybridized": partly_hybridized,
    "own way": own_way,
    "partial": with_partial,
    "object": lambda: chain(nn.HybridLambda(Drawing()), nn.Dense(10)),
    "traced": lambda: chain(Scaled(), nn.Dense(10)),
    "LeNet": models.lenet,
}
COMPILED = {"empty windows", "twice", "shared parameters", "frozen",
            "frozen in the middle", "gradients that add up", "dropout",
            "batch norm", "own way", "traced", "LeNet"}


def train(how, make, num_epochs=3, dtype="float32"):
    """(what was printed of numbers, parameters, what blocks have seen)."""
    train_iter, test_iter = d2l.load_data_fashion_mnist(
        128, num_train=2000, num_test=200)
    calls.clear()
    d2l.seed(0)
    random.seed(0)
    net = make()
    net.initialize(init.Xavier())
    trainer = gluon.Trainer(net.collect_params(), "sgd",
                            {"learning_rate": 0.01})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        how(net, train_iter, test_iter, 128, trainer, mx.cpu(), num_epochs)
    seen = [list(calls)]
    net.apply(lambda block: seen.append(getattr(block, "seen", None)))
    return net, [p.data().asnumpy() for p in net.collect_params().values()
                 ], seen


def assert_close(ours, theirs):
    """Rounding grows in three epochs."""
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a, b, rtol=2e-3,
                                   atol=2e-3 * np.abs(b).max())


@pytest.mark.parametrize("name", NETWORKS)
def test_trains_as_by_the_books_loop(name, capsys, caplog):
    make = NETWORKS[name]
    _, theirs, they_saw = train(original().train_ch5, make)
    said = capsys.readouterr().out.count("forward"), len(caplog.records)
    net, ours, we_saw = train(d2l.train_ch5, make)
    assert capsys.readouterr().out.count("forward") == said[0]
    assert len(caplog.records) == 2 * said[1]
    assert we_saw == they_saw
    assert_close(ours, theirs)
    forward = compiled(net)
    forward(nd.ones((4, 1, 28, 28)))
    assert (forward.graph is not None) == (name in COMPILED)


def test_compiling_can_be_switched_off(monkeypatch):
    called = []
    forward = models.lenet().hybrid_forward.__func__

    def counted(self, F, X):
        called.append(X.shape)
        return forward(self, F, X)

    monkeypatch.setattr(nn.HybridSequential, "hybrid_forward", counted)
    how = functools.partial(d2l.train_ch5, compile=False)
    _, theirs, _ = train(original().train_ch5, models.lenet, 1)
    once = len(called)
    _, ours, _ = train(how, models.lenet, 1)
    assert len(called) == 2 * once
    assert_close(ours, theirs)


# --- what changes between two trainings, and within one ---------------------

class Changing:
    """Batches, and something that is done before each of them."""

    def __init__(self, batches, change):
        self.batches, self.change, self.count = batches, change, 0

    def __iter__(self):
        for batch in self.batches:
            self.change(self.count)
            self.count += 1
            yield batch


def set_scale(net, count):
    net[0].scale = 1 + count % 3


def set_dropout(net, count):
    net[1]._rate = count % 2 * 0.5


def set_norm(net, count):
    net[1]._kwargs["use_global_stats"] = count % 2 == 1


def freeze(net, count):
    if count == 20:
        net[0].collect_params().setattr("grad_req", "null")


def add_inside(net, count):
    if count == 5:
        net[0].inner.add(nn.Activation("tanh"))


def hook(net, count):
    if count == 5:
        with_hook(net[-1])


def hybridize(net, count):
    if count == 5:
        net.hybridize()


def initialise_again(net, count):
    if count == 5:
        net.initialize(init.Xavier(), force_reinit=True)


def move(net, count):
    if count == 5:
        net.collect_params().reset_ctx(mx.cpu())


def set_settings(net, count):
    net[0].settings.scale = 1 + count % 3


def set_rate(net, count):
    net[0].weight.lr_mult = 1 + count % 3


class Settings(dict):
    """A dictionary with attributes, as many programs have one."""

    scale = 1


class WithSettings(nn.HybridBlock):
    def __init__(self):
        super().__init__()
        self.settings = Settings()

    def hybrid_forward(self, F, X):
        return X * self.settings.scale


class ByItsRate(nn.HybridBlock):
    def __init__(self):
        super().__init__()
        self.weight = self.params.get("weight", shape=(1, 1, 1, 1))

    def hybrid_forward(self, F, X, weight):
        return F.broadcast_add(X, weight) * self.weight.lr_mult


def one_class(net, count):
    Classwide.scale = 1 + count % 2


class Classwide(nn.HybridBlock):
    scale = 1

    def hybrid_forward(self, F, X):
        return X * self.scale


@pytest.mark.parametrize("how_often", ["within", "between"])
@pytest.mark.parametrize(("make", "change"), [
    (lambda: chain(Scaled(), nn.Dense(10)), set_scale),
    (lambda: chain(nn.Dense(20), nn.Dropout(0.5), nn.Dense(10)), set_dropout),
    (lambda: chain(nn.Conv2D(4, 5, use_bias=False), nn.BatchNorm(),
                   nn.Activation("relu"), nn.Dense(10)), set_norm),
    (lambda: chain(nn.Dense(20), nn.Dense(10)), freeze),
    (lambda: chain(Scaled(), nn.Dense(10)), add_inside),
    (lambda: chain(Scaled(), nn.Dense(10)), hook),
    (lambda: chain(Scaled(), nn.Dense(10)), hybridize),
    (lambda: chain(nn.Dense(20), nn.Dense(10)), initialise_again),
    (lambda: chain(nn.Dense(20), nn.Dense(10)), move),
    (lambda: chain(WithSettings(), nn.Dense(10)), set_settings),
    (lambda: chain(ByItsRate(), nn.Dense(10)), set_rate),
    (lambda: chain(Classwide(), nn.Dense(10)), one_class)])
def test_what_the_reader_changes_counts(make, change, how_often):
    """At the next batch, or at the next call, as by the book's loop."""
    def changing(how):
        def run(net, train_iter, test_iter, batch_size, trainer, *rest):
            if how_often == "within":
                how(net, Changing(train_iter, lambda count: change(
                    net, count)), test_iter, batch_size, trainer, *rest)
                return
            for count in (0, 5, 20, 21):
                change(net, count)
                how(net, train_iter, test_iter, batch_size, trainer,
                    mx.cpu(), 1)
        return run

    _, theirs, they_saw = train(changing(original().train_ch5), make)
    _, ours, we_saw = train(changing(d2l.train_ch5), make)
    assert we_saw == they_saw
    assert_close(ours, theirs)


def test_a_layer_is_added_between_two_trainings():
    def twice(how):
        def run(net, train_iter, test_iter, batch_size, trainer, ctx, n):
            how(net, train_iter, test_iter, batch_size, trainer, ctx, 1)
            net.add(nn.Dense(10))
            net.initialize(init.Xavier())
            trainer = gluon.Trainer(net.collect_params(), "sgd",
                                    {"learning_rate": 0.01})
            how(net, train_iter, test_iter, batch_size, trainer, ctx, 1)
        return run

    def make():
        return chain(nn.Dense(20, activation="relu"))

    _, theirs, _ = train(twice(original().train_ch5), make)
    net, ours, _ = train(twice(d2l.train_ch5), make)
    assert len(net) == 2
    assert_close(ours, theirs)


def test_parts_of_one_prefix_are_measured():
    """Gluon cannot collect their parameters, and so has no trainer."""
    net = one_prefix()
    for part in net:
        part.initialize(init.Xavier())
    X, y = nd.random.uniform(shape=(8, 1, 28, 28)), nd.zeros(8)
    assert d2l.evaluate_accuracy([(X, y)], net) == original(
        ).evaluate_accuracy([(X, y)], net, mx.cpu())


def test_nobody_sees_the_graph_being_built(monkeypatch):
    """Not even a thread that calls the network meanwhile."""
    net = chain(nn.Conv2D(6, 5, activation="relu"), nn.MaxPool2D(2),
                nn.Dense(10))
    net.initialize()
    net(nd.ones((2, 1, 28, 28)))
    before, seen = attributes(net), []
    monkeypatch.setattr(compiling, "symbol_of", lambda twin: seen.append(
        attributes(net)) or tracing.symbol_of(twin))
    forward = compiled(net)
    forward(nd.ones((2, 1, 28, 28)))
    assert forward.graph is not None and seen == [before]


# --- afterwards -------------------------------------------------------------

SIDES = {"lenet": 28, "lenet_bn": 28, "alexnet": 96, "vgg": 64, "nin": 112,
         "googlenet": 64, "resnet18": 48, "densenet": 48, "zfnet_small": 64,
         "classic_net": 28, "deep_convnet": 28}


def attributes(net):
    """All that a reader could find in the blocks, apart from MXNet's cache
    of a layer that has settled its shapes."""
    found = []
    net.apply(lambda block: found.extend(
        (block, name, value if not isinstance(value, (dict, list))
         else copy.copy(value)) for name, value in vars(block).items()
        if not name.startswith("_cached") and not name.endswith("_format")))
    return found


@pytest.mark.filterwarnings("ignore:The loss rests")
@pytest.mark.parametrize("name", SIDES)
def test_the_network_that_comes_out_is_the_one_that_went_in(name, tmp_path):
    X = nd.random.uniform(shape=(4, 1, SIDES[name], SIDES[name]))
    y = nd.array([0, 1, 2, 3])
    net = getattr(models, name)()
    net.initialize(init.Xavier())
    net(X)
    before, symbol = attributes(net), net(mx.sym.var("data")).tojson()
    variables = {p: p._var for p in net.collect_params().values()}
    trainer = gluon.Trainer(net.collect_params(), "sgd",
                            {"learning_rate": 1e-3})
    d2l.train_ch5(net, [(X, y)], [(X, y)], 4, trainer, mx.cpu(), 1)
    d2l.evaluate_accuracy([(X, y)], net)
    d2l.predict(net, [(X, y)])
    assert attributes(net) == before
    assert {p: p._var for p in net.collect_params().values()} == variables
    assert not net._active
    expected = net(X).asnumpy()

    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        np.testing.assert_array_equal(other(X).asnumpy(), expected)
    seen = []
    handle = net[1].register_forward_hook(
        lambda block, X, Y: seen.append(Y.shape))
    net(X)
    handle.detach()
    assert len(seen) == 1
    net.summary(X)

    net.hybridize()
    net(X)
    net.export(str(tmp_path / "net"))
    exported, arguments, states = mx.model.load_checkpoint(
        str(tmp_path / "net"), 0)
    operators, of_net = (
        [node["op"] for node in json.loads(text)["nodes"]]
        for text in (exported.tojson(), symbol))
    assert operators == of_net
    module = mx.mod.Module(exported, label_names=None)
    module.bind([("data", X.shape)], for_training=False)
    module.set_params(arguments, states)
    module.forward(mx.io.DataBatch([X]), is_train=False)
    np.testing.assert_allclose(module.get_outputs()[0].asnumpy(), expected,
                               rtol=1e-3, atol=1e-4)


def test_lenet_is_exported_with_its_own_operators(tmp_path):
    net, _, _ = train(d2l.train_ch5, models.lenet, 1)
    net.hybridize()
    net(nd.ones((2, 1, 28, 28)))
    net.export(str(tmp_path / "net"))
    saved = json.loads((tmp_path / "net-symbol.json").read_text())
    assert sum(node["op"] != "null" for node in saved["nodes"]) == 11


def test_another_image_size_names_the_readers_layer():
    net, _, _ = train(d2l.train_ch5, models.lenet, 1)
    larger = [(nd.ones((4, 1, 32, 32)), nd.zeros(4))]
    trainer = gluon.Trainer(net.collect_params(), "sgd")
    for call in (lambda: d2l.train_ch5(net, larger, larger, 4, trainer,
                                       mx.cpu(), 1),
                 lambda: d2l.evaluate_accuracy(larger, net),
                 lambda: d2l.predict(net, larger)):
        with pytest.raises(ValueError, match=(
                r"the network does not take a batch of shape \(4, 1, 32, "
                r"32\)")) as caught:
            call()
        assert "\n" not in str(caught.value)
        assert ("layer 4 Dense(256 -> 120, Activation(sigmoid)) says: Shape "
                "inconsistent, Provided = [120,256], inferred "
                "shape=(120,400)") in str(caught.value)


def test_dropout_is_on_where_the_reader_asks_for_it():
    """Monte Carlo dropout: predictions in training mode."""
    net = chain(nn.Dense(30, activation="relu"), nn.Dropout(0.5),
                nn.Dense(10))
    net.initialize(init.Xavier())
    X, y = nd.random.uniform(shape=(64, 1, 28, 28)), nd.zeros(64)
    found = []
    for how in (lambda: net(X).argmax(axis=1).asnumpy(),
                lambda: d2l.predict(net, [(X, y)])[1]):
        net(X)
        d2l.seed(0)
        with autograd.train_mode():
            found.append(how())
    np.testing.assert_array_equal(*found)
    assert (d2l.predict(net, [(X, y)])[1] != found[0]).any()


# --- errors of the reader's own ---------------------------------------------

class Bare(nn.HybridBlock):
    def hybrid_forward(self, F, X):
        raise ValueError


class Told(nn.HybridBlock):
    def hybrid_forward(self, F, X):
        raise ValueError("alpha must be > 0")


class Typed(nn.HybridBlock):
    def hybrid_forward(self, F, X):
        return X.no_such_method()


class OfMXNet(nn.HybridBlock):
    def hybrid_forward(self, F, X):
        raise mx.base.MXNetError("the reader's own")


class Indexed(nn.Block):
    def forward(self, X):
        return {}["key"]


@pytest.mark.parametrize(("block", "kind", "message"), [
    (Bare, ValueError, ""), (Told, ValueError, "alpha must be > 0"),
    (Typed, AttributeError, "no_such_method"),
    (OfMXNet, mx.base.MXNetError, "the reader's own"),
    (Indexed, KeyError, "key")])
def test_errors_of_the_readers_forward_are_passed_on(block, kind, message):
    X, y = nd.ones((4, 1, 28, 28)), nd.zeros(4)
    net = nn.Sequential()
    if block is not Indexed:
        net = nn.HybridSequential()
    net.add(block(), nn.Dense(10))
    net.initialize()
    trainer = gluon.Trainer(net.collect_params(), "sgd")
    for call in (lambda: d2l.train_ch5(net, [(X, y)], [(X, y)], 4, trainer,
                                       mx.cpu(), 1),
                 lambda: d2l.evaluate_accuracy([(X, y)], net),
                 lambda: d2l.predict(net, [(X, y)])):
        with pytest.raises(kind) as caught:
            call()
        assert type(caught.value) is kind and message in str(caught.value)
        assert caught.traceback[-1].path.name == "test_any_network.py"
