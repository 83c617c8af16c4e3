"""GluonNLP: a small BERT learns to tell sentences about two things apart."""
from __future__ import annotations

import gluonnlp as nlp
import numpy as np
from mxnet import autograd, cpu, gluon, init, nd, random

random.seed(0)
sentences = [f"the {animal} {verb} the small {animal}"
             for animal in ("cat", "dog", "cow")
             for verb in ("sees", "hears")]
sentences += [f"the {thing} costs {price} coins"
              for thing in ("hat", "shoe", "coat")
              for price in ("two", "ten")]
labels = [0] * 6 + [1] * 6

counter = nlp.data.count_tokens(
    [word for line in sentences for word in line.split()])
vocab = nlp.vocab.BERTVocab(counter)
assert vocab.to_tokens(vocab["cat"]) == "cat"
transform = nlp.data.BERTSentenceTransform(
    nlp.data.BERTTokenizer(vocab), max_seq_length=12, pair=False)
tokens, lengths, segments = nlp.data.batchify.Tuple(
    nlp.data.batchify.Stack(), nlp.data.batchify.Stack("float32"),
    nlp.data.batchify.Stack())([transform([line]) for line in sentences])
# From where processes of a DataLoader would share them.
tokens, lengths, segments = (
    array.as_in_context(cpu()) for array in (tokens, lengths, segments))
assert tokens.shape == segments.shape == (12, 12)
assert lengths.asnumpy().tolist() == [8] * 6 + [7] * 6


def bert(**parts):
    encoder = nlp.model.BERTEncoder(
        num_layers=2, units=32, hidden_size=64, num_heads=4, max_length=12,
        dropout=0.1)
    return nlp.model.BERTModel(
        encoder, vocab_size=len(vocab), token_type_vocab_size=2, units=32,
        embed_size=32, use_classifier=False, **parts)


# The masked words: scores of the whole vocabulary, at two places.
masked = bert(use_pooler=True, use_decoder=True)
masked.initialize(init.Normal(0.1))
sequence, pooled, scores = masked(tokens, segments, lengths,
                                  nd.array([[1, 2]] * 12))
assert sequence.shape == (12, 12, 32) and pooled.shape == (12, 32)
assert scores.shape == (12, 2, len(vocab))

net = nlp.model.BERTClassifier(
    bert(use_pooler=True, use_decoder=False), num_classes=2)
net.initialize(init.Normal(0.1))
# What is after the end of a sentence does not change it.
changed = tokens.copy()
changed[6:, 7:] = vocab["cat"]
assert np.array_equal(net(changed, segments, lengths).asnumpy(),
                      net(tokens, segments, lengths).asnumpy())

net.hybridize()
loss = gluon.loss.SoftmaxCrossEntropyLoss()
trainer = gluon.Trainer(net.collect_params(), "bertadam",
                        {"learning_rate": 3e-3})
values = []
for _ in range(15):
    with autograd.record():
        value = loss(net(tokens, segments, lengths), nd.array(labels)).mean()
    value.backward()
    nlp.utils.clip_grad_global_norm(
        [param for param in net.collect_params().values()
         if param.grad_req != "null"], 1)
    trainer.update(1)
    values.append(float(value.asscalar()))
assert values[-1] < 0.2 * values[0], values
found = net(tokens, segments, lengths).argmax(axis=1).asnumpy()
assert found.tolist() == labels
print("BERT: loss", values[0], "->", values[-1])
