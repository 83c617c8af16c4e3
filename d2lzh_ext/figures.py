"""Figures that several chapters draw: networks, galleries, curves, bars.

Each function makes its own figure, at most 7.2 inches wide, with text of at
least a fortieth of its width. Signed values are red above zero, blue below,
white at zero.
"""
from __future__ import annotations

import math
import re
import statistics
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import mxnet as mx
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.patches import Polygon
from matplotlib.textpath import TextPath
from matplotlib.ticker import EngFormatter, MaxNLocator
from mxnet import gluon
from mxnet.gluon import nn

from d2lzh_ext.data import as_numpy
from d2lzh_ext.layers import Shape, summary
from d2lzh_ext.plotting import Array, draw_image

Axes = Any  # Matplotlib's
Grid = np.ndarray[Any, Any]  # of axes, (rows, columns)

WIDTH = 7.2  # inches
TEXT = 13  # points; there are 72 to an inch
_MOST_COLUMNS = 8  # more would be narrower than a tenth of the figure
_BOX = 1.0  # inches of the highest block of a network
_SEQUENTIAL = (nn.Sequential, nn.HybridSequential)
_COLOURS = {"input": "#d9d9d9", "conv": "#9ecae1", "pool": "#fdd0a2",
            "dense": "#bcbddc", "block": "#a8ddd0"}


def show_network(net: gluon.Block, input_shape: Shape) -> Axes:
    """Draw a chain of layers with their types and output shapes.

    A block's height and depth follow the side of its feature maps, its
    width their channels; a dense layer is a bar. Sizes grow more slowly
    than the numbers, which stand below. Equal layers in a row are drawn
    once, and those that neither compute products nor change the size
    (activations, dropout) are only named.

    Args:
        net: A Sequential, in which each layer takes what the one before
            gives; others inside it are drawn layer by layer. Any other
            block with layers of its own is one box.
        input_shape: Shape of one batch, (1, channels, height, width) or
            (1, features); the first is not drawn.

    Returns:
        The axes.

    Raises:
        ValueError: `net` is no Sequential, the input does not fit it, or
            a layer gives neither feature maps nor a vector; and what
            `summary` raises.
    """
    if type(net) not in _SEQUENTIAL:
        raise ValueError("show_network draws a Sequential; this is "
                         f"{type(net).__name__}.")
    stages, left_out = _stages(net, tuple(input_shape))
    breaks = [" × ".join(map(str, stage.shape)) for stage in stages]
    rows, per_row = _rows(stages, breaks)
    if rows > 1:  # shorter lines may spare a row
        short = [text.replace(" × ", " ×\n", 1).replace(" × ", "×")
                 for text in breaks]
        fewer, more_per_row = _rows(stages, short)
        if fewer < rows:
            rows, per_row, breaks = fewer, more_per_row, short
    cell = WIDTH / per_row
    names = [_wrap(stage.name, cell - 0.05) for stage in stages]
    top = 0.21 * max(name.count("\n") + 1 for name in names) + 0.1
    bottom = 0.21 * max(text.count("\n") + 1 for text in breaks) + 0.1
    high = top + _BOX + bottom + 0.12
    note = (textwrap.wrap("not drawn: " + ", ".join(left_out), 60)
            if left_out else [])
    height = rows * high + 0.22 * len(note)
    figure = plt.figure(figsize=(WIDTH, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(0, height))
    axes.set_axis_off()
    sizes = _sizes(stages, cell)
    for i, (stage, size) in enumerate(zip(stages, sizes)):
        row, column = divmod(i, per_row)
        x = (column + 0.5) * cell
        y = height - row * high - top - _BOX / 2
        _box(axes, x, y, size, _COLOURS.get(stage.kind, _COLOURS["block"]))
        axes.text(x, y + _BOX / 2 + 0.08, names[i], ha="center",
                  va="bottom", fontsize=TEXT, linespacing=1.05)
        axes.text(x, y - _BOX / 2 - 0.08, breaks[i], ha="center", va="top",
                  fontsize=TEXT, linespacing=1.05)
        start = (x - cell + sum(sizes[i - 1][::2]) / 2 if column
                 else x - cell / 2 - 0.02)
        if i:
            axes.annotate("", (x - sum(size[::2]) / 2 - 0.02, y),
                          (start + 0.02, y), arrowprops={
                              "arrowstyle": "-|>", "color": "0.4",
                              "shrinkA": 0, "shrinkB": 0})
    if note:
        axes.text(0.1, 0.05, "\n".join(note), fontsize=TEXT, color="0.3",
                  va="bottom")
    return axes


def show_kernels(kernels: Array, titles: Sequence[str] | None = None,
                 num_cols: int = 8) -> Grid:
    """Draw a gallery of kernels, all on one scale.

    Args:
        kernels: (n, height, width) or (n, 1, height, width), drawn red
            where positive, blue where negative and white at zero, with a
            colour bar; or (n, 3, height, width), drawn as colours, grey
            at zero.
        titles: One a kernel.
        num_cols: Columns at most, 1 to 8; long titles make them fewer.

    Returns:
        The axes, (rows, columns); those without a kernel are empty.

    Raises:
        ValueError: Another shape, no kernel, a value that is not finite,
            not as many titles as kernels, or too many columns.
    """
    weights = _finite(kernels, "kernels")
    if weights.ndim == 4 and weights.shape[1] == 1:
        weights = weights[:, 0]
    colours = weights.ndim == 4 and weights.shape[1] == 3
    if not weights.size or not (weights.ndim == 3 or colours):
        raise ValueError("show_kernels draws (n, height, width), (n, 1, "
                         "height, width) or (n, 3, height, width); this "
                         f"has the shape {weights.shape}.")
    if not colours:
        return _mosaic(weights, titles, num_cols, signed=True)
    weights = 0.5 + weights / (2 * _largest(weights))
    return _gallery(list(weights), titles, num_cols)


def show_feature_maps(maps: Array, titles: Sequence[str] | None = None,
                      num_cols: int = 8, limit: float | None = None
                      ) -> Grid:
    """Draw the feature maps of one image as a mosaic, all on one scale.

    Args:
        maps: (n, height, width). If none is negative, zero is black and
            the largest value white; otherwise positive is red, negative
            blue and zero white. A colour bar gives the scale.
        titles: One a map.
        num_cols: Columns at most, 1 to 8; long titles make them fewer.
        limit: Where the scale ends, so that figures with the same limit
            can be compared; by default the largest magnitude in `maps`.

    Returns:
        The axes, (rows, columns); those without a map are empty.

    Raises:
        ValueError: Another shape, no map, a value that is not finite, not
            as many titles as maps, too many columns, or a limit that is
            not above zero.
    """
    values = _finite(maps, "maps")
    if values.ndim != 3 or not values.size:
        raise ValueError("show_feature_maps draws (n, height, width), the "
                         "maps of one image; this has the shape "
                         f"{values.shape}.")
    if limit is not None and not limit > 0:
        raise ValueError(f"limit must be above zero; this is {limit}.")
    return _mosaic(values, titles, num_cols, signed=bool(values.min() < 0),
                   limit=limit)


def image_grid(images: Sequence[Array], titles: Sequence[str] | None = None,
               num_cols: int = 8) -> Grid:
    """Draw images with titles and without ticks.

    Args:
        images: Each (height, width), (height, width, channels) or
            (channels, height, width); one channel is drawn grey, with one
            scale for all. Colours are bytes, or floats to 1 or to 255.
        titles: One an image.
        num_cols: Columns at most, 1 to 8; long titles make them fewer.

    Returns:
        The axes, (rows, columns); those without an image are empty.

    Raises:
        ValueError: An image of another shape, none at all, not as many
            titles as images, or too many columns.
    """
    arrays = [as_numpy(image) for image in images]
    for array in arrays:
        if array.size == 0 or array.ndim not in (2, 3) or (
                array.ndim == 3
                and not {array.shape[0], array.shape[2]} & {1, 3, 4}):
            raise ValueError("image_grid draws (height, width), (height, "
                             "width, channels) or (channels, height, "
                             f"width); this has the shape {array.shape}.")
    low = min((float(array.min()) for array in arrays), default=0)
    high = max((float(array.max()) for array in arrays), default=0)
    if low >= 0:  # black is 0, and white what the kind of pixel allows
        low = 0
        high = (1 if high <= 1 and arrays and arrays[0].dtype.kind == "f"
                else max(high, 255) if arrays and arrays[0].dtype == "uint8"
                else high)
    return _gallery(arrays, titles, num_cols, cmap="gray", vmin=low,
                    vmax=max(high, low + 1e-9))


def plot_curves(curves: Mapping[str, Sequence[Any]], xlabel: str = "epoch",
                ylabel: str = "test accuracy", num_cols: int = 4,
                ylim: tuple[float, float] | None = (0, 1)) -> Grid:
    """Draw curves as small multiples that share their axes.

    Args:
        curves: By title of a panel, one list of numbers, the first of
            epoch 1; or a list of such lists, one for each seed: thin lines,
            with their median thick. None and nan are left out, the median
            where any seed has none.
        xlabel: Under the panels.
        ylabel: Beside them.
        num_cols: Columns at most, 1 to 8; long titles make them fewer.
        ylim: Both ends of the vertical axis; None fits them.

    Returns:
        The axes, (rows, columns); those without a curve are empty.

    Raises:
        ValueError: There is no curve, one without a number, or too many
            columns.
    """
    panels = {title: _seeds(title, lists) for title, lists in curves.items()}
    _, axes = _figure(len(panels), list(panels), num_cols, widest=3.6,
                      high=0.8, layout="constrained", sharex=True,
                      sharey=True)
    for place, runs in zip(axes.flat, panels.values()):
        for run in runs:
            _curve(place, run, linewidth=1, alpha=0.6, color="C0")
        median = np.median(runs, axis=0)  # nan where one is
        _curve(place, median, linewidth=2.5, color="#08306b")
        place.grid(alpha=0.3)
        place.tick_params(labelsize=TEXT)
        place.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    if ylim is not None:
        axes[0, 0].set_ylim(ylim)
    # Above an empty place of the last row, the ticks would be missing.
    for column in axes.T:
        shown = [place for place in column if place.axison]
        shown[-1].tick_params(labelbottom=True)
    axes[0, 0].figure.supxlabel(xlabel, fontsize=TEXT)
    axes[0, 0].figure.supylabel(ylabel, fontsize=TEXT)
    return axes


def plot_bars(values: Mapping[str, Any], xlabel: str,
              fmt: str = "{:.3f}") -> Axes:
    """Draw horizontal bars, the first on top, with their values.

    Args:
        values: By name of a bar, its number; or a list, of which each is
            drawn as a dot and the median as the bar and the number.
        xlabel: What is measured, with its unit.
        fmt: How a number is written.

    Returns:
        The axes.

    Raises:
        ValueError: There is no bar, or one without a finite number.
    """
    bars = {name: list(value) if np.ndim(value) else [value]
            for name, value in values.items()}
    if not bars or not all(
            each and np.isfinite(_floats(each)).all()
            for each in bars.values()):
        raise ValueError("plot_bars draws at least one bar, and each needs "
                         "finite numbers.")
    names = [textwrap.fill(name, 26) for name in bars]
    lines = sum(name.count("\n") + 1 for name in names)
    _, axes = plt.subplots(figsize=(WIDTH, 0.3 * lines + 0.15 * len(bars)
                                    + 0.9), layout="constrained")
    medians = [statistics.median(each) for each in bars.values()]
    axes.barh(range(len(bars)), medians, color="#9ecae1", height=0.65)
    for row, (each, median) in enumerate(zip(bars.values(), medians)):
        if len(each) > 1:
            axes.plot(each, [row] * len(each), "o", color="#08306b",
                      markersize=5, alpha=0.7)
        text = fmt.format(median)
        axes.annotate(f"median {text}" if len(each) > 1 else text,
                      (max(*each, 0), row), (6, 0), va="center",
                      textcoords="offset points", fontsize=TEXT)
    several = any(len(each) > 1 for each in bars.values())
    axes.margins(x=0.32 if several else 0.2)  # numbers stand beyond the bars
    if min(map(min, bars.values())) >= 0:
        axes.set_xlim(left=0)
    else:
        axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(bars)), names)
    axes.invert_yaxis()
    axes.xaxis.set_major_locator(MaxNLocator(5))
    if max(map(abs, medians)) >= 10_000:  # 20k, 5M
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.tick_params(labelsize=TEXT)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(xlabel, fontsize=TEXT)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


@dataclass(frozen=True)
class _Stage:
    """A box of the diagram, with the shape that leaves it."""

    name: str
    kind: str  # of _COLOURS
    shape: Shape  # without the batch


def _chain(net: gluon.Block) -> Iterator[gluon.Block]:
    for child in net._children.values():
        if type(child) in _SEQUENTIAL:
            yield from _chain(child)
        else:
            yield child


def _stages(net: gluon.Block, input_shape: Shape
            ) -> tuple[list[_Stage], list[str]]:
    """Boxes, and the names of what is left out."""
    chain = list(_chain(net))
    with mx.name.NameManager():  # the reader's next blocks keep their names
        marked = nn.Sequential()
        for block in chain:  # a copy of each output marks where a block ends
            marked.add(block, nn.HybridLambda("identity"))
    table = summary(marked, input_shape)
    stages, left_out = [_Stage("input", "input", table.input_shape[1:])], []
    rows, blocks, counts = iter(table.layers), iter(chain), [1]
    macs = 0
    for row in rows:
        if not row.name.endswith(" HybridLambda"):
            macs += row.macs
            continue
        block = next(blocks)
        stage = _Stage(*_title(block), row.output_shape[1:])
        before = stages[-1]
        same_size = math.prod(stage.shape) == math.prod(before.shape)
        if not macs and same_size and stage.kind != "pool":
            left_out.append(type(block).__name__)
        elif stage == before:
            counts[-1] += 1
        else:
            stages.append(stage)
            counts.append(1)
        macs = 0
    for stage in stages:
        if len(stage.shape) not in (1, 3):
            raise ValueError("show_network draws feature maps (channels, "
                             "height, width) and vectors; this is "
                             f"{stage.shape}.")
    return [_Stage(f"{count} × {stage.name}" if count > 1 else stage.name,
                   stage.kind, stage.shape)
            for count, stage in zip(counts, stages)], list(
                dict.fromkeys(left_out))


def _title(block: gluon.Block) -> tuple[str, str]:
    """What is written above a block, and its kind."""
    if isinstance(block, nn.conv_layers._Conv):
        window = "×".join(map(str, block.weight.shape[2:]))
        name = ("transposed conv" if "Transpose" in type(block).__name__
                else "conv")
        return f"{name}\n{window}", "conv"
    if isinstance(block, nn.conv_layers._Pooling):
        kind = "max" if "Max" in type(block).__name__ else "average"
        if "Global" in type(block).__name__:
            return f"global {kind} pool", "pool"
        window = "×".join(map(str, block._kwargs["kernel"]))
        return f"{kind} pool\n{window}", "pool"
    if isinstance(block, nn.Dense):
        return "dense", "dense"
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(block).__name__), "block"


def _rows(stages: Sequence[_Stage], shapes: Sequence[str]
          ) -> tuple[int, int]:
    """Rows, and boxes in a row, so that the widest word or shape fits."""
    widest = max(map(_width, [
        *shapes, *(word for stage in stages for word in stage.name.split())]))
    most = min(9, max(1, int(WIDTH / (widest + 0.12))))
    rows = -(-len(stages) // most)
    return rows, -(-len(stages) // rows)


def _sizes(stages: Sequence[_Stage], cell: float
           ) -> list[tuple[float, float, float]]:
    """Inches of each box: width, height, and depth to the right."""
    maps = [stage.shape for stage in stages if len(stage.shape) == 3]
    side = max((shape[1] for shape in maps), default=1)
    channels = max((shape[0] for shape in maps), default=1)
    units = max((stage.shape[0] for stage in stages
                 if len(stage.shape) == 1), default=1)
    units = max(units, 1000)  # ten classes alone are no full bar
    sizes = []
    for stage in stages:
        if len(stage.shape) == 1:
            sizes.append((0.1, _BOX * math.log(1 + stage.shape[0])
                          / math.log(1 + units), 0.0))
            continue
        depth, high, wide = stage.shape
        front = 0.78 * _BOX  # the rest is the slanted top
        sizes.append((
            0.05 + min(0.6, cell - 0.6) * math.sqrt(depth / channels),
            front * max(0.06, math.sqrt(high / side)),
            0.22 * _BOX * max(0.06, math.sqrt(wide / side))))
    return sizes


def _box(axes: Axes, x: float, y: float,
         size: tuple[float, float, float], colour: str) -> None:
    """A cuboid seen from the front, its middle at (x, y)."""
    wide, high, deep = size
    left, low = x - (wide + deep) / 2, y - (high + deep) / 2
    right, top = left + wide, low + high
    shade = np.array(to_rgb(colour))
    for corners, light in (
            ([(left, low), (right, low), (right, top), (left, top)], 1.0),
            ([(left, top), (right, top), (right + deep, top + deep),
              (left + deep, top + deep)], 1.08),
            ([(right, low), (right + deep, low + deep),
              (right + deep, top + deep), (right, top)], 0.85)):
        axes.add_patch(Polygon(
            corners, facecolor=np.minimum(shade * light, 1),
            edgecolor="0.25", linewidth=0.8, joinstyle="round"))


def _finite(values: Array, name: str) -> np.ndarray[Any, Any]:
    array = as_numpy(values)
    if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite numbers.")
    return array


def _largest(values: np.ndarray[Any, Any]) -> float:
    return max(float(np.abs(values).max()), 1e-9)


def _floats(values: Sequence[Any]) -> np.ndarray[Any, Any]:
    return np.array([np.nan if value is None else value
                     for value in values], dtype=float)


def _seeds(title: str, lists: Sequence[Any]) -> np.ndarray[Any, Any]:
    """(seeds, epochs), with nan for what is missing."""
    many = len(lists) > 0 and any(np.ndim(each) for each in lists)
    runs = [_floats(run) for run in (lists if many else [lists])]
    if not any(np.isfinite(run).any() for run in runs):
        raise ValueError(f"The curve {title!r} has no number.")
    padded = np.full((len(runs), max(map(len, runs))), np.nan)
    for row, run in zip(padded, runs):
        row[:len(run)] = run
    return padded


def _curve(place: Axes, numbers: np.ndarray[Any, Any], **line: Any) -> None:
    known = np.flatnonzero(np.isfinite(numbers))
    place.plot(known + 1, numbers[known], **line,
               marker="o" if len(known) == 1 else "")


def _width(text: str, size: float = TEXT) -> float:
    """Inches of the longest line of `text`."""
    return max(float(TextPath((0, 0), line or " ", size=size)
                     .get_extents().width) for line in text.split("\n")) / 72


def _figure(count: int, titles: Sequence[str] | None, num_cols: int,
            widest: float, high: float, bar: float = 0, **options: Any
            ) -> tuple[Any, Grid]:
    """A grid of `count` panels, each at most `widest` inches wide.

    `high` is a panel's height by its width; `bar`, inches of a colour bar.
    """
    if not 1 <= num_cols <= _MOST_COLUMNS:
        raise ValueError(f"num_cols must be 1 to {_MOST_COLUMNS}; this is "
                         f"{num_cols}.")
    if not count:
        raise ValueError("There is nothing to draw.")
    if titles is not None and len(titles) != count:
        raise ValueError(f"{len(titles)} titles for {count} panels: they "
                         "must be as many.")
    # A title is broken between words; the longest of them must fit.
    word = max((_width(word) for title in titles or ()
                for word in str(title).split()), default=0) + 0.1
    cols = max(1, min(num_cols, count, int((WIDTH - bar) / word)))
    rows = -(-count // cols)
    wide = min(widest, (WIDTH - bar) / cols)
    wrapped = [_wrap(str(title), wide - 0.1) for title in titles or ()]
    lines = max((title.count("\n") + 1 for title in wrapped), default=0)
    size = (min(cols * wide + bar, WIDTH),
            rows * (wide * high + lines * 0.22 + 0.08))
    figure, axes = plt.subplots(rows, cols, squeeze=False, figsize=size,
                                **options)
    for place in axes.flat[count:]:
        place.set_axis_off()
    for place, title in zip(axes.flat, wrapped):
        place.set_title(title, fontsize=TEXT)
    return figure, axes


def _wrap(title: str, inches: float) -> str:
    lines: list[str] = []
    for line in title.split("\n"):
        lines.append("")
        for word in line.split():
            longer = f"{lines[-1]} {word}".strip()
            if lines[-1] and _width(longer) > inches:
                lines.append(word)
            else:
                lines[-1] = longer
    return "\n".join(lines)


def _gallery(images: Sequence[Array], titles: Sequence[str] | None,
             num_cols: int, bar: float = 0, **options: Any) -> Grid:
    shapes = [image.shape[1:] if image.ndim == 3 and image.shape[0] in (1, 3)
              else image.shape[:2] for image in images]
    high = max((height / width for height, width in shapes), default=1)
    _, axes = _figure(len(images), titles, num_cols, widest=2.2, high=high,
                      bar=bar, layout="compressed")
    engine = axes[0, 0].figure.get_layout_engine()
    engine.set(w_pad=0.03, h_pad=0.03, wspace=0.01, hspace=0.01)
    for place, image in zip(axes.flat, images):
        draw_image(place, image, **options)
    return axes


def _mosaic(values: np.ndarray[Any, Any], titles: Sequence[str] | None,
            num_cols: int, signed: bool, limit: float | None = None
            ) -> Grid:
    """Panels on one scale, with one colour bar."""
    largest = limit or _largest(values)
    axes = _gallery(list(values), titles, num_cols, bar=1.0,
                    cmap="RdBu_r" if signed else "gray",
                    vmin=-largest if signed else 0, vmax=largest)
    figure = axes[0, 0].figure
    bar = figure.colorbar(axes[0, 0].images[0], ax=axes, aspect=15,
                          fraction=0.06, pad=0.02, ticks=MaxNLocator(4))
    bar.ax.tick_params(labelsize=TEXT)
    for place in axes.flat:  # a white border would be lost on the page
        for spine in place.spines.values():
            spine.set_color("0.6")
    return axes
