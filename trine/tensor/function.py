"""Custom differentiable functions, and the `grad_fn` of a tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from trine.errors import GradientError, message
from trine.tensor import recorder
from trine.tensor.alias import gradient_leaf, is_leaf, take_value
from trine.tensor.fragment import FlushedCut, modified_in_place
from trine.tensor.recorder import local, record
from trine.tensor.tensor import Tensor

if TYPE_CHECKING:
    from trine.tensor.backward import Pass


class Cut:
    """Where a custom function's backward takes over from the recorded gradient: one result of the function."""

    __slots__ = ("call", "index")

    def __init__(self, call: Call, index: int) -> None:
        self.call = call
        self.index = index

    def backward(self, slot: int | None, value: Tensor, run: Pass) -> list[tuple[Tensor, Tensor]]:
        """Return (tensor, gradient) pairs for the function's operands, given the gradient of this result.

        Gradients that already wait at the other results of the same call are used together with it.
        """
        gradients: list[Tensor | None] = [None] * self.call.num_outputs
        gradients[self.index] = value
        if slot is not None:
            for other, cut in run.cuts.items():
                if cut.call is self.call and other in run.waiting:
                    gradients[cut.index] = run.waiting.pop(other)
        return self.call.backward(gradients, run.retain_graph)


class Call:
    """One application of a custom function."""

    __slots__ = ("name", "rule", "operands", "num_outputs", "metas", "freed", "materialize")

    def __init__(self, name: str, rule: Callable[..., Any], operands: list[Any], metas: list[Any], materialize: bool) -> None:
        self.name = name
        self.rule = rule
        self.operands = operands
        self.num_outputs = len(metas)
        self.metas = metas
        self.materialize = materialize

    def backward(self, gradients: list[Tensor | None], retain_graph: bool) -> list[tuple[Tensor, Tensor]]:
        """Call the user's rule."""
        if self.materialize:
            gradients = [_zeros(m) if g is None and m is not None else g for g, m in zip(gradients, self.metas, strict=True)]
        results = self.rule(*gradients)
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
            if result._meta.shape != operand._meta.shape:
                received = f"a gradient of shape {result._meta.shape}"
                expected = f"shape {operand._meta.shape}, that of the argument"
                raise GradientError(message(f"{self.name}.backward returned a wrong shape", received=received, expected=expected))
            pairs.append((operand, result))
        return pairs


def _zeros(meta: Any) -> Tensor:
    from trine.tensor.convert import tensor

    zeros: Tensor = tensor(0, dtype=meta.dtype).expand(meta.shape)
    return zeros


def _version_of(tensor: Tensor | None) -> tuple[int, int]:
    """Return the number of writes to a tensor, and of those through any of its views."""
    if tensor is None:
        return 0, 0
    return tensor._version, 0 if tensor._alias is None else tensor._alias.version


class FunctionContext:
    """What `forward` hands to `backward`: saved tensors and any attribute that is set on it."""

    def __init__(self, needs_input_grad: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs_input_grad
        self._saved: tuple[Tensor | None, ...] = ()
        self._versions: tuple[tuple[int, int], ...] = ()
        self._non_differentiable: set[int] = set()
        self._materialize = True

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for `backward`; changing one in place afterwards is an error there."""
        self._saved = tensors

    def _seal(self) -> None:
        self._versions = tuple(_version_of(t) for t in self._saved)

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """The tensors given to `save_for_backward`.

        Raises:
            InPlaceError: if one was changed in place since.
        """
        from trine.core.graph import Node

        for tensor, version in zip(self._saved, self._versions, strict=True):
            if tensor is not None and _version_of(tensor) != version:
                raise modified_in_place(Node("saved tensor", (), (), tensor._meta.shape, tensor._meta.dtype))
        return self._saved

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Say that these results get no gradient."""
        self._non_differentiable |= {id(t) for t in tensors}

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Say that these arguments were changed in place (accepted; writes are tracked anyway)."""

    def set_materialize_grads(self, value: bool) -> None:
        """Say whether a missing gradient arrives in `backward` as zeros (default) or None."""
        self._materialize = value


class Function:
    """Base of a differentiable operation with its own backward rule.

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

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run the function on its arguments."""
        needs = tuple(isinstance(a, Tensor) and a._meta.requires_grad for a in args)
        ctx = FunctionContext(needs)
        enabled = recorder.local.grad_enabled
        try:
            recorder.set_grad_enabled(False)
            if cls.setup_context is None:
                results = cls.forward(ctx, *args)
            else:
                results = cls.forward(*args)
                cls.setup_context(ctx, args, results)
        finally:
            recorder.set_grad_enabled(enabled)
        if enabled and any(needs):
            several = isinstance(results, tuple)
            outputs = list(results) if several else [results]
            outputs = [_own(o, args) for o in outputs]
            rule = lambda *gradients: cls.backward(ctx, *gradients)  # noqa: E731 - binds this call's context
            attach(cls.__name__, rule, list(args), outputs, ctx._non_differentiable, ctx._materialize)
            results = tuple(outputs) if several else outputs[0]
        ctx._seal()
        return results


def _own(output: Any, args: tuple[Any, ...]) -> Any:
    """A result that is an argument gets a handle of its own."""
    if isinstance(output, Tensor) and any(output is a for a in args):
        from trine.tensor.convert import snapshot

        return snapshot(output)
    return output


def attach(
    name: str, rule: Callable[..., Any], operands: list[Any], outputs: list[Any], excluded: set[int] | None = None, materialize: bool = True
) -> None:
    """Make `rule` the gradient of `outputs` with respect to `operands`."""
    metas = [o._meta if isinstance(o, Tensor) else None for o in outputs]
    call = Call(name, rule, operands, metas, materialize)
    for index, output in enumerate(outputs):
        if not isinstance(output, Tensor) or id(output) in (excluded or ()):
            continue
        if not (output._meta.dtype.is_floating_point or output._meta.dtype.is_complex):
            continue
        value = record(gradient_leaf, (output,))
        output._alias = None
        take_value(output, value)
        if output._trace is None:  # it is there already
            output._fragment = (FlushedCut(Cut(call, index)), 0)
        else:
            local.trace.cuts[output._slot] = Cut(call, index)


def once_differentiable(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator of a `backward` that is not itself differentiable."""

    def wrapper(ctx: Any, *gradients: Any) -> Any:
        enabled = recorder.set_grad_enabled(False)
        try:
            return function(ctx, *gradients)
        finally:
            recorder.set_grad_enabled(enabled)

    return wrapper


class GradFn:
    """Names the operation that computed a tensor."""

    def __init__(self, operation: str) -> None:
        self.operation = operation

    def name(self) -> str:
        """Return the name, such as ``MulBackward``."""
        return "".join(part.capitalize() for part in self.operation.split("_")) + "Backward"

    def __repr__(self) -> str:
        return f"<{self.name()}>"


def grad_fn_of(tensor: Tensor) -> GradFn | None:
    """Return what computed a tensor that requires grad, or None for a leaf."""
    if not tensor._meta.requires_grad or is_leaf(tensor):
        return None
    if tensor._trace is not None and not tensor._trace.closed:
        trace = tensor._trace
        cut = trace.cuts.get(tensor._slot)
        return GradFn(cut.call.name if cut is not None else trace.nodes()[tensor._slot].op)
    if tensor._fragment is not None:
        fragment, index = tensor._fragment
        if fragment.freed:
            return GradFn("freed")
        return GradFn(fragment.cut.call.name if isinstance(fragment, FlushedCut) else fragment.spec.outputs[index].op)
    return GradFn("unknown")
