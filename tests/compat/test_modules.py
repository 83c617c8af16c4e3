"""What MXNet's own Python files ask of NumPy and Python when they run.

`test_names.py` looks for the names; here is what comes of them.
"""
from __future__ import annotations

import importlib
import json
import math
import pickle
import re
import runpy
import subprocess
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
import pytest
from interpreter import ROOT, run
from mxnet import gluon, nd
from mxnet.gluon.contrib import estimator

from d2lzh_compat import modules, rewording


def _both(label, pred):
    return np.float32(label.sum() + pred.sum())


# What each metric is made from, and the number of its classes.
METRICS = {
    "Accuracy": ({}, 4), "TopKAccuracy": ({"top_k": 2}, 4),
    "F1": ({}, 2), "MCC": ({}, 2), "PCC": ({}, 4),
    "Perplexity": ({"ignore_label": None}, 4),
    "CrossEntropy": ({}, 4), "NegativeLogLikelihood": ({}, 4),
    "MAE": ({}, 0), "MSE": ({}, 0), "RMSE": ({}, 0),
    "PearsonCorrelation": ({}, 0), "Loss": ({}, 0), "Torch": ({}, 0),
    "Caffe": ({}, 0), "CustomMetric": ({"feval": _both}, 0),
}
# The value of the others is a mean of what single updates give.
COUNTS = {"Accuracy", "TopKAccuracy", "F1", "MCC", "PCC"}


def test_every_metric_is_here():
    kinds = {name for name, kind in vars(mx.metric).items()
             if isinstance(kind, type)
             and issubclass(kind, mx.metric.EvalMetric)}
    assert kinds == METRICS.keys() | {"EvalMetric", "CompositeEvalMetric"}


@pytest.mark.parametrize("name", METRICS)
def test_totals_of_metrics_are_float64(name):
    """As NumPy 1 had them, digit for digit; and shown as it showed them."""
    settings, classes = METRICS[name]
    make = getattr(mx.metric, name)
    rng = np.random.default_rng(0)
    metric = make(**settings)
    total, number = 0.0, 0
    for _ in range(40):
        label, pred = rng.normal(size=(2, 7))
        if classes:
            label = rng.integers(0, classes, 7)
            pred = rng.dirichlet(np.ones(classes), 7)
        batch = [nd.array(label)], [nd.array(pred)]
        metric.update(*batch)
        alone = make(**settings)  # added to 0.0: the same in any precision
        alone.update(*batch)
        total += float(alone.sum_metric)
        number += alone.num_inst
    if name not in COUNTS:
        assert (metric.sum_metric, metric.num_inst) == (total, number)
        value = total / number
        if name == "Perplexity":
            value = math.exp(value)
        assert metric.get()[1] == metric.get_global()[1] == value
    json.dumps(metric.get())
    assert "np." not in f"{metric} {metric.get()} {metric.get_global()}"
    assert pickle.loads(pickle.dumps(metric)).get() == metric.get()
    metric.reset()
    assert math.isnan(metric.get()[1]) or metric.get()[1] == 0


def test_perplexity_adds_up_the_parts_of_an_update():
    scores = [nd.array([[0.1, 0.9], [0.3, 0.7]]), nd.array([[0.6, 0.4]])]
    labels = [nd.array([1, 1]), nd.array([0])]
    metric = mx.metric.Perplexity(ignore_label=1)
    metric.update(labels, scores)
    assert metric.num_inst == 1
    metric = mx.metric.Perplexity(ignore_label=None)
    metric.update(labels, scores)
    parts = [float(-nd.log(nd.pick(p, y)).sum().asscalar())
             for y, p in zip(labels, scores)]
    assert metric.sum_metric == sum(parts)


def test_totals_go_on_growing():
    """In float32 they stop at 2**24; issues of drift come long before."""
    metric = mx.metric.Loss()
    metric.sum_metric = 2.0**24
    for _ in range(8):
        metric.update(None, [nd.ones(1)])
    assert metric.sum_metric == 2**24 + 8


class _Own(mx.metric.EvalMetric):
    """A metric of a reader, which keeps its totals as it likes."""

    def reset(self):
        self.sum_metric = 0.0
        self.num_inst = 0

    def update(self, labels, preds):
        for pred in preds:
            self.sum_metric = np.float32(pred.sum().asscalar()) \
                + self.sum_metric
            self.num_inst += pred.size


def test_a_readers_own_metric():
    metric = _Own("own")
    metric.update(None, [nd.array([1, 2, 4.5])])
    assert metric.get() == ("own", 2.5)
    both = mx.metric.CompositeEvalMetric([metric, mx.metric.Loss()])
    assert str(both.get_name_value()[0]) == "('own', 2.5)"
    with pytest.raises(AttributeError, match="'_Own' object has no"):
        object.__new__(_Own).sum_metric  # noqa: B018


def _added(metric, number, times=3_000):
    for _ in range(times):
        metric.sum_metric += number
        metric.num_inst += 1
    return metric.get()[1]


@pytest.mark.parametrize("number", [
    np.float32(0.1), np.array(0.1, "float32"), np.float16(0.1)])
def test_what_a_readers_metric_may_add(number):
    """An array without axes is what `asnumpy()` of mx.np gives."""
    metric = mx.metric.EvalMetric("own")
    assert _added(metric, number) == pytest.approx(float(number), 1e-12)
    # As with NumPy 1, they are numbers of NumPy.
    assert metric.sum_metric.dtype == metric.get()[1].dtype == "float64"
    metric.num_inst = 0
    with np.errstate(all="ignore"):
        assert math.isinf(metric.sum_metric / metric.num_inst)
    assert b"d2lzh" not in pickle.dumps([metric, metric.sum_metric])


def test_totals_in_a_list():
    """The metric of MXNet's example of SSD, and GluonCV's, have one each."""
    metric = mx.metric.EvalMetric("own")
    metric.sum_metric = [0.0, 0.0]
    for _ in range(3_000):
        metric.sum_metric[1] += np.float32(0.1)
    assert metric.sum_metric[1] / 3_000 == np.float64(np.float32(0.1))


def test_what_a_readers_metric_gives_is_shown_as_ever():
    """GluonCV's metrics of detection and segmentation return such."""
    class Each(_Own):
        def get(self):
            return ["a", "b"], [np.float64(0.5), np.float32(0.25)]

    class Both(_Own):
        def get(self):
            return np.float64(0.5), np.mean([0.25])

    assert str(Each("each")) == "EvalMetric: {'a': 0.5, 'b': 0.25}"
    assert repr(Both("both").get()) == "(0.5, 0.25)"


def test_arrays_as_totals_keep_their_kind():
    metric = mx.metric.EvalMetric("own")
    assert _added(metric, np.ones(2, "float32"), 2).dtype == "float32"
    metric.reset()
    assert isinstance(_added(metric, nd.ones(2), 2), nd.NDArray)


@pytest.mark.parametrize("size", [(8, 8), (8, 8, 3)])
def test_records_are_packed(monkeypatch, tmp_path, size):
    record = mx.recordio
    # What OpenCV's imencode gives: a flag, and bytes as an array.
    monkeypatch.setattr(record, "cv2", types.SimpleNamespace(
        imencode=lambda _, image, __: (True, image.ravel()),
        IMWRITE_JPEG_QUALITY=1))
    image = np.arange(np.prod(size)).astype("uint8").reshape(size)
    path = str(tmp_path / "some.rec")
    writer = record.MXRecordIO(path, "w")
    for label in (1.0, [1.0, 2.0], np.array([3, 4])):
        writer.write(record.pack_img(
            record.IRHeader(0, label, 7, 0), image))
    writer.close()
    reader = record.MXRecordIO(path, "r")
    for label in (1.0, [1, 2], [3, 4]):
        header, data = record.unpack(reader.read())
        assert np.array_equal(header.label, label) and header.id == 7
        assert data == image.tobytes()


@pytest.mark.parametrize("workers", [1, 2])
def test_im2rec_writes_its_records(tmp_path, workers):
    """With two workers it said nothing, and left an empty file."""
    cv2 = pytest.importorskip("cv2")
    for i in range(4):
        folder = tmp_path / "images" / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{i}.jpg"), np.full(
            (9, 8, 3), 50 * i, "uint8"))
    (script,) = mx.__path__
    for arguments in (["--list", "--recursive"],
                      ["--num-thread", str(workers), "--pack-label"]):
        subprocess.run(
            [sys.executable, f"{script}/tools/im2rec.py", *arguments,
             "some", "images"], cwd=tmp_path, check=True, timeout=120)
    data = gluon.data.vision.ImageRecordDataset(str(tmp_path / "some.rec"))
    assert len(data) == 4
    assert sorted(int(image.asnumpy().mean()) for image, _ in data) == [
        0, 50, 100, 150]


def test_handlers_of_the_estimator(tmp_path):
    net = gluon.nn.Dense(2)
    net.initialize()
    metric = mx.metric.Accuracy()
    train = estimator.Estimator(
        net, gluon.loss.SoftmaxCrossEntropyLoss(), train_metrics=metric)
    batches = gluon.data.DataLoader(gluon.data.ArrayDataset(
        nd.random.normal(shape=(8, 3)), nd.array([0, 1] * 4)), 4)
    train.logger.setLevel("ERROR")
    stop = estimator.EarlyStoppingHandler(metric, mode="max", patience=0)
    train.fit(batches, epochs=2, event_handlers=[
        estimator.CheckpointHandler(str(tmp_path), monitor=metric,
                                    mode="max", save_best=True), stop])
    assert sorted(path.suffix for path in tmp_path.iterdir())
    assert 0 <= stop.best <= 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # NumPy 1.25 to 2.3
def test_functions_of_mx_np_that_numpy_renamed():
    a = mx.np.array([[3.0, 1.0], [2.0, 4.0]])
    padded = mx.np.pad(a, ((1, 1), (0, 0)))
    assert padded.shape == (4, 2) and padded.asnumpy()[1, 0] == 3
    assert mx.np.trapz(a).asnumpy().tolist() == [2, 3]
    assert mx.np.in1d(a, mx.np.array([1.0, 4.0])).asnumpy().tolist() == [
        False, True, False, True]
    assert mx.np.msort(a).asnumpy().tolist() == [[2, 1], [3, 4]]
    assert bool(mx.np.alltrue(a))
    with pytest.raises(RuntimeError, match="financial"):
        mx.np.npv(0.1, a)
    padded = mx.sym.np.pad(mx.sym.var("a").as_np_ndarray(),
                           ((1, 1), (0, 0)), mode="constant")
    assert padded.list_arguments() == ["a"]


def test_results_of_mx_np_that_have_names_in_numpy():
    """NumPy's linear algebra returns named tuples."""
    a = mx.np.array([[2.0, 0.0], [0.0, 3.0]])
    Q, R = mx.np.linalg.qr(a)
    assert np.allclose(mx.np.dot(Q, R).asnumpy(), a.asnumpy())
    assert np.allclose(np.linalg.eigh(a)[0].asnumpy(), [2, 3])


@pytest.mark.parametrize("size", [3, np.int64(3), (3,), (np.int64(3),)])
def test_sizes_of_random_arrays(size):
    random = mx.np.random
    for draw in (random.uniform, random.normal, random.gamma,
                 random.exponential, random.gumbel, random.logistic):
        arguments = (2.0,) if draw is random.gamma else ()
        assert draw(*arguments, size=size).shape == (3,)
    assert random.uniform(0, 1, size).shape == (3,)
    assert random.randint(0, 5, size=size).shape == (3,)
    assert random.choice(5, size).shape == (3,)
    assert random.uniform(size=()).shape == ()
    symbol = mx.sym.np.random.uniform(size=size)
    assert symbol.infer_shape()[1] == [(3,)]


def test_names_that_numpy_scipy_or_python_will_remove():
    sparse = pytest.importorskip("scipy.sparse")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        matrix = sparse.csr_matrix(np.eye(3, dtype="float32"))
        for array in (nd.sparse.array(matrix), nd.array(matrix),
                      nd.sparse.csr_matrix(matrix)):
            assert array.asnumpy().tolist() == np.eye(3).tolist()
        assert nd.moveaxis(nd.ones((2, 3, 4)), 0, -1).shape == (3, 4, 2)
        batches = mx.io.PrefetchingIter(mx.io.NDArrayIter(
            nd.ones((4, 2)), nd.ones(4), 2))
        assert [batch.data[0].shape for batch in batches] == [(2, 2)] * 2


def test_random_numbers_are_checked():
    pytest.importorskip("scipy")
    mx.test_utils.chi_square_check(
        lambda n: mx.nd.random.uniform(shape=n).asnumpy().round(),
        buckets=[0, 1], probs=[0.5, 0.5], nsamples=10_000)


def test_an_onnx_that_has_its_tables(monkeypatch):
    """Before 1.13 it had nothing to make them from."""
    dtype = np.dtype("float32")
    mapping = types.SimpleNamespace(TENSOR_TYPE_TO_NP_TYPE={1: dtype})
    onnx = types.ModuleType("onnx")
    vars(onnx).update(helper=object(), TensorProto=None, mapping=mapping)
    monkeypatch.setitem(sys.modules, "onnx", onnx)
    tables = runpy.run_path(str(Path(modules.__file__).with_name("onnx.py")))
    assert tables["NP_TYPE_TO_TENSOR_TYPE"] == {dtype: 1}


def test_modules_that_come_later_have_the_names_as_well():
    done = run("""
import sys
import mxnet as mx
from mxnet.contrib import amp
assert amp.amp.np.float_ and amp.amp.np is mx.metric.numpy
import numpy
assert "unicode_" not in vars(numpy) and amp.amp.np is not numpy or (
    numpy.__version__ < "2")
print(amp.amp.np.asscalar(numpy.ones(1)))
""")
    assert done.stdout == "1.0\n", done.stderr


def test_modules_of_mxnet_are_themselves():
    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").startswith("mxnet."):
            for found in vars(module).values():
                name = getattr(found, "__name__", "")
                if isinstance(found, types.ModuleType) and name.startswith(
                        "mxnet."):
                    assert sys.modules[name] is found


WORDS = [(module, path) for module, changes in modules.REWORDED.items()
         for path in changes]


@pytest.mark.parametrize("module, path", WORDS)
def test_what_is_reworded_is_in_the_source(module, path):
    found = importlib.import_module(module)
    *classes, name = path.split(".")
    for each in classes:
        found = getattr(found, each)
    function = getattr(found, name).__wrapped__
    function = getattr(function, "__wrapped__", function)
    changes = modules.REWORDED[module][path]
    anew = rewording.compile_anew(function, changes)
    assert anew.__code__ != function.__code__
    assert anew.__code__.co_filename == function.__code__.co_filename
    with pytest.raises(LookupError, match=name):
        rewording.compile_anew(function, {"not there": ""})


def test_a_traceback_shows_the_file_of_mxnet():
    with pytest.raises(AttributeError) as caught:
        mx.nd.moveaxis(None, 0, 1)
    last = caught.traceback[-1]
    assert str(last.path).endswith("mxnet/ndarray/ndarray.py")
    assert "moveaxis" in str(last.statement) or "ndim" in str(last.statement)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_saved_model_is_read_and_exported(tmp_path, monkeypatch, language):
    """The code of the page for engineers, on a model of `Module`."""
    monkeypatch.chdir(tmp_path)
    data = mx.sym.var("data")
    hidden = mx.sym.Convolution(data, kernel=(3, 3), num_filter=4)
    scores = mx.sym.FullyConnected(hidden, num_hidden=10, name="fc")
    module = mx.mod.Module(mx.sym.SoftmaxOutput(scores, name="softmax"))
    images, labels = np.random.rand(8, 1, 28, 28), np.arange(8)
    module.fit(mx.io.NDArrayIter(images, labels, 4), num_epoch=1)
    module.save_checkpoint("model", 1)
    page = (ROOT / "site" / language / "engineer.md").read_text("utf-8")
    by_module, by_gluon, export = re.findall(r"```python\n(.*?)```", page,
                                             re.DOTALL)
    shown: list[Any] = []
    names = {"print": shown.append}
    exec(by_module + by_gluon, names)
    np.testing.assert_allclose(shown[0].asnumpy(), shown[1].asnumpy(), 1e-5)
    pytest.importorskip("onnx")
    session = pytest.importorskip("onnxruntime").InferenceSession
    exec(export, names)
    (scores,) = session("model.onnx").run(
        None, {"data": names["images"].asnumpy()[:1]})
    np.testing.assert_allclose(scores, shown[0].asnumpy()[:1], 1e-4)
