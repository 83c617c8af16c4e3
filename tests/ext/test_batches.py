"""Batches, labels and devices as readers bring them."""
from __future__ import annotations

import functools
import re

import matplotlib.pyplot as plt
import mxnet as mx
import numpy as np
import pytest
from mxnet import gluon, init, nd
from mxnet.gluon import nn

import d2lzh_ext as d2l
from d2lzh_ext.models import lenet

pytestmark = pytest.mark.filterwarnings("ignore:The loss rests")
N = 64


@functools.cache
def arrays():
    """Images (N, 1, 28, 28), float32, and labels (N,), int32."""
    images, labels = d2l.fashion_mnist(False)
    return (images[:N].transpose(0, 3, 1, 2) / np.float32(255),
            labels[:N])


def started(ctx=None, make=lenet, dtype="float32"):
    d2l.seed(0)
    net = make()
    net.cast(dtype)
    net.initialize(init.Xavier(), ctx=ctx)
    return net


def train(net, batches, test=None, ctx=None, num_epochs=2):
    ctx = mx.cpu() if ctx is None else ctx
    trainer = gluon.Trainer(net.collect_params(), "adam",
                            {"learning_rate": 0.002})
    return d2l.train_ch5(net, batches, batches if test is None else test, 16,
                         trainer, ctx, num_epochs)


def show_mistakes(net, batches, ctx=None):
    try:
        return d2l.show_mistakes(net, batches, [str(i) for i in range(10)],
                                 ctx)
    finally:
        plt.close("all")


CALLS = {
    "train_ch5": train,
    "evaluate_accuracy": lambda net, batches, ctx=None:
        d2l.evaluate_accuracy(batches, net, ctx),
    "predict": d2l.predict,
    "show_mistakes": show_mistakes,
}


def results(batches):
    """What each function gives, from one seed."""
    net = started()
    history = train(net, batches())
    labels, predictions = d2l.predict(net, batches())
    return (history.loss, history.train_acc, history.test_acc,
            d2l.evaluate_accuracy(batches(), net), labels.tolist(),
            predictions.tolist(), show_mistakes(net, batches()))


def parts(X, y, make=lambda X, y: (X, y)):
    return lambda: [make(X[i:i + 16], y[i:i + 16]) for i in range(0, N, 16)]


def of_mxnet(X, y):
    return (nd.array(X, dtype=X.dtype), nd.array(y, dtype=y.dtype))


def loader(X, y):
    return lambda: gluon.data.DataLoader(gluon.data.ArrayDataset(X, y), 16)


def accepted():
    X, y = arrays()
    for dtype in ("int32", "int64", "uint8", "int8", "float16", "float32",
                  "float64"):
        yield f"labels {dtype}", parts(X, y.astype(dtype), of_mxnet)
        yield f"labels {dtype}, NumPy", parts(X, y.astype(dtype))
    for dtype in ("int32", "float32"):
        column = y[:, None].astype(dtype)
        yield f"labels (n, 1) {dtype}", parts(X, column, of_mxnet)
        yield f"labels (n, 1) {dtype}, loader", loader(X, column)
    yield "loader", loader(X, y)
    yield "NumPy", parts(X, y)
    yield "NumPy float64", parts(X.astype("float64"), y)
    yield "lists", parts(X, y, lambda X, y: [X.tolist(), y.tolist()])
    yield "NDArrayIter", lambda: mx.io.NDArrayIter(X, y, 16)
    yield "DataLoaderIter", lambda: mx.contrib.io.DataLoaderIter(
        loader(X, y)())


ACCEPTED = dict(accepted())


@functools.cache
def expected():
    return results(parts(*arrays(), of_mxnet))


@pytest.mark.parametrize("name", ACCEPTED)
def test_batches_as_people_bring_them(name):
    assert results(ACCEPTED[name]) == expected()


def test_repeated_images_of_the_last_batch_do_not_count():
    """NDArrayIter fills it up from the start of the data."""
    X, y = arrays()
    batches = mx.io.NDArrayIter(X, y, 24)
    net = started()
    assert d2l.evaluate_accuracy(batches, net) == d2l.evaluate_accuracy(
        [of_mxnet(X, y)], net)
    assert len(d2l.predict(net, batches)[0]) == N


def one(X=None, y=None):
    images, labels = arrays()
    return [(nd.array(images[:16]) if X is None else X,
             nd.array(labels[:16]) if y is None else y)]


def with_nan():
    X = arrays()[0][:16].copy()
    X[3, 0, 5, 5] = np.nan
    return nd.array(X)


# Labels of 16 images that are refused, and what is said.
LABELS = {
    "one-hot": (np.eye(10, dtype="float32")[arrays()[1][:16]],
                r"\(16, 10\).*\(16,\): labels.argmax\(axis=1\)"),
    "fewer": (np.zeros(15), "16 images and 15 labels"),
    "one": (np.zeros(1), "16 images and 1 labels"),
    "a row": (np.zeros((1, 16)), r"labels.reshape\(\(-1,\)\)"),
    "(n, 1, 1)": (np.zeros((16, 1, 1)), r"\(16, 1, 1\).*labels.reshape"),
    "maps": (np.zeros((16, 28, 28)), r"\(16, 28, 28\)"),
    "fraction": ([0.5] * 16, "label 0 is 0.5, which is no class"),
    "NaN": ([np.nan] * 16, "label 0 is nan, which is no class"),
    "infinite": ([np.inf] * 16,
                 "label 0 is inf, which is no class: .* 0 to 9"),
    "negative": ([-1] * 16, "label 0 is -1.0, which is no class"),
    "1 to 10": (np.arange(16) % 10 + 1,
                "label 9 is 10.0, which is no class: .* 0 to 9"),
}
FLOATS = nd.ones((16, 1, 28, 28))
REFUSED = {
    **{f"labels, {name}": (one(y=nd.array(labels)), ValueError, message)
       for name, (labels, message) in LABELS.items()},
    "one-hot, our loader": (
        lambda: d2l.load_data_fashion_mnist(16, one_hot=True, num_train=32,
                                            num_test=16)[1],
        ValueError, r"labels.argmax\(axis=1\)"),
    "labels of text": (one(y=["coat"] * 16), TypeError, "labels are <U4"),
    "bytes": (one(FLOATS.astype("uint8")), TypeError,
              r"images are uint8.*X.astype\('float32'\) / 255"),
    "NumPy bytes": (one(np.ones((16, 1, 28, 28), "uint8")), TypeError,
                    r"images are uint8.*X.astype\('float32'\) / 255"),
    "images of text": (one("coat"), TypeError, r"a str; .* nd.array\(X\)"),
    "NaN in images": (one(with_nan()), ValueError, r"images .*\(NaN\)"),
    "no pair": ([FLOATS], TypeError,
                r"a batch is a NDArray; wanted is a pair \(images, labels\)"),
    "an array": (FLOATS, TypeError, "a batch is a NDArray"),
    "arrays, no batches": ((FLOATS, nd.zeros(2)), TypeError,
                           "a batch is a NDArray"),
    "three": ([(*one()[0], nd.arange(16))], TypeError, "a tuple of 3"),
    "a data set": (gluon.data.ArrayDataset(*arrays()), ValueError,
                   "labels are of shape"),
    "no label": (mx.io.NDArrayIter(arrays()[0], batch_size=16), TypeError,
                 "1 arrays of data and 0 of labels"),
    "another type": (one(FLOATS.astype("float64")), ValueError,
                     r"float64.*X.astype\('float32'\)"),
    "another size": (one(nd.ones((16, 1, 32, 32))), ValueError,
                     r"does not take a batch of shape \(16, 1, 32, 32\)"),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_says_what_came_and_what_cures_it(name, call):
    batches, kind, message = REFUSED[name]
    net = started()
    d2l.predict(net, one())  # settles the shapes
    before = [p.data().asnumpy() for p in net.collect_params().values()]
    with pytest.raises(kind, match=message) as caught:
        CALLS[call](net, batches() if callable(batches) else batches)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    for p, values in zip(net.collect_params().values(), before):
        assert (p.data().asnumpy() == values).all()


class TwoHeads(nn.HybridBlock):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Dense(10), nn.Dense(10)

    def hybrid_forward(self, F, X):
        return self.a(X), self.b(X)


def maps():
    net = nn.HybridSequential()
    net.add(nn.Conv2D(10, 3), nn.GlobalAvgPool2D())
    return net


def one_score():
    net = nn.HybridSequential()
    net.add(nn.Dense(1), nn.Flatten(), nn.HybridLambda(
        lambda F, X: F.reshape(X, (-1,))))
    return net


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("make", "kind", "message"), [
    (TwoHeads, TypeError, "gives 2 arrays; wanted is one array of scores"),
    (maps, ValueError, r"\(16, 10, 1, 1\) for 16 images; .*nn.Flatten\(\)"),
    (one_score, ValueError, r"\(16,\) for 16 images")])
def test_a_network_that_gives_something_else(make, kind, message, call):
    with pytest.raises(kind, match=message):
        CALLS[call](started(make=make), one())


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("ctx", "kind", "message"), [
    ("cpu", TypeError, r"ctx is 'cpu'; .* mx.cpu\(\) or d2l.try_gpu\(\)"),
    (0, TypeError, "ctx is 0; it must be a device"),
    ([], TypeError, r"ctx is \[\]"), (["cpu"], TypeError, "ctx is"),
    (mx.cpu(1), ValueError, r"is on \[cpu\(0\)\], and ctx is "
     r"\[cpu\(1\)\]: .*reset_ctx"),
    ([mx.cpu(0), mx.cpu(1)], ValueError, "is on .*reset_ctx")])
def test_devices_that_are_none_or_without_the_network(
        ctx, kind, message, call):
    with pytest.raises(kind, match=message):
        CALLS[call](started(), one(), ctx=ctx)


@pytest.mark.parametrize("call", [
    *(CALLS[name] for name in CALLS if name != "train_ch5"),
    lambda net, batches: d2l.train_ch5(net, batches, batches, 16, None,
                                       mx.cpu(), 1)])
def test_a_network_without_values(call):
    with pytest.raises(RuntimeError, match=r"net.initialize\(init.Xavier"):
        call(lenet(), one())


def test_training_leaves_no_device_out():
    """Its gradients there would be missing in every step."""
    with pytest.raises(ValueError, match="reset_ctx"):
        train(started([mx.cpu(0), mx.cpu(1)]), one())


@pytest.mark.parametrize("number", [1, 2, 3])
def test_several_devices_give_the_digits_of_one(number):
    """Batches of 24, 24 and 16 images, on as many devices."""
    X, y = arrays()
    batches = [of_mxnet(X[i:i + 24], y[i:i + 24]) for i in range(0, N, 24)]
    found = []
    for ctx in (mx.cpu(), [mx.cpu(i) for i in range(number)]):
        net = started(ctx)
        history = train(net, batches, ctx=ctx)
        labels, predictions = d2l.predict(net, batches, ctx)
        found.append([
            history.loss, history.train_acc, history.test_acc,
            d2l.evaluate_accuracy(batches, net, ctx), predictions])
        assert (labels == y).all()
    for a, b in zip(*found):
        np.testing.assert_allclose(a, b, rtol=1e-4)


def test_fewer_images_than_devices():
    devices = [mx.cpu(i) for i in range(3)]
    X, y = one()[0]
    with pytest.raises(ValueError, match=r"2 images cannot be divided among "
                       r"3 devices.*last_batch='discard'"):
        train(started(devices), [(X[:2], y[:2])], ctx=devices)


def test_a_network_of_float64():
    X, y = arrays()
    found = []
    for batch in ((nd.array(X, dtype="float64"), nd.array(y)), (X, y)):
        history = train(started(dtype="float64"), [batch], num_epochs=3)
        assert history.loss[-1] < history.loss[0]
        found.append(history.loss)
    assert found[0] == found[1]


def test_a_generator_is_used_up_by_one_epoch():
    with pytest.raises(ValueError, match=r"no batch in epoch 2\. A generator"):
        train(started(), (pair for pair in one()), one())


@pytest.mark.parametrize(("labels", "predictions", "message"), [
    ([[0], [1]], [0, 1], None), ([0.0, 1.0], [0, 1], None),
    ([0.5, 1], [0, 1], "label 0 is 0.5, which is no class"),
    ([0, 1], [0, np.nan], "label 1 is nan, which is no class"),
    ([0, 3], [0, 1], "0 to 2"), ([0, -1], [0, 1], "label 1 is -1"),
    ([0, 1], [0], "2 labels and 1 predictions"),
    (np.eye(2), [0, 1], "argmax")])
def test_confusion_matrix_takes_the_same_labels(labels, predictions, message):
    if message is None:
        counts = d2l.confusion_matrix(labels, predictions, 3)
        assert counts.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]
    else:
        with pytest.raises(ValueError, match=re.escape(message)):
            d2l.confusion_matrix(labels, predictions, 3)


@pytest.mark.parametrize("call", [
    *CALLS.values(), lambda net, batches: d2l.summary(net, (1, 1, 28, 28)),
    lambda net, batches: d2l.load_parameters(net, "none")])
def test_with_numpy_arrays_switched_on_one_line_says_what_to_do(call):
    net = started()
    mx.npx.set_np()
    try:
        with pytest.raises(RuntimeError, match=r"mx.npx.reset_np\(\)"):
            call(net, one())
    finally:
        mx.npx.reset_np()
