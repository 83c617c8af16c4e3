"""Training does to any network what the book's own loop does, and no more.

The book's loop is `train_ch5` of d2lzh 1.0.0, which calls the network as it
is. Each network here trains by both, from one seed.
"""
from __future__ import annotations

import contextlib
import copy
import functools
import itertools
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


def block(hybrid_forward, **attributes):
    """A block of a class of its own, with the attributes that it needs."""
    kind = type("Own", (nn.HybridBlock,), {"hybrid_forward": hybrid_forward})
    own = kind()
    for name, value in attributes.items():
        setattr(own, name, value)
    return own


def before_dense(hybrid_forward, **attributes):
    """Makes networks of a `block` and a dense layer.

    Args:
        attributes: Functions that make the attributes of each block anew.
    """
    return lambda: chain(block(hybrid_forward, **{
        name: make() for name, make in attributes.items()}), nn.Dense(10))


# --- networks that do more than apply operators ----------------------------

def in_place(self, F, X):
    Y = X * 1
    Y *= 2
    return Y


def branch(self, F, X):
    if X.mean().asscalar() > 0.28:
        X = X * 0.5
    return X


def looks_at_kind_of_array(self, F, X):
    if F is nd:
        self.seen.append(float(X.max().asscalar()))
    return X


def counts(self, F, X):
    self.seen += 1
    return X * (1 + 1 / self.seen)


def keeps_the_first(self, F, X):
    if "first" not in self.kept:
        self.kept["first"] = F.mean(X)
    return F.broadcast_add(X, F.reshape(self.kept["first"], (1, 1, 1, 1)))


calls = []


def scaled(X):
    return X * (0.5 if autograd.is_training() else 1)


def looks_at_weights(self, F, X):
    """They change from batch to batch."""
    norm = float(self.layer.weight.data().norm().asscalar())
    return self.layer(X) / norm


class Double(mx.operator.CustomOp):
    def forward(self, is_train, req, in_data, out_data, aux):
        self.assign(out_data[0], req[0], 2 * in_data[0])

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
        self.assign(in_grad[0], req[0], 2 * out_grad[0])


@mx.operator.register("double_of_the_tests")
class DoubleProp(mx.operator.CustomOpProp):
    def create_operator(self, ctx, shapes, dtypes):
        return Double()


def loop(self, F, X):
    out, _ = F.contrib.foreach(lambda row, state: (row * 2, state),
                               F.transpose(X, (1, 0, 2, 3)), [])
    return F.transpose(out, (1, 0, 2, 3))


def crossed_dropout(self, F, X):
    """Python calls the second argument of the difference first."""
    a = self.first(X)
    return self.second(X) - a


def by_groups(self, F, X):
    """Four images at a time, as ghost batch normalisation has them."""
    Y = F.reshape(X, (-1, 4, 784))
    return F.reshape(F.softmax(Y, axis=1), (-1, 784))


def tries(self, F, X):
    with contextlib.suppress(AttributeError):
        self.seen.append(X.shape[0])
    return X


def handles(self, F, X):
    try:
        return X * 0.5 if X.max() > 0.5 else X
    except TypeError:
        return X


def asks_for_attribute(self, F, X):
    shape = getattr(X, "shape", None)
    return X if shape is None or shape[0] < 100 else X * 0.5


def imports(self, F, X):
    from numpy.random import rand
    return X * float(rand() < 0.5)


def counts_in_array(self, F, X):
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


class Overridden(nn.HybridBlock):
    def forward(self, X):
        return X.reshape((X.shape[0], -1))


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


def partly_hybridized():
    net = chain(nn.Dense(20, activation="relu"), nn.Dense(10))
    net[0].hybridize()
    return net


def a_convolution():
    return nn.Conv2D(1, 3, padding=1, in_channels=1)


def dense():
    return nn.Dense(30, in_units=784)


def dropout():
    return nn.Dropout(0.5)


PYTHON = {
    "shape": before_dense(lambda self, F, X: X.reshape((X.shape[0], -1))),
    "slice": before_dense(lambda self, F, X: X[:, :, 2:26, 2:26]),
    # Indexing by one number takes an output of a symbol.
    "first image": before_dense(
        lambda self, F, X: F.concat(X, X - X[0], dim=1)),
    "branch": before_dense(branch),
    "stretch": before_dense(
        lambda self, F, X: X - X.mean(axis=(2, 3), keepdims=True)),
    # Of one image, both have the same shape.
    "stretch over the batch": before_dense(
        lambda self, F, X: X - X.mean(axis=0, keepdims=True)),
    "in place": before_dense(in_place),
    "noise": before_dense(
        lambda self, F, X: X + nd.random.normal(0, 0.1, shape=(1,))),
    "noise of F": before_dense(lambda self, F, X: F.broadcast_add(
        X, F.random.normal(0, 0.1, shape=(1, 1, 1, 1)))),
    "noise as a number": before_dense(lambda self, F, X: X * (
        mx.random.uniform(0.5, 1, shape=(1,)).asscalar())),
    # Stochastic depth, as it is mostly written.
    "noise of Python": before_dense(lambda self, F, X: X + self.layer(X) * (
        random.random() < 0.5), layer=a_convolution),
    "noise of NumPy": before_dense(
        lambda self, F, X: X * float(np.random.rand() < 0.5)),
    "noise of a generator": before_dense(
        lambda self, F, X: X * float(self.generator.uniform()),
        generator=lambda: np.random.default_rng(0)),
    "noise by name": before_dense(
        lambda self, F, X: X * 0.5 if uniform(0, 1) > 0.5 else X),
    "forward": lambda: chain(Overridden(), nn.Dense(10)),
    "training": before_dense(
        lambda self, F, X: X * (0.5 if autograd.is_training() else 1)),
    "training by name": before_dense(
        lambda self, F, X: X * (0.5 if is_training() else 1)),
    "training in a function": before_dense(lambda self, F, X: scaled(X)),
    "kind of array": before_dense(looks_at_kind_of_array, seen=list),
    "counter": before_dense(counts, seen=int),
    "recorder": before_dense(
        lambda self, F, X: self.seen.append(len(self.seen)) or X, seen=list),
    "appends": before_dense(
        lambda self, F, X: self.seen.append(1) or X, seen=list),
    "cache": before_dense(keeps_the_first, kept=dict),
    "global": before_dense(lambda self, F, X: calls.append(len(calls)) or X),
    "prints": before_dense(lambda self, F, X: print("forward") or X),
    "logs": before_dense(lambda self, F, X: logging.error("forward") or X),
    "weights": before_dense(looks_at_weights, layer=dense),
    "custom": before_dense(
        lambda self, F, X: F.Custom(X, op_type="double_of_the_tests")),
    "loop": before_dense(loop),
    "crossed dropout": before_dense(
        crossed_dropout, first=dropout, second=dropout),
    "groups": before_dense(by_groups),
    "tries": before_dense(tries, seen=list),
    "handles": before_dense(handles),
    "length": before_dense(
        lambda self, F, X: X * 0.5 if len(X) > 100 else X),
    "attribute": before_dense(asks_for_attribute),
    "imports": before_dense(imports),
    "formats": before_dense(
        lambda self, F, X: X * 0.5 if "array" in f"{F}" else X),
    "counts in an array": before_dense(
        counts_in_array, count=lambda: nd.zeros(1)),
    "iterates": lambda: chain(Iterates(), nn.Dense(10)),
    "lambda": lambda: chain(nn.HybridLambda(
        lambda F, X: X * (0.5 if autograd.is_training() else 1)),
        nn.Dense(10)),
    "closure": lambda: (lambda seen: chain(nn.HybridLambda(
        lambda F, X: seen.append(1) or X / len(seen)), nn.Dense(10)))([]),
    "PReLU": lambda: chain(nn.Conv2D(4, 5), nn.PReLU(), nn.MaxPool2D(2),
                           nn.Conv2D(8, 5), nn.PReLU(), nn.Dense(10)),
    "hook": lambda: chain(with_hook(nn.Dense(20)), nn.Dense(10)),
    "pre-hook": lambda: chain(nn.Dense(20), with_pre_hook(nn.Dense(10))),
    "hook of the whole": lambda: with_hook(chain(nn.Dense(10))),
    "partly hybridized": partly_hybridized,
    "partial": with_partial,
    "object": lambda: chain(nn.HybridLambda(Drawing()), nn.Dense(10)),
}


# --- networks that can be traced -------------------------------------------

class Scaled(nn.HybridBlock):
    """One of a reader's own."""

    def __init__(self, scale=2.0):
        super().__init__()
        self.scale, self.inner = scale, chain(nn.Dense(20))

    def hybrid_forward(self, F, X):
        return F.relu(self.inner(X)) * self.scale


def frozen(net, places=(0,)):
    for place in places:
        net[place].collect_params().setattr("grad_req", "null")
    return net


def added_up(net):
    net.collect_params().setattr("grad_req", "add")
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


def two_dense():
    return chain(nn.Dense(20), nn.Dense(10))


def with_scaled():
    return chain(Scaled(), nn.Dense(10))


COMPILED = {
    "twice": twice,
    "shared parameters": shared_parameters,
    "frozen": lambda: frozen(two_dense()),
    "frozen in the middle": lambda: frozen(twice(), (1, 3)),
    "gradients that add up": lambda: added_up(chain(nn.Dense(10))),
    "dropout": lambda: chain(nn.Conv2D(4, 5), nn.Dropout(0.3), nn.Dense(30),
                             nn.Dropout(0.5), nn.Dense(10)),
    "batch norm": lambda: chain(
        nn.Conv2D(4, 5, use_bias=False), nn.BatchNorm(),
        nn.Activation("relu"), nn.MaxPool2D(2), nn.Dense(10)),
    "own way": own_way,
    "traced": with_scaled,
    "LeNet": models.lenet,
}


def sgd(net, rate=0.01):
    return gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": rate})


def train(how, make, num_epochs=3):
    """The trained network, its parameters, what its blocks have seen."""
    train_iter, test_iter = d2l.load_data_fashion_mnist(
        128, num_train=2000, num_test=200)
    calls.clear()
    d2l.seed(0)
    random.seed(0)
    net = make()
    net.initialize(init.Xavier())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        how(net, train_iter, test_iter, 128, sgd(net), mx.cpu(), num_epochs)
    seen = [list(calls)]
    net.apply(lambda block: seen.append(getattr(block, "seen", None)))
    return net, [p.data().asnumpy() for p in net.collect_params().values()
                 ], seen


def assert_close(ours, theirs):
    """Rounding grows in three epochs."""
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a, b, rtol=2e-3,
                                   atol=2e-3 * np.abs(b).max())


def assert_trains_as_by_the_book(make, run=lambda how: how):
    """`run` is given either way of training, and returns what to call."""
    _, theirs, they_saw = train(run(original().train_ch5), make)
    net, ours, we_saw = train(run(d2l.train_ch5), make)
    assert we_saw == they_saw
    assert_close(ours, theirs)
    return net


@pytest.mark.parametrize(("make", "is_compiled"), [
    *(pytest.param(make, True, id=name) for name, make in COMPILED.items()),
    *(pytest.param(make, False, id=name, marks=pytest.mark.slow)
      for name, make in PYTHON.items())])
def test_trains_as_by_the_books_loop(make, is_compiled, capsys, caplog):
    said = []

    def run(how):
        def train_and_listen(*arguments):
            capsys.readouterr()
            caplog.clear()
            how(*arguments)
            said.append((capsys.readouterr().out.count("forward"),
                         len(caplog.records)))
        return train_and_listen

    net = assert_trains_as_by_the_book(make, run)
    assert said[0] == said[1]
    forward = compiled(net)
    forward(nd.ones((4, 1, 28, 28)))
    assert (forward.graph is not None) == is_compiled


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
        self.batches, self.change = batches, change
        self.count = itertools.count()

    def __iter__(self):
        for batch in self.batches:
            self.change(next(self.count))
            yield batch


class Settings(dict):
    """A dictionary with attributes, as many programs have one."""

    scale = 1


class Classwide(nn.HybridBlock):
    scale = 1

    def hybrid_forward(self, F, X):
        return X * self.scale


class ByItsRate(nn.HybridBlock):
    def __init__(self):
        super().__init__()
        self.weight = self.params.get("weight", shape=(1, 1, 1, 1))

    def hybrid_forward(self, F, X, weight):
        return F.broadcast_add(X, weight) * self.weight.lr_mult


def once(change, when=5):
    return lambda net, count: change(net) if count == when else None


CHANGES = {
    "attribute": (with_scaled, lambda net, count: setattr(
        net[0], "scale", 1 + count % 3)),
    "dropout": (
        lambda: chain(nn.Dense(20), nn.Dropout(0.5), nn.Dense(10)),
        lambda net, count: setattr(net[1], "_rate", count % 2 * 0.5)),
    "batch norm": (
        lambda: chain(nn.Conv2D(4, 5, use_bias=False), nn.BatchNorm(),
                      nn.Activation("relu"), nn.Dense(10)),
        lambda net, count: net[1]._kwargs.update(
            use_global_stats=count % 2 == 1)),
    "attribute of a dictionary": (
        before_dense(lambda self, F, X: X * self.settings.scale,
                     settings=Settings),
        lambda net, count: setattr(
            net[0].settings, "scale", 1 + count % 3)),
    "rate of a parameter": (
        lambda: chain(ByItsRate(), nn.Dense(10)),
        lambda net, count: setattr(net[0].weight, "lr_mult", 1 + count % 3)),
    "class": (
        lambda: chain(Classwide(), nn.Dense(10)),
        lambda net, count: setattr(Classwide, "scale", 1 + count % 2)),
    "frozen": (two_dense, once(frozen, 20)),
    "layer added inside": (with_scaled, once(
        lambda net: net[0].inner.add(nn.Activation("tanh")))),
    "hook": (with_scaled, once(lambda net: with_hook(net[-1]))),
    "hybridized": (with_scaled, once(lambda net: net.hybridize())),
    "initialised again": (two_dense, once(
        lambda net: net.initialize(init.Xavier(), force_reinit=True))),
    "moved": (two_dense, once(
        lambda net: net.collect_params().reset_ctx(mx.cpu()))),
}


@pytest.mark.slow
@pytest.mark.parametrize("how_often", ["within", "between"])
@pytest.mark.parametrize("name", CHANGES)
def test_what_the_reader_changes_counts(name, how_often):
    """At the next batch, or at the next call, as by the book's loop."""
    make, change = CHANGES[name]

    def changing(how):
        def run(net, train_iter, test_iter, batch_size, trainer, *rest):
            if how_often == "within":
                how(net, Changing(train_iter, functools.partial(change, net)),
                    test_iter, batch_size, trainer, *rest)
                return
            for count in (0, 5, 20, 21):
                change(net, count)
                how(net, train_iter, test_iter, batch_size, trainer,
                    mx.cpu(), 1)
        return run

    assert_trains_as_by_the_book(make, changing)


def test_a_layer_is_added_between_two_trainings():
    def adding(how):
        def run(net, train_iter, test_iter, batch_size, trainer, ctx, n):
            how(net, train_iter, test_iter, batch_size, trainer, ctx, 1)
            net.add(nn.Dense(10))
            net.initialize(init.Xavier())
            how(net, train_iter, test_iter, batch_size, sgd(net), ctx, 1)
        return run

    net = assert_trains_as_by_the_book(
        lambda: chain(nn.Dense(20, activation="relu")), adding)
    assert len(net) == 2


def test_parts_of_one_prefix_are_measured():
    """Gluon cannot collect their parameters, and so has no trainer."""
    net = nn.HybridSequential()
    for in_units in (784, 10):
        part = nn.HybridSequential(prefix="part_")
        with part.name_scope():
            part.add(nn.Dense(10, in_units=in_units))
        part.initialize(init.Xavier())
        net.add(part)
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


def every_use(net, X, y):
    """What calls the network for a reader."""
    return (lambda: d2l.train_ch5(net, [(X, y)], [(X, y)], 4,
                                  sgd(net, 1e-3), mx.cpu(), 1),
            lambda: d2l.evaluate_accuracy([(X, y)], net),
            lambda: d2l.predict(net, [(X, y)]))


@pytest.mark.filterwarnings("ignore:The loss rests")
@pytest.mark.parametrize("name", SIDES)
def test_the_network_that_comes_out_is_the_one_that_went_in(name, tmp_path):
    X = nd.random.uniform(shape=(4, 1, SIDES[name], SIDES[name]))
    net = getattr(models, name)()
    net.initialize(init.Xavier())
    net(X)
    before, symbol = attributes(net), net(mx.sym.var("data")).tojson()
    variables = {p: p._var for p in net.collect_params().values()}
    for use in every_use(net, X, nd.array([0, 1, 2, 3])):
        use()
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


def test_another_image_size_names_the_readers_layer():
    net, _, _ = train(d2l.train_ch5, models.lenet, 1)
    for use in every_use(net, nd.ones((4, 1, 32, 32)), nd.zeros(4)):
        with pytest.raises(ValueError, match=(
                r"the network does not take a batch of shape \(4, 1, 32, "
                r"32\)")) as caught:
            use()
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

def raising(kind, *arguments):
    def hybrid_forward(self, F, X):
        raise kind(*arguments)
    return lambda: block(hybrid_forward)


class Indexed(nn.Block):
    def forward(self, X):
        return {}["key"]


@pytest.mark.parametrize(("make", "kind", "message"), [
    (raising(ValueError), ValueError, ""),
    (raising(ValueError, "alpha must be > 0"), ValueError,
     "alpha must be > 0"),
    (lambda: block(lambda self, F, X: X.no_such_method()), AttributeError,
     "no_such_method"),
    (raising(mx.base.MXNetError, "the reader's own"), mx.base.MXNetError,
     "the reader's own"),
    (Indexed, KeyError, "key")])
def test_errors_of_the_readers_forward_are_passed_on(make, kind, message):
    net = nn.Sequential() if make is Indexed else nn.HybridSequential()
    net.add(make(), nn.Dense(10))
    net.initialize()
    for use in every_use(net, nd.ones((4, 1, 28, 28)), nd.zeros(4)):
        with pytest.raises(kind) as caught:
            use()
        assert type(caught.value) is kind and message in str(caught.value)
        assert caught.traceback[-1].path.name == "test_any_network.py"
