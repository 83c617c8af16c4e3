"""A softmax written in NumPy, in a network of Gluon."""
import mxnet as mx
import numpy as np
from mxnet import autograd, gluon
from numpy import float as real, int as integer


class Softmax(mx.operator.CustomOp):
    def forward(self, is_train, req, in_data, out_data, aux):
        x = in_data[0].asnumpy()
        y = np.exp(x - x.max(axis=1).reshape((x.shape[0], 1)))
        y /= y.sum(axis=1).reshape((x.shape[0], 1))
        self.assign(out_data[0], req[0], mx.nd.array(y))

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
        l = in_data[1].asnumpy().ravel().astype(np.int)
        y = out_data[0].asnumpy()
        y[np.arange(l.shape[0]), l] -= 1.0
        self.assign(in_grad[0], req[0], mx.nd.array(y))


@mx.operator.register("old_softmax")
class SoftmaxProp(mx.operator.CustomOpProp):
    def __init__(self):
        super(SoftmaxProp, self).__init__(need_top_grad=False)

    def list_arguments(self):
        return ['data', 'label']

    def list_outputs(self):
        return ['output']

    def infer_shape(self, in_shape):
        data_shape = in_shape[0]
        label_shape = (in_shape[0][0],)
        output_shape = in_shape[0]
        return [data_shape, label_shape], [output_shape], []

    def infer_type(self, in_type):
        dtype = in_type[0]
        return [dtype, dtype], [dtype], []

    def create_operator(self, ctx, shapes, dtypes):
        return Softmax()


mx.random.seed(1)
rng = np.random.RandomState(1)
x = rng.rand(64, 4).astype(real)
y = x.argmax(1).astype(integer)
mask = np.ones(64, dtype=np.bool)
net = gluon.nn.Dense(4)
net.initialize(mx.init.Xavier())
trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.5})
least = np.Infinity
for epoch in range(100):
    data, label = mx.nd.array(x[mask]), mx.nd.array(y[mask])
    with autograd.record():
        prob = mx.nd.Custom(net(data), label, op_type='old_softmax')
    prob.backward()
    trainer.step(len(x))
    loss = -np.log(prob.asnumpy()[np.arange(64), y] + 1e-8).mean(
        keepdims=True)
    assert not np.any(loss == np.NaN)
    least = min(least, np.asscalar(loss))
print('loss %.1f %s' % (loss, least == np.asscalar(loss)))
print('right', np.in1d(prob.asnumpy().argmax(1) == y, [True]).mean() > 0.9)
print(np.array(['a', None], dtype=np.object), np.str('text'))
