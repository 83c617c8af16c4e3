"""Run a chapter's `book` setting, for hours if need be, and record it.

After every epoch the run is saved to output/book. A run that was cut, at
whatever moment, goes on from there when the same command is given again, and
ends as it would have ended. The result goes to data/results/book-runs.json
and into the README's table.

Usage: python benchmarks/book.py [--fast] CHAPTER
CHAPTER: the number or name of a chapter, or the name of a network. --fast
checks on 256 images that all of it runs, and records nothing.
"""
from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import keypoints
import mnist
import networks
import records
from d2lzh_ext.models.compare import PUBLISHED
from networks import MODULES

import d2lzh_ext as d2l
from d2lzh_ext import models

NAME = "book-runs"  # of the record
SEED = 0
FAST = {"resize": 28, "num_train": 256, "num_test": 100, "num_epochs": 2}


def find(name: str) -> list[str]:
    """The networks that a word of the command line means."""
    def fits(network: str) -> bool:
        chapter = networks.chapter(network)
        number, _, title = chapter.partition("-")
        return name in (network, chapter, title) or (
            name.isdecimal() and int(name) == int(number))

    return [network for network in MODULES if fits(network)]


def run(network: str, setting: dict[str, Any], folder: Path
        ) -> dict[str, Any]:
    """Train, or go on training; the entry for the record."""
    path = networks.checkpoint(network, setting, SEED, folder)
    history = networks.train(network, setting, SEED, path)
    side = setting["resize"] or 28
    return {
        "setting": networks.readable(setting), "seed": SEED,
        "parameters": d2l.summary(getattr(models, network)(),
                                  (1, 1, side, side)).parameters,
        "loss": history.loss, "train_acc": history.train_acc,
        "test_acc": history.test_acc,
        "seconds": [round(seconds, 1) for seconds in history.seconds],
        "resumed": history.resumed,
        "threads": networks.threads(),
        "provenance": records.provenance(f"make book CHAPTER={network}")}


def table(record: dict[str, Any]) -> str:
    """The README's table, from a record."""
    lines = ["| network | image size | epochs | training accuracy | "
             "test accuracy | published, 5 epochs | "
             "published, 10 epochs [min–max] |",
             "|---|---|---|---|---|---|---|"]
    for network, entry in record["runs"].items():
        published = "– | –"
        if network in PUBLISHED:
            slide, median, least, most = PUBLISHED[network]
            published = (f"{slide:.3f} | {median:.3f} "
                         f"[{least:.3f}–{most:.3f}]")
        lines.append(
            f"| `{network}` | {entry['setting']['resize'] or 28} | "
            f"{entry['setting']['num_epochs']} | "
            f"{entry['train_acc'][-1]:.3f} | {entry['test_acc'][-1]:.3f} | "
            f"{published} |")
    return "\n".join([
        *lines, "", "One run each, seed 0, all 60,000 images. Chapter 16 says "
        "where the published figures come from."])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("chapter")
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--folder", type=Path, default=networks.FOLDER,
                        help="where checkpoints go")
    options = parser.parse_args()
    fast = ["--fast"] if options.fast else []
    try:
        # Two chapters have data and records of their own.
        if options.chapter in ("14", "14-mnist", "mnist"):
            return mnist.main(fast)
        if options.chapter in ("15", "15-keypoints", "keypoints"):
            return keypoints.main(fast)
        return run_all(options)
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on after the last finished "
              "epoch.", file=sys.stderr)
        return 130


def run_all(options: argparse.Namespace) -> int:
    """The networks of a chapter, one after another."""
    chosen = find(options.chapter)
    if not chosen:
        print(f"No chapter {options.chapter!r} has a book setting. Those "
              "that have one:",
              *(f"    {networks.chapter(network)}: {network}"
                for network in MODULES), "    14-mnist", "    15-keypoints",
              sep="\n", file=sys.stderr)
        return 2
    for network in chosen:
        record = records.load(NAME) or {"runs": {}}
        setting = networks.setting(network, "book")
        if options.fast:
            setting.update(FAST)
        path = networks.checkpoint(network, setting, SEED, options.folder)
        known = record["runs"].get(network)
        if known and known["setting"] == networks.readable(setting):
            print(f"{network} is recorded in {records.RESULTS / NAME}.json; "
                  "to run it anew, take it out there and delete "
                  f"{path}.")
            continue
        print(f"{network}: saved after every epoch to {path}", flush=True)
        entry = run(network, setting, options.folder)
        if options.fast:
            print(table({"runs": {network: entry}}))
            continue
        record = records.load(NAME) or {"runs": {}}
        record["runs"][network] = entry
        record["runs"] = {name: record["runs"][name] for name in MODULES
                          if name in record["runs"]}
        records.save(NAME, record)
        records.show_on_page("book", table(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
