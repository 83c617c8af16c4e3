"""Batches of faces, mirrored and not, and how far predictions are off."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import mxnet as mx
import numpy as np
import numpy.typing as npt

from d2lzh_ext.data import positive_int
from d2lzh_ext.faces.kaggle import (
    COLUMNS,
    NAMES,
    SIDE,
    SWAP,
    Floats,
    to_pixels,
)

_WIDTH = 7.2  # inches of a figure
_TEXT = 11  # points


def flip(images: Floats, keypoints: Floats) -> tuple[Floats, Floats]:
    """Mirror faces left to right, and name their keypoints anew.

    Column c of the pixels becomes column 95 - c, so x becomes 95 - x; in
    scaled numbers, -x - 1/48. The left eye of the mirrored face is where
    the right eye was: `SWAP` exchanges the columns. A mask is mirrored by
    ``mask[:, SWAP]``.

    Args:
        images: (n, 1, 96, 96).
        keypoints: (n, 30), scaled.

    Returns:
        Both, mirrored; new arrays.
    """
    mirrored = keypoints[:, SWAP]
    mirrored[:, 0::2] = -mirrored[:, 0::2] - np.float32(2 / SIDE)
    return np.ascontiguousarray(images[..., ::-1]), mirrored


def rmse(predicted: npt.ArrayLike, keypoints: npt.ArrayLike,
         mask: npt.ArrayLike | None = None) -> float:
    """Root of the mean squared error of a coordinate, in pixels.

    Args:
        predicted: scaled coordinates; anything that `keypoints` can be
            subtracted from, such as a mean (30,).
        keypoints: scaled coordinates (n, 30).
        mask: (n, 30), 1 for coordinates that count and 0 for others; all
            of them by default.

    Raises:
        ValueError: no coordinate counts.
    """
    squares = np.square(np.subtract(predicted, keypoints, dtype=np.float64))
    weights = np.ones(squares.shape) if mask is None else np.asarray(mask)
    if not weights.any():
        raise ValueError("there is no coordinate to measure")
    return float(np.sqrt((squares * weights).sum() / weights.sum())
                 * (SIDE / 2))


def normalised_errors(predicted: npt.ArrayLike, keypoints: npt.ArrayLike
                      ) -> npt.NDArray[np.float64]:
    """How far off each face is, as a share of the distance of its eyes.

    The mean distance of the 15 predicted points from the true ones, divided
    by that of the two true eye centres. The field calls its mean over the
    faces the normalised mean error (NME).

    Args:
        predicted: scaled coordinates (n, 30), or (30,) for all faces.
        keypoints: scaled coordinates (n, 30), without missing ones.

    Returns:
        Errors (n,); 0.05 is five hundredths of the distance of the eyes.

    Source: Jesorsky, Kirchberg and Frischholz 2001, for the eyes alone.
    """
    away = np.subtract(predicted, keypoints, dtype=np.float64)
    points = np.asarray(keypoints, np.float64).reshape(-1, 15, 2)
    eyes = [NAMES.index(f"{side}_eye_center") for side in ("left", "right")]
    apart = np.linalg.norm(points[:, eyes[0]] - points[:, eyes[1]], axis=1)
    distance = np.linalg.norm(away.reshape(-1, 15, 2), axis=2)
    errors: npt.NDArray[np.float64] = distance.mean(axis=1) / apart
    return errors


class Loader:
    """Batches of faces that are in memory, for a training loop.

    Each iteration yields NDArrays on the CPU: images (batch, 1, 96, 96),
    keypoints (batch, 30), and a mask (batch, 30) of ones and zeros. The last
    batch may be smaller. Order and mirroring draw from NumPy's global
    generator.

    Args:
        images: (n, 1, 96, 96).
        keypoints: (n, 30), scaled.
        batch_size: faces in a batch.
        mask: (n, 30), 0 where a keypoint is missing; ones by default.
        shuffle: a new order for every iteration.
        mirror: `flip` each face with probability 1/2.

    Raises:
        TypeError: `batch_size` is not an int.
        ValueError: it is less than 1, shapes do not fit, or there is no
            face.
    """

    def __init__(self, images: Floats, keypoints: Floats, batch_size: int,
                 mask: Floats | None = None, shuffle: bool = False,
                 mirror: bool = False) -> None:
        if mask is None:
            mask = np.ones(keypoints.shape, np.float32)
        n = len(images)
        if (images.shape != (n, 1, SIDE, SIDE)
                or not keypoints.shape == mask.shape == (n, len(COLUMNS))):
            raise ValueError(
                "images (n, 1, 96, 96), keypoints (n, 30) and mask (n, 30) "
                f"do not fit: {images.shape}, {keypoints.shape} and "
                f"{mask.shape}")
        if n == 0:
            raise ValueError("there is no face")
        self.images, self.keypoints, self.mask = images, keypoints, mask
        self.batch_size = positive_int("batch_size", batch_size)
        self.shuffle, self.mirror = shuffle, mirror

    def __len__(self) -> int:
        """Batches in one iteration."""
        return -(-len(self.images) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Any, Any, Any]]:
        n = len(self.images)
        order = np.random.permutation(n) if self.shuffle else np.arange(n)
        mirrored = np.random.rand(n) < (0.5 if self.mirror else 0)
        # Drawn here, at once: they belong to this iteration alone.
        return (self._batch(order[start:start + self.batch_size], mirrored)
                for start in range(0, n, self.batch_size))

    def _batch(self, chosen: npt.NDArray[np.intp],
               mirrored: npt.NDArray[np.bool_]) -> tuple[Any, Any, Any]:
        X, y = self.images[chosen], self.keypoints[chosen]
        mask, some = self.mask[chosen], mirrored[chosen]
        X[some], y[some] = flip(X[some], y[some])
        mask[some] = mask[some][:, SWAP]
        return mx.nd.array(X), mx.nd.array(y), mx.nd.array(mask)


def show_faces(images: Floats, keypoints: Floats,
               predicted: Floats | None = None,
               titles: Sequence[str] | None = None, columns: int = 6
               ) -> None:
    """Draw faces with their keypoints in green, and predicted ones in red.

    Args:
        images: (n, 1, 96, 96).
        keypoints: (n, 30), scaled; NaN is not drawn.
        predicted: (n, 30), likewise.
        titles: One above each face.
        columns: Faces in a row.

    Raises:
        ValueError: There is no face, or not as many titles as faces.
    """
    n = len(images)
    if n == 0 or (titles is not None and len(titles) != n):
        raise ValueError(f"{n} faces and "
                         f"{'no' if titles is None else len(titles)} titles")
    panel = min(_WIDTH / columns, 2.4)
    axes = _panels(n, columns, panel, 0.25 * (titles is not None))
    for i, place in enumerate(axes):
        _show(place, images[i, 0])
        for points, marker, colour in ((keypoints, ".", "lime"),
                                       (predicted, "x", "red")):
            if points is not None:
                x, y = to_pixels(points[i]).reshape(-1, 2).T
                place.plot(x, y, marker, color=colour,
                           markersize=3 * panel)
        if titles is not None:
            place.set_title(titles[i], fontsize=_TEXT)


def show_heat_maps(image: Floats, maps: Floats, titles: Sequence[str],
                   columns: int = 5, points: Floats | None = None) -> None:
    """Draw heat maps over the face that they belong to, in yellow.

    Args:
        image: (1, 96, 96).
        maps: (n, height, width), of any size, not negative; the largest
            value of each covers the face, and 0 leaves it as it is.
        titles: One above each map.
        columns: Maps in a row.
        points: (n, 2), scaled; a blue dot on each map. NaN is not drawn.

    Raises:
        ValueError: There is no map, or not as many titles or points as
            maps.
    """
    n = len(maps)
    if n == 0 or len(titles) != n:
        raise ValueError(f"{n} maps and {len(titles)} titles")
    if points is not None and points.shape != (n, 2):
        raise ValueError(f"{n} maps and points of the shape {points.shape}")
    lines = max(title.count("\n") + 1 for title in titles)
    for i, (place, weights, title) in enumerate(zip(
            _panels(n, columns, _WIDTH / columns, 0.25 * lines), maps,
            titles)):
        _show(place, image[0])
        place.imshow(weights, cmap="autumn", vmin=-1, vmax=0,
                     alpha=weights / max(weights.max(), 1e-9),
                     extent=(-0.5, SIDE - 0.5, SIDE - 0.5, -0.5),
                     interpolation="nearest")
        if points is not None:
            place.plot(*to_pixels(points[i]), "o", color="blue",
                       markersize=3.5)
        place.set_title(title, fontsize=_TEXT)


def _panels(n: int, columns: int, panel: float, above: float) -> list[Any]:
    """`n` places for squares of `panel` inches, in rows."""
    import matplotlib.pyplot as plt
    columns = min(columns, n)
    rows = -(-n // columns)
    _, axes = plt.subplots(rows, columns, squeeze=False, layout="constrained",
                           figsize=(panel * columns, (panel + above) * rows))
    for place in axes.flat[n:]:
        place.set_axis_off()
    return list(axes.flat[:n])


def _show(place: Any, image: Floats) -> None:
    """One face, (96, 96), without ticks."""
    place.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    place.set(xticks=[], yticks=[], xlim=(-0.5, SIDE - 0.5),
              ylim=(SIDE - 0.5, -0.5))
