"""Train networks as chapters say, and record what came of it.

    python benchmarks/experiments.py run [--fast] [EXPERIMENT ...]
    python benchmarks/experiments.py seeds [--fast] [NETWORK ...]
    python benchmarks/experiments.py book [--fast] CHAPTER

run: the experiments that `experiments` defines, all or those named. Each asks
of two or more networks, all else equal, which learns better, from several
seeds. Where it has a list of learning rates, every network first gets the one
that is best on held-out training images.

seeds: every network's `quick` setting from five seeds. The chapters quote the
test accuracies.

book: a chapter's `book` setting, for hours if need be. CHAPTER is its number
or name, or that of a network. Every epoch is saved to output/book. A run that
was cut, at whatever moment, goes on from there when the same command is given
again, and ends as it would have ended. What is recorded with the same setting
is not run again. Chapter 14 trains on MNIST: `classic` from one seed;
`published`, `improved`, and each of its two changes alone (`shifts`,
`falling`) from three. No epoch is chosen: its test images are looked at once,
after the last.

`run` and `seeds` use one thread, so that the number of cores has no say.
`run` records each run as it ends, and does not repeat one that is recorded.
Records go to data/results, tables to docs/benchmarks.md. Nothing is timed, so
other programs may run meanwhile. --fast checks on few images that all of it
runs, and records nothing.
"""
from __future__ import annotations

import argparse
import functools
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import networks
import records
import tables
from networks import MODULES

Record = dict[str, Any]
SEEDS = [0, 1, 2, 3, 4]
BOOK_SEED = 0
DIGIT_SEEDS = {"classic": [0], "published": [0, 1, 2], "shifts": [0, 1, 2],
               "falling": [0, 1, 2], "improved": [0, 1, 2]}
SQUARES = {"black": 0, "grey": 0.3, "mean": None}  # chapter 13's, that hide
FAST = {"num_train": 256, "num_test": 100, "num_epochs": 2}
FAST_DIGITS = {"data": "fashion_mnist", "num_train": 256, "num_valid": 200,
               "num_check": 100, "num_epochs": 2}


def save(name: str, record: Record, fast: bool) -> None:
    """Store a record, and show it on its pages; or only print its table."""
    if fast:
        print(tables.ON_PAGE[name](record))
    else:
        records.save(name, record)
        tables.show(name)


# --- experiments ------------------------------------------------------------

class Experiment(NamedTuple):
    """Networks that differ in one thing, and how each is trained."""

    # By name: what builds the network, and what differs in its setting.
    variants: dict[str, tuple[Callable[[], Any], Record]]
    setting: Record
    rates: tuple[float, ...] = ()  # tried on `num_valid` held-out images
    num_seeds: int = 5
    # What else to note of a trained network: (net, test_iter, ctx) to JSON.
    measure: Callable[[Any, Any, Any], Any] | None = None


def moved_accuracy(net: Any, test_iter: Any, ctx: Any) -> dict[str, float]:
    """Accuracy by how many pixels the test images are moved to the right."""
    import d2lzh_ext as d2l
    from d2lzh_ext.models import moved_right

    return {str(pixels): d2l.evaluate_accuracy(
        [(moved_right(X, pixels), y) for X, y in test_iter], net, ctx)
        for pixels in range(5)}


def live_channels(net: Any, test_iter: Any, ctx: Any) -> list[int]:
    """By convolution, how many channels are positive on any test image."""
    from mxnet import nd
    from mxnet.gluon import nn

    X = nd.concat(*[X for X, _ in test_iter], dim=0)[:1000]
    X, live = X.as_in_context(ctx), []
    for layer in net:
        X = layer(X)
        if isinstance(layer, nn.Conv2D):
            live.append(int((X.max(axis=(0, 2, 3)) > 0).sum().asscalar()))
    return live


def dense_net(units: int) -> Any:
    """One hidden layer with ReLU and no convolution, as in section 3.10."""
    from mxnet.gluon import nn

    chain = nn.HybridSequential()
    chain.add(nn.Dense(units, activation="relu"), nn.Dense(10))
    return chain


def with_batch_norm(net: Any) -> Any:
    """The same chain with a batch normalisation after each convolution."""
    from mxnet.gluon import nn

    chain = nn.HybridSequential()
    for layer in net:
        chain.add(layer)
        if isinstance(layer, nn.Conv2D):
            chain.add(nn.BatchNorm())
    return chain


def lenet_norm(norm: str) -> Any:
    """LeNet with ReLU and a normalisation: "none", "batch" or "group".

    Group normalisation has two groups of channels; there is nothing to group
    after a dense layer, where its place is layer normalisation's.
    """
    from mxnet.gluon import nn

    from d2lzh_ext import models

    if norm == "none":
        return models.lenet(activation="relu")
    chain, before = nn.HybridSequential(), None
    for layer in models.lenet_bn(activation="relu"):
        if norm == "group" and isinstance(layer, nn.BatchNorm):
            layer = (nn.LayerNorm() if isinstance(before, nn.Dense)
                     else nn.GroupNorm(num_groups=2))
        chain.add(layer)
        before = layer
    return chain


def narrow_resnet(width: int, block: str = "Residual",
                  depths: tuple[int, ...] = (2, 2, 2, 2)) -> Any:
    """ResNet-18, or another plain or residual one, of `width` channels.

    That many in the first stage, twice as many in each that follows.
    """
    from d2lzh_ext.chapters import ch11_resnet as chapter

    return chapter.resnet(
        getattr(chapter, block), depths,
        [width * factor for factor in (1, 2, 4, 8)], 10, stem=width)


def dense_head(width: int, strides: int) -> Any:
    """The small NiN with a dense layer for the score maps and their mean."""
    from mxnet.gluon import nn

    from d2lzh_ext import models

    chain = nn.HybridSequential()
    chain.add(*models.nin_small(width=width, strides=strides)[:10],
              nn.Dense(10))
    return chain


def plain_googlenet(widths: tuple[int, ...] = (169, 259, 412)) -> Any:
    """GoogLeNet with a single 3 × 3 convolution for each Inception block.

    `widths` are the channels of the three stages, with which each takes as
    many MACs as its Inception blocks do.
    """
    from mxnet.gluon import nn

    from d2lzh_ext.chapters import ch09_googlenet as chapter

    channels = iter([width for width, stage in zip(widths, chapter.STAGES)
                     for _ in stage])
    return chapter.inception_net(10, block=lambda *_: nn.Conv2D(
        next(channels), kernel_size=3, padding=1, activation="relu"))


def experiments() -> dict[str, Experiment]:
    """All of them; a function because MXNet must not be imported before."""
    from mxnet import init
    from mxnet.gluon import nn

    from d2lzh_ext import models
    from d2lzh_ext.chapters.ch06_alexnet import crop_and_mirror

    of = functools.partial
    he = {"initializer": init.Xavier("gaussian", "in", 2)}
    xavier = {"initializer": init.Xavier()}
    small = {"batch_size": 256, "resize": None, "num_train": None,
             "num_test": None, "num_epochs": 2, "optimizer": "sgd",
             "learning_rate": 0.1, **xavier}
    relu, average = {"activation": "relu"}, {"pooling": nn.AvgPool2D}
    nin = {**small, "batch_size": 128}
    faster = {"learning_rate": 0.3}
    # At 67 × 67, windows of 2 and of 3 pool to maps of the same sizes.
    alexnet = {**networks.setting("alexnet", "quick"), "resize": 67}
    few = {**alexnet, "num_train": 1024, "num_epochs": 10}
    # Two 3 × 3 convolutions a block; one 5 × 5 or 3 × 3 of as many MACs.
    five = ((1, 16), (1, 32), (1, 69, 5), (1, 128, 5), (1, 92, 5))
    wide = ((1, 16), (1, 32), (1, 192), (1, 128), (1, 256))
    return {
        "pooling-shift": Experiment({
            "max pooling 2 × 2": (of(models.pooled_net, "max"), {}),
            "average pooling 2 × 2": (of(models.pooled_net, "avg"), {}),
            "stride 2": (of(models.pooled_net, "stride"), {}),
            "max pooling 4 × 4": (of(models.pooled_net, "max", 4), {}),
            }, small, measure=moved_accuracy),
        "lenet-seeds": Experiment(
            {"LeNet": (models.lenet, {})},
            networks.setting("lenet", "book"), num_seeds=10),
        "lenet-activation": Experiment({
            "sigmoid, max pooling": (models.lenet, {}),
            "sigmoid, average pooling": (of(models.lenet, **average), {}),
            "ReLU, max pooling": (of(models.lenet, **relu), {}),
            "ReLU, average pooling": (
                of(models.lenet, **relu, **average), {}),
            }, networks.setting("lenet", "book"),
            rates=(0.03, 0.1, 0.3, 0.9)),
        "lenet-dense": Experiment({  # 56 units have LeNet's parameters
            "dense, 256 units": (of(dense_net, 256), {}),
            "dense, 56 units": (of(dense_net, 56), {}),
            }, networks.setting("lenet", "book"),
            rates=(0.03, 0.1, 0.3, 0.9)),
        "vgg-kernels": Experiment({
            "two 3 × 3": (models.vgg, {}),
            "one 5 × 5": (of(models.vgg, five), {}),
            "one 3 × 3": (of(models.vgg, wide), {}),
            }, networks.setting("vgg", "quick"), rates=(2e-4, 5e-4, 1e-3)),
        "googlenet-paths": Experiment({
            "Inception": (models.googlenet, {}),
            "3 × 3 only": (plain_googlenet, {}),
            }, {**networks.setting("googlenet", "quick"), "num_train": 4096,
                "num_epochs": 4}, rates=(5e-4, 1e-3)),
        "nin-head": Experiment({
            "2 × 2, average": (of(models.nin_small, False, 256), {}),
            "2 × 2, dense": (of(dense_head, 256, 2), {}),
            "6 × 6, average": (of(models.nin_small, False, 256, 1), {}),
            "6 × 6, dense": (of(dense_head, 256, 1), {}),
            }, {**nin, "num_train": 16384, "num_epochs": 3,
                "optimizer": "adam", **he}, rates=(3e-4, 1e-3, 3e-3)),
        "nin-fragility": Experiment({
            "rate 0.05": (models.nin_small, {"learning_rate": 0.05}),
            "rate 0.1": (models.nin_small, {}),
            "rate 0.3": (models.nin_small, faster),
            "0.1, no last ReLU": (of(models.nin_small, last_relu=False), {}),
            "0.3, no last ReLU": (
                of(models.nin_small, last_relu=False), faster),
            "0.3, He": (models.nin_small, {**faster, **he}),
            "0.3, 256 channels": (of(models.nin_small, width=256), faster),
            "0.3, batch normalisation": (
                lambda: with_batch_norm(models.nin_small()), faster),
            }, {**nin, "num_epochs": 3}, num_seeds=10, measure=live_channels),
        "alexnet-start": Experiment({
            "sigmoid, Xavier": (
                of(models.alexnet, activation="sigmoid"), xavier),
            "ReLU, Xavier": (models.alexnet, xavier),
            "ReLU, He": (models.alexnet, he),
            }, {**alexnet, "num_train": 4096}, rates=(2e-4, 5e-4)),
        "alexnet-ablation": Experiment({
            "all of it": (models.alexnet, {"augment": crop_and_mirror}),
            "no dropout": (of(models.alexnet, dropout=0),
                           {"augment": crop_and_mirror}),
            "no overlap": (of(models.alexnet, pool_size=2),
                           {"augment": crop_and_mirror}),
            "no augmentation": (models.alexnet, {}),
            }, few),
        # Two epochs of 100 batches.
        "batch-norm-rates": Experiment({
            f"{title}, rate {rate:g}": (of(lenet_norm, norm),
                                        {"learning_rate": rate})
            for title, norm in (("ReLU", "none"), ("ReLU and BN", "batch"))
            for rate in (0.01, 0.1, 1, 10)},
            {**small, "num_train": 25_600}),
        "batch-norm-size": Experiment({
            f"{title}, batches of {batch_size}": (
                of(lenet_norm, norm), {"batch_size": batch_size})
            for title, norm in (("none", "none"), ("batch norm", "batch"),
                                ("group norm", "group"))
            for batch_size in (128, 16, 2)},
            {**small, "num_train": 4096}, rates=(0.03, 0.1, 0.3)),
        "resnet-depth": Experiment({
            f"{title}, {layers} layers": (
                of(narrow_resnet, 8, block, depths), {})
            for title, block in (("plain", "Plain"),
                                 ("residual", "Residual"))
            for layers, depths in ((18, (2, 2, 2, 2)), (34, (3, 4, 6, 3)))},
            {**small, **he, "batch_size": 128, "num_train": 8192,
             "num_test": 2000, "num_epochs": 40, "optimizer": "adam"},
            rates=(1e-3, 3e-3)),
        # A ResNet of DenseNet's parameters, and one of its MACs.
        "densenet-resnet": Experiment({
            "DenseNet": (models.densenet, {}),
            "ResNet-18, 17 channels": (of(narrow_resnet, 17), {}),
            "ResNet-18, 37 channels": (of(narrow_resnet, 37), {}),
            }, networks.setting("densenet", "quick"),
            rates=(5e-4, 1e-3, 2e-3)),
        # Two others on the same budget; LeNet takes images as they are.
        "small-budget": Experiment({
            "ResNet-18, 16 channels": (of(narrow_resnet, 16), {}),
            "LeNet + BN": (models.lenet_bn, {"resize": None}),
            }, networks.setting("densenet", "quick"),
            rates=(5e-4, 1e-3, 2e-3)),
    }


def one_run(build: Callable[[], Any], setting: Record, seed: int,
            measure: Any) -> Record:
    """What is recorded of a run."""
    history, measured = networks.train(build, setting, seed, measure=measure)
    run = {"loss": [round(loss, 5) for loss in history.loss],
           "train_acc": history.train_acc, "test_acc": history.test_acc,
           "seconds": round(sum(history.seconds), 1)}
    return {**run, "measured": measured} if measure else run


def experiment(name: str, fast: bool) -> None:
    """All runs of one experiment that are not recorded yet."""
    import d2lzh_ext as d2l

    it = experiments()[name]
    num_valid = 10_000 if it.setting["num_train"] is None else 2_000
    if fast:
        it = it._replace(
            setting={**it.setting, **FAST}, num_seeds=1, rates=it.rates[:1])
        num_valid = 100
    old = {} if fast else records.load(name).get("variants", {})
    record: Record = {}
    for title, (build, changes) in it.variants.items():
        setting = {**it.setting, **changes}
        side = setting["resize"] or 28
        table = d2l.summary(build(), (1, 1, side, side))
        entry: Record = {
            "parameters": table.parameters, "macs": table.macs,
            "setting": networks.readable(setting), "tuning": [], "runs": []}
        known = old.get(title, {})
        if all(known.get(key) == entry[key]
               for key in ("parameters", "macs", "setting")):
            entry = known
        record[title] = entry
        for rate in it.rates[len(entry["tuning"]):]:
            run = one_run(build, {**setting, "learning_rate": rate,
                                  "num_valid": num_valid}, 0, None)
            entry["tuning"].append({
                "learning_rate": rate, "valid_acc": run["test_acc"][-1]})
            keep(name, title, entry, fast)
        if entry["tuning"]:
            setting["learning_rate"] = max(
                entry["tuning"], key=lambda tried: tried["valid_acc"]
                )["learning_rate"]
        entry["learning_rate"] = setting["learning_rate"]
        for seed in range(len(entry["runs"]), it.num_seeds):
            entry["runs"].append({"seed": seed, **one_run(
                build, setting, seed, it.measure)})
            keep(name, title, entry, fast)
    if fast:
        return
    # In the table's order, without variants that it no longer has.
    records.save(name, {"variants": record})


def keep(name: str, title: str, entry: Record, fast: bool) -> None:
    """Record an experiment as far as it has come."""
    runs = entry["runs"] or entry["tuning"]
    print(f"{name}: {title}: {runs[-1]}", flush=True)
    if not fast:
        # Each variant may have been trained at its own time and place.
        entry["provenance"] = {"threads": 1, **records.provenance(
            f"make experiment NAME={name}")}
        records.save(name, {"variants": {
            **records.load(name).get("variants", {}), title: entry}})


def seeds(names: list[str], fast: bool) -> None:
    """The quick settings; the record has those of earlier runs as well."""
    entries = {} if fast else records.load("quick-seeds").get("networks", {})
    for network in names or MODULES:
        setting = networks.setting(network, "quick")
        entry: Record = {"setting": networks.readable(setting),
                         "seeds": SEEDS[:1] if fast else SEEDS, "test_acc": []}
        for seed in entry["seeds"]:
            history, _ = networks.train(
                functools.partial(networks.build, network),
                {**setting, **(FAST if fast else {})}, seed)
            accuracy = history.test_acc[-1]
            entry["test_acc"].append(accuracy)
            print(f"{network:10} seed {seed}  test acc {accuracy:.3f}",
                  flush=True)
        entries[network] = entry
        # Each network may have been trained at its own time and place.
        entry["provenance"] = records.provenance("make seeds")
        save("quick-seeds", {
            "networks": {name: entries[name] for name in MODULES
                         if name in entries}}, fast)


def book_of_networks(names: list[str], folder: Path, fast: bool) -> None:
    """The book settings of a chapter's networks, one after another."""
    import d2lzh_ext as d2l

    for network in names:
        setting = {**networks.setting(network, "book"),
                   **({**FAST, "resize": 28} if fast else {})}
        path = networks.checkpoint(network, setting, BOOK_SEED, folder)
        runs = {} if fast else records.load("book-runs").get("runs", {})
        if runs.get(network, {}).get("setting") == networks.readable(setting):
            print(f"{network} is recorded in data/results/book-runs.json; to "
                  f"run it anew, take it out there and delete {path}.")
            continue
        print(f"{network}: saved after every epoch to {path}", flush=True)
        history, _ = networks.train(
            functools.partial(networks.build, network), setting, BOOK_SEED,
            path)
        side = setting["resize"] or 28
        # Another chapter may have been recorded in the meantime.
        runs = {} if fast else records.load("book-runs").get("runs", {})
        runs[network] = {
            "setting": networks.readable(setting), "seed": BOOK_SEED,
            "parameters": d2l.summary(networks.build(network),
                                      (1, 1, side, side)).parameters,
            "loss": history.loss, "train_acc": history.train_acc,
            "test_acc": history.test_acc,
            "seconds": [round(seconds, 1) for seconds in history.seconds],
            "resumed": history.resumed, "threads": networks.threads(),
            "provenance": records.provenance(f"make book CHAPTER={network}")}
        save("book-runs", {"runs": {name: runs[name] for name in MODULES
                                    if name in runs}}, fast)


def digit_setting(recipe: str, fast: bool = False) -> Record:
    """The book setting of a recipe, as chapter 14 has it."""
    from d2lzh_ext.chapters import ch14_mnist as chapter

    settings = {"classic": chapter.CLASSIC_SETTINGS,
                "improved": chapter.IMPROVED_SETTINGS}
    improved = chapter.IMPROVED_SETTINGS["book"]
    one_change = {key: {key: improved[key]} for key in ("shifts", "falling")}
    return {**settings.get(recipe, chapter.SETTINGS)["book"],
            **one_change.get(recipe, {}), **(FAST_DIGITS if fast else {})}


def recorded_digits(runs: list[Record], recipe: str, seed: int
                    ) -> Record | None:
    """The recorded run, unless its setting is no longer the chapter's."""
    wanted = recipe, seed, digit_setting(recipe)
    return next((run for run in runs if (
        run["recipe"], run["seed"], run["setting"]) == wanted), None)


def mistakes(net: Any, test_iter: Any, ctx: Any) -> dict[str, int]:
    """By the number of a test image, the wrong class that it was taken for."""
    import d2lzh_ext as d2l

    labels, predicted = d2l.predict(net, test_iter, ctx)
    return {str(i): int(predicted[i])
            for i in (predicted != labels).nonzero()[0]}


def train_digits(recipe: str, seed: int, folder: Path, fast: bool) -> Record:
    """One run on MNIST: what the chapter's cells do."""
    import d2lzh_ext as d2l

    # isort: split
    from mxnet import nd

    from d2lzh_ext.chapters import ch14_mnist as chapter

    numbers = digit_setting(recipe, fast)
    setting = SimpleNamespace(**numbers)
    train_iter, valid_iter, test_iter = chapter.mnist_iters(setting)
    if fast:
        test_iter = chapter.first_images(test_iter, 200)
    d2l.seed(seed)
    ctx = d2l.try_gpu()
    net = (chapter.classic_net if recipe == "classic"
           else chapter.deep_convnet)()
    net.initialize(ctx=ctx)
    net(nd.zeros((1, 1, 28, 28), ctx=ctx))
    history = d2l.train_ch5(
        net, train_iter, chapter.first_images(valid_iter, setting.num_check),
        setting.batch_size,
        chapter.new_trainer(net, setting, len(train_iter)), ctx,
        setting.num_epochs, networks.checkpoint(recipe, numbers, seed, folder))
    return {
        "recipe": recipe, "seed": seed, "setting": numbers,
        "device": ctx.device_type, "threads": networks.threads(),
        "loss": [round(loss, 5) for loss in history.loss],
        # on setting["num_check"] validation images, after each epoch
        "check_acc": history.test_acc,
        # after the last epoch, on all validation and all test images
        "valid_acc": d2l.evaluate_accuracy(valid_iter, net, ctx),
        "test_acc": d2l.evaluate_accuracy(test_iter, net, ctx),
        "mistakes": mistakes(net, test_iter, ctx),
        "seconds": round(sum(history.seconds), 1)}


def shown_digits(runs: list[Record]) -> Record:
    """What chapter 14 shows of MNIST, which does not come with the course.

    Writes the digits that `d2l.mnist_digits` returns, among them the
    mistakes of the best run. Of the record: what every image shows that a
    run has mistaken, and how many test images there are of each digit.
    """
    import d2lzh_ext as d2l

    # isort: split
    import numpy as np
    from PIL import Image

    images, labels = d2l.mnist(train=False)
    listed = [run for run in runs if "mistakes" in run]
    best = max(listed, key=lambda run: run["test_acc"])
    first = [(labels == digit).nonzero()[0][:8] for digit in range(10)]
    for name, chosen in (
            ("samples", np.concatenate(first)),
            ("mistakes", np.array([int(i) for i in best["mistakes"]]))):
        path = records.ROOT / "data" / "photos" / f"mnist-{name}.png"
        Image.fromarray(images[chosen].reshape(-1, 28)).save(path)
    mistaken = sorted({int(i) for run in listed for i in run["mistakes"]})
    return {"truth": {str(i): int(labels[i]) for i in mistaken},
            "test_images": np.bincount(labels).tolist()}


def book_of_digits(folder: Path, fast: bool) -> None:
    """Chapter 14's recipes from each of their seeds."""
    wanted = [(recipe, seed) for recipe, seeds in DIGIT_SEEDS.items()
              for seed in (seeds[:1] if fast else seeds)]
    record = {} if fast else records.load("mnist")
    runs = {key: recorded_digits(record.get("runs", []), *key)
            for key in wanted}
    for (recipe, seed), known in runs.items():
        if known:
            continue
        run = train_digits(recipe, seed, folder, fast)
        where = records.provenance("make book CHAPTER=14")
        # Each run may have been trained at its own time and place.
        runs[recipe, seed] = {**run, **{
            key: where[key] for key in ("date", "commit", "processor")}}
        print(f"{recipe:10} seed {seed}  validation acc "
              f"{run['valid_acc']:.4f}  test acc {run['test_acc']:.4f}",
              flush=True)
        record = {**record, "provenance": where,
                  "runs": [run for run in runs.values() if run]}
        save("mnist", record, fast)
    if not fast:
        # Runs that were made a second time count in no table.
        save("mnist", {**record, **shown_digits(
            record["runs"] + record.get("again", []))}, fast)


def book_of_keypoints(folder: Path, fast: bool) -> None:
    """Chapter 15's faces."""
    import d2lzh_ext as d2l
    from d2lzh_ext.chapters import ch15_keypoints as chapter
    from d2lzh_ext.faces import loader

    setting = {**chapter.SETTINGS["book"], **(FAST if fast else {})}
    if fast:
        setting.update(num_train=64, num_test=32)
    path = networks.checkpoint("keypoints", setting, BOOK_SEED, folder)
    print(f"saved after every epoch to {path}", flush=True)
    numbers = SimpleNamespace(profile="book", **setting)
    X_train, y_train, X_test, y_test = chapter.keypoint_data(numbers)
    train_iter = loader.Loader(X_train, y_train, numbers.batch_size,
                               shuffle=True, mirror=True)
    test_iter = loader.Loader(X_test, y_test, batch_size=100)
    d2l.seed(BOOK_SEED)
    ctx = d2l.try_gpu()
    net = chapter.keypoint_net()
    net.initialize(numbers.initializer, ctx=ctx)
    history = chapter.train_keypoints(
        net, train_iter, test_iter,
        chapter.keypoint_trainer(net, numbers, len(train_iter)), ctx,
        numbers.num_epochs, path)
    error, baseline = history.test_rmse[-1], float(
        loader.rmse(y_train.mean(axis=0), y_test))
    if not fast:
        records.save("keypoints", {
            "provenance": records.provenance("make book CHAPTER=15"),
            "setting": networks.readable(setting), "seed": BOOK_SEED,
            "faces": [len(X_train), len(X_test)],
            "train_loss": history.train_loss, "test_loss": history.test_loss,
            "test_rmse_pixels": error, "baseline_rmse_pixels": baseline,
            "threads": networks.threads()})
    print(f"held-out faces: {error:.2f} pixels; mean positions: "
          f"{baseline:.2f}")


FACE_SETTING: Record = {
    "num_train": 1000, "num_valid": 300, "num_test": 500, "batch_size": 32,
    "num_epochs": 8, "optimizer": "adam", "momentum": None,
    "warmup_epochs": 1, "mirror": True}
FACE_RATES = 1e-3, 3e-3, 1e-2  # each falls to a fiftieth
FAST_FACES = {"num_train": 32, "num_valid": 10, "num_test": 100,
              "num_epochs": 2}


def face_variants() -> dict[str, tuple[Callable[[], Any], Record]]:
    """By name: the network, and how its outputs are read and trained."""
    from d2lzh_ext.chapters import ch15_keypoints as chapter

    read = {"read": chapter.mean_position}
    return {
        "chapter's, coordinates": (chapter.keypoint_net, {}),
        "maps, coordinates": (chapter.dense_map_net, {}),
        "maps, mean position": (chapter.heat_map_net, read),
        "maps, cross-entropy": (
            chapter.heat_map_net, {**read, "loss": chapter.heat_map_loss})}


def train_faces(build: Callable[[], Any], how: Record, setting: Record,
                rate: float, seed: int, held_out: tuple[int, int]) -> Record:
    """One run; `held_out` is the seed and the number of the faces it meets."""
    import d2lzh_ext as d2l

    # isort: split
    import numpy as np
    from mxnet import init

    from d2lzh_ext import faces
    from d2lzh_ext.chapters import ch15_keypoints as chapter

    numbers = SimpleNamespace(**setting, learning_rate=rate,
                              last_rate=rate / 50)
    X, y = d2l.synthetic_faces(numbers.num_train, seed=1)
    X_test, y_test = d2l.synthetic_faces(held_out[1], seed=held_out[0])
    train_iter = faces.Loader(X, y, numbers.batch_size, shuffle=True,
                              mirror=numbers.mirror)
    d2l.seed(seed)
    ctx, net = d2l.try_gpu(), build()
    net.initialize(init.Xavier("gaussian", "in", 2), ctx=ctx)
    history = chapter.train_keypoints(
        net, train_iter, faces.Loader(X_test, y_test, 100),
        chapter.keypoint_trainer(net, numbers, len(train_iter)), ctx,
        numbers.num_epochs, **how)
    predict = functools.partial(chapter.predict_keypoints, net, ctx=ctx,
                                read=how.get("read"))
    errors = faces.normalised_errors(predict(X_test), y_test)
    # Faces to the right of the middle that can be moved by 12 pixels more.
    xs = faces.to_pixels(y_test)[:, 0::2]
    some = (xs.mean(axis=1) > 53) & (xs.max(axis=1) < 82)
    moved = {}
    for pixels in range(0, 13, 4):
        images, truth = chapter.moved_faces(X_test[some], y_test[some],
                                            pixels)
        moved[str(pixels)] = round(float(faces.normalised_errors(
            predict(images), truth).mean()), 5)
    return {"train_rmse": [round(e, 4) for e in history.train_rmse],
            "test_rmse": [round(e, 4) for e in history.test_rmse],
            "nme": round(float(errors.mean()), 5),
            "over_a_tenth": float(np.mean(errors > 0.1)),
            "moved_faces": int(some.sum()), "moved_nme": moved}


def compare_faces(name: str, fast: bool) -> None:
    """Chapter 15: coordinates or heat maps, each with the rate it likes."""
    import d2lzh_ext as d2l

    setting = {**FACE_SETTING, **(FAST_FACES if fast else {})}
    num_valid = setting.pop("num_valid")
    num_test = setting.pop("num_test")
    variants = {} if fast else records.load(name).get("variants", {})
    for title, (build, how) in face_variants().items():
        table = d2l.summary(build(), (1, 1, 96, 96))
        entry = variants.setdefault(title, {
            "parameters": table.parameters, "macs": table.macs,
            "setting": {**FACE_SETTING, **{
                key: value.__name__ for key, value in how.items()}},
            "tuning": [], "runs": []})
        rates = FACE_RATES[:1] if fast else FACE_RATES
        for rate in rates[len(entry["tuning"]):]:
            run = train_faces(build, how, setting, rate, 0, (3, num_valid))
            entry["tuning"].append({"learning_rate": rate,
                                    "valid_rmse": run["test_rmse"][-1]})
            print(f"{name}: {title}: {entry['tuning'][-1]}", flush=True)
        entry["learning_rate"] = min(
            entry["tuning"], key=lambda tried: tried["valid_rmse"]
            )["learning_rate"]
        for seed in (SEEDS[:1] if fast else SEEDS)[len(entry["runs"]):]:
            run = train_faces(build, how, setting, entry["learning_rate"],
                              seed, (2, num_test))
            entry["runs"].append({"seed": seed, **run})
            print(f"{name}: {title}: {entry['runs'][-1]}", flush=True)
            if not fast:
                entry["provenance"] = {"threads": 1, **records.provenance(
                    f"make experiment NAME={name}")}
                records.save(name, {"variants": variants})


def what_is_seen(net: Any, X: Any, labels: Any) -> Record:
    """Of a network of chapter 13 and test images: what its tools measure."""
    from d2lzh_ext.chapters import ch13_zfnet as chapter

    maps = chapter.feature_maps(net, X)
    bright = X[:, 0].asnumpy() > 0.1
    slopes = chapter.saliency(net, X, maps[-1].argmax(axis=1)).asnumpy()
    return {
        "of_one_class": {str(layer): round(chapter.of_one_class(
            maps[layer], labels), 2) for layer in (0, 2, 6)},
        "projected": round(chapter.projected_share(net, X, 6)[0], 3),
        "saliency": round(chapter.share_inside(slopes, bright), 3),
        "bright": round(float(bright.mean()), 3),
        "object_background": {name: [round(float(lost), 4) for lost in
                                     chapter.loss_by_place(net, X, grey)]
                              for name, grey in SQUARES.items()}}


def where_the_mark_is(net: Any, X: Any, numbers: Any) -> Record:
    """Of a network of chapter 13 and marked images: do tools find the mark?
    """
    import numpy as np

    from d2lzh_ext.chapters import ch13_zfnet as chapter

    places = [(0, 1 + 6 * int(number)) for number in numbers]
    inside = np.zeros((len(X), *X.shape[2:]), bool)
    for one, (top, left) in zip(inside, places):
        one[top:top + 8, left:left + 8] = True
    y = net(X).argmax(axis=1)
    shares = {"saliency": chapter.saliency(net, X, y), **{
        f"grad_cam {layer}": chapter.grad_cam(net, X, y, layer)
        for layer in (2, 6)}}
    return {
        "mark": {name: round(chapter.loss_at(net, X, places, 8, grey), 4)
                 for name, grey in SQUARES.items()},
        "garment": {name: round(chapter.loss_at(
            net, X, [(24, 24)] * len(X), 16, grey), 4)
            for name, grey in SQUARES.items()},
        **{name: round(chapter.share_inside(maps.asnumpy(), inside), 4)
           for name, maps in shares.items()}}


def train_marked(images: Any, labels: Any, seed: int) -> Any:
    """The small ZFNet after two epochs on marked images."""
    import d2lzh_ext as d2l

    # isort: split
    from mxnet import gluon

    batches = gluon.data.DataLoader(
        gluon.data.ArrayDataset(images, labels), 32, shuffle=True)
    net, ctx = networks.build("zfnet_small"), d2l.try_gpu()
    d2l.seed(seed)
    setting = networks.setting("zfnet_small", "quick")
    net.initialize(setting["initializer"], ctx=ctx)
    net(next(iter(batches))[0][:1].as_in_context(ctx))
    d2l.train_ch5(net, batches, batches, 32, gluon.Trainer(
        net.collect_params(), "adam", {"learning_rate": 5e-4}), ctx, 2)
    return net


def seeing(name: str, fast: bool) -> None:
    """Chapter 13: what its tools find, with and without training."""
    import d2lzh_ext as d2l

    # isort: split
    import numpy as np
    from mxnet import nd

    from d2lzh_ext.chapters import ch13_zfnet as chapter

    setting = networks.setting("zfnet_small", "quick")
    if fast:
        setting.update(FAST)
    num = 100 if fast else 500
    (X, y), = d2l.load_data_fashion_mnist(num, resize=64, num_test=num)[1]
    labels = y.asnumpy()
    num_train = 256 if fast else 4096
    d2l.seed(0)  # which draws the training images
    few, test = (next(iter(batches)) for batches in
                 d2l.load_data_fashion_mnist(num_train, resize=48,
                                             num_train=num_train,
                                             num_test=num))
    draw = np.random.RandomState(0)
    numbers = {"telling": few[1].asnumpy(),
               "random": draw.randint(0, 10, num_train)}
    shown = {"telling": test[1].asnumpy(), "random": draw.randint(0, 10, num)}
    images = {key: nd.array(chapter.marked(test[0].asnumpy(), each))
              for key, each in shown.items()}
    runs = [] if fast else records.load(name).get("runs", [])
    for seed in (SEEDS[:1] if fast else SEEDS)[len(runs):]:
        history, trained = networks.train(
            chapter.zfnet_small, setting, seed,
            measure=lambda net, *_: what_is_seen(net, X, labels))
        d2l.seed(seed)
        untrained = chapter.zfnet_small()
        untrained.initialize(setting["initializer"])
        untrained(X[:1])
        run = {"seed": seed, "test_acc": history.test_acc[-1],
               "trained": trained,
               "untrained": what_is_seen(untrained, X, labels),
               "marks": {"untrained": where_the_mark_is(
                   untrained, images["telling"], shown["telling"])}}
        for key, each in numbers.items():
            net = train_marked(chapter.marked(few[0].asnumpy(), each),
                               few[1].asnumpy(), seed)
            run["marks"][key] = {
                **where_the_mark_is(net, images[key], shown[key]),
                "accuracy": {kind: float(np.mean(
                    net(some).argmax(axis=1).asnumpy()
                    == test[1].asnumpy())) for kind, some in images.items()},
                "follows": float(np.mean(
                    net(images["random"]).argmax(axis=1).asnumpy()
                    == shown["random"]))}
        runs.append(run)
        print(f"{name}: {run}", flush=True)
        if not fast:
            records.save(name, {"runs": runs, "provenance": {
                "threads": 1, **records.provenance(
                    f"make experiment NAME={name}")}})


# Chapter 10: how a batch is made, its size and whether classes are mixed.
FREEZE_CASES = {"16 mixed": (16, True), "2 mixed": (2, True),
                "4 sorted": (4, False)}
FREEZE_RATES = 1e-3, 3e-3, 1e-2, 3e-2


def frozen_lenet(frozen: bool) -> Any:
    """LeNet with batch normalisation, whose averages stay if `frozen`."""
    from mxnet.gluon import nn

    from d2lzh_ext import models

    chain = nn.HybridSequential()
    for layer in models.lenet_bn():
        chain.add(nn.BatchNorm(use_global_stats=frozen)
                  if isinstance(layer, nn.BatchNorm) else layer)
    return chain


def fine_tune(path: Path, case: str, frozen: bool, rate: float, few: Any,
              test: Any) -> float:
    """Accuracy on `test` after one pass through `few` images."""
    import d2lzh_ext as d2l

    # isort: split
    import numpy as np
    from mxnet import autograd, gluon

    X, y = few
    size, mixed = FREEZE_CASES[case]
    parts = np.arange(len(X)) if mixed else np.argsort(
        y.asnumpy(), kind="stable")
    parts = parts.reshape(-1, size)
    np.random.RandomState(0).shuffle(parts)
    net = frozen_lenet(frozen)
    net.load_parameters(str(path))
    net.hybridize(static_alloc=True)
    trainer = gluon.Trainer(net.collect_params(), "sgd",
                            {"learning_rate": rate})
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    for part in parts:
        with autograd.record():
            value = loss(net(X[part]), y[part])
        value.backward()
        trainer.step(size)
    return float(d2l.evaluate_accuracy([test], net, d2l.try_gpu()))


def freezing(name: str, fast: bool) -> None:
    """Chapter 10: fine-tuning with moving and with frozen averages.

    The images of the new task are upside down: 800 to train on, 500 other
    training images to choose the rate with seed 0, 2,000 test images.
    """
    import d2lzh_ext as d2l

    # isort: split
    from mxnet import nd

    from d2lzh_ext import models

    setting = {**networks.setting("lenet_bn", "quick"),
               **(FAST if fast else {})}
    num, num_valid = (160, 100) if fast else (800, 500)
    table = d2l.summary(models.lenet_bn(), (1, 1, 28, 28))
    variants: Record = {
        f"{case}, {'frozen' if frozen else 'moving'}": {
            "parameters": table.parameters, "macs": table.macs,
            "setting": {"num_train": num, "batch_size": FREEZE_CASES[case][0],
                        "mixed": FREEZE_CASES[case][1], "frozen": frozen},
            "tuning": [], "runs": []}
        for case in FREEZE_CASES for frozen in (False, True)}
    (test,) = d2l.load_data_fashion_mnist(2000, num_test=2000)[1]
    test = nd.flip(test[0], axis=2), test[1]
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name) / "net.params"
    for seed in SEEDS[:1] if fast else SEEDS:
        networks.train(models.lenet_bn, setting, seed, measure=lambda net, *_:
                       net.save_parameters(str(path)))
        d2l.seed(seed)
        X, y = next(iter(d2l.load_data_fashion_mnist(num + num_valid)[0]))
        X = nd.flip(X, axis=2)
        few, valid = (X[:num], y[:num]), (X[num:], y[num:])
        net = frozen_lenet(True)
        net.load_parameters(str(path))
        before = float(d2l.evaluate_accuracy([test], net, d2l.try_gpu()))
        for title, entry in variants.items():
            case, kind = title.split(", ")
            frozen = kind == "frozen"
            for rate in FREEZE_RATES[len(entry["tuning"]):]:
                entry["tuning"].append({
                    "learning_rate": rate, "valid_acc": fine_tune(
                        path, case, frozen, rate, few, valid)})
            entry["learning_rate"] = max(
                entry["tuning"], key=lambda tried: tried["valid_acc"]
                )["learning_rate"]
            after = fine_tune(path, case, frozen, entry["learning_rate"],
                              few, test)
            entry["runs"].append({"seed": seed, "test_acc": [before, after]})
            entry["provenance"] = {"threads": 1, **records.provenance(
                f"make experiment NAME={name}")}
            print(f"{name}: {title}: {entry['runs'][-1]}", flush=True)
    folder.cleanup()
    if not fast:
        records.save(name, {"variants": variants})


def book(word: str, folder: Path, fast: bool) -> None:
    """All that a chapter's name or number, or a network's name, stands for.

    Raises:
        SystemExit: No such chapter has a book setting.
    """
    known = {**{network: networks.chapter(network) for network in MODULES},
             "mnist": "14-mnist", "keypoints": "15-keypoints"}
    chosen = [name for name, chapter in known.items()
              if word.zfill(2) in (name, chapter, *chapter.split("-", 1))]
    if not chosen:
        raise SystemExit("\n".join([
            f"No chapter {word!r} has a book setting. Those that have one:",
            *(f"    {chapter}: {name}" for name, chapter in known.items())]))
    if chosen == ["mnist"]:
        book_of_digits(folder, fast)
    elif chosen == ["keypoints"]:
        book_of_keypoints(folder, fast)
    else:
        book_of_networks(chosen, folder, fast)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "seeds", "book"])
    parser.add_argument("name", nargs="*")
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--folder", type=Path, default=networks.CHECKPOINTS,
                        help="where checkpoints go")
    options = parser.parse_intermixed_args(arguments)
    if options.what != "book":
        os.environ["OMP_NUM_THREADS"] = "1"  # MXNet is not imported yet
    if options.what == "run":
        known = {**dict.fromkeys(experiments(), experiment),
                 "keypoint-heads": compare_faces, "zfnet-seeing": seeing,
                 "batch-norm-frozen": freezing}
        unknown = set(options.name) - known.keys()
        if unknown:
            parser.error(f"no experiment {', '.join(sorted(unknown))}; there "
                         f"are {', '.join(known)}")
        for name in options.name or known:
            known[name](name, options.fast)
        return
    if options.what == "seeds":
        unknown = set(options.name) - MODULES.keys()
        if unknown:
            parser.error(f"no network {', '.join(sorted(unknown))}; there "
                         f"are {', '.join(MODULES)}")
        seeds(options.name, options.fast)
        return
    if len(options.name) != 1:
        parser.error("book needs one chapter")
    try:
        book(options.name[0], options.folder, options.fast)
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on after the last finished "
              "epoch.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
