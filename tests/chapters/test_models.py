"""The generated modules are what the chapters say, and nothing else."""
from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
from interpreter import ROOT
from mxnet import autograd, init

import d2lzh_ext as d2l
from d2lzh_ext import models
from d2lzh_ext.engine.compiled import compiled


def generated(root: Path) -> dict[str, str]:
    package = root / "d2lzh_ext"
    return {path.name: path.read_text(encoding="utf-8") for path in
            [package / "models.py", *package.glob("chapters/ch*.py")]}


def test_models_are_exported_from_the_chapters(tmp_path):
    pytest.importorskip("nbdev", reason="nbdev needs Python 3.10 or later")
    shutil.copytree(ROOT / "chapters", tmp_path / "chapters")
    subprocess.run([sys.executable, ROOT / "tools" / "export.py", tmp_path],
                   check=True)
    assert generated(tmp_path) == generated(ROOT), "run `make export`"


# Parameters and multiply-accumulates at the book's scale ...
BOOK = [
    ("lenet", 28, 44_426, 281_640),
    ("lenet_bn", 28, 44_878, 281_640),
    ("alexnet", 224, 46_764_746, 938_146_176),
    ("vgg", 224, 43_093_322, 512_155_648),
    ("nin", 224, 1_992_166, 762_297_352),
    ("googlenet", 96, 5_977_530, 276_066_304),
    ("resnet18", 96, 11_178_378, 318_657_536),
    ("densenet", 96, 758_226, 129_077_168),
    ("zfnet_small", 64, 2_515_946, 50_154_688),
]
# ... and as published, the latter in 10^9 with two or three places; for
# ZFNet and NiN only the parameters are.
PAPER = [
    ("alexnet_paper", 227, 62_378_344, "1.135"),
    ("zfnet", 224, 62_357_608, None),
    ("vgg16", 224, 138_357_544, "15.47"),
    ("nin_paper", 224, 7_595_176, None),
    ("googlenet_paper", 224, 6_998_552, "1.58"),
    ("resnet50", 224, 25_557_032, "4.09"),
    ("densenet121", 224, 7_978_856, "2.83"),
]


@pytest.mark.parametrize("name, side, parameters, macs", BOOK)
def test_size_and_work_at_the_scale_of_the_book(name, side, parameters, macs):
    table = d2l.summary(getattr(models, name)(), (1, 1, side, side))
    assert (table.parameters, table.macs) == (parameters, macs)
    assert table.layers[-1].output_shape == (1, 10)


@pytest.mark.parametrize("name, side, parameters, macs", PAPER)
def test_size_and_work_at_the_scale_of_the_paper(
        name, side, parameters, macs):
    table = d2l.summary(getattr(models, name)(), (1, 3, side, side))
    assert table.parameters == parameters
    assert table.layers[-1].output_shape == (1, 1000)
    if macs is not None:
        places = len(macs.split(".")[1])
        assert f"{table.macs / 1e9:.{places}f}" == macs


@pytest.mark.parametrize("name", [name for name, *_ in BOOK])
def test_trains_compiled_and_counts_as_its_summary(name):
    """One step through the compiled graph, at the size of the summary."""
    side = 28 if name.startswith("lenet") else 96
    net = getattr(models, name)()
    net.initialize(init.Xavier())
    X = mx.nd.random.uniform(shape=(2, 1, side, side))
    forward = compiled(net)
    forward(X)  # the first one may be the network's own
    with autograd.record():
        y_hat = forward(X)
    assert forward.graph is not None
    y_hat.backward()
    assert y_hat.shape == (2, 10)
    learnt = [p for p in net.collect_params().values()
              if p.grad_req != "null"]
    assert all(np.isfinite(p.grad().asnumpy()).all() for p in learnt)
    assert sum(p.data().size for p in learnt) == d2l.summary(
        getattr(models, name)(), X.shape).parameters
