"""The helper package of the course: `d2lzh`, and what makes it run today.

``import d2lzh_ext as d2l`` offers every public name of `d2lzh` 1.0.0, the
package of *Dive into Deep Learning* (first Chinese edition); those that no
longer work, or are slow, are replaced. Import it before `mxnet`.
"""
# ruff: noqa: E402, F401, F403
from d2lzh_ext import compat

compat.import_mxnet()

import d2lzh as _d2lzh
from d2lzh import *

from d2lzh_ext.checkpoint import (
    CheckpointError,
    load_checkpoint,
    save_checkpoint,
)
from d2lzh_ext.data import (
    ArrayLoader,
    fashion_mnist,
    load_data_fashion_mnist,
    load_data_mnist,
    mnist,
)
from d2lzh_ext.devices import try_all_gpus, try_gpu
from d2lzh_ext.faces import synthetic_faces
from d2lzh_ext.idx import DataError
from d2lzh_ext.plotting import (
    confusion_matrix,
    plot_history,
    set_figsize,
    show_array,
    show_confusion_matrix,
    show_fashion_mnist,
    show_images,
    show_mistakes,
    use_svg_display,
)
from d2lzh_ext.results import results, show_recorded
from d2lzh_ext.settings import seed, settings
from d2lzh_ext.summary import summary
from d2lzh_ext.training import (
    History,
    NonFiniteLossError,
    evaluate_accuracy,
    predict,
    train_ch5,
)

# The other functions of d2lzh that draw call this one of their own module.
_d2lzh.utils.use_svg_display = use_svg_display

__version__ = "0.1.0"
