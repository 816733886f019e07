"""Custom functions inside of transformations: their own `vmap` and `jvp`, and what is done without."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from trine.errors import ArgumentError, message
from trine.tensor.function import Call, Cut, FunctionContext, apply_function, attach
from trine.tensor.levels import JvpLevel, VmapLevel, outside_of
from trine.tensor.recorder import local
from trine.tensor.tensor import Tensor


class VmapInfo(NamedTuple):
    """What a custom function's `vmap` is told: the size of the batch and the randomness mode."""

    batch_size: int
    randomness: str


def apply_vmap(level: VmapLevel, cls: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, FunctionContext]:
    """Apply a function by its own `vmap(info, in_dims, *args)`, which returns (results, out_dims)."""
    tensors = [a for a in args if isinstance(a, Tensor)]
    batches = iter(level.batched(tensors))
    whole, in_dims = [], []
    for argument in args:
        over = next(batches) if isinstance(argument, Tensor) else None
        whole.append(argument if over is None else over)
        in_dims.append(None if over is None else 0)
    with outside_of(level):
        made = cls.vmap(VmapInfo(level.size, level.randomness), tuple(in_dims), *whole, **kwargs)
    if not isinstance(made, tuple) or len(made) != 2:
        raise ArgumentError(message(f"{cls.__name__}.vmap", received=type(made).__name__, expected="a tuple (results, out_dims)"))
    results, out_dims = made
    several = isinstance(results, tuple)
    values = list(results) if several else [results]
    dims = list(out_dims) if isinstance(out_dims, tuple | list) else [out_dims] * len(values)
    firsts = [v if d is None or not isinstance(v, Tensor) else v.movedim(d, 0) for v, d in zip(values, dims, strict=True)]
    outputs = [v if d is None or not isinstance(v, Tensor) else level.example(v) for v, d in zip(firsts, dims, strict=True)]
    ctx = FunctionContext(tuple(isinstance(a, Tensor) and a.requires_grad for a in args))
    if cls.setup_context is not None:
        cls.setup_context(ctx, args, tuple(outputs) if several else outputs[0])
    ctx._seal()
    if local.grad_enabled and any(ctx.needs_input_grad):
        rule = lambda *gradients: cls.backward(ctx, *gradients)  # noqa: E731 - binds this call's context
        attach(cls.__name__, rule, list(args), outputs, ctx._non_differentiable, ctx._materialize, keeps=False)
        for first, output, dim in zip(firsts, outputs, dims, strict=True):
            if dim is not None and isinstance(output, Tensor):  # over the batch, `vmap` has said how gradients flow
                level.pairs.append((output._slot, level.trace.slot_of(first)))
    return (tuple(outputs) if several else outputs[0]), ctx


def apply_jvp(level: JvpLevel, cls: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, FunctionContext]:
    """Apply a function and take its results' tangents from its own `jvp(ctx, *tangents)`."""
    tangents = iter(level.tangents([a for a in args if isinstance(a, Tensor)]))
    given = [next(tangents) if isinstance(a, Tensor) else None for a in args]
    with outside_of(level):
        results, ctx = apply_function(cls, args, kwargs)
        if all(t is None for t in given):
            return results, ctx
        made = cls.jvp(ctx, *given)
    several = isinstance(results, tuple)
    outputs = results if several else (results,)
    for output, tangent in zip(outputs, made if isinstance(made, tuple) else (made,), strict=True):
        if isinstance(output, Tensor) and tangent is not None:
            level.pairs.append((level.trace.slot_of(output), level.trace.slot_of(tangent)))
    return results, ctx


def batch_calls(level: VmapLevel) -> None:
    """Give the results of custom functions that were applied to examples their gradients over the batch: the rule, batched."""
    trace, known = level.trace, {slot for slot, _ in level.pairs}
    calls: dict[Call, dict[int, Cut]] = {}
    for slot, cut in trace.cuts.items():
        if slot >= level.start and slot not in known:
            calls.setdefault(cut.call, {})[slot] = cut
    for call, slots in calls.items():
        _batch_call(level, call, slots)


def _batch_call(level: VmapLevel, call: Call, slots: dict[int, Cut]) -> None:
    tensors = [o for o in call.operands if isinstance(o, Tensor)]
    operands = [o if over is None else over for o, over in zip(tensors, level.batched(tensors), strict=True)]
    if not any(o.requires_grad for o in operands):
        return
    is_batched = [over is not o for o, over in zip(tensors, operands, strict=True)]
    results = level.transition(("vmap", level.size, level.randomness), list(slots), level._batch)
    if all(r is None for r in results):
        return
    held = _Kept(level, call.context)
    outputs: list[Any] = [None] * len(call.metas)
    for cut, result in zip(slots.values(), results, strict=True):
        outputs[cut.index] = result
    rule = _batched_rule(call, held, level, is_batched)
    with outside_of(level):
        attach(call.name, rule, operands, outputs, None, call.materialize, keeps=False)
    level.pairs += [(slot, outputs[cut.index]._slot) for slot, cut in slots.items() if outputs[cut.index] is not None]


class _Kept:
    """The tensors of a custom function's context over the batch."""

    def __init__(self, level: VmapLevel, ctx: FunctionContext | None) -> None:
        self.ctx = ctx
        self.names: list[Any] = []
        kept: list[Tensor] = []
        if ctx is not None:
            for index, held in enumerate(ctx._held):
                if held.tensor is not None:
                    self.names.append(index)
                    kept.append(held.tensor)
            for name, value in vars(ctx).items():
                if isinstance(value, Tensor):
                    self.names.append(name)
                    kept.append(value)
        self.plain = kept
        self.over = level.batched(kept) if kept else []

    def put(self, tensors: Sequence[Tensor]) -> None:
        """Let the context have these tensors."""
        for name, tensor in zip(self.names, tensors, strict=True):
            if isinstance(name, int):
                self.ctx._held[name].replace(tensor)  # type: ignore[union-attr]
            else:
                setattr(self.ctx, name, tensor)


def _batched_rule(call: Call, kept: _Kept, level: VmapLevel, is_batched: Sequence[bool]) -> Callable[..., Any]:
    from trine.tensor.vmap import vmap

    randomness = level.randomness

    def rule(*gradients: Any) -> Any:
        present = [i for i, g in enumerate(gradients) if g is not None]

        def one(saved: list[Any], arrived: list[Any]) -> Any:
            full = [None] * len(gradients)
            for i, gradient in zip(present, arrived, strict=True):
                full[i] = gradient
            kept.put(saved)
            found = call.rule(*full)  # type: ignore[misc]
            found = list(found) if isinstance(found, tuple | list) else [found]
            wanted = [f for f, o in zip(found, call.operands, strict=False) if isinstance(o, Tensor)]
            return [f for f in wanted if f is not None], [f is not None for f in wanted]

        masks: list[list[bool]] = []

        def tensors_only(saved: list[Any], arrived: list[Any]) -> Any:
            found, mask = one(saved, arrived)
            masks.append(mask)
            return found

        saved = [p if o is None else o for p, o in zip(kept.plain, kept.over, strict=True)]
        saved_dims = [None if o is None else 0 for o in kept.over]
        try:
            made = vmap(tensors_only, (saved_dims, 0), randomness=randomness if randomness != "error" else "different")(
                saved, [gradients[i] for i in present]
            )
        finally:
            kept.put(kept.plain)
        values = iter(made)
        results = [next(values) if there else None for there in masks[0]]
        return tuple(r if r is None or over else r.sum(0) for r, over in zip(results, is_batched, strict=True))

    return rule
