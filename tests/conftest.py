"""For every unit test: no network and no windows; a small notebook."""
from __future__ import annotations

import socket
from typing import Any

import matplotlib
import pytest

import d2lzh_ext  # noqa: F401  (first: it makes `import mxnet` work)

# It needs another environment and a browser: see noxfile.py.
collect_ignore = ["site"]

# Not MPLBACKEND: the chapters' kernels would inherit it, and draw nothing.
matplotlib.use("Agg")


def _check(address: Any) -> None:
    """Let through this machine (chapters' kernels, say) and Unix sockets."""
    if not isinstance(address, tuple):
        return
    host = str(address[0])
    if not (host in ("localhost", "::1", "") or host.startswith("127.")):
        raise OSError(f"unit tests do without the network: {host}")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace what every connection goes through."""
    create = socket.create_connection
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def checked_create(address: Any, *args: Any, **kwargs: Any) -> Any:
        _check(address)
        return create(address, *args, **kwargs)

    def checked_connect(self: Any, address: Any) -> None:
        _check(address)
        return connect(self, address)

    def checked_connect_ex(self: Any, address: Any) -> int:
        _check(address)
        return connect_ex(self, address)

    monkeypatch.setattr(socket, "create_connection", checked_create)
    monkeypatch.setattr(socket.socket, "connect", checked_connect)
    monkeypatch.setattr(socket.socket, "connect_ex", checked_connect_ex)


@pytest.fixture
def tiny() -> Any:
    """A notebook about which there is nothing to complain."""
    import notebooks
    from nbformat.v4 import new_code_cell, new_notebook, new_output

    notebook = new_notebook(cells=[
        new_code_cell("x = 6 * 7\nprint('x is', x)", execution_count=1,
                      outputs=[new_output("stream", name="stdout",
                                          text="x is 42\n")]),
        new_code_cell("assert x == 42", execution_count=2),
    ])
    notebooks.clean(notebook)
    return notebook
