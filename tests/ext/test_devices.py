"""GPUs: NVIDIA's driver and the build of MXNet decide; here they are fakes."""
from __future__ import annotations

import ctypes
import types

import mxnet as mx
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


@pytest.mark.parametrize("driver, cuda, usable, said", [
    (None, False, [], ""),
    (None, True, [], ""),
    (Driver(), True, [], ""),
    (Driver((8, 0), error=100), True, [], ""),  # no device
    (Driver((7, 5)), False, [], NO_CUDA),
    (Driver((7, 5)), True, [0], ""),
    (Driver((8, 9)), False, [], NO_CUDA),
    (Driver((8, 9)), True, [0], ""),
    (Driver((9, 0)), False, [], NO_CODE.format(0) + "9.0"),
    (Driver((9, 0)), True, [], NO_CODE.format(0) + "9.0"),
    (Driver((12, 0)), False, [], NO_CODE.format(0) + "12.0"),
    (Driver((12, 0)), True, [], NO_CODE.format(0) + "12.0"),
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
