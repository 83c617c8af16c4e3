"""Train a perceptron on digits with Module.fit."""
from __future__ import print_function

import argparse
import logging
import os
import time

import mxnet as mx
import numpy as np


def get_digits(num, seed):
    """Digits that a line in the picture tells apart."""
    rng = np.random.RandomState(seed)
    label = rng.randint(0, 4, num).astype(np.int)
    images = rng.rand(num, 1, 8, 8).astype(np.float)
    for i in range(num):
        images[i, 0, 2 * label[i]] += np.float_(1)
    return images.astype('float32'), label


def get_symbol(num_hidden):
    data = mx.sym.Flatten(mx.sym.Variable('data'))
    fc1 = mx.sym.FullyConnected(data, num_hidden=num_hidden, name='fc1')
    act1 = mx.sym.Activation(fc1, act_type='relu', name='relu1')
    fc2 = mx.sym.FullyConnected(act1, num_hidden=4, name='fc2')
    return mx.sym.SoftmaxOutput(fc2, name='softmax')


def mkdir(path):
    try:
        os.makedirs(path)
    except OSError as e:
        if e.errno != os.errno.EEXIST:
            raise


class Best(object):
    def __init__(self):
        self.loss = np.Inf

    def __call__(self, param):
        name, acc = param.eval_metric.get()
        self.loss = min(self.loss, 1 - np.asscalar(np.array([acc])))


def main():
    parser = argparse.ArgumentParser(description='train mnist')
    parser.add_argument('--num-epochs', type=int, default=5)
    parser.add_argument('--lr', type=np.float, default=.5)
    parser.add_argument('--out', default='model')
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    mx.random.seed(0)
    np.random.seed(0)

    train = mx.io.NDArrayIter(*get_digits(256, 0), batch_size=32,
                              shuffle=True)
    val = mx.io.NDArrayIter(*get_digits(64, 1), batch_size=32)
    mod = mx.mod.Module(get_symbol(16))
    tic = time.clock()
    best = Best()
    mkdir(args.out)
    mkdir(args.out)
    mod.fit(train, eval_data=val, num_epoch=args.num_epochs,
            optimizer='sgd', optimizer_params={'learning_rate': args.lr},
            initializer=mx.init.Xavier(), batch_end_callback=best,
            epoch_end_callback=mx.callback.do_checkpoint(
                os.path.join(args.out, 'mlp'), args.num_epochs))
    toc = time.clock()

    prob = mod.predict(val).asnumpy()
    acc = np.zeros(3)
    acc[0] = mod.score(val, 'acc')[0][1]
    # One number in an array, in an element.
    acc[1] = (prob.argmax(1) == val.label[0][1].asnumpy()).mean(keepdims=True)
    print('accuracy %.2f' % np.array([acc[0]]), float(np.array([acc[1]])))
    print('best', best.loss < 0.1, 'seconds', toc - tic < 60)
    print(np.product(prob.shape), np.alltrue(prob <= 1), sorted(
        os.listdir(args.out)))


if __name__ == '__main__':
    main()
