"""Matplotlib draws what readers give it: MXNet's arrays, lists with them."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import interpreter
import matplotlib as mpl
import mxnet as mx
import numpy as np
import pytest
from matplotlib import pyplot as plt
from mxnet import nd

VALUES = [1.0, 2.0, 4.0]
GRID = np.arange(12.0).reshape(3, 4)


@pytest.fixture(params=["mx.nd", "mx.np"])
def array(request: pytest.FixtureRequest) -> Iterator[Callable[[Any], Any]]:
    """What makes an array."""
    if request.param == "mx.np":
        mx.npx.set_np()
    yield nd.array if request.param == "mx.nd" else mx.np.array
    mx.npx.reset_np()


def drawn(draw: Callable[..., Any], *values: Any) -> bytes:
    """The pixels of a figure."""
    with mpl.rc_context({"figure.figsize": (2, 2), "figure.dpi": 50}):
        draw(*values)
        figure = plt.gcf()
        figure.canvas.draw()
        pixels = bytes(figure.canvas.buffer_rgba())
        plt.close("all")
    return pixels


def space() -> Any:
    return plt.figure().add_subplot(projection="3d")


@pytest.mark.parametrize("draw", [
    lambda v: plt.plot(v), lambda v: plt.plot(range(3), v, "o"),
    lambda v: plt.plot(v, v, v, VALUES), lambda v: plt.semilogy(VALUES, v),
    lambda v: plt.loglog(v, v), lambda v: plt.step(v, v),
    lambda v: plt.scatter(v, v, c=v, s=v), lambda v: plt.hist(v),
    lambda v: plt.bar(list("abc"), v), lambda v: plt.barh(v, v),
    lambda v: plt.stem(v), lambda v: plt.boxplot(v),
    lambda v: plt.fill_between(v, v, 1),
    lambda v: plt.errorbar(v, v, yerr=v), lambda v: plt.quiver(v, v, v, v),
    lambda v: plt.vlines(v, 0, v), lambda v: plt.xticks(v),
    lambda v: plt.contour(GRID, levels=v),
    lambda v: space().plot(v, v, v), lambda v: space().scatter(v, v, v, c=v),
])
def test_rows_of_numbers(draw, array):
    one, two, four = ones = [array([value]) for value in VALUES]
    # Some places of bars depend on the type.
    expected = drawn(draw, VALUES), drawn(draw, np.float32(VALUES))
    assert drawn(draw, [1.0, 3.0, 4.0]) not in expected
    for given in (array(VALUES), ones, tuple(ones), array([VALUES] * 2)[1],
                  array([VALUES] * 2).T[:, 0], [*array(VALUES)],
                  [1.0, two, four], [one, 2, np.float32(4)],
                  (1, array([[2.0]]), four.asnumpy())):
        assert drawn(draw, given) in expected, given


@pytest.mark.parametrize("draw", [
    lambda z, x, y: plt.imshow(z, vmin=0), lambda z, x, y: plt.contour(z),
    lambda z, x, y: plt.contour(x, y, z), lambda z, x, y: plt.plot(z, x),
    lambda z, x, y: plt.contourf(x, y, z, 3), lambda z, x, y: plt.hist([*z]),
    lambda z, x, y: plt.pcolormesh(x, y, z),
    lambda z, x, y: plt.quiver(x, y, z, z),
    lambda z, x, y: space().plot_surface(x, y, z),
    lambda z, x, y: space().plot_wireframe(x, y, z, rstride=2),
    lambda z, x, y: space().contour(x, y, z)])
def test_grids(draw, array):
    arrays = GRID, *np.meshgrid(np.arange(4.0), np.arange(3.0))
    given = drawn(draw, *map(array, arrays))
    assert given == drawn(draw, *arrays)
    assert given != drawn(draw, GRID[::-1] ** 2, *arrays[1:])


@pytest.mark.parametrize("draw", [
    lambda v: plt.plot(v, v, "o"), lambda v: plt.plot([0.0, v], [v, 1]),
    lambda v: plt.scatter(v, 1.0), lambda v: plt.bar("a", v),
    lambda v: plt.xlim(0, v), lambda v: plt.gca().set_ylim([-1.0, v]),
    lambda v: plt.axvline(v), lambda v: plt.axhline(y=v, linestyle="--"),
    lambda v: plt.text(v / 8, 0.5, "t"),
    lambda v: plt.annotate("t", xy=(v / 4, 0), xytext=(0, v / 4),
                           arrowprops={}),
    lambda v: plt.yticks([0.0, v]), lambda v: plt.axis([0, v, 0.0, 1]),
    lambda v: space().scatter([0.0, v], [v, 1.0], [v, v]),
    lambda v: space().set_zlim(0, v)])
@pytest.mark.filterwarnings("ignore:Conversion of an array with ndim > 0")
def test_single_numbers(draw, array):
    expected = drawn(draw, 3.0)
    assert drawn(draw, 2.0) != expected
    for given in (array([3.0]), array([2.0, 3.0])[1], array([3.0]).mean()):
        assert drawn(draw, given) == expected, given


def test_values_of_a_dictionary(array):
    losses = {"a": array([1.0]), "b": array([2.0])}
    assert drawn(lambda: plt.bar(losses.keys(), losses.values())) == drawn(
        lambda: plt.bar(["a", "b"], [1, 2]))


def test_lists_that_have_nothing_of_mxnet_are_left_alone():
    # Three sets of one number each, as ever.
    heights, _, _ = plt.hist([np.ones(1), np.ones(1), np.ones(1)])
    plt.close()
    assert np.shape(heights) == (3, 10)


def test_matplotlib_is_otherwise_as_it_was(capsys):
    axes = plt.gca()
    with pytest.warns(UserWarning, match="identical") as caught:
        axes.set_xlim(1, 1)
    assert caught[0].filename == __file__
    plt.setp(axes, "title")
    assert "title: str" in capsys.readouterr().out
    assert not hasattr(plt.Line2D.set_visible, "__wrapped__")
    plt.close()


@pytest.mark.parametrize("first", ["import mxnet", "import matplotlib.pyplot",
                                   "import importlib.util, mxnet; "
                                   "importlib.util.find_spec("
                                   "'matplotlib.projections')"])
def test_in_whichever_order_they_are_imported(first):
    result = interpreter.run(f"""
{first}
import mxnet as mx
from matplotlib import pyplot as plt
plt.plot([0.5, mx.nd.ones(1)])
""", MPLBACKEND="agg")
    assert result.returncode == 0, result.stderr


def test_mxnet_does_not_import_matplotlib():
    result = interpreter.run(
        "import mxnet, sys; assert 'matplotlib' not in sys.modules")
    assert result.returncode == 0, result.stderr
