"""Put this package's functions where the first edition's code looks.

The code of the book calls `d2lzh`, whose functions call each other, and the
data sets of `gluon.data.vision`.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import d2lzh
import mxnet as mx
from mxnet import gluon, nd

from d2lzh_ext.data import fashion_mnist, mnist


def replace_in_d2lzh(ours: Mapping[str, Any]) -> None:
    """Give `d2lzh` those of `ours` that have the name of one of its own.

    `d2lzh.utils` gets them as well: there its other functions find them.
    """
    for name in vars(d2lzh.utils).keys() & ours.keys():
        if not name.startswith("_"):
            setattr(d2lzh, name, ours[name])
            setattr(d2lzh.utils, name, ours[name])


def replace_gluon_data_sets() -> None:
    """Let Gluon's FashionMNIST and MNIST find their files as we do.

    MXNet downloads them from a host that has gone, and refuses any copy
    whose gzip bytes are not those it once hosted.
    """
    vision = gluon.data.vision
    for kind, arrays in ((vision.FashionMNIST, fashion_mnist),
                         (vision.MNIST, mnist)):

        def get_data(self: Any, arrays: Any = arrays) -> None:
            images, self._label = arrays(self._train, self._root)
            array = mx.np.array if mx.util.is_np_array() else nd.array
            self._data = array(images, dtype=images.dtype)
            if mx.util.is_np_array():
                self._label = array(self._label, dtype=self._label.dtype)

        kind._get_data = get_data
