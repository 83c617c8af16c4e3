"""Fashion-MNIST and MNIST in memory, in a loader as fast as memory allows.

`load_data_fashion_mnist` replaces the function of that name in `d2lzh`
(section 3.5 of the book): the same batches in the same order after the same
``np.random.seed``, without processes that decode one image at a time.
`load_data_mnist` does the same with handwritten digits.
"""
from __future__ import annotations

import ctypes
import math
import operator
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import mxnet as mx
import numpy as np
import numpy.typing as npt
from matplotlib.image import imread
from mxnet import nd
from mxnet.base import _LIB, check_call

from d2lzh_ext.files.fetch import FASHION_MNIST, MNIST, DataSet, load
from d2lzh_ext.files.idx import Bytes

Labels = npt.NDArray[np.int32]
Indices = npt.NDArray[np.intp]
Augment = Callable[[Bytes], Bytes]  # images (n, H, W, C) to others, likewise

_ROOT = FASHION_MNIST.mxnet_root
_MNIST_ROOT = MNIST.mxnet_root
_CLASSES = 10  # of both data sets
_HERE = Path(__file__).parent
_CLONE = _HERE.parent / "data" / "photos"
_PHOTOS = _CLONE if _CLONE.exists() else _HERE / "photos"  # by the wheel
# Bytes of X in one batch. The making of a batch takes over twice as much,
# and Binder has 2 GB for everything.
_MAX_BATCH_BYTES = 512 * 2**20


def positive_int(name: str, value: Any, most: float = math.inf) -> int:
    """`value` as an int from 1 to `most`; bool and float are mistakes."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an int, not {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value}")
    if value > most:
        raise ValueError(f"{name} must be at most {most}, not {value}")
    return operator.index(value)


def _check_batch(batch_size: Any, resize: Any, shape: tuple[int, ...]) -> None:
    """Refuse what would not make batches of images of (n, H, W, C)."""
    n, height, width, channels = shape
    if resize is not None:
        height = width = positive_int("resize", resize)
    images = min(positive_int("batch_size", batch_size), n)
    size = 4 * images * height * width * channels
    if size > _MAX_BATCH_BYTES:
        raise ValueError(
            f"a batch of {images} images of {height} x {width} takes {size} "
            f"bytes, more than {_MAX_BATCH_BYTES}; lower batch_size or resize")


def fashion_mnist(train: bool, root: str | os.PathLike[str] = _ROOT
                  ) -> tuple[Bytes, Labels]:
    """The training or the test images of Fashion-MNIST, and their labels.

    Args:
        train: the 60,000 for training, else the 10,000 for testing.
        root: a folder to search first and to download to; see `fetch.load`.

    Returns:
        Images, uint8, (n, 28, 28, 1), from 0 (background) to 255; labels,
        int32, (n,), from 0 to 9, named by `get_fashion_mnist_labels`.

    Raises:
        DataError: a file is wrong, or is nowhere to be had.

    Source: Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747.
    """
    return _arrays(FASHION_MNIST, train, root)


def mnist(train: bool, root: str | os.PathLike[str] = _MNIST_ROOT
          ) -> tuple[Bytes, Labels]:
    """The training or the test images of MNIST, and the digits they show.

    MNIST is not embedded. It is searched for in the same places as
    Fashion-MNIST, in a folder ``mnist``, and otherwise downloaded.
    Arguments, results and errors are those of `fashion_mnist`.

    Source: LeCun, Bottou, Bengio and Haffner 1998.
    """
    return _arrays(MNIST, train, root)


def photograph() -> Bytes:
    """A grey photograph: a man who films on a lawn.

    Returns:
        Pixels, uint8, (512, 512), from 0 (black) to 255 (white).

    Source: Lav Varshney, 2006, CC0; see data/photos/README.md.
    """
    return _photo("camera.png")


def portrait() -> Bytes:
    """The face of an astronaut: a grey part of a portrait photograph.

    Returns:
        Pixels, uint8, (224, 224), from 0 (black) to 255 (white).

    Source: NASA, in the public domain; see data/photos/README.md.
    """
    return _photo("astronaut.png")


def mnist_digits(name: str) -> Bytes:
    """Digits of MNIST's test images that come with the course.

    Args:
        name: ``"samples"``, the first eight of each digit, from 0 to 9; or
            ``"mistakes"``, those that chapter 14's best recorded network
            takes for another digit, by their numbers.

    Returns:
        Pixels, uint8, (n, 28, 28), from 0 (black) to 255 (white).

    Raises:
        ValueError: There is no such picture.

    Source: LeCun, Cortes and Burges, CC BY-SA 3.0; see data/photos/README.md.
    """
    if name not in ("samples", "mistakes"):
        raise ValueError(
            f"mnist_digits has 'samples' and 'mistakes', not {name!r}")
    return _photo(f"mnist-{name}.png").reshape(-1, 28, 28)


def _photo(name: str) -> Bytes:
    pixels = imread(_PHOTOS / name)  # floats from 0 to 1
    return np.asarray(np.round(255 * pixels), dtype=np.uint8)


def _arrays(dataset: DataSet, train: bool, root: str | os.PathLike[str]
            ) -> tuple[Bytes, Labels]:
    files = dataset.train if train else dataset.test
    images, labels = (load(dataset, file, root) for file in files)
    return images[..., np.newaxis], labels.astype(np.int32)


def balanced_subset(labels: npt.NDArray[Any], n: int) -> Indices:
    """Which `n` items to take so that every class is there equally often.

    The first ones of each class, in the order of the file; no seed has a
    say. Counts differ by at most one while every class has enough items.

    Args:
        labels: the class of each item, (len,).
        n: how many to take, from 1 to len.

    Returns:
        Ascending indices, (n,).

    Raises:
        TypeError: `n` is not an int.
        ValueError: `n` is less than 1 or more than there are.
    """
    positive_int("n", n, len(labels))
    rank = np.empty(len(labels), np.intp)  # 0 for the first of its class
    for label in np.unique(labels):
        members = labels == label
        rank[members] = np.arange(np.count_nonzero(members))
    return np.sort(np.argsort(rank, kind="stable")[:n])


def numpy_view(array: nd.NDArray) -> npt.NDArray[Any]:
    """NumPy's view of an NDArray on the CPU, which has to outlive it.

    Through it NumPy reads and writes MXNet's own memory. nd.array copies by
    an OpenMP team from 200,000 items on, and a batch of 256 images has
    200,704; the team costs more than the copy. nd.from_numpy has MXNet give
    NumPy's memory back, in a thread that may do so while Python ends, which
    aborts the program.

    Args:
        array: of any shape and type; what computes it is waited for.

    Returns:
        An array of that shape and type, in the same memory. What is written
        to it is there for whatever MXNet starts afterwards.
    """
    array.wait_to_read()
    address = ctypes.c_void_p()
    check_call(_LIB.MXNDArrayGetData(array.handle, ctypes.byref(address)))
    dtype = np.dtype(array.dtype)
    buffer = (ctypes.c_char * (array.size * dtype.itemsize)).from_address(
        address.value or 0)
    return np.frombuffer(buffer, dtype).reshape(array.shape)


def _ndarray(values: npt.NDArray[Any], dtype: Any) -> nd.NDArray:
    array = nd.empty(values.shape, mx.cpu(), dtype)
    numpy_view(array)[...] = values
    return array


def as_numpy(values: Any) -> npt.NDArray[Any]:
    """`values` as NumPy's array; a list of arrays is stacked."""
    if isinstance(values, nd.NDArray):
        return values.asnumpy()  # type: ignore[no-any-return]
    if not (isinstance(values, (list, tuple)) and values):
        return np.asarray(values)
    arrays = [as_numpy(value) for value in values]
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise ValueError(
            f"a list of arrays of {len(shapes)} shapes, such as "
            f"{' and '.join(map(str, sorted(shapes)[:2]))}; bring them "
            "to one, pictures with mxnet.image.imresize")
    return np.stack(arrays)


def _images(values: Any, wants: str) -> Bytes:
    """`values` as images; `wants` begins the message if they are none."""
    images = as_numpy(values)
    own = "np.stack(images)" if isinstance(values, (list, tuple)) else "images"
    if images.dtype != np.uint8:
        found, cure = str(images.dtype), ""
        if images.dtype == object:
            found = type(values).__name__
        elif images.dtype.kind in "biuf" and images.size:
            low, high = images.min(), images.max()
            found += f" from {low} to {high}"
            if low >= 0 and high <= 1:
                cure = f"; ({own} * 255).astype('uint8') converts them"
            elif low >= 0 and high <= 255:
                cure = f"; {own}.astype('uint8') converts them"
        raise TypeError(f"{wants} uint8 images, not {found}{cure}")
    if images.ndim != 4:
        cure = (f"; {own}[..., np.newaxis] adds the channel"
                if images.ndim == 3 else "")
        raise ValueError(f"{wants} images (n, H, W, C), not an array "
                         f"{images.shape}{cure}")
    return images


def class_numbers(labels: Any, n: int, *, low: float = 0,
                  high: float = math.inf) -> npt.NDArray[Any]:
    """Labels of `n` images as an array (n,) of whole numbers.

    Args:
        labels: Numbers of any type, (n,) or (n, 1).
        n: How many there must be.
        low: The least that they may be.
        high: The greatest.

    Raises:
        TypeError: They are not numbers.
        ValueError: Their shape is another, or one is no such number.
    """
    values = as_numpy(labels)
    numbering = "np.unique(labels, return_inverse=True)[1] numbers the classes"
    if values.dtype.kind not in "biuf":
        raise TypeError(f"labels are {values.dtype}; wanted are whole "
                        f"numbers: {numbering}")
    shape = values.shape
    if shape == (n, 1):
        values = values[:, 0]
    elif values.ndim == 1 and len(values) != n:
        raise ValueError(f"there are {n} images and {len(values)} labels; "
                         "wanted is one label for each image: gluon.data."
                         "ArrayDataset(images, labels) keeps them together")
    elif shape != (n,):
        cure = ("argmax(axis=1) makes them of rows with a single 1"
                if values.ndim == 2 and len(values) == n
                else "reshape((-1,)) flattens them")
        raise ValueError(f"labels are of shape {shape} for {n} images; wanted "
                         "is the number of the class of each image, "
                         f"({n},): labels.{cure}")
    exact = values
    if values.dtype.kind == "f":
        exact = values.astype("float64")  # float16 does not hold all bounds
    allowed = (exact >= low) & (exact <= high)
    if values.dtype.kind == "f":
        allowed &= exact == np.trunc(exact)
    if not allowed.all():
        first = int(np.argmin(allowed))
        if not np.isfinite(values).all():
            numbering = "np.isfinite(labels) tells which images to keep"
        raise ValueError(
            f"label {first} is {values[first]}, which is no class: labels "
            f"must be whole numbers from {low}"
            + ("" if high == math.inf else f" to {high}")
            + (f", as there are {high + 1} classes"
               if low == 0 and high < math.inf else "")
            + f"; {numbering}")
    return values


class ArrayLoader:
    """Batches of images that are in memory, for a training loop.

    Each iteration yields pairs of NDArrays on the CPU: X, float32,
    (batch, C, H, W), from 0 to 1, and y, int32, (batch,), or, with
    `one_hot`, float32, (batch, classes). The last batch may be smaller. The
    values are those of Gluon's ``Compose([Resize(resize), ToTensor()])``;
    the order is that of its ``DataLoader``, which draws from NumPy's global
    generator when an iteration starts.

    Args:
        images: uint8, (n, H, W, C): a NumPy array, an NDArray, or a list of
            images of one size.
        labels: whole numbers, (n,) or (n, 1), of any type, likewise.
        batch_size: images in a batch.
        shuffle: a new order for every iteration.
        resize: side of the square, in pixels, that images are brought to by
            bilinear interpolation; None leaves them as they are.
        augment: a function that is given each batch of images, uint8,
            (batch, H, W, C), and returns other images of that number and
            type, to be resized and scaled instead; it may write into those
            it is given, which are a copy.
        one_hot: the number of classes; a row of y is then 1 in the column
            of the label and 0 elsewhere. None yields the labels themselves.

    Raises:
        TypeError: `images` are not uint8, `labels` are no numbers, or a
            number is not an int.
        ValueError: shapes do not fit, a number is less than 1, a label is
            no whole number that int32 holds, or no class from 0 to
            `one_hot` - 1, or a batch would take more than 512 MiB.
    """

    def __init__(self, images: Any, labels: Any, batch_size: int,
                 shuffle: bool = False, resize: int | None = None,
                 augment: Augment | None = None,
                 one_hot: int | None = None) -> None:
        images = _images(images, "ArrayLoader takes")
        _check_batch(batch_size, resize, images.shape)
        low, high = ((-2**31, 2**31 - 1) if one_hot is None
                     else (0, positive_int("one_hot", one_hot) - 1))
        self.images = images
        self.labels = class_numbers(
            labels, len(images), low=low, high=high).astype(
            np.int32, copy=False)
        self.batch_size, self.shuffle = batch_size, shuffle
        self.resize, self.augment, self.one_hot = resize, augment, one_hot

    def __len__(self) -> int:
        """Batches in one iteration."""
        return -(-len(self.images) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[nd.NDArray, nd.NDArray]]:
        # Not a generator itself: the order is drawn here, at once, and
        # belongs to this iteration alone.
        order = np.arange(len(self.images))
        if self.shuffle:
            np.random.shuffle(order)  # as gluon.data.RandomSampler
        return (self._batch(order[start:start + self.batch_size])
                for start in range(0, len(order), self.batch_size))

    def _batch(self, chosen: Indices) -> tuple[nd.NDArray, nd.NDArray]:
        pixels, side = self.images[chosen], self.resize
        if self.augment is not None:
            pixels = _augmented(self.augment, pixels)
        if side is not None and pixels.shape[1:3] != (side, side):
            resized = nd.image.resize(_ndarray(pixels, np.uint8), side)
            pixels = numpy_view(resized)
        pixels = pixels.transpose(0, 3, 1, 2)
        X = nd.empty(pixels.shape, mx.cpu())
        # Equals nd.image.to_tensor bit for bit.
        np.divide(pixels, np.float32(255), out=numpy_view(X))
        labels = self.labels[chosen]
        if self.one_hot is None:
            return X, _ndarray(labels, np.int32)
        return X, _ndarray(labels[:, np.newaxis] == np.arange(self.one_hot),
                           np.float32)


def _augmented(augment: Augment, images: Bytes) -> Bytes:
    """What `augment` makes of `images`, which must be images again."""
    changed = _images(augment(images), "augment must return")
    if len(changed) != len(images):
        raise ValueError(f"augment must return {len(images)} images, as many "
                         f"as it is given, not {len(changed)}")
    return changed


def _loaders(
        dataset: DataSet, batch_size: int, resize: int | None,
        root: str | os.PathLike[str], num_train: int | None,
        num_test: int | None, num_valid: int | None, one_hot: bool,
        augment: Augment | None) -> tuple[ArrayLoader, ...]:
    """Loaders for training, validation unless `num_valid` is None, test."""
    # Here already, for a mistake should not wait for a download.
    n, *shape = dataset.train[0].shape
    sizes = ([] if num_valid is None
             else [positive_int("num_valid", num_valid, n - 1)])
    for name, number, most in (
            ("num_train", num_train, n - sum(sizes)),
            ("num_test", num_test, dataset.test[0].shape[0])):
        sizes.append(most if number is None
                     else positive_int(name, number, most))
    _check_batch(batch_size, resize, (max(sizes), *shape, 1))

    def loader(images: Bytes, labels: Labels, number: int | None,
               train: bool = False) -> ArrayLoader:
        if number is not None:
            chosen = balanced_subset(labels, number)
            images, labels = images[chosen], labels[chosen]
        return ArrayLoader(images, labels, batch_size, train, resize,
                           augment if train else None,
                           _CLASSES if one_hot else None)

    images, labels = _arrays(dataset, True, root)
    valid = []
    if num_valid is not None:
        chosen = len(labels) - 1 - balanced_subset(labels[::-1], num_valid)
        valid.append(loader(images[chosen[::-1]], labels[chosen[::-1]], None))
        rest = np.ones(len(labels), bool)
        rest[chosen] = False
        images, labels = images[rest], labels[rest]
    return (loader(images, labels, num_train, train=True), *valid,
            loader(*_arrays(dataset, False, root), num_test))


def load_data_fashion_mnist(
        batch_size: int, resize: int | None = None,
        root: str | os.PathLike[str] = _ROOT, num_train: int | None = None,
        num_test: int | None = None, num_valid: int | None = None,
        one_hot: bool = False, augment: Augment | None = None
        ) -> tuple[ArrayLoader, ...]:
    """Fashion-MNIST as two loaders: training, shuffled, and test.

    Section 3.5 of the book, without its download and its processes.

    Args:
        batch_size: images in a batch.
        resize: side of the images in pixels; None leaves 28.
        root: a folder to search first and to download to; see `fetch.load`.
        num_train: train on that many only, every class equally often.
        num_test: test on that many only, likewise.
        num_valid: hold out that many of the training images, the last ones
            of each class, for a third loader, which is returned between the
            two. They are never trained on: `num_train` counts the others.
        one_hot: yield labels as rows of 0 and a single 1.
        augment: changes the images of a training batch each time that they
            are drawn; see `ArrayLoader`.

    Returns:
        The loaders; a batch is X, float32, (batch, 1, side, side), from 0
        to 1, and y, int32, (batch,), or, with `one_hot`, float32,
        (batch, 10).

    Raises:
        DataError: a file is wrong, or is nowhere to be had.
        TypeError: a number is not an int.
        ValueError: a number is out of range, or a batch would take more
            than 512 MiB.
    """
    return _loaders(FASHION_MNIST, batch_size, resize, root, num_train,
                    num_test, num_valid, one_hot, augment)


def load_data_mnist(
        batch_size: int, resize: int | None = None,
        root: str | os.PathLike[str] = _MNIST_ROOT,
        num_train: int | None = None, num_test: int | None = None,
        num_valid: int | None = None, one_hot: bool = False,
        augment: Augment | None = None) -> tuple[ArrayLoader, ...]:
    """MNIST as two loaders, or three: training, validation, test.

    Arguments, results and errors are those of `load_data_fashion_mnist`;
    where the files come from, `mnist` says.
    """
    return _loaders(MNIST, batch_size, resize, root, num_train, num_test,
                    num_valid, one_hot, augment)
