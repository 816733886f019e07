"""The workloads in TensorFlow (see fw_trine.py): whole training steps in `tf.function`, TensorFlow's layouts, optimizers of Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from common import ADAM, ADAMW, BATCH, BLOCKS, BN_EPS, BN_MOM, GPT, LN_EPS, LR, LSTM, MLP, MOMENTUM, RNN, THREADS, load

VARIANTS = {"function": ["W1", "W2", "W3", "W4", "W5", "W6", "W7b1", "W7b16", "W8", "W9", "W10"]}
INFERENCE = ("W7b1", "W7b16", "W8", "W9")
Arrays = dict[str, Any]
Forward = Callable[[Any], Any]

tf.config.threading.set_intra_op_parallelism_threads(THREADS)
tf.config.threading.set_inter_op_parallelism_threads(THREADS)


def sync(handle: Any) -> None:
    """Eager results of a `tf.function` are there when it returns."""


def value(handle: Any) -> Any:
    return handle.numpy()


def build(name: str, variant: str) -> Callable[[], Any]:
    params, data = load(name)
    if name == "W10":
        return recurrent_loop(params, data)
    params, data = converted(name, params, data)
    is_inference = name in INFERENCE
    # constants let the graph optimizer fold batch norms into convolutions
    held = {key: tf.constant(array) if is_inference else tf.Variable(array, trainable=is_trained(key)) for key, array in params.items()}
    x = tf.constant(data["x"])
    if name == "W6":
        network, trained = lstm(params)
    else:
        network, trained = NETWORKS[name](held), [] if is_inference else [held[key] for key in held if is_trained(key)]
    if is_inference:
        infer = tf.function(network, autograph=False)
        return lambda: infer(x)
    y, optim = tf.constant(data["y"]), optimizer(name)
    optim.build(trained)

    @tf.function(autograph=False)
    def train(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, network(x)))
        # sparse gradients of an embedding become dense: with rows that occur twice Keras's AdamW would compute something else
        optim.apply([tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, trained)], trained)
        return loss

    return lambda: train(x, y)


def is_trained(key: str) -> bool:
    """Return whether an array is a parameter, not a running mean or variance."""
    return not key.endswith((".m", ".v"))


def converted(name: str, params: Arrays, data: Arrays) -> tuple[Arrays, Arrays]:
    """Return weights and data in TensorFlow's layouts: images NHWC, windows HWIO, labels int32."""
    data = {key: array.astype(np.int32) if array.dtype.kind == "i" else array for key, array in data.items()}
    if data["x"].ndim != 4:
        return params, data
    params = {key: array.transpose(2, 3, 1, 0) if array.ndim == 4 else array for key, array in params.items()}
    if "dw" in params:  # what follows a flattened image: from (64, 5, 5) to (5, 5, 64) inputs
        params["dw"] = params["dw"].reshape(64, 5, 5, -1).transpose(1, 2, 0, 3).reshape(1600, -1)
    return params, data | {"x": data["x"].transpose(0, 2, 3, 1)}


def conv(x: Any, weight: Any, stride: int = 1, padding: int = 0) -> Any:
    return tf.nn.conv2d(x, weight, stride, [[0, 0], [padding, padding], [padding, padding], [0, 0]] if padding else "VALID")


def linear(x: Any, weight: Any, bias: Any) -> Any:
    """Apply a linear layer to the last axis."""
    y = tf.matmul(tf.reshape(x, (-1, x.shape[-1])), weight)
    y = y if bias is None else tf.nn.bias_add(y, bias)
    return tf.reshape(y, (*x.shape[:-1], weight.shape[-1]))


def mlp(p: Arrays) -> Forward:
    last = len(p) // 2 - 1

    def forward(x: Any) -> Any:
        for layer in range(last + 1):
            x = linear(x, p[f"w{layer}"], p[f"b{layer}"])
            x = x if layer == last else tf.nn.relu(x)
        return x

    return forward


def cnn(p: Arrays) -> Forward:
    def forward(x: Any) -> Any:
        for layer in ("c0", "c1"):
            x = tf.nn.relu(tf.nn.bias_add(conv(x, p[f"{layer}w"]), p[f"{layer}b"]))
            x = tf.nn.max_pool2d(x, 2, 2, "VALID")
        return linear(tf.reshape(x, (x.shape[0], -1)), p["dw"], p["db"])

    return forward


def resnet(p: Arrays, is_imagenet: bool) -> Forward:
    def normalized(x: Any, name: str, stride: int, padding: int) -> Any:
        """Convolution and batch norm, which is in training mode for the small images."""
        x = conv(x, p[f"{name}.w"], stride, padding)
        gain, bias, mean, variance = (p[f"{name}.{key}"] for key in "gbmv")
        if is_imagenet:
            return tf.compat.v1.nn.fused_batch_norm(x, gain, bias, mean, variance, BN_EPS, is_training=False)[0]
        y, batch_mean, batch_variance = tf.compat.v1.nn.fused_batch_norm(x, gain, bias, epsilon=BN_EPS)[:3]
        mean.assign_sub(BN_MOM * (mean - batch_mean))
        variance.assign_sub(BN_MOM * (variance - batch_variance))
        return y

    def forward(x: Any) -> Any:
        x = tf.nn.relu(normalized(x, "stem", *((2, 3) if is_imagenet else (1, 1))))
        if is_imagenet:  # padding by zeros: what a ReLU gives is not below them
            x = tf.nn.max_pool2d(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), 3, 2, "VALID")
        for name, stride in BLOCKS:
            y = tf.nn.relu(normalized(x, f"{name}.c1", stride, 1))
            shortcut = normalized(x, f"{name}.ds", stride, 0) if f"{name}.ds.w" in p else x
            x = tf.nn.relu(normalized(y, f"{name}.c2", 1, 1) + shortcut)
        return linear(tf.reduce_mean(x, (1, 2)), p["fc.w"], p["fc.b"])

    return forward


def gpt(p: Arrays, is_last_only: bool) -> Forward:
    heads, width = GPT["heads"], GPT["d"]

    def norm(x: Any, name: str) -> Any:
        mean, variance = tf.nn.moments(x, -1, keepdims=True)
        return tf.nn.batch_normalization(x, mean, variance, p[f"{name}.b"], p[f"{name}.g"], LN_EPS)

    def part(x: Any, name: str) -> Any:
        return linear(x, p[f"{name}.w"], p[f"{name}.b"])

    def attention(x: Any, name: str, mask: Any) -> Any:
        batch, length, _ = x.shape
        parts = tf.split(part(x, f"{name}.qkv"), 3, -1)
        q, k, v = (tf.transpose(tf.reshape(t, (batch, length, heads, width // heads)), (0, 2, 1, 3)) for t in parts)
        weights = tf.nn.softmax(tf.matmul(q, k, transpose_b=True) * (width // heads) ** -0.5 + mask)
        return part(tf.reshape(tf.transpose(tf.matmul(weights, v), (0, 2, 1, 3)), (batch, length, width)), f"{name}.proj")

    def forward(ids: Any) -> Any:
        length = ids.shape[1]
        mask = tf.where(tf.linalg.band_part(tf.ones((length, length), tf.bool), -1, 0), 0.0, -1e9)
        x = tf.gather(p["wte"], ids) + p["wpe"]
        for layer in range(GPT["layers"]):
            x = x + attention(norm(x, f"h{layer}.ln1"), f"h{layer}", mask)
            x = x + part(tf.nn.gelu(part(norm(x, f"h{layer}.ln2"), f"h{layer}.fc"), approximate=True), f"h{layer}.fc2")
        x = norm(x, "lnf")
        return linear(x[:, -1] if is_last_only else x, p["head.w"], None)

    return forward


def lstm(p: Arrays) -> tuple[Any, list[Any]]:
    """Return Keras's network and its weights."""
    last = LSTM["layers"] - 1
    inputs = keras.Input((LSTM["seq"], LSTM["inp"]), batch_size=BATCH["W6"])
    layers = [keras.layers.LSTM(LSTM["hid"], return_sequences=layer < last) for layer in range(last + 1)]
    network = keras.Sequential([inputs, *layers, keras.layers.Dense(LSTM["out"])])
    network.set_weights([*(p[f"l{layer}.{key}"] for layer in range(last + 1) for key in ("wi", "wh", "b")), p["head.w"], p["head.b"]])
    return network, network.trainable_variables


NETWORKS: dict[str, Callable[[Arrays], Forward]] = {
    **dict.fromkeys(MLP, mlp),
    "W3": cnn,
    "W4": lambda p: resnet(p, False),
    **dict.fromkeys(("W7b1", "W7b16"), lambda p: resnet(p, True)),
    "W5": lambda p: gpt(p, False),
    "W8": lambda p: gpt(p, True),
}


def optimizer(name: str) -> Any:
    if name in ("W1", "W10"):
        return keras.optimizers.SGD(LR[name])
    if name == "W4":
        return keras.optimizers.SGD(LR[name], MOMENTUM)
    if name == "W5":
        return keras.optimizers.AdamW(LR[name], ADAMW["wd"], ADAMW["b1"], ADAMW["b2"], ADAMW["eps"])
    return keras.optimizers.Adam(LR[name], ADAM["b1"], ADAM["b2"], ADAM["eps"])


def recurrent_loop(params: Arrays, data: Arrays) -> Callable[[], Any]:
    """Return the step of W10: a `tf.while_loop`, traced once for all lengths."""
    p, optim = {key: tf.Variable(array) for key, array in params.items()}, optimizer("W10")
    trained = list(p.values())
    optim.build(trained)
    x, y = tf.constant(data["x"]), tf.constant(data["y"])
    lengths = iter([int(n) for n in data["lengths"]] * 2)

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None, *x.shape[1:])), tf.TensorSpec(y.shape)])
    def train(x: Any, y: Any) -> Any:
        def advance(t: Any, h: Any) -> Any:
            return t + 1, tf.tanh(x[t] @ p["wx"] + h @ p["wh"] + p["b"])

        with tf.GradientTape() as tape:
            start = (0, tf.zeros((BATCH["W10"], RNN["hid"])))
            _, h = tf.while_loop(lambda t, h: t < tf.shape(x)[0], advance, start)
            loss = tf.reduce_mean(tf.square(h @ p["wo"] - y))
        optim.apply(tape.gradient(loss, trained), trained)
        return loss

    return lambda: train(x[: next(lengths)], y)
