"""The helper package of the course: `d2lzh`, and what makes it run today.

``import d2lzh_ext as d2l`` offers every public name of `d2lzh` 1.0.0, the
package of *Dive into Deep Learning* (first Chinese edition); those that no
longer work, or are slow, are replaced. Import it before `mxnet`.
"""
# ruff: noqa: F401, F403
import sys as _sys

from d2lzh_compat import mxnet as _mxnet

try:
    _mxnet.import_mxnet()
except ImportError as _error:
    if _sys.argv[:1] == ["-m"]:  # python -m d2lzh_ext doctor
        _sys.exit(str(_error))
    raise

from d2lzh import *

from d2lzh_ext.data import (
    ArrayLoader,
    fashion_mnist,
    load_data_fashion_mnist,
    load_data_mnist,
    mnist,
    mnist_digits,
    photograph,
    portrait,
)
from d2lzh_ext.devices import seed, settings, try_all_gpus, try_gpu
from d2lzh_ext.faces import synthetic_faces
from d2lzh_ext.figures import (
    image_grid,
    plot_bars,
    plot_curves,
    show_feature_maps,
    show_kernels,
    show_network,
)
from d2lzh_ext.files.checkpoint import (
    CheckpointError,
    load_checkpoint,
    save_checkpoint,
)
from d2lzh_ext.files.idx import DataError
from d2lzh_ext.files.parameters import ParameterError, load_parameters
from d2lzh_ext.first_edition import (
    replace_gluon_data_sets,
    replace_in_d2lzh,
)
from d2lzh_ext.layers import summary
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
from d2lzh_ext.records import (
    recorded_curves,
    results,
    show_book_runs,
    show_experiment,
    show_recorded,
)
from d2lzh_ext.training import (
    History,
    NonFiniteLossError,
    evaluate_accuracy,
    last_history,
    predict,
    train_ch5,
)

# From here on `import d2lzh as d2l` gives the same functions.
replace_in_d2lzh(globals())
_mxnet.mend_ipython()  # which d2lzh imports
replace_gluon_data_sets()

__version__ = "0.1.0"

# Where these modules stood before: chapters and readers name them there.
for _old, _new in {
        "checkpoint": "files.checkpoint", "compiling": "engine.compiled",
        "fetch": "files.fetch", "idx": "files.idx", "keypoints": "faces",
        "parameters": "files.parameters", "replace": "first_edition",
        "results": "records", "settings": "devices", "summary": "layers",
        "tracing": "engine.tracing"}.items():
    _module = _sys.modules[f"d2lzh_ext.{_new}"]
    _sys.modules[f"d2lzh_ext.{_old}"] = _module
    globals().setdefault(_old, _module)  # a function may have the name
