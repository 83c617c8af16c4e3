"""MXNet's arrays and NumPy's take each other."""
from __future__ import annotations

import pickle

import mxnet as mx
import numpy as np
import pytest
from mxnet import nd
from mxnet.gluon import nn


@pytest.mark.parametrize("shape", [(1,), (1, 1), (3, 1)])
@pytest.mark.filterwarnings("ignore:Conversion of an array with ndim > 0")
def test_an_array_of_one_number_is_that_number(shape):
    """Whatever NumPy says; see section 3.2 of the book."""
    values = (nd.ones(shape) / 2).asnumpy()
    assert isinstance(values, np.ndarray) and values.shape == shape
    for row in values if len(values) > 1 else (values, *values):
        # As it is, computed with, and of another type.
        for one in (row, row * 2 - row, np.abs(row), row.astype("f8")):
            assert "%.2f %d" % (one, one) == "0.50 0"  # noqa: UP031
            assert (float(one), int(one)) == (0.5, 0)


def test_arrays_of_one_number_are_arrays():
    one = nd.array([0.5]).asnumpy()
    assert repr(one) == "array([0.5], dtype=float32)"
    assert (one + 1).tolist() == [1.5]
    assert type(one.sum()) is np.float32
    for other in (one + np.ones(3), nd.ones((3, 1)).asnumpy() + np.ones(2),
                  pickle.loads(pickle.dumps(one)), nd.ones(3).asnumpy(),
                  nd.ones((2, 2)).asnumpy(), nd.ones((2, 3, 1)).asnumpy()):
        assert type(other) is np.ndarray
    for many in (nd.ones(3).asnumpy(), nd.ones((3, 1)).asnumpy()):
        for convert in (float, int):
            with pytest.raises(TypeError):
                convert(many)


def test_in_place_is_the_same_array():
    for one in (nd.ones((3, 1)).asnumpy(), nd.ones((3, 1)).asnumpy().T):
        same = one
        one += 1
        assert np.add(one, 1, out=one) is one is same


@pytest.mark.parametrize("make", [
    lambda like: nd.ones(2).astype(like), lambda like: nd.zeros(2, dtype=like),
    lambda like: nd.empty(2, dtype=like),
    lambda like: nd.array([1, 2], dtype=like)])
@pytest.mark.filterwarnings("ignore:in the future the `.dtype` attribute")
def test_an_ndarray_stands_for_its_type(make):
    assert make(nd.ones(3, dtype="float16")).dtype is np.float16


@pytest.mark.filterwarnings("ignore:NumPy will stop allowing conversion")
def test_integers_wrap_as_they_did():
    assert nd.array([-1, 256], dtype="uint8").asnumpy().tolist() == [255, 0]
    assert nd.array([2**31], dtype="int32").asnumpy().tolist() == [-2**31]
    x = nd.zeros(2, dtype="uint8")
    x[:] = [-1, 3]
    assert x.asnumpy().tolist() == [255, 3]
    assert mx.np.array([-1], dtype="uint8").asnumpy().tolist() == [255]
    for value, dtype in ((2**70, "uint8"), (2**64 - 1, "int64"),
                         (float("inf"), "int32"), (1e30, "int32")):
        with pytest.raises(TypeError):
            nd.array([value], dtype=dtype)


def test_numpy_does_what_the_functions_of_mxnet_cannot():
    x = mx.np.array([1.0, 2.0])
    first, second = np.broadcast_arrays(x, 3)
    assert (first.tolist(), second.tolist()) == ([1, 2], [3, 3])
    assert np.concatenate([x, np.zeros(1)]).tolist() == [1, 2, 0]
    assert (np.ones(2) + x).tolist() == [2, 3]
    assert np.add.reduce(x) == 3
    total = np.ones(2)
    total += x
    assert total.tolist() == [2, 3]
    assert isinstance(np.dot(x, x), mx.np.ndarray)  # MXNet can
    with pytest.raises(ValueError, match="shape mismatch"):
        np.broadcast_arrays(x, np.ones(3))


def test_numpy_keeps_out_where_something_would_be_lost():
    x = mx.np.ones(2)
    with pytest.raises(TypeError):
        np.add(np.ones(2), 1, out=x)
    with pytest.raises(TypeError):
        np.add.at(x, 0, 1)
    for write in (lambda: np.put(x, 0, 2),
                  lambda: np.copyto(x, np.zeros(2)),
                  lambda: np.cumsum(np.ones(2), 0, None, x)):
        with pytest.raises(ValueError, match="read-only"):
            write()
    x.attach_grad()
    with mx.autograd.record(), pytest.raises(TypeError):
        np.ones(2) + x


def test_errors_of_mxnet_stand():
    x = mx.np.ones(3)
    with pytest.raises(mx.MXNetError):
        np.dot(x, mx.np.ones(2))
    # MXNet raises what an operator came to once; then the array has no values.
    for function in (np.median, np.array2string, np.add.reduce):
        failed = mx.nd.linalg.potrf(-mx.nd.ones((1, 1))).as_np_ndarray()
        with pytest.raises(mx.MXNetError):
            function(failed)


def test_numbers_of_numpy_are_numbers(tmp_path):
    """NumPy 2 writes np.int64(2) where MXNet expects 2."""
    assert nd.zeros((np.int64(2), np.int32(3))).shape == (2, 3)
    x = nd.arange(12).reshape((3, 4))
    assert x[:, np.int64(1)].asnumpy().tolist() == [1, 5, 9]
    x[np.int64(1)] = 0
    assert x[np.int64(1)].asnumpy().tolist() == [0] * 4
    data = mx.sym.var("data").reshape((np.int64(2), -1))
    assert data.infer_shape(data=(4, 3))[1] == [(2, 6)]
    file = tmp_path / "some.csv"
    file.write_text("1,2\n3,4\n")
    batches = mx.io.CSVIter(data_csv=str(file), batch_size=np.int64(2),
                            data_shape=(np.int64(2),))
    assert batches.next().data[0].asnumpy().tolist() == [[1, 2], [3, 4]]
    for hybrid in (False, True):
        net = nn.HybridSequential()
        net.add(nn.Dense(np.int64(10)))
        net.initialize()
        net.hybridize(hybrid)
        assert net(nd.ones((2, 4))).shape == (2, 10)


def test_numpy_makes_arrays_of_ndarrays():
    x = nd.arange(6).reshape((2, 3))
    assert np.array(x).tolist() == x.asnumpy().tolist()
    for dtype in ("float32", "uint8", "int32"):
        assert np.asarray(x.astype(dtype)).dtype == dtype
    assert np.array(x, dtype="int64").dtype == "int64"
    assert np.sqrt(x).shape == (2, 3)
