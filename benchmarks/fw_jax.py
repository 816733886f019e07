"""Small programs in JAX (see fw_trine.py): an MLP, and the recurrent loop, which jit unrolls and compiles for each length anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from common import LR, RNN, load

VARIANTS = {"jit": ["W1", "W9", "W10"]}


def sync(handle: Any) -> None:
    handle.block_until_ready()


def value(handle: Any) -> Any:
    return np.asarray(handle)


def build(name: str, variant: str) -> Callable[[], Any]:
    return recurrent_loop() if name == "W10" else mlp(name)


def mlp(name: str) -> Callable[[], Any]:
    p, d = load(name)
    params = {key: jnp.asarray(array) for key, array in p.items()}
    x, y = jnp.asarray(d["x"]), jnp.asarray(d["y"])

    def logits_of(params: Any, x: Any) -> Any:
        last = len(params) // 2 - 1
        for layer in range(last + 1):
            x = x @ params[f"w{layer}"] + params[f"b{layer}"]
            x = x if layer == last else jax.nn.relu(x)
        return x

    if name == "W9":
        infer = jax.jit(logits_of)
        return lambda: infer(params, x)

    def loss_of(params: Any) -> Any:
        logits = logits_of(params, x)
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean()

    def train(params: Any) -> Any:
        loss, gradients = jax.value_and_grad(loss_of)(params)
        return jax.tree.map(lambda param, gradient: param - LR[name] * gradient, params, gradients), loss

    compiled, state = jax.jit(train, donate_argnums=0), {"params": params}

    def step() -> Any:
        state["params"], loss = compiled(state["params"])
        return loss

    return step


def recurrent_loop() -> Callable[[], Any]:
    name = "W10"
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
