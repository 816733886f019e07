"""Writes the list of what PyTorch has and Trine does not: `docs/missing.md`, and `trine/missing_names.py` for the error messages.

Run with PyTorch installed: ``python -m trine.tools.missing``.
"""

from __future__ import annotations

import importlib
import inspect
import textwrap
from pathlib import Path
from types import ModuleType

MODULES = """torch torch.Tensor torch.nn torch.nn.functional torch.nn.init torch.nn.utils torch.nn.utils.rnn torch.optim
torch.optim.lr_scheduler torch.autograd torch.autograd.functional
torch.func torch.fft torch.linalg torch.special torch.distributions torch.utils.data
torch.utils.checkpoint torch.serialization torch.random torch.testing""".split()
"""What is compared: modules, and the tensor class."""

ROOT = Path(__file__).parents[2]


def _owner(name: str) -> object:
    head, _, tail = name.rpartition(".")
    return getattr(importlib.import_module(head), tail) if tail == "Tensor" else importlib.import_module(name)


def _names(owner: object) -> list[str]:
    """Return the public names of a module (those of its `__all__`, or defined in the package) or of a class."""
    listed = getattr(owner, "__all__", None)
    if listed is None:
        listed = [n for n in dir(owner) if not inspect.ismodule(getattr(owner, n, None))]
    names = {n for n in listed if not n.startswith("_") and hasattr(owner, n)}
    if isinstance(owner, ModuleType):
        names = {n for n in names if _is_own(getattr(owner, n))}
    return sorted(names)


def _is_own(value: object) -> bool:
    module = getattr(value, "__module__", None)
    return module is None or (isinstance(module, str) and module.split(".")[0] in ("torch", "builtins"))


def missing() -> dict[str, list[str]]:
    """Return module -> names that PyTorch has there and Trine has not."""
    found = {}
    for name in MODULES:
        try:
            ours: object | None = _owner("trine" + name.removeprefix("torch"))
        except (ImportError, AttributeError):
            ours = None
        lacking = [n for n in _names(_owner(name)) if ours is None or not hasattr(ours, n)]
        if lacking:
            found[name] = lacking
    return found


def module_text(found: dict[str, list[str]]) -> str:
    """Return the text of `trine/missing_names.py`."""
    lines = [
        '"""What PyTorch has and Trine does not; written by `python -m trine.tools.missing`."""',
        "",
        "from __future__ import annotations",
        "",
    ]
    lines.append("NAMES: dict[str, str] = {")
    for module, names in found.items():
        wrapped = textwrap.wrap(" ".join(names), 126)
        lines += [f'    "{module}": """', *(f"        {line}" for line in wrapped), '    """,']
    return "\n".join([*lines, "}", '"""Module -> names."""', ""])


def page_text(found: dict[str, list[str]]) -> str:
    """Return the text of `docs/missing.md`."""
    count = sum(map(len, found.values()))
    lines = ["# What PyTorch has and Trine does not", "", "Written by `python -m trine.tools.missing`; a test holds it against the truth."]
    lines.append(f"{count} names are missing. Using one raises an AttributeError that says so, and `hasattr` is False.")
    for module, names in found.items():
        lines += ["", f"## {module}", "", *textwrap.wrap(" ".join(f"`{n}`" for n in names), 140)]
    return "\n".join([*lines, ""])


def main() -> None:
    """Write both files."""
    found = missing()
    (ROOT / "trine" / "missing_names.py").write_text(module_text(found))
    (ROOT / "docs" / "missing.md").write_text(page_text(found))


if __name__ == "__main__":
    main()
