"""GluonCV: five kinds of networks answer, two of them learn."""
from __future__ import annotations

import numpy as np
from gluoncv import model_zoo, utils
from gluoncv.data import transforms
from gluoncv.loss import SSDMultiBoxLoss
from gluoncv.model_zoo.ssd.target import SSDTargetGenerator
from mxnet import autograd, gluon, nd, random


def network(name, **options):
    random.seed(0)
    net = model_zoo.get_model(name, pretrained=False, **options)
    net.initialize()
    return net


def losses(net, loss, steps, rate):
    """What the loss is before each step."""
    trainer = gluon.Trainer(net.collect_params(), "sgd",
                            {"learning_rate": rate, "momentum": 0.9})
    values = []
    for _ in range(steps):
        with autograd.record():
            value = loss(net)
        value.backward()
        trainer.step(1)
        values.append(float(value.asscalar()))
    return values


def check_detections(net, image, most):
    """Classes, scores in order and boxes, the same when asked again."""
    ids, scores, boxes = net(image)
    number = scores.shape[1]
    assert ids.shape == (1, number, 1) and boxes.shape == (1, number, 4)
    assert 0 < number <= most
    scores = scores.asnumpy()[0, :, 0]
    assert np.isfinite(scores).all() and not np.isnan(boxes.asnumpy()).any()
    assert (scores <= 1).all() and scores.max() > 0
    assert np.array_equal(net(image)[1].asnumpy()[0, :, 0], scores)
    assert (ids.asnumpy().astype(int) < len(net.classes)).all()


picture = np.random.RandomState(0).randint(0, 256, (80, 100, 3)).astype(
    "uint8")
images = nd.array(np.random.RandomState(1).rand(4, 3, 32, 32))
labels = nd.array([0, 1, 2, 3])

# Classification: it learns four pictures by heart.
net = network("cifar_resnet20_v1", classes=4)
cross_entropy = gluon.loss.SoftmaxCrossEntropyLoss()
falling = losses(net, lambda net: cross_entropy(net(images), labels).mean(),
                 12, 0.05)
assert falling[-1] < 0.5 * falling[0], falling
print("cifar_resnet20_v1: loss", falling[0], "->", falling[-1])

# SSD and YOLO3: detection on a picture that its presets have made ready.
small, shown = transforms.presets.ssd.transform_test(
    nd.array(picture, dtype="uint8"), short=256)
assert shown.shape == (256, 320, 3) and small.shape == (1, 3, 256, 320)
small = small[:, :, :, :256]
ssd = network("ssd_512_mobilenet1.0_voc", pretrained_base=False)
check_detections(ssd, small, 400)
print("ssd_512_mobilenet1.0_voc: detects")

targets = SSDTargetGenerator()
box = nd.array([[[0.1, 0.1, 0.6, 0.7]]]) * 256
multibox = SSDMultiBoxLoss()


def ssd_loss(net):
    scores, boxes, anchors = net(small)
    with autograd.pause():
        classes, offsets, _ = targets(
            anchors, scores, box, nd.array([[[3]]]))
    return multibox(scores, boxes, classes, offsets)[0][0].sum()


falling = losses(ssd, ssd_loss, 6, 1e-4)
assert falling[-1] < falling[0], falling
print("ssd_512_mobilenet1.0_voc: loss", falling[0], "->", falling[-1])

yolo = network("yolo3_mobilenet1.0_voc", pretrained_base=False)
check_detections(yolo, small, 400)
print("yolo3_mobilenet1.0_voc: detects")

# FCN: a class for every pixel.
fcn = network("fcn_resnet50_voc", crop_size=64,
              pretrained_base=False)
scores = fcn.predict(nd.array(np.random.RandomState(2).rand(1, 3, 64, 64)))
assert scores.shape == (1, 21, 64, 64)
classes = scores.argmax(axis=1).asnumpy()
assert np.isfinite(scores.asnumpy()).all() and len(np.unique(classes)) > 1
mask = utils.viz.get_color_pallete(classes[0], "pascal_voc")
assert mask.size == (64, 64)
print("fcn_resnet50_voc: segments")

# Pose: coordinates and confidences from heatmaps.
pose = network("simple_pose_resnet18_v1b", pretrained_base=False)
heatmaps = pose(nd.array(np.random.RandomState(3).rand(1, 3, 128, 96)))
assert heatmaps.shape == (1, 17, 32, 24)
coordinates, confidence = transforms.pose.get_max_pred(heatmaps)
assert coordinates.shape == (1, 17, 2) and confidence.shape == (1, 17, 1)
peaks = heatmaps.asnumpy().reshape(1, 17, -1).max(axis=2)
assert np.array_equal(confidence.asnumpy()[..., 0], peaks)
print("simple_pose_resnet18_v1b: finds joints")
