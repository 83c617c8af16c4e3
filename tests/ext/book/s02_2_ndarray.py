from mxnet import nd

x = nd.arange(12)
assert x.shape == (12,) and x.size == 12
X = x.reshape((3, 4))
assert (x.reshape((-1, 4)) == X).min().asscalar() == 1
nd.zeros((2, 3, 4))
nd.ones((3, 4))
Y = nd.array([[2, 1, 4, 3], [1, 2, 3, 4], [4, 3, 2, 1]])
nd.random.normal(0, 1, shape=(3, 4))
X + Y
X * Y
X / Y
Y.exp()
assert nd.dot(X, Y.T).asnumpy().tolist() == [
    [18, 20, 10], [58, 60, 50], [98, 100, 90]]
assert nd.concat(X, Y, dim=0).shape == (6, 4)
assert nd.concat(X, Y, dim=1).shape == (3, 8)
assert (X == Y).asnumpy().sum() == 2
assert X.sum().asscalar() == 66
assert '%.4f' % X.norm().asscalar() == '22.4944'

A = nd.arange(3).reshape((3, 1))
B = nd.arange(2).reshape((1, 2))
assert (A + B).asnumpy().tolist() == [[0, 1], [1, 2], [2, 3]]

assert X[1:3].shape == (2, 4)
X[1, 2] = 9
X[1:2, :] = 12
assert X.asnumpy()[1].tolist() == [12] * 4

before = id(Y)
Y = Y + X
assert id(Y) != before
Z = Y.zeros_like()
before = id(Z)
Z[:] = X + Y
assert id(Z) == before
nd.elemwise_add(X, Y, out=Z)
before = id(X)
X += Y
assert id(X) == before

import numpy as np

P = np.ones((2, 3))
D = nd.array(P)
assert type(D.asnumpy()) is np.ndarray and D.asnumpy().tolist() == P.tolist()
