"""What each public name of d2lzh 1.0.0 does, for whichever package has it.

A case calls one name of the package it is given and returns what came of it,
as JSON can hold it. first_edition.json holds what `d2lzh` itself gave where
it still worked, on Python 3.11 with NumPy 1.23.5:

    nox --session installed     does that again, and compares
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
from pathlib import Path

RECORD = Path(__file__).with_suffix(".json")
TEXT = "the time traveller for so it will be convenient to speak of him "


def original():
    """`d2lzh` as shipped: d2lzh_ext replaces functions of the package."""
    import d2lzh
    spec = importlib.util.spec_from_file_location(
        "d2lzh_as_shipped", d2lzh.utils.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def data_folder():
    """Work where the book does: beside a folder `data` with its files."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        data, work = Path(folder, "data"), Path(folder, "chapter")
        data.mkdir()
        work.mkdir()
        (data / "airfoil_self_noise.dat").write_text("".join(
            "\t".join(str((7 * i + 3 * j * j) % 11 / 3) for j in range(6))
            + "\n" for i in range(40)))
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


def run(name, d2l):
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


def _listed(value):
    """Numbers of an array, for JSON."""
    return (value.asnumpy() if hasattr(value, "asnumpy") else value).tolist()


def _printed(function, *args):
    """Lines that `function` prints, without the times they tell."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        function(*args)
    text = re.sub(r"\d+\.\d+ sec", "? sec", printed.getvalue())
    return text.splitlines()


def _figure(d2l):
    """What has been drawn on the current axes."""
    axes = d2l.plt.gca()
    return {"lines": [line.get_xydata() for line in axes.get_lines()],
            "labels": [axes.get_xlabel(), axes.get_ylabel()],
            "scale": axes.get_yscale(), "texts": [
                text.get_text() for text in axes.texts],
            "patches": len(axes.patches)}


def _loader(d2l):
    """24 images of two classes that a layer can tell apart, and labels."""
    y = d2l.nd.arange(24) % 2
    X = d2l.nd.random.uniform(shape=(24, 1, 4, 4))
    return d2l.gdata.DataLoader(d2l.gdata.ArrayDataset(
        X + y.reshape((-1, 1, 1, 1)), y.asnumpy().astype("int32")), 8)


def _dense(d2l):
    net = d2l.nn.Sequential()
    net.add(d2l.nn.Dense(2))
    net.initialize(d2l.init.Normal(0.01))
    return net, d2l.gluon.Trainer(net.collect_params(), "sgd",
                                  {"learning_rate": 0.1})


def _half_square(d2l, *values):
    """An array, and half of its square to differentiate."""
    x = d2l.nd.array(values)
    x.attach_grad()

    def backward(factor=1):
        with d2l.autograd.record():
            y = (factor * x * x / 2).sum()
        y.backward()
    return x, backward


def bbox_to_rect(d2l):
    rect = d2l.bbox_to_rect((60, 45, 378, 516), "blue")
    return [rect.get_xy(), rect.get_width(), rect.get_height()]


def Benchmark(d2l):
    def work():
        with d2l.Benchmark("Workloads are queued."):
            d2l.nd.ones((2, 2)).asnumpy()
        with d2l.Benchmark():
            pass
    return _printed(work)


def data_iter(d2l):
    X = d2l.nd.arange(14).reshape((7, 2))
    return [list(batch) for batch in d2l.data_iter(3, X, X[:, 0])]


def evaluate_accuracy(d2l):
    net, _ = _dense(d2l)
    one = d2l.evaluate_accuracy(_loader(d2l), net)
    return [float(one), float(d2l.evaluate_accuracy(
        _loader(d2l), net, d2l.mx.cpu()))]


def get_vocab_imdb(d2l):
    vocab = d2l.get_vocab_imdb([["good film", 1]] * 5 + [["rare", 0]])
    return [len(vocab), vocab.to_indices(["good", "film", "rare"])]


def grad_clipping(d2l):
    x, backward = _half_square(d2l, 3.0, 4.0)
    found = []
    for theta in (None, 10, 1):
        backward()
        d2l.grad_clipping([x], theta, d2l.mx.cpu())
        found.append(x.grad.asnumpy())
    return found


def load_text(name):
    def load(d2l):
        corpus, to_index, to_char, size = getattr(d2l, name)()
        return ["".join(to_char[i] for i in corpus), sorted(to_index), size]
    return load


def mkdir_if_not_exist(d2l):
    for _ in range(2):
        d2l.mkdir_if_not_exist(["made", "by", "it"])
    return os.path.isdir("made/by/it")


def _rnn(d2l):
    """A small recurrent network from scratch, as in section 6.4."""
    nd, size, hiddens = d2l.nd, 27, 8

    def get_params():
        params = [nd.random.normal(scale=0.1, shape=shape) for shape in
                  ((size, hiddens), (hiddens, hiddens), (hiddens, size))]
        params += [nd.zeros(hiddens), nd.zeros(size)]
        for param in params:
            param.attach_grad()
        return params

    def init_state(batch_size, num_hiddens, ctx):
        return (nd.zeros((batch_size, num_hiddens), ctx=ctx),)

    def rnn(inputs, state, params):
        W_xh, W_hh, W_hq, b_h, b_q = params
        H, = state
        outputs = []
        for X in inputs:
            H = nd.tanh(nd.dot(X, W_xh) + nd.dot(H, W_hh) + b_h)
            outputs.append(nd.dot(H, W_hq) + b_q)
        return outputs, (H,)

    return rnn, get_params, init_state, hiddens


def _alphabet():
    characters = [" ", *map(chr, range(97, 123))]
    index = {char: i for i, char in enumerate(characters)}
    return [index[char] for char in TEXT * 3], characters, index


def predict_rnn(d2l):
    rnn, get_params, init_state, hiddens = _rnn(d2l)
    _, characters, index = _alphabet()
    return d2l.predict_rnn("time", 5, rnn, get_params(), init_state, hiddens,
                           27, d2l.mx.cpu(), characters, index)


def train_and_predict_rnn(d2l):
    rnn, get_params, init_state, hiddens = _rnn(d2l)
    return [_printed(
        d2l.train_and_predict_rnn, rnn, get_params, init_state, hiddens, 27,
        d2l.mx.cpu(), *_alphabet(), is_random, 4, 8, 10, 0.01, 4, 2, 5,
        ["time", "so"]) for is_random in (True, False)]


def _model(d2l):
    return d2l.RNNModel(d2l.gluon.rnn.RNN(8), 27)


def RNNModel(d2l):
    model = _model(d2l)
    model.initialize()
    outputs, state = model(d2l.nd.arange(6).reshape((2, 3)),
                           model.begin_state(batch_size=2))
    return [outputs.shape, [part.shape for part in state], outputs.sum()]


def predict_rnn_gluon(d2l):
    model = _model(d2l)
    model.initialize()
    _, characters, index = _alphabet()
    return d2l.predict_rnn_gluon("time", 5, model, 27, d2l.mx.cpu(),
                                 characters, index)


def train_and_predict_rnn_gluon(d2l):
    return _printed(
        d2l.train_and_predict_rnn_gluon, _model(d2l), 8, 27, d2l.mx.cpu(),
        *_alphabet(), 4, 8, 10, 0.01, 4, 2, 5, ["time"])


def _reviews(d2l):
    data = [["good film", 1], ["bad film", 0]] * 5
    return data, d2l.get_vocab_imdb(data)


def preprocess_imdb(d2l):
    features, labels = d2l.preprocess_imdb(*_reviews(d2l))
    return [features.shape, features[:, :3], labels]


def predict_sentiment(d2l):
    _, vocab = _reviews(d2l)
    return [d2l.predict_sentiment(
        lambda X, k=k: d2l.nd.array([[0.5 - k, k - 0.5]]) + 0 * X.sum(),
        vocab, ["good", "film"]) for k in (0, 1)]


def Residual(d2l):
    block = d2l.Residual(4, use_1x1conv=True, strides=2)
    block.initialize()
    Y = block(d2l.nd.ones((2, 3, 6, 6)))
    return [Y.shape, Y.sum()]


def resnet18(d2l):
    net = d2l.resnet18(10)
    net.initialize()
    return net(d2l.nd.ones((1, 3, 32, 32)))


def semilogy(d2l):
    d2l.semilogy([1, 2, 3], [1, 10, 100], "epochs", "loss", [1, 2, 3],
                 [2, 3, 4], ["train", "test"])
    return _figure(d2l)


def set_figsize(d2l):
    d2l.set_figsize()
    first = list(d2l.plt.rcParams["figure.figsize"])
    d2l.set_figsize((4, 3))
    return [first, list(d2l.plt.rcParams["figure.figsize"])]


def sgd(d2l):
    x, backward = _half_square(d2l, 1.0, 2.0)
    backward(2)
    d2l.sgd([x], 0.5, 2)
    return x


def show_bboxes(d2l):
    d2l.show_bboxes(d2l.plt.gca(), d2l.nd.array([[1, 2, 3, 4], [0, 0, 2, 2]]),
                    ["dog", "cat"])
    return _figure(d2l)


def show_fashion_mnist(d2l):
    d2l.show_fashion_mnist(d2l.nd.ones((3, 28, 28, 1)), ["a", "b", "c"])
    return [axes.get_title() for axes in d2l.plt.gcf().axes]


def show_images(d2l):
    axes = d2l.show_images([d2l.nd.ones((4, 4, 3))] * 6, 2, 3, scale=1)
    return [axes.shape, list(axes[0][0].figure.get_size_inches())]


def show_trace_2d(d2l):
    d2l.show_trace_2d(lambda x1, x2: x1**2 + 2 * x2**2,
                      [(-5, -2), (-4, -1.5), (-3, -1)])
    return _figure(d2l)


def train(d2l):
    net, trainer = _dense(d2l)
    return _printed(d2l.train, _loader(d2l), _loader(d2l), net,
                    d2l.gloss.SoftmaxCrossEntropyLoss(), trainer,
                    d2l.mx.cpu(), 2)


def train_2d(d2l):
    found = []
    printed = _printed(lambda: found.extend(d2l.train_2d(
        lambda x1, x2, s1, s2: (x1 * 0.6, x2 * 0.2, 0, 0))))
    return [printed, found]


def train_ch3(d2l):
    net, trainer = _dense(d2l)
    loss = d2l.gloss.SoftmaxCrossEntropyLoss()
    with_trainer = _printed(d2l.train_ch3, net, _loader(d2l), _loader(d2l),
                            loss, 2, 8, None, None, trainer)
    W = d2l.nd.random.normal(scale=0.01, shape=(16, 2))
    b = d2l.nd.zeros(2)
    for param in (W, b):
        param.attach_grad()
    return [with_trainer, _printed(
        d2l.train_ch3, lambda X: d2l.nd.dot(X.reshape((-1, 16)), W) + b,
        _loader(d2l), _loader(d2l), loss, 2, 8, [W, b], 0.1)]


def train_ch5(d2l):
    net, trainer = _dense(d2l)
    return _printed(d2l.train_ch5, net, _loader(d2l), _loader(d2l), 8,
                    trainer, d2l.mx.cpu(), 2)


def train_ch7(d2l):
    def trainer(params, states, hyperparams):
        for p in params:
            p[:] -= hyperparams["lr"] * p.grad

    return [_printed(d2l.train_ch7, trainer, None, {"lr": 0.05},
                     *d2l.get_data_ch7()), _figure(d2l)]


def train_gluon_ch7(d2l):
    return [_printed(d2l.train_gluon_ch7, "sgd", {"learning_rate": 0.05},
                     *d2l.get_data_ch7()), _figure(d2l)]


def voc_label_indices(d2l):
    to_label = d2l.nd.zeros(256 ** 3)
    for i, (red, green, blue) in enumerate(d2l.VOC_COLORMAP):
        to_label[(red * 256 + green) * 256 + blue] = i
    colors = d2l.nd.array([[d2l.VOC_COLORMAP[3], d2l.VOC_COLORMAP[20]]])
    return d2l.voc_label_indices(colors, to_label)


def voc_rand_crop(d2l):
    image = d2l.nd.arange(192).reshape((8, 8, 3))
    return list(d2l.voc_rand_crop(image, image, 4, 5))


def read_voc_images(d2l):
    _draw_voc(d2l)
    return list(d2l.read_voc_images("voc", is_train=False))


def VOCSegDataset(d2l):
    _draw_voc(d2l)
    data = []
    printed = _printed(lambda: data.append(d2l.VOCSegDataset(
        False, (6, 6), "voc", d2l.nd.zeros(256 ** 3))))
    return [printed, len(data[0]), [part.shape for part in data[0][0]]]


def _draw_voc(d2l):
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


CASES = {function.__name__: function for function in (
    bbox_to_rect, Benchmark, data_iter, evaluate_accuracy, get_vocab_imdb,
    grad_clipping, mkdir_if_not_exist, predict_rnn, train_and_predict_rnn,
    RNNModel, predict_rnn_gluon, train_and_predict_rnn_gluon,
    preprocess_imdb, predict_sentiment, Residual, resnet18, semilogy,
    set_figsize, sgd, show_bboxes, show_fashion_mnist, show_images,
    show_trace_2d, train, train_2d, train_ch3, train_ch5, train_ch7,
    train_gluon_ch7, voc_label_indices, voc_rand_crop, read_voc_images,
    VOCSegDataset)}
CASES.update({
    "VOC_CLASSES": lambda d2l: d2l.VOC_CLASSES,
    "VOC_COLORMAP": lambda d2l: d2l.VOC_COLORMAP,
    "corr2d": lambda d2l: d2l.corr2d(d2l.nd.arange(9).reshape((3, 3)),
                                     d2l.nd.arange(4).reshape((2, 2))),
    "count_tokens": lambda d2l: d2l.count_tokens([["a", "b"], ["a"]]),
    "data_iter_consecutive": lambda d2l: list(map(
        list, d2l.data_iter_consecutive(list(range(30)), 2, 6))),
    "data_iter_random": lambda d2l: list(map(
        list, d2l.data_iter_random(list(range(30)), 2, 6))),
    "get_data_ch7": lambda d2l: list(d2l.get_data_ch7()),
    "get_fashion_mnist_labels": lambda d2l: [
        d2l.get_fashion_mnist_labels(range(10)),
        d2l.get_fashion_mnist_labels(d2l.np.array([3, 0], "int32"))],
    "get_tokenized_imdb": lambda d2l: d2l.get_tokenized_imdb(
        [["A good Film", 1]]),
    "linreg": lambda d2l: d2l.linreg(
        d2l.nd.ones((2, 3)), d2l.nd.arange(3).reshape((3, 1)),
        d2l.nd.array([0.5])),
    "load_data_jay_lyrics": load_text("load_data_jay_lyrics"),
    "load_data_time_machine": load_text("load_data_time_machine"),
    "read_imdb": lambda d2l: sorted(d2l.read_imdb("test")),
    "squared_loss": lambda d2l: d2l.squared_loss(
        d2l.nd.array([[1.0], [3.0]]), d2l.nd.array([2.0, 5.0])),
    "to_onehot": lambda d2l: d2l.to_onehot(
        d2l.nd.arange(6).reshape((2, 3)), 6),
    "try_all_gpus": lambda d2l: list(map(str, d2l.try_all_gpus())),
    "try_gpu": lambda d2l: str(d2l.try_gpu()),
    "use_svg_display": lambda d2l: d2l.use_svg_display(),
})

NUMBER = re.compile(r"-?\d+\.\d+")


def same(one, other):
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
    return one == other


def alone():
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


def main():
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
