"""The recurrent loop of changing length in JAX: a Python loop unrolled by jit, one compilation for each length (see fw_trine.py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from common import LR, RNN, load

VARIANTS = {"jit": ["W10"]}


def sync(handle: Any) -> None:
    handle.block_until_ready()


def value(handle: Any) -> Any:
    return np.asarray(handle)


def build(name: str, variant: str) -> Callable[[], Any]:
    p, d = load(name)
    x, y = jnp.asarray(d["x"]), jnp.asarray(d["y"])
    lengths = iter([int(n) for n in d["lengths"]] * 2)
    state = {"params": {key: jnp.asarray(array) for key, array in p.items()}}

    def loss_of(params: Any, x: Any) -> Any:
        h = jnp.zeros((x.shape[1], RNN["hid"]))
        for t in range(x.shape[0]):
            h = jnp.tanh(x[t] @ params["wx"] + h @ params["wh"] + params["b"])
        return jnp.square(h @ params["wo"] - y).mean()

    def train(params: Any, x: Any) -> Any:
        loss, gradients = jax.value_and_grad(loss_of)(params, x)
        return jax.tree.map(lambda param, gradient: param - LR[name] * gradient, params, gradients), loss

    compiled = jax.jit(train, donate_argnums=0)

    def step() -> Any:
        state["params"], loss = compiled(state["params"], x[: next(lengths)])
        return loss

    return step
