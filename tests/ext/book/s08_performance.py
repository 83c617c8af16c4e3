import d2lzh as d2l
import mxnet as mx
from mxnet import autograd, gluon, init, nd, sym
from mxnet.gluon import loss as gloss, nn, utils as gutils
import os
import subprocess
import time

# 8.1
def add_str():
    return '''
def add(a, b):
    return a + b
'''

def evoke_str():
    return '''
print(add(1, 2))
'''

y = compile(add_str() + evoke_str(), '', 'exec')
exec(y)

def get_net():
    net = nn.HybridSequential()
    net.add(nn.Dense(256, activation='relu'),
            nn.Dense(128, activation='relu'),
            nn.Dense(2))
    net.initialize()
    return net

x = nd.random.normal(shape=(1, 512))
net = get_net()
net(x)
net.hybridize()
net(x)

def benchmark(net, x):
    start = time.time()
    for i in range(100):
        _ = net(x)
    nd.waitall()
    return time.time() - start

print('hybridizing: %.4f sec' % (benchmark(net, x)))
net.export('my_mlp')
x = sym.var('data')
net(x)

class HybridNet(nn.HybridBlock):
    def __init__(self, **kwargs):
        super(HybridNet, self).__init__(**kwargs)
        self.hidden = nn.Dense(10)
        self.output = nn.Dense(2)

    def hybrid_forward(self, F, x):
        print('F: ', F)
        print('x: ', x)
        x = F.relu(self.hidden(x))
        print('hidden: ', x)
        return self.output(x)

net = HybridNet()
net.initialize()
x = nd.random.normal(shape=(1, 4))
net(x)
net.hybridize()
net(x)
net(x)

# 8.2
a = nd.ones((1, 2))
b = nd.ones((1, 2))
c = a * b + 2
assert c.asnumpy().tolist() == [[3, 3]]

class Benchmark():
    def __init__(self, prefix=None):
        self.prefix = prefix + ' ' if prefix else ''

    def __enter__(self):
        self.start = time.time()

    def __exit__(self, *args):
        print('%stime: %.4f sec' % (self.prefix, time.time() - self.start))

with Benchmark('Workloads are queued.'):
    x = nd.random.uniform(shape=(200, 200))
    y = nd.dot(x, x).sum()
with Benchmark('Workloads are finished.'):
    print('sum =', y)
with Benchmark():
    y = nd.dot(x, x)
    y.wait_to_read()
with Benchmark():
    y = nd.dot(x, x)
    z = nd.dot(x, x)
    nd.waitall()
with Benchmark():
    y = nd.dot(x, x)
    y.norm().asscalar()

def data_iter():
    start = time.time()
    num_batches, batch_size = 10, 64
    for i in range(num_batches):
        X = nd.random.normal(shape=(batch_size, 512))
        y = nd.ones((batch_size,))
        yield X, y
        if (i + 1) % 50 == 0:
            print('batch %d, time %f sec' % (i + 1, time.time() - start))

net = nn.Sequential()
net.add(nn.Dense(2048, activation='relu'),
        nn.Dense(512, activation='relu'),
        nn.Dense(1))
net.initialize()
trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.005})
loss = gloss.L2Loss()

def get_mem():
    res = subprocess.check_output(['ps', 'u', '-p', str(os.getpid())])
    return int(str(res).split()[15]) / 1e3

for X, y in data_iter():
    break
loss(y, net(X)).wait_to_read()

l_sum, mem = 0, get_mem()
for X, y in data_iter():
    with autograd.record():
        l = loss(y, net(X))
    l_sum += l.mean().asscalar()
    l.backward()
    trainer.step(X.shape[0])
nd.waitall()
print('increased memory: %f MB' % (get_mem() - mem))

# 8.4, on two devices of the processor
ctx = [mx.cpu(0), mx.cpu(1)]
x_list = gutils.split_and_load(nd.ones((4, 3)), ctx)
assert [part.context for part in x_list] == ctx

def allreduce(data):
    for i in range(1, len(data)):
        data[0][:] += data[i].copyto(data[0].context)
    for i in range(1, len(data)):
        data[0].copyto(data[i])

data = [nd.ones((1, 2), ctx=c) * (i + 1) for i, c in enumerate(ctx)]
allreduce(data)
assert data[1].asnumpy().tolist() == [[3, 3]]

# 8.5
net = d2l.resnet18(10)
net.initialize(init=init.Normal(sigma=0.01), ctx=ctx)
x = nd.random.uniform(shape=(4, 1, 28, 28))
gpu_x = gutils.split_and_load(x, ctx)
net(gpu_x[0]), net(gpu_x[1])

weight = net[0].params.get('weight')
weight.data(ctx[0])[0]

def train(num_gpus, batch_size, lr):
    train_iter, test_iter = d2l.load_data_fashion_mnist(batch_size)
    print('running on:', ctx)
    net.initialize(init=init.Normal(sigma=0.01), ctx=ctx, force_reinit=True)
    trainer = gluon.Trainer(
        net.collect_params(), 'sgd', {'learning_rate': lr})
    loss = gloss.SoftmaxCrossEntropyLoss()
    for epoch in range(4):
        start = time.time()
        for X, y in train_iter:
            gpu_Xs = gutils.split_and_load(X, ctx)
            gpu_ys = gutils.split_and_load(y, ctx)
            with autograd.record():
                ls = [loss(net(gpu_X), gpu_y)
                      for gpu_X, gpu_y in zip(gpu_Xs, gpu_ys)]
            for l in ls:
                l.backward()
            trainer.step(batch_size)
        nd.waitall()
        train_time = time.time() - start
        test_acc = d2l.evaluate_accuracy(test_iter, net, ctx[0])
        print('epoch %d, time %.1f sec, test acc %.2f' % (
            epoch + 1, train_time, test_acc))

train(num_gpus=2, batch_size=8, lr=0.1)
