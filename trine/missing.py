"""The error for a name that PyTorch has and Trine does not."""

from __future__ import annotations

from trine.errors import TrineError, message

_INSTEAD: dict[str, str] = {
    "torch.Tensor": "compose it from other operations, or take x.numpy()",
    "torch": "compose it from other operations, or compute it with NumPy on x.numpy()",
}
"""What to do, by module."""


class MissingNameError(TrineError, AttributeError):
    """PyTorch has this name, Trine has not."""


def missing_name(module: str, name: str) -> AttributeError:
    """Return the error for an attribute that was not found.

    Args:
        module: Trine's name of the module or class, such as "trine.nn". name: the attribute.
    """
    from trine.missing_names import NAMES

    theirs = "torch" + module.removeprefix("trine")
    if name not in NAMES.get(theirs, "").split():
        return AttributeError(f"module '{module}' has no attribute '{name}'")
    fix = _INSTEAD.get(theirs, _INSTEAD["torch"])
    what = f"{module}.{name}: PyTorch has {theirs}.{name}, Trine does not"
    return MissingNameError(message(what, received=f"'{name}'", expected="a name that is not listed in docs/missing.md", fix=fix))
