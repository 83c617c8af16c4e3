"""Train a classifier and measure it: the book's loop, synchronised less."""
from __future__ import annotations

import itertools
import math
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon
from mxnet.gluon import nn

from d2lzh_ext.batches import (
    Batches,
    Devices,
    check_trainer,
    checked,
    devices_of,
    limit_queue,
    scores,
    split,
)
from d2lzh_ext.engine.compiled import compiled
from d2lzh_ext.files.checkpoint import (
    CheckpointError,
    hyperparameters,
    read_checkpoint,
    save_checkpoint,
)
from d2lzh_ext.plotting import plot_history


class NonFiniteLossError(ArithmeticError):
    """The training loss is infinite or not a number."""


@dataclass
class History:
    """What `train_ch5` measured; each list has one entry an epoch.

    Attributes:
        loss: Mean training loss, in nats.
        train_acc: Share of training images classified correctly while the
            epoch ran, 0 to 1.
        test_acc: The same on the test images, after the epoch.
        seconds: Time of the epoch with its test.
        images_per_second: Training images over the time spent on them,
            without the test.
        resumed: Epochs after which the run was taken up again, if it was.
    """

    loss: list[float] = field(default_factory=list)
    train_acc: list[float] = field(default_factory=list)
    test_acc: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    images_per_second: list[float] = field(default_factory=list)
    resumed: list[int] = field(default_factory=list)

    def plot(self) -> None:
        """Draw loss and accuracies against the epoch."""
        plot_history(self)


def _correct(y_hat: Any, y: Any) -> Any:
    """Number of rows whose largest score is the label's; shape (1,).

    The arrays may be symbols, which `_Score` compiles.
    """
    return (y_hat.argmax(axis=1).astype("float32")
            == y.astype("float32")).sum()


def evaluate_accuracy(data_iter: Batches, net: gluon.Block,
                      ctx: Devices = None) -> float:
    """Share of the images in `data_iter` that `net` classifies correctly.

    Args:
        data_iter: Batches of images (n, channels, height, width) and
            labels (n,).
        net: Maps a batch to scores (n, classes).
        ctx: A device or a list of devices, each of which takes an equal
            part of every batch; the CPU by default.

    Raises:
        TypeError: A batch, or what `net` gives, is of another kind.
        ValueError: `data_iter` yields nothing; images, labels and scores do
            not fit each other.

    Source: sections 3.6 and 5.5 of the book.
    """
    return _accuracy(data_iter, compiled(net), devices_of(ctx, net))


def _accuracy(data_iter: Batches, forward: Any, devices: list[mx.Context]
              ) -> float:
    correct: list[list[Any]] = []
    n = 0
    for X, y in checked(data_iter, forward):
        correct.append([_correct(scores(forward, X_part, y), y_part)
                        for X_part, y_part in split(X, y, devices)])
        limit_queue(correct, X)
        n += len(y)
    if n == 0:
        raise ValueError("There is nothing to evaluate: the test images "
                         "came in no batch. A generator is used up by one "
                         "pass; a list or a DataLoader is not.")
    # Asking for a number waits for its computation: once, at the end.
    return float(sum(c.asscalar() for parts in correct for c in parts)) / n


def predict(net: gluon.Block, data_iter: Batches, ctx: Devices = None
            ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Labels and predicted classes, (n,) integers each, in batch order.

    Arguments and errors are those of `evaluate_accuracy`.
    """
    forward, devices = compiled(net), devices_of(ctx, net)
    labels: list[Any] = []
    predictions: list[list[Any]] = []
    for X, y in checked(data_iter, forward):
        labels.append(y)
        predictions.append([scores(forward, X_part, y).argmax(axis=1)
                            for X_part, _ in split(X, y, devices)])
        limit_queue(predictions, X)
    if not labels:
        raise ValueError("There is nothing to predict: data_iter yielded no "
                         "batch.")
    return (np.concatenate([y.asnumpy().astype("int64") for y in labels]),
            np.concatenate([p.asnumpy().astype("int64")
                            for parts in predictions for p in parts]))


class _Score(nn.HybridBlock):  # type: ignore[misc]  # MXNet is untyped
    """Sum of the losses of a batch, and number of right answers; (1,) each.

    One compiled block: MXNet is called once instead of for each operator.
    """

    def hybrid_forward(self, F: Any, y_hat: Any, y: Any) -> tuple[Any, Any]:
        # SoftmaxCrossEntropyLoss, without its mean and weights.
        losses = -F.pick(F.log_softmax(y_hat, axis=1), y, axis=1)
        return losses.sum(), _correct(y_hat, y)


_last = History()


def last_history() -> History:
    """What the last `train_ch5` has measured, also where it was cut short.

    A run that is interrupted, or ends in an error, returns nothing; the
    epochs that it finished are here.
    """
    return _last


def _mean_loss(losses: list[list[mx.nd.NDArray]], n: int, epoch: int,
               trainer: gluon.Trainer) -> float:
    """Mean loss of `n` images, from the sums over parts of each batch.

    Raises:
        NonFiniteLossError: One of them is infinite or not a number.
        ValueError: There was no image.
    """
    if n == 0:
        raise ValueError(
            "There is nothing to train on: train_iter yielded no batch" + (
                "." if epoch == 1 else f" in epoch {epoch}. A generator is "
                "used up by one epoch; a list or a DataLoader is not."))
    sums = np.array([sum(part.asscalar() for part in parts)
                     for parts in losses])
    bad = np.flatnonzero(~np.isfinite(sums))
    if bad.size:
        raise NonFiniteLossError(
            f"The loss became {sums[bad[0]]} in epoch {epoch}, batch "
            f"{bad[0] + 1} of {len(sums)}, and the parameters are spoilt. "
            "Initialise the network again (net.initialize(..., "
            "force_reinit=True)) and try a learning rate below "
            f"{trainer.learning_rate:g}; if that does not help, check that "
            "the images are scaled to [0, 1].")
    return float(sums.sum(dtype="float64")) / n


def _warn_if_dead(history: History, num_classes: int, is_last: bool) -> None:
    """Say so where the last epochs were no better than guessing."""
    at_chance = _epochs_at_chance(history, num_classes)
    # One such epoch is how LeNet starts; two are no start, nor is a run
    # that ends there.
    if at_chance == 2 or (at_chance == 1 and is_last):
        warnings.warn(
            f"The loss rests at ln({num_classes}) = "
            f"{math.log(num_classes):.3f}: the network still guesses. Train "
            "for more epochs, or initialise it again and change the learning "
            "rate, the initialisation (init.Xavier()) or the optimizer.",
            stacklevel=3)


def _epochs_at_chance(history: History, num_classes: int) -> int:
    """How many epochs, up to now, were no better than guessing."""
    guess = math.log(num_classes)
    return len(list(itertools.takewhile(
        lambda epoch: (abs(epoch[0] - guess) < 0.03 * guess
                       and epoch[1] < 1.5 / num_classes),
        zip(reversed(history.loss), reversed(history.train_acc)))))


@contextmanager
def _report_interrupt(history: History) -> Iterator[None]:
    """Say on Ctrl-C what is left, and where."""
    try:
        yield
    except KeyboardInterrupt:
        mx.nd.waitall()  # what has been queued for this batch
        measured = [values for name, values in vars(history).items()
                    if name != "resumed"]
        for values in measured:  # not all may have their last one yet
            del values[min(map(len, measured)):]
        print(f"interrupted after {len(history.loss)} whole epochs, which "
              "d2l.last_history() returns; the network is as the last batch "
              "left it")
        raise


def _resume(checkpoint: str | os.PathLike[str], net: gluon.Block,
            trainer: gluon.Trainer, num_epochs: int, settings: str | None
            ) -> tuple[History, dict[str, Any]]:
    """What an earlier run has measured, from which this one goes on.

    Returns also the settings with which the run began.
    """
    begun = hyperparameters(net, trainer)
    saved = read_checkpoint(checkpoint, net, trainer, settings)
    if saved is None:
        return History(), begun
    notes, restore = saved
    try:
        history = History(**notes)
    except TypeError:
        raise CheckpointError(
            f"{os.fspath(checkpoint)} was not saved by train_ch5.") from None
    if len(history.loss) < num_epochs:
        history.resumed.append(len(history.loss))
    print(f"epochs 1 to {len(history.loss)} are in "
          f"{os.path.basename(checkpoint)}")
    return history, restore()


def train_ch5(net: gluon.Block, train_iter: Batches, test_iter: Batches,
              batch_size: int, trainer: gluon.Trainer, ctx: Devices,
              num_epochs: int,
              checkpoint: str | os.PathLike[str] | None = None,
              compile: bool = True, settings: str | None = None, *,
              tested: str = "test") -> History:
    """Train a classifier with softmax cross-entropy; test it every epoch.

    Prints the book's lines. Unlike the book's version it prepares the next
    batches instead of waiting for the results of each, computes by a graph
    beside the network where that gives the same, and shows a progress bar
    where a person watches. The network that comes out is the one that went
    in, with other values in its parameters.

    Args:
        net: Initialised network that maps images (n, channels, height,
            width) to scores (n, classes).
        train_iter: Batches of images and labels (n,) to train on.
        test_iter: Batches to test on.
        batch_size: Images a batch, by which `trainer` divides the gradient.
        trainer: Updates the parameters of `net`.
        ctx: Device of the parameters, or a list of devices, each of which
            takes an equal part of every batch.
        num_epochs: Passes over `train_iter`.
        checkpoint: A file to save the run to after every epoch. If it is
            there already, the run goes on from it, and ends with the
            parameters it would have had without the cut.
        compile: False calls `net` itself for every batch.
        settings: Where the rate or other settings of `trainer` are not
            those of the run in `checkpoint`, ``"file"`` takes the file's
            and ``"trainer"`` the trainer's; None refuses to go on.
        tested: What `test_iter` holds, for the printed lines: "validation"
            where its images are held out of the training images.

    Returns:
        Loss, accuracies, seconds and images a second of every epoch, those
        of a checkpoint included.

    Raises:
        CheckpointError: `checkpoint` is no checkpoint of this network,
            trainer and run; nothing has been changed.
        KeyboardInterrupt: Ctrl-C. The network stays as the last batch left
            it, and `last_history` has the finished epochs.
        NonFiniteLossError: The loss of a batch is infinite or not a number.
        TypeError: A batch, or what `net` gives, is of another kind.
        ValueError: An iterator yields nothing; images, labels and scores do
            not fit each other, or the network.

    Warns:
        UserWarning: The run is dead: the loss rests at the logarithm of the
            number of classes, which is what guessing costs.

    Source: section 5.5 of the book.
    """
    global _last
    print("training on", ctx)
    devices = devices_of(ctx, net, training=True)
    check_trainer(trainer, net)
    history, begun = (
        (History(), None) if checkpoint is None else
        _resume(checkpoint, net, trainer, num_epochs, settings))
    _last = history
    forward = compiled(net) if compile else net
    score = _Score()
    score.hybridize(static_alloc=True)
    with _report_interrupt(history):
        for epoch in range(len(history.loss) + 1, num_epochs + 1):
            losses: list[list[Any]] = []
            correct: list[Any] = []
            n, start = 0, time.time()
            for X, y in checked(train_iter, net, f"epoch {epoch}"):
                with autograd.record():
                    y_hats = [(scores(forward, X_part, y), y_part)
                              for X_part, y_part in split(X, y, devices)]
                    results = [score(*each) for each in y_hats]
                autograd.backward([loss for loss, _ in results])
                trainer.step(batch_size)
                losses.append([loss for loss, _ in results])
                correct.extend(hits for _, hits in results)
                limit_queue(losses, X)
                n += len(y)
            train_loss = _mean_loss(losses, n, epoch, trainer)
            train_acc = float(sum(c.asscalar() for c in correct)) / n
            images_per_second = n / (time.time() - start)
            test_acc = _accuracy(test_iter, forward, devices)
            seconds = time.time() - start
            print(f"epoch {epoch}, loss {train_loss:.4f}, "
                  f"train acc {train_acc:.3f}, {tested} acc {test_acc:.3f}, "
                  f"time {seconds:.1f} sec")
            history.loss.append(train_loss)
            history.train_acc.append(train_acc)
            history.test_acc.append(test_acc)
            history.seconds.append(seconds)
            history.images_per_second.append(images_per_second)
            if checkpoint is not None:
                save_checkpoint(checkpoint, net, trainer, asdict(history),
                                begun)
            _warn_if_dead(history, y_hats[0][0].shape[1],
                          epoch == num_epochs)
    return history
