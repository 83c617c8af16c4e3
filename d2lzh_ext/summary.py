"""A table of a network's layers: output shapes, parameters, operations."""
from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import mxnet as mx
from mxnet import autograd, gluon
from mxnet.gluon import nn

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
        widths = [max(map(len, column)) for column in zip(*rows)]
        lines = ["  ".join((name.ljust(widths[0]), shape.ljust(widths[1]),
                            parameters.rjust(widths[2]),
                            macs.rjust(widths[3]))).rstrip()
                 for name, shape, parameters, macs in rows]
        rule = "-" * (sum(widths) + 6)
        lines[1:1] = [rule]
        lines[-1:-1] = [rule]
        return "\n".join(lines)

    __repr__ = __str__


def _leaves(block: gluon.Block, path: str = ""
            ) -> Iterator[tuple[str, gluon.Block]]:
    """Layers to show: those that own parameters or contain no others.

    A Conv2D or Dense with an activation contains it; one row shows both.
    """
    if block._reg_params or not block._children:
        yield path, block
        return
    for name, child in block._children.items():
        yield from _leaves(child, f"{path}.{name}" if path else name)


def _title(path: str, block: gluon.Block) -> str:
    title = f"{path} {type(block).__name__}".strip()
    activation = getattr(block, "act", None)
    if isinstance(block, nn.Activation):
        activation = block
    if isinstance(activation, nn.Activation):
        title += f" ({activation._act_type})"
    return title


def _macs(block: gluon.Block, weight: Shape, output: Shape) -> int:
    """Multiply-accumulates of one layer, by the shapes of its arrays."""
    if isinstance(block, nn.Dense):  # weight: (outputs, inputs)
        return math.prod(output) * weight[1]
    if isinstance(block, (nn.Conv1DTranspose, nn.Conv2DTranspose,
                          nn.Conv3DTranspose)):
        # Each place of the input meets every weight once.
        return output[0] * _places_before(block, output) * math.prod(weight)
    if isinstance(block, nn.conv_layers._Conv):
        # weight: (outputs, inputs of a group, height, width)
        return math.prod(output) * weight[1] * math.prod(weight[2:])
    return 0


def _places_before(block: Any, output: Shape) -> int:
    """Places of the map (height × width) that a transposed convolution got.

    The sizes before it follow from those after it: the formula of a
    convolution's output size, from output to input.
    """
    options = block._kwargs
    sizes = [size for axis, size in zip(options["layout"], output)
             if axis in "DHW"]
    return math.prod(
        (size + 2 * padding - adj - (kernel - 1) * dilation - 1) // stride + 1
        for size, kernel, stride, padding, dilation, adj in zip(
            sizes, *(options[name] for name in (
                "kernel", "stride", "pad", "dilate", "adj"))))


def _run(net: gluon.Block, X: Any) -> list[tuple[str, gluon.Block, Any]]:
    """Apply `net` to `X`; note each layer's output as it appears."""
    seen: list[tuple[str, gluon.Block, Any]] = []
    paths: dict[gluon.Block, str] = {}
    for path, block in _leaves(net):  # a shared layer appears repeatedly
        paths.setdefault(block, path)

    def note(block: gluon.Block, _: Any, output: Any) -> None:
        first = output[0] if isinstance(output, (list, tuple)) else output
        # Hybridized parts call their layers with symbols, to compile them.
        if isinstance(first, type(X)):
            seen.append((paths[block], block, first))

    hooks = [block.register_forward_hook(note) for block in paths]
    try:
        with autograd.pause():
            net(X)
    finally:
        for hook in hooks:
            hook.detach()
    return seen


def _symbolic(net: gluon.Block, input_shape: Shape
              ) -> tuple[list[tuple[str, gluon.Block, Shape]],
                         dict[str, Shape]]:
    """Outputs and parameters by shape inference: nothing is computed."""
    seen = _run(net, mx.sym.var("data"))
    outputs = mx.sym.Group([output[0] for _, _, output in seen])
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # MXNet prints
            arg_shapes, out_shapes, aux_shapes = outputs.infer_shape(
                data=input_shape)
    except mx.base.MXNetError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ValueError(f"An input of shape {input_shape} does not fit the "
                         f"network: {reason}") from None
    parameters = dict(zip(outputs.list_arguments(), arg_shapes))
    parameters.update(zip(outputs.list_auxiliary_states(), aux_shapes))
    return ([(path, block, tuple(shape))
             for (path, block, _), shape in zip(seen, out_shapes)],
            parameters)


def _imperative(net: gluon.Block, input_shape: Shape
                ) -> tuple[list[tuple[str, gluon.Block, Shape]],
                           dict[str, Shape]]:
    """The same from a forward pass, for blocks that need real arrays."""
    try:
        seen = _run(net, mx.nd.zeros(input_shape))
    except (RuntimeError, gluon.parameter.DeferredInitializationError):
        raise ValueError("This network is not hybridizable: initialise it "
                         "(net.initialize()) before its summary.") from None
    return ([(path, block, tuple(output.shape))
             for path, block, output in seen],
            {p.name: p.shape for p in net.collect_params().values()})


def summary(net: gluon.Block, input_shape: Shape) -> Summary:
    """Layers of `net` with output shape, parameters and operations.

    A hybridizable network is only traced: it need not be initialised, its
    parameters stay as they are, and no size is too large. Any other block
    runs forward once on zeros.

    Args:
        net: The network.
        input_shape: Shape of one batch, the batch size first: (1, channels,
            height, width) gives the operations of one image.

    Returns:
        The table; it prints as text, and has `layers`, `parameters` and
        `macs`. Multiply-accumulates are those of convolutions, transposed
        convolutions and dense layers, without the bias; those with the
        zeros of a padding, or that a transposed convolution crops, count.

    Raises:
        ValueError: The shape is no shape, or does not fit the network; the
            network is not hybridizable and not initialised; or a layer that
            has parameters was not reached.
    """
    if not (isinstance(input_shape, (tuple, list)) and input_shape and all(
            isinstance(size, int) and size > 0 for size in input_shape)):
        raise ValueError("input_shape must be a tuple of positive sizes, "
                         f"batch size first; this is {input_shape!r}.")
    shape = tuple(input_shape)
    hybrid = all(isinstance(block, (nn.HybridBlock, nn.Sequential))
                 for block in _walk(net))
    seen, shapes = (_symbolic if hybrid else _imperative)(net, shape)
    _check_reached(net, [block for _, block, _ in seen])
    layers, counted = [], set()
    for path, block, output in seen:
        parameters = 0
        for parameter in block._reg_params.values():
            if parameter.grad_req != "null" and parameter.name not in counted:
                counted.add(parameter.name)
                parameters += math.prod(shapes[parameter.name])
        weight = block._reg_params.get("weight")
        macs = (_macs(block, shapes[weight.name], output)
                if weight is not None else 0)
        layers.append(Layer(_title(path, block), output, parameters, macs))
    return Summary(shape, tuple(layers))


def _walk(block: gluon.Block) -> Iterator[gluon.Block]:
    yield block
    for child in block._children.values():
        yield from _walk(child)


def _check_reached(net: gluon.Block, seen: list[gluon.Block]) -> None:
    reached = {id(block) for block in seen}
    missed = [path for path, block in _leaves(net)
              if block._reg_params and id(block) not in reached]
    if missed:
        raise ValueError(
            f"The forward pass did not call {', '.join(missed)}. If parts of "
            "the network are hybridized, call net.hybridize(False) first.")
