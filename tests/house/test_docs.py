"""The table of docs/first-edition.md is what the code says today."""
from __future__ import annotations

import IPython
import pages
import pytest

import docs


@pytest.mark.skipif(IPython.version_info < (9,), reason="the table is of a "
                    "newer IPython, which lacks what the book calls")
def test_the_table_of_names_is_up_to_date() -> None:
    """`make docs` writes it anew."""
    assert pages.section(docs.PAGE, docs.NAME) == docs.names()
