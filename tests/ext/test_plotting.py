"""Figures are drawn as asked, and refuse what they cannot draw."""
from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from mxnet import nd
from mxnet.gluon import nn
from PIL import Image

import d2lzh_ext as d2l


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_set_figsize_works_outside_a_notebook():
    d2l.set_figsize((4, 3))
    assert plt.rcParams["figure.figsize"] == [4, 3]


def test_the_books_functions_draw_through_the_mended_display():
    # d2lzh.show_trace_2d calls set_figsize, which IPython had broken.
    d2l.show_trace_2d(lambda a, b: a ** 2 + b ** 2, [(-5, -2), (0, 0)])
    assert plt.gca().get_xlabel() == "x1"


@pytest.mark.parametrize("rows, columns", [(1, 1), (1, 3), (2, 2)])
def test_show_images_fills_the_grid(rows, columns):
    images = nd.random.uniform(shape=(4, 5, 6, 3))
    axes = d2l.show_images(images, rows, columns)
    assert axes.shape == (rows, columns)
    assert [a.images[0].get_array().shape for a in axes.flat] == [
        (5, 6, 3)] * (rows * columns)


COLOUR = np.random.RandomState(1).randint(0, 256, (4, 5, 3), np.uint8)


@pytest.mark.parametrize("image", [
    COLOUR, nd.array(COLOUR), COLOUR.astype("int16"), COLOUR / 255,
    COLOUR.astype("float16"), COLOUR.transpose(2, 0, 1),
    nd.array(COLOUR.transpose(2, 0, 1)) / 255, Image.fromarray(COLOUR)])
def test_a_picture_is_drawn_as_it_is(image):
    (axes,), = d2l.show_images([image], 1, 1)
    drawn = np.asarray(axes.images[0].get_array(), float)
    np.testing.assert_allclose(drawn * (255 if drawn.max() <= 1 else 1),
                               COLOUR, atol=0.1)


@pytest.mark.parametrize("image", [
    np.ones((28, 28, 4)), np.ones((3, 4, 3)), np.full((4, 4, 3), 1.1)])
def test_what_is_drawn_as_before(image):
    (axes,), = d2l.show_images([image], 1, 1)
    assert axes.images[0].get_array().shape == image.shape
    assert (axes.images[0].get_array() == 1).all()


def test_show_images_needs_enough_images():
    with pytest.raises(ValueError, match="need 6 images; there are 4"):
        d2l.show_images(nd.ones((4, 5, 5)), 2, 3)


@pytest.mark.parametrize("num", [1, 3])
def test_show_fashion_mnist_labels_each_picture(num):
    names = ["coat", "bag", "shirt"][:num]
    d2l.show_fashion_mnist(nd.ones((num, 1, 28, 28)), names)
    assert [a.get_title() for a in plt.gcf().axes] == names
    with pytest.raises(ValueError, match="as many"):
        d2l.show_fashion_mnist(nd.ones((num, 1, 28, 28)), [])


def test_history_is_drawn():
    history = d2l.History([2.0, 1.0], [0.3, 0.5], [0.4, 0.6], [1, 1], [9, 9])
    history.plot()
    loss, accuracy = plt.gcf().axes
    assert loss.lines[0].get_ydata().tolist() == [2.0, 1.0]
    assert [line.get_ydata().tolist() for line in accuracy.lines] == [
        [0.3, 0.5], [0.4, 0.6]]


def test_confusion_matrix_counts():
    counts = d2l.confusion_matrix([0, 0, 1, 2], [0, 1, 1, 0], 3)
    assert counts.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    d2l.show_confusion_matrix(counts, ["a", "b", "c"])
    assert [t.get_text() for t in plt.gca().texts] == ["1", "1", "1", "1"]


def test_confusion_matrix_refuses_what_it_cannot_count():
    with pytest.raises(ValueError, match="as many"):
        d2l.confusion_matrix([0, 1], [0], 2)
    with pytest.raises(ValueError, match="from 0 to 1"):
        d2l.confusion_matrix([0, 2], [0, 1], 2)
    with pytest.raises(ValueError, match="names"):
        d2l.show_confusion_matrix(np.zeros((2, 2)), ["a"])


class Always(nn.Block):
    """Predicts class 1 for every image."""

    def forward(self, X):
        return nd.one_hot(nd.ones(X.shape[0]), 3)


def test_mistakes_are_the_first_wrong_predictions():
    data = [(nd.ones((3, 1, 4, 4)), nd.array([1, 0, 2], dtype="int32")),
            (nd.ones((2, 1, 4, 4)), nd.array([1, 2], dtype="int32"))]
    names = ["a", "b", "c"]
    assert d2l.show_mistakes(Always(), data, names) == 3
    titles = [a.get_title() for a in plt.gcf().axes if a.get_title()]
    assert titles == [f"{t}\nseen as b" for t in "acc"]
    assert d2l.show_mistakes(Always(), data, names, num=2) == 2
    assert d2l.show_mistakes(Always(), data[:0], names) == 0


def test_show_array_draws_numbers_and_a_window_beyond_the_matrix():
    axes = plt.gca()
    d2l.show_array(axes, nd.array([[1, 2], [3, 4.5]]), (-1, -1, 2, 2), "X")
    assert [text.get_text() for text in axes.texts] == ["1", "2", "3", "4.5"]
    (window,) = axes.patches
    assert window.get_xy() == (-1.5, -1.5)
    assert axes.get_xlim() == (-1.5, 1.5) and axes.get_ylim() == (1.5, -1.5)


def test_equal_numbers_have_equal_colours_under_one_limit():
    axes = plt.subplots(1, 2)[1]
    for place, values in zip(axes, ([[1, 2]], [[1, -1]])):
        d2l.show_array(place, values, limit=2)
    first, second = (place.images[0] for place in axes)
    assert first.get_clim() == second.get_clim()
    d2l.show_array(axes[1], [[1, -1]])
    assert axes[1].images[-1].get_clim()[1] == first.get_clim()[1] / 2


def test_show_array_wants_a_matrix_and_a_limit_above_zero():
    with pytest.raises(ValueError, match=r"\(1, 2, 2\)"):
        d2l.show_array(plt.gca(), nd.ones((1, 2, 2)))
    with pytest.raises(ValueError, match="above zero; this is 0"):
        d2l.show_array(plt.gca(), nd.ones((2, 2)), limit=0)
