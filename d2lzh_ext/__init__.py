"""The helper package of the course: `d2lzh`, and what makes it run today.

``import d2lzh_ext as d2l`` offers every public name of `d2lzh` 1.0.0, the
package of *Dive into Deep Learning* (first Chinese edition); those that no
longer work, or are slow, are replaced. Import it before `mxnet`.
"""
from d2lzh_ext import compat

compat.import_mxnet()
del compat

from d2lzh import *  # noqa: E402, F403
