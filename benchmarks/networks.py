"""The networks that are trained on Fashion-MNIST, and one run of one."""
from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import d2lzh_ext as d2l  # first: it makes `import mxnet` work

# isort: split
import records
from mxnet import gluon

from d2lzh_compat.openmp import num_cores
from d2lzh_ext import models

# The function of d2lzh_ext.models, and the module with its SETTINGS.
MODULES = {"lenet": "lenet", "alexnet": "alexnet", "vgg": "vgg",
           "nin": "nin", "googlenet": "googlenet", "lenet_bn": "lenet_bn",
           "resnet18": "resnet", "densenet": "densenet",
           "zfnet_small": "zfnet"}
FOLDER = records.ROOT / "output" / "book"  # where checkpoints go


def _module(network: str) -> Any:
    return importlib.import_module(f"d2lzh_ext.models.{MODULES[network]}")


def chapter(network: str) -> str:
    """The chapter that holds the network, such as 06-alexnet."""
    (name,) = set(re.findall(r"chapters/([\w-]+)\.ipynb",
                             inspect.getsource(_module(network))))
    return name


def setting(network: str, profile: str) -> dict[str, Any]:
    """The numbers of a network's chapter: `book` or `quick`."""
    return dict(_module(network).SETTINGS[profile])


def readable(setting: dict[str, Any]) -> dict[str, Any]:
    """The setting as JSON can hold it; an initialiser as its own JSON."""
    return {key: json.loads(value.dumps()) if hasattr(value, "dumps")
            else value for key, value in setting.items()}


def threads() -> int:
    """OpenMP's threads in this process: the environment's, or all cores."""
    return int(os.environ.get("OMP_NUM_THREADS") or num_cores())


def in_its_own_process(script: str, *words: str, **environment: str) -> Any:
    """Run a script of this folder; what the last line it prints holds."""
    done = subprocess.run(
        [sys.executable, script, *words], env={**os.environ, **environment},
        stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def checkpoint(name: str, setting: dict[str, Any], seed: int,
               folder: Path = FOLDER) -> Path:
    """Where a run is saved; another setting has another file."""
    text = json.dumps([readable(setting), seed])
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return folder / f"{name}-{digest}.npz"


def train(network: str, setting: dict[str, Any], seed: int,
          checkpoint: str | os.PathLike[str] | None = None) -> d2l.History:
    """One run: what the chapter's cells do."""
    train_iter, test_iter = d2l.load_data_fashion_mnist(
        setting["batch_size"], resize=setting["resize"],
        num_train=setting["num_train"], num_test=setting["num_test"])
    d2l.seed(seed)
    ctx = d2l.try_gpu()
    net = getattr(models, network)()
    net.initialize(setting["initializer"], ctx=ctx)
    # All initial values are drawn before the first mask of Dropout.
    net(next(iter(test_iter))[0][:1].as_in_context(ctx))
    trainer = gluon.Trainer(net.collect_params(), setting["optimizer"],
                            {"learning_rate": setting["learning_rate"]})
    return d2l.train_ch5(
        net, train_iter, test_iter, setting["batch_size"], trainer, ctx,
        setting["num_epochs"], checkpoint)
