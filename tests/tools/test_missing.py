"""The list of what is missing is in step with both libraries, and its names say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import trine
from trine.errors import TrineError
from trine.missing_names import NAMES
from trine.tools import missing


def test_the_list_is_the_truth() -> None:
    found = missing.missing()
    fix = "run python -m trine.tools.missing"
    assert {m: n.split() for m, n in NAMES.items()} == found, fix
    assert (Path(trine.__file__).parents[1] / "docs" / "missing.md").read_text() == missing.page_text(found), fix


@pytest.mark.parametrize("module", [m for m in ("torch", "torch.nn", "torch.nn.functional", "torch.Tensor") if m in NAMES])
def test_a_missing_name_says_what_it_is(module: str) -> None:
    owner: Any = {
        "torch": trine,
        "torch.nn": trine.nn,
        "torch.nn.functional": trine.nn.functional,
        "torch.Tensor": trine.ones(1),
    }[module]
    name = NAMES[module].split()[0]
    assert not hasattr(owner, name) and not hasattr(owner, "no_such_name")
    with pytest.raises(AttributeError, match=f"PyTorch has {module}.{name}, Trine does not") as error:
        getattr(owner, name)
    assert isinstance(error.value, TrineError) and "docs/missing.md" in str(error.value)
