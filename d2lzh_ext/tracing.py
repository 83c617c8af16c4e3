"""Whether a network computes the same when it is traced.

To trace a network is to call it once with a symbol in the place of the
images, and to keep the operators that it applies. Whatever else its Python
code does is done that one time: a counter stands still, a random number
stays the same, a branch is taken for good. So only a network whose code
cannot do anything of that kind is traced, which is decided carefully: what
is not known to be harmless counts as harmful.
"""
from __future__ import annotations

import contextlib
import dis
import io
import itertools
import json
import operator
from collections.abc import Iterator
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    MethodType,
    ModuleType,
)
from typing import Any

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon

# With these, tests/test_compiling.py has compared scores and gradients of a
# compiled network with those of the network itself.
OPERATORS = frozenset({
    "Activation", "BatchNorm", "Concat", "Convolution", "Deconvolution",
    "Dropout", "Flatten", "FullyConnected", "InstanceNorm", "LRN",
    "LayerNorm", "LeakyReLU", "Pooling", "Reshape", "SliceChannel",
    "broadcast_add", "broadcast_mul", "broadcast_sub", "clip",
    "elemwise_add", "elemwise_div", "elemwise_mul", "elemwise_sub",
    "log_softmax", "mean", "negative", "relu", "sigmoid", "slice_axis",
    "softmax", "sqrt", "square", "sum", "tanh", "transpose", "expand_dims",
    "squeeze", "_copy", "_div_scalar", "_minus_scalar", "_mul_scalar",
    "_plus_scalar", "_power_scalar", "_rminus_scalar"})
# Operators of that list whose compiled form is not to be trusted, or draws
# random numbers where the plain one does not.
_EXCEPT = {"LeakyReLU": ("act_type", ("prelu", "rrelu")),
           "Dropout": ("mode", ("always",))}

# Names by which code can tell arrays from symbols and training from
# prediction, reads numbers, draws them, or has an effect of its own.
_TELLS = frozenset({
    "nd", "ndarray", "NDArray", "sym", "symbol", "Symbol", "autograd",
    "is_training", "is_recording", "is_np_array", "isinstance",
    "issubclass", "hasattr", "type", "__name__", "__class__", "asnumpy",
    "asscalar", "item", "data", "list_data", "grad", "list_grad", "random",
    "print", "open", "input", "warn", "warning", "info", "debug", "time",
    "next"})
# Modules whose functions have no effect, those of _TELLS apart.
_MODULES = frozenset({"functools", "itertools", "math", "mxnet",
                      "mxnet.gluon", "mxnet.gluon.nn", "numpy", "operator"})
_PLAIN = (type(None), bool, int, float, complex, str, bytes, np.generic,
          np.dtype, range, slice)


class _Harmful(Exception):
    """Code or data that could make the trace differ from the network."""


def _of_mxnet(thing: Any) -> bool:
    return str(getattr(thing, "__module__", "")).partition(".")[0] == "mxnet"


def _globals(code: CodeType) -> set[str]:
    """Names outside of itself that a function takes.

    Raises:
        _Harmful: It sets an attribute or such a name, or mentions one of
            _TELLS.
    """
    names = set()
    if _TELLS.intersection(code.co_names):
        raise _Harmful
    for step in dis.get_instructions(code):
        if step.opname in ("STORE_ATTR", "DELETE_ATTR", "STORE_GLOBAL",
                           "DELETE_GLOBAL") or (
                step.opname == "STORE_DEREF"
                and step.argval in code.co_freevars):
            raise _Harmful
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            names.add(step.argval)
    return names.union(*(_globals(inner) for inner in code.co_consts
                         if isinstance(inner, CodeType)))


class Held:
    """What a network's code can reach and change: attributes, globals.

    Raises:
        _Harmful: Something that could change unseen, or a name of _TELLS.
    """

    def __init__(self, net: gluon.Block) -> None:
        self.mappings: list[Any] = []  # dictionaries, and those of classes
        self.several: list[Any] = []  # lists and sets
        self.cells: list[Any] = []  # of closures
        self.globals: list[tuple[dict[str, Any], list[str]]] = []
        todo, seen = [net], {}
        while todo:
            thing = todo.pop()
            if id(thing) not in seen:
                seen[id(thing)] = thing
                todo.extend(self._held_by(thing))
        self.before = [(each, each.copy()) for each
                       in (*self.mappings, *self.several)]
        self.saved = tuple(self._now())

    def _held_by(self, thing: Any) -> list[Any]:
        """Note `thing`; what it gives access to."""
        if isinstance(thing, gluon.Block):
            if (thing._forward_hooks or thing._forward_pre_hooks
                    or getattr(thing, "_active", False)):
                raise _Harmful
            self.mappings.append(vars(thing))
            values = list(vars(thing).values())
            if _of_mxnet(type(thing)):  # which does not look at others
                return [value for value in values if isinstance(value, (
                    gluon.Block, dict, list, tuple, FunctionType,
                    MethodType))]
            return [*values, *type(thing).__mro__]
        if isinstance(thing, type):
            return self._held_by_class(thing)
        if isinstance(thing, ModuleType):
            if thing.__name__ not in _MODULES:
                raise _Harmful
            return []
        if isinstance(thing, _PLAIN) or _of_mxnet(type(thing)):
            return []
        if isinstance(thing, dict):
            self.mappings.append(thing)
            return list(thing.values())
        if isinstance(thing, (list, set)):
            self.several.append(thing)
            return list(thing)
        if isinstance(thing, (tuple, frozenset)):
            return list(thing)
        if isinstance(thing, (staticmethod, classmethod)):
            return [thing.__func__]
        if isinstance(thing, property):
            return [thing.fget, thing.fset]
        if isinstance(thing, MethodType):
            return [thing.__func__, thing.__self__]
        if isinstance(thing, FunctionType):
            return [] if _of_mxnet(thing) else self._held_by_function(thing)
        if isinstance(thing, BuiltinFunctionType) and isinstance(
                thing.__self__, (type(None), ModuleType)):
            return []
        raise _Harmful

    def _held_by_class(self, kind: type) -> list[Any]:
        if issubclass(kind, (mx.nd.NDArray, mx.sym.Symbol)):
            raise _Harmful
        if _of_mxnet(kind) or kind.__module__ == "builtins":
            return []
        if not issubclass(kind, gluon.Block):
            raise _Harmful
        self.mappings.append(vars(kind))
        return [value for name, value in vars(kind).items()
                if name == "__call__" or not name.startswith("__")]

    def _held_by_function(self, function: FunctionType) -> list[Any]:
        known = [name for name in _globals(function.__code__)
                 if name in function.__globals__]
        self.globals.append((function.__globals__, known))
        cells = function.__closure__ or ()
        self.cells.extend(cells)
        return [*(function.__globals__[name] for name in known),
                *(cell.cell_contents for cell in cells),
                function.__defaults__, function.__kwdefaults__]

    def _now(self) -> Iterator[Any]:
        return itertools.chain(
            *(each.values() for each in self.mappings), *self.several,
            map(operator.attrgetter("cell_contents"), self.cells),
            *(map(each.get, names) for each, names in self.globals),
            (self,))  # where it ends

    def unchanged(self) -> bool:
        """Whether everything is still the same object."""
        return all(map(operator.is_, self._now(), self.saved))

    def restore(self) -> None:
        """Undo what a trace has changed."""
        for thing, copy in self.before:
            if isinstance(thing, list):
                thing[:] = copy
            elif isinstance(thing, (dict, set)):
                thing.clear()
                thing.update(copy)


def symbol_of(net: gluon.Block) -> Any:
    """What `net` makes of a variable "data"; nothing of it stays behind."""
    variables = [(p, p._var) for p in net.collect_params().values()]
    try:
        for parameter, _ in variables:
            parameter._var = None  # a variable counts the graphs it is in
        # The reader's own manager of names goes on as if nothing had been.
        with mx.name.NameManager():
            return net(mx.sym.var("data"))
    finally:
        for parameter, variable in variables:
            parameter._var = variable


def trace(net: gluon.HybridBlock, shape: tuple[int, ...]) -> Any:
    """The symbol of `net`, or None where it could compute otherwise.

    `net`, and what its code can reach, is afterwards as it was.

    Args:
        net: A network, whose parameters need no values.
        shape: The shape of the inputs that it will be given.

    Returns:
        A symbol of one output, with the variable "data".
    """
    held = None
    try:
        held = Held(net)
        with autograd.record():
            training = symbol_of(net)
        with autograd.pause():
            predicting = symbol_of(net)
        # Looked at by Python, training shows in the operators.
        if (held.unchanged() and training.tojson() == predicting.tojson()
                and _is_known(predicting, shape)):
            return predicting
    except Exception:  # of any type: the reader's own code has run
        pass
    finally:
        if held is not None and not held.unchanged():
            held.restore()
    return None


def _is_known(symbol: Any, shape: tuple[int, ...]) -> bool:
    """Whether a symbol has one output, known operators, and shapes."""
    nodes = json.loads(symbol.tojson())["nodes"]
    for node in nodes:
        name, values = _EXCEPT.get(node["op"], ("", ()))
        if (node["op"] not in OPERATORS | {"null"} or "subgraphs" in node
                or node.get("attrs", {}).get(name) in values):
            return False
    if not _draws_in_order(nodes):
        return False
    if len(symbol.list_outputs()) != 1:
        return False
    # Arrays are stretched to fit, where symbols have to be of one shape; and
    # no parameter may take its shape from the number of images.
    with contextlib.redirect_stdout(io.StringIO()):  # MXNet prints
        several, one = (
            symbol.infer_shape(data=(n, *shape[1:])) for n in (shape[0], 1))
    place = symbol.list_arguments().index("data")
    for shapes in (several, one):
        del shapes[0][place]
    return bool(several[0] and several[::2] == one[::2])


def _draws_in_order(nodes: list[dict[str, Any]]) -> bool:
    """Whether each Dropout comes behind all those before it.

    Otherwise Python may have called them in another order, and each would
    draw the other's numbers.
    """
    behind: list[set[int]] = []  # for each node, the dropouts that lead to it
    drawn: set[int] = set()
    for i, node in enumerate(nodes):
        found = set().union(*(behind[place] for place, *_ in node["inputs"]))
        if node["op"] == "Dropout":
            if found != drawn:
                return False
            drawn.add(i)
            found.add(i)
        behind.append(found)
    return True
