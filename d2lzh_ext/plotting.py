"""Figures: images with titles, training curves, a confusion matrix."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle
from mxnet import gluon

from d2lzh_ext.batches import (
    Batches,
    Devices,
    checked,
    devices_of,
    scores,
    split,
)
from d2lzh_ext.data import as_numpy, class_numbers

Array = Any  # an NDArray, or what NumPy takes for an array


class Curves(Protocol):
    """What `plot_history` draws; each list has one entry an epoch."""

    loss: list[float]
    train_acc: list[float]
    test_acc: list[float]


def use_svg_display() -> None:
    """Draw figures in notebooks as SVG; elsewhere change nothing.

    IPython has removed the function that the book's version calls;
    `matplotlib_inline` has its successor. Source: section 3.2 of the book.
    """
    from IPython.core.getipython import get_ipython
    if get_ipython() is not None:  # type: ignore[no-untyped-call,unused-ignore]
        from matplotlib_inline import backend_inline
        backend_inline.set_matplotlib_formats("svg")  # type: ignore[no-untyped-call,unused-ignore]


def set_figsize(figsize: tuple[float, float] = (3.5, 2.5)) -> None:
    """Set width and height of figures, in inches, and draw them as SVG.

    Source: section 3.2 of the book.
    """
    use_svg_display()
    plt.rcParams["figure.figsize"] = figsize


def draw_image(axes: Any, image: Array, title: str | None = None,
               **options: Any) -> None:
    """Draw one image without ticks.

    Args:
        axes: Where to draw.
        image: (height, width), (height, width, channels) or (channels,
            height, width). Colours are bytes, or floats to 1 or to 255.
        title: Drawn above.
        options: For Matplotlib's ``imshow``, such as `cmap`.
    """
    pixels = as_numpy(image)
    if pixels.ndim == 3 and pixels.shape[0] == 1:
        pixels = pixels[0]
    if pixels.ndim == 3 and pixels.shape[0] == 3 != pixels.shape[2]:
        pixels = pixels.transpose(1, 2, 0)  # as networks take them
    # Matplotlib wants colours from 0 to 1, or bytes; a float image of bytes
    # would be drawn white. One that interpolation took beyond 1 is neither.
    if (pixels.ndim == 3 and pixels.shape[2] == 3
            and pixels.dtype.kind == "f" and pixels.size
            and pixels.min() >= 0 and 2 < pixels.max() <= 255):
        pixels = pixels / 255
    axes.imshow(pixels.squeeze(), **options)
    axes.set_xticks([])
    axes.set_yticks([])
    if title is not None:
        axes.set_title(title, fontsize=9)


def show_images(imgs: Sequence[Array], num_rows: int, num_cols: int,
                scale: float = 2) -> np.ndarray[Any, Any]:
    """Draw images on a grid.

    Args:
        imgs: At least ``num_rows * num_cols`` images, arrays or pictures of
            PIL: (height, width), (height, width, channels) or (channels,
            height, width). Colours are bytes, or floats to 1 or to 255.
        num_rows: Rows of the grid.
        num_cols: Columns of the grid.
        scale: Inches a picture.

    Returns:
        The axes, (num_rows, num_cols).

    Raises:
        ValueError: There are fewer images than places.

    Source: section 9.1 of the book.
    """
    if len(imgs) < num_rows * num_cols:
        raise ValueError(f"{num_rows} rows of {num_cols} need "
                         f"{num_rows * num_cols} images; there are "
                         f"{len(imgs)}.")
    _, axes = plt.subplots(num_rows, num_cols, squeeze=False,
                           figsize=(num_cols * scale, num_rows * scale))
    for place, image in zip(axes.flat, imgs):
        draw_image(place, image)
    return axes


def show_fashion_mnist(images: Sequence[Array], labels: Sequence[str]
                       ) -> None:
    """Draw 28×28 images in a row, each under its label.

    Args:
        images: Arrays of 784 values each, any shape.
        labels: As many titles.

    Raises:
        ValueError: Not as many labels as images, or none.

    Source: section 3.5 of the book.
    """
    if not len(images) or len(images) != len(labels):
        raise ValueError(f"{len(images)} images and {len(labels)} labels: "
                         "they must be as many, and at least one.")
    use_svg_display()
    _, axes = plt.subplots(1, len(images), figsize=(12, 12), squeeze=False)
    for place, image, label in zip(axes.flat, images, labels):
        draw_image(place, as_numpy(image).reshape(28, 28), label)


def show_array(axes: Any, values: Array,
               window: tuple[int, int, int, int] | None = None,
               title: str | None = None,
               limit: float | None = None) -> None:
    """Draw a small matrix as squares with its numbers, a window on top.

    Args:
        axes: Where to draw.
        values: (height, width); squares are red above zero, blue below
            and white at zero, the darker the larger the number.
        window: Row and column of its upper left corner, height and width,
            in squares; it may reach beyond the matrix.
        title: Drawn above.
        limit: The colours run from -limit to limit, so that matrices with
            the same limit can be compared; by default the largest
            magnitude in `values`.

    Raises:
        ValueError: `values` is not a matrix, or `limit` is not above zero.
    """
    matrix = as_numpy(values)
    if matrix.ndim != 2:
        raise ValueError("show_array draws a matrix; this has the shape "
                         f"{matrix.shape}.")
    height, width = matrix.shape
    if limit is not None and not limit > 0:
        raise ValueError(f"limit must be above zero; this is {limit}.")
    spread = limit or max(float(np.abs(matrix).max(initial=0)), 1e-9)
    # Short of the darkest colours, black numbers stay legible.
    axes.imshow(matrix, cmap="RdBu_r", vmin=-1.7 * spread, vmax=1.7 * spread)
    numbers = [f"{value:.3g}" for value in matrix.flat]
    # A fortieth of the figure's width, unless a square is too small for it.
    points = 72 * axes.figure.get_figwidth()
    panel = points * axes.get_position().width
    longest = max(map(len, numbers), default=1)
    size = min(points / 40, panel / max(width, 1) / (0.75 * longest))
    for (row, column), number in zip(np.ndindex(matrix.shape), numbers):
        axes.text(column, row, number, ha="center", va="center",
                  fontsize=max(size, 9))
    # A major tick in the place of a minor one would take its line away.
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xticks(np.arange(width + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(height + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="0.75", linewidth=1)
    axes.tick_params(which="both", length=0, labelbottom=False,
                     labelleft=False)
    axes.set_frame_on(False)
    if window is not None:
        row, column, rows, columns = window
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), columns, rows,
                                 fill=False, edgecolor="C1", linewidth=3,
                                 clip_on=False, zorder=3))
        # A window beyond the matrix, over its padding, stays in sight.
        axes.set_xlim(min(column, 0) - 0.5,
                      max(column + columns, width) - 0.5)
        axes.set_ylim(max(row + rows, height) - 0.5, min(row, 0) - 0.5)
    if title is not None:
        size = min(points / 40, panel / (0.6 * max(len(title), 1)))
        axes.set_title(title, fontsize=max(size, 9))


def plot_history(history: Curves) -> None:
    """Draw the training loss, and both accuracies, against the epoch."""
    epochs = range(1, len(history.loss) + 1)
    with plt.rc_context({"font.size": 13, "axes.titlesize": 13}):
        _, (left, right) = plt.subplots(1, 2, figsize=(7.2, 2.9),
                                        layout="constrained")
        left.plot(epochs, history.loss, "o-", color="C3")
        left.set(title="training loss", xlabel="epoch",
                 ylabel="mean cross-entropy")
        left.set_ylim(bottom=0)
        right.plot(epochs, history.train_acc, "o-", label="training images")
        right.plot(epochs, history.test_acc, "s--", label="test images")
        right.set(title="accuracy", xlabel="epoch", ylim=(0, 1))
        right.legend(loc="lower right")
        for axes in (left, right):
            axes.set_xticks(epochs)
            axes.grid(alpha=0.3)


def confusion_matrix(labels: Array, predictions: Array, num_classes: int
                     ) -> np.ndarray[Any, Any]:
    """Count the images of each class (row) by predicted class (column).

    Args:
        labels: Whole numbers (n,), 0 to num_classes - 1.
        predictions: Whole numbers (n,), likewise.
        num_classes: Rows and columns of the result.

    Returns:
        Counts (num_classes, num_classes), int64.

    Raises:
        TypeError: They are not numbers.
        ValueError: Different lengths, or a class out of range.
    """
    true, predicted = (
        class_numbers(each, len(each), high=num_classes - 1).astype("int64")
        for each in (labels, predictions))
    if len(true) != len(predicted):
        raise ValueError(f"{len(true)} labels and {len(predicted)} "
                         "predictions: they must be as many.")
    counts = np.zeros((num_classes, num_classes), dtype="int64")
    np.add.at(counts, (true, predicted), 1)
    return counts


def show_confusion_matrix(counts: Array, names: Sequence[str]) -> None:
    """Draw a confusion matrix; darker cells hold a larger share of a row.

    Args:
        counts: Square matrix, rows are the true classes.
        names: Name of each class.

    Raises:
        ValueError: The matrix is not square or has not as many rows as
            there are names.
    """
    matrix = as_numpy(counts)
    if matrix.shape != (len(names), len(names)):
        raise ValueError(f"{len(names)} names need a matrix of that many "
                         f"rows and columns; this one is {matrix.shape}.")
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    _, axes = plt.subplots(figsize=(6.4, 6), layout="constrained")
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(matrix):
        if count:
            axes.text(column, row, count, ha="center", va="center",
                      fontsize=11,
                      color="white" if share[row, column] > 0.5 else "black")
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(labelsize=12)
    axes.set_xlabel("predicted", fontsize=12)
    axes.set_ylabel("true", fontsize=12)


def show_mistakes(net: gluon.Block, data_iter: Batches,
                  names: Sequence[str], ctx: Devices = None,
                  num: int = 10) -> int:
    """Draw the first images that `net` classifies wrongly.

    Args:
        net: Maps images (n, 1, height, width) to scores (n, classes).
        data_iter: Batches of images and labels.
        names: Name of each class.
        ctx: A device of the parameters, or a list of them; the CPU by
            default.
        num: Pictures at most.

    Returns:
        How many were drawn; 0 if the network makes no mistake.

    Raises:
        TypeError: A batch, or what `net` gives, is of another kind.
        ValueError: Images, labels and scores do not fit each other.
    """
    devices = devices_of(ctx, net)
    wrong: list[tuple[Array, int, int]] = []
    for X, y in checked(data_iter, net):
        guess = np.concatenate([
            scores(net, X_part, y).argmax(axis=1).asnumpy().astype("int64")
            for X_part, _ in split(X, y, devices)])
        true = y.asnumpy().astype("int64")
        for i in np.flatnonzero(true != guess):
            wrong.append((X[int(i)].asnumpy(), true[i], guess[i]))
        if len(wrong) >= num:
            break
    wrong = wrong[:num]
    if not wrong:
        return 0
    columns = min(5, len(wrong))
    rows = -(-len(wrong) // columns)
    _, axes = plt.subplots(rows, columns, squeeze=False,
                           figsize=(2 * columns, 2.5 * rows),
                           layout="constrained")
    for place in axes.flat[len(wrong):]:
        place.set_axis_off()
    for place, (image, label, seen) in zip(axes.flat, wrong):
        draw_image(place, image, cmap="gray")
        place.set_title(f"{names[label]}\nseen as {names[seen]}",
                        fontsize=14)
    return len(wrong)
