"""In-place operations as functions, such as ``trine.sigmoid_(x)``: they write into their first argument and return it."""

from __future__ import annotations

from collections.abc import Callable

from trine.ops import activation, methods
from trine.tensor import Tensor
from trine.tensor.operators import in_place_operator

_UNARY = """abs acos acosh arccos arccosh arcsin arcsinh arctan arctanh asin asinh atan atanh ceil conj_physical cos cosh deg2rad erf erfc
exp exp2 expm1 fix floor frac i0 log log10 log1p log2 logit nan_to_num neg negative rad2deg reciprocal relu round rsqrt sigmoid sin sinc
sinh sqrt square tan tanh trunc""".split()
_WITH_ARGUMENTS = {"clamp": "0.3", "clamp_max": "0.3", "clamp_min": "0.3", "clip": "0.3", "fill": "1.0", "ldexp": "1", "xlogy": "x"}
_INTEGER = {"gcd": "6", "lcm": "6"}
_ACTIVATIONS = {"selu": "", "celu": "", "rrelu": "", "threshold": "0.3, 0.0"}


def _function(name: str, method: Callable[..., Tensor], arguments: str, data: str = "[0.25, 0.5]") -> Callable[..., Tensor]:
    def function(input: Tensor, *args: object, **kwargs: object) -> Tensor:
        return method(input, *args, **kwargs)

    function.__name__ = function.__qualname__ = f"{name}_"
    function.__doc__ = f"""In-place version of `{name}`: writes the result into the tensor and returns it.

    Example:
        >>> import trine
        >>> x = trine.tensor({data})
        >>> trine.{name}_(x{", " if arguments else ""}{arguments}) is x
        True
    """
    return function


def _method(name: str) -> Callable[..., Tensor]:
    found: Callable[..., Tensor] = getattr(Tensor, f"{name}_")
    return found


methods.install()  # the functions are the methods
for _name in _UNARY:
    globals()[f"{_name}_"] = _function(_name, _method(_name), "")
for _name, _arguments in _WITH_ARGUMENTS.items():
    globals()[f"{_name}_"] = _function(_name, _method(_name), _arguments)
for _name, _arguments in _INTEGER.items():
    globals()[f"{_name}_"] = _function(_name, _method(_name), _arguments, "[4, 9]")
for _name, _arguments in _ACTIVATIONS.items():
    globals()[f"{_name}_"] = _function(_name, in_place_operator(getattr(activation, _name)), _arguments)

__all__ = [f"{name}_" for name in (*_UNARY, *_WITH_ARGUMENTS, *_INTEGER, *_ACTIVATIONS)]
