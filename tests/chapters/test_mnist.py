"""Chapter 14: its networks, their first weights, shifts, and settings."""
from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from mxnet import autograd, gluon, init, nd
from mxnet.gluon import nn

import d2lzh_ext as d2l
from d2lzh_ext.models import mnist

RECIPES = {"classic": mnist.CLASSIC_SETTINGS, "published": mnist.SETTINGS,
           "improved": mnist.IMPROVED_SETTINGS}


def weights(net):
    return [layer.weight.data().asnumpy() for layer in net
            if hasattr(layer, "weight")]


def biases(net):
    return [layer.bias.data().asnumpy() for layer in net
            if hasattr(layer, "bias")]


def initialised(network):
    d2l.seed(0)
    net = network()
    net.initialize()
    net(nd.zeros((1, 1, 28, 28)))
    return net


# --- networks -------------------------------------------------------------

def test_parameters_and_work():
    """Counted by hand, layer by layer."""
    table = d2l.summary(mnist.classic_net(), (1, 1, 28, 28))
    assert table.parameters == (32 * 26 + 64 * (32 * 25 + 1)
                                + 1024 * (7 * 7 * 64 + 1) + 10 * 1025)
    assert table.parameters == 3_274_634
    assert table.macs == (28 * 28 * 32 * 25 + 14 * 14 * 64 * 32 * 25
                          + 7 * 7 * 64 * 1024 + 1024 * 10)
    table = d2l.summary(mnist.deep_convnet(), (1, 1, 28, 28))
    assert table.parameters == (16 * 10 + 16 * 145 + 32 * 145 + 32 * 289
                                + 64 * 289 + 64 * 577 + 50 * 1025 + 510)


def test_sizes_of_the_maps():
    """The fourth convolution's padding makes 16 × 16 of 14 × 14."""
    sides = [layer.output_shape[-1] for layer in d2l.summary(
        mnist.deep_convnet(), (1, 1, 28, 28)).layers[:9]]
    assert sides == [28, 28, 14, 14, 16, 8, 8, 8, 4]
    sides = [layer.output_shape[-1] for layer in d2l.summary(
        mnist.classic_net(), (1, 1, 28, 28)).layers[:4]]
    assert sides == [28, 14, 14, 7]


def test_first_weights_of_the_classic_network():
    net = initialised(mnist.classic_net)
    for weight in weights(net):
        assert np.abs(weight).max() <= np.float32(0.2)
    # the standard deviation of a normal that is cut at two sigma
    assert weights(net)[2].std() == pytest.approx(0.0880, rel=0.01)
    assert all((bias == np.float32(0.1)).all() for bias in biases(net))


def test_first_weights_of_deep_convnet_are_he():
    net = initialised(mnist.deep_convnet)
    fan_ins = [9, 144, 144, 288, 288, 576, 1024, 50]
    for weight, fan_in in zip(weights(net), fan_ins):
        assert weight[0].size == fan_in
        spread = 4 / math.sqrt(2 * weight.size)  # four standard errors
        assert weight.std() == pytest.approx(math.sqrt(2 / fan_in),
                                             rel=spread)
    assert all((bias == 0).all() for bias in biases(net))


def test_deep_convnet_starts_as_with_xavier():
    """init.Xavier('gaussian', 'in', 2) draws the same numbers."""
    one, other = initialised(mnist.deep_convnet), mnist.deep_convnet()
    for layer in other:
        if hasattr(layer, "weight"):
            layer.weight.init = None
    d2l.seed(0)
    other.initialize(init.Xavier("gaussian", "in", 2))
    other(nd.zeros((1, 1, 28, 28)))
    for ours, theirs in zip(weights(one), weights(other)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_dropout_comes_after_the_last_layer():
    net = initialised(mnist.deep_convnet)
    assert [type(layer) for layer in list(net)[-4:]] == [
        nn.Dense, nn.Dropout, nn.Dense, nn.Dropout]
    X = nd.random.uniform(shape=(50, 1, 28, 28))
    with autograd.train_mode():
        scores = net(X).asnumpy()
    assert 0.35 < (scores == 0).mean() < 0.65
    assert (net(X).asnumpy() != 0).all()


def test_truncated_normal_has_the_spread_of_its_sigma():
    layer = nn.Dense(300, weight_initializer=mnist.TruncatedNormal(2.0))
    layer.initialize()
    layer(nd.zeros((1, 300)))
    values = layer.weight.data().asnumpy()
    assert 3.9 < np.abs(values).max() <= 4
    assert values.mean() == pytest.approx(0, abs=0.03)
    assert values.std() == pytest.approx(2 * 0.8796, rel=0.01)
    # within one sigma lie .6827 of .9545
    assert (np.abs(values) < 2).mean() == pytest.approx(0.7152, abs=0.01)


# --- random shifts --------------------------------------------------------

def shifted(image, down, right):
    """One move, pixel by pixel."""
    moved = np.zeros_like(image)
    height, width, _ = image.shape
    for row in range(height):
        for column in range(width):
            if 0 <= row - down < height and 0 <= column - right < width:
                moved[row, column] = image[row - down, column - right]
    return moved


@pytest.mark.parametrize("most", [0, 1, 2, 6])
def test_each_image_is_moved_by_itself(most):
    rng = np.random.RandomState(0)
    images = rng.randint(1, 256, (30, 5, 4, 3), np.uint8)
    before = images.copy()
    np.random.seed(1)
    moved = mnist.random_shifts(images, most)
    assert (moved.shape, moved.dtype) == (images.shape, np.uint8)
    np.testing.assert_array_equal(images, before)
    moves = range(-most, most + 1)
    for one, image in zip(moved, images):
        assert any((one == shifted(image, down, right)).all()
                   for down in moves for right in moves)


def test_every_move_is_drawn_equally_often():
    images = np.zeros((25_000, 7, 7, 1), np.uint8)
    images[:, 3, 3] = 9
    np.random.seed(0)
    moved = mnist.random_shifts(images)
    assert (moved.sum(axis=(1, 2, 3)) == 9).all()
    where = (moved == 9).sum(axis=0)[..., 0]
    assert (where[1:6, 1:6].sum(), where[1:6, 1:6].size) == (25_000, 25)
    assert where[1:6, 1:6].min() > 850 and where[1:6, 1:6].max() < 1150


def test_shifts_follow_the_seed():
    images = np.random.RandomState(0).randint(0, 256, (20, 8, 8, 1), np.uint8)
    first, again, other = (
        (np.random.seed(seed), mnist.random_shifts(images))[1].tobytes()
        for seed in (3, 3, 4))
    assert first == again != other


def test_shifts_by_a_negative_number_are_refused():
    with pytest.raises(ValueError):
        mnist.random_shifts(np.zeros((2, 4, 4, 1), np.uint8), -1)


# --- settings -------------------------------------------------------------

@pytest.mark.parametrize("settings", RECIPES.values(), ids=RECIPES)
def test_settings_name_the_same_numbers(settings, monkeypatch):
    monkeypatch.setenv("D2LZH_PROFILE", "book")
    book = d2l.settings(**settings)
    assert (book.batch_size, book.num_epochs, book.num_valid) == (
        100, 20, 5000)
    assert (book.data, book.num_train) == ("mnist", None)
    assert settings["quick"]["data"] == "fashion_mnist"


def test_the_improvement_is_two_changes():
    for profile, setting in mnist.SETTINGS.items():
        improved = mnist.IMPROVED_SETTINGS[profile]
        changed = {key for key in setting if setting[key] != improved[key]}
        assert changed == {"shifts", "falling"}
        assert improved["shifts"] == 2 and improved["falling"]


def quick(settings, **changes):
    return SimpleNamespace(**{**settings["quick"], **changes})


def test_loaders_of_a_setting():
    setting = quick(mnist.IMPROVED_SETTINGS, num_train=300, num_valid=120)
    train_iter, valid_iter, test_iter = mnist.mnist_iters(setting)
    assert [len(it.labels) for it in (train_iter, valid_iter, test_iter)] == [
        300, 120, 10_000]
    plain = d2l.load_data_fashion_mnist(100, num_train=300)[0].images
    np.testing.assert_array_equal(train_iter.images, plain)
    np.random.seed(0)
    moved = np.concatenate([X.asnumpy() for X, _ in train_iter])
    order = np.random.RandomState(0).permutation(300)
    assert (moved[:, 0] * 255 != plain[order, ..., 0]).any(axis=(1, 2)
                                                           ).mean() > 0.8
    for loader in (valid_iter, test_iter):
        assert loader.augment is None and not loader.shuffle
    check = mnist.first_images(valid_iter, 50)
    np.testing.assert_array_equal(check.images, valid_iter.images[:50])
    assert len(check.labels) == 50 and not check.shuffle
    published = mnist.mnist_iters(quick(mnist.SETTINGS, num_train=100))
    assert published[0].augment is None


def rates(setting, steps):
    """Learning rate at the end of each step of one parameter."""
    net = nn.Dense(1)
    net.initialize(init.One())
    trainer = mnist.new_trainer(net, setting, num_batches=5)
    found = []
    for _ in range(steps):
        with autograd.record():
            net(nd.ones((1, 1))).backward()
        trainer.step(1)
        found.append(trainer.learning_rate)
    return found


def test_learning_rate_falls_to_0_as_a_cosine():
    setting = quick(mnist.IMPROVED_SETTINGS, num_epochs=2)
    expected = [0.001 * (1 + math.cos(math.pi * k / 10)) / 2
                for k in range(1, 11)]
    assert rates(setting, 12) == pytest.approx([*expected, 0, 0], abs=1e-12)
    assert rates(quick(mnist.SETTINGS), 4) == [0.001] * 4


def test_trains_and_loads_again(tmp_path):
    """Loaded into a new network, the parameters predict the same."""
    setting = quick(mnist.SETTINGS, num_train=200, num_valid=100)
    train_iter, valid_iter, _ = mnist.mnist_iters(setting)
    net = initialised(mnist.deep_convnet)
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    trainer = mnist.new_trainer(net, setting, len(train_iter))
    for X, y in train_iter:
        with autograd.record():
            l = loss(net(X), y)  # noqa: E741
        l.backward()
        trainer.step(len(y))
    net.save_parameters(str(tmp_path / "deep.params"))
    copy = mnist.deep_convnet()
    copy.load_parameters(str(tmp_path / "deep.params"))
    for X, _ in valid_iter:
        np.testing.assert_array_equal(copy(X).asnumpy(), net(X).asnumpy())
    with pytest.raises(AssertionError, match="missing in file"):
        other = mnist.classic_net()
        other.load_parameters(str(tmp_path / "deep.params"))
