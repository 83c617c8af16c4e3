"""Run a chapter's first cell as Colab would: nox --session colab.

Usage: python tests/house/colab.py CLONE
The clone stands for the repository's address; nothing else differs.
"""
from __future__ import annotations

import sys
import time
from pathlib import Path

import nbformat
import numpy as np
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

clone = Path(sys.argv[1])
chapter = nbformat.read(clone / "chapters" / "05-lenet.ipynb", 4)
(cell,) = (cell for cell in chapter.cells if cell.id == "navigation-colab")
source = cell.source.splitlines()
assert source[-1].split("+")[0].strip() == "git"
source[-1] = f"        {clone}"
# What Colab's kernel has, and a reader who has imported NumPy before.
before = """
import sys, types
import numpy as np
sys.modules["google"] = google = types.ModuleType("google")
sys.modules["google.colab"] = types.ModuleType("google.colab")
"""
after = """
import d2lzh_ext as d2l
from mxnet import gluon, init
from d2lzh_ext import models
train_iter, test_iter = d2l.load_data_fashion_mnist(64, num_train=256,
                                                    num_test=128)
net = models.lenet()
net.initialize(init.Xavier())
trainer = gluon.Trainer(net.collect_params(), "adam")
d2l.train_ch5(net, train_iter, test_iter, 64, trainer, d2l.try_gpu(), 1);
print(np.__version__)
"""
notebook = new_notebook(cells=[*map(
    new_code_cell, (before, "\n".join(source), after))])
start = time.monotonic()
NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
seconds = time.monotonic() - start
# The progress bar's last word may come after what has been printed since.
texts = ["".join(output.text for output in cell.outputs
                 if output.get("name") == "stdout")
         for cell in notebook.cells]
print(*texts)
assert texts[2].splitlines()[-1] == np.__version__, "NumPy was replaced"
assert "epoch 1, loss" in texts[2]
print(f"the chapter's first cell and a first epoch took {seconds:.0f} s")
