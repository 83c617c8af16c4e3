"""Train chapter 14's networks on all of MNIST, as its `book` settings say.

Three recipes: `classic` from one seed, `published` and `improved` (of
DeepConvNet) from three. Writes data/results/mnist.json, which the chapter
quotes, and the README's table after each run; one that is recorded with the
same setting is skipped, and one that was cut goes on after its last finished
epoch, so the script can be stopped and started again. Each run has a process
of its own. No epoch is chosen: the test images are looked at once, after the
last.

Usage: python benchmarks/mnist.py [--fast] [RECIPE ...]
RECIPE: only these. --fast checks on 256 images of Fashion-MNIST that all of
it runs, and writes nothing. OMP_NUM_THREADS sets the threads of a run.
"""
from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
from types import SimpleNamespace
from typing import Any

import d2lzh_ext as d2l  # first: it makes `import mxnet` work

# isort: split
import networks
import records
from mxnet import nd

from d2lzh_ext.models import mnist

NAME = "mnist"  # of the record
# What a recipe trains, its settings, and the seeds it starts from.
RECIPES = {
    "classic": (mnist.classic_net, mnist.CLASSIC_SETTINGS, [0]),
    "published": (mnist.deep_convnet, mnist.SETTINGS, [0, 1, 2]),
    "improved": (mnist.deep_convnet, mnist.IMPROVED_SETTINGS, [0, 1, 2]),
}
FAST = dict(data="fashion_mnist", num_train=256, num_valid=200,
            num_check=100, num_epochs=2)


def setting_of(recipe: str, fast: bool = False) -> dict[str, Any]:
    """The book setting of a recipe, as the chapter has it."""
    return {**RECIPES[recipe][1]["book"], **(FAST if fast else {})}


def train(recipe: str, seed: int, fast: bool) -> dict[str, Any]:
    """One run: what the chapter's cells do, and what it gave."""
    numbers = setting_of(recipe, fast)
    setting = SimpleNamespace(**numbers)
    train_iter, valid_iter, test_iter = mnist.mnist_iters(setting)
    if fast:
        test_iter = mnist.first_images(test_iter, 200)
    check_iter = mnist.first_images(valid_iter, setting.num_check)
    d2l.seed(seed)
    ctx = d2l.try_gpu()
    net = RECIPES[recipe][0]()
    net.initialize(ctx=ctx)
    net(nd.zeros((1, 1, 28, 28), ctx=ctx))
    trainer = mnist.new_trainer(net, setting, len(train_iter))
    history = d2l.train_ch5(
        net, train_iter, check_iter, setting.batch_size, trainer, ctx,
        setting.num_epochs,
        None if fast else networks.checkpoint(recipe, numbers, seed))
    return {
        "recipe": recipe, "seed": seed, "setting": numbers,
        "device": ctx.device_type,
        "threads": networks.threads(),
        "loss": [round(loss, 5) for loss in history.loss],
        # on setting["num_check"] validation images, after each epoch
        "check_acc": history.test_acc,
        # after the last epoch, on all validation and all test images
        "valid_acc": d2l.evaluate_accuracy(valid_iter, net, ctx),
        "test_acc": d2l.evaluate_accuracy(test_iter, net, ctx),
        "seconds": round(sum(history.seconds), 1),
    }


def find(runs: list[dict[str, Any]], recipe: str, seed: int
         ) -> dict[str, Any] | None:
    """The recorded run, unless its setting is no longer the chapter's."""
    for run in runs:
        if ((run["recipe"], run["seed"], run["setting"])
                == (recipe, seed, setting_of(recipe))):
            return run
    return None


def table(runs: list[dict[str, Any]]) -> str:
    """The runs of each recipe in one row."""
    lines = ["| recipe | seeds | validation accuracy, median | "
             "test accuracy, median [min–max] |", "|---|---|---|---|"]
    for recipe in RECIPES:
        own = [run for run in runs if run["recipe"] == recipe]
        if not own:
            continue
        valid, test = ([run[key] for run in own]
                       for key in ("valid_acc", "test_acc"))
        lines.append(f"| {recipe} | {len(own)} | "
                     f"{statistics.median(valid):.4f} | "
                     f"{statistics.median(test):.4f} "
                     f"[{min(test):.4f}–{max(test):.4f}] |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", nargs="*", choices=[[], *RECIPES])
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--train", nargs=2, metavar=("RECIPE", "SEED"),
                        help="one run in this process; prints JSON")
    options = parser.parse_args(arguments)
    if options.train:
        recipe, seed = options.train
        with contextlib.redirect_stdout(sys.stderr):  # its epochs
            run = train(recipe, int(seed), options.fast)
        print(json.dumps(run))
        return 0
    chosen = options.recipe or list(RECIPES)
    wanted = [(recipe, seed) for recipe, (_, _, seeds) in RECIPES.items()
              for seed in (seeds[:1] if options.fast else seeds)]
    old = [] if options.fast else records.load(NAME).get("runs", [])
    runs = [run for recipe, seed in wanted
            if (run := find(old, recipe, seed))]
    for recipe, seed in wanted:
        if recipe not in chosen or find(runs, recipe, seed):
            continue
        run = networks.in_its_own_process(
            __file__, "--train", recipe, str(seed),
            *(["--fast"] if options.fast else []))
        where = records.provenance("python benchmarks/mnist.py")
        run.update(date=where["date"], commit=where["commit"])
        print(f"{recipe:10} seed {seed}  validation acc "
              f"{run['valid_acc']:.4f}  test acc {run['test_acc']:.4f}",
              flush=True)
        runs.append(run)
        runs.sort(key=lambda run: wanted.index((run["recipe"], run["seed"])))
        if not options.fast:
            records.save(NAME, {"provenance": where, "runs": runs})
            records.show_on_page(NAME, table(runs))
    print(table(runs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
