"""The drawing functions: what they draw, how large, and what they refuse."""
from __future__ import annotations

import matplotlib.pyplot as plt
import mxnet as mx
import numpy as np
import pytest
from matplotlib.text import Text
from mxnet import nd
from mxnet.gluon import nn

import d2lzh_ext as d2l
from d2lzh_ext import models

SIGNED = np.arange(-6, 12.0).reshape(2, 3, 3)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def shown(axes):
    return [place for place in np.atleast_1d(axes).flat if place.axison]


def chain(*layers):
    net = nn.HybridSequential()
    net.add(*layers)
    return net


def texts(axes):
    return [text.get_text() for text in axes.texts if text.get_text()]


@pytest.mark.parametrize("kernels", [
    SIGNED, SIGNED[:, None], nd.array(SIGNED), list(SIGNED)])
def test_kernels_are_white_at_zero_on_one_scale(kernels):
    axes = d2l.show_kernels(kernels, ["a", "b"])
    assert axes.shape == (1, 2)
    assert [place.get_title() for place in axes.flat] == ["a", "b"]
    for place in axes.flat:
        (image,) = place.images
        assert image.get_clim() == (-11, 11)
        assert min(image.cmap(0.5)[:3]) > 0.95
        red, _, blue, _ = image.cmap(0.9)
        assert red > blue
    assert len(plt.gcf().axes) == 3  # with one colour bar


def test_colour_kernels_are_grey_at_zero():
    kernels = np.zeros((9, 3, 5, 5))
    kernels[0, 0] = -2
    axes = d2l.show_kernels(kernels)
    assert axes.shape == (2, 8) and len(shown(axes)) == 9
    drawn = [place.images[0].get_array() for place in axes.flat[:2]]
    assert (drawn[0] == [0, 0.5, 0.5]).all() and (drawn[1] == 0.5).all()


def test_feature_maps_are_grey_unless_one_is_negative():
    (a, b), = d2l.show_feature_maps(np.abs(SIGNED))
    for image in (*a.images, *b.images):
        assert image.get_clim() == (0, 11) and image.cmap(0.0)[:3] == (0,) * 3
    (a, _), = d2l.show_feature_maps(SIGNED)
    assert a.images[0].get_clim() == (-11, 11)
    (a, _), = d2l.show_feature_maps(SIGNED, limit=20)
    assert a.images[0].get_clim() == (-20, 20)
    (a, _), = d2l.show_feature_maps(np.abs(SIGNED), limit=20)
    assert a.images[0].get_clim() == (0, 20)
    assert d2l.show_feature_maps(np.zeros((20, 2, 2)),
                                 num_cols=7).shape == (3, 7)


def test_a_long_title_is_broken_or_takes_columns():
    axes = d2l.show_feature_maps(np.ones((8, 4, 4)),
                                 ["map of the edge kernel"] * 8)
    assert axes.shape == (1, 8)
    assert axes[0, 0].get_title() == "map of\nthe\nedge\nkernel"
    axes = d2l.image_grid(np.ones((8, 4, 4)), ["incomprehensibilities"] * 8)
    assert axes.shape[1] < 8


@pytest.mark.parametrize("images, limits", [
    (np.full((3, 8, 8), 0.5), (0, 1)), (nd.ones((3, 1, 8, 8)) / 2, (0, 1)),
    (np.full((3, 8, 8, 1), 9, "uint8"), (0, 255)),
    (np.stack([np.full((8, 8), v) for v in (-1.5, 0, 2)]), (-1.5, 2))])
def test_grey_images_have_one_scale(images, limits):
    axes = d2l.image_grid(images, ["ankle boot", "bag", "coat"])
    assert len(shown(axes)) == 3
    assert {place.images[0].get_clim() for place in axes.flat} == {limits}


def test_colour_images_are_drawn_as_they_are():
    (place,), = d2l.image_grid([nd.ones((3, 4, 5)) * 255])
    assert (place.images[0].get_array() == np.ones((4, 5, 3))).all()


def test_curves_of_seeds_have_a_median_where_all_have_a_value():
    axes = d2l.plot_curves({
        "one": [0.1, None, 0.3],
        "seeds": [[0.1, 0.2, 0.3], [0.3, 0.4, float("nan")], [0.2, 0.6]]})
    one, seeds = axes.flat
    assert one.lines[-1].get_xdata().tolist() == [1, 3]
    assert len(seeds.lines) == 4
    assert seeds.lines[-1].get_ydata().tolist() == [0.2, 0.4]
    assert seeds.get_ylim() == one.get_ylim() == (0, 1)
    axes = d2l.plot_curves({str(i): [i, i] for i in range(5)}, ylim=None)
    assert axes.shape == (2, 4) and len(shown(axes)) == 5


def test_bars_show_their_values():
    axes = d2l.plot_bars({"one": 1234, "many": [1, 5, 3]}, "parameters",
                         "{:,}")
    assert texts(axes) == ["1,234", "median 3"]
    assert [bar.get_width() for bar in axes.patches] == [1234, 3]
    assert list(axes.lines[0].get_xdata()) == [1, 5, 3]
    assert axes.yaxis_inverted()


@pytest.mark.parametrize("name, side, boxes", [
    ("lenet", 28, 8), ("alexnet", 224, 10), ("vgg", 224, 13),
    ("nin", 224, 13), ("googlenet", 96, 17)])
def test_networks_of_the_chapters(name, side, boxes):
    axes = d2l.show_network(getattr(models, name)(), (1, 1, side, side))
    names = [text for text in texts(axes) if not text.startswith("not")]
    assert len(names) == 2 * boxes
    figure = axes.figure
    figure.canvas.draw()
    drawn = [text.get_window_extent() for text in axes.texts
             if text.get_text()]
    for i, one in enumerate(drawn):  # inside the figure, and apart
        assert one.x0 >= 0 and one.x1 <= figure.bbox.width
        assert one.y0 >= 0 and one.y1 <= figure.bbox.height
        assert not any(one.overlaps(other) for other in drawn[:i])


def test_equal_layers_are_drawn_once_and_the_size_after_them():
    net = chain(nn.Conv2D(4, 3, padding=1), nn.BatchNorm(),
                nn.Activation("relu"),
                chain(nn.Conv2D(4, 3, padding=1), nn.MaxPool2D(2)),
                nn.Flatten(), nn.Dense(5))
    axes = d2l.show_network(net, (2, 1, 8, 6))
    assert texts(axes) == [
        "input", "1 × 8 × 6", "2 × conv\n3×3", "4 × 8 × 6",
        "max pool\n2×2", "4 × 4 × 3", "dense", "5",
        "not drawn: BatchNorm, Activation, Flatten"]


def test_a_network_stays_as_it_was():
    net = models.lenet()
    names = list(net.collect_params())
    with mx.name.NameManager():
        before = nn.Dense(1).name
    with mx.name.NameManager():
        d2l.show_network(net, (1, 1, 28, 28))
        assert nn.Dense(1).name == before
    assert list(net.collect_params()) == names and len(net) == 7


def figures():
    noise = np.random.RandomState(0).randn(20, 5, 5)
    names = [f"kernel {i}" for i in range(20)]
    yield d2l.show_kernels(noise * 0.12)
    yield d2l.show_feature_maps(noise[:3], names[:3])
    yield d2l.image_grid(noise, names)
    yield d2l.plot_curves({name: [0.1, 0.2] for name in names[:7]})
    yield d2l.plot_bars(dict.fromkeys(names, 2e6), "parameters")
    yield d2l.show_network(models.lenet(), (1, 1, 28, 28))
    axes = plt.subplots(1, 3, figsize=(7.2, 2.4))[1]
    for place in axes:
        d2l.show_array(place, [[1, -2], [3, 4]], title="kernel")
    yield axes


def test_text_and_panels_are_large_enough():
    for axes in figures():
        figure = np.atleast_1d(axes).flat[0].figure
        figure.canvas.draw()
        wide = figure.get_figwidth() * 72
        small = [text.get_text() for text in figure.findobj(Text)
                 if text.get_text() and text.get_visible()
                 and text.get_fontsize() < wide / 40]
        assert small == []
        assert all(place.get_position().width > 0.1 for place in shown(axes))
        assert figure.get_figwidth() <= 7.2


@pytest.mark.parametrize("draw, message", [
    (lambda: d2l.show_kernels(np.ones((2, 4, 3, 3))), r"\(2, 4, 3, 3\)"),
    (lambda: d2l.show_kernels(np.ones((0, 3, 3))), "shape"),
    (lambda: d2l.show_kernels([[[np.nan]]]), "finite"),
    (lambda: d2l.show_kernels(SIGNED, ["one"]), "1 titles for 2"),
    (lambda: d2l.show_kernels(SIGNED, num_cols=9), "1 to 8"),
    (lambda: d2l.show_feature_maps(np.ones((1, 2, 3, 3))), "one image"),
    (lambda: d2l.show_feature_maps(SIGNED, limit=-1), "above zero"),
    (lambda: d2l.image_grid([np.ones(4)]), r"\(4,\)"),
    (lambda: d2l.image_grid([]), "nothing"),
    (lambda: d2l.plot_curves({}), "nothing"),
    (lambda: d2l.plot_curves({"a": []}), "'a' has no number"),
    (lambda: d2l.plot_bars({}, "x"), "at least one"),
    (lambda: d2l.plot_bars({"a": [1, None]}, "x"), "finite"),
    (lambda: d2l.show_network(nn.Dense(2), (1, 3)), "Sequential"),
    (lambda: d2l.show_network(chain(nn.Conv1D(2, 3)), (1, 3, 9)),
     r"vectors; this is \(3, 9\)"),
    (lambda: d2l.show_network(models.lenet(), (1, 1, 4, 4)), "not fit")])
def test_what_cannot_be_drawn_is_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
    assert plt.get_fignums() == []


def test_show_array_is_white_at_zero():
    axes = plt.gca()
    d2l.show_array(axes, [[0, 4.0]])
    low, high = axes.images[0].get_clim()
    assert low == -high
