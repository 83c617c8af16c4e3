"""Whether a network computes the same when it is traced.

To trace a network is to call it once with a symbol in the place of the
images, and to keep the operators that it applies. Whatever else its Python
code does is done that one time: a counter stands still, a random number
stays the same, a branch is taken for good. So only a network whose code
cannot do anything of that kind is traced, which is decided carefully: what
is not known to be harmless counts as harmful.
"""
from __future__ import annotations

import dis
import itertools
import json
import operator
from collections import OrderedDict
from collections.abc import Callable, Iterator
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

from d2lzh_ext.files.parameters import named_parameters

# With these, tests/ext/engine/test_compiled.py compares scores and gradients
# of a compiled network with those of the network itself.
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

# Builtin functions that no array answers in another way than a symbol.
_BUILTINS = frozenset({
    "abs", "bool", "dict", "enumerate", "float", "int", "list", "map", "max",
    "min", "range", "reversed", "round", "set", "sum", "super", "tuple",
    "zip"})
# Attributes by which code can tell arrays from symbols, reads or draws
# numbers, or has an effect of its own.
_UNTRACEABLE_NAMES = frozenset({
    "__class__", "__dict__", "__module__", "__name__", "asnumpy", "asscalar",
    "data", "grad", "item", "list_data", "list_grad", "nd", "ndarray",
    "random", "sym", "symbol"})
# Python's instructions that do: setting what is not local, importing,
# handling errors, making text of a value.
_SIDE_EFFECTS = (
    "STORE_ATTR", "DELETE_ATTR", "STORE_GLOBAL", "DELETE_GLOBAL", "IMPORT_",
    "SETUP_FINALLY", "SETUP_WITH", "PUSH_EXC_INFO", "FORMAT_",
    "LOAD_BUILD_CLASS")
_MODULES = frozenset({"functools", "itertools", "math", "numpy", "operator"})
_PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes, slice,
                    range, type(...)})
# What every block has of MXNet's: its scope of names and its caches.
_OF_MXNET = ("_scope", "_cached_graph", "_cached_op", "_cached_op_args")
# What a class has that no call of a network comes through.
_NOT_CALLED = frozenset({
    "__abstractmethods__", "__annotate__", "__annotate_func__",
    "__annotations__", "__annotations_cache__", "__dict__", "__doc__",
    "__firstlineno__", "__init__", "__module__", "__orig_bases__",
    "__qualname__", "__repr__", "__static_attributes__", "__str__",
    "__weakref__"})
# What things of these types give access to.
_PARTS: dict[type, Callable[[Any], list[Any]]] = {
    tuple: list, frozenset: list,
    staticmethod: lambda method: [method.__func__],
    classmethod: lambda method: [method.__func__],
    MethodType: lambda method: [method.__func__, method.__self__],
    property: lambda method: [method.fget, method.fset]}


class _Untraceable(Exception):
    """Code or data that could make the trace differ from the network."""


def _of_mxnet(thing: Any) -> bool:
    return str(getattr(thing, "__module__", "")).partition(".")[0] == "mxnet"


def _globals(code: CodeType) -> set[str]:
    """Names outside of itself that a function takes.

    Raises:
        _Untraceable: It has one of the steps or attributes above.
    """
    if _UNTRACEABLE_NAMES.intersection(code.co_names):
        raise _Untraceable
    names = set()
    for step in dis.get_instructions(code):
        if step.opname.startswith(_SIDE_EFFECTS) or (
                step.opname == "STORE_DEREF"
                and step.argval in code.co_freevars):
            raise _Untraceable
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            names.add(step.argval)
    return names.union(*(_globals(inner) for inner in code.co_consts
                         if isinstance(inner, CodeType)))


class Snapshot:
    """What a network's code can reach and change: attributes, globals.

    Raises:
        _Untraceable: Code of the reader's that does more than apply operators,
            or something that could change unseen.
    """

    def __init__(self, net: gluon.Block) -> None:
        # Dictionaries, and those of classes and parameters.
        self.mappings: list[Any] = [
            vars(parameter) for _, parameter in named_parameters(net)]
        self.several: list[Any] = []  # lists and sets
        self.cells: list[Any] = []  # of closures
        self.globals: list[tuple[dict[str, Any], list[str]]] = []
        todo, seen = [net], {}
        while todo:
            thing = todo.pop()
            if id(thing) not in seen:
                seen[id(thing)] = thing
                todo.extend(self._contents(thing))
        self.saved = tuple(self._now())
        self.copies = [(each, each.copy()) for each in (
            *self.mappings, *self.several)
            if isinstance(each, (dict, list, set))]

    def _contents(self, thing: Any) -> list[Any]:
        """Note `thing`; what it gives access to."""
        kind = type(thing)
        if isinstance(thing, gluon.Block):
            return self._contents_block(thing)
        if kind in _PLAIN or isinstance(thing, (
                np.generic, np.dtype, gluon.Parameter, gluon.ParameterDict)):
            return []
        if kind in (dict, OrderedDict):
            self.mappings.append(thing)
            return list(thing.values())
        if kind in (list, set):
            self.several.append(thing)
            return list(thing)
        if kind in _PARTS:
            return _PARTS[kind](thing)
        if kind is FunctionType:
            return self._contents_function(thing)
        if isinstance(thing, type):
            return self._contents_class(thing)
        if (kind in (ModuleType, BuiltinFunctionType) and getattr(
                thing, "__module__", thing.__name__) in _MODULES):
            return []
        raise _Untraceable

    def _contents_block(self, block: gluon.Block) -> list[Any]:
        if (block._forward_hooks or block._forward_pre_hooks
                or getattr(block, "_active", False)):
            raise _Untraceable
        self.mappings.append(vars(block))
        # MXNet's blocks hold initialisers and the like of its own, too.
        values = [value for name, value in vars(block).items()
                  if name not in _OF_MXNET and not (
                      _of_mxnet(type(block)) and _of_mxnet(type(value))
                      and not isinstance(value, gluon.Block))]
        return [*values, *(kind for kind in type(block).__mro__
                           if not _of_mxnet(kind) and kind is not object)]

    def _contents_class(self, kind: type) -> list[Any]:
        if not issubclass(kind, gluon.Block) or _of_mxnet(kind):
            raise _Untraceable
        self.mappings.append(vars(kind))
        return [value for name, value in vars(kind).items()
                if name not in _NOT_CALLED]

    def _contents_function(self, function: FunctionType) -> list[Any]:
        if _of_mxnet(function):
            # A layer's own way forward, or what HybridLambda makes of text.
            return [cell.cell_contents for cell in function.__closure__ or ()]
        if vars(function):
            raise _Untraceable
        names = _globals(function.__code__)
        own = [name for name in names if name in function.__globals__]
        if not _BUILTINS.issuperset(names - set(own)):
            raise _Untraceable
        self.globals.append((function.__globals__, own))
        cells = function.__closure__ or ()
        self.cells.extend(cells)
        held = [*(function.__globals__[name] for name in own),
                *(cell.cell_contents for cell in cells)]
        if any(isinstance(each, FunctionType) and _of_mxnet(each)
               for each in held):
            raise _Untraceable
        return [*held, function.__defaults__, function.__kwdefaults__]

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
        """Undo what a trace has put into lists, sets and dictionaries."""
        for thing, copy in self.copies:
            thing.clear()
            (thing.extend if isinstance(thing, list) else thing.update)(copy)


def symbol_of(net: gluon.Block) -> Any:
    """What `net` makes of a variable "data"; nothing of it stays behind."""
    variables = [(p, p._var) for _, p in named_parameters(net)]
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

    Args:
        net: A network, whose parameters need no values. It is afterwards as
            it was.
        shape: The shape of the inputs that it will be given.

    Returns:
        A symbol of one output, with the variable "data".
    """
    before = None
    try:
        before = Snapshot(net)
        with autograd.record():
            training = symbol_of(net)
        with autograd.pause():
            predicting = symbol_of(net)
        # Looked at by Python, training shows in the operators.
        if (before.unchanged() and training.tojson() == predicting.tojson()
                and _is_known(predicting, shape)):
            return predicting
    except Exception:  # of any type: the reader's own code has run
        pass
    finally:
        if before is not None and not before.unchanged():
            before.restore()
    return None


def _is_known(symbol: Any, shape: tuple[int, ...]) -> bool:
    """Whether a symbol has one output, known operators, and shapes."""
    nodes = json.loads(symbol.tojson())["nodes"]
    for node in nodes:
        name, values = _EXCEPT.get(node["op"], ("", ()))
        if (node["op"] not in OPERATORS | {"null"} or "subgraphs" in node
                or node.get("attrs", {}).get(name) in values):
            return False
    if not _draws_in_order(nodes) or len(symbol.list_outputs()) != 1:
        return False
    # Arrays are stretched to fit, where symbols have to be of one shape; and
    # an image has to be an image, whatever the number of others with it.
    place, found = symbol.list_arguments().index("data"), []
    for n in {1, 2, shape[0]}:
        inputs, (output,), states = symbol.infer_shape_partial(
            data=(n, *shape[1:]))
        if output[:1] != (n,):
            return False
        del inputs[place]
        found.append((inputs, output[1:], states))
    return all(each == found[0] for each in found) and all(
        all(size > 0 for size in (1, *each)) for each in found[0][0])


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
