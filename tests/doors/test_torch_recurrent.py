"""Recurrent layers, cells and packed sequences against PyTorch's: values, gradients, states, texts, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import trine
from tests.doors.torch_parity import RNG, assert_close, copy_weights, randn, torch
from trine import nn
from trine.nn.utils import rnn as ours_utils

theirs_utils = torch.nn.utils.rnn
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")

LAYERS: list[tuple[str, dict[str, Any]]] = [
    ("LSTM", {}),
    ("LSTM", {"num_layers": 2, "bidirectional": True, "batch_first": True}),
    ("LSTM", {"bias": False, "num_layers": 2}),
    ("LSTM", {"proj_size": 2, "bidirectional": True, "num_layers": 2}),
    ("GRU", {}),
    ("GRU", {"num_layers": 2, "bidirectional": True}),
    ("GRU", {"bias": False, "batch_first": True}),
    ("RNN", {"nonlinearity": "relu", "num_layers": 2}),
    ("RNN", {"bidirectional": True, "batch_first": True}),
]


def pair(name: str, options: dict[str, Any]) -> tuple[Any, Any]:
    ours, theirs = getattr(nn, name)(3, 4, **options), getattr(torch.nn, name)(3, 4, **options)
    copy_weights(ours, theirs)
    assert repr(ours) == repr(theirs)
    return ours, theirs


def states(layer: Any, batch: int | None) -> Any:
    """Initial states as arrays."""
    rows = layer.num_layers * (2 if layer.bidirectional else 1)
    middle = () if batch is None else (batch,)
    hidden = randn(rows, *middle, layer.proj_size or 4)
    return (hidden, randn(rows, *middle, 4)) if isinstance(layer, torch.nn.LSTM) else hidden


def leaves(library: Any, value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(leaves(library, v) for v in value)
    return library.tensor(value, requires_grad=True)


def flat(value: Any) -> list[Any]:
    return [t for v in value for t in flat(v)] if isinstance(value, tuple) else [value]


def compare(ours: Any, theirs: Any, mine: list[Any], other: list[Any], results: list[Any], expecteds: list[Any]) -> None:
    """Results, and the gradients of a sum of all of them."""
    total, expected_total = 0, 0
    for found, expected in zip(results, expecteds, strict=True):
        assert_close(found, expected)
        weight = np.cos(np.arange(expected.numel())).reshape(tuple(expected.shape)).astype(np.float32)
        total, expected_total = total + (found * trine.tensor(weight)).sum(), expected_total + (expected * torch.tensor(weight)).sum()
    total.backward()
    expected_total.backward()
    for x, y in zip(mine, other, strict=True):
        assert_close(x.grad, y.grad)
    for (name, p), (other_name, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert name == other_name
        assert_close(p.grad, q.grad)


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("name,options", LAYERS, ids=[f"{row[0]}-{i}" for i, row in enumerate(LAYERS)])
def test_layer(name: str, options: dict[str, Any], given: bool) -> None:
    ours, theirs = pair(name, options)
    x = randn(2, 5, 3) if options.get("batch_first") else randn(5, 2, 3)
    mine, other = [leaves(trine, x)], [leaves(torch, x)]
    if given:
        initial = states(theirs, 2)
        mine.append(leaves(trine, initial))
        other.append(leaves(torch, initial))
    results, expecteds = flat(ours(*mine)), flat(theirs(*other))
    compare(ours, theirs, flat(tuple(mine)), flat(tuple(other)), results, expecteds)


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("given", [False, True])
def test_unbatched(name: str, given: bool) -> None:
    ours, theirs = pair(name, {"bidirectional": True, "batch_first": True})
    x = randn(4, 3)
    mine, other = [leaves(trine, x)], [leaves(torch, x)]
    if given:
        initial = states(theirs, None)
        mine.append(leaves(trine, initial))
        other.append(leaves(torch, initial))
    compare(ours, theirs, flat(tuple(mine)), flat(tuple(other)), flat(ours(*mine)), flat(theirs(*other)))


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("lengths", [[5, 3, 1], [2, 5, 3], [4, 4, 4]])
@pytest.mark.parametrize("name,options", LAYERS[1:2] + LAYERS[3:4] + LAYERS[5:6] + LAYERS[8:], ids=["lstm", "projection", "gru", "rnn"])
def test_packed(name: str, options: dict[str, Any], lengths: list[int], given: bool) -> None:
    ours, theirs = pair(name, options)
    x = randn(3, 5, 3)

    def run(library: Any, utils: Any, layer: Any, x: Any, initial: Any) -> list[Any]:
        packed = utils.pack_padded_sequence(x, library.tensor(lengths), batch_first=True, enforce_sorted=False)
        output, last = layer(packed) if initial is None else layer(packed, initial)
        padded, sizes = utils.pad_packed_sequence(output, batch_first=True, padding_value=-1.5, total_length=6)
        assert sizes.tolist() == lengths
        data = utils.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        again, _ = layer(utils.PackedSequence(data.data * 2, data.batch_sizes, data.sorted_indices))
        return [padded, *flat(last), again.data]

    initial = states(theirs, 3) if given else None
    mine, other = [leaves(trine, x)], [leaves(torch, x)]
    if initial is not None:
        mine.append(leaves(trine, initial))
        other.append(leaves(torch, initial))
    results = run(trine, ours_utils, ours, mine[0], mine[1] if given else None)
    expecteds = run(torch, theirs_utils, theirs, other[0], other[1] if given else None)
    compare(ours, theirs, flat(tuple(mine)), flat(tuple(other)), results, expecteds)


def test_lengths_do_not_make_new_programs() -> None:
    from trine.session import cache_info

    layer = nn.GRU(3, 4)
    x = trine.tensor(randn(6, 4, 3))
    targets = trine.tensor(randn(6, 4, 4))

    def step(lengths: list[int]) -> None:
        packed = ours_utils.pack_padded_sequence(x, lengths, enforce_sorted=False)
        output, _ = ours_utils.pad_packed_sequence(layer(packed)[0])
        ((output - targets) ** 2).sum().backward()
        assert np.isfinite(layer.weight_hh_l0.grad.numpy()).all()

    step([6, 1, 2, 3])
    step([5, 6, 2, 3])
    built = cache_info()["programs"]["plans_built"]
    step([1, 1, 6, 2])
    assert cache_info()["programs"]["plans_built"] == built


CELLS: list[tuple[str, dict[str, Any]]] = [
    ("RNNCell", {}),
    ("RNNCell", {"nonlinearity": "relu", "bias": False}),
    ("GRUCell", {}),
    ("GRUCell", {"bias": False}),
    ("LSTMCell", {}),
    ("LSTMCell", {"bias": False}),
]


@pytest.mark.parametrize("batch", [(2,), ()])
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("name,options", CELLS, ids=[f"{row[0]}-{i}" for i, row in enumerate(CELLS)])
def test_cell(name: str, options: dict[str, Any], given: bool, batch: tuple[int, ...]) -> None:
    ours, theirs = pair(name, options)
    mine, other = [leaves(trine, x := randn(*batch, 3))], [leaves(torch, x)]
    if given:
        initial = (randn(*batch, 4), randn(*batch, 4)) if name == "LSTMCell" else randn(*batch, 4)
        mine.append(leaves(trine, initial))
        other.append(leaves(torch, initial))
    compare(ours, theirs, flat(tuple(mine)), flat(tuple(other)), flat(ours(*mine)), flat(theirs(*other)))


def test_dropout_between_layers() -> None:
    layer = nn.LSTM(3, 4, num_layers=2, dropout=0.5)
    x = trine.ones(3, 200, 3)
    with trine.no_grad():
        first, second = layer(x)[0], layer(x)[0]
        assert not np.allclose(first.numpy(), second.numpy())
        layer.eval()
        assert np.allclose(layer(x)[0].numpy(), layer(x)[0].numpy())
        layer.train()
        layer.dropout = 1.0
        weights = {name: p for name, p in layer.named_parameters()}
        alone = nn.LSTM(4, 4)
        alone.load_state_dict({name.replace("l1", "l0"): p for name, p in weights.items() if "l1" in name})
        np.testing.assert_allclose(layer(x)[0].numpy(), alone(trine.zeros(3, 200, 4))[0].numpy(), rtol=1e-5, atol=1e-6)
    with pytest.warns(UserWarning, match="dropout"):
        nn.GRU(3, 4, dropout=0.5)


def test_attributes() -> None:
    ours, theirs = nn.LSTM(3, 4, num_layers=2, bidirectional=True, proj_size=2), torch.nn.LSTM(3, 4, 2, bidirectional=True, proj_size=2)
    assert [[tuple(p.shape) for p in group] for group in ours.all_weights] == [
        [tuple(p.shape) for p in group] for group in theirs.all_weights
    ]
    assert ours._flat_weights_names == theirs._flat_weights_names
    assert ours.flatten_parameters() is None
    ours.weight_ih_l0 = nn.Parameter(trine.zeros(16, 3))
    assert ours._flat_weights[0] is ours.weight_ih_l0


WRONG: list[tuple[Any, type[Exception]]] = [
    (lambda library: library.nn.LSTM(3, 4)(library.ones(2, 2, 5)), RuntimeError),
    (lambda library: library.nn.LSTM(3, 4)(library.ones(3)), ValueError),
    (lambda library: library.nn.LSTM(3, 4)(library.ones(2, 2, 3), (library.ones(1, 3, 4), library.ones(1, 2, 4))), RuntimeError),
    (lambda library: library.nn.LSTM(3, 4)(library.ones(2, 2, 3), (library.ones(1, 4), library.ones(1, 4))), RuntimeError),
    (lambda library: library.nn.GRU(3, 4)(library.ones(0, 2, 3)), RuntimeError),
    (lambda library: library.nn.GRU(3, 4)(library.ones(2, 2, 3, dtype=library.float64)), ValueError),
    (lambda library: library.nn.GRU(3, 4, proj_size=2), ValueError),
    (lambda library: library.nn.LSTM(3, 4, proj_size=4), ValueError),
    (lambda library: library.nn.RNN(3, 4, nonlinearity="sin"), ValueError),
    (lambda library: library.nn.RNN(3, 4, dropout=2), ValueError),
    (lambda library: library.nn.RNN(3, 0), ValueError),
    (lambda library: library.nn.RNN(3.0, 4), TypeError),
    (lambda library: library.nn.LSTMCell(3, 4)(library.ones(2, 5)), RuntimeError),
    (lambda library: library.nn.GRUCell(3, 4)(library.ones(2, 3), library.ones(3, 4)), RuntimeError),
    (lambda library: library.nn.RNNCell(3, 4)(library.ones(2, 2, 3)), ValueError),
    (lambda library: library.nn.utils.rnn.pack_padded_sequence(library.ones(3, 2, 1), [1, 3]), RuntimeError),
    (lambda library: library.nn.utils.rnn.pack_padded_sequence(library.ones(3, 2, 1), [3, 0]), RuntimeError),
    (lambda library: library.nn.utils.rnn.pack_padded_sequence(library.ones(3, 2, 1), [3]), RuntimeError),
    (
        lambda library: library.nn.utils.rnn.pad_packed_sequence(
            library.nn.utils.rnn.pack_padded_sequence(library.ones(3, 2, 1), [3, 1]), total_length=2
        ),
        ValueError,
    ),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_wrong_input(number: int) -> None:
    program, kind = WRONG[number]
    for library in (trine, torch):
        with pytest.raises(kind):
            program(library)


# --- packing and padding -----------------------------------------------------------------------------------------------------------------


def sequences(library: Any, grad: bool = False) -> list[Any]:
    values = [np.arange(n * 2, dtype=np.float32).reshape(n, 2) for n in (2, 4, 1)]
    return [library.tensor(v, requires_grad=grad) for v in values]


PACKING: list[Any] = [
    lambda library, u: u.pad_sequence(sequences(library)),
    lambda library, u: u.pad_sequence(sequences(library), batch_first=True, padding_value=-2),
    lambda library, u: u.pad_sequence(sequences(library), batch_first=True, padding_side="left"),
    lambda library, u: u.pad_sequence(sequences(library, True), padding_value=0.5),
    lambda library, u: u.pad_sequence([library.tensor([1, 2]), library.tensor([3])], True, 9),
    lambda library, u: u.pad_sequence(t for t in sequences(library)),
    lambda library, u: list(u.pack_sequence(sequences(library), enforce_sorted=False)),
    lambda library, u: u.pack_sequence(sequences(library), enforce_sorted=False)[1],
    lambda library, u: len(u.pack_sequence(sequences(library), enforce_sorted=False)),
    lambda library, u: u.unpack_sequence(u.pack_sequence(sequences(library), enforce_sorted=False)),
    lambda library, u: u.unpad_sequence(u.pad_sequence(sequences(library)), library.tensor([2, 4, 1])),
    lambda library, u: u.pad_packed_sequence(
        u.pack_sequence(sequences(library), enforce_sorted=False), batch_first=True, padding_value=7.0
    ),
    lambda library, u: u.pad_packed_sequence(u.pack_padded_sequence(library.ones(5, 2, 1), library.tensor([3, 2]))),
    lambda library, u: u.pack_sequence(sequences(library), enforce_sorted=False).double().to(library.float32).data,
    lambda library, u: u.pack_sequence([library.ones(3), library.ones(2)]).sorted_indices,
    lambda library, u: u.PackedSequence(library.ones(3), library.tensor([2, 1]))._replace(data=library.zeros(3)).data,
    lambda library, u: u.pad_packed_sequence(u.PackedSequence(library.arange(6.0), library.tensor([3, 2, 1]), library.tensor([1, 2, 0]))),
    lambda library, u: u.pack_sequence(sequences(library)),
    lambda library, u: u.pad_sequence([library.ones(2, 2), library.ones(2, 3)]),
    lambda library, u: u.pad_sequence(sequences(library), padding_side="up"),
    lambda library, u: u.invert_permutation(library.tensor([2, 0, 1])),
]


def shown(value: Any) -> Any:
    return [shown(v) for v in value] if isinstance(value, list | tuple) else value.tolist() if hasattr(value, "tolist") else value


@pytest.mark.parametrize("number", range(len(PACKING)))
def test_packing(number: int) -> None:
    try:
        expected = shown(PACKING[number](torch, theirs_utils))
    except RuntimeError:
        with pytest.raises((RuntimeError, ValueError)):
            PACKING[number](trine, ours_utils)
        return
    assert shown(PACKING[number](trine, ours_utils)) == expected


def test_gradients_through_padding() -> None:
    mine, other = sequences(trine, True), sequences(torch, True)
    weight = RNG.standard_normal((4, 3, 2)).astype(np.float32)
    (ours_utils.pad_sequence(mine) * trine.tensor(weight)).sum().backward()
    (theirs_utils.pad_sequence(other) * torch.tensor(weight)).sum().backward()
    for x, y in zip(mine, other, strict=True):
        assert_close(x.grad, y.grad)
