"""d2l: its Trainer trains a residual block and draws, its RNN reads on."""
from __future__ import annotations

import matplotlib
import numpy

matplotlib.use("Agg")

from d2l import mxnet as d2l
from mxnet import init, np, npx
from mxnet.gluon import nn

npx.set_np()
npx.random.seed(0)
numpy.random.seed(0)  # the order of the batches


class Pictures(d2l.DataModule):
    """Two kinds of made-up pictures: bright above, and bright below."""

    def __init__(self, batch_size=16):
        super().__init__()
        self.save_hyperparameters()
        self.labels = np.arange(64) % 2
        self.pictures = np.random.uniform(
            -1, 1, (64, 1, 16, 16))
        self.pictures[::2, :, :8] += 2
        self.pictures[1::2, :, 8:] += 2

    def get_dataloader(self, train):
        return self.get_tensorloader((self.pictures, self.labels), train)


class Network(d2l.Classifier):
    """One residual block and a layer."""

    def __init__(self, lr=0.05):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential()
        self.net.add(d2l.Residual(4, use_1x1conv=True, strides=4),
                     nn.Dense(2))
        self.net.initialize(init.Xavier())


data = Pictures()
model = Network()
trainer = d2l.Trainer(max_epochs=4)
trainer.fit(model, data)
assert trainer.epoch == 3 and trainer.train_batch_idx == 16
lines = {name: [float(point.y) for point in points]
         for name, points in model.board.data.items()}
losses = lines["train_loss"]
assert losses[-1] < 0.5 * losses[0], lines
assert lines["val_acc"][-1] > 0.9, lines
print("Residual: loss", losses[0], "->", losses[-1])


class Letters(d2l.TimeMachine):
    """Its text is made up, and not downloaded."""

    def _download(self):
        return "the cat and the dog and the cow and " * 20


text = Letters(batch_size=32, num_steps=8, num_train=256, num_val=64)
reader = d2l.RNNLM(d2l.RNN(num_hiddens=32), vocab_size=len(text.vocab), lr=1)
reader.board.display = False
trainer = d2l.Trainer(max_epochs=15, gradient_clip_val=1)
trainer.fit(reader, text)
perplexity = [float(point.y) for point in reader.board.data["val_ppl"]]
assert perplexity[-1] < 0.5 * perplexity[0], perplexity
again = [reader.predict("the ", 12, text.vocab) for _ in range(2)]
assert again[0] == again[1] and len(again[0]) == 16
print("RNN: perplexity", perplexity[0], "->", perplexity[-1], again[0])
