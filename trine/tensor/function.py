"""Custom differentiable functions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from trine.core import build
from trine.errors import DTypeError, GradientError, InPlaceError, ShapeError, message
from trine.tensor import recorder
from trine.tensor.alias import gradient_leaf, is_leaf, share_value, take_value
from trine.tensor.fragment import CallPiece, second_backward
from trine.tensor.recorder import local, record
from trine.tensor.saved import SavedTensor
from trine.tensor.state import user_source
from trine.tensor.tensor import Tensor


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a custom function's backward takes over from the recorded gradient: one result of the function."""

    call: Call
    index: int


class Call:
    """One application of a custom function.

    Attributes:
        name: of the function. rule: from the gradients of the results to those of the operands; None once it was given up.
        operands: its arguments. metas: Meta of each result, or None. materialize: whether missing gradients arrive as zeros.
        piece: where the gradients of the results meet. source: the user's line, in anomaly mode. context: what the rule keeps.
    """

    __slots__ = ("name", "rule", "operands", "metas", "materialize", "piece", "source", "context")

    def __init__(
        self,
        name: str,
        rule: Callable[..., Any],
        operands: list[Any],
        metas: list[Any],
        materialize: bool,
        keeps: bool = True,
        context: FunctionContext | None = None,
    ) -> None:
        self.name = name
        self.rule: Callable[..., Any] | None = rule
        self.operands = operands
        self.metas = metas
        self.materialize = materialize
        self.piece = CallPiece(self, keeps)
        self.context = context
        self.source: str | None = None

    def release(self) -> None:
        """Give up the rule and what it saved."""
        self.rule = None
        self.operands = []
        if self.context is not None:
            self.context._release()

    def backward(self, gradients: Mapping[int, Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Return (operand, gradient) pairs, given the gradients of some results by number: calls the user's rule.

        Raises:
            GradientError: the rule returned the wrong number of gradients, or one of a wrong shape.
        """
        if self.rule is None:
            raise second_backward()
        results = self.rule(*[self._gradient(gradients.get(i), meta) for i, meta in enumerate(self.metas)])
        results = list(results) if isinstance(results, tuple | list) else [results]
        if len(results) < len(self.operands) or any(r is not None for r in results[len(self.operands) :]):
            raise GradientError(
                message(
                    f"{self.name}.backward returned the wrong number of gradients",
                    received=len(results),
                    expected=f"{len(self.operands)}, one for each argument of forward (None where there is none)",
                )
            )
        pairs = []
        for operand, result in zip(self.operands, results, strict=False):
            if result is None or not isinstance(operand, Tensor) or not operand._meta.requires_grad:
                continue
            pairs.append((operand, self._fitted(result, operand)))
        return pairs

    def _gradient(self, gradient: Tensor | None, meta: Any) -> Tensor | None:
        return _zeros(meta) if gradient is None and meta is not None and self.materialize else gradient

    def _fitted(self, result: Any, operand: Tensor) -> Tensor:
        """Return a gradient in the shape and dtype of its operand (it may have been broadcast)."""
        if not isinstance(result, Tensor):
            received = type(result).__name__
            raise GradientError(message(f"{self.name}.backward returned no tensor", received=received, expected="a Tensor or None"))
        if result._meta.shape != operand._meta.shape:
            try:
                result = record(build.sum_to, (result,), operand._meta.shape)
            except ShapeError:
                received = f"a gradient of shape {result._meta.shape}"
                expected = f"shape {operand._meta.shape}, that of the argument"
                raise GradientError(message(f"{self.name}.backward returned a wrong shape", received=received, expected=expected)) from None
        if result._meta.dtype is not operand._meta.dtype:
            result = result.to(operand._meta.dtype)
        return result  # type: ignore[no-any-return]


def _zeros(meta: Any) -> Tensor:
    from trine.tensor.convert import tensor

    zeros: Tensor = tensor(0, dtype=meta.dtype).expand(meta.shape)
    return zeros


class FunctionContext:
    """What `forward` hands to `backward`: saved tensors and any attribute that is set on it.

    Attributes:
        needs_input_grad: for each argument, whether its gradient is asked for.
    """

    def __init__(self, needs_input_grad: tuple[bool, ...] = ()) -> None:
        self.needs_input_grad = needs_input_grad
        self._saved: tuple[Tensor | None, ...] = ()
        self._for_forward: tuple[Tensor | None, ...] = ()
        self._held: tuple[SavedTensor, ...] = ()
        self._non_differentiable: set[int] = set()
        self._dirty: set[int] = set()
        self._materialize = True
        self._is_released = False

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for `backward`; changing one in place afterwards is an error there."""
        for tensor in tensors:
            if tensor is not None and not isinstance(tensor, Tensor):
                received, fix = type(tensor).__name__, "set other values as attributes of ctx"
                raise DTypeError(message("save_for_backward: not a tensor", received=received, expected="Tensors or None", fix=fix))
        self._saved = tensors

    def save_for_forward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for `jvp`."""
        self._for_forward = tensors

    def _seal(self) -> None:
        self._held = tuple(SavedTensor(t) for t in self._saved)
        self._saved = ()

    def _release(self) -> None:
        self._held, self._is_released = (), True

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """The tensors given to `save_for_backward`.

        Raises:
            InPlaceError: one was changed in place since. GradientError: an earlier backward pass gave them up.
        """
        if self._is_released:
            raise second_backward()
        if self._saved:
            return self._saved
        if not self._held and self._for_forward:
            return self._for_forward
        return tuple(held.value() for held in self._held)

    @property
    def saved_for_forward(self) -> tuple[Tensor | None, ...]:
        """The tensors given to `save_for_forward`."""
        return self._for_forward

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Say that these results get no gradient."""
        self._non_differentiable |= {id(t) for t in tensors}

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Say that these arguments were changed in place; they are results too."""
        self._dirty |= {id(t) for t in tensors}

    def set_materialize_grads(self, value: bool) -> None:
        """Say whether a missing gradient arrives in `backward` as zeros (default) or None."""
        self._materialize = value


class Function:
    """Base of a differentiable operation with its own backward rule.

    A class defines the static methods `forward(ctx, *args)`, or `forward(*args)` with `setup_context(ctx, inputs, output)`, and
    `backward(ctx, *gradients)`; `jvp(ctx, *tangents)` for forward mode (without it, the operations of `forward` are differentiated),
    and `vmap(info, in_dims, *args)` for batches (without it, `forward` and `backward` are batched).

    >>> import trine
    >>> class Square(trine.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x
    ...     @staticmethod
    ...     def backward(ctx, gradient):
    ...         (x,) = ctx.saved_tensors
    ...         return gradient * 2 * x
    >>> x = trine.tensor(3.0, requires_grad=True)
    >>> Square.apply(x).backward()
    >>> x.grad.item()
    6.0
    """

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    setup_context: Callable[..., Any] | None = None
    jvp: Callable[..., Any] | None = None
    vmap: Callable[..., Any] | None = None
    generate_vmap_rule = False

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run the function on its arguments.

        Raises:
            InPlaceError: `forward` wrote to a leaf that requires grad (`mark_dirty`).
        """
        return apply_function(cls, args, kwargs)[0]


def apply_function(cls: type[Function], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, FunctionContext]:
    """Apply a function, by the rules of the transformation that the program is inside of; also return the context."""
    if local.levels:
        handled: tuple[Any, FunctionContext] | None = local.levels[-1].apply(cls, args, kwargs)
        if handled is not None:
            return handled
    return _apply(cls, args, kwargs)


def _apply(cls: type[Function], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, FunctionContext]:
    """Run `forward`, and make `backward` the gradient of its results; also return the context."""
    needs = tuple(isinstance(a, Tensor) and a._meta.requires_grad for a in args)
    ctx = FunctionContext(needs)
    enabled = local.grad_enabled
    former = [share_value(a) if isinstance(a, Tensor) and enabled and a._meta.requires_grad and not is_leaf(a) else a for a in args]
    try:
        recorder.set_grad_enabled(False)
        if cls.setup_context is None:
            results = cls.forward(ctx, *args, **kwargs)
        else:
            results = cls.forward(*args, **kwargs)
            cls.setup_context(ctx, args, results)
    finally:
        recorder.set_grad_enabled(enabled)
    if enabled and any(needs):
        several = isinstance(results, tuple)
        outputs = [_own(o, args, ctx._dirty) for o in (results if several else (results,))]
        operands = list(args)
        for i, argument in enumerate(args):
            if id(argument) in ctx._dirty:
                if former[i] is argument:
                    _refuse_dirty_leaf(cls, argument)
                operands[i] = former[i]
        ctx._seal()
        rule = lambda *gradients: cls.backward(ctx, *gradients)  # noqa: E731 - binds this call's context
        excluded = ctx._non_differentiable
        attach(cls.__name__, rule, operands, outputs, excluded, ctx._materialize, keeps=bool(ctx._held), context=ctx)
        results = tuple(outputs) if several else outputs[0]
    else:
        ctx._seal()
    return results, ctx


def _refuse_dirty_leaf(cls: type[Function], argument: Any) -> None:
    if isinstance(argument, Tensor) and argument._meta.requires_grad:
        what, fix = f"{cls.__name__}: in-place write to a leaf tensor that requires grad", "write to a clone()"
        raise InPlaceError(message(what, received="a leaf in mark_dirty", fix=fix))


def _own(output: Any, args: tuple[Any, ...], dirty: set[int]) -> Any:
    """A result that is an argument gets a handle of its own, unless it was written."""
    if isinstance(output, Tensor) and id(output) not in dirty and any(output is a for a in args):
        from trine.tensor.convert import snapshot

        return snapshot(output)
    return output


def attach(
    name: str,
    rule: Callable[..., Any],
    operands: list[Any],
    outputs: list[Any],
    excluded: set[int] | None = None,
    materialize: bool = True,
    *,
    keeps: bool = True,
    context: FunctionContext | None = None,
) -> None:
    """Make `rule` the gradient of `outputs` with respect to `operands`.

    Args:
        name: of the function. rule: from the gradients of the outputs to those of the operands.
        excluded: ids of outputs that get no gradient. materialize: whether missing gradients arrive as zeros.
        keeps: whether the rule needs values that a backward pass without retain_graph gives up; context: holds them.
    """
    metas = [o._meta if isinstance(o, Tensor) else None for o in outputs]
    call = Call(name, rule, operands, metas, materialize, keeps, context)
    if local.anomaly is not None:
        call.source = user_source()
    for index, output in enumerate(outputs):
        if not isinstance(output, Tensor) or id(output) in (excluded or ()):
            continue
        if not (output._meta.dtype.is_floating_point or output._meta.dtype.is_complex):
            continue
        value = record(gradient_leaf, (output,))
        output._alias = None
        take_value(output, value)
        if output._trace is None:  # it is there already
            output._fragment = (call.piece, index)
        else:
            local.trace.cuts[output._slot] = Cut(call, index)


def once_differentiable(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator of a `backward` that is not itself differentiable: differentiating its results is an error."""

    @functools.wraps(function)
    def wrapper(ctx: Any, *gradients: Any) -> Any:
        enabled = recorder.set_grad_enabled(False)
        try:
            results = function(ctx, *gradients)
        finally:
            recorder.set_grad_enabled(enabled)
        operands = [g for g in gradients if isinstance(g, Tensor) and g._meta.requires_grad]
        if not enabled or not operands:
            return results
        several = isinstance(results, tuple)
        outputs = [_own(o, gradients, set()) for o in (results if several else (results,))]
        attach("once_differentiable", _refuse_second, operands, outputs)
        return tuple(outputs) if several else outputs[0]

    return wrapper


def _refuse_second(*_: Any) -> Any:
    what = "backward: trying to differentiate twice a function that was marked with @once_differentiable"
    raise GradientError(message(what, received="a gradient of its gradient", fix="write its backward with differentiable operations only"))
