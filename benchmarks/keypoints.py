"""Run chapter 15's `book` setting, for hours if need be, and record it.

Saved after every epoch to output/book; the same command goes on after a cut.
Writes data/results/keypoints.json.

Usage: python benchmarks/keypoints.py [--fast]
--fast checks on a few faces that all of it runs, and records nothing.
"""
from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import d2lzh_ext as d2l  # first: it makes `import mxnet` work

# isort: split
import networks
import records

from d2lzh_ext import keypoints
from d2lzh_ext.models import keypoints as chapter

NAME = "keypoints"  # of the record
SEED = 0
FAST = {"num_train": 64, "num_test": 32, "num_epochs": 2}


def train(setting: dict[str, Any], checkpoint: Path) -> dict[str, Any]:
    """What the chapter's cells do; the entry for the record."""
    numbers = SimpleNamespace(profile="book", **setting)
    X_train, y_train, X_test, y_test = chapter.keypoint_data(numbers)
    train_iter = keypoints.Loader(X_train, y_train, numbers.batch_size,
                                  shuffle=True, mirror=True)
    test_iter = keypoints.Loader(X_test, y_test, batch_size=100)
    d2l.seed(SEED)
    ctx = d2l.try_gpu()
    net = chapter.keypoint_net()
    net.initialize(numbers.initializer, ctx=ctx)
    trainer = chapter.keypoint_trainer(net, numbers, len(train_iter))
    history = chapter.train_keypoints(net, train_iter, test_iter, trainer,
                                      ctx, numbers.num_epochs, checkpoint)
    return {
        "setting": networks.readable(setting), "seed": SEED,
        "faces": [len(X_train), len(X_test)],
        "train_loss": history.train_loss, "test_loss": history.test_loss,
        "test_rmse_pixels": history.test_rmse[-1],
        "baseline_rmse_pixels": float(
            keypoints.rmse(y_train.mean(axis=0), y_test)),
        "threads": networks.threads()}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fast", action="store_true")
    options = parser.parse_args(arguments)
    setting = dict(chapter.SETTINGS["book"])
    if options.fast:
        setting.update(FAST)
        with tempfile.TemporaryDirectory() as folder:
            entry = train(setting, Path(folder) / "run.npz")
    else:
        path = networks.checkpoint(NAME, setting, SEED)
        print(f"saved after every epoch to {path}", flush=True)
        entry = train(setting, path)
        records.save(NAME, {
            "provenance": records.provenance("make book CHAPTER=15"),
            **entry})
    print(f"held-out faces: {entry['test_rmse_pixels']:.2f} pixels; mean "
          f"positions: {entry['baseline_rmse_pixels']:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
