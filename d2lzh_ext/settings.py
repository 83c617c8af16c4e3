"""Which numbers a chapter trains with, and where its randomness starts."""
from __future__ import annotations

import os
import random
from types import SimpleNamespace
from typing import Any

import mxnet as mx
import numpy as np

from d2lzh_ext.devices import try_gpu

PROFILES = ("book", "quick")


def settings(*, book: dict[str, Any], quick: dict[str, Any]
             ) -> SimpleNamespace:
    """Choose between the book's numbers and quick ones, by the hardware.

    Args:
        book: The book's settings; chosen where MXNet sees a GPU.
        quick: Settings under the same names that two CPU cores can bear;
            chosen elsewhere.

    Returns:
        The chosen settings as attributes, and their name as ``profile``.
        The environment variable ``D2LZH_PROFILE`` overrides the choice.

    Raises:
        ValueError: The two do not name the same settings, or
            ``D2LZH_PROFILE`` is neither ``book`` nor ``quick``.
    """
    if book.keys() != quick.keys():
        raise ValueError(
            "book and quick must name the same settings; only one has "
            f"{sorted(book.keys() ^ quick.keys())}.")
    on_gpu = try_gpu().device_type == "gpu"
    profile = os.environ.get("D2LZH_PROFILE") or (
        "book" if on_gpu else "quick")
    if profile not in PROFILES:
        raise ValueError(f"D2LZH_PROFILE is {profile!r}; it must be one of "
                         f"{', '.join(PROFILES)}.")
    chosen = book if profile == "book" else quick
    return SimpleNamespace(profile=profile, **chosen)


def seed(n: int) -> None:
    """Start every random generator a chapter draws from at `n`.

    Python's `random`, NumPy's global generator (which shuffles the training
    images) and MXNet's (which initialises the parameters and draws dropout).
    A run then repeats digit for digit on one machine.
    """
    random.seed(n)
    np.random.seed(n)
    mx.random.seed(n)
