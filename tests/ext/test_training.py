"""The trainer against the book's own loop, and what it says when it fails."""
from __future__ import annotations

import math
import re
import sys
import weakref

import mxnet as mx
import numpy as np
import pytest
from first_edition import original
from mxnet import gluon, init, nd
from mxnet.gluon import nn

import d2lzh_ext as d2l
from d2lzh_ext import batches as module
from d2lzh_ext.batches import progress
from d2lzh_ext.models import lenet


def batches(num=2000, batch_size=128):
    return d2l.load_data_fashion_mnist(batch_size, num_train=num,
                                       num_test=500)


def start(net, lr=0.5, how=None):
    d2l.seed(0)
    net.initialize(how or init.Xavier(), force_reinit=True)
    return gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": lr})


def train(net, lr=0.5, num_epochs=3, data=None, how=None, train=None):
    """By our loop, or by another."""
    train_iter, test_iter = data or batches()
    return (train or d2l.train_ch5)(net, train_iter, test_iter, 128, start(
        net, lr, how), mx.cpu(), num_epochs)


def relu_net():
    net = nn.HybridSequential()
    net.add(nn.Dense(64, activation="relu"), nn.Dense(10))
    return net


LINE = re.compile(r"epoch (\d+), loss (\d+\.\d{4}), train acc (\d\.\d{3}), "
                  r"test acc (\d\.\d{3}), time \d+\.\d sec")


def numbers(printed):
    """Epoch, loss and accuracies of each line, which must be the book's."""
    first, *rest = printed.splitlines()
    assert first == "training on cpu(0)"
    return [[float(x) for x in LINE.fullmatch(line).groups()]
            for line in rest]


@pytest.mark.filterwarnings("ignore:The loss rests")  # LeNet's plateau
@pytest.mark.parametrize("make", [relu_net, lenet])
def test_same_seed_same_lines_as_the_books_loop(capsys, make):
    train(make(), train=original().train_ch5)
    theirs = numbers(capsys.readouterr().out)
    history = train(make())
    ours = numbers(capsys.readouterr().out)
    # On NumPy 2 the book's loop adds up in single precision.
    np.testing.assert_allclose(ours, theirs, atol=0.0011)
    assert [line[1] for line in ours] == [
        pytest.approx(x, abs=6e-5) for x in history.loss]
    assert len(history.seconds) == len(history.images_per_second) == 3
    # 2,000 images in less than the whole epoch, test included.
    assert all(rate > 2000 / seconds for rate, seconds in zip(
        history.images_per_second, history.seconds))


def test_the_lines_say_what_the_images_are_for(capsys):
    train_iter, test_iter = batches()
    net = relu_net()
    d2l.train_ch5(net, train_iter, test_iter, 128, start(net), mx.cpu(), 1,
                  tested="validation")
    assert ", validation acc 0." in capsys.readouterr().out


def test_a_plain_block_trains_as_well():
    net = nn.Sequential()
    net.add(nn.Dense(10))
    history = train(net, 0.1, 2)
    assert history.loss[1] < history.loss[0] < math.log(10)


class Spoilt:
    """Batches of which the third of the second epoch is infinite."""

    epoch = 0

    def __iter__(self):
        self.epoch += 1
        for batch in range(1, 6):
            bad = (self.epoch, batch) == (2, 3)
            yield (nd.full((4, 1, 2, 2), float("inf") if bad else 1),
                   nd.zeros(4, dtype="int32"))


def test_non_finite_loss_names_epoch_batch_and_cure():
    test_iter = [(nd.ones((4, 1, 2, 2)), nd.zeros(4))]
    with pytest.raises(d2l.NonFiniteLossError) as caught:
        train(nn.Dense(10), 0.05, data=(Spoilt(), test_iter))
    message = str(caught.value)
    assert "inf in epoch 2, batch 3 of 5" in message
    assert "learning rate below 0.05" in message


def test_too_large_a_rate_stops_the_run():
    with pytest.raises(d2l.NonFiniteLossError, match="in epoch 1, batch"):
        train(nn.Dense(10), 1e38)


def test_a_dead_run_is_named():
    with pytest.warns(UserWarning, match=r"ln\(10\) = 2\.303"):
        train(lenet(), 1e-6, data=batches(256), how=init.Normal(1e-3))


def test_a_run_that_learns_is_not_called_dead(recwarn):
    train(relu_net(), 0.1, 2)
    assert [str(w.message) for w in recwarn
            if "rests" in str(w.message)] == []


def test_empty_iterators_are_refused():
    net = relu_net()
    with pytest.raises(ValueError, match="nothing to train on"):
        train(net, data=([], batches(128)[1]))
    with pytest.raises(ValueError, match="nothing to evaluate"):
        d2l.evaluate_accuracy([], net)
    with pytest.raises(ValueError, match="nothing to predict"):
        d2l.predict(net, [])


def test_accuracy_is_the_books_and_that_of_the_predictions():
    net, (_, test_iter) = relu_net(), batches()
    train(net, 0.1, 1)
    accuracy = d2l.evaluate_accuracy(test_iter, net)
    assert accuracy == pytest.approx(
        original().evaluate_accuracy(test_iter, net, mx.cpu()), abs=1e-6)
    labels, predictions = d2l.predict(net, test_iter, mx.cpu())
    assert labels.shape == predictions.shape == (500,)
    assert np.mean(labels == predictions) == pytest.approx(accuracy)


@pytest.mark.parametrize("setting, shown", [("1", True), ("0", False)])
def test_progress_bar_follows_the_environment(
        monkeypatch, capsys, setting, shown):
    monkeypatch.setenv("D2LZH_PROGRESS", setting)
    with progress([1, 2], "epoch 1") as bar:
        assert list(bar) == [1, 2]
    assert ("epoch 1" in capsys.readouterr().err) is shown


def test_no_progress_bar_where_nobody_watches(monkeypatch, capsys):
    monkeypatch.delenv("D2LZH_PROGRESS", raising=False)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    with progress([1, 2], "epoch 1") as bar:
        list(bar)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("notebook", [True, False])
def test_a_progress_bar_leaves_the_order_alone(monkeypatch, notebook):
    def labels():
        d2l.seed(0)
        with progress(train_iter, "epoch 1") as bar:
            return [y.asnumpy().tolist() for _, y in bar]

    train_iter, _ = batches(600, 100)
    monkeypatch.setenv("D2LZH_PROGRESS", "0")
    bare = labels()
    if notebook:  # whose bar is of another class
        monkeypatch.delenv("D2LZH_PROGRESS")
        monkeypatch.setitem(sys.modules, "ipykernel", None)
    else:
        monkeypatch.setenv("D2LZH_PROGRESS", "1")
    assert labels() == bare


@pytest.mark.parametrize("several", [1, 3])
def test_few_batches_wait_for_a_slow_network(monkeypatch, several):
    monkeypatch.setattr(
        module, "_MAX_QUEUED_BYTES", several * 16 * 48 * 48 * 4)
    waiting, most = [], 0

    class Batches:
        def __iter__(self):
            nonlocal most
            for _ in range(20):
                values = np.zeros((16, 1, 48, 48), "float32")
                waiting.append(0)
                weakref.finalize(values, waiting.pop)
                most = max(most, len(waiting))
                yield nd.from_numpy(values), nd.zeros(16)

    net = nn.HybridSequential()
    net.add(nn.Conv2D(32, 3), nn.Conv2D(32, 3), nn.GlobalAvgPool2D(),
            nn.Dense(10))
    train(net, num_epochs=1, data=(Batches(), Batches()))
    assert 2 <= most <= 2 * several + 2
