"""A run that is cut and taken up ends as it would have ended."""
from __future__ import annotations

import contextlib
import copy
import functools
import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import mxnet as mx
import numpy as np
import pytest
from interpreter import ROOT
from mxnet import gluon, init, lr_scheduler, nd
from mxnet.gluon import nn

import d2lzh_ext as d2l
from d2lzh_ext import models
from d2lzh_ext.files import checkpoint
from d2lzh_ext.files.atomic import written_aside
from d2lzh_ext.files.checkpoint import (
    check_single_device,
    hyperparameters,
    read_checkpoint,
)


def small_net(units=20):
    """Whatever has a state: running averages, dropout, several layers."""
    net = nn.HybridSequential()
    net.add(nn.Conv2D(4, 5, strides=3), nn.BatchNorm(),
            nn.Activation("relu"), nn.Dense(units, activation="relu"),
            nn.Dropout(0.5), nn.Dense(10))
    return net


def start(optimizer="adam", **arguments):
    d2l.seed(3)
    net = small_net()
    net.initialize(init.Xavier())
    return net, gluon.Trainer(net.collect_params(), optimizer,
                              arguments or {"learning_rate": 0.01})


@functools.cache
def iters():
    return d2l.load_data_fashion_mnist(64, num_train=512, num_test=100)


def train(num_epochs, path, *start_arguments, **arguments):
    """(Parameters, history) of a run that begins, or goes on, at `path`."""
    net, trainer = start(*start_arguments, **arguments)
    history = d2l.train_ch5(net, *iters(), 64, trainer, mx.cpu(), num_epochs,
                            path)
    return values(net), history


def values(net):
    return {name: p.data().asnumpy()
            for name, p in net._collect_params_with_prefix().items()}


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.mark.parametrize("optimizer, arguments", [
    ("sgd", dict), ("adam", dict), ("rmsprop", dict), ("nadam", dict),
    ("sgd", lambda: {"learning_rate": 0.05, "momentum": 0.9, "wd": 1e-3}),
    ("nag", lambda: {"learning_rate": 0.05, "momentum": 0.9})])
def test_a_resumed_run_equals_an_uninterrupted_one(
        tmp_path, optimizer, arguments):
    whole, expected = train(4, tmp_path / "whole", optimizer, **arguments())
    for epochs in (1, 3, 4):
        cut, history = train(epochs, tmp_path / "cut", optimizer,
                             **arguments())
    assert_equal(whole, cut)
    assert history.loss == expected.loss
    assert history.test_acc == expected.test_acc
    assert (expected.resumed, history.resumed) == ([], [1, 3])
    assert sorted(os.listdir(tmp_path)) == ["cut", "whole"]


def test_random_states_are_those_of_the_uninterrupted_run(tmp_path):
    def draws():
        return [random.random(), random.gauss(0, 1), np.random.rand(),
                np.random.randn(),
                float(mx.nd.random.normal(shape=1).asscalar())]

    net, trainer = start()
    net(mx.nd.ones((1, 1, 28, 28)))
    random.gauss(0, 1)  # both keep a second draw in hand
    np.random.randn()
    d2l.save_checkpoint(tmp_path / "c", net, trainer, {})
    expected = draws()
    d2l.seed(99)
    assert d2l.load_checkpoint(tmp_path / "c", net, trainer) == {}
    assert draws() == expected


def test_a_finished_run_is_only_read(tmp_path, capsys):
    first, history = train(2, tmp_path / "c")
    before = (tmp_path / "c").stat().st_mtime_ns
    again, same = train(2, tmp_path / "c")
    assert_equal(first, again)
    assert same == history
    assert (tmp_path / "c").stat().st_mtime_ns == before
    assert "epochs 1 to 2 are in" in capsys.readouterr().out


def test_the_folder_is_made_and_the_notes_come_back(tmp_path):
    path = tmp_path / "a" / "b.npz"
    net, trainer = start()
    net(mx.nd.ones((1, 1, 28, 28)))
    assert d2l.load_checkpoint(path, net, trainer) is None
    notes = {"epoch": 3, "loss": [0.1, 2 / 3]}
    d2l.save_checkpoint(path, net, trainer, notes)
    assert d2l.load_checkpoint(path, net, trainer) == notes


def unlike(kind):
    """A network or trainer that does not fit `small_net` with Adam."""
    net = small_net(units=21 if kind == "another shape" else 20)
    optimizer = "adam"
    if kind == "optimizer":
        optimizer = "sgd"
    elif kind == "a layer more":
        net.add(nn.Dense(10))
    net.initialize()
    return net, gluon.Trainer(net.collect_params(), optimizer)


@pytest.mark.parametrize("kind, message", [
    ("optimizer", "was trained with Adam, not with SGD"),
    ("a layer more", "only this network has"),
    ("another shape", "here")])
def test_a_checkpoint_of_something_else_is_refused(tmp_path, kind, message):
    train(1, tmp_path / "c")
    net, trainer = unlike(kind)
    state = np.random.get_state()[1].copy()
    with pytest.raises(d2l.CheckpointError, match=message) as caught:
        d2l.load_checkpoint(tmp_path / "c", net, trainer)
    assert str(tmp_path / "c") in str(caught.value)
    assert "delete it" in str(caught.value)
    assert (np.random.get_state()[1] == state).all()


def damaged(path, how):
    whole = path.read_bytes()
    if how == "text":
        path.write_text("not a checkpoint")
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "cut":
        path.write_bytes(whole[:len(whole) // 2])
    elif how == "flipped":
        middle = len(whole) // 2
        path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1])
                         + whole[middle + 1:])
    elif how == "another archive":
        np.savez(path.open("wb"), a=np.ones(3))
    elif how == "an array":
        np.save(path.open("wb"), np.ones(3))
    elif how == "a pickle":
        np.savez(path.open("wb"), json=np.array([{}], dtype=object))
    else:
        np.savez(path.open("wb"), json=np.frombuffer(
            json.dumps({"format": "another"}).encode(), np.uint8))


@pytest.mark.parametrize("how", [
    "text", "empty", "cut", "flipped", "another archive", "an array",
    "a pickle", "another format"])
def test_what_is_no_checkpoint_is_refused(tmp_path, how):
    path = tmp_path / "c"
    net, trainer = start()
    net(mx.nd.ones((1, 1, 28, 28)))
    d2l.save_checkpoint(path, net, trainer, {})
    before = values(net)
    damaged(path, how)
    with pytest.raises(d2l.CheckpointError, match="cannot be read"):
        d2l.load_checkpoint(path, net, trainer)
    assert_equal(before, values(net))


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "c"
    net, trainer = start()
    net(mx.nd.ones((1, 1, 28, 28)))
    d2l.save_checkpoint(path, net, trainer, {"epoch": 1})

    def full(file, array, **options):
        file.write(b"half of an array")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.np.lib.format, "write_array", full)
    with pytest.raises(OSError, match="No space"):
        d2l.save_checkpoint(path, net, trainer, {"epoch": 2})
    assert os.listdir(tmp_path) == ["c"]
    assert d2l.load_checkpoint(path, net, trainer) == {"epoch": 1}


@pytest.mark.parametrize("devices, store", [
    ([mx.cpu(0), mx.cpu(1)], {}), ([mx.cpu(0)], {"kvstore": "dist"}),
    ([mx.cpu(0)], {"kvstore": mx.kv.create("local")})])
def test_several_devices_are_refused_before_the_first_step(
        tmp_path, devices, store):
    net = small_net()
    net.initialize(ctx=devices)
    trainer = gluon.Trainer(net.collect_params(), "sgd", **store)
    for refused in (
            lambda: check_single_device(trainer),
            lambda: read_checkpoint(tmp_path / "none", net, trainer),
            lambda: d2l.save_checkpoint(tmp_path / "c", net, trainer, {})):
        with pytest.raises(d2l.CheckpointError, match="one device"):
            refused()


@pytest.mark.parametrize("store", [
    {}, {"kvstore": None}, {"kvstore": "local"},
    {"kvstore": mx.kv.create("local"), "update_on_kvstore": False}])
def test_one_device_is_taken(store):
    net, X = equal_net(), BATCHES[0][0]
    trainer = gluon.Trainer(net.collect_params(), "sgd", **store)
    check_single_device(trainer)
    step(net, trainer, X)
    check_single_device(trainer)


# --- where a state belongs --------------------------------------------------

def make_batches():
    generator = np.random.RandomState(2)
    X = generator.randn(48, 4, 6, 6).astype("float32")
    y = generator.randint(10, size=48)
    return [(nd.array(X[i:i + 16]), nd.array(y[i:i + 16]))
            for i in (0, 16, 32)]


BATCHES = make_batches()  # of images of four channels


def equal_net(made=0):
    """Layers of one shape, in a process that had made others before."""
    with mx.name.NameManager():
        for _ in range(made):
            nn.Conv2D(1, 1), nn.Dense(1), nn.BatchNorm()
        net = nn.HybridSequential()
        for _ in range(3):
            net.add(nn.Conv2D(4, 3, padding=1), nn.BatchNorm(),
                    nn.Activation("tanh"))
        net.add(nn.Dropout(0.2), nn.Dense(10), nn.Dense(10))
    d2l.seed(3)
    net.initialize(init.Xavier())
    return net


def step(net, trainer, X, y=None):
    with mx.autograd.record():
        scores = net(X)
        loss = (scores * scores).mean() if y is None else \
            gluon.loss.SoftmaxCrossEntropyLoss()(scores, y)
    loss.backward()
    trainer.step(len(X))


def begin(optimizer="sgd", made=0, of=lambda net: net, **arguments):
    net = equal_net(made)
    return net, gluon.Trainer(of(net).collect_params(), optimizer, arguments)


@pytest.fixture
def run(tmp_path):
    """`run(n, *begin's)`: its parameters after n epochs, saved at "c"."""
    def run(num_epochs, *arguments, path="c", **settings):
        net, trainer = begin(*arguments, **settings)
        with contextlib.redirect_stdout(None):
            d2l.train_ch5(net, BATCHES, BATCHES[:1], 16, trainer, mx.cpu(),
                          num_epochs, tmp_path / path)
        return values(net)
    return run


OPTIMIZERS = sorted(mx.optimizer.Optimizer.opt_registry.keys() - {
    "test",  # adds the gradient
    "groupadagrad"})  # takes matrices only


@pytest.mark.filterwarnings("ignore:The loss rests")
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_states_find_their_layers_whatever_was_made_before(
        run, tmp_path, optimizer):
    """Saved as conv8 to conv10, taken up as others: the same bits."""
    settings = {"learning_rate": 0.01}
    if optimizer in ("sgd", "ccsgd", "nag", "lars", "lbsgd"):
        settings["momentum"] = 0.9
    if optimizer == "lbsgd":  # keeps sums of gradients between updates
        settings.update(batch_scale=2)
    whole = run(2, optimizer, 8, path="whole", **settings)
    assert all(np.isfinite(array).all() for array in whole.values())
    run(1, optimizer, 8, **settings)
    saved = (tmp_path / "c").read_bytes()
    for made in (0, 1, 9, 120):
        (tmp_path / "c").write_bytes(saved)
        assert_equal(whole, run(2, optimizer, made, **settings))


@pytest.mark.filterwarnings("ignore:The loss rests")
def test_a_cell_that_is_run_again_goes_on(tmp_path):
    """Network, trainer and training in one cell; layers count on."""
    def cell(num_epochs, path):
        d2l.seed(1)
        net = models.lenet()
        net.initialize(init.Xavier())
        trainer = gluon.Trainer(net.collect_params(), "sgd", {
            "learning_rate": 0.05, "momentum": 0.9})
        X = nd.random.uniform(shape=(8, 1, 28, 28))
        batches = [(X, nd.arange(8))]
        d2l.train_ch5(net, batches, batches, 8, trainer, mx.cpu(),
                      num_epochs, path)
        return values(net)

    with mx.name.NameManager():  # from conv0 to conv13
        for num_epochs in range(1, 7):
            cut = cell(num_epochs, tmp_path / "cut")
        assert_equal(cell(6, tmp_path / "whole"), cut)


def test_a_trainer_of_a_part_of_the_network(run, tmp_path):
    last = {"of": lambda net: net[-1:], "momentum": 0.9}
    whole = run(2, "sgd", 9, path="whole", **last)
    run(1, "sgd", 9, **last)
    assert_equal(whole, run(2, "sgd", **last))
    for of, message in ((lambda net: net, "only this one has 0.bias"),
                        (lambda net: net[-2:], "only this one has 10.bias")):
        with pytest.raises(d2l.CheckpointError, match=message):
            run(2, "sgd", of=of, momentum=0.9)
    run(1, "sgd", path="all")
    with pytest.raises(d2l.CheckpointError, match="only that one has 0"):
        run(2, "sgd", of=lambda net: net[-2:], path="all")
    net, _ = begin()
    _, trainer = begin()
    for refused in (
            lambda: d2l.save_checkpoint(tmp_path / "c", net, trainer, {}),
            lambda: d2l.load_checkpoint(tmp_path / "c", net, trainer),
            lambda: hyperparameters(net, trainer)):
        with pytest.raises(d2l.CheckpointError, match="none that this netw"):
            refused()


def test_a_run_that_had_not_begun(tmp_path):
    net, trainer = begin("adam")
    net(BATCHES[0][0])
    d2l.save_checkpoint(tmp_path / "c", net, trainer, {})
    before = values(net)
    step(net, trainer, *BATCHES[0])
    d2l.load_checkpoint(tmp_path / "c", net, trainer)
    optimizer = trainer.optimizer
    assert optimizer.num_update == 0
    assert optimizer._index_update_count == {}
    assert trainer._updaters[0].states == {}
    assert_equal(before, values(net))


def shared(params=True):
    d2l.seed(4)
    net, one = nn.HybridSequential(), nn.Dense(4, in_units=4)
    net.add(one, nn.Dense(4, in_units=4, **(
        {"params": one.params} if params else {})), nn.Dense(3, in_units=4))
    net.initialize(init.Xavier())
    return net, gluon.Trainer(net.collect_params(), "adam")


def test_shared_parameters(tmp_path):
    ends = []
    for several in ([3], [1, 1, 1]):
        path = tmp_path / str(len(several))
        for steps in several:
            net, trainer = shared()
            d2l.load_checkpoint(path, net, trainer)
            for _ in range(steps):
                step(net, trainer, nd.ones((2, 4)), nd.array([0, 1]))
            d2l.save_checkpoint(path, net, trainer, {})
        ends.append(values(net))
    assert_equal(*ends)
    # A file of the same names where they were two parameters.
    net, trainer = shared(params=False)
    d2l.save_checkpoint(tmp_path / "two", net, trainer, {})
    net, trainer = shared()
    with unchanged(net, trainer), pytest.raises(
            d2l.CheckpointError,
            match=r"0\.weight and 1\.weight differ in it, and are shared"):
        d2l.load_checkpoint(tmp_path / "two", net, trainer)


@contextlib.contextmanager
def unchanged(net, trainer):
    """Parameters, trainer and random generators are as they were."""
    def everything():
        optimizer = trainer.optimizer
        return {
            "parameters": [(p.shape, p.grad_req, p.lr_mult,
                            p._data and p.data().asnumpy().tobytes())
                           for p in net.collect_params().values()],
            "states": [[leaf is not None and leaf.asnumpy().tobytes()
                        for leaf in checkpoint._leaves(state)]
                       for state in trainer._updaters[0].states.values()],
            "optimizer": copy.deepcopy({
                name: value for name, value in vars(optimizer).items()
                if name not in ("param_dict", "lr_scheduler")}),
            "scheduler": dict(vars(optimizer.lr_scheduler or nd)),
            "random": [random.getstate(), str(np.random.get_state()),
                       np.random.get_state()[1].tobytes()]}

    before = everything()
    mx.random.seed(7)
    yield
    drawn = nd.random.normal(shape=3).asnumpy()
    mx.random.seed(7)
    assert (drawn == nd.random.normal(shape=3).asnumpy()).all()
    after = everything()
    assert before == after


# --- settings ---------------------------------------------------------------

def scheduler(kind, *arguments, **more):
    return getattr(lr_scheduler, f"{kind}Scheduler")(*arguments, **more)


SCHEDULES = [
    ("Factor", 2, 0.5), ("MultiFactor", [2, 4, 5], 0.5), ("Cosine", 8),
    ("Cosine", 4), ("Poly", 8), ("Poly", 4)]


def train_ch5(num_epochs, path, net, trainer):
    d2l.train_ch5(net, BATCHES, BATCHES[:1], 16, trainer, mx.cpu(),
                  num_epochs, path)


def own_loop(num_epochs, path, net, trainer):
    notes = d2l.load_checkpoint(path, net, trainer) or {"epoch": 0}
    for epoch in range(notes["epoch"] + 1, num_epochs + 1):
        for X, y in BATCHES:
            step(net, trainer, X, y)
        d2l.save_checkpoint(path, net, trainer, {"epoch": epoch})


@pytest.mark.filterwarnings("ignore:The loss rests")
@pytest.mark.parametrize("train", [train_ch5, own_loop])
@pytest.mark.parametrize("trainer", ["new", "same", "interrupted"])
@pytest.mark.parametrize("kind", SCHEDULES, ids=str)
def test_a_schedule_is_taken_up(tmp_path, kind, trainer, train):
    """It ends after or within the run, which has nine updates."""
    def make():
        return begin("nag", momentum=0.9, lr_scheduler=scheduler(
            *kind, base_lr=0.1, warmup_steps=1))

    whole = make()
    train(3, tmp_path / "whole", *whole)
    cut = make()
    train(1, tmp_path / "cut", *cut)
    if trainer == "new":
        cut = make()
    elif trainer == "interrupted":
        for X, y in BATCHES[:2]:
            step(*cut, X, y)
    train(3, tmp_path / "cut", *cut)
    assert_equal(values(whole[0]), values(cut[0]))
    assert whole[1].learning_rate == cut[1].learning_rate


def halve_first(net, trainer):
    net[0].weight.lr_mult = 0.5


def freeze_first(net, trainer):
    net[0].collect_params().setattr("grad_req", "null")


BEGUN = {"learning_rate": 0.1, "momentum": 0.9, "wd": 0.0}
OTHER = [
    ("sgd", {"learning_rate": 0.001},
     ["learning_rate is 0.001 here and 0.1 in the file"]),
    ("sgd", {"momentum": 0.5}, ["momentum is 0.5 here and 0.9 in the file"]),
    ("sgd", {"momentum": 0.0}, ["momentum is 0.0 here and 0.9 in the file"]),
    ("sgd", {"wd": 0.01}, ["wd is 0.01 here and 0.0 in the file"]),
    ("sgd", {"learning_rate": 0.001, "momentum": 0.5, "wd": 0.01},
     ["learning_rate is 0.001 here and 0.1 in", "momentum is 0.5 here",
      "wd is 0.01 here"]),
    ("sgd", {"clip_gradient": 1.0},
     ["clip_gradient is 1.0 here and None in the file"]),
    ("sgd", {"rescale_grad": 2.0}, ["rescale_grad is 2.0 here and 1.0 in"]),
    ("sgd", {"multi_precision": True}, ["multi_precision is True here and F"]),
    ("sgd", halve_first, ["0.weight.lr_mult is 0.5 here and 1.0 in the file"]),
    ("sgd", freeze_first, ["0.weight.grad_req is null here and write in"]),
    ("sgd", lambda net, trainer: trainer.set_learning_rate(0.02),
     ["learning_rate is 0.02 here and 0.1 in the file"]),
    ("adam", {"beta1": 0.5}, ["beta1 is 0.5 here and 0.9 in the file"]),
    ("rmsprop", {"centered": True}, ["centered is True here and False in"]),
    ("lbsgd", {"warmup_strategy": "sqrt"},
     ["warmup_strategy is sqrt here and linear in the file"])]


@pytest.mark.parametrize("same", [False, True], ids=["new", "same"])
@pytest.mark.parametrize("optimizer, other, messages", OTHER,
                         ids=lambda each: getattr(each, "__name__",
                                                  str(each))[:40])
def test_other_settings_are_refused_and_either_side_can_be_taken(
        tmp_path, optimizer, other, messages, same):
    path = tmp_path / "c"
    arguments = BEGUN if optimizer == "sgd" else {"learning_rate": 0.1}

    def made():
        return begin(optimizer, **{**arguments, **(
            {} if callable(other) or same else other)})

    net, trainer = begin(optimizer, **arguments)
    step(net, trainer, *BATCHES[0])
    d2l.save_checkpoint(path, net, trainer, {"epoch": 1})
    saved = hyperparameters(net, trainer)
    if not same:
        net, trainer = made()
    if callable(other):
        other(net, trainer)
    elif same:
        for name, value in other.items():
            if name == "rescale_grad":
                trainer._scale = value
            else:
                setattr(trainer.optimizer,
                        "lr" if name == "learning_rate" else name, value)
    own = hyperparameters(net, trainer)
    with unchanged(net, trainer), pytest.raises(
            d2l.CheckpointError, match="saved with other settings") as caught:
        d2l.load_checkpoint(path, net, trainer)
    said = str(caught.value)
    assert "\n" not in said
    assert 'settings="file"' in said and 'settings="trainer"' in said
    assert [part for part in messages if part not in said] == []
    assert said.count(" here and ") == max(
        len(messages), 2 * (other is freeze_first))
    if optimizer == "rmsprop":  # two arrays more, which begin at nothing
        with unchanged(net, trainer), pytest.raises(
                d2l.CheckpointError, match=r"a state of \S+ that is none of"):
            d2l.load_checkpoint(path, net, trainer, settings="trainer")
    else:
        assert d2l.load_checkpoint(path, net, trainer, settings="trainer"
                                   ) == {"epoch": 1}
        assert hyperparameters(net, trainer) == own
        assert trainer.optimizer.num_update == 1
        step(net, trainer, *BATCHES[1])
    d2l.load_checkpoint(path, net, trainer, settings="file")
    assert hyperparameters(net, trainer) == saved
    taken = values(net)
    step(net, trainer, *BATCHES[1])
    net, trainer = begin(optimizer, **arguments)
    d2l.load_checkpoint(path, net, trainer)
    assert_equal(taken, values(net))
    step(net, trainer, *BATCHES[1])
    d2l.save_checkpoint(path, net, trainer, {})


@pytest.mark.parametrize(("choice", "rate"), [("file", 0.1),
                                              ("trainer", 0.01)])
def test_train_ch5_goes_on_with_either_sides_settings(
        tmp_path, choice, rate):
    path = tmp_path / "run"

    def run(num_epochs, trainer, **options):
        d2l.train_ch5(net, *iters(), 64, trainer, mx.cpu(), num_epochs, path,
                      **options)

    net, trainer = start("sgd", learning_rate=0.1, momentum=0.9)
    run(1, trainer)
    trainer.set_learning_rate(0.01)
    with unchanged(net, trainer), pytest.raises(
            d2l.CheckpointError,
            match=r"learning_rate is 0\.01 here and 0\.1 in the file"):
        run(2, trainer)
    run(2, trainer, settings=choice)
    assert trainer.learning_rate == rate
    # In a new process, with the rate of that choice.
    net, trainer = start("sgd", learning_rate=rate, momentum=0.9)
    run(3, trainer)
    assert len(d2l.last_history().loss) == 3


def test_a_checkpoint_of_something_else_than_train_ch5(tmp_path):
    net, trainer = start()
    net(next(iter(iters()[0]))[0])
    d2l.save_checkpoint(tmp_path / "c", net, trainer, {"epoch": 1})
    with unchanged(net, trainer), pytest.raises(
            d2l.CheckpointError, match="was not saved by train_ch5"):
        d2l.train_ch5(net, *iters(), 64, trainer, mx.cpu(), 2,
                      tmp_path / "c")


def test_at_most_five_differences_are_named(tmp_path):
    net, trainer = begin()
    net(BATCHES[0][0])
    d2l.save_checkpoint(tmp_path / "c", net, trainer, {})
    net.collect_params().setattr("wd_mult", 0.0)
    with pytest.raises(d2l.CheckpointError, match=r"; and 17 more\. sett"):
        d2l.load_checkpoint(tmp_path / "c", net, trainer)
    with pytest.raises(ValueError, match="settings is 'both'"):
        d2l.load_checkpoint(tmp_path / "c", net, trainer, settings="both")


class Warmed(lr_scheduler.LRScheduler):
    """A schedule around another, whose numbers move as well."""

    def __init__(self, inner):
        super().__init__(base_lr=inner.base_lr)
        self.inner, self.others = inner, [inner]

    def __call__(self, update):
        return self.inner(update) * min(1, update / 4)


def test_a_schedule_within_another(tmp_path):
    def made(step=2):
        return begin(learning_rate=0.1, lr_scheduler=Warmed(
            lr_scheduler.FactorScheduler(step, 0.5, base_lr=0.1)))

    path = tmp_path / "c"
    net, trainer = made()
    for X, y in BATCHES:
        step(net, trainer, X, y)
    d2l.save_checkpoint(path, net, trainer, {})
    rate = trainer.learning_rate
    net, trainer = made()
    d2l.load_checkpoint(path, net, trainer)
    assert vars(trainer.optimizer.lr_scheduler.inner)["count"] == 2
    assert trainer.learning_rate == rate
    net, trainer = made(step=1)
    with unchanged(net, trainer), pytest.raises(
            d2l.CheckpointError,
            match=r"lr_scheduler\.inner\.step is 1 here and 2 in the file"):
        d2l.load_checkpoint(path, net, trainer)


def test_states_of_half_precision(tmp_path):
    """A copy of the weight in float32, and states of that."""
    def made():
        d2l.seed(5)
        net = nn.Dense(3, in_units=2, use_bias=False, dtype="float16")
        net.initialize(init.Uniform(1))
        return net, gluon.Trainer(net.collect_params(), "adam", {
            "multi_precision": True})

    def train(net, trainer):  # no product of matrices: MXNet has none
        with mx.autograd.record():
            loss = net.weight.data() ** 2
        loss.backward()
        trainer.step(1)

    net, trainer = made()
    train(net, trainer)
    d2l.save_checkpoint(tmp_path / "c", net, trainer, {})
    train(net, trainer)
    cut, other = made()
    d2l.load_checkpoint(tmp_path / "c", cut, other)
    train(cut, other)
    for one, two in zip(*(checkpoint._leaves(each._updaters[0].states[0])
                          for each in (trainer, other))):
        assert one.dtype == two.dtype == np.float32
        assert (one == two).asnumpy().all()
    assert_equal(values(net), values(cut))


OTHER_SCHEDULES = [
    (("Cosine", 4), ("Cosine", 12), "max_update is 12 here and 4 in the f"),
    (("Cosine", 12), ("Cosine", 4), "max_update is 4 here and 12 in the f"),
    (("Poly", 4), ("Poly", 12), "max_update is 12 here and 4 in the file"),
    (("Factor", 2, 0.5), ("Factor", 3, 0.5), "step is 3 here and 2 in the"),
    (("MultiFactor", [2, 4], 0.5), ("MultiFactor", [2, 4, 7], 0.5),
     r"step is \[2, 4, 7\] here and \[2, 4\] in the file"),
    (("Factor", 2, 0.5), ("Cosine", 12),
     "lr_scheduler is CosineScheduler here and FactorScheduler in the file"),
    (None, ("Cosine", 12),
     "lr_scheduler is CosineScheduler here and None in the file"),
    (("Cosine", 12), None,
     "lr_scheduler is None here and CosineScheduler in the file")]


@pytest.mark.parametrize("old, new, message", OTHER_SCHEDULES, ids=str)
def test_another_schedule_is_refused_or_goes_on_from_there(
        tmp_path, old, new, message):
    def made(kind):
        return begin("adam", learning_rate=0.1, lr_scheduler=kind and (
            scheduler(*kind, base_lr=0.1)))

    path = tmp_path / "c"
    net, trainer = made(old)
    for X, y in BATCHES * 2:
        step(net, trainer, X, y)
    d2l.save_checkpoint(path, net, trainer, {})
    rate = trainer.learning_rate
    net, trainer = made(new)
    with unchanged(net, trainer), pytest.raises(d2l.CheckpointError,
                                                match=message):
        d2l.load_checkpoint(path, net, trainer)
    if "Scheduler" in message:  # no numbers of one kind fit another
        with unchanged(net, trainer), pytest.raises(
                d2l.CheckpointError, match="was saved with the scheduler"):
            d2l.load_checkpoint(path, net, trainer, settings="file")
    else:
        d2l.load_checkpoint(path, net, trainer, settings="file")
        assert trainer.learning_rate == rate
        net, trainer = made(new)
    d2l.load_checkpoint(path, net, trainer, settings="trainer")
    alone = scheduler(*new, base_lr=0.1) if new else lambda update: 0.1
    assert trainer.learning_rate == [alone(n) for n in range(7)][-1]
    # The run is now one of the new schedule.
    d2l.save_checkpoint(path, net, trainer, {})
    net, trainer = made(new)
    d2l.load_checkpoint(path, net, trainer)
    step(net, trainer, *BATCHES[0])
    assert trainer.learning_rate == alone(7)


def test_a_run_is_known_by_the_settings_that_it_began_with(tmp_path):
    """A rate that is changed by hand within a run, as the book does."""
    path, notes = tmp_path / "c", {}
    net, trainer = begin("sgd", learning_rate=0.1)
    begun = hyperparameters(net, trainer)
    step(net, trainer, *BATCHES[0])
    trainer.set_learning_rate(0.01)
    d2l.save_checkpoint(path, net, trainer, notes, begun=begun)
    assert d2l.load_checkpoint(path, net, trainer) == notes  # this trainer
    net, trainer = begin("sgd", learning_rate=0.1)  # or a new one
    read = read_checkpoint(path, net, trainer)
    assert trainer.learning_rate == 0.1
    assert (read[0], read[1]()) == (notes, begun)
    assert trainer.learning_rate == 0.01
    net, trainer = begin("sgd", learning_rate=0.5)
    _, restore = read_checkpoint(path, net, trainer, settings="trainer")
    begun = restore()
    assert begun["learning_rate"] == trainer.learning_rate == 0.5


# --- damage -----------------------------------------------------------------

def rewrite(path, change):
    arrays = contents(path)
    everything = json.loads(arrays.pop("json").tobytes())
    change(arrays, everything)
    np.savez(path.open("wb"), json=np.frombuffer(
        json.dumps(everything).encode(), np.uint8), **arrays)


def put(*keys_and_value):
    """Change the notes, at these keys."""
    *keys, last, value = keys_and_value

    def change(arrays, everything):
        for key in keys:
            everything = everything[key]
        everything[last] = value
    return change


def put_array(name, array):
    return lambda arrays, everything: arrays.update({name: array})


STATE, LAST = "state/0.weight/1", "10.weight"
DAMAGES = {
    "a state of another shape": put_array(STATE, np.zeros((4, 4), "f")),
    "a state of another type": put_array(STATE, np.zeros((4, 4, 3, 3))),
    "a state less": lambda arrays, notes: arrays.pop(STATE),
    "states less": put("trainer", "states", LAST, [True]),
    "a state of no parameter": put("trainer", "states", "x", [True]),
    "states of no kind": put("trainer", "states", None),
    "a count of words": put("trainer", "counts", LAST, "three"),
    "a count below 0": put("trainer", "counts", LAST, -1),
    "a count of no parameter": put("trainer", "counts", "x", 1),
    "a fraction of updates": put("trainer", "moving", "num_update", 1.5),
    "no number of updates": put("trainer", "moving", {}),
    "a rate of words": put("trainer", "settings", "learning_rate", "low"),
    "a setting more": put("trainer", "settings", "x", 1),
    "settings of no kind": put("trainer", "settings", None),
    "places of no kind": put("trainer", "places", 3),
    "a place less": put("trainer", "places", [LAST]),
    "no trainer": put("trainer", None),
    "random numbers of another kind": put("random", "numpy", [1, 2]),
    "a random state too long": put("random", "numpy",
                                   ["MT19937", 9999, 0, 0.0]),
    "another version of random": put("random", "python", [7, None]),
    "half of NumPy's state": put_array("random/numpy",
                                       np.zeros(99, np.uint32)),
    "half of Python's state": put_array("random/python", np.zeros(99, int)),
    "a parameter less": lambda arrays, notes: arrays.pop(f"parameter/{LAST}"),
    "a parameter of another type": put_array(
        f"parameter/{LAST}", np.zeros((10, 10), "d")),
    "no notes": lambda arrays, notes: notes.pop("notes")}


@pytest.mark.parametrize("settings", [None, "file", "trainer"])
@pytest.mark.parametrize("kind", DAMAGES)
def test_what_does_not_fit_changes_nothing(tmp_path, kind, settings):
    path = tmp_path / "c"
    net, trainer = begin("adam")
    step(net, trainer, *BATCHES[0])
    d2l.save_checkpoint(path, net, trainer, {})
    rewrite(path, DAMAGES[kind])
    step(net, trainer, *BATCHES[1])
    if settings == "trainer" and kind in ("a rate of words",
                                          "a setting more"):
        assert d2l.load_checkpoint(path, net, trainer, settings) == {}
        return
    with unchanged(net, trainer), pytest.raises(
            d2l.CheckpointError, match=re.escape(str(path))) as caught:
        d2l.load_checkpoint(path, net, trainer, settings)
    assert "\n" not in str(caught.value)


def test_only_leftovers_of_this_checkpoint_are_deleted(tmp_path):
    net, trainer = begin()
    net(BATCHES[0][0])
    own = tmp_path / f"lenet[1].{'0a' * 16}.part"
    others = [tmp_path / name for name in (
        f"lenet[1].seed1.{'0a' * 16}.part", "lenet[1].notes.part",
        f"lenet1.{'0a' * 16}.part")]
    for path in (own, *others):
        path.write_bytes(b"half")
    with written_aside(tmp_path / "lenet[1].seed2") as other:
        d2l.save_checkpoint(tmp_path / "lenet[1]", net, trainer, {})
        assert other.exists()
    assert not own.exists()
    assert all(path.exists() for path in others)


# --- files of format 1 ------------------------------------------------------

def save_format_1(path, net, trainer, notes):
    """As the version before wrote: by the trainer's index, numbers only."""
    def numbers(thing):
        return {name: value for name, value in vars(thing).items()
                if isinstance(value, (int, float))}

    optimizer, arrays, form = trainer.optimizer, {}, {}
    for i, state in trainer._updaters[0].states.items():
        parts = state if isinstance(state, tuple) else [state]
        form[i] = [isinstance(state, tuple),
                   [part is not None for part in parts]]
        arrays.update({f"state/{i}/{j}": part.asnumpy()
                       for j, part in enumerate(parts) if part is not None})
    generators, state = checkpoint._random_state()
    everything = {
        "format": "d2lzh_ext checkpoint 1", "notes": notes, "random": state,
        "trainer": {
            "optimizer": type(optimizer).__name__,
            "scalars": numbers(optimizer), "form": form,
            "scheduler": numbers(optimizer.lr_scheduler or object
                                 ) if optimizer.lr_scheduler else {},
            "counts": dict(optimizer._index_update_count)}}
    np.savez(path.open("wb"), json=np.frombuffer(
        json.dumps(everything).encode(), np.uint8), **arrays, **generators,
        **{f"parameter/{name}": array for name, array in values(net).items()})
    checkpoint._reseed()


def one_of_each(made=0):
    """No two updated parameters of one shape, but those of BatchNorm."""
    with mx.name.NameManager():
        for _ in range(made):
            nn.Conv2D(1, 1), nn.Dense(1), nn.BatchNorm()
        net = nn.HybridSequential()
        net.add(nn.Conv2D(6, 3), nn.BatchNorm(), nn.Conv2D(7, 3),
                nn.Dense(20), nn.Dropout(0.5), nn.Dense(10))
    d2l.seed(3)
    net.initialize(init.Xavier())
    return net


@pytest.mark.parametrize("made", [0, 1, 9])
@pytest.mark.parametrize("make, optimizer, arguments, certain", [
    (one_of_each, "adam", {}, True),
    (one_of_each, "sgd", {"momentum": 0.9}, True),
    (one_of_each, "nadam", {}, True),
    (equal_net, "sgd", {}, True),  # no states, equal counts
    (equal_net, "sgd", {"momentum": 0.9}, False),
    (equal_net, "adam", {}, False)])
def test_files_of_format_1_are_read_where_their_order_is_certain(
        tmp_path, make, optimizer, arguments, certain, made):
    def made_before(made):
        net = make(made)
        return net, gluon.Trainer(net.collect_params(), optimizer, {
            "learning_rate": 0.01, **arguments, "lr_scheduler": scheduler(
                "Factor", 2, 0.5, base_lr=0.01)})

    path = tmp_path / "c"
    net, trainer = made_before(9)
    for X, y in BATCHES:
        step(net, trainer, X, y)
    save_format_1(path, net, trainer, {"epoch": 1})
    step(net, trainer, *BATCHES[0])
    whole = values(net)
    net, trainer = made_before(made)
    if not certain:
        with unchanged(net, trainer), pytest.raises(
                d2l.CheckpointError,
                match=r"whether \w+ or \w+ came first .* cannot be told"):
            d2l.load_checkpoint(path, net, trainer)
        return
    assert d2l.load_checkpoint(path, net, trainer) == {"epoch": 1}
    step(net, trainer, *BATCHES[0])
    assert_equal(whole, values(net))


@pytest.mark.parametrize("arguments, message", [
    ({"learning_rate": 0.2}, "learning_rate is 0.2 here and 0.1 in the"),
    ({"momentum": 0.5}, "momentum is 0.5 here and 0.9 in the file"),
    ({"clip_gradient": 1.0}, "clip_gradient is 1.0 here and None in"),
    ({"lr_scheduler": scheduler("Cosine", 9, base_lr=0.1)},
     "lr_scheduler is CosineScheduler here and None in the file")])
def test_other_settings_than_those_of_format_1(tmp_path, arguments, message):
    def made(**arguments):
        net = one_of_each()
        return net, gluon.Trainer(net.collect_params(), "sgd", {
            "learning_rate": 0.1, "momentum": 0.9, **arguments})

    net, trainer = made()
    step(net, trainer, *BATCHES[0])
    save_format_1(tmp_path / "c", net, trainer, {})
    net, trainer = made(**arguments)
    with unchanged(net, trainer), pytest.raises(d2l.CheckpointError,
                                                match=message):
        d2l.load_checkpoint(tmp_path / "c", net, trainer)
    d2l.load_checkpoint(tmp_path / "c", net, trainer, settings="trainer")
    assert trainer.optimizer.num_update == 1


def test_format_1_of_another_trainer_or_network(tmp_path):
    net = one_of_each()
    trainer = gluon.Trainer(net.collect_params(), "adam")
    step(net, trainer, *BATCHES[0])
    save_format_1(tmp_path / "c", net, trainer, {})
    trainer = gluon.Trainer(net[-1:].collect_params(), "adam")
    with pytest.raises(d2l.CheckpointError,
                       match="updated 10 parameters; this one has 2"):
        d2l.load_checkpoint(tmp_path / "c", net, trainer)
    net, trainer = begin("adam")
    with unchanged(net, trainer), pytest.raises(d2l.CheckpointError,
                                                match="of another network"):
        d2l.load_checkpoint(tmp_path / "c", net, trainer)


# --- killed runs ------------------------------------------------------------

SCRIPT = """
import sys
import networks
setting = networks.setting("lenet_bn", "book")
setting.update(batch_size=64, num_train=640, num_test=100, num_epochs=24)
networks.train("lenet_bn", setting, 0, sys.argv[1])
"""


def book_run(path):
    return subprocess.Popen(
        [sys.executable, "-u", "-c", SCRIPT, path], text=True,
        stdout=subprocess.PIPE, env={
            **os.environ, "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(
                [str(ROOT / "benchmarks"), str(ROOT)])})


def contents(path):
    """All arrays of an archive, read to the end."""
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def test_ten_kills_change_nothing_and_leave_nothing_half_written(tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "killed" / "cut"
    assert book_run(whole).wait() == 0
    moments = random.Random(5)
    epochs = []
    for _ in range(10):
        process = book_run(cut)
        for _ in range(moments.randrange(1, 5)):  # some epochs ...
            process.stdout.readline()
        time.sleep(moments.uniform(0, 0.2))  # ... and somewhere in the next
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if cut.exists():
            saved = contents(cut)
            notes = json.loads(saved["json"].tobytes())["notes"]
            epochs.append(len(notes["loss"]))
    assert epochs == sorted(epochs), "a checkpoint went back"
    assert len(set(epochs)) > 3, "the kills did not fall into the run"
    process = book_run(cut)
    printed = process.communicate()[0]
    assert process.returncode == 0
    assert "epochs 1 to" in printed
    one, other = contents(whole), contents(cut)
    notes = [json.loads(arrays.pop("json").tobytes())["notes"]
             for arrays in (one, other)]
    assert_equal(one, other)
    assert notes[0]["loss"] == notes[1]["loss"]
    assert len(notes[1]["resumed"]) >= 3
    assert os.listdir(cut.parent) == ["cut"]
