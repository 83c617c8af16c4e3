"""Everything public in d2lzh 1.0.0 is offered, with the same signatures."""
from __future__ import annotations

import inspect

import d2lzh
import pytest

import d2lzh_ext as d2l

PUBLIC = [name for name in vars(d2lzh.utils) if not name.startswith("_")]


def test_there_is_an_api_to_compare():
    assert {"train_ch5", "try_gpu", "corr2d", "plt", "nd"} <= set(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_offered(name):
    original, ours = getattr(d2lzh.utils, name), getattr(d2l, name)
    if ours is original or not inspect.isfunction(original):
        return
    # Ours may take more arguments, after the book's and with defaults.
    book = list(inspect.signature(original).parameters.values())
    mine = list(inspect.signature(ours).parameters.values())
    assert [p.name for p in mine[:len(book)]] == [p.name for p in book]
    assert all(p.default is not p.empty for p in mine[len(book):])
    for theirs, own in zip(book, mine):
        assert (theirs.default is theirs.empty) == (own.default is own.empty)


def test_what_is_broken_or_slow_is_replaced():
    replaced = {name for name in PUBLIC
                if getattr(d2l, name) is not getattr(d2lzh.utils, name)}
    assert {"load_data_fashion_mnist", "train_ch5", "evaluate_accuracy",
            "set_figsize", "show_images", "show_fashion_mnist", "try_gpu",
            "try_all_gpus"} <= replaced


def test_the_packages_own_names_are_documented():
    own = [getattr(d2l, name) for name in vars(d2l)
           if getattr(getattr(d2l, name), "__module__", "").startswith(
               "d2lzh_ext.") and callable(getattr(d2l, name))]
    assert len(own) > 15
    assert [f.__name__ for f in own if not f.__doc__] == []
