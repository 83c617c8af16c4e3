"""A table of a network's layers: output shapes, parameters, operations."""
from __future__ import annotations

import contextlib
import inspect
import io
import json
import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import mxnet as mx
from mxnet import autograd, gluon
from mxnet.gluon import nn

from d2lzh_compat.arrays import check_arrays

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """One row: a layer as it is applied once.

    Attributes:
        name: The path of the layer inside the network and its class.
        output_shape: Batch first.
        parameters: Trainable numbers the layer owns; 0 where an earlier row
            has counted them.
        macs: Multiply-accumulate operations on the given input.
    """

    name: str
    output_shape: Shape
    parameters: int
    macs: int


@dataclass(frozen=True)
class Summary:
    """All rows and their totals; prints as a table."""

    input_shape: Shape
    layers: tuple[Layer, ...]

    @property
    def parameters(self) -> int:
        """Trainable parameters; running statistics do not count."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of convolutions and dense layers."""
        return sum(layer.macs for layer in self.layers)

    def __str__(self) -> str:
        rows = [("layer", "output shape", "parameters", "MACs"),
                ("input", str(self.input_shape), "", "")]
        rows += [(layer.name, str(layer.output_shape),
                  f"{layer.parameters:,}" if layer.parameters else "",
                  f"{layer.macs:,}" if layer.macs else "")
                 for layer in self.layers]
        rows.append(("total", "", f"{self.parameters:,}", f"{self.macs:,}"))
        a, b, c, d = (max(map(len, column)) for column in zip(*rows))
        head, *body, total = (
            f"{name:{a}}  {shape:{b}}  {parameters:>{c}}  {macs:>{d}}".rstrip()
            for name, shape, parameters, macs in rows)
        rule = "-" * (a + b + c + d + 6)
        return "\n".join([head, rule, *body, rule, total])

    __repr__ = __str__


@dataclass(frozen=True)
class Window:
    """How a convolution or a pooling layer moves over its input.

    Attributes:
        kernel: Height and width of the window, in places of the input.
        stride: By how many places it moves, down and across.
        padding: Rows added above and below, columns left and right.
        dilation: Distance of neighbouring weights; 1 in a pooling layer.
        groups: Into how many parts the channels are divided; 1 in a
            pooling layer.
    """

    kernel: Shape
    stride: Shape
    padding: Shape
    dilation: Shape
    groups: int


def window_of(layer: gluon.Block) -> Window:
    """The window of a convolution or of a pooling layer.

    Args:
        layer: Of Gluon, for inputs of one, two or three dimensions.

    Raises:
        TypeError: The layer has no window.
    """
    if not isinstance(layer, (nn.conv_layers._Conv,
                              nn.conv_layers._Pooling)):
        raise TypeError(f"{type(layer).__name__} has no window.")
    options = layer._kwargs
    kernel = tuple(options["kernel"])
    return Window(kernel, tuple(options["stride"]), tuple(options["pad"]),
                  tuple(options.get("dilate", (1,) * len(kernel))),
                  options.get("num_group", 1))


def activation_of(layer: gluon.Block) -> str | None:
    """The activation function that a layer is or ends in, such as 'relu'.

    Args:
        layer: An `nn.Activation`, or a layer such as `nn.Conv2D` and
            `nn.Dense` that may have one; any other has none.
    """
    activation = _activation(layer)
    return activation._act_type if activation else None


@dataclass(frozen=True)
class _Call:
    """A layer as it is applied once: to tensors, or, later, to shapes."""

    path: str
    block: gluon.Block
    inputs: tuple[Any, ...]
    output: Any


def _activation(block: gluon.Block) -> nn.Activation | None:
    """The activation that `block` is, or, like Conv2D and Dense, has."""
    found = (block if isinstance(block, nn.Activation)
             else getattr(block, "act", None))
    return found if isinstance(found, nn.Activation) else None


def _layers(block: gluon.Block, path: str = ""
            ) -> Iterator[tuple[str, gluon.Block]]:
    """Layers to show: those that own parameters or contain no others.

    One row shows a layer and its own activation.
    """
    for name, child in block._children.items():
        if not (block._reg_params and child is _activation(block)):
            yield from _layers(child, f"{path}.{name}" if path else name)
    if block._reg_params or not block._children:
        yield path, block


def _title(path: str, block: gluon.Block) -> str:
    title = f"{path} {type(block).__name__}".strip()
    activation = activation_of(block)
    return f"{title} ({activation})" if activation else title


def _macs(call: _Call, shapes: Mapping[str, Shape]) -> int:
    """Multiply-accumulates of one layer, by the shapes of its arrays."""
    if isinstance(call.block, gluon.SymbolBlock):
        return _symbol_macs(call)
    if not isinstance(call.block, (nn.Dense, nn.conv_layers._Conv)):
        return 0
    transposed = isinstance(call.block, (
        nn.Conv1DTranspose, nn.Conv2DTranspose, nn.Conv3DTranspose))
    return _products(call.inputs[0] if transposed else call.output,
                     _shape(call.block.weight, shapes))


def _shape(parameter: gluon.Parameter, shapes: Mapping[str, Shape]) -> Shape:
    shape = shapes.get(parameter.name, parameter.shape)
    if shape is None or any(size < 1 for size in shape):
        raise ValueError(f"The shape of {parameter.name} is not known, for "
                         "the forward pass does not use it: give it one.")
    return tuple(shape)


def _products(places: Shape, weight: Shape) -> int:
    """Products with a weight, by the shape of what its filters go over.

    That is the output, (batch, filters, ...), of weights (filters, ...), or
    the input, (batch, channels, ...), of transposed ones, (channels, ...).
    """
    return math.prod(places) * math.prod(weight[1:])


def _symbol_macs(call: _Call) -> int:
    """Those of the operators inside a SymbolBlock."""
    inputs, outputs = call.block._cached_graph
    inside = outputs.get_internals()
    _, found, _ = inside.infer_shape(
        **{x.name: shape for x, shape in zip(inputs, call.inputs)})
    shapes = dict(zip(inside.list_outputs(), found))
    kinds = {node["name"]: node["op"]
             for node in json.loads(outputs.tojson())["nodes"]}
    macs = 0
    for node in inside:
        kind = kinds[node.name]
        if kind in ("Convolution", "Deconvolution", "FullyConnected"):
            data, weight, *_ = node.get_children().list_outputs()
            (output,) = node.list_outputs()
            macs += _products(
                shapes[data if kind == "Deconvolution" else output],
                shapes[weight])
    return macs


def _blocks(block: gluon.Block) -> Iterator[gluon.Block]:
    yield block
    for child in block._children.values():
        yield from _blocks(child)


def _parameters(net: gluon.Block) -> list[gluon.Parameter]:
    """All that `net` has, each once."""
    return list({id(parameter): parameter for block in _blocks(net)
                 for parameter in (*block._reg_params.values(),
                                   *block.params.values())}.values())


@contextlib.contextmanager
def _restored(net: gluon.Block) -> Iterator[None]:
    """Give every block and parameter its attributes back in the end."""
    before = [(owner, dict(vars(owner)))
              for owner in (*_blocks(net), *_parameters(net))]
    try:
        yield
    finally:
        for owner, attributes in before:
            vars(owner).clear()
            vars(owner).update(attributes)


def _run(net: gluon.Block, X: Any) -> list[_Call]:
    """Apply `net` to `X`; note each layer's output as it appears.

    The network runs layer by layer even where it is hybridized, the
    reader's hooks stay silent, and parameters that wait for their shapes
    draw no random numbers.
    """
    calls: list[_Call] = []
    paths: dict[gluon.Block, str] = {}
    for path, block in _layers(net):  # a shared layer appears repeatedly
        paths.setdefault(block, path)

    def note(block: gluon.Block, inputs: Any, output: Any) -> None:
        while isinstance(output, (list, tuple)) and output:
            output = output[0]
        # A block may call its layers with symbols to infer their shapes.
        if isinstance(output, type(X)):
            calls.append(_Call(paths[block], block, tuple(
                x for x in inputs if isinstance(x, type(X))), output))

    for block in _blocks(net):
        vars(block).update(
            _active=False, _forward_pre_hooks={},
            _forward_hooks={0: note} if block in paths else {})
    for parameter in _parameters(net):
        if parameter._deferred_init:
            _, ctx, _, data = parameter._deferred_init
            parameter._deferred_init = "zeros", ctx, "zeros", data
    with contextlib.redirect_stdout(io.StringIO()), \
            mx.name.NameManager(), autograd.pause():  # MXNet prints errors
        net(X)
    return calls


def _symbolic(net: gluon.Block, input_shape: Shape
              ) -> tuple[list[_Call], dict[str, Shape]] | None:
    """Calls, in shapes, and parameters' shapes: nothing is computed.

    None: the network needs real arrays, or its shapes follow from them.
    """
    X = mx.sym.var("data")
    try:
        calls = _run(net, X)
    except Exception:  # of any kind, for Python wants the array itself
        return None
    tensors = [X[0], *(tensor[0] for call in calls
                       for tensor in (*call.inputs, call.output))]
    group = mx.sym.Group(tensors)
    try:
        with contextlib.redirect_stdout(io.StringIO()), \
                warnings.catch_warnings():  # MXNet prints, and warns of None
            warnings.simplefilter("ignore")
            arg_shapes, out_shapes, aux_shapes = group.infer_shape(
                data=input_shape)
    except mx.base.MXNetError as error:
        raise _shape_error(input_shape, error) from None
    if out_shapes is None:
        return None
    parameters = dict(zip(group.list_arguments(), arg_shapes))
    parameters.update(zip(group.list_auxiliary_states(), aux_shapes))
    shapes = iter(out_shapes[1:])
    return [_Call(call.path, call.block,
                  tuple(next(shapes) for _ in call.inputs), next(shapes))
            for call in calls], parameters


def _imperative(net: gluon.Block, input_shape: Shape
                ) -> tuple[list[_Call], dict[str, Shape]]:
    """The same from a forward pass, for blocks that need real arrays."""
    parameters = _parameters(net)
    try:
        ctx = [parameter.list_ctx()[0] for parameter in parameters]
    except RuntimeError:
        raise ValueError("This network cannot be traced: initialise it "
                         "(net.initialize()) before its summary.") from None
    X = mx.nd.zeros(input_shape, ctx[0] if ctx else mx.cpu(),
                    parameters[0].dtype if ctx else "float32")
    try:
        calls = _run(net, X)
    except (mx.base.MXNetError, ValueError) as error:
        if isinstance(error, ValueError) and not str(error).startswith(
                "Deferred initialization failed"):  # the reader's own
            raise
        raise _shape_error(input_shape, error) from None
    return [_Call(call.path, call.block,
                  tuple(x.shape for x in call.inputs), call.output.shape)
            for call in calls], {
                # Of a SymbolBlock's parameters only the values have a shape.
                p.name: p._data[0].shape for p in parameters if p._data}


def _shape_error(input_shape: Shape, error: Exception) -> ValueError:
    reason = str(error).strip().splitlines()[-1]
    return ValueError(f"An input of shape {input_shape} does not fit the "
                      f"network: {reason}")


def summary(net: gluon.Block, input_shape: Shape) -> Summary:
    """Layers of `net` with output shape, parameters and operations.

    A network that can be traced is not run: it need not be initialised, and
    no size is too large. Any other, initialised, runs forward once on zeros.
    Either way it stays as it was, down to its hooks and the shapes that its
    parameters wait for, and no random number is drawn.

    Args:
        net: The network.
        input_shape: Shape of one batch, the batch size first: (1, channels,
            height, width) gives the operations of one image.

    Returns:
        The table; it prints as text, and has `layers`, `parameters` and
        `macs`. A row comes when its output is there: that of a block with
        parameters of its own follows those of the layers inside.
        Multiply-accumulates are those of convolutions, transposed
        convolutions and dense layers, without the bias; those with the
        zeros of a padding, or that a transposed convolution crops, count.

    Raises:
        ValueError: The shape is no shape, or does not fit the network; the
            network has several inputs; the network can be neither traced
            nor, for it is not initialised, run; a layer that has parameters
            was not reached; or a parameter that is not used has no shape.
        RuntimeError: ``mx.npx.set_np()`` is on.
    """
    if not (isinstance(input_shape, (tuple, list)) and input_shape and all(
            isinstance(size, int) and size > 0 for size in input_shape)):
        raise ValueError("input_shape must be a tuple of positive sizes, "
                         f"batch size first; this is {input_shape!r}.")
    check_arrays()
    shape = tuple(input_shape)
    _check_one_input(net)
    found = None
    with _restored(net):
        if all(isinstance(block, (nn.HybridBlock, nn.Sequential))
               for block in _blocks(net)):
            found = _symbolic(net, shape)
    with _restored(net):
        calls, shapes = found or _imperative(net, shape)
    _check_reached(net, [call.block for call in calls])
    layers, counted = [], set()
    for call in calls:
        parameters = 0
        for parameter in call.block._reg_params.values():
            if parameter.grad_req != "null" and parameter.name not in counted:
                counted.add(parameter.name)
                parameters += math.prod(_shape(parameter, shapes))
        layers.append(Layer(_title(call.path, call.block), call.output,
                            parameters, _macs(call, shapes)))
    return Summary(shape, tuple(layers))


def _check_one_input(net: gluon.Block) -> None:
    first = net
    while (type(first) in (nn.Sequential, nn.HybridSequential)
           and first._children):
        first = next(iter(first._children.values()))
    if isinstance(first, gluon.SymbolBlock):
        names = [symbol.name for symbol in first._cached_graph[0]]
    else:
        kind = type(first)
        method = (
            first.__call__ if kind.__call__ is not gluon.Block.__call__
            else first.hybrid_forward
            if kind.forward is gluon.HybridBlock.forward else first.forward)
        names = [name for name, parameter in
                 inspect.signature(method).parameters.items()
                 if parameter.default is parameter.empty
                 and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
                 and name not in first._reg_params]
        if method.__name__ == "hybrid_forward":
            names = names[1:]  # F
    if len(names) > 1:
        raise ValueError(
            f"summary shows networks of one input; {type(first).__name__} "
            f"has {len(names)}, {', '.join(names)}. Its parts can be shown "
            "one by one.")


def _check_reached(net: gluon.Block, seen: list[gluon.Block]) -> None:
    reached = {id(block) for block in seen}
    missed = [path for path, block in _layers(net)
              if block._reg_params and id(block) not in reached]
    if missed:
        raise ValueError(
            f"The forward pass did not call {', '.join(missed)}.")
