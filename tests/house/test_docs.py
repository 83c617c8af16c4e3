"""The pages of docs/ are what the code says today."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from interpreter import ROOT

pytest.importorskip("griffe2md")  # there from Python 3.10 on


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    subprocess.run([sys.executable, "tools/docs.py", folder], cwd=ROOT,
                   check=True)
    return folder


@pytest.mark.parametrize("name", ["api.md", "first-edition.md"])
def test_pages_are_up_to_date(written, name):
    """`make docs` writes them anew."""
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert (written / name).read_text(encoding="utf-8") == text


def test_the_page_has_what_readers_look_for():
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    for name in ("train_ch5", "load_data_fashion_mnist", "try_gpu",
                 "summary", "settings", "results", "lenet", "flip"):
        assert f"### `{name}`" in text, name
    assert "NonFiniteLossError" in text
    assert "](#" not in text and "<code>" not in text
