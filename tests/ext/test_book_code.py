"""The code of the book's sections runs, with the book's own imports."""
from __future__ import annotations

import functools
import random
import runpy
import shutil
from pathlib import Path

import d2lzh
import first_edition
import mxnet as mx
import numpy as np
import pytest

import d2lzh_ext as d2l

SCRIPTS = sorted((Path(__file__).parent / "book").glob("*.py"))
# Images, where those of the section would take minutes.
FEW = {"s05_cnn": 32, "s08_performance": 16}


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore")
def test_a_section_of_the_book_runs(script, monkeypatch):
    if script.stem == "s08_performance" and not shutil.which("ps"):
        pytest.skip("the section calls the program ps, which is not here")
    number = FEW.get(script.stem, 2000)
    monkeypatch.setattr(d2lzh, "load_data_fashion_mnist", functools.partial(
        d2l.load_data_fashion_mnist, num_train=number, num_test=number))
    # In a notebook it draws; outside there is no one to tell the format.
    monkeypatch.setattr("IPython.display.set_matplotlib_formats",
                        lambda *formats: None)
    random.seed(0)
    np.random.seed(0)
    mx.random.seed(0)
    with first_edition.data_folder():
        runpy.run_path(str(script))
    d2l.plt.close("all")
