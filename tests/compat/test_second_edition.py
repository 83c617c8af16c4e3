"""The package of the book's second edition, d2l 1.0.3, works with MXNet.

Each public name of d2l.mxnet that uses MXNet or NumPy is called with small
inputs. Where it asks for a download, a small file of ours stands in the place
of the book's.
"""
from __future__ import annotations

import ast
import hashlib
import io
import random
import shutil
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib_inline.backend_inline
import mxnet as mx
import numpy as onp
import pandas as pd
import pytest
from d2l import mxnet as d2l
from mxnet import autograd, gluon, np
from mxnet.gluon import nn

CPU = mx.cpu()
TEXT = "the time traveller for so it will be convenient to speak of him "
# Not called here: they use Python alone, and data sets call most of them.
PYTHON_ALONE = {
    "HyperParameters", "RandomGenerator", "Vocab", "add_to_class", "bleu",
    "check_len", "check_shape", "copyfile", "defaultdict", "download",
    "download_extract", "extract", "get_centers_and_contexts",
    "get_dataloader_workers", "get_negatives", "get_tokens_and_segments",
    "hit_and_auc", "preprocess_nmt", "read_csv_labels", "read_imdb",
    "reorg_test", "reorg_train_valid", "subsample", "tokenize",
    "tokenize_nmt", "truncate_pad"}
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def formats(monkeypatch, tmp_path):
    """As in a chapter, beside a folder `data`; the formats of figures."""
    found: list[str] = []
    # Outside of a notebook there is no one to tell the format.
    monkeypatch.setattr(matplotlib_inline.backend_inline,
                        "set_matplotlib_formats", found.append)
    monkeypatch.setattr(d2l, "DATA_HUB", dict(d2l.DATA_HUB))
    # No worker processes.
    monkeypatch.setattr(d2l, "get_dataloader_workers", lambda: 0)
    for folder in ("data", "chapter"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "chapter")
    for module in (random, onp.random, mx.random):
        module.seed(0)
    with mx.util.np_shape(True), mx.util.np_array(True):
        yield found
    d2l.plt.close("all")


def same(found: Any, expected: Any) -> bool:
    """Equal but for the last places of numbers; lists stand for arrays."""
    if hasattr(found, "tolist"):
        found = found.tolist()
    if isinstance(expected, (list, tuple)):
        return len(found) == len(expected) and all(
            map(same, found, expected))
    return found == (pytest.approx(expected, 1e-3, 1e-3) if isinstance(
        expected, (int, float)) else expected)


def stored(name: str, files: dict[str, str | bytes]) -> None:
    """Put a file, or an archive of files, where `download` looks first."""
    url = d2l.DATA_HUB[name][0]
    path = Path("../data", url.rpartition("/")[2])
    kind = {".zip": "zip", ".tar": "tar", ".gz": "gztar"}.get(path.suffix)
    for file, content in files.items():
        place = Path("packed", file) if kind else path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(
            content.encode() if isinstance(content, str) else content)
    if kind:
        shutil.move(shutil.make_archive("archive", kind, "packed"), path)
        shutil.rmtree("packed")
    d2l.DATA_HUB[name] = url, hashlib.sha1(path.read_bytes()).hexdigest()


def picture(side: int, grey: int = 128) -> bytes:
    file = io.BytesIO()
    d2l.plt.imsave(file, onp.full((side, side, 3), grey, "uint8"),
                   format="png")
    return file.getvalue()


def lines() -> list[list[list[float]]]:
    """What is drawn on the axes."""
    return [line.get_xydata().tolist() for line in d2l.plt.gca().get_lines()]


def two_classes(n: int = 40, side: int = 28) -> tuple[Any, Any]:
    """Dark images of class 0, bright ones of class 1."""
    y = np.arange(n) % 2
    X = np.random.uniform(size=(n, 1, side, side)) + y.reshape(-1, 1, 1, 1)
    return X, y.astype("int32")


class TwoClasses(d2l.DataModule):
    """Data for `Trainer`."""

    def __init__(self, n: int = 40, batch_size: int = 8) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.arrays = two_classes(n)

    def get_dataloader(self, train: bool) -> Any:
        return self.get_tensorloader(self.arrays, train)


class Watched(d2l.Trainer):
    """A `Trainer` that draws nothing and notes the losses of training."""

    def prepare_model(self, model: Any) -> None:
        super().prepare_model(model)
        model.board.display = False
        self.losses: list[float] = []
        step = model.training_step

        def noting(batch: Any) -> Any:
            loss = step(batch)
            self.losses.append(float(loss))
            return loss

        model.training_step = noting


def learns(model: Any, data: Any, epochs: int = 3, **options: Any) -> bool:
    trainer = Watched(max_epochs=epochs, **options)
    trainer.fit(model, data)
    batches = trainer.num_train_batches
    assert len(trainer.losses) == epochs * batches
    return sum(trainer.losses[-batches:]) < sum(trainer.losses[:batches])


def test_every_name_is_called():
    names = {name for name, value in vars(d2l).items()
             if not name.startswith("_")
             and not isinstance(value, types.ModuleType)}
    assert len(names) > 200
    tree = ast.parse(Path(__file__).read_text(encoding="utf-8"))
    called = {node.attr for node in ast.walk(tree)
              if isinstance(node, ast.Attribute)
              and isinstance(node.value, ast.Name) and node.value.id == "d2l"}
    assert names - called == PYTHON_ALONE


X = [[0.0, 1.0], [2.0, 3.0]]


@pytest.mark.parametrize(("call", "expected"), [
    (lambda x: d2l.abs(-x), X),
    (lambda x: d2l.arange(3), [0, 1, 2]),
    (lambda x: d2l.argmax(x, axis=1), [1, 1]),
    (lambda x: d2l.astype(x, d2l.int32).dtype == onp.int32, True),
    (lambda x: d2l.astype(x, d2l.int64).dtype == onp.int64, True),
    (lambda x: d2l.astype(x, d2l.float32), X),
    (lambda x: d2l.batch_matmul(np.ones((2, 1, 2)), np.ones((2, 2, 1))),
     [[[2]], [[2]]]),
    (lambda x: d2l.concat([x, x], axis=1), [[0, 1, 0, 1], [2, 3, 2, 3]]),
    (lambda x: d2l.cos(x[0]), [1, 0.5403]),
    (lambda x: d2l.cosh(x[0]), [1, 1.5431]),
    (lambda x: d2l.exp(x[0]), [1, 2.7183]),
    (lambda x: d2l.expand_dims(x, 0), [X]),
    (lambda x: d2l.eye(2), [[1, 0], [0, 1]]),
    (lambda x: d2l.linspace(0, 1, 3), [0, 0.5, 1]),
    (lambda x: d2l.log(x[1]), [0.6931, 1.0986]),
    (lambda x: d2l.matmul(x, x), [[2, 3], [6, 11]]),
    (lambda x: d2l.meshgrid(x[0], x[1]), [[[0, 1], [0, 1]], [[2, 2], [3, 3]]]),
    (lambda x: d2l.normal(2, 0, (2,)), [2, 2]),
    (lambda x: d2l.numpy(x), X),
    (lambda x: d2l.ones((1, 2)), [[1, 1]]),
    (lambda x: d2l.ones_like(x), [[1, 1], [1, 1]]),
    (lambda x: (d2l.rand(3) < 1) * (d2l.rand(3) >= 0), [True] * 3),
    (lambda x: d2l.randn(3, 2).shape, [3, 2]),
    (lambda x: d2l.reduce_mean(x), 1.5),
    (lambda x: d2l.reduce_sum(x, axis=0), [2, 4]),
    (lambda x: d2l.repeat(x[0], 2), [0, 0, 1, 1]),
    (lambda x: d2l.reshape(x, (-1,)), [0, 1, 2, 3]),
    (lambda x: d2l.sigmoid(x[0]), [0.5, 0.7311]),
    (lambda x: d2l.sin(x[0]), [0, 0.8415]),
    (lambda x: d2l.sinh(x[0]), [0, 1.1752]),
    (lambda x: d2l.size(x), 4),
    (lambda x: d2l.stack([x[0], x[0]]), [[0, 1], [0, 1]]),
    (lambda x: d2l.swapaxes(x, 0, 1), [[0, 2], [1, 3]]),
    (lambda x: d2l.tanh(x[0]), [0, 0.7616]),
    (lambda x: d2l.tensor([1, 2]), [1, 2]),
    (lambda x: d2l.to(x, d2l.cpu()), X),
    (lambda x: d2l.transpose(x), [[0, 2], [1, 3]]),
    (lambda x: d2l.zeros((1, 2)), [[0, 0]]),
    (lambda x: d2l.zeros_like(x), [[0, 0], [0, 0]]),
    # Of chapters.
    (lambda x: d2l.accuracy(x, np.array([1, 0])), 1.0),
    (lambda x: d2l.box_center_to_corner(np.array([[2, 2, 2, 4]])),
     [[1, 0, 3, 4]]),
    (lambda x: d2l.box_corner_to_center(np.array([[1, 0, 3, 4]])),
     [[2, 2, 2, 4]]),
    (lambda x: d2l.box_iou(np.array([[0, 0, 2, 2]]),
                           np.array([[1, 0, 3, 2], [0, 0, 2, 2]])),
     [[1 / 3, 1]]),
    (lambda x: d2l.corr2d(x, np.ones((1, 2))), [[1], [5]]),
    (lambda x: d2l.get_fashion_mnist_labels([9, np.array(0)]),
     ["ankle boot", "t-shirt"]),
    (lambda x: d2l.linreg(x, np.ones((2, 1)), 1), [[2], [6]]),
    (lambda x: d2l.masked_softmax(np.zeros((1, 1, 3)), np.array([2])),
     [[[0.5, 0.5, 0]]]),
    (lambda x: d2l.nms(np.array([[0, 0, 2, 2], [0, 0, 2, 2.1], [5, 5, 6, 6]]),
                       np.array([0.5, 0.9, 0.7]), 0.5), [1, 2]),
    (lambda x: d2l.offset_inverse(*_boxes_and_offsets()),
     [[0.2, 0.2, 0.4, 0.6]]),
    (lambda x: d2l.squared_loss(x[0], x[1]), [2, 2]),
    (lambda x: d2l.voc_label_indices(
        np.array([d2l.VOC_COLORMAP[3:5]]), d2l.voc_colormap2label()),
     [[3, 4]]),
    (lambda x: d2l.VOC_CLASSES[3], "bird"),
    (lambda x: (d2l.USE_MXNET, d2l.USE_PYTORCH, d2l.USE_TENSORFLOW),
     [True, False, False]),
    (lambda x: d2l.nn_Module, nn.Block),
    (lambda x: d2l.DATA_HUB["airfoil"][0].startswith(d2l.DATA_URL), True),
    (lambda x: len(d2l.try_all_gpus()), d2l.num_gpus()),
    (lambda x: [d2l.try_gpu(99), d2l.gpu(1)], [d2l.cpu(), mx.gpu(1)]),
    (lambda x: d2l.split_batch(np.arange(4), np.arange(4), [CPU, CPU]),
     [[[0, 1], [2, 3]]] * 2),
    (lambda x: d2l.split_batch_multi_inputs(
        (np.arange(3), np.arange(3)), np.arange(3), [CPU]),
     [[[[0, 1, 2]] * 2], [[0, 1, 2]]]),
    (lambda x: d2l.MaskedSoftmaxCELoss()(
        np.zeros((2, 3, 2)), np.zeros((2, 3)), np.array([3, 0])),
     [0.6931, 0]),
    (lambda x: d2l.batchify([(1, [2], [3, 3]), (1, [2, 2], [3])]),
     [[[1], [1]], [[2, 3, 3], [2, 2, 3]], [[1] * 3] * 2,
      [[1, 0, 0], [1, 1, 0]]]),
])
def test_what_it_gives(call: Callable[[Any], Any], expected: Any) -> None:
    found = call(np.array(X))
    assert same(found, expected), found


def _boxes_and_offsets() -> tuple[Any, Any]:
    anchors = np.array([[0.1, 0.1, 0.3, 0.3]])
    return anchors, d2l.offset_boxes(anchors, np.array([[.2, .2, .4, .6]]))


def test_helpers_of_chapters(capsys):
    sums = d2l.Accumulator(2)
    for _ in range(2):
        sums.add(np.array(1), np.ones((1,)))
    assert (sums[0], sums[1]) == (2, 2)
    timer = d2l.Timer()
    timer.stop()
    assert same(timer.cumsum(), [timer.sum()]) and timer.avg() >= 0
    with d2l.Benchmark("Done"):
        pass
    assert capsys.readouterr().out.startswith("Done: 0.")


def test_drawing(formats):
    d2l.use_svg_display()
    d2l.set_figsize((2, 2))
    assert formats == ["svg", "svg"]
    x = np.array([0.0, 1.0, 2.0])
    d2l.plot(x, [x ** 2, 2 * x], "x", "f(x)", legend=["a", "b"])
    assert same(lines(), [[[0, 0], [1, 1], [2, 4]], [[0, 0], [1, 2], [2, 4]]])
    axes = d2l.plt.gca()
    d2l.set_axes(axes, "a", "b", [0, 1], [1, 10], "linear", "log", ["c"])
    assert (axes.get_xlabel(), axes.get_yscale()) == ("a", "log")
    d2l.annotate("here", (0, 1), (0.5, 2))
    assert axes.texts[-1].get_text() == "here"
    board = d2l.ProgressBoard("step", figsize=(2, 2))
    for i in range(4):
        board.draw(i, np.array(i * 2.0).asnumpy(), "loss", every_n=2)
    assert same([*board.data["loss"]], [(0.5, 1), (2.5, 5)])
    animator = d2l.Animator("epoch", legend=["loss", "accuracy"])
    # As training does: a float, an array of one number, nothing.
    animator.add(1, (0.5, np.array([0.25])))
    animator.add(2, (np.array(0.25), None))
    animator.add(3, (None, 0.75))
    assert same(lines(), [[[1, 0.5], [2, 0.25]], [[1, 0.25], [3, 0.75]]])
    images = d2l.show_images(np.ones((2, 4, 4)), 1, 2, ["a", "b"])
    assert [axes.get_title() for axes in images] == ["a", "b"]
    d2l.show_heatmaps(np.ones((1, 2, 3, 3)), "keys", "queries", ["a", "b"])
    assert len(d2l.plt.gcf().axes) == 3
    d2l.plt.figure()
    d2l.show_list_len_pair_hist(["a", "b"], "x", "y", [[1], [1, 2]], [[1]])
    assert len(d2l.plt.gca().patches) == 20
    rect = d2l.bbox_to_rect(np.array([1, 2, 3, 5]).asnumpy(), "red")
    assert (rect.get_xy(), rect.get_height()) == ((1, 2), 3)
    d2l.plt.figure()
    d2l.show_bboxes(d2l.plt.gca(), np.array([[1, 2, 3, 5]]), ["dog"])
    assert d2l.plt.gca().texts[0].get_position() == (1, 2)


def test_a_trace_of_floats_and_arrays(capsys):
    """Of an optimizer that computes with arrays from numbers on."""
    def descend(x1: Any, x2: Any, s1: Any, s2: Any, slope: Any = None) -> Any:
        return np.array([x1 * 0.6]), np.array([x2 * 0.2]), 0, 0

    results = d2l.train_2d(descend, 2)
    assert "epoch 2, x1: -1.8" in capsys.readouterr().out
    d2l.show_trace_2d(lambda a, b: a ** 2 + 2 * b ** 2, results)
    assert same(lines(), [[[-5, -2], [-3, -0.4], [-1.8, -0.08]]])


def test_linear_regression():
    w, b = np.array([2.0, -3.4]), 4.2
    data = d2l.SyntheticRegressionData(w, b, num_train=128, num_val=32)
    X, y = next(iter(data.train_dataloader()))
    assert (X.shape, y.shape) == ((32, 2), (32, 1))
    for model in (d2l.LinearRegressionScratch(2, lr=0.1),
                  d2l.LinearRegression(lr=0.1)):
        assert learns(model, data)
    found, bias = model.get_w_b()
    assert abs(float(bias[0]) - b) < 2 and found.shape == (1, 2)
    X, y = d2l.synthetic_data(w, b, 10)
    assert float(abs(y[:, 0] - d2l.matmul(X, w) - b).max()) < 0.1
    x = np.array([1.0, 2.0])
    x.attach_grad()
    for step in (lambda: d2l.sgd([x], 0.5, 2),
                 lambda: d2l.SGD([x], 0.25).step(1)):
        with autograd.record():
            y = (x * x).sum()
        y.backward()
        step()
    assert same(x, [0.25, 0.5])


def test_the_trainer_trains_lenet():
    data = TwoClasses()
    model = d2l.LeNet(lr=0.1)
    assert same(model(data.arrays[0][:2]).shape, [2, 10])
    assert learns(model, data, epochs=4, gradient_clip_val=1)
    (losses, accuracies) = (model.board.data[f"val_{name}"]
                            for name in ("loss", "acc"))
    assert len(losses) == len(accuracies) == 4
    assert losses[-1].y < losses[0].y


def test_classification(capsys):
    data = TwoClasses()
    model = d2l.SoftmaxRegression(2, lr=0.01)
    assert learns(model, data)
    assert issubclass(d2l.Classifier, d2l.Module)
    d2l.LeNet().layer_summary((1, 1, 28, 28))
    assert "(1, 10)" in capsys.readouterr().out.splitlines()[-1]
    X, y = data.arrays
    loader = d2l.load_array((X, y), 8)
    right = float(d2l.evaluate_accuracy(model, loader))
    assert 0 <= right <= 1
    assert right == d2l.evaluate_accuracy_gpu(model, loader)
    assert right == d2l.evaluate_accuracy_gpus(model, loader)
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    before = d2l.evaluate_loss(model, loader, loss)
    trainer = gluon.Trainer(model.collect_params(), "sgd",
                            {"learning_rate": 0.001})
    total, number = d2l.train_batch_ch13(model, X, y, loss, trainer, [CPU])
    assert 0 <= number <= len(y)
    assert abs(total / len(y) - before) < 1e-3
    d2l.train_ch13(model, loader, loader, loss, trainer, 1, [CPU])
    assert d2l.evaluate_loss(model, loader, loss) < before
    net = nn.Sequential()
    net.add(nn.Dense(2))
    d2l.train_ch6(net, loader, loader, 1, 0.01, CPU)
    printed = capsys.readouterr().out
    assert printed.count("test acc") == printed.count("examples/sec") == 2


@pytest.mark.slow
def test_fashion_mnist():
    """From the files of the course, without a download."""
    data = d2l.FashionMNIST(batch_size=4, resize=(32, 32))
    data.num_workers = 0
    X, y = batch = next(iter(data.val_dataloader()))
    assert X.shape == (4, 1, 32, 32)
    assert data.text_labels(y) == d2l.get_fashion_mnist_labels([9, 2, 1, 1])
    data.visualize(batch, ncols=4)
    train, test = d2l.load_data_fashion_mnist(4)
    assert (len(train), len(test)) == (15000, 2500)
    train, _ = d2l.load_data_fashion_mnist(30000, resize=4)
    assert len(train) == 2


IMAGES, WORDS = (2, 3, 8, 8), (2, 3, 8)


@pytest.mark.parametrize(("make", "inputs", "shape"), [
    (lambda: d2l.Residual(3), IMAGES, IMAGES),
    (lambda: d2l.Residual(6, use_1x1conv=True, strides=2), IMAGES,
     (2, 6, 4, 4)),
    (lambda: d2l.ResNeXtBlock(4, 2, 1, use_1x1conv=True), IMAGES,
     (2, 4, 8, 8)),
    (lambda: d2l.resnet18(10), IMAGES, (2, 10)),
    (lambda: d2l.PositionWiseFFN(4, 8), WORDS, WORDS),
    (lambda: d2l.PositionalEncoding(8, 0), WORDS, WORDS),
    (lambda: d2l.TransformerEncoderBlock(8, 16, 2, 0), (WORDS, 2), WORDS),
    (lambda: d2l.TransformerEncoder(9, 8, 16, 2, 2, 0), ((2, 3), 2), WORDS),
    (lambda: d2l.MultiHeadAttention(8, 2, 0), (*[WORDS] * 3, 2), WORDS),
    (lambda: d2l.NextSentencePred(), (2, 8), (2, 2))])
def test_blocks(make, inputs, shape):
    """Given arrays of these shapes, or the number of words that count."""
    block = make()
    block.initialize()
    arrays = [np.random.uniform(size=each) if isinstance(each, tuple)
              else np.array([1, each])
              for each in (inputs if isinstance(inputs[0], tuple)
                           else [inputs])]
    Y = block(*arrays)
    assert Y.shape == shape and not np.isnan(Y).any()
    if inputs == IMAGES:
        (X,) = arrays
        X.attach_grad()
        with autograd.record():
            Y = block(X)
        Y.backward()
        assert float(abs(X.grad).sum()) > 0


def test_optimization(capsys):
    stored("airfoil", {"": "".join("\t".join(
        str((7 * i + 3 * j * j) % 11 / 3) for j in range(6)) + "\n"
        for i in range(40))})
    data_iter, size = d2l.get_data_ch11(4, 40)
    assert size == 5 and len(data_iter) == 10

    def descend(params: Any, states: Any, hyperparams: Any) -> None:
        for param in params:
            param[:] -= hyperparams["lr"] * param.grad

    _, losses = d2l.train_ch11(descend, None, {"lr": 0.05}, data_iter, size,
                               num_epochs=10)
    assert losses[-1] < losses[0]
    d2l.train_concise_ch11("sgd", {"learning_rate": 0.05}, data_iter, 5)
    assert capsys.readouterr().out.count("sec/epoch") == 2
    net = nn.Dense(1)
    net.initialize()
    with autograd.record():
        y = net(np.ones((1, 2)) * 100)
    y.backward()
    d2l.grad_clipping(net, 1)
    assert same((net.weight.grad() ** 2).sum() + net.bias.grad() ** 2, [1])


@pytest.mark.parametrize("make", [
    lambda size: d2l.RNNLMScratch(d2l.RNNScratch(size, 8), size, lr=1),
    lambda size: d2l.RNNLM(d2l.RNN(8), size, lr=1),
    lambda size: d2l.RNNLM(d2l.GRU(8, 2), size, lr=1)])
def test_recurrent_networks(make, monkeypatch):
    monkeypatch.setattr(d2l.TimeMachine, "_download", lambda _: TEXT * 3)
    data = d2l.TimeMachine(
        batch_size=16, num_steps=6, num_train=96, num_val=32)
    assert data.vocab.to_tokens(data.X[0, :3].tolist()) == [*"the"]
    model = make(len(data.vocab))
    X, _ = next(iter(data.val_dataloader()))
    assert model(X).shape == (16, 6, len(data.vocab))
    assert learns(model, data, gradient_clip_val=1)
    text = model.predict("the t", 5, data.vocab, CPU)
    assert text.startswith("the t") and len(text) == 10


PAIRS = "go .\tva !\nhi .\tsalut !\nrun .\tcours !\n" * 4


class Decoder(d2l.AttentionDecoder):
    """Guesses from the last word and from the encoder's last state."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(size, 8)
        self.dense = nn.Dense(size, flatten=False)
        self.initialize()

    def init_state(self, enc_all_outputs: Any, *args: Any) -> Any:
        return enc_all_outputs[1][-1]

    def forward(self, X: Any, state: Any) -> Any:
        context = d2l.repeat(np.expand_dims(state, 1), X.shape[1], axis=1)
        return self.dense(d2l.concat([self.embedding(X), context], 2)), state

    @property
    def attention_weights(self) -> Any:
        return np.ones((1, 1))


def test_translation(capsys, monkeypatch):
    monkeypatch.setattr(d2l.MTFraEng, "_download", lambda data: PAIRS)
    data = d2l.MTFraEng(batch_size=4, num_steps=5, num_train=8, num_val=4)
    src, tgt, _, label = next(iter(data.train_dataloader()))
    assert src.shape == tgt.shape == label.shape == (4, 5)
    assert same(data.build(["hi ."], ["salut !"])[2], [3])
    encoder = d2l.Seq2SeqEncoder(len(data.src_vocab), 8, 8, 1)
    decoder = Decoder(len(data.tgt_vocab))
    model = d2l.Seq2Seq(encoder, decoder, data.tgt_vocab["<pad>"], lr=0.05)
    assert learns(model, data, epochs=5)
    found, weights = model.predict_step(
        data.build(["hi ."], ["salut !"]), CPU, 3, True)
    assert found.shape == (1, 3) and len(weights) == 3
    assert isinstance(model, d2l.EncoderDecoder)
    assert issubclass(d2l.AttentionDecoder, d2l.Decoder)
    with pytest.raises(NotImplementedError):
        d2l.Encoder()(src)

    # With the functions of the first version of the book.
    stored("fra-eng", {"fra-eng/fra.txt": PAIRS})
    assert d2l.read_data_nmt() == PAIRS
    loader, src_vocab, tgt_vocab = d2l.load_data_nmt(4, 5)
    array, valid = d2l.build_array_nmt([["go", "."]], src_vocab, 5)
    assert same(valid, [3]) and array.shape == (1, 5)

    class Network(nn.Block):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = d2l.Seq2SeqEncoder(len(src_vocab), 8, 8, 1)
            self.decoder = Decoder(len(tgt_vocab))

        def forward(self, X: Any, dec_X: Any, *args: Any) -> Any:
            return self.decoder(dec_X, self.decoder.init_state(
                self.encoder(X, *args)))

    net = Network()
    d2l.train_seq2seq(net, loader, 0.05, 10, tgt_vocab, CPU)
    assert "tokens/sec" in capsys.readouterr().out
    (((_, last),),) = lines()  # of the tenth epoch
    assert last < 1.5
    words, weights = d2l.predict_seq2seq(
        net, "go .", src_vocab, tgt_vocab, 3, CPU, True)
    assert {*words.split()} <= {*tgt_vocab.idx_to_token} and weights


def test_attention():
    queries, keys = np.ones((2, 1, 4)), np.ones((2, 3, 4))
    values = np.arange(6).reshape(1, 3, 2).repeat(2, axis=0)
    lengths = np.array([2, 3])
    for block in (d2l.DotProductAttention(0), d2l.AdditiveAttention(5, 0)):
        block.initialize()
        found = block(queries, keys, values, lengths)
        assert same(found, [[[1, 2]], [[2, 3]]])  # keys are alike
        assert same(block.attention_weights[0], [[0.5, 0.5, 0]])
    place = d2l.PositionalEncoding(8, 0)(np.zeros((1, 2, 8)))
    assert same(place[0, 0], [0, 1] * 4)
    X, norm = np.random.uniform(size=WORDS), d2l.AddNorm(0)
    norm.initialize()
    assert same(norm(X, X).mean(axis=2), [[0] * 3] * 2)


def test_anchor_boxes():
    anchors = d2l.multibox_prior(np.zeros((1, 3, 2, 2)), [0.5], [1, 2])
    assert anchors.shape == (1, 8, 4)
    assert same(anchors[0, 0], [0, 0, 0.5, 0.5])
    truth = np.array([[0.0, 0.05, 0.05, 0.5, 0.5]])
    assert same(d2l.assign_anchor_to_bbox(
        truth[:, 1:], anchors[0], CPU)[:2], [0, 0])
    offset, mask, classes = d2l.multibox_target(
        anchors, np.expand_dims(truth, 0))
    assert offset.shape == mask.shape == (1, 32)
    assert same(classes[0, :2], [1, 1])
    scores = np.array([[[0.1] * 8, [0.9] + [0.2] * 7]])
    found = d2l.multibox_detection(scores, np.zeros((1, 32)), anchors)
    assert same(found[0, 0], [0, 0.9, 0, 0, 0.5, 0.5])


def test_detection_data():
    table = "img_name,label,xmin,ymin,xmax,ymax\n0.png,0,64,64,128,128\n"
    stored("banana-detection", {
        f"banana-detection/bananas_{part}/{file}": content
        for part in ("train", "val")
        for file, content in (("label.csv", table),
                              ("images/0.png", picture(256)))})
    images, targets = d2l.read_data_bananas()
    assert len(images) == 1 and same(targets, [[[0, 0.25, 0.25, 0.5, 0.5]]])
    assert d2l.BananasDataset(False)[0][0].shape == (3, 256, 256)
    train, _ = d2l.load_data_bananas(1)
    X, y = next(iter(train))
    assert X.shape == (1, 3, 256, 256) and y.shape == (1, 1, 5)


def test_segmentation_data():
    root = "VOCdevkit/VOC2012"
    stored("voc2012", {
        f"{root}/{file}": content for file, content in (
            *((f"ImageSets/Segmentation/{part}.txt", "one two")
              for part in ("train", "val")),
            *((f"{folder}/{name}", picture(side))
              for name, side in (("one", 8), ("two", 5))
              for folder, name in (("JPEGImages", f"{name}.jpg"),
                                   ("SegmentationClass", f"{name}.png"))))})
    train, test = d2l.load_data_voc(1, (6, 6))  # so "two" is left out
    for X, y in (*train, *test):
        assert (X.shape, y.shape) == ((1, 3, 6, 6), (1, 6, 6))
        assert int(y[0, 0, 0]) == d2l.VOC_COLORMAP.index([128] * 3)
    features, labels = d2l.read_voc_images(f"../data/{root}", False)
    assert len(features) == len(labels) == 2
    assert len(d2l.VOCSegDataset(True, (4, 4), f"../data/{root}")) == 2
    X, y = d2l.voc_rand_crop(features[0], labels[0], 3, 4)
    assert X.shape == y.shape == (3, 4, 3)


def test_word_embedding(monkeypatch):
    stored("ptb", {"ptb/ptb.train.txt": "\n".join([TEXT] * 12)})
    assert len(d2l.read_ptb()) == 12
    monkeypatch.setattr(d2l, "subsample", lambda lines, vocab: (
        lines, {token: 12 for token in vocab.idx_to_token}))
    loader, _ = d2l.load_data_ptb(64, 2, 3)
    centers, *others = next(iter(loader))
    assert centers.shape == (64, 1)
    assert len({part.shape for part in others}) == 1
    stored("glove.6b.50d", {"glove.6B.50d/vec.txt": "the 1 2\nof 3 4\n"})
    embedding = d2l.TokenEmbedding("glove.6b.50d")
    assert len(embedding) == 3
    assert same(embedding[["of", "other"]], [[3, 4], [0, 0]])


def test_bert():
    paragraph = "the dog runs . the cat sits . the dog sits\n"
    stored("wikitext-2", {"wikitext-2/wiki.train.tokens": paragraph * 8})
    loader, vocab = d2l.load_data_wiki(4, 16)
    tokens, segments, lengths, places, *_ = next(iter(loader))
    assert tokens.shape == segments.shape == (4, 16)
    sizes = (len(vocab), 8, 16, 2, 1, 0)
    net = d2l.BERTModel(*sizes)
    net.initialize()
    encoded, words, following = net(tokens, segments, lengths, places)
    assert encoded.shape == (4, 16, 8)
    assert words.shape == (*places.shape, len(vocab))
    assert following.shape == (4, 2)
    encoder, words = d2l.BERTEncoder(*sizes), d2l.MaskLM(9, 8)
    encoder.initialize()
    assert encoder(tokens, segments, lengths).shape == encoded.shape
    words.initialize()
    assert words(encoded, places).shape == (*places.shape, 9)


def test_sentiment_and_inference():
    stored("aclImdb", {
        f"aclImdb/{part}/{kind}/{i}.txt": f"{kind} film"
        for part in ("train", "test") for kind in ("pos", "neg")
        for i in range(6)})
    train, test, vocab = d2l.load_data_imdb(4, num_steps=5)
    X, _ = next(iter(train))
    assert X.shape == (4, 5) and len(test) == 3 and "film" in (
        vocab.idx_to_token)

    def says(*scores: float) -> Callable[[Any], Any]:
        return lambda X: np.array([scores])

    assert d2l.predict_sentiment(says(0, 1), vocab, "pos film") == "positive"
    rows = "gold\ta\tb\nneutral\t( A man )\t( runs )\n-\tx\ty\n" * 6
    stored("SNLI", {f"snli_1.0/snli_1.0_{part}.txt": rows
                    for part in ("train", "test")})
    train, _, vocab = d2l.load_data_snli(2, num_steps=4)
    (premises, hypotheses), _ = next(iter(train))
    assert premises.shape == hypotheses.shape == (2, 4)
    read = d2l.read_snli("../data/snli_1.0", False)
    assert [part[0] for part in read] == ["A man", "runs", 2]
    assert len(d2l.SNLIDataset(read, 4, vocab)) == 6
    assert d2l.predict_snli(says(0, 0, 1), vocab, ["A"], ["runs"]) == "neutral"


def test_adversarial_networks():
    X, Z = np.random.normal(3, 1, (8, 2)), np.random.normal(size=(8, 2))
    nets = nn.Dense(1), nn.Dense(2)
    loss = gluon.loss.SigmoidBinaryCrossEntropyLoss()
    for net, update, arrays in ((nets[0], d2l.update_D, (X, Z)),
                                (nets[1], d2l.update_G, (Z,))):
        for each in nets:
            each.initialize()  # of what is there, nothing
        trainer = gluon.Trainer(net.collect_params(), "sgd",
                                {"learning_rate": 0.1})
        losses = [float(update(*arrays, *nets, loss, trainer))
                  for _ in range(6)]
        assert losses[-1] < losses[0]


class Factors(nn.Block):
    """Scores from a vector for each user and each item."""

    def __init__(self, num_users: int, num_items: int) -> None:
        super().__init__()
        self.users = nn.Embedding(num_users, 4)
        self.items = nn.Embedding(num_items, 4)

    def forward(self, user: Any, item: Any) -> Any:
        return (self.users(user) * self.items(item)).sum(axis=-1)


@pytest.mark.slow
def test_recommendation(capsys):
    rows = [(user, item, (user + item) % 5 + 1, 10 * user + item)
            for user in range(1, 6) for item in range(1, 6)]
    stored("ml-100k", {"ml-100k/u.data": "".join(
        "\t".join(map(str, row)) + "\n" for row in rows)})
    data, users, items = d2l.read_data_ml100k()
    assert isinstance(data, pd.DataFrame) and (users, items) == (5, 5)
    train, test = d2l.split_data_ml100k(data, users, items, "seq-aware")
    assert (len(train), len(test)) == (20, 5)
    train, test = d2l.split_data_ml100k(data, users, items)
    assert len(train) + len(test) == 25
    *_, scores, ratings = d2l.load_data_ml100k(data, users, items)
    assert sum(scores) == float(ratings.sum())
    *_, seen = d2l.load_data_ml100k(data, users, items, "implicit")
    assert seen[0] == [0, 1, 2, 3, 4]
    *_, train, test = d2l.split_and_load_ml100k(batch_size=4)
    net = Factors(users, items)
    net.initialize(mx.init.Normal(0.1))
    trainer = gluon.Trainer(net.collect_params(), "adam",
                            {"learning_rate": 0.05})

    def error(net: Any, loader: Any, devices: Any) -> float:
        losses = [float(((net(user, item) - rating) ** 2).mean())
                  for user, item, rating in loader]
        return sum(losses) / len(losses)

    before = error(net, train, None)
    d2l.train_recsys_rating(net, train, test, gluon.loss.L2Loss(), trainer, 3,
                            [CPU], error)
    assert error(net, train, None) < before

    # The first items are liked: user, liked, other.
    liked = np.array([0, 1] * 5)
    loader = d2l.load_array((np.arange(10) % 5, liked, liked + 2), 5)
    likes = {user: [0, 1] for user in range(5)}
    candidates = {user: [4] for user in range(5)}
    for loss in (d2l.BPRLoss(), d2l.HingeLossbRec()):
        assert float(loss(np.array([2.0]), np.array([0.0]))) < float(
            loss(np.array([0.0]), np.array([2.0])))
        d2l.train_ranking(net, loader, likes, loss, trainer, None, users,
                          items, 5, [CPU], d2l.evaluate_ranking, candidates, 5)
    hits, auc = d2l.evaluate_ranking(net, likes, None, candidates, users,
                                     items, [CPU])
    assert float(hits) == 2 and float(auc) == 1
    assert capsys.readouterr().out.count("examples/sec") == 3


def test_clicks(tmp_path):
    path = tmp_path / "clicks.tsv"
    path.write_text("1\ta\tb\n0\ta\tc\n" * 4)
    data = d2l.CTRDataset(path, num_feat=2)
    features, label = data[0]
    assert len(data) == 8 and features.shape == (2,)
    assert same(data.field_dims, [2, 3]) and same(label, [1])
