"""The generated modules are what the chapters say, and nothing else."""
from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import mxnet as mx
import pytest
from mxnet import init

from d2lzh_ext import models

ROOT = Path(__file__).parent.parent


def generated(root: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8")
            for path in (root / "d2lzh_ext" / "models").glob("*.py")}


def test_models_are_exported_from_the_chapters(tmp_path):
    pytest.importorskip("nbdev", reason="nbdev needs Python 3.10 or later")
    shutil.copytree(ROOT / "chapters", tmp_path / "chapters")
    subprocess.run([sys.executable, ROOT / "tools" / "export.py", tmp_path],
                   check=True)
    assert generated(tmp_path) == generated(ROOT), "run `make export`"


@pytest.mark.parametrize("name, parameters", [("lenet", 44_426)])
def test_forward_pass_and_parameters(name, parameters):
    net = getattr(models, name)()
    net.initialize(init.Xavier())
    assert net(mx.nd.ones((2, 1, 28, 28))).shape == (2, 10)
    assert sum(p.data().size for p in net.collect_params().values()
               if p.grad_req != "null") == parameters
