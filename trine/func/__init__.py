"""Transformations of functions: derivatives and batches, which compose to any order.

>>> import trine
>>> x = trine.tensor([[1.0], [2.0]])
>>> trine.func.vmap(trine.func.hessian(lambda v: (v ** 3).sum()))(x).squeeze()
tensor([ 6., 12.])
"""

from trine import namespace as _namespace  # noqa: F401 - gives the package its names before a subpackage takes one
from trine.func.modules import functional_call, functionalize, stack_module_state
from trine.tensor.transforms import grad, grad_and_value, hessian, jacfwd, jacrev, jvp, linearize, vjp
from trine.tensor.vmap import vmap

__all__ = [
    "functional_call",
    "functionalize",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "stack_module_state",
    "vjp",
    "vmap",
]
