"""Sequences of different lengths: padded to one tensor, packed without padding, and back.

A `PackedSequence` keeps the padded tensor that it was made from, and makes the packed data only when these are asked for. A recurrent
network then works on padded tensors, whose shape, unlike that of the packed data, does not change with every batch: one program serves all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import ArgumentError, DTypeError, ShapeError, message
from trine.ops.promotion import number
from trine.tensor import Tensor, record
from trine.tensor.convert import from_numpy, tensor
from trine.tensor.device import check_device

_FIELDS = ("data", "batch_sizes", "sorted_indices", "unsorted_indices")
_CONVERSIONS = "double float half bfloat16 long int short char byte".split()


class PackedSequence:
    """Sequences of different lengths without padding: all first steps, then all second steps, and so on, longest sequence first.

    Made by `pack_padded_sequence` and `pack_sequence`, taken by recurrent layers. Behaves like a named tuple of its fields.

    Attributes:
        data: (sum of lengths, *). batch_sizes: int64, how many sequences have each step.
        sorted_indices: the sequences in order of length; unsorted_indices: its inverse (None: they were in order).

    >>> import trine
    >>> from trine.nn.utils.rnn import pack_sequence
    >>> packed = pack_sequence([trine.tensor([1, 2, 3]), trine.tensor([4])])
    >>> packed.data, packed.batch_sizes
    (tensor([1, 4, 2, 3]), tensor([2, 1, 1]))
    """

    _fields = _FIELDS
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None

    def __init__(
        self,
        data: Any,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> None:
        if batch_sizes is None:
            if not isinstance(data, list | tuple) or len(data) != 2:
                raise ArgumentError(message("PackedSequence", received=type(data).__name__, expected="data and batch_sizes"))
            data, batch_sizes = data
        self.batch_sizes = batch_sizes
        self.sorted_indices = sorted_indices
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        self.unsorted_indices = unsorted_indices
        self._data: Tensor | None = data
        self._padded: Tensor | None = None

    @classmethod
    def _from_padded(cls, padded: Tensor, like: PackedSequence | tuple[Tensor, Tensor | None]) -> PackedSequence:
        """Return the packed form of ``(T, B, *)``; sizes and order are those of another, or (batch_sizes, sorted_indices)."""
        made = cls.__new__(cls)
        made._data, made._padded = None, padded
        if isinstance(like, PackedSequence):
            made.batch_sizes, made.sorted_indices, made.unsorted_indices = like.batch_sizes, like.sorted_indices, like.unsorted_indices
        else:
            made.batch_sizes, made.sorted_indices = like
            made.unsorted_indices = invert_permutation(made.sorted_indices)
        return made

    # --- values -------------------------------------------------------------------------------------------------------------------

    def _order(self) -> np.ndarray[Any, Any]:
        """Return the sequences in order of length."""
        if self.sorted_indices is None:
            return np.arange(int(self._sizes()[0]))
        return np.asarray(self.sorted_indices.detach()._array())

    def _sizes(self) -> np.ndarray[Any, Any]:
        return np.asarray(self.batch_sizes.detach()._array())

    def _lengths(self) -> np.ndarray[Any, Any]:
        """Return the length of each sequence, in the user's order."""
        sizes, order = self._sizes(), self._order()
        lengths = np.empty(len(order), np.int64)
        lengths[order] = (sizes[:, None] > np.arange(len(order))).sum(0)
        return lengths

    @property
    def data(self) -> Tensor:
        """The steps of all sequences, without padding."""
        if self._data is None and self._padded is not None:
            sizes, order = self._sizes(), self._order()
            batch = len(order)
            rows = np.concatenate([t * batch + order[:size] for t, size in enumerate(sizes)])
            self._data = record(_rows, (self._padded, from_numpy(rows)))
            self._padded = None  # from now on the data may be changed in place
        return self._data  # type: ignore[return-value]

    def _padded_data(self) -> Tensor:
        """Return (T, B, *) in the user's order; what lies beyond the end of a sequence is not defined."""
        if self._padded is not None:
            return self._padded
        sizes, order = self._sizes(), self._order()
        starts, batch = np.cumsum(sizes) - sizes, len(order)
        rank = np.empty(batch, np.int64)
        rank[order] = np.arange(batch)
        rows = np.where(rank < sizes[:, None], starts[:, None] + rank, 0)
        padded: Tensor = record(_spread, (self._data, from_numpy(rows)))
        return padded

    # --- as a named tuple ---------------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Any]:
        return (getattr(self, name) for name in _FIELDS)

    def __getitem__(self, index: Any) -> Any:
        return tuple(self)[index]

    def __len__(self) -> int:
        return len(_FIELDS)

    def _replace(self, **changes: Any) -> PackedSequence:
        return type(self)(**{**dict(zip(_FIELDS, self, strict=True)), **changes})

    def _asdict(self) -> dict[str, Any]:
        return dict(zip(_FIELDS, self, strict=True))

    def __repr__(self) -> str:
        return f"PackedSequence({', '.join(f'{name}={value!r}' for name, value in zip(_FIELDS, self, strict=True))})"

    # --- conversion ---------------------------------------------------------------------------------------------------------------

    def _mapped(self, function: Callable[[Tensor], Tensor]) -> PackedSequence:
        if self._padded is not None:
            return self._from_padded(function(self._padded), self)
        return type(self)(function(self.data), self.batch_sizes, self.sorted_indices, self.unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """Return the sequences with data of another dtype or on another device."""
        return self._mapped(lambda t: t.to(*args, **kwargs))

    def cpu(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """Return the sequences: everything is on the CPU."""
        return self

    def cuda(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """Move to a GPU; raises, as there is none."""
        check_device("cuda")
        return self

    def pin_memory(self) -> PackedSequence:
        """Return the sequences."""
        return self

    def is_pinned(self) -> bool:
        """Return False."""
        return False

    @property
    def is_cuda(self) -> bool:
        """False: data are on the CPU."""
        return False

    def __getattr__(self, name: str) -> Any:
        if name not in _CONVERSIONS:
            raise AttributeError(f"'PackedSequence' object has no attribute '{name}'")
        return lambda: self._mapped(lambda t: getattr(t, name)())


def _rows(padded: Node, rows: Node) -> Node:
    length, batch, *rest = padded.shape
    return b.take(b.reshape(padded, (length * batch, *rest)), rows, 0)


def _spread(data: Node, rows: Node) -> Node:
    length, batch = rows.shape
    return b.reshape(b.take(data, b.reshape(rows, (length * batch,)), 0), (length, batch, *data.shape[1:]))


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """Return the inverse of a permutation of 0 … n - 1.

    Example:
        >>> import trine
        >>> invert_permutation(trine.tensor([2, 0, 1]))
        tensor([1, 2, 0])
    """
    if permutation is None:
        return None
    order = np.asarray(permutation.detach()._array())
    inverse = np.empty_like(order)
    inverse[order] = np.arange(len(order))
    return from_numpy(inverse)


# --- padded and packed ----------------------------------------------------------------------------------------------------------------


def _as_lengths(lengths: Any) -> np.ndarray[Any, Any]:
    if isinstance(lengths, Tensor):
        if not lengths.dtype.is_integer:
            raise DTypeError(message("lengths", received=lengths.dtype.name, expected="integers", fix="lengths.long()"))
        lengths = lengths.detach()._array()
    return np.asarray(lengths, np.int64).reshape(-1)


def pack_padded_sequence(input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True) -> PackedSequence:
    """Return sequences without their padding.

    Args:
        input: (T, B, *), or (B, T, *) if `batch_first`. lengths: of each sequence: a tensor or a list.
        enforce_sorted: the sequences come in order, longest first (else they are sorted here).

    Raises:
        RuntimeError: lengths that do not fit the input, are not positive, or not in order.

    Example:
        >>> import trine
        >>> pack_padded_sequence(trine.tensor([[1, 2], [3, 0]]), [2, 1], batch_first=True).data
        tensor([1, 3, 2])
    """
    sizes = _as_lengths(lengths)
    if input.dim() < 2:
        raise ShapeError(message("pack_padded_sequence", received=f"shape {tuple(input.shape)}", expected="(T, B, ...)"))
    padded = input.transpose(0, 1) if batch_first else input
    length, batch = padded.shape[:2]
    problem = ""
    if len(sizes) != batch:
        problem = f"{len(sizes)} lengths for a batch of {batch}"
    elif not batch or sizes.min() <= 0:
        problem = "a length of 0: length of all samples has to be greater than 0"
    elif sizes.max() > length:
        problem = f"a length of {sizes.max()}, but only {length} steps"
    if problem:
        raise ShapeError(message("pack_padded_sequence: lengths do not fit", received=problem, expected="one positive length a sequence"))
    order = None
    if enforce_sorted:
        if (np.diff(sizes) > 0).any():
            fix = "pass enforce_sorted=False and/or sort the sequences by length, longest first"
            what = "pack_padded_sequence: `lengths` array must be sorted in decreasing order when `enforce_sorted` is True"
            raise ShapeError(message(what, received=sizes.tolist(), fix=fix))
    else:
        order = from_numpy(np.argsort(-sizes, kind="stable"))
    longest = int(sizes.max())
    batch_sizes = (sizes > np.arange(longest)[:, None]).sum(1).astype(np.int64)
    return PackedSequence._from_padded(padded if longest == length else padded[:longest], (from_numpy(batch_sizes), order))


def _filled(padded: Node, lengths: Node, value: float, total: int, batch_first: bool) -> Node:
    length, batch, *rest = padded.shape
    steps = b.iota((length, batch), 0)
    inside = b.reshape(b.lt(steps, b.reshape(lengths, (1, batch))), (length, batch, *(1,) * len(rest)))
    filled = b.where(inside, padded, number(value, padded))
    if total > length:
        filled = b.pad(filled, (0,) * len(padded.shape), (total - length, *(0,) * (len(rest) + 1)), value)
    return b.permute(filled, (1, 0, *range(2, len(padded.shape)))) if batch_first else filled


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """Return the sequences with padding, and their lengths (int64), in the order in which they were before packing.

    Args:
        batch_first: (B, T, *) instead of (T, B, *). padding_value: what stands beyond the ends.
        total_length: T; default the longest length.

    Raises:
        ValueError: `total_length` is less than the longest length.

    Example:
        >>> import trine
        >>> packed = pack_sequence([trine.tensor([1, 2]), trine.tensor([3])])
        >>> pad_packed_sequence(packed, batch_first=True)
        (tensor([[1, 2],
                [3, 0]]), tensor([2, 1]))
    """
    padded = sequence._padded_data()
    lengths = from_numpy(sequence._lengths())
    longest = padded.shape[0]
    total = longest if total_length is None else total_length
    if total < longest:
        what = "pad_packed_sequence: expected total_length to be at least the length of the longest sequence"
        raise ArgumentError(message(what, received=total, expected=f"at least {longest}"))
    value = padding_value if padded.dtype.is_differentiable else int(padding_value)
    return record(_filled, (padded, lengths), value, total, bool(batch_first)), lengths


# --- lists of sequences ---------------------------------------------------------------------------------------------------------------


def _joined(*arguments: Any) -> Node:
    *sequences, batch_first, value, left = arguments
    longest = max(s.shape[0] for s in sequences)
    padded = []
    for s in sequences:
        missing, zeros = longest - s.shape[0], (0,) * (len(s.shape) - 1)
        low, high = (missing, 0) if left else (0, missing)
        padded.append(b.unsqueeze(b.pad(s, (low, *zeros), (high, *zeros), value), 0 if batch_first else 1))
    return b.concat(padded, 0 if batch_first else 1)


def _copied(sequences: Sequence[Tensor], batch_first: bool, value: float, left: bool) -> Tensor:
    """Pad tensors whose values are known, without a program (whose shapes would be new for every batch)."""
    longest, rest = max(len(s) for s in sequences), tuple(sequences[0].shape[1:])
    shape = (len(sequences), longest) if batch_first else (longest, len(sequences))
    result = np.full((*shape, *rest), value, sequences[0].dtype.numpy)
    rows = result if batch_first else result.swapaxes(0, 1)
    for row, s in zip(rows, sequences, strict=True):
        row[longest - len(s) if left else 0 :][: len(s)] = s._array()
    return from_numpy(result)


def pad_sequence(sequences: Any, batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right") -> Tensor:
    """Return sequences of different lengths as one tensor.

    Args:
        sequences: tensors (L, *). batch_first: (B, T, *) instead of (T, B, *). padding_value: what stands beyond the ends.
        padding_side: "right" or "left".

    Example:
        >>> import trine
        >>> pad_sequence([trine.tensor([1, 2]), trine.tensor([3])], batch_first=True)
        tensor([[1, 2],
                [3, 0]])
    """
    if not isinstance(sequences, Tensor | Sequence | Iterator):
        raise DTypeError(message("pad_sequence", received=type(sequences).__name__, expected="an iterable of tensors"))
    if padding_side not in ("left", "right"):
        raise ArgumentError(message("pad_sequence: padding_side", received=repr(padding_side), expected="'left' or 'right'"))
    parts = list(sequences.unbind(0) if isinstance(sequences, Tensor) else sequences)
    if not parts or not all(isinstance(s, Tensor) for s in parts):
        raise DTypeError(message("pad_sequence", received="no tensors", expected="a list of at least one tensor"))
    if any(s.dim() == 0 or s.shape[1:] != parts[0].shape[1:] for s in parts):
        received = ", ".join(str(tuple(s.shape)) for s in parts)
        raise ShapeError(message("pad_sequence: shapes differ beyond the length", received=received, expected="(L, *) with equal *"))
    first, left = parts[0].dtype, padding_side == "left"
    value = padding_value if first.is_differentiable else bool(padding_value) if first is dtypes.bool_ else int(padding_value)
    if all(s._buffer is not None and not s.requires_grad and s.dtype is first for s in parts) and first is not dtypes.bfloat16:
        return _copied(parts, batch_first, value, left)
    result: Tensor = record(_joined, tuple(parts), bool(batch_first), value, left)
    return result


def unpad_sequence(padded_sequences: Tensor, lengths: Any, batch_first: bool = False) -> list[Tensor]:
    """Return the sequences of a padded tensor as a list.

    Example:
        >>> import trine
        >>> unpad_sequence(trine.tensor([[1, 2], [3, 0]]), trine.tensor([2, 1]), batch_first=True)
        [tensor([1, 2]), tensor([3])]
    """
    rows = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [rows[i, : int(n)] for i, n in enumerate(_as_lengths(lengths))]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Return sequences of different lengths, packed; arguments as those of `pack_padded_sequence`.

    Example:
        >>> import trine
        >>> pack_sequence([trine.tensor([1]), trine.tensor([2, 3])], enforce_sorted=False).data
        tensor([2, 1, 3])
    """
    lengths = tensor([s.shape[0] for s in sequences])
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """Return the sequences of a packed one as a list.

    Example:
        >>> import trine
        >>> unpack_sequence(pack_sequence([trine.tensor([1, 2]), trine.tensor([3])]))
        [tensor([1, 2]), tensor([3])]
    """
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
