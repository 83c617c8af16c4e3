"""The networks of the book as onnx files; needs onnx and onnxruntime."""
from __future__ import annotations

import mxnet as mx
import numpy as np
import pytest
from mxnet import init, nd

from d2lzh_ext import models

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

NETWORKS = {"lenet": 28, "lenet_bn": 28, "alexnet": 96, "vgg": 32,
            "nin": 96, "googlenet": 96, "resnet18": 96, "densenet": 96}


def _export(net, path, size, channels=1):
    """Write the onnx file; returns an image and the network's scores."""
    net.initialize(init.Xavier())
    X = nd.random.uniform(shape=(1, channels, size, size))
    scores = net(X).asnumpy()
    symbol = net(mx.sym.var("data"))
    parameters = {name: each.data()
                  for name, each in net.collect_params().items()}
    mx.onnx.export_model(symbol, parameters, [X.shape], np.float32, str(path))
    onnx.checker.check_model(str(path))
    return X.asnumpy(), scores


def _run(path, X):
    session = onnxruntime.InferenceSession(
        str(path), providers=["CPUExecutionProvider"])
    (scores,) = session.run(None, {"data": X})
    return scores


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_exported(tmp_path, name):
    mx.random.seed(0)
    path = tmp_path / "net.onnx"
    X, scores = _export(getattr(models, name)(), path, NETWORKS[name])
    np.testing.assert_allclose(_run(path, X), scores, 1e-3, 1e-4)


@pytest.mark.parametrize("name", ["resnet18_v1", "mobilenet0_25"])
def test_networks_of_the_zoo_are_exported(tmp_path, name):
    mx.random.seed(0)
    net = getattr(mx.gluon.model_zoo.vision, name)(classes=10)
    path = tmp_path / "net.onnx"
    X, scores = _export(net, path, 64, channels=3)
    np.testing.assert_allclose(_run(path, X), scores, 1e-3, 1e-4)


def test_an_onnx_file_is_imported(tmp_path):
    """What MXNet reads is of onnx's first versions."""
    helper, kind = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        [helper.make_node("Cast", ["X"], ["whole"], to=kind.INT32),
         helper.make_node("Cast", ["whole"], ["Y"], to=kind.FLOAT)],
        "casts",
        [helper.make_tensor_value_info("X", kind.FLOAT, [3])],
        [helper.make_tensor_value_info("Y", kind.FLOAT, [3])])
    path = str(tmp_path / "casts.onnx")
    onnx.save(helper.make_model(graph), path)
    symbol, arguments, states = mx.contrib.onnx.import_model(path)
    result = symbol.eval(X=nd.array([1.5, 2.0, -3.7]))
    assert result[0].asnumpy().tolist() == [1, 2, -3]
    assert not arguments and not states
