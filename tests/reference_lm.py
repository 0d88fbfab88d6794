"""GPT-2 and LLaMA written out in NumPy, in double precision, from the published descriptions."""

from __future__ import annotations

import numpy as np


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def layer_norm(x, weight, bias):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5) * weight + bias


def rms_norm(x, weight):
    return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-5) * weight


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def silu(x):
    return x / (1 + np.exp(-x))


def rotated(x):
    """Each pair (j, j + half) as a complex number, turned by position / 10000^(2j / width)."""
    length, width = x.shape
    half = width // 2
    z = x[:, :half] + 1j * x[:, half:]
    rates = 10000.0 ** (-2 * np.arange(half) / width)
    z = z * np.exp(1j * np.arange(length)[:, None] * rates)
    return np.concatenate([z.real, z.imag], axis=1)


def attention(x, weights, prefix, heads, rotary, bias):
    length, width = x.shape
    joined = x @ weights[prefix + "in_proj.weight"].T
    if bias:
        joined = joined + weights[prefix + "in_proj.bias"]
    out = np.zeros_like(x)
    size = width // heads
    for h in range(heads):
        q, k, v = (joined[:, part * width + h * size :][:, :size] for part in range(3))
        if rotary:
            q, k = rotated(q), rotated(k)
        scores = q @ k.T / np.sqrt(size)
        scores[np.triu_indices(length, 1)] = -np.inf
        out[:, h * size : (h + 1) * size] = softmax(scores) @ v
    out = out @ weights[prefix + "out_proj.weight"].T
    return out + weights[prefix + "out_proj.bias"] if bias else out


def gpt2(weights, tokens, layers, heads, rotary):
    """Logits, (T, V), of one sequence whose first token is the start symbol."""
    x = weights["embedding.weight"][tokens]
    if not rotary:
        x = x + weights["positions.weight"][: len(tokens)]
    for i in range(layers):
        p = f"blocks.{i}."
        h = layer_norm(x, weights[p + "attention_norm.weight"], weights[p + "attention_norm.bias"])
        x = x + attention(h, weights, p + "attention.", heads, rotary, bias=True)
        h = layer_norm(x, weights[p + "mlp_norm.weight"], weights[p + "mlp_norm.bias"])
        h = gelu(h @ weights[p + "mlp.in_proj.weight"].T + weights[p + "mlp.in_proj.bias"])
        x = x + h @ weights[p + "mlp.out_proj.weight"].T + weights[p + "mlp.out_proj.bias"]
    x = layer_norm(x, weights["norm.weight"], weights["norm.bias"])
    return x @ weights["embedding.weight"][:-1].T


def llama(weights, tokens, layers, heads):
    """Logits, (T, V), of one sequence whose first token is the start symbol."""
    x = weights["embedding.weight"][tokens]
    for i in range(layers):
        p = f"blocks.{i}."
        h = rms_norm(x, weights[p + "attention_norm.weight"])
        x = x + attention(h, weights, p + "attention.", heads, rotary=True, bias=False)
        h = rms_norm(x, weights[p + "mlp_norm.weight"])
        gate = silu(h @ weights[p + "mlp.gate.weight"].T)
        x = (
            x
            + (gate * (h @ weights[p + "mlp.in_proj.weight"].T))
            @ weights[p + "mlp.out_proj.weight"].T
        )
    return rms_norm(x, weights["norm.weight"]) @ weights["head.weight"].T


def losses(logits, targets):
    """-ln p of each target."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return -log_p[np.arange(len(targets)), targets]
