"""Calling a module: `forward`, with the hooks that are registered around it."""

from __future__ import annotations

from typing import Any

from trine.errors import DTypeError, message
from trine.nn import hooks
from trine.nn.members import Members
from trine.tensor.hooks import HookHandle


class Calling(Members):
    """The part of `Module` that is called."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the result; defined by every subclass."""
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        values = self.__dict__
        if not (
            values["_forward_hooks"]
            or values["_forward_pre_hooks"]
            or values["_backward_hooks"]
            or values["_backward_pre_hooks"]
            or hooks.any_global()
        ):
            return self.forward(*args, **kwargs)
        return self._call_with_hooks(args, kwargs)

    _call_impl = _wrapped_call_impl = __call__

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        called: set[int] = set()
        try:
            return self._call_each(args, kwargs, called)
        except Exception:
            for number, (hook, with_kwargs, always) in [*hooks.forward.items(), *self._forward_hooks.items()]:
                if always and number not in called:
                    _after(hook, with_kwargs, self, args, kwargs, None)
            raise

    def _call_each(self, args: tuple[Any, ...], kwargs: dict[str, Any], called: set[int]) -> Any:
        for hook, with_kwargs in [*hooks.forward_pre.values(), *self._forward_pre_hooks.values()]:
            args, kwargs = _before(hook, with_kwargs, self, args, kwargs)

        def run(*args: Any) -> Any:
            output = self.forward(*args, **kwargs)
            for number, (hook, with_kwargs, _) in [*hooks.forward.items(), *self._forward_hooks.items()]:
                called.add(number)
                output = _after(hook, with_kwargs, self, args, kwargs, output)
            return output

        backward = (*hooks.backward.values(), *self._backward_hooks.values())
        backward_pre = (*hooks.backward_pre.values(), *self._backward_pre_hooks.values())
        return hooks.watched_call(self, backward, backward_pre, args, run) if backward or backward_pre else run(*args)

    _forward_hooks: Any
    _forward_pre_hooks: Any
    _backward_hooks: Any
    _backward_pre_hooks: Any

    def register_forward_hook(
        self, hook: Any, *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> HookHandle:
        """Call ``hook(module, args, output)`` after forward; what it returns (if not None) replaces the output.

        Args:
            prepend: before the hooks that are there. with_kwargs: call ``hook(module, args, kwargs, output)``.
            always_call: also when forward raises, with None as the output.
        """
        return hooks.register(self._forward_hooks, (hook, with_kwargs, always_call), prepend)

    def register_forward_pre_hook(self, hook: Any, *, prepend: bool = False, with_kwargs: bool = False) -> HookHandle:
        """Call ``hook(module, args)`` before forward; what it returns (if not None) replaces the arguments.

        Args:
            with_kwargs: call ``hook(module, args, kwargs)``, which returns None or a pair (args, kwargs).
        """
        return hooks.register(self._forward_pre_hooks, (hook, with_kwargs), prepend)

    def register_full_backward_hook(self, hook: Any, prepend: bool = False) -> HookHandle:
        """Call ``hook(module, grad_input, grad_output)`` when the gradients of inputs and outputs are known.

        What it returns (if not None) replaces grad_input.
        """
        return hooks.register(self._backward_hooks, hook, prepend)

    def register_backward_hook(self, hook: Any) -> HookHandle:
        """Do what `register_full_backward_hook` does (PyTorch's older name)."""
        return self.register_full_backward_hook(hook)

    def register_full_backward_pre_hook(self, hook: Any, prepend: bool = False) -> HookHandle:
        """Call ``hook(module, grad_output)`` when the gradients of the outputs are known; what it returns (if not None) replaces them."""
        return hooks.register(self._backward_pre_hooks, hook, prepend)


def _before(hook: Any, with_kwargs: bool, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    result = hook(module, args, kwargs) if with_kwargs else hook(module, args)
    if result is None:
        return args, kwargs
    if not with_kwargs:
        return (result if isinstance(result, tuple) else (result,)), kwargs
    if not isinstance(result, tuple) or len(result) != 2:
        raise DTypeError(message("forward pre-hook with kwargs", received=repr(result), expected="None or a pair (args, kwargs)"))
    return result


def _after(hook: Any, with_kwargs: bool, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
    result = hook(module, args, kwargs, output) if with_kwargs else hook(module, args, output)
    return output if result is None else result
