"""Losses as modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trine.errors import ArgumentError, ShapeError, message
from trine.nn import functional as F
from trine.nn.distance import PairwiseDistance
from trine.nn.linear import Linear
from trine.nn.module import Module
from trine.ops.loss_nodes import check_reduction
from trine.tensor import Tensor


class _Loss(Module):
    """A loss of input and target: `function(input, target, **options)`; `options` are attributes that the function takes."""

    function: Any
    options: tuple[str, ...] = ()

    def __init__(self, size_average: Any = None, reduce: Any = None, reduction: str = "mean") -> None:
        super().__init__()
        if size_average is not None or reduce is not None:
            reduction = check_reduction(type(self).__name__, reduction, size_average, reduce)
        self.reduction = reduction

    def _options(self) -> dict[str, Any]:
        return {"reduction": self.reduction, **{name: getattr(self, name) for name in self.options}}

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return type(self).function(input, target, **self._options())  # type: ignore[no-any-return]


class _WeightedLoss(_Loss):
    """A loss with a buffer of weights."""

    options: tuple[str, ...] = ("weight",)

    def __init__(self, weight: Tensor | None = None, size_average: Any = None, reduce: Any = None, reduction: str = "mean") -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.weight: Tensor | None


class MSELoss(_Loss):
    """Mean squared error.

    >>> import trine
    >>> trine.nn.MSELoss()(trine.ones(2), trine.zeros(2)).item()
    1.0
    """

    function = F.mse_loss


class L1Loss(_Loss):
    """Mean absolute error.

    >>> import trine
    >>> trine.nn.L1Loss()(trine.ones(2), trine.zeros(2)).item()
    1.0
    """

    function = F.l1_loss


class SmoothL1Loss(_Loss):
    """Squared error below beta, absolute error above.

    >>> import trine
    >>> trine.nn.SmoothL1Loss()(trine.tensor([3.0]), trine.zeros(1)).item()
    2.5
    """

    function = F.smooth_l1_loss
    options = ("beta",)

    def __init__(self, size_average: Any = None, reduce: Any = None, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(size_average, reduce, reduction)
        self.beta = beta


class HuberLoss(_Loss):
    """Squared error below delta, delta times the absolute error above.

    >>> import trine
    >>> trine.nn.HuberLoss(delta=2.0)(trine.tensor([3.0]), trine.zeros(1)).item()
    4.0
    """

    function = F.huber_loss
    options = ("delta",)

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.delta = delta


class KLDivLoss(_Loss):
    """Kullback-Leibler divergence of log probabilities from probabilities (or log probabilities, with log_target).

    >>> import trine
    >>> trine.nn.KLDivLoss(reduction="batchmean")(trine.zeros(1, 2), trine.tensor([[1.0, 0.0]])).item()
    0.0
    """

    function = F.kl_div
    options = ("log_target",)

    def __init__(self, size_average: Any = None, reduce: Any = None, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_target = log_target


class CrossEntropyLoss(_WeightedLoss):
    """Cross entropy between logits ``(N, C, *)`` and class numbers ``(N, *)`` or class probabilities ``(N, C, *)``.

    Args:
        weight: weight of each class ``(C)``. ignore_index: class that does not count. reduction: "mean", "sum" or "none".
        label_smoothing: share of the uniform distribution in the target.

    Raises:
        IndexOutOfRangeError: (when the loss is observed) if a class number is outside [0, C).

    >>> import trine
    >>> trine.nn.CrossEntropyLoss()(trine.zeros(2, 4), trine.tensor([1, 3]))
    tensor(1.3863)
    """

    function = F.cross_entropy
    options = ("weight", "ignore_index", "label_smoothing")

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: Any = None,
        ignore_index: int = -100,
        reduce: Any = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing


class NLLLoss(_WeightedLoss):
    """Negative log likelihood of class numbers, given log probabilities ``(N, C, *)``; arguments as for `CrossEntropyLoss`.

    >>> import trine
    >>> trine.nn.NLLLoss()(trine.tensor([[-1.0, -2.0]]), trine.tensor([1])).item()
    2.0
    """

    function = F.nll_loss
    options = ("weight", "ignore_index")

    def __init__(
        self, weight: Tensor | None = None, size_average: Any = None, ignore_index: int = -100, reduce: Any = None, reduction: str = "mean"
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index


class NLLLoss2d(NLLLoss):
    """`NLLLoss` (PyTorch's older name for images).

    >>> import trine
    >>> trine.nn.NLLLoss2d()(trine.zeros(1, 2, 1, 1), trine.zeros(1, 1, 1, dtype=trine.int64)).abs().item()
    0.0
    """


class BCEWithLogitsLoss(_WeightedLoss):
    """Binary cross entropy between logits and probabilities of the same shape.

    Args:
        weight: weight of each element. pos_weight: weight of positive examples. reduction: "mean", "sum" or "none".

    >>> import trine
    >>> trine.nn.BCEWithLogitsLoss()(trine.zeros(2), trine.ones(2))
    tensor(0.6931)
    """

    function = F.binary_cross_entropy_with_logits
    options = ("weight", "pos_weight")

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: Any = None,
        reduce: Any = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.register_buffer("pos_weight", pos_weight)
        self.pos_weight: Tensor | None


class BCELoss(_WeightedLoss):
    """Binary cross entropy between probabilities of the same shape.

    >>> import trine
    >>> trine.nn.BCELoss()(trine.tensor([0.5]), trine.ones(1))
    tensor(0.6931)
    """

    function = F.binary_cross_entropy


class GaussianNLLLoss(_Loss):
    """Negative log likelihood of normal distributions: input is the mean, `var` the variance.

    >>> import trine
    >>> trine.nn.GaussianNLLLoss()(trine.zeros(1), trine.tensor([2.0]), trine.ones(1)).item()
    2.0
    """

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.full, self.eps = full, eps

    def forward(self, input: Tensor, target: Tensor, var: Tensor | float) -> Tensor:  # type: ignore[override]
        return F.gaussian_nll_loss(input, target, var, full=self.full, eps=self.eps, reduction=self.reduction)


class PoissonNLLLoss(_Loss):
    """Negative log likelihood of counts under Poisson distributions; `full` adds Stirling's term.

    >>> import trine
    >>> trine.nn.PoissonNLLLoss()(trine.zeros(1), trine.tensor([3.0])).item()
    1.0
    """

    function = F.poisson_nll_loss
    options = ("log_input", "full", "eps")

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        size_average: Any = None,
        eps: float = 1e-8,
        reduce: Any = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_input, self.full, self.eps = log_input, full, eps


class SoftMarginLoss(_Loss):
    """``log(1 + exp(-target * input))`` for targets 1 and -1.

    >>> import trine
    >>> trine.nn.SoftMarginLoss()(trine.zeros(1), trine.ones(1))
    tensor(0.6931)
    """

    function = F.soft_margin_loss


class HingeEmbeddingLoss(_Loss):
    """The input where the target is 1, and ``max(0, margin - input)`` where it is -1.

    >>> import trine
    >>> trine.nn.HingeEmbeddingLoss()(trine.tensor([0.25]), trine.tensor([-1.0])).item()
    0.75
    """

    function = F.hinge_embedding_loss
    options = ("margin",)

    def __init__(self, margin: float = 1.0, size_average: Any = None, reduce: Any = None, reduction: str = "mean") -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin


class _PairLoss(_Loss):
    """A loss of two inputs and a target, with a margin."""

    def __init__(self, margin: float = 0.0, size_average: Any = None, reduce: Any = None, reduction: str = "mean") -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:  # type: ignore[override]
        return type(self).function(input1, input2, target, margin=self.margin, reduction=self.reduction)  # type: ignore[no-any-return]


class CosineEmbeddingLoss(_PairLoss):
    """``1 - cos`` of two vectors where the target is 1, and ``max(0, cos - margin)`` where it is -1.

    >>> import trine
    >>> trine.nn.CosineEmbeddingLoss()(trine.tensor([[1.0, 0.0]]), trine.tensor([[0.0, 1.0]]), trine.ones(1)).item()
    1.0
    """

    function = F.cosine_embedding_loss


class MarginRankingLoss(_PairLoss):
    """``max(0, -target * (input1 - input2) + margin)``.

    >>> import trine
    >>> trine.nn.MarginRankingLoss()(trine.ones(1), trine.tensor([3.0]), trine.ones(1)).item()
    2.0
    """

    function = F.margin_ranking_loss


class MultiLabelMarginLoss(_Loss):
    """``max(0, 1 - (x[label] - x[other]))`` of all labels and other classes; see `trine.nn.functional.multilabel_margin_loss`.

    >>> import trine
    >>> trine.nn.MultiLabelMarginLoss()(trine.tensor([[0.5, 0.25]]), trine.tensor([[0, -1]])).item()
    0.375
    """

    function = F.multilabel_margin_loss


class MultiLabelSoftMarginLoss(_WeightedLoss):
    """Binary cross entropy of logits, as a mean over the classes.

    >>> import trine
    >>> trine.nn.MultiLabelSoftMarginLoss()(trine.zeros(1, 2), trine.tensor([[1.0, 0.0]]))
    tensor(0.6931)
    """

    function = F.multilabel_soft_margin_loss


class MultiMarginLoss(_WeightedLoss):
    """``max(0, margin - x[target] + x)**p``, as a mean over the other classes.

    >>> import trine
    >>> trine.nn.MultiMarginLoss()(trine.tensor([[0.5, 0.25]]), trine.tensor([0])).item()
    0.375
    """

    function = F.multi_margin_loss
    options = ("weight", "p", "margin")

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Tensor | None = None,
        size_average: Any = None,
        reduce: Any = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        if p not in (1, 2):
            raise ArgumentError(message("MultiMarginLoss: only p == 1 and p == 2 supported", received=p))
        if weight is not None and weight.dim() != 1:
            raise ArgumentError(message("MultiMarginLoss: weight must be one-dimensional", received=f"shape {tuple(weight.shape)}"))
        self.p, self.margin = p, margin


class TripletMarginLoss(_Loss):
    """``max(0, |anchor - positive| - |anchor - negative| + margin)`` (Balntas et al., 2016).

    >>> import trine
    >>> x = trine.zeros(1, 2)
    >>> trine.nn.TripletMarginLoss(margin=6.0)(x, x, trine.tensor([[3.0, 4.0]]))
    tensor(1.0000)
    """

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        size_average: Any = None,
        reduce: Any = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        if margin <= 0:
            raise ArgumentError(message("TripletMarginLoss: margin must be greater than 0", received=margin))
        self.margin, self.p, self.eps, self.swap = margin, p, eps, swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:  # type: ignore[override]
        options: dict[str, Any] = {"margin": self.margin, "p": self.p, "eps": self.eps, "swap": self.swap, "reduction": self.reduction}
        return F.triplet_margin_loss(anchor, positive, negative, **options)


class TripletMarginWithDistanceLoss(_Loss):
    """The triplet loss for a distance of one's own (default: `PairwiseDistance`).

    >>> import trine
    >>> x = trine.zeros(1, 2)
    >>> trine.nn.TripletMarginWithDistanceLoss(margin=6.0)(x, x, trine.tensor([[3.0, 4.0]]))
    tensor(1.0000)
    """

    def __init__(
        self,
        *,
        distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        if margin <= 0:
            raise ArgumentError(message("TripletMarginWithDistanceLoss: margin must be greater than 0", received=margin))
        if distance_function is None:
            distance_function = PairwiseDistance()
        self.distance_function = distance_function
        self.margin, self.swap = margin, swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:  # type: ignore[override]
        return F.triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )


class CTCLoss(_Loss):
    """The loss of connectionist temporal classification (Graves et al., 2006); see `trine.nn.functional.ctc_loss`.

    >>> import trine
    >>> log_probs = trine.zeros(3, 1, 2).log_softmax(2)
    >>> trine.nn.CTCLoss()(log_probs, trine.tensor([[1]]), (3,), (1,))
    tensor(0.2877)
    """

    def __init__(self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False) -> None:
        super().__init__(reduction=reduction)
        self.blank, self.zero_infinity = blank, zero_infinity

    def forward(self, log_probs: Tensor, targets: Tensor, input_lengths: Any, target_lengths: Any) -> Tensor:  # type: ignore[override]
        return F.ctc_loss(log_probs, targets, input_lengths, target_lengths, self.blank, self.reduction, self.zero_infinity)


class LinearCrossEntropyLoss(_WeightedLoss):
    """Cross entropy of the logits that a linear layer of its own makes.

    Args:
        in_features: width of the input. num_classes: C. out_features: sizes of further axes of the target. bias: of the layer.
        options: accepted. The others are those of `CrossEntropyLoss`.

    >>> import trine
    >>> loss = trine.nn.LinearCrossEntropyLoss(3, 4)
    >>> loss(trine.zeros(2, 3), trine.tensor([1, 3])).detach()
    tensor(1.3863)
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        out_features: tuple[int, ...] = (),
        bias: bool = False,
        device: Any = None,
        dtype: Any = None,
        reduction: str = "mean",
        weight: Tensor | None = None,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        options: Any = None,
    ) -> None:
        if weight is not None and tuple(weight.shape) != (num_classes,):
            what = "LinearCrossEntropyLoss: one weight a class"
            raise ShapeError(message(what, received=tuple(weight.shape), expected=(num_classes,)))
        if not 0 <= label_smoothing <= 1:
            raise ShapeError(message("LinearCrossEntropyLoss: label_smoothing", received=label_smoothing, expected="0 to 1"))
        super().__init__(weight, reduction=reduction)
        self.num_classes, self.out_features = num_classes, tuple(out_features)
        self.ignore_index, self.label_smoothing, self.chunking = ignore_index, label_smoothing, options
        rows = num_classes
        for size in self.out_features:
            rows *= size
        self.linear = Linear(in_features, rows, bias=bias, device=device, dtype=dtype)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        shape, bias = (self.num_classes, *self.out_features), self.linear.bias
        return F.linear_cross_entropy(
            input,
            self.linear.weight.reshape(*shape, self.linear.in_features),
            target,
            linear_bias=None if bias is None else bias.reshape(*shape),
            weight=self.weight,
            reduction=self.reduction,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
        )

    def extra_repr(self) -> str:
        shown = {"in_features": self.linear.in_features, "num_classes": self.num_classes, "out_features": self.out_features}
        shown |= {"bias": self.linear.bias is not None, "reduction": self.reduction, "ignore_index": self.ignore_index}
        shown |= {"label_smoothing": self.label_smoothing, "options": self.chunking}
        return ", ".join(f"{name}={value}" for name, value in shown.items())
