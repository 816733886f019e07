"""Pruning: parameters multiplied by masks of zeros and ones, computed from their magnitudes or at random."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trine.errors import ArgumentError, DTypeError, message
from trine.nn.module import Module
from trine.ops.creation import ones_like
from trine.ops.joining import cat
from trine.ops.random import rand_like
from trine.tensor import Tensor

__all__ = [
    "BasePruningMethod",
    "CustomFromMask",
    "Identity",
    "L1Unstructured",
    "LnStructured",
    "PruningContainer",
    "RandomStructured",
    "RandomUnstructured",
    "custom_from_mask",
    "global_unstructured",
    "identity",
    "is_pruned",
    "l1_unstructured",
    "ln_structured",
    "random_structured",
    "random_unstructured",
    "remove",
]


class BasePruningMethod:
    """A way of choosing what is pruned, and the hook that applies the mask before every call of the module.

    A subclass says how it works (`PRUNING_TYPE`: "unstructured", "structured" or "global") and defines ``compute_mask``.
    """

    PRUNING_TYPE = "unstructured"
    _tensor_name: str

    def __call__(self, module: Any, inputs: Any) -> None:
        setattr(module, self._tensor_name, self.apply_mask(module))

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """Return the mask for importance scores `t`: zeros where it prunes, and where `default_mask` has zeros."""
        raise NotImplementedError(f"{type(self).__name__} does not define compute_mask")

    def apply_mask(self, module: Any) -> Any:
        """Return the original parameter times its mask."""
        mask = getattr(module, self._tensor_name + "_mask")
        original = getattr(module, self._tensor_name + "_orig")
        return mask.to(original.dtype) * original

    @classmethod
    def apply(cls, module: Any, name: str, *args: Any, importance_scores: Any = None, **kwargs: Any) -> Any:
        """Prune a parameter of a module: ``name_orig`` is learnt, ``name_mask`` is a buffer, and the hook computes ``name``."""
        method = cls(*args, **kwargs)
        method._tensor_name = name
        found = _find(module, name)
        original = getattr(module, name)
        if importance_scores is not None and importance_scores.shape != original.shape:
            received, expected = tuple(importance_scores.shape), tuple(original.shape)
            raise ArgumentError(message("prune: importance_scores have another shape", received=received, expected=expected))
        scores = (original if importance_scores is None else importance_scores).detach()
        if found is None:
            mask = method.compute_mask(scores, ones_like(scores))
            del module._parameters[name]
            module.register_parameter(name + "_orig", original)
        else:
            container = module._forward_pre_hooks[found][0]
            if not isinstance(container, PruningContainer):
                container = PruningContainer(container)
            container.add_pruning_method(method)
            method = container
            mask = container.compute_mask(scores, getattr(module, name + "_mask").detach().clone())
            del module._forward_pre_hooks[found]
        module.register_buffer(name + "_mask", mask)
        setattr(module, name, method.apply_mask(module))
        module.register_forward_pre_hook(method)
        return method

    def prune(self, t: Any, default_mask: Any = None, importance_scores: Any = None) -> Any:
        """Return a pruned copy of a tensor."""
        scores = t if importance_scores is None else importance_scores
        mask = ones_like(t) if default_mask is None else default_mask
        return t * self.compute_mask(scores, mask)

    def remove(self, module: Any) -> None:
        """Make the pruned parameter a plain one again; its zeros stay."""
        name = self._tensor_name
        weight = self.apply_mask(module).detach()
        original = module._parameters.pop(name + "_orig")
        original.data = weight
        del module._buffers[name + "_mask"]
        delattr(module, name)
        setattr(module, name, original)


class PruningContainer(BasePruningMethod):
    """Several methods for one parameter, each of which prunes what the ones before it have left."""

    def __init__(self, *args: Any) -> None:
        self._pruning_methods: tuple[Any, ...] = ()
        methods = args[0] if len(args) == 1 and isinstance(args[0], Iterable) else args
        for number, method in enumerate(methods):
            if not number:
                self._tensor_name = method._tensor_name
            self.add_pruning_method(method)

    def add_pruning_method(self, method: Any) -> None:
        """Add a method for the same parameter."""
        if not isinstance(method, BasePruningMethod):
            raise DTypeError(message("PruningContainer", received=type(method).__name__, expected="a BasePruningMethod"))
        if method._tensor_name != self._tensor_name:
            received, expected = f"a method for '{method._tensor_name}'", f"one for '{self._tensor_name}'"
            raise ArgumentError(message("PruningContainer", received=received, expected=expected))
        self._pruning_methods += (method,)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Any:
        return iter(self._pruning_methods)

    def __getitem__(self, index: int) -> Any:
        return self._pruning_methods[index]

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        method = self._pruning_methods[-1]
        mask = default_mask.to(t.dtype)
        kind = method.PRUNING_TYPE
        rest: Any = slice(None)
        if kind == "unstructured":
            rest = mask == 1
        elif kind == "structured":
            axis = method.dim % mask.dim()
            kept = mask.sum([k for k in range(mask.dim()) if k != axis]) != 0
            rest = (*(slice(None),) * axis, kept)
        elif kind != "global":
            raise ArgumentError(message("prune: no such PRUNING_TYPE", received=kind, expected="unstructured, structured or global"))
        result = mask.clone()
        result[rest] = method.compute_mask(t[rest], mask[rest]).to(mask.dtype)
        return result


class Identity(BasePruningMethod):
    """Prunes nothing: a mask of ones."""

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        return default_mask


class _Amount(BasePruningMethod):
    amount: float | int

    def __init__(self, amount: float | int) -> None:
        _check_amount(amount)
        self.amount = amount

    def _count(self, size: int) -> int:
        """Return how many of `size` to prune."""
        if isinstance(self.amount, int):
            if self.amount > size:
                received, expected = f"amount={self.amount}", f"at most {size}"
                raise ArgumentError(message("prune: amount is greater than what can be pruned", received=received, expected=expected))
            return self.amount
        return round(self.amount * size)


def _check_amount(amount: Any) -> None:
    if isinstance(amount, bool) or not isinstance(amount, (int, float)):
        raise DTypeError(message("prune: amount", received=repr(amount), expected="a number of elements, or a share from 0 to 1"))
    if amount < 0 or (isinstance(amount, float) and amount > 1.0):
        raise ArgumentError(message("prune: amount", received=amount, expected="a number of elements, or a share from 0 to 1"))


def _without_smallest(scores: Any, mask: Any, count: int) -> Any:
    """Return the mask with zeros where the `count` smallest scores are."""
    if not count:
        return mask.clone()
    flat = mask.clone().reshape(-1)
    flat[scores.reshape(-1).topk(count, largest=False).indices] = 0
    return flat.reshape(mask.shape)


class RandomUnstructured(_Amount):
    """Prunes elements at random: `amount` of them, or that share."""

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        return _without_smallest(rand_like(t), default_mask, self._count(t.numel()))


class L1Unstructured(_Amount):
    """Prunes the elements of the least magnitude."""

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        return _without_smallest(t.abs(), default_mask, self._count(t.numel()))


class _Structured(_Amount):
    PRUNING_TYPE = "structured"

    def __init__(self, amount: float | int, dim: int = -1) -> None:
        super().__init__(amount)
        self.dim = dim

    def _channels(self, t: Any) -> tuple[int, int]:
        """Return the axis, and how many of its places to prune."""
        if t.dim() <= 1:
            raise ArgumentError(message("prune: structured pruning needs two axes or more", received=f"shape {tuple(t.shape)}"))
        if not -t.dim() <= self.dim < t.dim():
            raise IndexError(f"prune: dim {self.dim} is out of range for shape {tuple(t.shape)}")
        axis = self.dim % t.dim()
        return axis, self._count(t.shape[axis])

    def _mask(self, scores: Any, default_mask: Any, axis: int, count: int) -> Any:
        kept = _without_smallest(scores, ones_like(scores), count)
        shape = [1] * default_mask.dim()
        shape[axis] = -1
        return default_mask * kept.reshape(shape).to(default_mask.dtype)


class RandomStructured(_Structured):
    """Prunes whole places of axis `dim` at random."""

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        axis, count = self._channels(t)
        return self._mask(rand_like(t.select(axis, 0).reshape(-1)[:1].expand(t.shape[axis])), default_mask, axis, count)


class LnStructured(_Structured):
    """Prunes the places of axis `dim` with the least n-norm."""

    def __init__(self, amount: float | int, n: float | str, dim: int = -1) -> None:
        super().__init__(amount, dim)
        self.n = n

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        axis, count = self._channels(t)
        norms = t.norm(self.n, [k for k in range(t.dim()) if k != axis])
        return self._mask(norms, default_mask, axis, count)


class CustomFromMask(BasePruningMethod):
    """Prunes where a given mask has zeros."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Any) -> None:
        self.mask = mask

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        if self.mask.shape != default_mask.shape:
            received, expected = tuple(self.mask.shape), tuple(default_mask.shape)
            raise ArgumentError(message("prune: the mask has another shape", received=received, expected=expected))
        return default_mask * self.mask.to(default_mask.dtype)


def _find(module: Any, name: str | None) -> Any:
    """Return the number of the module's pruning hook (for a parameter), or None."""
    for number, entry in module._forward_pre_hooks.items():
        hook = entry[0] if isinstance(entry, tuple) else entry
        if isinstance(hook, BasePruningMethod) and name in (None, hook._tensor_name):
            return number
    return None


def identity(module: Any, name: str) -> Any:
    """Prune nothing, and make the module one that is pruned: ``name_orig`` and a mask of ones."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: Any, name: str, amount: float | int) -> Any:
    """Prune elements of a parameter at random: `amount` of them (int), or that share (float)."""
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(module: Any, name: str, amount: float | int, importance_scores: Any = None) -> Any:
    """Prune the elements of a parameter with the least magnitude (or the least scores).

    >>> import trine
    >>> layer = trine.nn.utils.prune.l1_unstructured(trine.nn.Linear(4, 5), "weight", amount=0.5)
    >>> (layer.weight == 0).sum(), list(layer.state_dict())
    (tensor(10), ['bias', 'weight_orig', 'weight_mask'])
    """
    L1Unstructured.apply(module, name, amount=amount, importance_scores=importance_scores)
    return module


def random_structured(module: Any, name: str, amount: float | int, dim: int) -> Any:
    """Prune whole places of axis `dim` of a parameter at random."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(module: Any, name: str, amount: float | int, n: float | str, dim: int, importance_scores: Any = None) -> Any:
    """Prune the places of axis `dim` of a parameter with the least n-norm (of the scores, if there are any)."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: Any, name: str, mask: Any) -> Any:
    """Prune a parameter where a mask has zeros."""
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(
    parameters: Sequence[tuple[Module, str]],
    pruning_method: type[Any],
    importance_scores: Mapping[tuple[Module, str], Tensor] | None = None,
    **kwargs: Any,
) -> None:
    """Prune several parameters together: what is least among all of them goes.

    Args:
        parameters: pairs (module, name). pruning_method: an unstructured method. importance_scores: (module, name) -> scores.
        kwargs: arguments of the method.
    """
    if not isinstance(parameters, Iterable):
        raise DTypeError(message("global_unstructured: parameters", received=type(parameters).__name__, expected="pairs (module, name)"))
    if pruning_method.PRUNING_TYPE != "unstructured":
        received = f"a {pruning_method.PRUNING_TYPE} method"
        raise DTypeError(message("global_unstructured", received=received, expected="an unstructured method"))
    chosen = importance_scores or {}
    pairs: list[tuple[Any, str]] = list(parameters)
    scores = [chosen.get(pair, getattr(*pair)).detach() for pair in pairs]
    masks = [getattr(module, name + "_mask", ones_like(getattr(module, name))) for module, name in pairs]
    method = pruning_method(**kwargs)
    method._tensor_name = "temp"
    container = PruningContainer(method)
    final = container.compute_mask(cat([s.reshape(-1) for s in scores]), cat([m.reshape(-1) for m in masks]))
    position = 0
    for (module, name), mask in zip(pairs, masks, strict=True):
        custom_from_mask(module, name, mask=final[position : position + mask.numel()].reshape(mask.shape))
        position += mask.numel()


def remove(module: Any, name: str) -> Any:
    """Make pruning permanent: the parameter is a plain one again, with its zeros.

    Raises:
        ValueError: the parameter is not pruned.
    """
    number = _find(module, name)
    if number is None:
        received = f"'{name}' of {type(module).__name__}"
        raise ArgumentError(message("prune.remove: the parameter is not pruned", received=received))
    entry = module._forward_pre_hooks.pop(number)
    (entry[0] if isinstance(entry, tuple) else entry).remove(module)
    return module


def is_pruned(module: Module) -> bool:
    """Return whether a parameter of the module, or of one below it, is pruned."""
    return any(_find(m, None) is not None for m in module.modules())
