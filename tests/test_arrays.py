"""MXNet's arrays and NumPy's take each other."""
from __future__ import annotations

import pickle
import warnings

import mxnet as mx
import numpy as np
import pytest
from mxnet import nd
from mxnet.gluon import nn


def test_an_array_of_one_number_is_that_number():
    """Whatever NumPy says; see section 3.2 of the book."""
    one = nd.array([0.5]).mean().asnumpy()
    assert isinstance(one, np.ndarray) and one.shape == (1,)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy 1.25 to 2.4 do
        assert "%f" % one == "0.500000"  # noqa: UP031
        assert (float(one), int(one)) == (0.5, 0)
    assert repr(one) == "array([0.5], dtype=float32)"
    assert type(one + 1) is np.ndarray
    assert type(one + np.ones(3)) is np.ndarray
    assert type(pickle.loads(pickle.dumps(one))) is np.ndarray
    assert type(nd.ones(3).asnumpy()) is np.ndarray
    with pytest.raises(TypeError):
        float(nd.ones(3).asnumpy())


def test_numbers_of_numpy_are_numbers():
    """NumPy 2 writes np.int64(2) where MXNet expects 2."""
    assert nd.zeros((np.int64(2), np.int32(3))).shape == (2, 3)
    x = nd.arange(12).reshape((3, 4))
    assert x[:, np.int64(1)].asnumpy().tolist() == [1, 5, 9]
    x[np.int64(1)] = 0
    assert x[np.int64(1)].asnumpy().tolist() == [0] * 4
    data = mx.sym.var("data").reshape((np.int64(2), -1))
    assert data.infer_shape(data=(4, 3))[1] == [(2, 6)]
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
