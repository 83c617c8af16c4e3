"""A run that is cut and taken up ends as it would have ended."""
from __future__ import annotations

import contextlib
import copy
import functools
import io
import itertools
import json
import os
import random
import re
import signal
import sys

import mxnet as mx
import numpy as np
import pytest
from interpreter import run
from mxnet import gluon, init, lr_scheduler, nd
from mxnet.gluon import nn

import d2lzh_ext as d2l
from d2lzh_ext import training
from d2lzh_ext.files import checkpoint
from d2lzh_ext.files.atomic import written_aside
from d2lzh_ext.files.checkpoint import (
    check_single_device,
    hyperparameters,
    read_checkpoint,
)

pytestmark = pytest.mark.filterwarnings("ignore:The loss rests")
DATA = np.random.RandomState(2)
DATA = (DATA.randint(256, size=(48, 6, 6, 4)).astype(np.uint8),
        DATA.randint(10, size=48), 16)
BATCHES = list(d2l.ArrayLoader(*DATA))
SHUFFLED = d2l.ArrayLoader(*DATA, shuffle=True)


def equal_layers():
    """Layers of one shape, and whatever else has a state."""
    for _ in range(3):
        yield from (nn.Conv2D(4, 3, padding=1), nn.BatchNorm(),
                    nn.Activation("tanh"))
    yield from (nn.Dropout(0.2), nn.Dense(10), nn.Dense(10))


def begin(optimizer="sgd", made=0, of=lambda net: net, layers=equal_layers,
          **arguments):
    """Network and trainer, in a process that had made `made` before."""
    d2l.seed(3)
    net = nn.HybridSequential()
    with mx.name.NameManager():
        for _ in range(made):
            nn.Conv2D(1, 1), nn.Dense(1), nn.BatchNorm()
        net.add(*layers())
    net.initialize(init.Xavier())
    return net, gluon.Trainer(of(net).collect_params(), optimizer, arguments)


def step(net, trainer, X, y):
    with mx.autograd.record():
        loss = gluon.loss.SoftmaxCrossEntropyLoss()(net(X), y)
    loss.backward()
    trainer.step(len(X))


def saved(path, *arguments, batches=BATCHES[:1], **settings):
    """Network and trainer, saved after a step with each of `batches`."""
    net, trainer = begin(*arguments, **settings)
    net(BATCHES[0][0])
    for batch in batches:
        step(net, trainer, *batch)
    d2l.save_checkpoint(path, net, trainer, {})
    return net, trainer


def train_ch5(num_epochs, path, net, trainer, **options):
    return d2l.train_ch5(net, SHUFFLED, BATCHES[:1], 16, trainer, mx.cpu(),
                         num_epochs, path, **options)


def own_loop(num_epochs, path, net, trainer):
    notes = d2l.load_checkpoint(path, net, trainer) or {"epoch": 0}
    for epoch in range(notes["epoch"] + 1, num_epochs + 1):
        for X, y in SHUFFLED:
            step(net, trainer, X, y)
        d2l.save_checkpoint(path, net, trainer, {"epoch": epoch})


def values(net):
    return {name: p.data().asnumpy()
            for name, p in net._collect_params_with_prefix().items()}


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


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


def assert_refused(path, net, trainer, message=None, settings=None):
    """One line says which file and what to do; nothing is changed."""
    with unchanged(net, trainer), pytest.raises(
            d2l.CheckpointError, match=message) as caught:
        d2l.load_checkpoint(path, net, trainer, settings)
    assert re.fullmatch(
        rf"{re.escape(str(path))} .*\. Name another file, or delete it to "
        r"start the run anew\.", str(caught.value))


# --- runs and files ---------------------------------------------------------

def test_a_resumed_run_equals_an_uninterrupted_one(
        tmp_path, capsys, monkeypatch):
    ends = []
    for path, parts in (("whole", [4]), ("cut", [1, 3, 4])):
        for num_epochs in parts:
            net, trainer = begin("sgd", learning_rate=0.05)
            history = train_ch5(num_epochs, tmp_path / path, net, trainer)
        ends.append((values(net), history))
    (whole, expected), (cut, history) = ends
    assert_equal(whole, cut)
    assert history.loss == expected.loss
    assert history.test_acc == expected.test_acc
    assert (expected.resumed, history.resumed) == ([], [1, 3])
    assert sorted(os.listdir(tmp_path)) == ["cut", "whole"]
    # A finished run is only read.
    monkeypatch.setattr(training, "save_checkpoint", None)
    net, trainer = begin("sgd", learning_rate=0.05)
    assert train_ch5(4, tmp_path / "cut", net, trainer) == history
    assert_equal(whole, values(net))
    assert "epochs 1 to 4 are in cut" in capsys.readouterr().out


def test_random_states_are_those_of_the_uninterrupted_run(tmp_path):
    def draws():
        return [random.random(), random.gauss(0, 1), np.random.rand(),
                np.random.randn(),
                float(mx.nd.random.normal(shape=1).asscalar())]

    net, trainer = saved(tmp_path / "c")
    random.gauss(0, 1)  # both keep a second draw in hand
    np.random.randn()
    d2l.save_checkpoint(tmp_path / "c", net, trainer, {})
    expected = draws()
    d2l.seed(99)
    assert d2l.load_checkpoint(tmp_path / "c", net, trainer) == {}
    assert draws() == expected


def test_the_folder_is_made_and_the_notes_come_back(tmp_path):
    path = tmp_path / "a" / "b.npz"
    assert d2l.load_checkpoint(path, *begin()) is None
    net, trainer = saved(path)
    notes = {"epoch": 3, "loss": [0.1, 2 / 3]}
    d2l.save_checkpoint(path, net, trainer, notes)
    assert d2l.load_checkpoint(path, net, trainer) == notes


@pytest.mark.parametrize("optimizer, layers, message", [
    ("sgd", equal_layers, "was trained with Adam, not with SGD"),
    ("adam", lambda: [*equal_layers(), nn.Dense(10)],
     "only this network has 12"),
    ("adam", lambda: [*equal_layers()][:-1], "only the file has 11"),
    ("adam", lambda: [nn.Conv2D(5, 3), *[*equal_layers()][1:]],
     r"0\.weight has the shape .* in it, here")])
def test_a_checkpoint_of_something_else_is_refused(
        tmp_path, optimizer, layers, message):
    saved(tmp_path / "c", "adam")
    assert_refused(tmp_path / "c", *begin(optimizer, layers=layers), message)


def archive(save=np.savez, *arrays, **named):
    file = io.BytesIO()
    save(file, *arrays, **named)
    return file.getvalue()


def as_bytes(notes):
    return np.frombuffer(json.dumps(notes).encode(), np.uint8)


@pytest.mark.parametrize("damage", {
    "text": lambda whole: b"not a checkpoint",
    "empty": lambda whole: b"",
    "cut": lambda whole: whole[:len(whole) // 2],
    "flipped": lambda whole: (whole[:len(whole) // 2]
                              + bytes([whole[len(whole) // 2] ^ 1])
                              + whole[len(whole) // 2 + 1:]),
    "another archive": lambda whole: archive(a=np.ones(3)),
    "an array": lambda whole: archive(np.save, np.ones(3)),
    "a pickle": lambda whole: archive(json=np.array([{}], dtype=object)),
    "another format": lambda whole: archive(
        json=as_bytes({"format": "another"})),
}.items(), ids=lambda damage: damage[0])
def test_what_is_no_checkpoint_is_refused(tmp_path, damage):
    net, trainer = saved(tmp_path / "c")
    (tmp_path / "c").write_bytes(damage[1]((tmp_path / "c").read_bytes()))
    assert_refused(tmp_path / "c", net, trainer, "cannot be read")


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "c"
    net, trainer = saved(path)

    def full(file, array, **options):
        file.write(b"half of an array")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.np.lib.format, "write_array", full)
    with pytest.raises(OSError, match="No space"):
        d2l.save_checkpoint(path, net, trainer, {"epoch": 2})
    assert os.listdir(tmp_path) == ["c"]
    assert d2l.load_checkpoint(path, net, trainer) == {}


@pytest.mark.parametrize("devices, store", [
    ([mx.cpu(0), mx.cpu(1)], {}), ([mx.cpu(0)], {"kvstore": "dist"}),
    ([mx.cpu(0)], {"kvstore": mx.kv.create("local")})])
def test_several_devices_are_refused_before_the_first_step(
        tmp_path, devices, store):
    net, _ = begin()
    net.initialize(ctx=devices, force_reinit=True)
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
    net, _ = begin()
    trainer = gluon.Trainer(net.collect_params(), "sgd", **store)
    check_single_device(trainer)
    step(net, trainer, *BATCHES[0])
    check_single_device(trainer)


def test_only_leftovers_of_this_checkpoint_are_deleted(tmp_path):
    own = tmp_path / f"lenet[1].{'0a' * 16}.part"
    others = [tmp_path / name for name in (
        f"lenet[1].seed1.{'0a' * 16}.part", "lenet[1].notes.part",
        f"lenet1.{'0a' * 16}.part")]
    for path in (own, *others):
        path.write_bytes(b"half")
    with written_aside(tmp_path / "lenet[1].seed2") as other:
        saved(tmp_path / "lenet[1]")
        assert other.exists()
    assert not own.exists()
    assert all(path.exists() for path in others)


# --- where a state belongs --------------------------------------------------

OPTIMIZERS = sorted(mx.optimizer.Optimizer.opt_registry.keys() - {
    "test",  # adds the gradient
    "groupadagrad"})  # takes matrices only


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_states_find_their_layers_whatever_was_made_before(
        tmp_path, optimizer):
    """Saved as conv8 to conv10, taken up as others: the same bits."""
    settings = {"learning_rate": 0.01, "wd": 1e-3}
    if optimizer in ("sgd", "ccsgd", "nag", "lars", "lbsgd"):
        settings["momentum"] = 0.9
    if optimizer == "lbsgd":  # keeps sums of gradients between updates
        settings.update(batch_scale=2)
    ends = []
    for made in (8, 0, 9, 120):
        path = tmp_path / str(made)
        if made != 8:
            train_ch5(1, path, *begin(optimizer, 8, **settings))
        net, trainer = begin(optimizer, made, **settings)
        train_ch5(2, path, net, trainer)
        ends.append(values(net))
    assert all(np.isfinite(array).all() for array in ends[0].values())
    for end in ends[1:]:
        assert_equal(ends[0], end)


def test_a_trainer_of_a_part_of_the_network(tmp_path):
    ends = []
    for parts in ([2], [1, 2]):
        path = tmp_path / str(len(parts))
        for num_epochs in parts:
            net, trainer = begin("sgd", 9, of=lambda net: net[-1:],
                                 momentum=0.9)
            train_ch5(num_epochs, path, net, trainer)
        ends.append(values(net))
    assert_equal(*ends)
    saved(tmp_path / "all", momentum=0.9)
    for saved_as, start, message in (
            (path, 0, "only this one has 0.bias"),
            (path, -2, "only this one has 10.bias"),
            (tmp_path / "all", -2, "only that one has 0.bias")):
        assert_refused(saved_as, *begin(of=lambda net, i=start: net[i:],
                                        momentum=0.9), message)
    net, (_, another) = begin()[0], begin()
    for refused in (
            lambda: d2l.save_checkpoint(path, net, another, {}),
            lambda: d2l.load_checkpoint(path, net, another),
            lambda: hyperparameters(net, another)):
        with pytest.raises(d2l.CheckpointError, match="none that this netw"):
            refused()


def test_a_run_that_had_not_begun(tmp_path):
    net, trainer = saved(tmp_path / "c", "adam", batches=[])
    before = values(net)
    step(net, trainer, *BATCHES[0])
    d2l.load_checkpoint(tmp_path / "c", net, trainer)
    assert trainer.optimizer.num_update == 0
    assert trainer.optimizer._index_update_count == {}
    assert trainer._updaters[0].states == {}
    assert_equal(before, values(net))


def test_shared_parameters(tmp_path):
    def two_layers(shared=True):
        first = nn.Conv2D(4, 3, padding=1, in_channels=4)
        yield from (first, nn.Conv2D(4, 3, padding=1, in_channels=4, params=(
            first.params if shared else None)), nn.Dense(10))

    ends = []
    for several in ([3], [1, 1, 1]):
        path = tmp_path / str(len(several))
        for steps in several:
            net, trainer = begin("adam", layers=two_layers)
            d2l.load_checkpoint(path, net, trainer)
            for _ in range(steps):
                step(net, trainer, *BATCHES[0])
            d2l.save_checkpoint(path, net, trainer, {})
        ends.append(values(net))
    assert_equal(*ends)
    # A file of the same names where they were two parameters.
    saved(tmp_path / "two", "adam", layers=lambda: two_layers(shared=False))
    assert_refused(
        tmp_path / "two", *begin("adam", layers=two_layers),
        r"0\.weight and 1\.weight differ in it, and are shared")


def test_states_of_half_precision(tmp_path):
    """A copy of the weight in float32, and states of that."""
    def made():
        return begin("adam", multi_precision=True, layers=lambda: [
            nn.Dense(3, in_units=2, use_bias=False, dtype="float16")])

    def train(net, trainer):  # no product of matrices: MXNet has none
        with mx.autograd.record():
            loss = net[0].weight.data() ** 2
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


# --- settings ---------------------------------------------------------------

def scheduler(kind, *arguments, **more):
    return getattr(lr_scheduler, f"{kind}Scheduler")(*arguments, **more)


@pytest.mark.parametrize("train", [train_ch5, own_loop])
@pytest.mark.parametrize("trainer", ["new", "same", "interrupted"])
@pytest.mark.parametrize("kind", [
    ("Factor", 2, 0.5), ("MultiFactor", [2, 4, 5], 0.5), ("Cosine", 8),
    ("Cosine", 4), ("Poly", 8), ("Poly", 4)], ids=str)
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


def set_by_hand(net, trainer, name, value):
    *place, attribute = name.split(".")
    if place:
        setattr(getattr(net[int(place[0])], place[1]), attribute, value)
    elif name == "learning_rate":
        trainer.set_learning_rate(value)
    elif name == "rescale_grad":
        trainer._scale = value
    else:
        setattr(trainer.optimizer, name, value)


# Other values than those in the file, and those.
OTHER = [
    ("sgd", {"learning_rate": (0.001, 0.1)}),
    ("sgd", {"momentum": (0.5, 0.9)}), ("sgd", {"momentum": (0.0, 0.9)}),
    ("sgd", {"momentum": (0.9, 0.0)}), ("sgd", {"wd": (0.01, 0.0)}),
    ("sgd", {"wd": (0.01, 0.0), "learning_rate": (0.001, 0.1),
             "momentum": (0.5, 0.9)}),
    ("sgd", {"clip_gradient": (1.0, None)}),
    ("sgd", {"rescale_grad": (2.0, 1.0)}),
    ("sgd", {"multi_precision": (True, False)}),
    ("sgd", {"0.weight.lr_mult": (0.5, 1.0)}),
    ("sgd", {"0.weight.grad_req": ("null", "write"),
             "0.bias.grad_req": ("null", "write")}),
    ("adam", {"beta1": (0.5, 0.9)}), ("rmsprop", {"centered": (True, False)}),
    ("lbsgd", {"warmup_strategy": ("sqrt", "linear")})]


@pytest.mark.parametrize("same", [False, True], ids=["new", "same"])
@pytest.mark.parametrize("optimizer, other", OTHER, ids=str)
def test_other_settings_are_refused_and_either_side_can_be_taken(
        tmp_path, optimizer, other, same):
    path = tmp_path / "c"
    begun = {"learning_rate": 0.1}
    if optimizer == "sgd":
        begun.update(momentum=other.get("momentum", (0, 0.9))[1], wd=0.0)
    net, trainer = saved(path, optimizer, **begun)
    before = hyperparameters(net, trainer)
    if not same:
        net, trainer = begin(optimizer, **begun)
    for name, (here, _) in other.items():
        set_by_hand(net, trainer, name, here)
    own = hyperparameters(net, trainer)
    differences = {f"{name} is {here} here and {there} in the file"
                   for name, (here, there) in other.items()}
    with pytest.raises(d2l.CheckpointError) as caught:
        d2l.load_checkpoint(path, net, trainer)
    assert set(re.search("other settings: (.*?)[.] settings=", str(
        caught.value))[1].split("; ")) == differences
    assert_refused(path, net, trainer, 'settings="file" .*settings="trainer"')
    if optimizer == "rmsprop":  # two arrays more, which begin at nothing
        assert_refused(path, net, trainer, r"a state of \S+ that is none of",
                       "trainer")
    else:
        assert d2l.load_checkpoint(path, net, trainer, "trainer") == {}
        assert hyperparameters(net, trainer) == own
        assert trainer.optimizer.num_update == 1
        step(net, trainer, *BATCHES[1])
    d2l.load_checkpoint(path, net, trainer, settings="file")
    assert hyperparameters(net, trainer) == before
    new = begin(optimizer, **begun)
    d2l.load_checkpoint(path, *new)
    assert_equal(values(net), values(new[0]))
    step(net, trainer, *BATCHES[1])


@pytest.mark.parametrize("choice, rate", [("file", 0.1), ("trainer", 0.01)])
def test_train_ch5_goes_on_with_either_sides_settings(
        tmp_path, choice, rate):
    path = tmp_path / "run"
    net, trainer = begin(learning_rate=0.1, momentum=0.9)
    train_ch5(1, path, net, trainer)
    trainer.set_learning_rate(0.01)
    with unchanged(net, trainer), pytest.raises(
            d2l.CheckpointError,
            match=r"learning_rate is 0\.01 here and 0\.1 in the file"):
        train_ch5(2, path, net, trainer)
    train_ch5(2, path, net, trainer, settings=choice)
    assert trainer.learning_rate == rate
    # In a new process, with the rate of that choice.
    train_ch5(3, path, *begin(learning_rate=rate, momentum=0.9))
    assert len(d2l.last_history().loss) == 3


def test_a_checkpoint_of_something_else_than_train_ch5(tmp_path):
    net, trainer = saved(tmp_path / "c")
    d2l.save_checkpoint(tmp_path / "c", net, trainer, {"epoch": 1})
    with unchanged(net, trainer), pytest.raises(
            d2l.CheckpointError, match="was not saved by train_ch5"):
        train_ch5(2, tmp_path / "c", net, trainer)


def test_at_most_five_differences_are_named(tmp_path):
    net, trainer = saved(tmp_path / "c")
    net.collect_params().setattr("wd_mult", 0.0)
    assert_refused(tmp_path / "c", net, trainer, r"; and 17 more\. sett")
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
        return {"learning_rate": 0.1, "lr_scheduler": Warmed(
            lr_scheduler.FactorScheduler(step, 0.5, base_lr=0.1))}

    path = tmp_path / "c"
    _, trainer = saved(path, batches=BATCHES, **made())
    rate = trainer.learning_rate
    net, trainer = begin(**made())
    d2l.load_checkpoint(path, net, trainer)
    assert vars(trainer.optimizer.lr_scheduler.inner)["count"] == 2
    assert trainer.learning_rate == rate
    assert_refused(
        path, *begin(**made(step=1)),
        r"lr_scheduler\.inner\.step is 1 here and 2 in the file")


@pytest.mark.parametrize("old, new, message", [
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
     "lr_scheduler is None here and CosineScheduler in the file")], ids=str)
def test_another_schedule_is_refused_or_goes_on_from_there(
        tmp_path, old, new, message):
    def made(kind):
        return {"learning_rate": 0.1, "lr_scheduler": kind and scheduler(
            *kind, base_lr=0.1)}

    path = tmp_path / "c"
    _, trainer = saved(path, "adam", batches=BATCHES * 2, **made(old))
    rate = trainer.learning_rate
    net, trainer = begin("adam", **made(new))
    assert_refused(path, net, trainer, message)
    if "Scheduler" in message:  # no numbers of one kind fit another
        assert_refused(path, net, trainer, rf"settings: {message}\. settings")
        assert_refused(path, net, trainer, "was saved with the scheduler",
                       "file")
    else:
        d2l.load_checkpoint(path, net, trainer, settings="file")
        assert trainer.learning_rate == rate
        net, trainer = begin("adam", **made(new))
    d2l.load_checkpoint(path, net, trainer, settings="trainer")
    alone = scheduler(*new, base_lr=0.1) if new else lambda update: 0.1
    assert trainer.learning_rate == [alone(n) for n in range(7)][-1]
    # The run is now one of the new schedule.
    d2l.save_checkpoint(path, net, trainer, {})
    net, trainer = begin("adam", **made(new))
    d2l.load_checkpoint(path, net, trainer)
    step(net, trainer, *BATCHES[0])
    assert trainer.learning_rate == alone(7)


def test_a_run_is_known_by_the_settings_that_it_began_with(tmp_path):
    """A rate that is changed by hand within a run, as the book does."""
    path, notes = tmp_path / "c", {"epoch": 1}
    net, trainer = saved(path, learning_rate=0.1)
    begun = hyperparameters(net, trainer)
    trainer.set_learning_rate(0.01)
    d2l.save_checkpoint(path, net, trainer, notes, begun=begun)
    assert d2l.load_checkpoint(path, net, trainer) == notes  # this trainer
    net, trainer = begin(learning_rate=0.1)  # or a new one
    read = read_checkpoint(path, net, trainer)
    assert trainer.learning_rate == 0.1
    assert (read[0], read[1]()) == (notes, begun)
    assert trainer.learning_rate == 0.01
    net, trainer = begin(learning_rate=0.5)
    _, restore = read_checkpoint(path, net, trainer, settings="trainer")
    begun = restore()
    assert begun["learning_rate"] == trainer.learning_rate == 0.5


# --- damage -----------------------------------------------------------------

def contents(path):
    """What its JSON holds and all arrays, read to the end."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return {**json.loads(arrays.pop("json").tobytes()), "arrays": arrays}


def rewrite(path, everything):
    arrays = everything.pop("arrays")
    path.write_bytes(archive(json=as_bytes(everything), **arrays))


STATE, LAST = "state/0.weight/1", "10.weight"
DAMAGES = {  # a place in a checkpoint, and what is put there; ... is nothing
    "a state of another shape": ("arrays", STATE, np.zeros((4, 4), "f")),
    "a state of another type": ("arrays", STATE, np.zeros((4, 4, 3, 3))),
    "a state less": ("arrays", STATE, ...),
    "states less": ("trainer", "states", LAST, [True]),
    "a state of no parameter": ("trainer", "states", "x", [True]),
    "states of no kind": ("trainer", "states", None),
    "a count of words": ("trainer", "counts", LAST, "three"),
    "a count below 0": ("trainer", "counts", LAST, -1),
    "a count of no parameter": ("trainer", "counts", "x", 1),
    "a fraction of updates": ("trainer", "moving", "num_update", 1.5),
    "no number of updates": ("trainer", "moving", {}),
    "a rate of words": ("trainer", "settings", "learning_rate", "low"),
    "a setting more": ("trainer", "settings", "x", 1),
    "settings of no kind": ("trainer", "settings", None),
    "places of no kind": ("trainer", "places", 3),
    "a place less": ("trainer", "places", [LAST]),
    "no trainer": ("trainer", None),
    "random numbers of another kind": ("random", "numpy", [1, 2]),
    "a random state too long": ("random", "numpy",
                                ["MT19937", 9999, 0, 0.0]),
    "another version of random": ("random", "python", [7, None]),
    "half of NumPy's state": ("arrays", "random/numpy",
                              np.zeros(99, np.uint32)),
    "half of Python's state": ("arrays", "random/python", np.zeros(99, int)),
    "a parameter less": ("arrays", f"parameter/{LAST}", ...),
    "a parameter of another type": ("arrays", f"parameter/{LAST}",
                                    np.zeros((10, 10), "d")),
    "no notes": ("notes", ...)}


@pytest.mark.parametrize("settings", [None, "file", "trainer"])
@pytest.mark.parametrize("kind", DAMAGES)
def test_what_does_not_fit_changes_nothing(tmp_path, kind, settings):
    path = tmp_path / "c"
    net, trainer = saved(path, "adam")
    *keys, last, value = DAMAGES[kind]
    everything = contents(path)
    owner = functools.reduce(dict.get, keys, everything)
    if value is ...:
        del owner[last]
    else:
        owner[last] = value
    rewrite(path, everything)
    step(net, trainer, *BATCHES[1])
    if settings == "trainer" and kind in ("a rate of words",
                                          "a setting more"):
        assert d2l.load_checkpoint(path, net, trainer, settings) == {}
    else:
        assert_refused(path, net, trainer, settings=settings)


# --- files of format 1 ------------------------------------------------------

def save_format_1(path, net, trainer):
    """As the version before wrote: by the trainer's index, numbers only."""
    def numbers(thing):
        return {name: value for name, value in vars(thing).items()
                if isinstance(value, (int, float))} if thing else {}

    d2l.save_checkpoint(path, net, trainer, {})
    everything, optimizer = contents(path), trainer.optimizer
    new, arrays = everything["trainer"], everything["arrays"]
    index = checkpoint._places(net, trainer)
    for name in [name for name in arrays if name.startswith("state/")]:
        _, place, part = name.split("/")
        arrays[f"state/{index[place]}/{part}"] = arrays.pop(name)
    rewrite(path, {**everything, "format": "d2lzh_ext checkpoint 1",
                   "trainer": {
        "optimizer": new["optimizer"], "scalars": numbers(optimizer),
        "scheduler": numbers(optimizer.lr_scheduler),
        "form": {index[place]: [len(parts) > 1, parts]
                 for place, parts in new["states"].items()},
        "counts": {index[place]: n for place, n in new["counts"].items()}}})


def unlike_layers():
    """No two updated parameters of one shape, but those of BatchNorm."""
    yield from (nn.Conv2D(6, 3), nn.BatchNorm(), nn.Conv2D(7, 3),
                nn.Dense(20), nn.Dropout(0.5), nn.Dense(10))


@pytest.mark.parametrize("made", [0, 1, 9])
@pytest.mark.parametrize("layers, optimizer, arguments, certain", [
    (unlike_layers, "adam", {}, True),
    (unlike_layers, "sgd", {"momentum": 0.9}, True),
    (unlike_layers, "nadam", {}, True),
    (equal_layers, "sgd", {}, True),  # no states, equal counts
    (equal_layers, "sgd", {"momentum": 0.9}, False),
    (equal_layers, "adam", {}, False)])
def test_files_of_format_1_are_read_where_their_order_is_certain(
        tmp_path, layers, optimizer, arguments, certain, made):
    def after(made, batches):
        net, trainer = begin(optimizer, made, layers=layers, **{
            "learning_rate": 0.01, **arguments, "lr_scheduler": scheduler(
                "Factor", 2, 0.5, base_lr=0.01)})
        for X, y in batches:
            step(net, trainer, X, y)
        return net, trainer

    path = tmp_path / "c"
    net, trainer = after(9, BATCHES)
    save_format_1(path, net, trainer)
    step(net, trainer, *BATCHES[0])
    cut, other = after(made, [])
    if not certain:
        return assert_refused(
            path, cut, other,
            r"whether \w+ or \w+ came first .* cannot be told")
    assert d2l.load_checkpoint(path, cut, other) == {}
    step(cut, other, *BATCHES[0])
    assert_equal(values(net), values(cut))


@pytest.mark.parametrize("arguments, message", [
    ({"learning_rate": 0.2}, "learning_rate is 0.2 here and 0.1 in the"),
    ({"momentum": 0.5}, "momentum is 0.5 here and 0.9 in the file"),
    ({"clip_gradient": 1.0}, "clip_gradient is 1.0 here and None in"),
    ({"lr_scheduler": scheduler("Cosine", 9, base_lr=0.1)},
     "lr_scheduler is CosineScheduler here and None in the file")])
def test_other_settings_than_those_of_format_1(tmp_path, arguments, message):
    begun = {"learning_rate": 0.1, "momentum": 0.9, "layers": unlike_layers}
    path = tmp_path / "c"
    save_format_1(path, *saved(path, **begun))
    net, trainer = begin(**{**begun, **arguments})
    assert_refused(path, net, trainer, message)
    d2l.load_checkpoint(path, net, trainer, settings="trainer")
    assert trainer.optimizer.num_update == 1


def test_format_1_of_another_trainer_or_network(tmp_path):
    path = tmp_path / "c"
    net, trainer = saved(path, "adam", layers=unlike_layers)
    save_format_1(path, net, trainer)
    trainer = gluon.Trainer(net[-1:].collect_params(), "adam")
    assert_refused(path, net, trainer,
                   "updated 10 parameters; this one has 2")
    assert_refused(path, *begin("adam"), "of another network")


# --- killed runs ------------------------------------------------------------

def run_until_killed():
    """In a process of its own: four epochs, or until a chosen call."""
    folders = {"step": gluon.Trainer, "write_array": np.lib.format,
               "replace": os}
    name, _, count = os.environ["KILL"].partition(" ")
    if name:
        original, calls = getattr(folders[name], name), itertools.count(1)

        def killed(*args, **kwargs):
            if next(calls) == int(count):
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **kwargs)

        setattr(folders[name], name, killed)
    train_ch5(4, os.environ["RUN"], *begin("adam"))


@pytest.mark.slow
def test_kills_change_nothing_and_leave_nothing_half_written(tmp_path):
    """Within an epoch, half-way through a file, and before it is there."""
    def start(path, kill=""):
        return run("import test_checkpoint as t; t.run_until_killed()",
                   PYTHONPATH=os.pathsep.join(sys.path), RUN=str(path),
                   KILL=kill, OMP_NUM_THREADS="1")

    whole, cut = tmp_path / "whole", tmp_path / "killed" / "cut"
    assert start(whole).returncode == 0
    expected = contents(whole)
    written = len(expected["arrays"]) + 1  # arrays of a file
    for kill, epochs, leftovers in (
            ("step 5", 1, 0),  # of three an epoch
            (f"write_array {written + written // 2}", 2, 1),
            ("replace 2", 3, 1)):
        assert start(cut, kill).returncode == -signal.SIGKILL
        assert len(contents(cut)["notes"]["loss"]) == epochs
        assert len(os.listdir(cut.parent)) == 1 + leftovers
    done = start(cut)
    assert done.returncode == 0, done.stderr
    assert "epochs 1 to 3 are in cut" in done.stdout
    found = contents(cut)
    assert_equal(expected["arrays"], found["arrays"])
    assert found["trainer"] == expected["trainer"]
    assert found["notes"]["loss"] == expected["notes"]["loss"]
    assert found["notes"]["resumed"] == [1, 2, 3]
    assert os.listdir(cut.parent) == ["cut"]
