"""Parts of a batch, on devices or in processes, train as the whole does."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
from interpreter import ROOT
from mxnet import gluon, init

import d2lzh_ext as d2l
from d2lzh_ext.models import smooth_net, train_step


def trained(devices: list[mx.Context], batch_size: int, steps: int = 4
            ) -> tuple[list[float], list[list[np.ndarray]]]:
    """Losses of the steps, and each device's copies of the parameters."""
    train_iter, _ = d2l.load_data_fashion_mnist(
        batch_size, num_train=batch_size * steps, num_test=10)
    d2l.seed(0)
    net = smooth_net()
    net.initialize(init.Xavier(), ctx=devices)
    trainer = gluon.Trainer(net.collect_params(), "sgd",
                            {"learning_rate": 0.1, "momentum": 0.9})
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    losses = [train_step(net, loss, trainer, X, y, devices)
              for X, y in train_iter]
    return losses, [[p.data(device).asnumpy()
                     for p in net.collect_params().values()]
                    for device in devices]


@pytest.mark.parametrize("number", [2, 3, 4])
def test_several_devices_train_as_one(number):
    losses, (alone,) = trained([mx.cpu(0)], 48)
    shared, copies = trained([mx.cpu(i) for i in range(number)], 48)
    assert np.allclose(losses, shared, atol=1e-5)
    assert losses[0] != losses[-1]
    for one, *others in zip(*copies):
        assert all((one == other).all() for other in others)
    assert all(np.allclose(one, other, atol=1e-5)
               for one, other in zip(alone, copies[0]))


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(ValueError, match="evenly split"):
        trained([mx.cpu(0), mx.cpu(1), mx.cpu(2)], 10, steps=1)


def test_accuracy_on_several_devices_is_that_on_one():
    _, test_iter = d2l.load_data_fashion_mnist(60, num_test=240)
    devices = [mx.cpu(i) for i in range(3)]
    d2l.seed(0)
    net = smooth_net()
    net.initialize(init.Xavier(), ctx=devices)
    assert (d2l.evaluate_accuracy(test_iter, net, devices)
            == d2l.evaluate_accuracy(test_iter, net, devices[0]))


def group_losses(folder: Path, workers: int, *words: str) -> np.ndarray:
    """Of each step, the mean over the workers of chapter 17's script."""
    chapter = json.loads((ROOT / "chapters" / "17-scale-out.ipynb")
                         .read_text(encoding="utf-8"))
    for cell in chapter["cells"]:
        first, _, script = "".join(cell["source"]).partition("\n")
        if first in ("%%writefile train.py", "%%writefile report.py"):
            (folder / first.split()[1]).write_text(script, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "d2lzh_ext.launch", "-n", str(workers),
         *words, str(folder / "train.py"), "256", "30"], text=True,
        capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=600)
    assert done.returncode == 0, done.stderr
    printed = [json.loads(line.partition(": ")[2])["losses"]
               for line in done.stdout.splitlines()]
    assert len(printed) == workers
    return np.mean(printed, axis=0)


@pytest.mark.slow
def test_two_workers_train_as_one_with_the_double_batch(tmp_path):
    alone = group_losses(tmp_path, 1)
    assert alone[-1] < 0.7 * alone[0]
    for words in (["-s", "1"], ["-s", "2"]):
        assert abs(group_losses(tmp_path, 2, *words) - alone).max() < 1e-4
