"""Run far from the clone, where the wheel is installed: nox -s installed."""
from __future__ import annotations

import mxnet as mx  # first: no reader should have to think of the order

# isort: split
import d2lzh as d2l
from mxnet import gluon, init

import d2lzh_ext
from d2lzh_ext import models

print(d2lzh_ext.__file__)
assert "site-packages" in d2lzh_ext.__file__
assert d2l.train_ch5 is d2lzh_ext.train_ch5
# The records come with the wheel; the data from D2LZH_DATA.
assert d2lzh_ext.results("quick-seeds")["networks"]["vgg"]
train_iter, test_iter = d2l.load_data_fashion_mnist(64, num_train=512,
                                                    num_test=256)
net = models.lenet_bn()
net.initialize(init.Xavier())
trainer = gluon.Trainer(net.collect_params(), "adam")
history = d2l.train_ch5(net, train_iter, test_iter, 64, trainer, mx.cpu(), 3)
assert history.train_acc[-1] > 0.5, history.train_acc
