"""A run that is cut and taken up ends as it would have ended."""
from __future__ import annotations

import functools
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
from mxnet import gluon, init, lr_scheduler
from mxnet.gluon import nn

import d2lzh_ext as d2l
from d2lzh_ext import checkpoint

ROOT = Path(__file__).parent.parent


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


def scheduled(which):
    rate = {"cosine": lr_scheduler.CosineScheduler(40, base_lr=0.01),
            "factor": lr_scheduler.FactorScheduler(7, 0.8, base_lr=0.01)}
    return {"learning_rate": 0.01, "lr_scheduler": rate[which]}


@pytest.mark.parametrize("optimizer, arguments", [
    ("sgd", dict), ("adam", dict), ("rmsprop", dict), ("nadam", dict),
    ("sgd", lambda: {"learning_rate": 0.05, "momentum": 0.9, "wd": 1e-3}),
    ("nag", lambda: {"learning_rate": 0.05, "momentum": 0.9}),
    ("adam", lambda: scheduled("cosine")),
    ("adam", lambda: scheduled("factor"))])
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


def test_several_devices_are_refused(tmp_path):
    net = small_net()
    net.initialize(ctx=[mx.cpu(0), mx.cpu(1)])
    trainer = gluon.Trainer(net.collect_params(), "sgd")
    with pytest.raises(d2l.CheckpointError, match="one device"):
        d2l.save_checkpoint(tmp_path / "c", net, trainer, {})


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
