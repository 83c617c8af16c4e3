"""Devices, settings and seeds.

NVIDIA's driver and the build of MXNet decide on GPUs; here they are fakes.
"""
from __future__ import annotations

import ctypes
import random
import types

import mxnet as mx
import numpy as np
import pytest
from mxnet import nd

import d2lzh_ext as d2l
from d2lzh_ext import devices

NO_CUDA = "this MXNet is built without CUDA; docs/gpu.md"
NO_CODE = "no wheel of MXNet 1.9.1 has code for GPU {} (compute capability "


class Driver:
    """What of libcuda.so.1 is asked, for GPUs of the given capabilities."""

    def __init__(self, *capabilities, error=0):
        self.capabilities, self.error = capabilities, error

    def cuInit(self, flags):
        return self.error

    def cuDeviceGetCount(self, count):
        count._obj.value = len(self.capabilities)
        return 0

    def cuDeviceGet(self, device, place):
        device._obj.value = 10 + place  # a handle is no number of a place

    def cuDeviceGetName(self, name, size, device):
        assert size == len(name)
        name.value = f"GPU {device.value - 10}".encode()

    def cuDeviceGetAttribute(self, value, attribute, device):
        value._obj.value = self.capabilities[
            device.value - 10][{75: 0, 76: 1}[attribute]]


@pytest.fixture
def machine(monkeypatch):
    """Give the machine a driver, and MXNet CUDA or none."""
    def prepare(driver, cuda):
        def load(name):
            assert name == "libcuda.so.1"
            if driver is None:
                raise OSError(name)
            return driver

        def zeros(shape, ctx):
            if ctx.device_id == 7:
                raise mx.base.MXNetError("Traceback\nCUDA: out of memory")
            return nd.ones(shape)

        monkeypatch.setattr(ctypes, "CDLL", load)
        monkeypatch.setattr(nd, "zeros", zeros)
        monkeypatch.setattr(
            mx.runtime, "Features", lambda: types.SimpleNamespace(
                is_enabled={"CUDA": cuda}.__getitem__))
        devices._tell.cache_clear()

    yield prepare
    devices._tell.cache_clear()


@pytest.mark.parametrize(("driver", "cuda", "usable", "said"), [
    (None, False, [], ""),
    (None, True, [], ""),
    (Driver(), True, [], ""),
    (Driver((8, 0), error=100), True, [], ""),  # no device
    *((Driver(old), cuda, [0] if cuda else [], "" if cuda else NO_CUDA)
      for old in ((7, 5), (8, 9)) for cuda in (False, True)),
    *((Driver(new), cuda, [], NO_CODE.format(0) + f"{new[0]}.0")
      for new in ((9, 0), (12, 0)) for cuda in (False, True)),
    (Driver((8, 6), (12, 0)), True, [0], ""),
    (Driver((8, 6), (12, 0)), False, [], NO_CUDA),
    (Driver((12, 0), (8, 6)), True, [1], NO_CODE.format(0) + "12.0"),
    (Driver(*[(8, 0)] * 9), True, [0, 1, 2, 3, 4, 5, 6, 8], "")])
def test_gpus_are_used_where_mxnet_has_code_for_them(
        machine, capsys, driver, cuda, usable, said):
    machine(driver, cuda)
    assert d2l.try_gpu() == (mx.gpu(0) if 0 in usable else mx.cpu())
    assert d2l.try_all_gpus() == (
        [mx.gpu(place) for place in usable] or [mx.cpu()])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == bool(said)
    assert said in "".join(lines)


def test_mxnets_own_reason_is_one_line(machine):
    machine(Driver(*[(8, 0)] * 8), cuda=True)
    assert devices.why_not(devices.gpus()[7]) == "CUDA: out of memory"


@pytest.mark.skipif(mx.runtime.Features().is_enabled("CUDA"),
                    reason="this MXNet was built for GPUs")
def test_no_gpu_is_no_error():
    assert d2l.try_gpu() == mx.cpu()


# --- settings and seeds -----------------------------------------------------

PAIR = {"book": {"lr": 0.1, "epochs": 5}, "quick": {"lr": 0.2, "epochs": 1}}


@pytest.mark.parametrize(("variable", "device", "profile"), [
    ("", mx.cpu(), "quick"), ("", mx.gpu(), "book"),
    ("quick", mx.gpu(), "quick"), ("book", mx.cpu(), "book")])
def test_hardware_chooses_unless_the_environment_does(
        monkeypatch, variable, device, profile):
    monkeypatch.setenv("D2LZH_PROFILE", variable)
    monkeypatch.setattr(devices, "try_gpu", lambda: device)
    assert vars(d2l.settings(**PAIR)) == {"profile": profile, **PAIR[profile]}


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
