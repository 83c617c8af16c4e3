"""MXBoard: what is written for TensorBoard can be read back."""
from __future__ import annotations

import glob
import struct
import tempfile

import numpy as np
from mxboard import SummaryWriter
from mxboard.proto.event_pb2 import Event
from mxnet import nd


def events(path):
    """The records of a file: a length, its checksum, the data, a checksum."""
    with open(path, "rb") as file:
        while head := file.read(12):
            (length,) = struct.unpack("<Q", head[:8])
            yield Event.FromString(file.read(length))
            file.read(4)


with tempfile.TemporaryDirectory() as folder:
    with SummaryWriter(logdir=folder) as writer:
        for step in range(3):
            writer.add_scalar("loss", 1 / (1 + step), step)
        writer.add_scalar("array", nd.array([0.25]).asnumpy(), 3)
        writer.add_scalar("numbers", np.float32(0.5), 4)
        writer.add_histogram("weights", nd.arange(100), 5, bins=10)
        writer.add_image("image", nd.ones((3, 8, 9)) / 2, 6)
        writer.add_text("text", "two words", 7)
        writer.add_pr_curve("curve", nd.array([0, 1, 1, 0]),
                            nd.array([0.1, 0.9, 0.8, 0.3]), 5, 8)
    (path,) = glob.glob(f"{folder}/events*")
    found = [(event.step, value) for event in events(path)
             for value in event.summary.value]

for step in range(3):
    assert found[step][0] == step
    assert found[step][1].simple_value == np.float32(1 / (1 + step))
assert found[3][1].simple_value == 0.25
assert found[4][1].simple_value == 0.5
histogram, image, text, curve = (value for _, value in found[5:])
assert histogram.histo.num == 100 and histogram.histo.sum == 4950
assert (image.image.height, image.image.width) == (8, 9)
assert image.image.encoded_image_string.startswith(b"\x89PNG")
assert text.tensor.string_val[0] == b"two words"
assert curve.tensor.tensor_shape.dim[1].size == 5
print("event file:", len(found), "values read back")
