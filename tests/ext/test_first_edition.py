"""The book's own package and code, on this Python, give what they gave."""
from __future__ import annotations

import inspect
import json

import d2lzh
import first_edition
import pytest
from mxnet import gluon

import d2lzh_ext as d2l

EXPECTED = json.loads(first_edition.RECORD.read_text(encoding="utf-8"))
# What needs a data set that is not here; the loader has its own tests.
DOWNLOADS = {"download_imdb", "download_voc_pascal", "load_data_pikachu",
             "load_data_fashion_mnist"}


def test_every_name_of_d2lzh_has_a_case():
    own = {name for name, thing in vars(first_edition.original()).items()
           if getattr(thing, "__module__", None) == "d2lzh_as_shipped"
           and not name.startswith("_")}
    assert len(own) > 50
    assert own - DOWNLOADS == first_edition.CASES.keys() - {
        "VOC_CLASSES", "VOC_COLORMAP"}
    assert EXPECTED.keys() == first_edition.CASES.keys()


@pytest.mark.parametrize("name", first_edition.CASES)
@pytest.mark.filterwarnings("ignore")
def test_it_gives_what_d2lzh_gave_on_an_old_numpy(name):
    found = first_edition.run(name, d2l)
    assert first_edition.same(EXPECTED[name], found), (EXPECTED[name], found)


def test_the_comparison_sees_a_difference():
    assert not first_edition.same(["loss 0.12"], ["loss 0.13"])
    assert not first_edition.same({"a": [1.0]}, {"a": [1.1]})
    assert not first_edition.same("abc", "abd")
    assert first_edition.same(["loss 0.12345"], ["loss 0.12346"])


def test_d2lzh_itself_has_our_functions():
    """Also where its other functions look for them."""
    original = first_edition.original()
    replaced = {name for name, thing in vars(original).items()
                if inspect.isfunction(thing) and not name.startswith("_")
                and getattr(d2l, name).__module__ != "d2lzh.utils"}
    assert {"train_ch5", "evaluate_accuracy", "set_figsize"} <= replaced
    for name in replaced:
        assert getattr(d2lzh, name) is getattr(d2l, name)
        assert getattr(d2lzh.utils, name) is getattr(d2l, name)


@pytest.mark.parametrize(("train", "n"), [(True, 60000), (False, 10000)])
def test_gluons_own_fashion_mnist_needs_no_download(train, n, tmp_path):
    """Section 3.5 of the book, as printed."""
    data = gluon.data.vision.FashionMNIST(root=str(tmp_path), train=train)
    images, labels = d2l.fashion_mnist(train)
    assert len(data) == n
    feature, label = data[0]
    assert (feature.shape, feature.dtype.__name__) == ((28, 28, 1), "uint8")
    assert (feature.asnumpy() == images[0]).all()
    assert (label, label.dtype) == (labels[0], "int32")
    X, y = data[0:9]
    assert X.shape == (9, 28, 28, 1)
    assert (y == labels[:9]).all()
