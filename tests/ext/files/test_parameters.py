"""Files of parameters, however MXNet wrote them; see also test_faults."""
from __future__ import annotations

import functools

import mxnet as mx
import numpy as np
import pytest
from mxnet import init, nd
from mxnet.gluon import nn

import d2lzh_ext as d2l
from d2lzh_ext import models

SHAPE = (2, 1, 28, 28)


def scoped(prefix=None):
    net = nn.HybridSequential(prefix=prefix)
    with net.name_scope():
        net.add(nn.Conv2D(3, 5, strides=4), nn.BatchNorm(), nn.Dense(4))
    return net


def equal():
    """Twelve layers of one shape: as text, conv10 comes before conv2."""
    net = nn.HybridSequential()
    net.add(*(nn.Conv2D(1, 3, padding=1) for _ in range(12)), nn.Dense(4))
    return net


def shared():
    net, one = nn.HybridSequential(), nn.Dense(4, in_units=4)
    net.add(nn.Dense(4), one, nn.Dense(4, in_units=4, params=one.params))
    return net


# MXNet strips a prefix that all names have.
WAYS = ["save_parameters", "export", "collect_params"]
NETWORKS = [(make, how) for make in (models.lenet_bn, equal, shared)
            for how in WAYS] + [
    (functools.partial(scoped, prefix), how)
    for prefix in (None, "", "mine_") for how in (*WAYS, "stripped")]


def written(net, path, how):
    """Initialise `net` and write its parameters; returns the file."""
    net.initialize(init.Uniform(1))
    net.hybridize()
    net(nd.ones(SHAPE))
    if how == "export":
        net.export(str(path))
        return f"{path}-0000.params"
    {"save_parameters": net.save_parameters,
     "collect_params": net.collect_params().save,
     "stripped": lambda path: net.collect_params().save(
         path, strip_prefix=net.prefix)}[how](str(path))
    return path


def values(net):
    return {name: p.data().asnumpy()
            for name, p in net._collect_params_with_prefix().items()}


@pytest.mark.parametrize("made", [0, 1, 9, 120])
@pytest.mark.parametrize(("make", "how"), NETWORKS)
def test_every_file_of_the_same_network_is_read(tmp_path, make, how, made):
    with mx.name.NameManager():
        for _ in range(8):
            nn.Conv2D(1, 1), nn.Dense(1)
        net = make()
        path = written(net, tmp_path / "p", how)
    with mx.name.NameManager():
        for _ in range(made):
            nn.Conv2D(1, 1), nn.Dense(1), nn.BatchNorm()
        other = make()
    for initialised in (False, True):
        if initialised:
            other.initialize(init.Uniform(1), force_reinit=True)
        d2l.load_parameters(other, path)
        for name, array in values(net).items():
            np.testing.assert_array_equal(array, values(other)[name], name)


@pytest.mark.filterwarnings("ignore:Cannot decide type")
def test_an_exported_network_reads_its_file(tmp_path):
    net = models.lenet_bn()
    path = written(net, tmp_path / "p", "export")
    other = mx.gluon.SymbolBlock.imports(f"{tmp_path}/p-symbol.json",
                                         ["data"])
    d2l.load_parameters(other, path)
    X = nd.random.uniform(shape=SHAPE)
    assert (net(X) == other(X)).asnumpy().all()


def renamed(change):
    return lambda arrays: {change(name): array
                           for name, array in arrays.items()}


def assert_refused(net, path, message, ctx=None):
    """And nothing of the network is changed."""
    before = values(net)
    with pytest.raises(d2l.ParameterError, match=message) as caught:
        d2l.load_parameters(net, path, ctx)
    assert "\n" not in str(caught.value)
    for name, array in before.items():
        np.testing.assert_array_equal(array, values(net)[name])
    return str(caught.value)


@pytest.mark.parametrize("how, change, difference", [
    ("export", lambda arrays: dict(list(arrays.items())[1:]),
     "it has conv1_bias where this network has conv12_weight"),
    ("export", renamed(lambda name: name.replace("conv1_", "conv30_")),
     "it has conv2_bias where this network has conv13_bias"),
    ("export", renamed(lambda name: name.replace("conv", "deconv")),
     r"it has \w+ where this network has \w+"),
    ("export", lambda arrays: {**arrays, "arg:x": nd.ones(1)},
     "it has x where this network has nothing"),
    ("export", lambda arrays: {**arrays, "aux:dense0_bias": nd.ones(4)},
     "one name both as arg: and as aux:"),
    ("export", lambda arrays: {**arrays, "arg:dense0_bias": nd.ones(5)},
     r"12.bias has the shape \(5,\) in it, here \(4,\)"),
    ("save_parameters", lambda arrays: {**arrays, "x.y": nd.ones(1)},
     "only the file has x.y")])
def test_what_does_not_pair_off_is_refused(tmp_path, how, change,
                                           difference):
    with mx.name.NameManager():
        path = str(written(equal(), tmp_path / "p", how))
        nd.save(path, change(nd.load(path)))
        net = equal()
    written(net, tmp_path / "q", "save_parameters")
    assert path in assert_refused(net, path, difference)


def test_two_values_for_one_shared_parameter(tmp_path):
    net = shared()
    path = str(written(net, tmp_path / "p", "save_parameters"))
    arrays = nd.load(path)
    arrays["2.weight"][0, 0] += 1
    nd.save(path, arrays)
    assert_refused(net, path, r"1\.weight and 2\.weight differ in it, and are "
                   "shared here")


def test_another_device_changes_nothing(tmp_path):
    net = equal()
    path = written(net, tmp_path / "p", "save_parameters")
    net[2].collect_params().reset_ctx(mx.cpu(1))
    net[0].weight.set_data(net[0].weight.data() + 1)
    assert_refused(net, path, r"on \[cpu\(1\)\], not on \[cpu\(0\)\]",
                   mx.cpu())
