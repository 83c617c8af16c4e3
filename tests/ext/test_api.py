"""Everything public in d2lzh 1.0.0 is offered, with the same signatures."""
from __future__ import annotations

import inspect

import pytest
from first_edition import original

import d2lzh_ext as d2l

ORIGINAL = original()
PUBLIC = [name for name in vars(ORIGINAL) if not name.startswith("_")]


def test_there_is_an_api_to_compare():
    assert {"train_ch5", "try_gpu", "corr2d", "plt", "nd"} <= set(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_offered(name):
    theirs, ours = getattr(ORIGINAL, name), getattr(d2l, name)
    if not inspect.isfunction(theirs):
        return
    # Ours may take more arguments, after the book's and with defaults.
    book = list(inspect.signature(theirs).parameters.values())
    mine = list(inspect.signature(ours).parameters.values())
    assert [p.name for p in mine[:len(book)]] == [p.name for p in book]
    assert all(p.default is not p.empty for p in mine[len(book):])
    for one, own in zip(book, mine):
        assert (one.default is one.empty) == (own.default is own.empty)


def test_the_packages_own_names_are_documented():
    own = [getattr(d2l, name) for name in vars(d2l)
           if getattr(getattr(d2l, name), "__module__", "").startswith(
               "d2lzh_ext.") and callable(getattr(d2l, name))]
    assert len(own) > 15
    assert [f.__name__ for f in own if not f.__doc__] == []
