"""What each public name of d2lzh 1.0.0 does, for whichever package has it.

A case calls one name of the package it is given and returns what came of it,
as JSON can hold it. tests/first_edition.json holds what `d2lzh` itself gave
where it still worked, on Python 3.11 with NumPy 1.23.5:

    nox --session first_edition     does that again, and compares
"""
from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import math
import os
import random
import re
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

RECORD = Path(__file__).with_suffix(".json")
TEXT = "the time traveller for so it will be convenient to speak of him "
CASES: dict[str, Callable[[Any], Any]] = {}


def case(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    CASES[function.__name__] = function
    return function


def original() -> Any:
    """`d2lzh` as shipped: d2lzh_ext replaces functions of the package."""
    import d2lzh
    spec = importlib.util.spec_from_file_location(
        "d2lzh_as_shipped", d2lzh.utils.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def data_folder() -> Iterator[None]:
    """Work where the book does: beside a folder `data` with its files."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        data, work = Path(folder, "data"), Path(folder, "chapter")
        data.mkdir()
        work.mkdir()
        numbers = [[(7 * i + 3 * j * j) % 11 / 3 for j in range(6)]
                   for i in range(40)]
        (data / "airfoil_self_noise.dat").write_text("".join(
            "\t".join(map(str, row)) + "\n" for row in numbers))
        (data / "timemachine.txt").write_text(TEXT * 20)
        with zipfile.ZipFile(data / "jaychou_lyrics.txt.zip", "w") as packed:
            packed.writestr("jaychou_lyrics.txt", "想要有直升机\n想要和你" * 9)
        for part in ("train", "test"):
            for score, words in (("pos", "good fine"), ("neg", "bad poor")):
                place = data / "aclImdb" / part / score
                place.mkdir(parents=True)
                for i in range(6):
                    (place / f"{i}.txt").write_text(f"{words} film {i % 2}\n")
        os.chdir(work)
        try:
            yield
        finally:
            os.chdir(before)


def run(name: str, d2l: Any) -> Any:
    """The result of one case, from the same random start."""
    import matplotlib
    matplotlib.use("agg")
    import mxnet as mx
    import numpy as np
    random.seed(0)
    np.random.seed(0)
    mx.random.seed(0)
    d2l.plt.close("all")
    with data_folder():
        return json.loads(json.dumps(CASES[name](d2l), default=_listed))


def _listed(value: Any) -> Any:
    """Numbers of an array, for JSON."""
    if hasattr(value, "asnumpy"):
        value = value.asnumpy()
    return value.tolist()


def _printed(function: Callable[[], Any]) -> list[str]:
    """Lines that `function` prints, without the times they tell."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        function()
    text = re.sub(r"\d+\.\d+ sec", "? sec", printed.getvalue())
    return text.splitlines()


def _figure(d2l: Any) -> dict[str, Any]:
    """What has been drawn on the current axes."""
    axes = d2l.plt.gca()
    return {"lines": [line.get_xydata() for line in axes.get_lines()],
            "labels": [axes.get_xlabel(), axes.get_ylabel()],
            "scale": axes.get_yscale(), "texts": [
                text.get_text() for text in axes.texts],
            "patches": len(axes.patches)}


def _squares(d2l: Any, n: int = 24) -> tuple[Any, Any]:
    """Images of two classes that a layer can tell apart, and labels."""
    y = d2l.nd.arange(n) % 2
    X = d2l.nd.random.uniform(shape=(n, 1, 4, 4))
    return X + y.reshape((-1, 1, 1, 1)), y


def _loader(d2l: Any) -> Any:
    X, y = _squares(d2l)
    return d2l.gdata.DataLoader(
        d2l.gdata.ArrayDataset(X, y.asnumpy().astype("int32")), 8)


def _dense(d2l: Any, lr: float = 0.1) -> tuple[Any, Any]:
    net = d2l.nn.Sequential()
    net.add(d2l.nn.Dense(2))
    net.initialize(d2l.init.Normal(0.01))
    return net, d2l.gluon.Trainer(net.collect_params(), "sgd",
                                  {"learning_rate": lr})


@case
def VOC_CLASSES(d2l: Any) -> Any:
    return d2l.VOC_CLASSES


@case
def VOC_COLORMAP(d2l: Any) -> Any:
    return d2l.VOC_COLORMAP


@case
def bbox_to_rect(d2l: Any) -> Any:
    rect = d2l.bbox_to_rect((60, 45, 378, 516), "blue")
    return [rect.get_xy(), rect.get_width(), rect.get_height()]


@case
def Benchmark(d2l: Any) -> Any:
    def work() -> None:
        with d2l.Benchmark("Workloads are queued."):
            d2l.nd.ones((2, 2)).asnumpy()
        with d2l.Benchmark():
            pass
    return _printed(work)


@case
def corr2d(d2l: Any) -> Any:
    return d2l.corr2d(d2l.nd.arange(9).reshape((3, 3)),
                      d2l.nd.arange(4).reshape((2, 2)))


@case
def count_tokens(d2l: Any) -> Any:
    return d2l.count_tokens([["a", "b"], ["a"]])


@case
def data_iter(d2l: Any) -> Any:
    X = d2l.nd.arange(14).reshape((7, 2))
    return [list(batch) for batch in d2l.data_iter(3, X, X[:, 0])]


@case
def data_iter_consecutive(d2l: Any) -> Any:
    return [list(pair) for pair in
            d2l.data_iter_consecutive(list(range(30)), 2, 6)]


@case
def data_iter_random(d2l: Any) -> Any:
    return [list(pair) for pair in
            d2l.data_iter_random(list(range(30)), 2, 6)]


@case
def evaluate_accuracy(d2l: Any) -> Any:
    net, _ = _dense(d2l)
    one = d2l.evaluate_accuracy(_loader(d2l), net)
    return [float(one), float(d2l.evaluate_accuracy(
        _loader(d2l), net, d2l.mx.cpu()))]


@case
def get_data_ch7(d2l: Any) -> Any:
    return list(d2l.get_data_ch7())


@case
def get_fashion_mnist_labels(d2l: Any) -> Any:
    return [d2l.get_fashion_mnist_labels(labels) for labels in
            (range(10), d2l.np.array([3, 0], "int32"))]


@case
def get_tokenized_imdb(d2l: Any) -> Any:
    return d2l.get_tokenized_imdb([["A good Film", 1]])


@case
def get_vocab_imdb(d2l: Any) -> Any:
    vocab = d2l.get_vocab_imdb([["good film", 1]] * 5 + [["rare", 0]])
    return [len(vocab), vocab.to_indices(["good", "film", "rare"])]


@case
def grad_clipping(d2l: Any) -> Any:
    x = d2l.nd.array([3.0, 4.0])
    x.attach_grad()
    found = []
    for theta in (None, 10, 1):
        with d2l.autograd.record():
            y = (x * x / 2).sum()
        y.backward()
        d2l.grad_clipping([x], theta, d2l.mx.cpu())
        found.append(x.grad.asnumpy())
    return found


@case
def linreg(d2l: Any) -> Any:
    nd = d2l.nd
    return d2l.linreg(nd.ones((2, 3)), nd.arange(3).reshape((3, 1)),
                      nd.array([0.5]))


@case
def load_data_jay_lyrics(d2l: Any) -> Any:
    corpus, to_index, to_char, size = d2l.load_data_jay_lyrics()
    return ["".join(to_char[i] for i in corpus), sorted(to_index), size]


@case
def load_data_time_machine(d2l: Any) -> Any:
    corpus, to_index, to_char, size = d2l.load_data_time_machine()
    return ["".join(to_char[i] for i in corpus), sorted(to_index), size]


@case
def mkdir_if_not_exist(d2l: Any) -> Any:
    for _ in range(2):
        d2l.mkdir_if_not_exist(["made", "by", "it"])
    return os.path.isdir("made/by/it")


def _rnn(d2l: Any) -> tuple[Any, Any, Any, Any]:
    """A small recurrent network from scratch, as in section 6.4."""
    nd, size, hiddens = d2l.nd, 27, 8

    def get_params() -> Any:
        params = [nd.random.normal(scale=0.1, shape=shape) for shape in
                  ((size, hiddens), (hiddens, hiddens), (hiddens, size))]
        params += [nd.zeros(hiddens), nd.zeros(size)]
        for param in params:
            param.attach_grad()
        return params

    def init_state(batch_size: int, num_hiddens: int, ctx: Any) -> Any:
        return (nd.zeros((batch_size, num_hiddens), ctx=ctx),)

    def rnn(inputs: Any, state: Any, params: Any) -> Any:
        W_xh, W_hh, W_hq, b_h, b_q = params
        H, = state
        outputs = []
        for X in inputs:
            H = nd.tanh(nd.dot(X, W_xh) + nd.dot(H, W_hh) + b_h)
            outputs.append(nd.dot(H, W_hq) + b_q)
        return outputs, (H,)

    return rnn, get_params, init_state, hiddens


def _alphabet() -> tuple[list[int], list[str], dict[str, int]]:
    characters = [" ", *map(chr, range(97, 123))]
    index = {char: i for i, char in enumerate(characters)}
    return [index[char] for char in TEXT * 3], characters, index


@case
def predict_rnn(d2l: Any) -> Any:
    rnn, get_params, init_state, hiddens = _rnn(d2l)
    _, characters, index = _alphabet()
    return d2l.predict_rnn("time", 5, rnn, get_params(), init_state, hiddens,
                           27, d2l.mx.cpu(), characters, index)


@case
def train_and_predict_rnn(d2l: Any) -> Any:
    rnn, get_params, init_state, hiddens = _rnn(d2l)
    corpus, characters, index = _alphabet()

    def train(is_random: bool) -> None:
        d2l.train_and_predict_rnn(
            rnn, get_params, init_state, hiddens, 27, d2l.mx.cpu(), corpus,
            characters, index, is_random, 4, 8, 10, 0.01, 4, 2, 5,
            ["time", "so"])

    return [_printed(lambda: train(True)), _printed(lambda: train(False))]


def _model(d2l: Any) -> Any:
    return d2l.RNNModel(d2l.gluon.rnn.RNN(8), 27)


@case
def RNNModel(d2l: Any) -> Any:
    model = _model(d2l)
    model.initialize()
    outputs, state = model(d2l.nd.arange(6).reshape((2, 3)),
                           model.begin_state(batch_size=2))
    return [outputs.shape, [part.shape for part in state], outputs.sum()]


@case
def predict_rnn_gluon(d2l: Any) -> Any:
    model = _model(d2l)
    model.initialize()
    _, characters, index = _alphabet()
    return d2l.predict_rnn_gluon("time", 5, model, 27, d2l.mx.cpu(),
                                 characters, index)


@case
def train_and_predict_rnn_gluon(d2l: Any) -> Any:
    corpus, characters, index = _alphabet()
    return _printed(lambda: d2l.train_and_predict_rnn_gluon(
        _model(d2l), 8, 27, d2l.mx.cpu(), corpus, characters, index, 4, 8,
        10, 0.01, 4, 2, 5, ["time"]))


def _reviews(d2l: Any) -> tuple[Any, Any]:
    data = [["good film", 1], ["bad film", 0]] * 5
    return data, d2l.get_vocab_imdb(data)


@case
def preprocess_imdb(d2l: Any) -> Any:
    features, labels = d2l.preprocess_imdb(*_reviews(d2l))
    return [features.shape, features[:, :3], labels]


@case
def predict_sentiment(d2l: Any) -> Any:
    _, vocab = _reviews(d2l)
    return [d2l.predict_sentiment(
        lambda X, k=k: d2l.nd.array([[0.5 - k, k - 0.5]]) + 0 * X.sum(),
        vocab, ["good", "film"]) for k in (0, 1)]


@case
def read_imdb(d2l: Any) -> Any:
    return sorted(d2l.read_imdb("test"))


@case
def Residual(d2l: Any) -> Any:
    block = d2l.Residual(4, use_1x1conv=True, strides=2)
    block.initialize()
    Y = block(d2l.nd.ones((2, 3, 6, 6)))
    return [Y.shape, Y.sum()]


@case
def resnet18(d2l: Any) -> Any:
    net = d2l.resnet18(10)
    net.initialize()
    return net(d2l.nd.ones((1, 3, 32, 32)))


@case
def semilogy(d2l: Any) -> Any:
    d2l.semilogy([1, 2, 3], [1, 10, 100], "epochs", "loss", [1, 2, 3],
                 [2, 3, 4], ["train", "test"])
    return _figure(d2l)


@case
def set_figsize(d2l: Any) -> Any:
    d2l.set_figsize()
    first = list(d2l.plt.rcParams["figure.figsize"])
    d2l.set_figsize((4, 3))
    return [first, list(d2l.plt.rcParams["figure.figsize"])]


@case
def use_svg_display(d2l: Any) -> Any:
    return d2l.use_svg_display()


@case
def sgd(d2l: Any) -> Any:
    x = d2l.nd.array([1.0, 2.0])
    x.attach_grad()
    with d2l.autograd.record():
        y = (x * x).sum()
    y.backward()
    d2l.sgd([x], 0.5, 2)
    return x


@case
def show_bboxes(d2l: Any) -> Any:
    d2l.show_bboxes(d2l.plt.gca(), d2l.nd.array([[1, 2, 3, 4], [0, 0, 2, 2]]),
                    ["dog", "cat"])
    return _figure(d2l)


@case
def show_fashion_mnist(d2l: Any) -> Any:
    d2l.show_fashion_mnist(d2l.nd.ones((3, 28, 28, 1)), ["a", "b", "c"])
    return [axes.get_title() for axes in d2l.plt.gcf().axes]


@case
def show_images(d2l: Any) -> Any:
    axes = d2l.show_images([d2l.nd.ones((4, 4, 3))] * 6, 2, 3, scale=1)
    return [axes.shape, list(axes[0][0].figure.get_size_inches())]


@case
def show_trace_2d(d2l: Any) -> Any:
    d2l.show_trace_2d(lambda x1, x2: x1**2 + 2 * x2**2,
                      [(-5, -2), (-4, -1.5), (-3, -1)])
    return _figure(d2l)


@case
def squared_loss(d2l: Any) -> Any:
    return d2l.squared_loss(d2l.nd.array([[1.0], [3.0]]),
                            d2l.nd.array([2.0, 5.0]))


@case
def to_onehot(d2l: Any) -> Any:
    return d2l.to_onehot(d2l.nd.arange(6).reshape((2, 3)), 6)


@case
def train(d2l: Any) -> Any:
    net, trainer = _dense(d2l)
    return _printed(lambda: d2l.train(
        _loader(d2l), _loader(d2l), net,
        d2l.gloss.SoftmaxCrossEntropyLoss(), trainer, d2l.mx.cpu(), 2))


@case
def train_2d(d2l: Any) -> Any:
    found: list[Any] = []
    printed = _printed(lambda: found.extend(d2l.train_2d(
        lambda x1, x2, s1, s2: (x1 * 0.6, x2 * 0.2, 0, 0))))
    return [printed, found]


@case
def train_ch3(d2l: Any) -> Any:
    net, trainer = _dense(d2l)
    loss = d2l.gloss.SoftmaxCrossEntropyLoss()
    with_trainer = _printed(lambda: d2l.train_ch3(
        net, _loader(d2l), _loader(d2l), loss, 2, 8, None, None, trainer))
    W = d2l.nd.random.normal(scale=0.01, shape=(16, 2))
    b = d2l.nd.zeros(2)
    for param in (W, b):
        param.attach_grad()
    return [with_trainer, _printed(lambda: d2l.train_ch3(
        lambda X: d2l.nd.dot(X.reshape((-1, 16)), W) + b, _loader(d2l),
        _loader(d2l), loss, 2, 8, [W, b], 0.1))]


@case
def train_ch5(d2l: Any) -> Any:
    net, trainer = _dense(d2l)
    return _printed(lambda: d2l.train_ch5(
        net, _loader(d2l), _loader(d2l), 8, trainer, d2l.mx.cpu(), 2))


@case
def train_ch7(d2l: Any) -> Any:
    features, labels = d2l.get_data_ch7()

    def trainer(params: Any, states: Any, hyperparams: Any) -> None:
        for p in params:
            p[:] -= hyperparams["lr"] * p.grad

    return [_printed(lambda: d2l.train_ch7(
        trainer, None, {"lr": 0.05}, features, labels)), _figure(d2l)]


@case
def train_gluon_ch7(d2l: Any) -> Any:
    features, labels = d2l.get_data_ch7()
    return [_printed(lambda: d2l.train_gluon_ch7(
        "sgd", {"learning_rate": 0.05}, features, labels)), _figure(d2l)]


@case
def try_gpu(d2l: Any) -> Any:
    return str(d2l.try_gpu())


@case
def try_all_gpus(d2l: Any) -> Any:
    return list(map(str, d2l.try_all_gpus()))


@case
def voc_label_indices(d2l: Any) -> Any:
    to_label = d2l.nd.zeros(256 ** 3)
    for i, (red, green, blue) in enumerate(d2l.VOC_COLORMAP):
        to_label[(red * 256 + green) * 256 + blue] = i
    colors = d2l.nd.array([[d2l.VOC_COLORMAP[3], d2l.VOC_COLORMAP[20]]])
    return d2l.voc_label_indices(colors, to_label)


@case
def voc_rand_crop(d2l: Any) -> Any:
    image = d2l.nd.arange(192).reshape((8, 8, 3))
    return list(d2l.voc_rand_crop(image, image, 4, 5))


@case
def read_voc_images(d2l: Any) -> Any:
    _draw_voc(d2l)
    features, labels = d2l.read_voc_images("voc", is_train=False)
    return [features, labels]


@case
def VOCSegDataset(d2l: Any) -> Any:
    _draw_voc(d2l)
    data: list[Any] = []
    printed = _printed(lambda: data.append(d2l.VOCSegDataset(
        False, (6, 6), "voc", d2l.nd.zeros(256 ** 3))))
    return [printed, len(data[0]), [part.shape for part in data[0][0]]]


def _draw_voc(d2l: Any) -> None:
    """Two pictures in the folders of Pascal VOC."""
    for folder in ("ImageSets/Segmentation", "JPEGImages",
                   "SegmentationClass"):
        Path("voc", folder).mkdir(parents=True)
    Path("voc/ImageSets/Segmentation/val.txt").write_text("one\ntwo\n")
    for name, side in (("one", 8), ("two", 5)):
        grey = d2l.np.full((side, side, 3), 128, "uint8")
        for target in (f"JPEGImages/{name}.jpg",
                       f"SegmentationClass/{name}.png"):
            d2l.plt.imsave(f"voc/{target}", grey)


NUMBER = re.compile(r"-?\d+\.\d+")


def same(one: Any, other: Any) -> bool:
    """Equal but for the last places of numbers, also of those in texts."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(
            same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, str):
        return (NUMBER.sub("#", one) == NUMBER.sub("#", other)
                and same([*map(float, NUMBER.findall(one))],
                         [*map(float, NUMBER.findall(other))]))
    if isinstance(one, float):
        return math.isclose(one, other, rel_tol=1e-3, abs_tol=1e-3)
    return bool(one == other)


def alone() -> dict[str, str]:
    """What each case comes to with `d2lzh` alone, its import apart."""
    from d2lzh_compat.removed import numpy_names
    with numpy_names():
        d2l = original()
    found = {}
    expected = json.loads(RECORD.read_text(encoding="utf-8"))
    for name in CASES:
        try:
            result = run(name, d2l)
        except Exception as error:  # whatever it is, the table shows it
            found[name] = f"{type(error).__name__}: {error}"
        else:
            found[name] = ("" if same(expected[name], result)
                           else "gives another result")
    return found


def main() -> None:
    """Run every case on `d2lzh` where it still works, and compare."""
    if sys.argv[1:] == ["--alone"]:
        print(json.dumps(alone()))
        return
    import d2lzh
    assert not any(name.startswith("d2lzh_ext") for name in sys.modules)
    found = {name: run(name, d2lzh) for name in CASES}
    if sys.argv[1:] == ["--record"]:
        RECORD.write_text(json.dumps(found, ensure_ascii=False) + "\n",
                          encoding="utf-8")
    different = [name for name, result in
                 json.loads(RECORD.read_text(encoding="utf-8")).items()
                 if not same(result, found[name])]
    if different:
        raise SystemExit("d2lzh gives other results than recorded: "
                         + ", ".join(different))
    print(f"d2lzh gives the {len(found)} recorded results")


if __name__ == "__main__":
    main()
