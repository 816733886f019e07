"""The adaptive softmax (Grave et al., 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from trine.errors import ArgumentError, ShapeError, message
from trine.nn import functional as F
from trine.nn.container import ModuleList, Sequential
from trine.nn.linear import Linear
from trine.nn.module import Module
from trine.ops.joining import cat
from trine.tensor import Tensor


class ASMoutput(NamedTuple):
    """The log probability of each target, and the mean loss."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """Softmax over many classes: frequent ones in the head, the others in clusters of smaller width (Grave et al., 2017).

    Every cluster is computed for every row, and masked: a program that does not depend on the targets, so that nothing is compiled twice.

    Args:
        in_features, n_classes: sizes of input and output. cutoffs: where clusters begin, classes in order of frequency.
        div_value: how much narrower each cluster is than the one before. head_bias: whether the head has a bias.

    Shape:
        input (N, in_features) or (in_features,), target (N,) or (); output (N,) or () and the loss.

    Raises:
        IndexOutOfRangeError: (when the loss is observed) for a target outside [0, n_classes).

    >>> import trine
    >>> layer = trine.nn.AdaptiveLogSoftmaxWithLoss(8, 10, cutoffs=[2, 5])
    >>> layer(trine.ones(3, 8), trine.tensor([0, 4, 9])).output.shape, layer.predict(trine.ones(3, 8)).shape
    (trine.Size([3]), trine.Size([3]))
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        bounds = list(cutoffs)
        if not bounds or bounds != sorted(set(bounds)) or bounds[0] <= 0 or bounds[-1] > n_classes - 1 or any(int(c) != c for c in bounds):
            expected = f"unique positive integers in increasing order, each between 1 and {n_classes - 1}"
            raise ArgumentError(message("AdaptiveLogSoftmaxWithLoss: cutoffs", received=bounds, expected=expected))
        self.in_features, self.n_classes, self.cutoffs = in_features, n_classes, [*bounds, n_classes]
        self.div_value, self.head_bias = div_value, head_bias
        self.shortlist_size, self.n_clusters = bounds[0], len(bounds)
        self.head_size = self.shortlist_size + self.n_clusters
        options: dict[str, Any] = {"device": device, "dtype": dtype}
        self.head = Linear(in_features, self.head_size, bias=head_bias, **options)
        self.tail = ModuleList()
        for i, (low, high) in enumerate(pairwise(self.cutoffs)):
            width = int(in_features // div_value ** (i + 1))
            layers = Linear(in_features, width, bias=False, **options), Linear(width, high - low, bias=False, **options)
            self.tail.append(Sequential(*layers))

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        self.head.reset_parameters()
        for layers in self.tail:
            for layer in layers:
                layer.reset_parameters()

    def forward(self, input_: Tensor, target_: Tensor) -> ASMoutput:
        if target_.dim() not in (0, 1) or input_.dim() != target_.dim() + 1 or (target_.dim() and input_.shape[0] != target_.shape[0]):
            received = f"input {tuple(input_.shape)}, target {tuple(target_.shape)}"
            expected = "(N, in_features) and (N,), or (in_features,) and ()"
            raise ShapeError(
                message("AdaptiveLogSoftmaxWithLoss: input and target should have the same size", received=received, expected=expected)
            )
        log_p = self.log_prob(input_ if target_.dim() else input_.unsqueeze(0))
        target = target_ if target_.dim() else target_.unsqueeze(0)
        output = -F.nll_loss(log_p, target, ignore_index=-(1 << 62), reduction="none")
        return ASMoutput(output if target_.dim() else output.squeeze(0), (-output).mean())

    def log_prob(self, input: Tensor) -> Tensor:
        """Return the log probabilities of all classes, (N, n_classes)."""
        head = F.log_softmax(self.head(input), dim=1)
        parts = [head[:, : self.shortlist_size]]
        for i, layers in enumerate(self.tail):
            cluster = head[:, self.shortlist_size + i].unsqueeze(1)
            parts.append(F.log_softmax(layers(input), dim=1) + cluster)
        return cat(parts, 1)

    def predict(self, input: Tensor) -> Tensor:
        """Return the most probable class of each row, (N,)."""
        return self.log_prob(input).argmax(1)  # type: ignore[no-any-return]
