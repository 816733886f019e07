"""The import directions of docs/architecture.md, and the limits on files."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import trine

PACKAGE = Path(trine.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES = 600

GROUND = {"errors", "config", "dtypes", "shapes", "tree", "missing", "missing_names"}
CORE = GROUND | {"core"}
COMPILER = CORE | {"compiler"}
ENGINES = COMPILER | {"runtime", "engines"}
TENSOR = ENGINES | {"autograd", "tensor"}
FUNCTIONS = TENSOR | {"ops"}
SESSION = TENSOR | {"session"}
EXPLAIN = TENSOR | {"explanation"}
NAMESPACE = FUNCTIONS | SESSION | EXPLAIN | {"serialization", "namespace"}
# What each floor may import (itself included); a name that is not here is the top floor, which may import everything.
MAY_IMPORT: dict[str, set[str]] = {
    **{name: GROUND for name in GROUND},
    "core": CORE,
    "autograd": CORE | {"autograd"},
    "compiler": COMPILER,
    "runtime": GROUND | {"runtime"},
    "engines": ENGINES,
    "tensor": TENSOR,
    "ops": FUNCTIONS,
    "serialization": FUNCTIONS | {"serialization"},
    "session": SESSION,
    "explanation": EXPLAIN,
    "profiler": FUNCTIONS | {"serialization", "profiler"},
    "namespace": NAMESPACE,
    "distributed": NAMESPACE | {"distributed"},
    "nn": NAMESPACE | {"nn", "distributed"},
    **{name: NAMESPACE | {name} for name in ("data", "linalg", "fft", "signal", "masked", "special")},
    "optim": NAMESPACE | {"optim", "nn", "distributed"},
    "amp": NAMESPACE | {"amp"},
    "distributions": NAMESPACE | {"distributions"},
    **{name: NAMESPACE | {"amp", name} for name in ("cpu", "cuda")},
}
LLVM_MODULE = PACKAGE / "compiler" / "llvm.py"


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def imported_modules(tree: ast.AST, package: tuple[str, ...]) -> Iterator[str]:
    """Yield the absolute names of the modules that a file imports, at any depth, save under TYPE_CHECKING."""
    for node in ast.iter_child_nodes(tree):
        if is_type_checking(node):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names if module == "trine")
        yield from imported_modules(node, package)


def modules_of(path: Path) -> set[str]:
    package = ("trine", *path.relative_to(PACKAGE).parts[:-1])
    return set(imported_modules(ast.parse(path.read_text()), package))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_file(path: Path) -> None:
    relative = path.relative_to(PACKAGE)
    floor = relative.parts[0].removesuffix(".py")
    modules = modules_of(path)
    floors = {name.split(".")[1] for name in modules if name.startswith("trine.")} & {p.name.removesuffix(".py") for p in PACKAGE.iterdir()}
    forbidden = floors - MAY_IMPORT.get(floor, floors)
    assert not forbidden, f"{relative} imports {sorted(forbidden)}; {floor} may import {sorted(MAY_IMPORT[floor])}"
    if path != LLVM_MODULE:
        assert not any(name.split(".")[0] == "llvmlite" for name in modules), f"only {LLVM_MODULE.name} imports llvmlite"
    text = path.read_text()
    assert text.count("\n") <= MAX_LINES, f"{relative} has more than {MAX_LINES} lines"
    asserts = [node.lineno for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Assert)]
    assert not asserts, f"{relative} has assert statements in lines {asserts}; raise a typed error"


def test_the_checker_sees_imports() -> None:
    source = "import a.b\nfrom trine import ops\nif TYPE_CHECKING:\n    import hidden\ndef f():\n    from ..core import graph\n"
    assert set(imported_modules(ast.parse(source), ("trine", "nn"))) == {"a.b", "trine", "trine.ops", "trine.core"}
