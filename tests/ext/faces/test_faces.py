"""Keypoints: Kaggle's file, mirroring, batches, and the chapter's loop."""
from __future__ import annotations

import re

import d2lzh_ext as d2l  # before anything that imports mxnet

# isort: split
import matplotlib.pyplot as plt
import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon, init

from d2lzh_ext import faces as keypoints
from d2lzh_ext.chapters.ch15_keypoints import (
    dense_map_net,
    heat_map_loss,
    heat_map_net,
    keypoint_net,
    mean_position,
    moved_faces,
    predict_keypoints,
    target_maps,
    train_keypoints,
)
from d2lzh_ext.engine.compiled import compiled
from d2lzh_ext.faces import COLUMNS, NAMES, SWAP, Loader, drawn, flip, rmse

PIXELS = np.arange(96 * 96) % 256


def row(pixels=PIXELS, **coordinates):
    """One line of the file; coordinates are 1 to 30 unless they are given."""
    values = {**dict(zip(COLUMNS, range(1, 31))), **coordinates}
    return ",".join([*map(str, values.values()), " ".join(map(str, pixels))])


def with_pixel(value):
    return row([*PIXELS[:100], value, *PIXELS[101:]])


HEADER = ",".join([*COLUMNS, "Image"])


@pytest.fixture
def write(tmp_path):
    def write(*lines, end="\n", encoding="utf-8"):
        path = tmp_path / "training.csv"
        path.write_bytes("".join(x + end for x in lines).encode(encoding))
        return path
    return write


# -- the file ------------------------------------------------------------

def test_names_are_kaggles():
    assert len(NAMES) == 15 and len(COLUMNS) == 30
    assert COLUMNS[:3] == ("left_eye_center_x", "left_eye_center_y",
                           "right_eye_center_x")
    assert COLUMNS[-1] == "mouth_center_bottom_lip_y"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_load_scales_pixels_and_coordinates(write, end):
    edges = row(**{name: 96 * (name[-1] == "y") for name in COLUMNS})
    path = write(HEADER, row(), edges, end=end)
    X, y, mask = keypoints.load(path)
    assert X.shape == (2, 9216) and y.shape == mask.shape == (2, 30)
    assert {a.dtype for a in (X, y, mask)} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(X[0], (PIXELS / 255).astype("float32"))
    np.testing.assert_allclose(y[0], (np.arange(1, 31) - 48) / 48, rtol=1e-6)
    assert y[1].tolist() == [-1, 1] * 15
    assert (mask == 1).all()
    images, *others = keypoints.load2d(path)
    np.testing.assert_array_equal(images, X.reshape(2, 1, 96, 96))
    np.testing.assert_array_equal(others, (y, mask))


def test_missing_keypoints_are_dropped_or_masked(write):
    path = write(HEADER, row(nose_tip_x=""), row(), row(nose_tip_y=" "))
    X, y, _ = keypoints.load(path)
    assert len(X) == len(y) == 1
    X, y, mask = keypoints.load(path, missing="mask")
    assert len(X) == 3
    x_at, y_at = (COLUMNS.index(f"nose_tip_{axis}") for axis in "xy")
    assert mask.sum() == 88 and mask[0, x_at] == mask[2, y_at] == 0
    assert y[0, x_at] == y[2, y_at] == 0 and y[0, y_at] != 0
    with pytest.raises(ValueError, match="'drop' or 'mask'"):
        keypoints.load(path, missing="ignore")


def test_a_file_without_a_complete_row_says_so(write):
    path = write(HEADER, row(nose_tip_x=""))
    with pytest.raises(d2l.DataError, match="missing='mask' keeps"):
        keypoints.load(path)
    assert len(keypoints.load(path, missing="mask")[0]) == 1


def test_order_of_columns_more_columns_and_empty_lines_do_not_matter(write):
    values = row().split(",")
    path = write(",".join(["id", "Image", *reversed(COLUMNS)]), "",
                 ",".join(["7", values[30], *reversed(values[:30])]), "")
    for ours, theirs in zip(keypoints.load(path),
                            keypoints.load(write(HEADER, row()))):
        np.testing.assert_array_equal(ours, theirs)


def test_a_byte_order_mark_is_no_name(write):
    assert len(keypoints.load(write(HEADER, row(), encoding="utf-8-sig"))[0])


@pytest.mark.parametrize("lines, words", [
    ([], ["the file is empty"]),
    ([HEADER], ["no row but the first"]),
    ([HEADER.replace("nose_tip_x,", "")], ["row 1", "no column 'nose_tip_x'",
                                           "training.csv of facial"]),
    (["ImageId,Image", "1,2"], ["'left_eye_center_x' and 29 more"]),
    ([HEADER + ",nose_tip_x"], ["row 1", "'nose_tip_x' twice"]),
    ([HEADER, row(), row(nose_tip_y="4o.5")],
     ["row 3", "column 'nose_tip_y'", "'4o.5' is not a number"]),
    ([HEADER, row(nose_tip_y="nan")], ["row 2", "'nan' is not a number"]),
    ([HEADER, "", row(mouth_left_corner_x="96.1")],
     ["row 3", "'mouth_left_corner_x'", "96.1 is outside the picture"]),
    ([HEADER, row(mouth_left_corner_x="-1")],
     ["row 2", "-1 is outside the picture, 0 to 96"]),
    ([HEADER, row(), row(pixels=PIXELS[1:])],
     ["row 3", "column 'Image'", "9215 pixels, expected 9216"]),
    ([HEADER, with_pixel(256)],
     ["row 2", "pixel 101 is '256'", "from 0 to 255"]),
    ([HEADER, with_pixel("x")], ["row 2", "pixel 101 is 'x'"]),
    ([HEADER, with_pixel(-1)], ["row 2", "pixel 101 is '-1'"]),
    ([HEADER, "1,2,3"], ["row 2", "3 columns, but row 1 has 31"]),
    ([HEADER, "x" * 200_000], ["row 2", "field larger than"]),
])
def test_a_malformed_file_is_named_with_row_and_column(write, lines, words):
    path = write(*lines)
    with pytest.raises(d2l.DataError) as caught:
        keypoints.load(path)
    for word in [str(path), *words]:
        assert word in str(caught.value)


def test_an_archive_is_not_taken_for_a_csv_file(write):
    path = write()
    path.write_bytes(b"PK\x03\x04\xff\xfe" * 10)
    with pytest.raises(d2l.DataError, match="not UTF-8"):
        keypoints.load(path)


def test_a_missing_file_says_where_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("D2LZH_DATA", str(tmp_path))
    wanted = tmp_path / "facial-keypoints" / "training.csv"
    assert keypoints.default_path() == wanted
    with pytest.raises(d2l.DataError) as caught:
        keypoints.load2d()
    for word in (str(wanted), "Facial Keypoints Detection", "put"):
        assert word in str(caught.value)
    wanted.mkdir(parents=True)
    with pytest.raises(d2l.DataError, match=re.escape(str(wanted))):
        keypoints.load2d()


# -- numbers -------------------------------------------------------------

def test_scale_and_its_inverse():
    assert keypoints.scale([0, 48, 96]).tolist() == [-1, 0, 1]
    pixels = np.linspace(0, 96, 30)
    np.testing.assert_allclose(keypoints.to_pixels(keypoints.scale(pixels)),
                               pixels, atol=1e-5)


def test_rmse_is_in_pixels():
    truth = np.zeros((2, 30), np.float32)
    assert rmse(truth + 1 / 48, truth) == pytest.approx(1)
    # Two errors of 3 and 4 pixels: the root of their mean square.
    predicted, mask = truth.copy(), np.zeros_like(truth)
    predicted[0, :3] = 3 / 48, 4 / 48, 99
    mask[0, :2] = 1
    assert rmse(predicted, truth, mask) == pytest.approx(12.5 ** 0.5)
    with pytest.raises(ValueError, match="no coordinate"):
        rmse(predicted, truth, 0 * mask)


def test_swap_exchanges_left_and_right_and_nothing_else():
    for column, other in zip(COLUMNS, SWAP):
        assert COLUMNS[other].replace("left", "?").replace("right", "?") == (
            column.replace("left", "?").replace("right", "?"))
        in_the_middle = "left" not in column and "right" not in column
        assert (COLUMNS[other] == column) is in_the_middle
    assert (SWAP[SWAP] == np.arange(30)).all()


def test_flipping_twice_changes_nothing():
    faces = d2l.synthetic_faces(4, seed=0)
    before = [array.copy() for array in faces]
    for again, now, array in zip(flip(*flip(*faces)), faces, before):
        np.testing.assert_allclose(again, array, atol=1e-6)
        np.testing.assert_array_equal(now, array)


def test_a_marked_pixel_stays_under_its_keypoint_when_flipped():
    X = np.zeros((1, 1, 96, 96), np.float32)
    X[0, 0, 20, 70] = 1
    pixels = np.full((1, 30), 40.0)
    at = COLUMNS.index("left_eye_center_x")
    pixels[0, at:at + 2] = 70, 20
    X2, y2 = flip(X, keypoints.scale(pixels))
    at = COLUMNS.index("right_eye_center_x")
    x, y = np.rint(keypoints.to_pixels(y2)[0, at:at + 2]).astype(int)
    assert (x, y) == (25, 20) and X2[0, 0, y, x] == 1


# -- faces ---------------------------------------------------------------

def test_faces_are_those_of_the_seed_alone():
    X, y = d2l.synthetic_faces(20, seed=3)
    np.random.seed(99)
    state = np.random.get_state()[1].copy()
    X2, y2 = d2l.synthetic_faces(20, seed=3)
    np.testing.assert_array_equal(X, X2)
    np.testing.assert_array_equal(y, y2)
    assert (np.random.get_state()[1] == state).all()
    assert (d2l.synthetic_faces(20, seed=4)[1] != y).any()


def test_faces_have_the_form_of_load2d():
    X, y = d2l.synthetic_faces(17, seed=0)  # more than one chunk
    assert X.shape == (17, 1, 96, 96) and y.shape == (17, 30)
    assert X.dtype == y.dtype == np.float32
    assert X.min() >= 0 and X.max() <= 1
    np.testing.assert_allclose(X * 255, np.rint(X * 255), atol=1e-4)


@pytest.mark.parametrize(("wrong", "error"), [
    (0, ValueError), (-1, ValueError), (2.0, TypeError)])
def test_a_number_of_faces_that_is_none(wrong, error):
    with pytest.raises(error, match="n must be"):
        d2l.synthetic_faces(wrong, seed=0)


@pytest.fixture(scope="module")
def many():
    """Parameters and keypoints in pixels of 20,000 faces."""
    p = drawn._draw_parameters(20_000, np.random.RandomState(0))
    return p, drawn._keypoints(p)


def test_keypoints_are_always_inside_the_picture(many):
    assert many[1].min() >= 1.999 and many[1].max() <= 93.001


def test_left_and_right_are_the_persons(many):
    """As the face is never upside down, so left is right in the picture."""
    x = dict(zip(COLUMNS, many[1].T))
    for name in NAMES:
        if "left" in name:
            other = name.replace("left", "right")
            assert (x[f"{name}_x"] > x[f"{other}_x"]).all()
    assert (x["mouth_center_bottom_lip_y"]
            > x["mouth_center_top_lip_y"]).all()
    assert (x["mouth_center_top_lip_y"] > x["nose_tip_y"]).mean() > 0.99


def test_guessing_the_mean_is_wrong_by_six_to_eight_pixels(many):
    y = keypoints.scale(many[1])
    assert 6 < rmse(y.mean(axis=0), y) < 8


def mirrored(p):
    """The parameters of the mirrored faces."""
    q = {name: value.copy() for name, value in p.items()}
    for name in ("x", "angle", "turn", "gaze_u", "parting"):
        q[name] = -q[name]
    for name in ("raise", "lid"):
        q[name] = q[name][:, ::-1]
    q["light_angle"] = np.pi - q["light_angle"]
    # sin(a - b) is sin(b - a + pi).
    q["wave_phase"] = np.pi - q["wave_phase"]
    return q


def test_a_flipped_face_is_the_face_of_mirrored_parameters():
    p = drawn._draw_parameters(12, np.random.RandomState(5))
    q = mirrored(p)
    X, y = flip(drawn._paint(p)[:, np.newaxis],
                keypoints.scale(drawn._keypoints(p)))
    np.testing.assert_allclose(y, keypoints.scale(drawn._keypoints(q)),
                               atol=1e-5)
    difference = np.abs(X[:, 0] - drawn._paint(q))
    # A pixel on the axis may round to the other side.
    assert np.quantile(difference, 0.999) < 1e-3


def test_the_pupil_is_dark_and_lies_at_the_eye_center():
    p = drawn._draw_parameters(60, np.random.RandomState(6))
    p.update({name: 0 * p[name] for name in
              ("gaze_u", "gaze_v", "glasses", "brightness")})
    p.update(size=p["size"] * 0 + 1.2, lid=p["lid"] * 0 + 2.5,
             contrast=p["contrast"] * 0 + 1)
    points = np.rint(drawn._keypoints(p)).astype(int)
    pictures = drawn._paint(p)
    for i in range(60):
        for eye in (0, 2):  # left and right
            x, y = points[i, eye:eye + 2]
            assert pictures[i, y, x] < 0.5 * pictures[i].mean()


# -- batches -------------------------------------------------------------

@pytest.fixture(scope="module")
def few():
    return d2l.synthetic_faces(10, seed=1)


def test_loader_yields_everything_in_order(few):
    loader = Loader(*few, batch_size=4)
    assert len(loader) == 3
    batches = list(loader)
    assert [len(X) for X, _, _ in batches] == [4, 4, 2]
    X, y, mask = (np.concatenate([a.asnumpy() for a in arrays])
                  for arrays in zip(*batches))
    np.testing.assert_array_equal(X, few[0])
    np.testing.assert_array_equal(y, few[1])
    assert mask.shape == (10, 30) and (mask == 1).all()


def test_loader_shuffles_and_mirrors_by_the_global_seed(few):
    mask = np.ones((10, 30), np.float32)
    mask[:, 0] = 0  # x of the left eye
    loader = Loader(*few, 10, mask, shuffle=True, mirror=True)

    def batch(seed):
        d2l.seed(seed)
        return [a.asnumpy() for a in next(iter(loader))]

    first, again, other = batch(0), batch(0), batch(1)
    assert all((a == b).all() for a, b in zip(first, again))
    assert (first[1] != other[1]).any()
    flipped = flip(*few)
    count = 0
    for X, y, m in zip(*first):
        (at,) = np.flatnonzero((few[0] == X).all(axis=(1, 2, 3))
                               | (flipped[0] == X).all(axis=(1, 2, 3)))
        turned = (few[0][at] != X).any()
        count += turned
        np.testing.assert_array_equal(y, (flipped if turned else few)[1][at])
        assert m[SWAP[0] if turned else 0] == 0 and m.sum() == 29
    assert 0 < count < 10
    assert (mask[:, 0] == 0).all() and mask.sum() == 290


@pytest.mark.parametrize(("change", "message"), [
    (lambda X, y: (X, y[:5], 4), "do not fit"),
    (lambda X, y: (X, y, 4, np.ones((10, 15), np.float32)), "do not fit"),
    (lambda X, y: (X.reshape(10, -1), y, 4), "do not fit"),
    (lambda X, y: (X[:0], y[:0], 4), "no face"),
    (lambda X, y: (X, y, 0), "batch_size")])
def test_loader_refuses_what_does_not_fit(few, change, message):
    with pytest.raises(ValueError, match=message):
        Loader(*change(*few))


def test_faces_are_drawn_with_titles_and_predictions(few):
    keypoints.show_faces(*few, few[1] + 0.1, titles=list("abcdefghij"),
                         columns=4)
    drawn = plt.gcf().axes
    assert len(drawn) == 12 and len(drawn[0].lines) == 2
    plt.close()
    with pytest.raises(ValueError, match="10 faces and 2 titles"):
        keypoints.show_faces(*few, titles=["a", "b"])


def test_show_heat_maps(few):
    keypoints.show_heat_maps(few[0][0], np.eye(24)[np.newaxis].repeat(6, 0),
                             list("abcdef"))
    drawn = plt.gcf().axes
    assert len(drawn) == 10 and len(drawn[0].images) == 2
    plt.close()
    with pytest.raises(ValueError, match="1 maps and 2 titles"):
        keypoints.show_heat_maps(few[0][0], np.zeros((1, 24, 24)), ["a", "b"])
    keypoints.show_heat_maps(few[0][0], np.zeros((1, 24, 24)), ["a"],
                             points=np.zeros((1, 2)))
    assert plt.gca().lines[0].get_xydata().tolist() == [[48, 48]]
    plt.close()
    with pytest.raises(ValueError, match=r"1 maps and points .*\(2, 2\)"):
        keypoints.show_heat_maps(few[0][0], np.zeros((1, 24, 24)), ["a"],
                                 points=np.zeros((2, 2)))


def test_normalised_errors_are_shares_of_the_distance_of_the_eyes():
    truth = np.zeros((2, 30))
    truth[:, 0:4] = [0.5, 0, 0, 0]      # the eyes' centres: 24 pixels apart
    truth[1] *= 2
    errors = keypoints.normalised_errors(truth + [0.03, 0.04] * 15, truth)
    np.testing.assert_allclose(errors, [0.1, 0.05])
    np.testing.assert_allclose(
        keypoints.normalised_errors(truth[0], truth)[0], 0)


def test_moved_faces_are_further_to_the_right(few):
    images, points = moved_faces(*few, 5)
    np.testing.assert_array_equal(images[..., 5:], few[0][..., :-5])
    assert (images[..., :5] == few[0][..., :1]).all()
    np.testing.assert_allclose(
        keypoints.to_pixels(points) - keypoints.to_pixels(few[1]),
        np.broadcast_to([5, 0] * 15, (10, 30)), atol=1e-4)


# -- heat maps -----------------------------------------------------------

def test_the_mean_position_of_a_target_is_the_keypoint(few):
    y = mx.nd.array(few[1])
    targets = target_maps(y)
    assert targets.shape == (10, 15, 576)
    np.testing.assert_allclose(targets.sum(axis=2).asnumpy(), 1, rtol=1e-5)
    found = mean_position(targets.reshape((0, 0, 24, 24)).log())
    inside = np.abs(few[1]) < 0.75      # no hill is cut off
    np.testing.assert_allclose(found.asnumpy()[inside], few[1][inside],
                               atol=0.1 / 48)


def test_the_heat_map_loss_is_a_cross_entropy_of_marked_points(few):
    y, scores = mx.nd.array(few[1]), mx.nd.zeros((10, 15, 24, 24))
    mask = np.ones((10, 30))
    mask[0, :6] = 0
    loss = heat_map_loss(scores, y, mx.nd.array(mask)).asnumpy()
    np.testing.assert_allclose(loss[1:], np.log(576), rtol=1e-5)
    np.testing.assert_allclose(loss[0], np.log(576) * 12 / 15, rtol=1e-5)


def test_heat_map_networks_train_and_predict(few):
    assert d2l.summary(heat_map_net(), (1, 1, 96, 96)).parameters == 60_975
    assert d2l.summary(dense_map_net(), (1, 1, 96, 96)
                       ).layers[-1].output_shape == (1, 30)
    d2l.seed(0)
    net = heat_map_net()
    net.initialize(init.Xavier("gaussian", "in", 2))
    loader = Loader(*few, 5)
    trainer = gluon.Trainer(net.collect_params(), "adam",
                            {"learning_rate": 3e-3})
    history = train_keypoints(net, loader, loader, trainer, mx.cpu(), 6,
                              read=mean_position, loss=heat_map_loss)
    assert history.test_loss[-1] < history.test_loss[0]
    predicted = predict_keypoints(net, few[0], mx.cpu(), read=mean_position)
    assert history.test_rmse[-1] == pytest.approx(rmse(predicted, few[1]),
                                                  rel=1e-4)


# -- the chapter's network and loop --------------------------------------

def test_widths_parameters_and_work_of_the_network():
    table = d2l.summary(keypoint_net(), (1, 1, 96, 96))
    assert [layer.output_shape[2] for layer in table.layers
            if len(layer.output_shape) == 4] == [94, 47, 46, 23, 22, 11]
    assert table.layers[-1].output_shape == (1, 30)
    assert table.parameters == 8_051_502
    convolutions = (94 * 94 * 32 * 9 + 46 * 46 * 64 * 4 * 32
                    + 22 * 22 * 128 * 4 * 64)
    dense = 11 * 11 * 128 * 500 + 500 * 500 + 500 * 30
    assert table.macs == convolutions + dense


def start(optimizer="sgd", **arguments):
    d2l.seed(0)
    net = keypoint_net()
    net.initialize(init.Xavier())
    return net, gluon.Trainer(net.collect_params(), optimizer, arguments)


def train(loader, num_epochs, *arguments, **settings):
    """A network that is trained and tested on the same faces."""
    net, trainer = start(**settings)
    return net, train_keypoints(net, loader, loader, trainer, mx.cpu(),
                                num_epochs, *arguments)


def predict(net, X, *batch_size):
    return predict_keypoints(net, X, mx.cpu(), *batch_size)


def test_the_first_prediction_is_the_middle_of_the_picture(few):
    assert (predict(start()[0], few[0]) == 0).all()


def test_prediction_does_not_depend_on_the_batch(few):
    net, _ = start()
    predict(net, few[0])  # settles the shapes
    net[-1].weight.set_data(mx.nd.random.normal(shape=(30, 500)))
    one = predict(net, few[0], 3)
    np.testing.assert_allclose(one, predict(net, few[0], 10), rtol=1e-3,
                               atol=1e-3)
    assert one.shape == (10, 30) and one.std() > 0


def test_losses_are_mean_squares_and_rmse_is_in_pixels(few, capsys):
    """Gluon's loss is half of the mean square: that must not show."""
    _, history = train(Loader(*few, 4), 2, learning_rate=0.0)
    square = float(np.mean(few[1] ** 2))
    assert history.train_loss == pytest.approx([square] * 2, rel=1e-5)
    assert history.test_loss == pytest.approx([square] * 2, rel=1e-5)
    assert history.test_rmse == pytest.approx([rmse(0, few[1])] * 2,
                                              rel=1e-5)
    first, second = capsys.readouterr().out.splitlines()[-2:]
    assert first.split()[0] == "1" and "1.00" in second


def test_missing_keypoints_have_no_say(few):
    """Whatever stands in their place, loss and gradient are the same."""
    X, y = few
    mask = (np.random.RandomState(0).rand(10, 30) < 0.5).astype(np.float32)
    biases = []
    for filler in (0, 50):
        filled = np.where(mask, y, filler).astype(np.float32)
        net, history = train(Loader(X, filled, 5, mask), 1, learning_rate=0.1)
        biases.append(net[-1].bias.data().asnumpy())
        expected = rmse(predict(net, X), y, mask)
        assert history.test_rmse == pytest.approx([expected], rel=1e-4)
    assert np.abs(biases[0]).max() > 0
    np.testing.assert_array_equal(*biases)


def test_a_run_that_is_cut_goes_on_from_its_checkpoint(few, tmp_path):
    loader = Loader(*few, 5, shuffle=True, mirror=True)
    ends = []
    for name, parts in (("whole", [3]), ("cut", [2, 3])):
        for epochs in parts:
            net, history = train(loader, epochs, tmp_path / name,
                                 learning_rate=0.01)
        ends.append((history, net[0].weight.data().asnumpy()))
    (whole, weight), (cut, same) = ends
    assert len(whole.train_loss) == 3
    assert cut == whole
    np.testing.assert_array_equal(same, weight)


def test_a_loss_that_is_no_number_stops_the_run(few):
    with pytest.raises(d2l.NonFiniteLossError, match="epoch 1"):
        train(Loader(*few, 2), 2, learning_rate=1e12)


def test_the_network_learns_and_its_gradients_are_finite(few):
    loader = Loader(*few, 10)
    net, history = train(loader, 8, optimizer="adam", learning_rate=5e-4)
    assert history.test_loss[-1] < 0.5 * history.test_loss[0]
    X, y, mask = next(iter(loader))
    with autograd.record():
        loss = gluon.loss.L2Loss()(compiled(net)(X), y, mask)
    loss.backward()
    assert all(np.isfinite(p.grad().asnumpy()).all()
               for p in net.collect_params().values())
