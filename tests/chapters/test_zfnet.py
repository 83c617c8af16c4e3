"""Chapter 13's tools: projections, occlusion and saliency do what they say."""
from __future__ import annotations

import numpy as np
import pytest
from mxnet import autograd, gluon, init, nd
from mxnet.gluon import nn

import d2lzh_ext as d2l
from d2lzh_ext.chapters.ch04_pooling import max_pool2d_backward
from d2lzh_ext.chapters.ch13_zfnet import (
    crop_square,
    deconvnet,
    deconvnet_rule,
    feature_maps,
    field_square,
    grad_cam,
    gradient_rule,
    layer_back,
    loss_at,
    marked,
    max_pool2d_switches,
    object_share,
    occluded,
    occlusion_map,
    of_one_class,
    project_back,
    saliency,
    score_gradient,
    share_inside,
    strongest_places,
    transposed,
    unpool,
    zfnet,
)


def chain(*layers, shape=(1, 1, 32, 32), seed=0):
    """An initialised network and a batch for it."""
    d2l.seed(seed)
    net = nn.HybridSequential()
    net.add(*layers)
    net.initialize(init.Xavier("gaussian", "in", 2))
    X = nd.random.normal(shape=shape)
    net(X)
    for parameter in net.collect_params(".*bias").values():
        parameter.set_data(nd.random.normal(0, 0.1, parameter.shape))
    return net, X


def tiny_zfnet(shape=(3, 1, 64, 64)):
    return chain(*zfnet(5, (4, 6, 8, 8, 6), units=16, second_stride=1),
                 shape=shape)


# The network

def test_sizes_of_the_maps_are_those_of_figure_3():
    table = d2l.summary(zfnet(), (1, 3, 224, 224))
    assert table.parameters == 62_357_608
    assert [layer.output_shape[1:] for layer in table.layers[:8]] == [
        (96, 110, 110), (96, 55, 55), (256, 26, 26), (256, 13, 13),
        (384, 13, 13), (384, 13, 13), (256, 13, 13), (256, 6, 6)]


def test_feature_maps_are_the_outputs_layer_by_layer():
    net, X = tiny_zfnet()
    maps = feature_maps(net, X)
    assert [Y.shape for Y in maps] == [
        layer.output_shape for layer in d2l.summary(net, X.shape).layers]
    assert (maps[-1] == net(X)).asnumpy().all()


# A linear layer and its transpose

@pytest.mark.parametrize("layer, shape", [
    (nn.Conv2D(4, 3), (2, 3, 8, 8)),
    (nn.Conv2D(4, 7, strides=2, padding=1), (2, 1, 16, 16)),
    (nn.Conv2D(4, 7, strides=2, padding=1), (2, 1, 17, 15)),
    (nn.Conv2D(5, 5, strides=3, padding=2), (1, 2, 13, 12)),
    (nn.Conv2D(6, 3, strides=2, dilation=2), (1, 2, 12, 11)),
    (nn.Conv2D(6, (3, 2), strides=(1, 2), padding=(1, 0), groups=2,
               in_channels=4), (1, 4, 7, 9)),
    (nn.Dense(7), (3, 2, 4, 4)),
])
def test_deconvnet_of_a_linear_layer_is_its_transpose(layer, shape):
    """<A x, r> = <x, A^T r> for all x and r."""
    _, X = chain(layer, shape=shape)
    layer.bias.set_data(nd.zeros(layer.bias.shape))
    Y = layer(X)
    R = nd.random.normal(shape=Y.shape)
    down = transposed(layer, X, R)
    assert down.shape == X.shape
    assert (down == layer_back(layer, X, Y, R)).asnumpy().all()
    assert float((Y * R).sum().asscalar()) == pytest.approx(
        float((X * down).sum().asscalar()), rel=1e-4, abs=1e-3)


def test_of_the_transpose_every_entry_is_right():
    """The matrix of a layer, column by column, against that of its way back.
    """
    layer = nn.Conv2D(2, 3, strides=2, padding=1, use_bias=False)
    _, X = chain(layer, shape=(1, 1, 5, 4))
    units = nd.eye(20).reshape((20, 1, 5, 4))
    matrix = layer(units).asnumpy().reshape(20, -1).T
    Y = layer(X)
    outputs = nd.eye(Y.size).reshape((Y.size, *Y.shape[1:]))
    back = transposed(layer, nd.zeros((Y.size, 1, 5, 4)), outputs)
    np.testing.assert_allclose(back.asnumpy().reshape(Y.size, 20), matrix,
                               atol=1e-6)


# Pooling and unpooling

POOLINGS = [(2, 2, 0), (3, 2, 0), (3, 2, 1), (3, 3, 1), (3, 1, 1)]


@pytest.mark.parametrize("size, stride, padding", POOLINGS)
def test_pooling_with_switches_is_gluons_max_pooling(size, stride, padding):
    X = np.random.RandomState(0).normal(size=(2, 3, 9, 8)).astype("float32")
    pooled, switches = max_pool2d_switches(X, size, stride, padding)
    expected = nn.MaxPool2D(size, stride, padding)(nd.array(X)).asnumpy()
    assert (pooled == expected).all()
    flat = X.reshape(2, 3, -1)
    assert (np.take_along_axis(flat, switches.reshape(2, 3, -1), -1)
            == pooled.reshape(2, 3, -1)).all()


@pytest.mark.parametrize("size, stride, padding", POOLINGS)
def test_unpooling_puts_every_maximum_where_it_was(size, stride, padding):
    X = np.random.RandomState(1).uniform(0.1, 1, (2, 3, 9, 8))
    pooled, switches = max_pool2d_switches(X, size, stride, padding)
    windows = unpool(np.ones_like(pooled), switches, X.shape)
    assert windows.sum() == pooled.size
    back = unpool(pooled, switches, X.shape)
    # A maximum of several windows comes back once from each.
    np.testing.assert_allclose(back, X * windows)
    again, _ = max_pool2d_switches(
        back / np.maximum(windows, 1), size, stride, padding)
    np.testing.assert_allclose(again, pooled)
    if stride >= size:
        assert windows.max() == 1
        assert (max_pool2d_switches(back, size, stride, padding)[0]
                == pooled).all()


def test_unpooling_is_the_gradient_of_chapter_4():
    rng = np.random.RandomState(2)
    X = rng.randint(0, 4, (2, 3, 9, 9)).astype(float)     # many are equal
    pooled, switches = max_pool2d_switches(X, 3, 2)
    dY = rng.normal(size=pooled.shape)
    np.testing.assert_allclose(unpool(dY, switches, X.shape),
                               max_pool2d_backward(X, dY, 3, 2))


@pytest.mark.parametrize("size, stride, padding", POOLINGS)
def test_unpooling_is_gluons_gradient(size, stride, padding):
    X = nd.array(np.random.RandomState(3).normal(size=(2, 3, 9, 8)))
    X.attach_grad()
    with autograd.record():
        Y = nn.MaxPool2D(size, stride, padding)(X)
    R = nd.random.normal(shape=Y.shape)
    Y.backward(R)
    _, switches = max_pool2d_switches(X.asnumpy(), size, stride, padding)
    np.testing.assert_allclose(unpool(R.asnumpy(), switches, X.shape),
                               X.grad.asnumpy(), atol=1e-5)


# The way back through a network

def test_rules_of_relu():
    R, Y = nd.array([-2, -2, 3, 3]), nd.array([0, 5, 0, 5])
    assert deconvnet_rule(R, Y).asnumpy().tolist() == [0, 0, 3, 3]
    assert gradient_rule(R, Y).asnumpy().tolist() == [0, -2, 0, 3]


def test_gradient_rule_gives_the_gradient_from_every_layer():
    net, X = tiny_zfnet()
    for layer in range(len(net)):
        Z = X.copy()
        Z.attach_grad()
        with autograd.record():
            Y = Z
            for block in list(net)[:layer + 1]:
                # In training mode dropout would drop.
                Y = Y if isinstance(block, nn.Dropout) else block(Y)
        R = nd.random.normal(shape=Y.shape)
        Y.backward(R)
        expected = Z.grad.asnumpy()
        found = project_back(net, X, layer, R, gradient_rule).asnumpy()
        np.testing.assert_allclose(found, expected, rtol=1e-3,
                                   atol=1e-5 * np.abs(expected).max())


def test_without_relu_deconvnet_and_gradient_are_the_same():
    net, X = chain(nn.Conv2D(4, 3, strides=2), nn.MaxPool2D(2, 2),
                   nn.Conv2D(3, 3), nn.Dense(5))
    R = nd.random.normal(shape=(1, 5))
    there = project_back(net, X, 3, R)
    assert (there == project_back(net, X, 3, R, gradient_rule)).asnumpy().all()
    relu, X = chain(nn.Conv2D(4, 3, strides=2, activation="relu"),
                    nn.MaxPool2D(2, 2), nn.Dense(5))
    assert (project_back(relu, X, 2, R) != project_back(
        relu, X, 2, R, gradient_rule)).asnumpy().any()


def test_deconvnet_projects_one_activation_of_each_picture():
    net, X = tiny_zfnet()
    maps = feature_maps(net, X)[2]
    places = strongest_places(maps[:, 1])
    for (row, column), one in zip(places, maps[:, 1].asnumpy()):
        assert one[row, column] == one.max()
    R = np.zeros(maps.shape, "float32")
    for i, (row, column) in enumerate(places):
        R[i, 1, row, column] = maps[i, 1, row, column].asscalar()
    expected = project_back(net, X, 2, nd.array(R)).asnumpy()
    assert expected.any()
    assert (deconvnet(net, X, 2, 1).asnumpy() == expected).all()
    assert (deconvnet(net, X, 2, 1, places).asnumpy() == expected).all()


def test_a_layer_without_a_way_back_is_named():
    net, X = chain(nn.AvgPool2D(2, 2))
    with pytest.raises(TypeError, match="AvgPool2D"):
        project_back(net, X, 0, net(X))
    net, X = chain(nn.Conv2D(2, 3, activation="sigmoid"))
    with pytest.raises(TypeError, match="sigmoid"):
        project_back(net, X, 0, net(X))


# The square that a place sees

@pytest.mark.parametrize("layer, row, column", [
    (0, 0, 0), (0, 3, 9), (2, 5, 4), (3, 2, 3), (4, 0, 2), (6, 3, 3)])
def test_field_square_holds_all_that_a_place_depends_on(layer, row, column):
    net, X = tiny_zfnet(shape=(1, 1, 96, 96))
    for parameter in net.collect_params(".*weight").values():
        parameter.set_data(nd.ones(parameter.shape))       # nothing cancels
    top, left, size = field_square(net, layer, row, column)
    Y = feature_maps(net, X)[layer]
    R = nd.zeros_like(Y)
    R[0, 0, row, column] = 1
    # Pooling sees all of its window; the mean stands in for the maximum.
    X.attach_grad()
    with autograd.record():
        Y = X
        for block in list(net)[:layer + 1]:
            if isinstance(block, nn.MaxPool2D):
                Y = nd.Pooling(Y, kernel=(3, 3), stride=(2, 2),
                               pad=block._kwargs["pad"], pool_type="avg")
            else:
                Y = nd.Convolution(Y, block.weight.data(), block.bias.data(),
                                   **block._kwargs)
    Y.backward(R)
    seen = X.grad[0, 0].asnumpy() != 0
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    assert (rows[0], rows[-1]) == (max(top, 0), min(top + size, 96) - 1)
    assert (columns[0], columns[-1]) == (max(left, 0),
                                         min(left + size, 96) - 1)


def test_crop_square_is_black_beyond_the_picture():
    image = np.arange(1.0, 13).reshape(3, 4)
    assert (crop_square(image, 1, 1, 2) == image[1:3, 1:3]).all()
    beyond = crop_square(image, -1, 2, 3)
    assert beyond.tolist() == [[0, 0, 0], [3, 4, 0], [7, 8, 0]]


# Occlusion

def test_occluded_changes_the_square_of_each_copy_and_nothing_else():
    image = nd.random.uniform(shape=(2, 8, 6))
    before = image.asnumpy().copy()
    copies = occluded(image, [(0, 0), (5, 2)], 3, 0.5).asnumpy()
    assert (image.asnumpy() == before).all()
    for copy, (top, left) in zip(copies, [(0, 0), (5, 2)]):
        hidden = np.zeros((2, 8, 6), bool)
        hidden[:, top:top + 3, left:left + 3] = True
        assert (copy[hidden] == 0.5).all()
        assert (copy[~hidden] == before[~hidden]).all()


def test_occluded_by_the_mean_of_what_is_hidden():
    image = nd.random.uniform(shape=(2, 8, 6))
    (copy,) = occluded(image, [(5, 2)], 3, None).asnumpy()
    square = image[:, 5:8, 2:5].asnumpy()
    for channel, found in zip(square, copy[:, 5:8, 2:5]):
        np.testing.assert_allclose(found, channel.mean(), rtol=1e-6)
    assert (copy[:, :5] == image[:, :5].asnumpy()).all()


def test_loss_at_is_that_of_each_image_at_its_place():
    def net(X):                      # pixel (2, 1) speaks for class 1
        score = 3 * X[:, 0, 2, 1]
        return nd.stack(nd.zeros_like(score), score, axis=1)

    X = nd.ones((2, 1, 8, 6))
    lost = loss_at(net, X, [(0, 0), (4, 0)], 4, 0)
    assert lost == pytest.approx((1 / (1 + np.exp(-3)) - 0.5) / 2, abs=1e-6)
    assert loss_at(net, X, [(0, 0), (4, 0)], 4, None) == pytest.approx(0)


def test_marked_images_have_a_frame_and_a_mark():
    X = np.random.RandomState(0).uniform(size=(2, 1, 48, 48))
    images = marked(X, [0, 9])
    assert images.shape == (2, 1, 64, 64)
    assert (images[:, :, 8:56, 8:56] == X).all()
    assert (images[0, 0, 1:7, 2:8] == 1).all()
    assert (images[1, 0, 1:7, 56:62] == 1).all()
    assert (images.sum(axis=(1, 2, 3)) == pytest.approx(
        X.sum(axis=(1, 2, 3)) + 36))


# Counts

def test_of_one_class_counts_the_strongest_images_of_each_channel():
    labels = np.array([0, 0, 0, 1, 1, 2])
    maps = np.zeros((6, 3, 1, 2), "float32")
    maps[:, 0, 0, 1] = [3, 2, 1, 0, 0, 0]         # three of class 0
    maps[:, 1, 0, 0] = [0, 0, 1, 2, 3, 0]         # two of class 1
    maps[:, 2, 0, 0] = [1, 1, 0, 0, 0, 0]         # too few respond
    assert of_one_class(nd.array(maps), labels, 3) == 2.5


def test_share_inside_is_of_each_map_s_magnitude():
    maps = np.array([[[1.0, -1], [2, 0]], [[0, 0], [0, 0]],
                     [[0, 0], [0, 4]]])
    inside = np.zeros((3, 2, 2), bool)
    inside[:, 0] = True
    assert share_inside(maps, inside) == 0.25      # of 1/2 and 0


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_occlusion_map_drops_where_the_pixel_that_counts_is_hidden(
        batch_size):
    def net(X):                      # pixel (9, 4) speaks for class 1
        score = 3 * X[:, 0, 9, 4]
        return nd.stack(nd.zeros_like(score), score, axis=1)

    image = nd.ones((1, 16, 12))
    heat = occlusion_map(net, image, 1, 4, 2, 0, batch_size)
    assert heat.shape == (7, 5)
    hides = np.array([[2 * i <= 9 < 2 * i + 4 and 2 * j <= 4 < 2 * j + 4
                       for j in range(5)] for i in range(7)])
    np.testing.assert_allclose(heat[hides], 0.5)
    np.testing.assert_allclose(heat[~hides], 1 / (1 + np.exp(-3)), rtol=1e-5)


def test_object_share_counts_bright_pixels_under_each_square():
    image = np.zeros((16, 12))
    image[4:8, 2:6] = 0.7
    share = object_share(image, 4, 2)
    assert share.shape == (7, 5)
    assert share[2, 1] == 1 and share[0, 1] == 0 and share[1, 1] == 0.5


@pytest.fixture(scope="module")
def trained():
    """A small network that reads clothes, and a batch of test pictures."""
    train_iter, test_iter = d2l.load_data_fashion_mnist(
        50, num_train=2000, num_test=400)
    d2l.seed(0)
    net = nn.HybridSequential()
    net.add(nn.Conv2D(16, 5, strides=2, padding=1, activation="relu"),
            nn.Conv2D(32, 3, activation="relu"), nn.MaxPool2D(2, 2),
            nn.Dropout(0.2), nn.Dense(10))
    net.initialize(init.Xavier("gaussian", "in", 2))
    trainer = gluon.Trainer(net.collect_params(), "adam",
                            {"learning_rate": 2e-3})
    history = d2l.train_ch5(net, train_iter, test_iter, 50, trainer,
                            d2l.try_gpu(), 4)
    assert history.test_acc[-1] > 0.7
    batches = list(test_iter)
    return (net, nd.concat(*[X for X, _ in batches], dim=0),
            nd.concat(*[y for _, y in batches], dim=0))


def test_hiding_the_object_costs_more_than_hiding_the_background(trained):
    """On average over 200 pictures, with squares of the background's black.
    """
    net, X, y = trained
    before = nd.softmax(net(X)).asnumpy()
    losses = []
    for i, label in enumerate(y.asnumpy()):
        share = object_share(X[i, 0].asnumpy(), 8, 4)
        objects, background = share >= 0.8, share <= 0.05
        if objects.any() and background.any():
            heat = before[i, label] - occlusion_map(net, X[i], int(label), 8,
                                                    4, grey=0)
            losses.append((heat[objects].mean(), heat[background].mean()))
        if len(losses) == 200:
            break
    assert len(losses) == 200
    on_object, on_background = np.mean(losses, axis=0)
    assert on_object > 0.05
    assert on_object > 3 * abs(on_background)


# Saliency

@pytest.mark.parametrize("compiled", [False, True])
def test_saliency_is_the_size_of_the_derivative(trained, compiled):
    net, X, y = trained
    net.hybridize(compiled)
    try:
        # Noise: where numbers of a pooling window are equal, the slope to
        # one side is not that to the other.
        d2l.seed(1)
        X, y = nd.random.uniform(shape=(3, 1, 28, 28)), y[:3]
        found = saliency(net, X, y).asnumpy()
        assert found.shape == (3, 28, 28)
        assert X.grad is None
        errors = []
        # As Python's integers: MXNet 1.9.1 cannot read those of NumPy 2.
        for i, row, column in (np.random.RandomState(0).randint(
                0, 28, (30, 3)) % (3, 28, 28)).tolist():
            scores = []
            for step in (-1e-3, 1e-3):
                moved = X.copy()
                moved[i, 0, row, column] += step
                scores.append(net(moved)[i, int(y[i].asscalar())].asscalar())
            slope = abs(scores[1] - scores[0]) / 2e-3
            errors.append(abs(found[i, row, column] - slope))
        # The median, because a step may cross a bend of a ReLU.
        assert np.median(errors) < 0.01 * found.max()
    finally:
        net.hybridize(False)


def test_saliency_is_the_way_back_with_the_rule_of_the_gradient(trained):
    net, X, y = trained
    X, y = X[:4], y[:4]
    R = nd.one_hot(y, 10)
    back = project_back(net, X, len(net) - 1, R, gradient_rule)
    np.testing.assert_allclose(saliency(net, X, y).asnumpy(),
                               back.abs().max(axis=1).asnumpy(), atol=1e-4)


# Grad-CAM

def test_score_gradient_starts_anywhere_in_the_chain(trained):
    net, X, y = trained
    X, y = X[:4], y[:4]
    maps = feature_maps(list(net)[:2], X)[-1]
    found = score_gradient(list(net)[2:], maps, y).asnumpy()
    Z = maps.copy()
    Z.attach_grad()
    with autograd.record():
        scores = nd.pick(net[4](net[2](Z)), y, axis=1)
    scores.backward()
    np.testing.assert_allclose(found, Z.grad.asnumpy(), atol=1e-6)


def test_grad_cam_of_a_mean_and_a_dense_layer_is_the_class_activation_map():
    """Selvaraju et al. (2017), section 3.1, up to the number of places."""
    net, X = chain(nn.Conv2D(4, 3, activation="relu"), nn.GlobalAvgPool2D(),
                   nn.Dense(3), shape=(2, 1, 10, 10))
    y = nd.array([2, 0])
    maps = net[0](X)
    weights = net[2].weight.data()[y].reshape((2, 4, 1, 1))
    expected = nd.relu((weights * maps).sum(axis=1, keepdims=True)) / 64
    expected = nd.contrib.BilinearResize2D(expected, height=10, width=10)
    np.testing.assert_allclose(grad_cam(net, X, y, 0).asnumpy(),
                               expected[:, 0].asnumpy(), atol=1e-6)
