"""Profiles are chosen by the hardware; seeds make runs repeat."""
from __future__ import annotations

import random

import mxnet as mx
import numpy as np
import pytest

import d2lzh_ext as d2l

PAIR = {"book": {"lr": 0.1, "epochs": 5}, "quick": {"lr": 0.2, "epochs": 1}}


@pytest.mark.parametrize("device, profile", [
    (mx.cpu(), "quick"), (mx.gpu(), "book")])
def test_hardware_chooses(monkeypatch, device, profile):
    monkeypatch.delenv("D2LZH_PROFILE", raising=False)
    # The package's function of that name hides the module of that name.
    monkeypatch.setitem(d2l.settings.__globals__, "try_gpu", lambda: device)
    chosen = d2l.settings(**PAIR)
    assert vars(chosen) == {"profile": profile, **PAIR[profile]}


@pytest.mark.parametrize("profile", ["book", "quick"])
def test_environment_overrides(monkeypatch, profile):
    monkeypatch.setenv("D2LZH_PROFILE", profile)
    assert d2l.settings(**PAIR).profile == profile


def test_wrong_profile_and_unequal_settings_are_refused(monkeypatch):
    monkeypatch.setenv("D2LZH_PROFILE", "fast")
    with pytest.raises(ValueError, match=r"'fast'.*book, quick"):
        d2l.settings(**PAIR)
    with pytest.raises(ValueError, match=r"only one has \['lr'\]"):
        d2l.settings(book={"lr": 1}, quick={})


def test_seed_repeats_all_three_generators():
    def draw():
        d2l.seed(3)
        return (random.random(), np.random.rand(),
                mx.nd.random.uniform(shape=2).asnumpy().tolist())

    assert draw() == draw()


def test_no_gpu_is_no_error():
    if mx.runtime.Features().is_enabled("CUDA"):
        pytest.skip("this MXNet was built for GPUs")
    assert d2l.try_gpu() == mx.cpu()
