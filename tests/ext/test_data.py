"""Fashion-MNIST in memory: against d2lzh's own loader, and by itself."""
import functools
import gzip
import hashlib
import inspect
import struct
import subprocess
import sys
import warnings

import numpy as np
import pytest
from first_edition import original
from hypothesis import given, settings
from hypothesis import strategies as st
from mxnet import nd
from mxnet.gluon import data as gdata
from mxnet.gluon.data.vision import transforms

from d2lzh_ext import data
from d2lzh_ext.data import (
    ArrayLoader,
    balanced_subset,
    fashion_mnist,
    load_data_fashion_mnist,
    load_data_mnist,
    mnist,
)
from d2lzh_ext.files.fetch import DataSet, IdxFile


@pytest.fixture(scope="module")
def test_set():
    return fashion_mnist(train=False)


@pytest.fixture
def few(test_set):
    images, labels = test_set
    return images[:150], labels[:150]


def reference(images, labels, batch_size, resize=None, shuffle=False):
    """What d2lzh.load_data_fashion_mnist makes of the same images."""
    steps = [transforms.Resize(resize)] if resize else []
    transform = transforms.Compose([*steps, transforms.ToTensor()])
    dataset = gdata.ArrayDataset(nd.array(images, dtype=np.uint8), labels)
    return gdata.DataLoader(dataset.transform_first(transform), batch_size,
                            shuffle=shuffle, num_workers=0)


def assert_same(ours, theirs):
    pairs = list(zip(ours, theirs))
    assert len(pairs) == len(ours) == len(theirs)
    for (X, y), (X_ref, y_ref) in pairs:
        assert type(X) is type(X_ref) and type(y) is type(y_ref)
        assert (X.dtype, y.dtype) == (X_ref.dtype, y_ref.dtype)
        assert X.context.device_type == "cpu"
        np.testing.assert_array_equal(y.asnumpy(), y_ref.asnumpy())
        np.testing.assert_allclose(X.asnumpy(), X_ref.asnumpy(), rtol=0,
                                   atol=1e-7)


COLOURS = np.random.RandomState(0).randint(0, 256, (5, 6, 4, 3), np.uint8)


@pytest.mark.parametrize("resize", [None, 4, 6, 9, 14, 28, 96, 224])
def test_batches_equal_those_of_d2lzh(few, resize):
    """150 = 64 + 64 + 22: the last batch is smaller."""
    assert_same(ArrayLoader(*few, 64, resize=resize),
                reference(*few, 64, resize))
    oblong = COLOURS, np.arange(5, dtype=np.int32)
    assert_same(ArrayLoader(*oblong, 2, resize=resize),
                reference(*oblong, 2, resize))


def labels_of(loader):
    return np.concatenate([y.asnumpy() for _, y in loader])


def test_shuffled_order_is_that_of_d2lzh(few):
    ours = ArrayLoader(*few, 64, shuffle=True)
    theirs = reference(*few, 64, shuffle=True)
    orders = []
    for seed in (0, 1):
        pair = []
        for loader in (ours, theirs):
            np.random.seed(seed)
            pair.append([labels_of(loader) for _ in range(2)])  # two epochs
        np.testing.assert_array_equal(*pair)
        orders += pair[0]
    assert len({order.tobytes() for order in orders}) == 4


def test_two_iterations_at_once(few):
    loader = ArrayLoader(*few, 50, shuffle=True)
    np.random.seed(3)
    alone = [labels_of(loader) for _ in range(2)]
    np.random.seed(3)
    first, second = iter(loader), iter(loader)  # the draw is made here
    mixed = [(next(first), next(second)) for _ in range(3)]
    np.testing.assert_array_equal(alone, list(map(labels_of, zip(*mixed))))


def test_batches_own_their_memory(few):
    """A batch stays as it is whatever comes after it."""
    images, labels = few
    loader = ArrayLoader(images.copy(), labels.copy(), 100, resize=56)
    batches = list(loader)
    copies = [X.asnumpy() for X, _ in batches]
    loader.images[:] = 0
    list(loader)
    for (X, _), copy in zip(batches, copies):
        np.testing.assert_array_equal(X.asnumpy(), copy)


@pytest.mark.parametrize("script", [
    # An operator returns before its result is there.
    """
from mxnet import nd
from d2lzh_ext.data import numpy_view
b = nd.ones((1500, 1500))
for n in range(1, 4):
    product = nd.dot(b, b * n)
    assert (numpy_view(product) == 1500 * n).all(), n
""",
    # NumPy's memory under X must not be given back after Python has ended.
    """
from mxnet import autograd, nd
loader, _ = d2l.load_data_fashion_mnist(256, num_train=1024)
kept = []
kept.append(kept)  # never collected
for X, y in loader:
    X.attach_grad()
    with autograd.record():
        kept.append((X * X).sum())
    kept[-1].backward()
"""], ids=["waits for the engine", "lives until the end"])
def test_memory_that_numpy_and_mxnet_share(script):
    done = subprocess.run(
        [sys.executable, "-c", "import d2lzh_ext as d2l" + script],
        text=True, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# --- Fashion-MNIST --------------------------------------------------------

@pytest.mark.parametrize(("train", "n", "first"), [
    (True, 60000, [9, 0, 0, 3, 0, 2]), (False, 10000, [9, 2, 1, 1, 6, 1])])
def test_fashion_mnist(train, n, first):
    images, labels = fashion_mnist(train)
    assert (images.shape, images.dtype) == ((n, 28, 28, 1), np.uint8)
    assert (labels.shape, labels.dtype) == ((n,), np.int32)
    assert np.bincount(labels).tolist() == [n // 10] * 10
    assert labels[:6].tolist() == first
    assert images.max() == 255 and images.min() == 0


def test_loaders():
    train_iter, test_iter = load_data_fashion_mnist(256)
    assert (len(train_iter), len(test_iter)) == (235, 40)
    assert (train_iter.shuffle, test_iter.shuffle) == (True, False)
    assert (train_iter.batch_size, train_iter.resize) == (256, None)
    X, y = next(iter(test_iter))
    assert (X.shape, y.shape) == ((256, 1, 28, 28), (256,))
    assert y[:4].asnumpy().tolist() == [9, 2, 1, 1]


def test_subsets_are_balanced():
    train_iter, test_iter = load_data_fashion_mnist(
        64, resize=56, num_train=1000, num_test=205)
    assert np.bincount(train_iter.labels).tolist() == [100] * 10
    assert sorted(np.bincount(test_iter.labels)) == [20] * 5 + [21] * 5
    assert [X.shape for X, _ in test_iter] == [
        (64, 1, 56, 56)] * 3 + [(13, 1, 56, 56)]


def test_signature_extends_that_of_d2lzh():
    theirs = inspect.signature(original().load_data_fashion_mnist)
    ours = inspect.signature(load_data_fashion_mnist)
    assert ([(p.name, p.default) for p in theirs.parameters.values()]
            == [(p.name, p.default) for p in ours.parameters.values()][:3])
    digits = inspect.signature(load_data_mnist)
    assert digits.parameters.keys() == ours.parameters.keys()


@pytest.mark.parametrize(("arguments", "error", "what"), [
    ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
    ({"batch_size": -5}, ValueError, "batch_size"),
    ({"batch_size": True}, TypeError, "batch_size must be an int"),
    ({"batch_size": 2.0}, TypeError, "batch_size"),
    ({"batch_size": "256"}, TypeError, "batch_size"),
    ({"resize": 0}, ValueError, "resize must be at least 1"),
    ({"resize": -1}, ValueError, "resize must be at least 1"),
    ({"resize": 1_000_000}, ValueError, "lower batch_size or resize"),
    ({"resize": (96, 96)}, TypeError, "resize must be an int"),
    ({"resize": 96.0}, TypeError, "resize"),
    ({"resize": False}, TypeError, "resize"),
    ({"resize": 100000}, ValueError, "takes 10240000000000 bytes"),
    ({"num_train": 0}, ValueError, "num_train must be at least 1"),
    ({"num_train": 60001}, ValueError, "num_train must be at most 60000"),
    ({"num_test": 10001}, ValueError, "num_test must be at most 10000"),
    ({"num_test": 1.5}, TypeError, "num_test"),
    ({"num_valid": 0}, ValueError, "num_valid must be at least 1"),
    ({"num_valid": 60000}, ValueError, "num_valid must be at most 59999"),
    ({"num_valid": 2.0}, TypeError, "num_valid must be an int"),
    ({"num_valid": 20, "num_train": 59981}, ValueError,
     "num_train must be at most 59980"),
])
def test_mistakes_are_named_before_data_is_read(monkeypatch, arguments,
                                                error, what):
    monkeypatch.setattr(data, "load", lambda *args: pytest.fail("read"))
    with pytest.raises(error, match=what):
        load_data_fashion_mnist(**{"batch_size": 256, **arguments})


def test_memory_bound():
    """128 images of 1024 x 1024 are 512 MiB to the byte."""
    images = np.zeros((129, 1, 1, 1), np.uint8)
    labels = np.zeros(129, np.int32)
    ArrayLoader(images, labels, 128, resize=1024)
    ArrayLoader(images[:128], labels[:128], 10**9, resize=1024)
    for batch_size, resize in ((129, 1024), (128, 1025)):
        with pytest.raises(ValueError, match=r"takes 5\d+ bytes"):
            ArrayLoader(images, labels, batch_size, resize=resize)


def test_numpy_integers_are_integers(few):
    assert len(ArrayLoader(*few, np.int64(50))) == 3


# --- images and labels as people have them --------------------------------

IMAGES = np.random.RandomState(0).randint(0, 256, (4, 3, 2, 1), np.uint8)
FOUR = np.array([3, 0, 2, 1])
HUGE = 2 ** 31


@pytest.mark.parametrize(("images", "error", "what"), [
    (IMAGES / 255, TypeError,
     r"not float64 from 0\.\d+ to .*; \(images \* 255\)\.astype\('uint8'\)"),
    (IMAGES > 9, TypeError, r"not bool .*; \(images \* 255\)\.astype"),
    (IMAGES.astype("int16"), TypeError, r"not int16 .*; images\.astype\('u"),
    (IMAGES.astype("int16") * 2, TypeError, r"uint8 images, not int16 from "
                                            r"\d+ to \d+$"),
    (IMAGES / 127 - 1, TypeError, r"not float64 from -[.\d]+ to [.\d]+$"),
    (nd.array(IMAGES), TypeError, r"not float32 .*; images\.astype\('uint8'"),
    (list(IMAGES / 255), TypeError, r"; \(np\.stack\(images\) \* 255\)"),
    (IMAGES[..., 0], ValueError,
     r"not an array \(4, 3, 2\); images\[\.\.\., np\.newaxis\]"),
    (list(IMAGES[..., 0]), ValueError, r"; np\.stack\(images\)\[\.\.\., "),
    (IMAGES.reshape(4, 6), ValueError, r"not an array \(4, 6\)$"),
    ([IMAGES[0], IMAGES[1, :2]], ValueError,
     r"2 shapes, such as \(2, 2, 1\) and \(3, 2, 1\); .*imresize"),
    (None, TypeError, "not NoneType"), ("abc", TypeError, "not <U3"),
])
def test_what_are_no_images(images, error, what):
    with pytest.raises(error, match=f"^ArrayLoader takes .*{what}|^a list "
                                    f"of arrays of {what}") as caught:
        ArrayLoader(images, FOUR, 2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("scaled", [
    np.divide(IMAGES, 255, dtype=dtype) for dtype in ("f2", "f4", "f8")])
def test_the_cure_for_scaled_images_gives_them_back(scaled):
    np.testing.assert_array_equal((scaled * 255).astype("uint8"), IMAGES)


@pytest.mark.parametrize("images", [
    list(IMAGES), tuple(IMAGES), nd.array(IMAGES, dtype="uint8"),
    [nd.array(image, dtype="uint8") for image in IMAGES]])
def test_images_in_a_list_or_an_ndarray(images):
    assert_same(ArrayLoader(images, FOUR, 3), ArrayLoader(IMAGES, FOUR, 3))
    loader = ArrayLoader(IMAGES, FOUR, 4, augment=lambda _: images)
    assert_same(loader, ArrayLoader(IMAGES, FOUR, 4))


@pytest.mark.parametrize("labels", [
    FOUR.tolist(), tuple(FOUR), FOUR.astype("uint8"), FOUR.astype("uint64"),
    FOUR.astype("float16"), FOUR.astype("float64"), FOUR[:, np.newaxis],
    nd.array(FOUR), nd.array(FOUR).reshape((4, 1)),
    [nd.array([label]) for label in FOUR]])
def test_labels_that_are_whole_numbers(labels):
    (_, y), = ArrayLoader(IMAGES, labels, 4)
    assert y.dtype == np.int32
    assert y.asnumpy().tolist() == FOUR.tolist()


@pytest.mark.parametrize("label", [1 - HUGE, -1, 300, HUGE - 1, True])
def test_labels_that_int32_holds(label):
    (_, y), = ArrayLoader(IMAGES, np.full(4, label), 4)
    assert y.asnumpy().tolist() == [int(label)] * 4


@pytest.mark.parametrize(("labels", "error", "what"), [
    ([0, 1, .9, 2], ValueError, r"label 2 is 0\.9, .*np\.unique\(labels, "),
    ([0, 1, 2, -.5], ValueError, r"label 3 is -0\.5, .*np\.unique"),
    ([0, np.nan, 1, 2], ValueError, r"label 1 is nan, .*np\.isfinite"),
    ([0, np.inf, 1, 2], ValueError, r"label 1 is inf, .*np\.isfinite"),
    ([0, 0, 0, 2 ** 40], ValueError, r"label 3 is 1099511627776, .*unique"),
    ([HUGE, 0, 0, 0], ValueError, f"label 0 is {HUGE}, .*unique"),
    ([0, 0, -HUGE - 1, 0], ValueError, f"label 2 is {-HUGE - 1}, .*unique"),
    (np.full(4, 2 ** 64 - 1, "uint64"), ValueError, "label 0 is 18446744073"),
    (np.array(list("abca")), TypeError, r"are <U1; .*np\.unique"),
    (list("abca"), TypeError, r"are <U1; .*numbers: np\.unique"),
    ([None] * 4, TypeError, "are object; wanted are whole numbers"),
    (np.ones(4, complex), TypeError, "are complex128; wanted are whole"),
    (np.eye(4), ValueError, r"\(4, 4\) .*: labels\.argmax\(axis=1\)"),
    (np.zeros(3), ValueError, r"are 4 images and 3 labels"),
    (np.zeros((4, 1, 1)), ValueError, r"\(4, 1, 1\) .*\.reshape\(\(-1,\)\)"),
    (np.zeros((1, 4)), ValueError, r"shape \(1, 4\) for 4 images"),
    (5, ValueError, r"shape \(\) for 4 images"),
])
def test_what_are_no_labels(labels, error, what):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(error, match=what) as caught:
            ArrayLoader(IMAGES, labels, 2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("labels", [np.array(list("abca")),
                                    np.array([.5, 2 ** 40, 7, .5])])
def test_the_cure_for_labels_numbers_the_classes(labels):
    labels = np.unique(labels, return_inverse=True)[1]
    (_, y), = ArrayLoader(IMAGES, labels, 4)
    assert y[0] == y[3] and len(set(y.asnumpy())) == 3


# --- balanced subsets -----------------------------------------------------

@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=80), st.data())
def test_balanced_subset(labels, draw):
    labels = np.array(labels)
    n = draw.draw(st.integers(1, len(labels)))
    chosen = balanced_subset(labels, n)
    # The first of every class, then the second, in the order of the file.
    rank = [(labels[:i] == label).sum() for i, label in enumerate(labels)]
    order = sorted(range(len(labels)), key=lambda i: (rank[i], i))
    assert chosen.tolist() == sorted(order[:n])


def test_balanced_subset_ignores_seeds(test_set):
    _, labels = test_set
    np.random.seed(1)
    first = balanced_subset(labels, 500)
    state = np.random.get_state()[1].copy()
    np.random.seed(2)
    np.testing.assert_array_equal(first, balanced_subset(labels, 500))
    np.random.seed(1)
    assert (state == np.random.get_state()[1]).all()  # nothing was drawn
    np.testing.assert_array_equal(balanced_subset(labels, 10000),
                                  np.arange(10000))


@pytest.mark.parametrize(("n", "error"), [
    (0, ValueError), (-1, ValueError), (5, ValueError), (1.0, TypeError),
    (True, TypeError)])
def test_balanced_subset_mistakes(n, error):
    with pytest.raises(error):
        balanced_subset(np.array([0, 1, 0, 1]), n)


# --- hold-out, one-hot, augmentation --------------------------------------

def test_held_out_images_are_the_last_of_each_class():
    whole, _ = load_data_fashion_mnist(100)
    train_iter, valid_iter, test_iter = load_data_fashion_mnist(
        100, num_valid=5000, num_test=200)
    assert [len(it.labels) for it in (train_iter, valid_iter, test_iter)] == [
        55000, 5000, 200]
    assert np.bincount(valid_iter.labels).tolist() == [500] * 10
    assert (train_iter.shuffle, valid_iter.shuffle) == (True, False)
    for label in range(10):
        members = whole.images[whole.labels == label]
        for part, expected in ((train_iter, members[:-500]),
                               (valid_iter, members[-500:])):
            np.testing.assert_array_equal(
                part.images[part.labels == label], expected)


def tiny(folder, train=60, test=20):
    """A data set whose pixels say which image it is; ten classes."""
    files = []
    for name, n, base in (("train", train, 0), ("t10k", test, 100)):
        images = np.full((n, 4, 4), base, np.uint8)
        images += np.arange(n, dtype=np.uint8)[:, None, None]
        labels = (np.arange(n) % 10).astype(np.uint8)
        for kind, array in (("images", images), ("labels", labels)):
            content = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim,
                                  *array.shape) + array.tobytes()
            path = folder / f"{name}-{kind}.gz"
            path.write_bytes(gzip.compress(content))
            files.append(IdxFile(path.name, hashlib.sha256(
                content).hexdigest(), array.shape))
    return DataSet("tiny", tuple(files[:2]), tuple(files[2:]), ())


@pytest.fixture
def digits(tmp_path, monkeypatch):
    """`load_data_mnist` on files that the test has made."""
    dataset = tiny(tmp_path)
    monkeypatch.setattr(data, "MNIST", dataset)
    return functools.partial(load_data_mnist, root=tmp_path)


def numbers(loader):
    """Which images there are: see `tiny`."""
    return loader.images[:, 0, 0, 0].tolist()


def test_mnist_is_loaded_like_fashion_mnist(digits, tmp_path):
    images, labels = mnist(train=False, root=tmp_path)
    assert (images.shape, images.dtype) == ((20, 4, 4, 1), np.uint8)
    assert labels.dtype == np.int32
    train_iter, test_iter = digits(16, resize=8)
    assert (len(train_iter), train_iter.shuffle) == (4, True)
    assert (len(test_iter), test_iter.shuffle) == (2, False)
    X, y = next(iter(test_iter))
    assert (X.shape, X.dtype, y.dtype) == ((16, 1, 8, 8), np.float32,
                                           np.int32)
    np.testing.assert_allclose(X[:, 0, 0, 0].asnumpy() * 255,
                               100 + np.arange(16), rtol=1e-6)


@pytest.mark.parametrize(("num_train", "num_valid"), [
    (None, 1), (None, 25), (20, 40), (7, 33), (1, 59)])
def test_held_out_images_are_never_trained_on(digits, num_train, num_valid):
    train_iter, valid_iter, _ = digits(8, num_train=num_train,
                                       num_valid=num_valid)
    assert len(numbers(train_iter)) == (num_train or 60 - num_valid)
    assert not set(numbers(train_iter)) & set(numbers(valid_iter))
    assert numbers(valid_iter) == list(range(60 - num_valid, 60))
    if num_train is None:
        assert len({*numbers(train_iter), *numbers(valid_iter)}) == 60


def test_one_hot_labels(digits):
    loaders = digits(16, num_valid=10, one_hot=True)
    plain = digits(16, num_valid=10)
    for hot, label in zip(loaders[1:], plain[1:]):
        for (X, y), (X_plain, y_plain) in zip(hot, label):
            assert (y.shape, y.dtype) == ((len(X), 10), np.float32)
            np.testing.assert_array_equal(X.asnumpy(), X_plain.asnumpy())
            np.testing.assert_array_equal(y.asnumpy(), np.eye(10)[
                y_plain.asnumpy()])
    assert next(iter(loaders[0]))[1].shape == (16, 10)


@pytest.mark.parametrize(("one_hot", "error"), [
    (0, ValueError), (True, TypeError), (2, ValueError), (2.5, TypeError)])
def test_one_hot_mistakes(one_hot, error):
    images = np.zeros((3, 2, 2, 1), np.uint8)
    ArrayLoader(images, np.arange(3), 2, one_hot=3)
    with pytest.raises(error):
        ArrayLoader(images, np.arange(3), 2, one_hot=one_hot)


def test_training_images_alone_are_augmented(digits):
    seen = []

    def augment(images):
        seen.append((images.shape, images.dtype))
        images[:] = 255  # a copy: the images themselves stay
        return images
    loaders = digits(25, resize=6, num_valid=10, augment=augment)
    before = [loader.images.copy() for loader in loaders]
    for loader, own in zip(loaders, before):
        for X, _ in loader:
            assert X.shape[1:] == (1, 6, 6)
            assert (X.asnumpy() == 1).all() == (loader is loaders[0])
        np.testing.assert_array_equal(loader.images, own)
    assert seen == [((25, 4, 4, 1), np.uint8)] * 2


def test_augmented_image_keeps_its_label():
    images = np.arange(40, dtype=np.uint8).reshape(40, 1, 1, 1)
    loader = ArrayLoader(images, np.arange(40), 16, shuffle=True,
                         augment=lambda images: images + np.uint8(100))
    for X, y in loader:
        np.testing.assert_allclose(X.asnumpy().ravel() * 255,
                                   y.asnumpy() + 100, rtol=1e-6)


@pytest.mark.parametrize(("augment", "error", "what"), [
    (lambda images: images / 255, TypeError, "uint8 images, not float64"),
    (lambda images: None, TypeError, "uint8 images, not NoneType"),
    (lambda images: images[:1], ValueError, "must return 2 images"),
    (lambda images: images[..., 0], ValueError, r"not an array \(2, 2, 2\)"),
])
def test_augment_must_return_images(augment, error, what):
    loader = ArrayLoader(np.zeros((3, 2, 2, 1), np.uint8), np.zeros(3), 2,
                         augment=augment)
    with pytest.raises(error, match=what):
        next(iter(loader))


@pytest.mark.parametrize("read, side, digest", [
    (data.photograph, 512, "5cb24482"), (data.portrait, 224, "c15664fd")])
def test_photographs_are_the_recorded_ones(read, side, digest):
    pixels = read()
    assert pixels.shape == (side, side) and pixels.dtype == np.uint8
    assert hashlib.sha256(pixels.tobytes()).hexdigest().startswith(digest)


def test_digits_of_mnist_that_come_with_the_course():
    assert data.mnist_digits("samples").shape == (80, 28, 28)
    drawn = data.mnist_digits("mistakes")
    assert drawn.dtype == np.uint8 and drawn.any(axis=(1, 2)).all()
    with pytest.raises(ValueError, match="'samples' and 'mistakes', not 'x'"):
        data.mnist_digits("x")


def test_files_of_photographs_are_the_recorded_ones():
    folder = data._PHOTOS
    sums = dict(line.split()[::-1] for line in
                (folder / "SHA256SUMS").read_text().splitlines())
    assert sums == {file.name: hashlib.sha256(file.read_bytes()).hexdigest()
                    for file in folder.glob("*.png")}
