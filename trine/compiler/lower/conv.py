"""Lowering of convolutions to commands: layouts and packed weights where they are needed, then one direct kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from trine import dtypes
from trine.compiler.lower import winograd
from trine.compiler.lower.conv_geometry import AxisGeometry, ConvAttributes, forward_axis, input_grad_axis, spatial_shape
from trine.compiler.lower.conv_half import lower_in_float32
from trine.compiler.lower.conv_layout import Temporaries, is_channels_last, layout_command, to_channels_last
from trine.compiler.lower.conv_plan import ConvShape, plan_conv
from trine.compiler.lower.conv_pointwise import lower_pointwise, serves
from trine.compiler.lower.loop import lower_tile, tile_operands
from trine.compiler.nest import LoopNest
from trine.compiler.program import Command, Kernel, Operand, Value
from trine.compiler.target import Target
from trine.compiler.templates.conv_pack import pack_kernel
from trine.core.graph import Node
from trine.errors import UnsupportedError, message

__all__ = ["ConvAttributes", "lower_conv", "lower_conv_input_grad"]

_DTYPES = (dtypes.float32, dtypes.float64)


def lower_conv(
    target: Target, x: Value, w: Value, y: Value, attrs: ConvAttributes, temporaries: Temporaries, threads: int = 1,
    epilogue: LoopNest | None = None, nodes: tuple[Node, ...] = (),
) -> list[Command]:  # fmt: skip
    """Return the commands of ``y = conv(x, w)``.

    Args:
        target: what to compile for.
        x, y: (N, C, *spatial) and (N, O, *outputs), channels-last or row-major in memory; row-major ones cost a transpose.
        w: (O, C / groups, *kernel), row-major.
        attrs: stride, padding, dilation, groups.
        temporaries: makes a row-major temporary of a shape and dtype.
        threads: number of worker threads; results do not depend on it.
        epilogue: an elementwise nest over (N, *outputs, O), applied to rows of y right after they are computed; its access 0 is y. y must
            be channels-last then.
        nodes: graph nodes that the commands compute.

    Raises:
        UnsupportedError: a dtype that is not floating point, an empty contraction, or an epilogue of a row-major or half y.
    """
    if serves(w, attrs, w.shape[1], x, y) and (epilogue is None or is_channels_last(y)):
        return lower_pointwise(target, x, w, y, temporaries, threads, nodes, transposed=False, epilogue=epilogue)
    if y.dtype.is_half and epilogue is None:

        def lower(inputs: Sequence[Value], output: Value) -> list[Command]:
            return lower_conv(target, inputs[0], inputs[1], output, attrs, temporaries, threads, nodes=nodes)

        return lower_in_float32(target, lower, (x, w), y, temporaries, threads, nodes)
    check_supported("conv", x, w, y)
    shape = _forward_shape(x.shape, w.shape, y.shape, attrs)
    return _lower(target, "conv", x, w, y, attrs, shape, temporaries, nodes, epilogue)


def lower_conv_input_grad(
    target: Target, gy: Value, w: Value, gx: Value, attrs: ConvAttributes, temporaries: Temporaries, threads: int = 1,
    epilogue: LoopNest | None = None, nodes: tuple[Node, ...] = (),
) -> list[Command]:  # fmt: skip
    """Return the commands of ``gx = conv_input_grad(gy, w)``; arguments and errors as for `lower_conv`."""
    if serves(w, attrs, w.shape[0], gy, gx) and (epilogue is None or is_channels_last(gx)):
        return lower_pointwise(target, gy, w, gx, temporaries, threads, nodes, transposed=True, epilogue=epilogue)
    if gx.dtype.is_half and epilogue is None:

        def lower(inputs: Sequence[Value], output: Value) -> list[Command]:
            return lower_conv_input_grad(target, inputs[0], inputs[1], output, attrs, temporaries, threads, nodes=nodes)

        return lower_in_float32(target, lower, (gy, w), gx, temporaries, threads, nodes)
    check_supported("conv_input_grad", gy, w, gx)
    shape = _input_grad_shape(gy.shape, w.shape, gx.shape, attrs)
    return _lower(target, "conv_input_grad", gy, w, gx, attrs, shape, temporaries, nodes, epilogue)


def check_supported(name: str, x: Value, w: Value, y: Value) -> None:
    """Raise UnsupportedError unless there are native kernels for these operands."""
    if y.dtype not in _DTYPES or x.dtype is not y.dtype or w.dtype is not y.dtype:
        raise UnsupportedError(
            message(f"{name}: no native kernel for this dtype", received=y.dtype.name, expected="one floating-point dtype",
                    fix="the reference computes it on the host")
        )  # fmt: skip
    if 0 in x.shape or 0 in w.shape:
        raise UnsupportedError(message(f"{name}: an operand is empty", received=f"{x.shape} and {w.shape}", fix="the result is all zeros"))


@lru_cache(maxsize=1024)
def _forward_shape(x: tuple[int, ...], w: tuple[int, ...], y: tuple[int, ...], attrs: ConvAttributes) -> ConvShape:
    return _conv_shape(forward_axis, x, w, y, attrs, w[1], w[0] // attrs.groups, transposed=False)


@lru_cache(maxsize=1024)
def _input_grad_shape(gy: tuple[int, ...], w: tuple[int, ...], gx: tuple[int, ...], attrs: ConvAttributes) -> ConvShape:
    return _conv_shape(input_grad_axis, gy, w, gx, attrs, w[0] // attrs.groups, w[1], transposed=True)


def _conv_shape(
    make_axis: Callable[[int, int, int, int, int, int], AxisGeometry], x: tuple[int, ...], w: tuple[int, ...], y: tuple[int, ...],
    attrs: ConvAttributes, inputs: int, outputs: int, *, transposed: bool,
) -> ConvShape:  # fmt: skip
    spatial = attrs.spatial()
    taps, extents = spatial_shape(w), spatial_shape(y)
    low = (pair[0] for pair in spatial.padding)
    d, h, w_axis = (
        make_axis(*values) for values in zip(spatial_shape(x), extents, taps, spatial.stride, low, spatial.dilation, strict=True)
    )
    depthwise = attrs.groups > 1 and inputs == 1 and outputs == 1
    groups = 1 if depthwise else attrs.groups
    if depthwise:
        inputs = outputs = attrs.groups
    return ConvShape(x[0], groups, inputs, outputs, (d, h, w_axis), extents, taps, transposed, depthwise)


def _lower(
    target: Target, name: str, x: Value, w: Value, y: Value, attrs: ConvAttributes, shape: ConvShape, temporaries: Temporaries,
    nodes: tuple[Node, ...], epilogue: LoopNest | None = None,
) -> list[Command]:  # fmt: skip
    if 0 in y.shape:
        return []
    dtype = y.dtype
    is_last = is_channels_last(y)
    extra: list[Operand] = []
    entries: list[int | Kernel] = []
    if epilogue is not None:
        if not is_last:
            raise UnsupportedError(message(f"{name}: an epilogue needs a channels-last result", fix="lower it as a command of its own"))
        if any(len(axis.phases) > 1 for axis in shape.axes):
            raise UnsupportedError(
                message(f"{name}: no epilogue where a stride cuts the result in interleaved parts", fix="lower it apart")
            )
        function, integers = lower_tile(epilogue)
        extra, entries, nodes = tile_operands(epilogue), [*integers, function], nodes + epilogue.nodes
    commands: list[Command] = []
    x_last = to_channels_last(target, x, temporaries, commands, nodes)
    y_last = y if is_last else temporaries((y.shape[0], *y.shape[2:], y.shape[1]), dtype)
    if winograd.serves(w, attrs, x, y):
        commands += winograd.lower_winograd(target, name, x_last, w, y_last, shape, temporaries, nodes, (extra, entries))
        if y_last is not y:
            commands.append(layout_command(target, y_last, y, y.shape, nodes, to_channels_first=True))
        return commands
    plan = plan_conv(target, dtype, shape, 2 * len(extra) + len(entries))
    packed = temporaries(plan.packed_shape, dtype)
    commands.append(
        Command(
            pack_kernel(dtype), [Operand(w), Operand(packed, access="w")], list(plan.pack_params), plan.packed_shape[0],
            cost=w.nbytes + packed.nbytes, name=f"{name}.pack", nodes=nodes, is_preparation=True,
        )
    )  # fmt: skip
    commands.append(
        Command(
            plan.kernel, [Operand(x_last), Operand(packed), Operand(y_last, access="w"), *extra], [*entries, *plan.params], plan.units,
            cost=plan.cost, scratch=plan.scratch, name=name, nodes=nodes,
        )
    )  # fmt: skip
    if y_last is not y:
        commands.append(layout_command(target, y_last, y, y.shape, nodes, to_channels_first=True))
    return commands
