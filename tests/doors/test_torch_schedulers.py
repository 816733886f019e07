"""Learning rate schedulers and averaged models against PyTorch's."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import trine
from tests.doors.torch_parity import torch

Make = Callable[[Any, Any], Any]


def named(name: str, **options: Any) -> Make:
    return lambda schedulers, optimizer: getattr(schedulers, name)(optimizer, **options)


def sequential(s: Any, o: Any) -> Any:
    first = s.LinearLR(o, start_factor=0.1, total_iters=3)
    return s.SequentialLR(o, [first, s.ConstantLR(o, factor=0.5, total_iters=2), s.ExponentialLR(o, gamma=0.8)], milestones=[3, 6])


def chained(s: Any, o: Any) -> Any:
    return s.ChainedScheduler([s.ConstantLR(o, factor=0.1, total_iters=2), s.ExponentialLR(o, gamma=0.9)])


def nested(s: Any, o: Any) -> Any:
    inner = s.SequentialLR(o, [s.StepLR(o, 2), s.CosineAnnealingLR(o, 4)], milestones=[3])
    with warnings.catch_warnings():  # the inner schedulers step again before the optimizer has
        warnings.simplefilter("ignore")
        return s.SequentialLR(o, [inner, s.LinearLR(o, total_iters=3)], milestones=[7])


MAKERS: dict[str, Make] = {
    "step": named("StepLR", step_size=3, gamma=0.5),
    "multi_step": named("MultiStepLR", milestones=[2, 5, 5], gamma=0.1),
    "exponential": named("ExponentialLR", gamma=0.9),
    "constant": named("ConstantLR", factor=0.5, total_iters=4),
    "linear": named("LinearLR", start_factor=0.2, end_factor=0.9, total_iters=5),
    "polynomial": named("PolynomialLR", total_iters=8, power=2.0),
    "cosine": named("CosineAnnealingLR", T_max=4, eta_min=0.001),
    "restarts": named("CosineAnnealingWarmRestarts", T_0=3, T_mult=2),
    "one_cycle": named("OneCycleLR", max_lr=0.5, total_steps=20),
    "three_phases": named("OneCycleLR", max_lr=[0.5, 0.2], epochs=4, steps_per_epoch=5, three_phase=True, anneal_strategy="linear"),
    "cyclic": named("CyclicLR", base_lr=0.01, max_lr=0.1, step_size_up=3, step_size_down=2, mode="triangular2"),
    "exp_range": named("CyclicLR", base_lr=0.01, max_lr=[0.1, 0.3], step_size_up=3, mode="exp_range", gamma=0.9),
    "scale_fn": named("CyclicLR", base_lr=0.01, max_lr=0.1, step_size_up=3, scale_fn=lambda x: 0.5**x, cycle_momentum=False),
    "lambda": named("LambdaLR", lr_lambda=[lambda e: 0.9**e, lambda e: 1 / (e + 1)]),
    "multiplicative": named("MultiplicativeLR", lr_lambda=lambda e: 0.95),
    "sequential": sequential,
    "chained": chained,
    "nested": nested,
}


def optimizer_of(library: Any, kind: str = "SGD") -> Any:
    groups = [{"params": [library.nn.Parameter(library.ones(2))]}, {"params": [library.nn.Parameter(library.ones(1))], "lr": 0.2}]
    return getattr(library.optim, kind)(groups, lr=0.1, **({"momentum": 0.9} if kind == "SGD" else {}))


def values(optimizer: Any) -> list[Any]:
    return [[g["lr"], g["betas"][0] if "betas" in g else g["momentum"]] for g in optimizer.param_groups]


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("name", MAKERS)
def test_rates(name: str, kind: str) -> None:
    found: list[Any] = []
    for library in (trine, torch):
        optimizer = optimizer_of(library, kind)
        scheduler = MAKERS[name](library.optim.lr_scheduler, optimizer)
        rates = [values(optimizer)]
        for _ in range(14):
            optimizer.step()
            scheduler.step()
            rates.append(values(optimizer))
            assert scheduler.get_last_lr() == [row[0] for row in rates[-1]]
        found.append(rates)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", [n for n in MAKERS if n not in ("sequential", "chained", "nested")])
def test_given_epochs(name: str) -> None:
    found: list[Any] = []
    for library in (trine, torch):
        optimizer = optimizer_of(library)
        scheduler = MAKERS[name](library.optim.lr_scheduler, optimizer)
        optimizer.step()
        rates = []
        for epoch in (5, 2, 9):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                scheduler.step(epoch)
            rates.append(values(optimizer))
        found.append(rates)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", MAKERS)
def test_states_go_both_ways(name: str) -> None:
    ours, theirs = optimizer_of(trine), optimizer_of(torch)
    mine, other = MAKERS[name](trine.optim.lr_scheduler, ours), MAKERS[name](torch.optim.lr_scheduler, theirs)
    for _ in range(4):
        for optimizer, scheduler in ((ours, mine), (theirs, other)):
            optimizer.step()
            scheduler.step()
    crossed = []
    for library, state, groups in ((trine, other.state_dict(), theirs.param_groups), (torch, mine.state_dict(), ours.param_groups)):
        optimizer = optimizer_of(library)
        scheduler = MAKERS[name](library.optim.lr_scheduler, optimizer)
        scheduler.load_state_dict(copy.deepcopy(state))
        for group, source in zip(optimizer.param_groups, groups, strict=True):
            group.update({k: v for k, v in source.items() if k != "params"})
        crossed.append((optimizer, scheduler))
    for _ in range(4):
        for optimizer, scheduler in ((ours, mine), (theirs, other), *crossed):
            optimizer.step()
            scheduler.step()
    for optimizer, _ in crossed:
        np.testing.assert_allclose(values(optimizer), values(ours), rtol=1e-9)


@pytest.mark.parametrize("options", [{}, {"mode": "max", "threshold_mode": "abs", "threshold": 0.05, "cooldown": 1, "min_lr": [0.02, 0.1]}])
def test_plateau(options: dict[str, Any]) -> None:
    metrics = [1.0, 0.9, 0.95, 0.93, 0.92, 0.92, 0.92, 0.5, 0.6, 0.6, 0.6, 0.7, 0.7]
    found: list[Any] = []
    for library in (trine, torch):
        optimizer = optimizer_of(library)
        scheduler = library.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=1, factor=0.3, **options)
        rates = []
        for i, metric in enumerate(metrics):
            optimizer.step()
            scheduler.step(library.tensor(metric))
            if i == 6:
                scheduler.load_state_dict(copy.deepcopy(scheduler.state_dict()))
            rates.append((scheduler.get_last_lr(), scheduler.num_bad_epochs, scheduler.best))
        found.append(rates)
    assert [r[1] for r in found[0]] == [r[1] for r in found[1]]
    np.testing.assert_allclose([r[0] for r in found[0]], [r[0] for r in found[1]], rtol=1e-9)


def test_a_rate_that_is_a_tensor_is_filled_in_place() -> None:
    w = trine.nn.Parameter(trine.ones(1))
    rate = trine.tensor(0.5)
    optimizer = trine.optim.SGD([w], lr=rate)
    scheduler = trine.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    w.grad = trine.ones(1)
    optimizer.step()
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] is rate and rate.item() == 0.25 and w.item() == 0.5
    assert scheduler.base_lrs[0].item() == 0.5


def test_bad_arguments_and_warnings() -> None:
    s = trine.optim.lr_scheduler
    optimizer = optimizer_of(trine)
    for make, kind, text in (
        (lambda: s.StepLR(3, 1), TypeError, "not an Optimizer"),
        (lambda: s.ConstantLR(optimizer, factor=2), ValueError, "factor"),
        (lambda: s.LinearLR(optimizer, start_factor=0), ValueError, "start_factor"),
        (lambda: s.LambdaLR(optimizer, [lambda e: 1.0]), ValueError, "Expected 2"),
        (lambda: s.MultiplicativeLR(optimizer, 3), TypeError, "function"),
        (lambda: s.OneCycleLR(optimizer, 0.1), ValueError, "total_steps"),
        (lambda: s.OneCycleLR(optimizer, 0.1, total_steps=-1), ValueError, "total_steps"),
        (lambda: s.OneCycleLR(optimizer, 0.1, total_steps=5, pct_start=2.0), ValueError, "pct_start"),
        (lambda: s.OneCycleLR(trine.optim.Adagrad(optimizer.param_groups[0]["params"]), 0.1, total_steps=5), ValueError, "momentum"),
        (lambda: s.CyclicLR(optimizer, 0.1, [1.0], mode="other"), ValueError, "same length"),
        (lambda: s.CyclicLR(optimizer, 0.1, 1.0, mode="other"), ValueError, "mode"),
        (lambda: s.CosineAnnealingWarmRestarts(optimizer, 0), ValueError, "T_0"),
        (lambda: s.ReduceLROnPlateau(optimizer, factor=1.0), ValueError, "Factor"),
        (lambda: s.ReduceLROnPlateau(optimizer, mode="up"), ValueError, "unknown"),
        (lambda: s.SequentialLR(optimizer, [], []), ValueError, "at least one"),
        (lambda: s.SequentialLR(optimizer, [s.StepLR(optimizer, 1)], [3]), ValueError, "milestones"),
        (lambda: s.ChainedScheduler([s.ReduceLROnPlateau(optimizer)]), ValueError, "ReduceLROnPlateau"),
        (lambda: s.ChainedScheduler([s.StepLR(optimizer, 1), s.StepLR(optimizer_of(trine), 1)]), ValueError, "same optimizer"),
        (lambda: s.StepLR(optimizer_of(trine), 1, last_epoch=3), KeyError, "initial_lr"),
    ):
        with pytest.raises(kind, match=text):
            make()
    scheduler = s.StepLR(optimizer_of(trine), 1)
    with pytest.warns(UserWarning, match="before optimizer.step"):
        scheduler.step()
    with pytest.warns(UserWarning, match="get_last_lr"):
        scheduler.get_lr()


@pytest.mark.parametrize("strategy", ["cos", "linear"])
def test_swa_rates(strategy: str) -> None:
    found: list[Any] = []
    for library in (trine, torch):
        optimizer = optimizer_of(library)
        scheduler = library.optim.swa_utils.SWALR(optimizer, swa_lr=0.05, anneal_epochs=3, anneal_strategy=strategy)
        rates = []
        for _ in range(6):
            optimizer.step()
            scheduler.step()
            rates.append(values(optimizer))
        found.append(rates)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-7)


@pytest.mark.parametrize("kind", ["default", "ema", "multi_ema", "multi_swa"])
@pytest.mark.parametrize("use_buffers", [False, True])
def test_averaged_models(kind: str, use_buffers: bool) -> None:
    if kind == "multi_swa" and use_buffers:
        pytest.skip("PyTorch divides the integer buffer by addcdiv, which it no longer allows")
    found: list[Any] = []
    rng = np.random.default_rng(2)
    arrays = [rng.standard_normal((3, 4)).astype(np.float32) for _ in range(4)]
    batches = [rng.standard_normal((5, 4)).astype(np.float32) for _ in range(3)]
    for library in (trine, torch):
        utils = library.optim.swa_utils
        options = {
            "default": {},
            "ema": {"avg_fn": utils.get_ema_avg_fn(0.75)},
            "multi_ema": {"multi_avg_fn": utils.get_ema_multi_avg_fn(0.75)},
            "multi_swa": {"multi_avg_fn": utils.get_swa_multi_avg_fn()},
        }[kind]
        model = library.nn.Sequential(library.nn.Linear(4, 3), library.nn.BatchNorm1d(3))
        average = utils.AveragedModel(model, use_buffers=use_buffers, **options)
        for array in arrays:
            with library.no_grad():
                model[0].weight.copy_(library.tensor(array))
                model[0].bias.zero_()
            average.update_parameters(model)
        utils.update_bn([(library.tensor(b), 0) for b in batches], average)
        found.append({k: v.numpy() for k, v in average.state_dict().items()})
    assert list(found[0]) == list(found[1])
    for key, value in found[1].items():
        np.testing.assert_allclose(found[0][key], value, rtol=1e-5, atol=1e-6)
