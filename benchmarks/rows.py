"""The rows of the table: who is measured how, and what must be reached."""

from __future__ import annotations

from dataclasses import dataclass

MEGABYTES = "{:.1f} MB"
MANY = 1000


@dataclass(frozen=True, slots=True)
class Contender:
    """One measurement of a row.

    Attributes:
        name: as the table shows it. mode, framework, variant, workload: arguments of child.py ("size" is measured without it).
        cache: name of the directory for compiled code; "{}" stands for the row and the round. is_cold: the directory is emptied first.
        is_warm: before the first round it runs once unmeasured, so that the directory is filled.
        max_rounds: for those that take very long. is_slow: left out of a quick run.
    """

    name: str
    framework: str
    variant: str
    mode: str
    workload: str = "-"
    cache: str = "shared"
    is_cold: bool = False
    is_warm: bool = False
    max_rounds: int = MANY
    is_slow: bool = False
    unit: str = "{:.6f} s"

    @property
    def has_helpers(self) -> bool:
        """Whether it starts compilers as processes of their own, which then look like somebody else's work."""
        return self.variant == "compile"


@dataclass(frozen=True, slots=True)
class Bound:
    """A ratio, Trine to a peer, that must be reached, and one that is aimed at (None: only shown); without `peer` a value of Trine's."""

    peer: str | None
    must: float | None
    aim: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table: the first contenders are Trine's (their names begin so), of which the fastest stands in the table."""

    name: str
    title: str
    contenders: tuple[Contender, ...]
    bounds: tuple[Bound, ...]
    scale: float = 1.0  # the figures are divided by it
    has_same_values: bool = True


def _steady(workload: str, *, has_compile: bool = False) -> tuple[Contender, ...]:
    contenders = (
        Contender("Trine", "trine", "recorded", "steady", workload),
        Contender("PyTorch", "torch", "eager", "steady", workload),
    )
    slow = Contender("torch.compile", "torch", "compile", "steady", workload, is_slow=True)
    return (*contenders, slow) if has_compile else contenders


def _workload(name: str, title: str, *bounds: Bound) -> Row:
    """Return the row of a workload: Trine as a plain loop and compiled, PyTorch, and the other peers that the bounds name."""
    peers = {
        "PyTorch": Contender("PyTorch", "torch", "eager", "steady", name),
        "channels last": Contender("channels last", "torch", "cl", "steady", name),
        "torch.compile": Contender("torch.compile", "torch", "compile", "steady", name, is_slow=True, max_rounds=3),
        "JAX jit": Contender("JAX jit", "jax", "jit", "steady", name),
        "tf.function": Contender("tf.function", "tf", "function", "steady", name),
        "ONNX Runtime": Contender("ONNX Runtime", "ort", "cpu", "steady", name),
    }
    own = (
        Contender("Trine", "trine", "recorded", "steady", name),
        Contender("Trine compiled", "trine", "compile", "steady", name),
    )
    return Row(name, title, (*own, *(peers[bound.peer] for bound in bounds if bound.peer)), bounds)


def _first_steps(name: str, title: str) -> tuple[Row, Row]:
    """Return the rows of a workload's first step, with nothing cached and with kernels on disk; the table of first steps shows them."""
    torch = Contender("PyTorch", "torch", "eager", "first", name)
    own = (("Trine", "recorded"), ("Trine compiled", "compile"))
    cold = [Contender(who, "trine", how, "first", name, f"first-{how}-{{}}", is_cold=True) for who, how in own]
    warm = [Contender(who, "trine", how, "first", name, f"warm-{how}-{name}", is_warm=True) for who, how in own]
    return Row(f"{name}-cold", title, (*cold, torch), ()), Row(f"{name}-warm", title, (*warm, torch), ())


def _eager(must: float, aim: float) -> tuple[Bound, ...]:
    return (Bound("PyTorch", must, aim),)


_TF, _JAX, _ORT = Bound("tf.function", None, None), Bound("JAX jit", None, None), Bound("ONNX Runtime", None, None)

TRAINING = (
    ("W1", "MLP 784-128-10, batch 32, SGD", (Bound("JAX jit", 0.6, 0.4), Bound("PyTorch", None, None), _TF)),
    ("W2", "MLP 784-2048-2048-10, batch 256, Adam", (Bound("PyTorch", 0.95, 0.85), _TF)),
    ("W3", "convolutional network, 28x28, batch 128, Adam", (Bound("tf.function", 0.9, 0.6), Bound("PyTorch", None, None))),
    ("W4", "ResNet-18, 32x32, batch 32, SGD with momentum", (Bound("channels last", 0.95, 0.75), Bound("PyTorch", None, None), _TF)),
    ("W5", "GPT, 4 layers of 256, context 128, batch 8, AdamW", (Bound("PyTorch", 0.9, 0.7), _TF)),
    ("W6", "LSTM, 2 layers of 256, 64 steps, batch 32, Adam", (Bound("PyTorch", 0.9, 0.7), _TF)),
)

ROWS = (
    Row(
        "import",
        "import and a first tensor, in a new process",
        (Contender("Trine", "trine", "-", "usable"), Contender("PyTorch", "torch", "-", "usable")),
        _eager(1 / 8, 1 / 15),
        has_same_values=False,
    ),
    Row(
        "bare",
        "the import statement alone (Trine puts the loading of NumPy and of its own modules off until the first use)",
        (Contender("Trine", "trine", "-", "import"), Contender("PyTorch", "torch", "-", "import")),
        _eager(1 / 8, 1 / 15),
        has_same_values=False,
    ),
    Row(
        "size",
        "installed size, all dependencies",
        tuple(
            Contender(title, name, "-", "size", max_rounds=1, unit=MEGABYTES) for title, name in (("Trine", "trine"), ("PyTorch", "torch"))
        ),
        (Bound(None, 270, None),),
        has_same_values=False,
    ),
    Row("record", "one operation on 10 elements (a chain of 1000, run included)", _steady("M1"), _eager(1 / 2, 1 / 3), scale=1000),
    Row("gradient", "the same, forward and backward", _steady("M1v"), _eager(1 / 2, 1 / 4), scale=1000),
    Row(
        "fused",
        "chain of 6 elementwise operations with exp and tanh, 1M floats",
        _steady("M6", has_compile=True),
        (Bound("PyTorch", 0.6, 0.45), Bound("torch.compile", 0.6, 0.4)),
    ),
    Row("softmax", "softmax 4096 x 1024, forward and backward", _steady("M3b"), _eager(0.9, 0.75)),
    Row("layernorm", "layer norm 4096 x 1024, forward and backward", _steady("M4"), _eager(0.9, 0.75)),
    Row("matmul", "matmul 1024 x 1024 x 1024", _steady("M2"), _eager(1.1, 0.95)),
    Row(
        "cold",
        "first training step of a convolutional network, new process, nothing cached",
        (
            Contender("Trine", "trine", "recorded", "first", "W3", "first-trine-{}", is_cold=True),
            Contender("PyTorch", "torch", "eager", "first", "W3"),
            Contender("torch.compile", "torch", "compile", "first", "W3", "first-torch-{}", is_cold=True, max_rounds=2, is_slow=True),
        ),
        (Bound("PyTorch", 1.2, 0.5), Bound("torch.compile", 0.15, 0.06)),
    ),
    Row(
        "warm",
        "the same, kernels on disk",
        (
            Contender("Trine", "trine", "recorded", "first", "W3", "warm-trine", is_warm=True),
            Contender("PyTorch", "torch", "eager", "first", "W3"),
        ),
        _eager(0.4, 0.2),
    ),
    Row(
        "loop",
        "200 training steps of a recurrent loop of changing length, compilation included",
        (
            Contender("Trine", "trine", "recorded", "once", "W10", "loop-trine-{}", is_cold=True),
            Contender("PyTorch", "torch", "eager", "once", "W10"),
            Contender("JAX jit", "jax", "jit", "once", "W10", "loop-jax-{}", is_cold=True, max_rounds=2, is_slow=True),
            Contender("tf.while_loop", "tf", "function", "once", "W10"),
        ),
        (Bound("PyTorch", 1.5, 0.8), Bound("JAX jit", 0.1, 0.03), Bound("tf.while_loop", None, None)),
    ),
    *(_workload(name, f"training step: {title}", *bounds) for name, title, bounds in TRAINING),
    *(row for name, title, _ in TRAINING for row in _first_steps(name, title)),
    _workload("W7b1", "inference: ResNet-18, one 224x224 image", Bound("ONNX Runtime", 1.0, 0.85), _TF, Bound("channels last", None, None)),
    _workload("W7b16", "inference: ResNet-18, 16 images", Bound("ONNX Runtime", 1.0, 0.8), _TF, Bound("channels last", None, None)),
    _workload("W8", "inference: GPT, one token, no cache", Bound("torch.compile", 0.8, 0.6), _ORT, _TF, Bound("PyTorch", None, None)),
    _workload("W9", "inference: MLP 784-128-10, one row", Bound("ONNX Runtime", 1.0, 0.5), _JAX, _TF, Bound("PyTorch", None, None)),
)
