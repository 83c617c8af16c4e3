"""Keras on MXNet: a small CNN learns, its copy answers alike."""
from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "mxnet"

import keras
import mxnet
import numpy as np
from keras import backend, callbacks, layers
from keras.preprocessing.image import ImageDataGenerator

assert backend.backend() == "mxnet"
mxnet.random.seed(0)
np.random.seed(0)
# Bright on the left, or on the right.
labels = np.arange(64) % 2
images = np.random.rand(64, 8, 8, 1).astype("float32")
images[labels == 0, :, :4] += 1
images[labels == 1, :, 4:] += 1
wanted = keras.utils.to_categorical(labels, 2)

model = keras.Sequential([
    layers.Conv2D(4, 3, activation="relu", input_shape=(8, 8, 1)),
    layers.BatchNormalization(),
    layers.MaxPooling2D(), layers.Flatten(), layers.Dropout(0.1),
    layers.Dense(2, activation="softmax")])
model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
stopping = callbacks.EarlyStopping(monitor="loss", patience=3)
slower = callbacks.ReduceLROnPlateau(monitor="loss", patience=2)
history = model.fit(images, wanted, batch_size=16, epochs=20, verbose=0,
                    validation_split=0.25, callbacks=[stopping, slower])
loss = history.history["loss"]
assert len(loss) > 3 and loss[-1] < 0.7 * loss[0], loss
assert stopping.best == min(loss)
found = model.predict(images)
assert found.shape == (64, 2) and np.allclose(found.sum(axis=1), 1)
assert (found.argmax(axis=1) == labels).mean() > 0.9
_, accuracy = model.evaluate(images, wanted, verbose=0)
assert accuracy > 0.9
print("CNN: loss", loss[0], "->", loss[-1])

# Pictures turned upside down show the same.
turning = ImageDataGenerator(vertical_flip=True).flow(
    images, wanted, batch_size=16, seed=0)
more = model.fit_generator(turning, steps_per_epoch=4, epochs=3, verbose=0)
assert more.history["acc"][-1] > 0.9, more.history
print("turned pictures: accuracy", more.history["acc"])

found = model.predict(images)
again = keras.models.model_from_json(model.to_json())
again.set_weights(model.get_weights())
assert np.array_equal(again.predict(images), found)
print("model and weights: taken over by another")
