"""Train a classifier and measure it: the book's loop, synchronised less."""
from __future__ import annotations

import math
import os
import sys
import time
import warnings
from collections.abc import Iterable, Sequence, Sized
from dataclasses import asdict, dataclass, field
from typing import Any

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon
from mxnet.gluon import nn

from d2lzh_ext.checkpoint import (
    CheckpointError,
    load_checkpoint,
    save_checkpoint,
)
from d2lzh_ext.compiling import compile_network, refusal

# Batches of (images, labels), as a Gluon DataLoader yields them.
Batches = Iterable[tuple[mx.nd.NDArray, mx.nd.NDArray]]


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
        from d2lzh_ext.plotting import plot_history
        plot_history(self)


def _correct(y_hat: Any, y: Any) -> Any:
    """Number of rows whose largest score is the label's; shape (1,).

    The arrays may be symbols, which `_Score` compiles.
    """
    return (y_hat.argmax(axis=1) == y.astype("float32")).sum()


_WAITING = 2**24  # bytes of images


def _keep_up(results: list[Any], X: Any) -> None:
    """Let 32 MiB of batches like `X` wait for the engine, or two of them.

    They keep their images, and the loader, which is faster, would queue a
    whole epoch. Of small batches, many are waited for at once: each time
    that Python goes on, it takes a core from the computation.
    """
    several = max(1, _WAITING // (4 * X.size))
    if len(results) > several and len(results) % several == 0:
        results[-1 - several].wait_to_read()


def evaluate_accuracy(
        data_iter: Batches, net: gluon.Block,
        ctx: mx.Context | Sequence[mx.Context] | None = None) -> float:
    """Share of the images in `data_iter` that `net` classifies correctly.

    Args:
        data_iter: Batches of images (n, channels, height, width) and
            labels (n,).
        net: Maps a batch to scores (n, classes).
        ctx: A device or a list of devices, each of which takes an equal
            part of every batch; the CPU by default.

    Raises:
        ValueError: `data_iter` yields nothing.

    Source: sections 3.6 and 5.5 of the book.
    """
    devices = [mx.cpu()] if ctx is None else (
        [ctx] if isinstance(ctx, mx.Context) else list(ctx))
    correct, n = [], 0
    for X, y in data_iter:
        for X_part, y_part in zip(gluon.utils.split_and_load(X, devices),
                                  gluon.utils.split_and_load(y, devices)):
            correct.append(_correct(net(X_part), y_part))
        _keep_up(correct, X)
        n += y.size
    if n == 0:
        raise ValueError("There is nothing to evaluate: data_iter yielded "
                         "no batch.")
    # Asking for a number waits for its computation: once, at the end.
    return float(sum(c.asscalar() for c in correct)) / n


def predict(net: gluon.Block, data_iter: Batches,
            ctx: mx.Context | None = None
            ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Labels and predicted classes, (n,) integers each, in batch order.

    Raises:
        ValueError: `data_iter` yields nothing.
    """
    device = mx.cpu() if ctx is None else ctx
    labels, predictions = [], []
    for X, y in data_iter:
        labels.append(y)
        predictions.append(net(X.as_in_context(device)).argmax(axis=1))
        _keep_up(predictions, X)
    if not labels:
        raise ValueError("There is nothing to predict: data_iter yielded no "
                         "batch.")
    return (np.concatenate([y.asnumpy().astype("int64") for y in labels]),
            np.concatenate([p.asnumpy().astype("int64")
                            for p in predictions]))


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


def _check_images(X: Any, y: Any) -> None:
    if len(X) != len(y):
        raise ValueError(f"a batch has {len(X)} images and {len(y)} labels")
    if not np.issubdtype(np.dtype(X.dtype), np.floating):
        raise TypeError(
            f"images are {np.dtype(X.dtype)}, and the network computes with "
            "float32: X.astype('float32') / 255 makes such of bytes")


def _check_labels(y: Any, num_classes: int) -> None:
    """Labels that are no class would be taken for the nearest, silently."""
    labels = y.asnumpy()
    wrong = labels[~np.isin(labels, np.arange(num_classes))]
    if wrong.size:
        raise ValueError(
            f"a batch has the label {wrong.flat[0]:g}; with {num_classes} "
            f"scores labels must be whole numbers from 0 to "
            f"{num_classes - 1}")


def _progress(batches: Batches, title: str) -> Batches:
    """Show a bar over `batches` where a person watches.

    ``D2LZH_PROGRESS`` set to 1 or 0 decides; otherwise a terminal or an
    open notebook counts as watched.
    """
    wanted = os.environ.get("D2LZH_PROGRESS")
    in_notebook = wanted is None and "ipykernel" in sys.modules
    if not (in_notebook or wanted == "1"
            or (wanted is None and sys.stderr.isatty())):
        return batches
    if in_notebook:
        from tqdm.auto import tqdm
    else:
        from tqdm import tqdm
    # tqdm may ask for an iterator twice, and a loader shuffles each time.
    bar: Batches = tqdm(
        iter(batches), desc=title, unit="batch", leave=False,
        total=len(batches) if isinstance(batches, Sized) else None)
    return bar


def _check_finite(losses: np.ndarray[Any, Any], epoch: int,
                  learning_rate: float) -> None:
    bad = np.flatnonzero(~np.isfinite(losses))
    if bad.size == 0:
        return
    raise NonFiniteLossError(
        f"The loss became {losses[bad[0]]} in epoch {epoch}, batch "
        f"{bad[0] + 1} of {len(losses)}, and the parameters are spoilt. "
        "Initialise the network again (net.initialize(..., "
        "force_reinit=True)) and try a learning rate below "
        f"{learning_rate:g}; if that does not help, check that the images "
        "are finite and scaled to [0, 1].")


def _resting(history: History, num_classes: int) -> int:
    """How many epochs, up to now, were no better than guessing."""
    guess, count = math.log(num_classes), 0
    for loss, accuracy in zip(reversed(history.loss),
                              reversed(history.train_acc)):
        if abs(loss - guess) >= 0.03 * guess or accuracy >= 1.5 / num_classes:
            break
        count += 1
    return count


def train_ch5(net: gluon.Block, train_iter: Batches, test_iter: Batches,
              batch_size: int, trainer: gluon.Trainer, ctx: mx.Context,
              num_epochs: int,
              checkpoint: str | os.PathLike[str] | None = None) -> History:
    """Train a classifier with softmax cross-entropy; test it every epoch.

    Prints the book's lines. Unlike the book's version it prepares the next
    batches instead of waiting for the results of each, compiles a
    hybridizable network, and shows a progress bar where a person watches.

    Args:
        net: Initialised network that maps images (n, channels, height,
            width) to scores (n, classes). A `HybridBlock` is hybridized.
        train_iter: Batches of images and labels (n,) to train on.
        test_iter: Batches to test on.
        batch_size: Images a batch, by which `trainer` divides the gradient.
        trainer: Updates the parameters of `net`.
        ctx: Device of the parameters.
        num_epochs: Passes over `train_iter`.
        checkpoint: A file to save the run to after every epoch. If it is
            there already, the run goes on from it, and ends with the
            parameters it would have had without the cut.

    Returns:
        Loss, accuracies, seconds and images a second of every epoch, those
        of a checkpoint included.

    Raises:
        CheckpointError: `checkpoint` is no checkpoint of this network.
        KeyboardInterrupt: Ctrl-C. The network stays as the last batch left
            it, and `last_history` has the finished epochs.
        NonFiniteLossError: The loss of a batch is infinite or not a number.
        TypeError: Images are not of a floating type.
        ValueError: An iterator yields nothing, a label is no class, or the
            network does not take images of that shape.

    Warns:
        UserWarning: The run is dead: the loss rests at the logarithm of the
            number of classes, which is what guessing costs.

    Source: section 5.5 of the book.
    """
    global _last
    print("training on", ctx)
    history = History()
    if checkpoint is not None:
        saved = load_checkpoint(checkpoint, net, trainer)
        if saved is not None:
            try:
                history = History(**saved)
            except TypeError:
                raise CheckpointError(
                    f"{os.fspath(checkpoint)} was not saved by train_ch5."
                ) from None
            if len(history.loss) < num_epochs:
                history.resumed.append(len(history.loss))
            print(f"epochs 1 to {len(history.loss)} are in "
                  f"{os.path.basename(checkpoint)}")
    _last = history
    score = _Score()
    score.hybridize(static_alloc=True)
    try:
        for epoch in range(len(history.loss) + 1, num_epochs + 1):
            num_classes = _train_epoch(net, train_iter, test_iter,
                                       batch_size, trainer, ctx, score,
                                       epoch, history)
            if checkpoint is not None:
                save_checkpoint(checkpoint, net, trainer, asdict(history))
            resting = _resting(history, num_classes)
            # One such epoch is how LeNet starts; two are no start, nor is a
            # run that ends there.
            if resting == 2 or (resting == 1 and epoch == num_epochs):
                warnings.warn(
                    f"The loss rests at ln({num_classes}) = "
                    f"{math.log(num_classes):.3f}: the network still "
                    "guesses. Train for more epochs, or initialise it again "
                    "and change the learning rate, the initialisation "
                    "(init.Xavier()) or the optimizer.", stacklevel=2)
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
    return history


def _train_epoch(net: gluon.Block, train_iter: Batches, test_iter: Batches,
                 batch_size: int, trainer: gluon.Trainer, ctx: mx.Context,
                 score: _Score, epoch: int, history: History) -> int:
    """Train and test once, print the line, and add to `history`.

    Returns the number of classes.
    """
    batch_losses, correct, n, start = [], [], 0, time.time()
    num_classes = 0
    for X, y in _progress(train_iter, f"epoch {epoch}"):
        _check_images(X, y)
        if num_classes:
            _check_labels(y, num_classes)
        X, y = X.as_in_context(ctx), y.as_in_context(ctx)
        if isinstance(net, nn.HybridBlock):
            compile_network(net, X)
        with autograd.record():
            try:
                y_hat = net(X)
            except mx.base.MXNetError as error:
                raise refusal(X, error) from error
            if not num_classes:
                num_classes = y_hat.shape[1]
                _check_labels(y, num_classes)
            l, hits = score(y_hat, y)  # noqa: E741 (the book's name)
        l.backward()
        trainer.step(batch_size)
        batch_losses.append(l)
        correct.append(hits)
        _keep_up(batch_losses, X)
        n += y.size
    if n == 0:
        raise ValueError("There is nothing to train on: train_iter yielded "
                         "no batch.")
    losses = np.array([l.asscalar() for l in batch_losses])  # noqa: E741
    train_acc = float(sum(c.asscalar() for c in correct)) / n
    images_per_second = n / (time.time() - start)
    _check_finite(losses, epoch, trainer.learning_rate)
    mean_loss = float(losses.sum(dtype="float64")) / n
    test_acc = evaluate_accuracy(test_iter, net, ctx)
    seconds = time.time() - start
    print(f"epoch {epoch}, loss {mean_loss:.4f}, train acc {train_acc:.3f}, "
          f"test acc {test_acc:.3f}, time {seconds:.1f} sec")
    history.loss.append(mean_loss)
    history.train_acc.append(train_acc)
    history.test_acc.append(test_acc)
    history.seconds.append(seconds)
    history.images_per_second.append(images_per_second)
    return num_classes
