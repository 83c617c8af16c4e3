"""The file of Kaggle's facial keypoints, and what its numbers mean.

The data set is that of the Kaggle competition *Facial Keypoints Detection*
(J. Petterson and W. Cukierski, 2013; data by Y. Bengio): grey faces of 96 ×
96 pixels with up to 15 marked points. Everywhere in this package

* images are float32 from 0 to 1;
* a row of keypoints is x and y of each point in the order of `NAMES`, scaled
  from pixels (the centre of the upper left pixel is 0, 0) to
  ``(pixels - 48) / 48``, float32 from -1 to 1;
* *left* is the left of the person, on the right of the picture.
"""
from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, Union

import numpy as np
import numpy.typing as npt

from d2lzh_ext.files.fetch import cache_folder
from d2lzh_ext.files.idx import DataError

PathLike = Union[str, "os.PathLike[str]"]
T = TypeVar("T")
Floats = npt.NDArray[np.float32]

SIDE = 96  # pixels of a row, and rows of a picture
NAMES = (
    "left_eye_center", "right_eye_center",
    "left_eye_inner_corner", "left_eye_outer_corner",
    "right_eye_inner_corner", "right_eye_outer_corner",
    "left_eyebrow_inner_end", "left_eyebrow_outer_end",
    "right_eyebrow_inner_end", "right_eyebrow_outer_end",
    "nose_tip", "mouth_left_corner", "mouth_right_corner",
    "mouth_center_top_lip", "mouth_center_bottom_lip",
)
COLUMNS = tuple(f"{name}_{axis}" for name in NAMES for axis in "xy")


def _other_side(name: str) -> str:
    if "left" in name:
        return name.replace("left", "right")
    return name.replace("right", "left")


# Column i of a mirrored face is column SWAP[i] of the face.
SWAP = np.array([COLUMNS.index(_other_side(column)) for column in COLUMNS])


def scale(pixels: npt.ArrayLike) -> Floats:
    """Coordinates in pixels, 0 to 96, to numbers from -1 to 1."""
    return ((np.asarray(pixels) - SIDE / 2) / (SIDE / 2)).astype(np.float32)


def to_pixels(keypoints: npt.ArrayLike) -> Floats:
    """The inverse of `scale`."""
    return (np.asarray(keypoints) * (SIDE / 2) + SIDE / 2).astype(np.float32)


def default_path() -> Path:
    """Where Kaggle's training.csv is expected, whether it is there or not.

    The folder ``facial-keypoints`` of the package's cache, which the
    environment variable ``D2LZH_DATA`` moves.
    """
    return cache_folder() / "facial-keypoints" / "training.csv"


def _places(header: list[str]) -> list[int]:
    """Where the 30 coordinates, and then the image, stand in a row."""
    wanted = [*COLUMNS, "Image"]
    missing = [name for name in wanted if name not in header]
    if missing:
        more = f" and {len(missing) - 1} more" if missing[1:] else ""
        raise DataError(f"row 1 names no column {missing[0]!r}{more}; this "
                        "is not the training.csv of facial keypoints")
    twice = [name for name in wanted if header.count(name) > 1]
    if twice:
        raise DataError(f"row 1 names the column {twice[0]!r} twice")
    return [header.index(name) for name in wanted]


def _coordinate(text: str) -> float:
    """A coordinate in pixels; NaN where it is missing."""
    if not text.strip():
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{text[:20]!r} is not a number")
    if not 0 <= value <= SIDE:
        raise DataError(f"{text[:20]} is outside the picture, 0 to {SIDE}")
    return value


def _pixels(text: str) -> bytes:
    words = text.split()
    if len(words) != SIDE * SIDE:
        raise DataError(f"{len(words)} pixels, expected {SIDE * SIDE}")
    try:
        return bytes(map(int, words))
    except ValueError:  # not an int, or not one of 0 to 255
        number, word = next(
            (number, word) for number, word in enumerate(words, 1)
            if not (word.isdecimal() and int(word) < 256))
    raise DataError(f"pixel {number} is {word[:20]!r}, expected a whole "
                    "number from 0 to 255")


def _in_column(name: str, read: Callable[[str], T], text: str) -> T:
    try:
        return read(text)
    except DataError as error:
        raise DataError(f"column {name!r}: {error}") from None


def _row(fields: list[str], places: list[int], width: int
         ) -> tuple[list[float], bytes]:
    """Coordinates in pixels, and the pixels; an error names the column."""
    if len(fields) != width:
        raise DataError(f"{len(fields)} columns, but row 1 has {width}")
    return [_in_column(name, _coordinate, fields[place])
            for name, place in zip(COLUMNS, places)], _in_column(
                "Image", _pixels, fields[places[-1]])


def _read(path: Path, complete: bool) -> tuple[bytearray, list[list[float]]]:
    """Pixels, one byte each, and coordinates, of all rows that count."""
    pixels, coordinates = bytearray(), []
    # The first three bytes that some programs write are no name's.
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        line = 0
        try:
            header = next(rows, None)
            if header is None:
                raise DataError("the file is empty")
            places = _places(header)
            for fields in rows:
                line = rows.line_num
                if not fields:  # an empty line
                    continue
                values, image = _row(fields, places, len(header))
                if not (complete and any(map(math.isnan, values))):
                    coordinates.append(values)
                    pixels += image
        except csv.Error as error:
            raise DataError(f"row {rows.line_num}: {error}") from None
        except DataError as error:
            raise DataError(f"row {line}, {error}" if line
                            else str(error)) from None
    if not line:
        raise DataError("the file has no row but the first")
    return pixels, coordinates


def load(path: PathLike | None = None, missing: str = "drop"
         ) -> tuple[Floats, Floats, Floats]:
    """Read the ``training.csv`` of Kaggle's Facial Keypoints Detection.

    Its columns are x and y of every keypoint in pixels, empty where it is
    not marked, and ``Image``, 9,216 whole numbers from 0 to 255 with blanks
    between them. 2,140 of its 7,049 rows have all 15 keypoints.

    Args:
        path: the file; `default_path` by default.
        missing: ``"drop"`` leaves out faces on which a keypoint is not
            marked; ``"mask"`` keeps them.

    Returns:
        Pixels (n, 9216), from 0 to 1; keypoints (n, 30), from -1 to 1, 0
        where they are missing; mask (n, 30), 1 where a keypoint is marked
        and 0 where it is missing. All float32.

    Raises:
        DataError: the file is missing or malformed. The message names the
            file and, if one is wrong, the row (as an editor counts lines)
            and the column. A coordinate outside the picture is wrong.
        ValueError: `missing` is neither of the two.

    Source: the course follows D. Nouri, *Using convolutional neural nets to
    detect facial keypoints tutorial*, 2014, whose `load` and `load2d` these
    are.
    """
    if missing not in ("drop", "mask"):
        raise ValueError(f"missing must be 'drop' or 'mask', not {missing!r}")
    file = default_path() if path is None else Path(path).expanduser()
    try:
        pixels, rows = _read(file, complete=missing == "drop")
        if not rows:
            raise DataError("no row has all 15 keypoints; missing='mask' "
                            "keeps the others")
    except FileNotFoundError:
        raise DataError(
            f"{file}: there is no such file. Kaggle hands it out to those "
            "who sign in: take training.zip of the competition Facial "
            "Keypoints Detection, unpack it, and put training.csv there. "
            "d2l.synthetic_faces makes faces without it.") from None
    except OSError as error:
        raise DataError(f"{file}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: byte 0x{error.object[error.start]:02x} is "
                        "not UTF-8; is this an unpacked CSV file?") from None
    except DataError as error:
        raise DataError(f"{file}: {error}") from None
    X = np.empty((len(rows), SIDE * SIDE), np.float32)
    np.divide(np.frombuffer(pixels, np.uint8).reshape(X.shape),
              np.float32(255), out=X, dtype=np.float32)
    y = scale(rows)
    mask = (~np.isnan(y)).astype(np.float32)
    return X, np.nan_to_num(y), mask


def load2d(path: PathLike | None = None, missing: str = "drop"
           ) -> tuple[Floats, Floats, Floats]:
    """`load`, with images (n, 1, 96, 96) for a convolutional network."""
    X, y, mask = load(path, missing)
    return X.reshape(-1, 1, SIDE, SIDE), y, mask
