"""A program that trains may end at any moment."""
from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

# Where MXNet gives NumPy's memory back (see d2lzh_ext.data.numpy_view), a
# third of them abort: so many end well by chance once in 200 times.
SCRIPTS = 12

# Ends while the engine has yet to work on its batches, and to free them.
SCRIPT = """
import sys
import d2lzh_ext as d2l
from mxnet import autograd
from mxnet.gluon import nn
net = nn.HybridSequential()
net.add(nn.Conv2D(64, 3), nn.Conv2D(64, 3), nn.GlobalAvgPool2D(),
        nn.Dense(10))
net.initialize()
net.hybridize(static_alloc=True, static_shape=True)
images, labels = d2l.fashion_mnist(train=False)
losses = []
def train():
    for X, y in d2l.ArrayLoader(images[:96], labels[:96], 32, resize=48):
        with autograd.record():
            losses.append(net(X).sum())
        losses[-1].backward()
train()
if len(sys.argv) > 1:
    raise RuntimeError(sys.argv[1])
"""


def end(number: int) -> tuple[int, list[str]]:
    """Run the script; its status, and its last line on standard error."""
    message = ["of the reader"] if number % 2 else []
    done = subprocess.run([sys.executable, "-c", SCRIPT, *message],
                          text=True, capture_output=True)
    assert done.stdout == ""
    assert "terminate called" not in done.stderr, done.stderr
    return done.returncode, done.stderr.splitlines()[-1:]


@pytest.mark.slow
def test_no_program_aborts_at_its_end() -> None:
    with ThreadPoolExecutor(2) as two:  # as many as the smallest machine
        ends = list(two.map(end, range(SCRIPTS)))
    assert ends == [(0, []), (1, ["RuntimeError: of the reader"])] * (
        SCRIPTS // 2)
