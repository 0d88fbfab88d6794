"""Training throughput against a model of equal size in the style of nanoGPT, interleaved.

    python benchmarks/lm_throughput.py [--size 0.3M] [--context 64] [--device cpu]

The other model follows nanoGPT (Karpathy: fused projection, flash attention, GELU, tied embeddings,
AdamW) and serves to compare the cost only. On a GPU, the table also has our speed as a fraction of
the bfloat16 speed of large matrix products. Writes benchmarks/results/lm_throughput.json, or
lm_throughput_gpu.json on a GPU.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from bars import machine
from ngramstat.lm.models import build, parameters_without_embeddings
from ngramstat.lm.run import Run, Settings
from ngramstat.lm.shape import Shape, shape_of
from ngramstat.lm.train import seconds_per_token
from ngramstat.runtime.resources import available_threads

RESULTS = Path(__file__).resolve().parent / "results"
VOCAB = 8192


class NanoBlock(nn.Module):
    def __init__(self, n_embd: int, n_head: int) -> None:
        super().__init__()
        self.n_head = n_head
        self.ln_1, self.ln_2 = nn.LayerNorm(n_embd), nn.LayerNorm(n_embd)
        self.c_attn, self.c_proj = nn.Linear(n_embd, 3 * n_embd), nn.Linear(n_embd, n_embd)
        self.c_fc, self.mlp_proj = nn.Linear(n_embd, 4 * n_embd), nn.Linear(4 * n_embd, n_embd)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        B, T, C = x.shape
        q, k, v = self.c_attn(self.ln_1(x)).split(C, dim=2)
        q, k, v = (a.view(B, T, self.n_head, C // self.n_head).transpose(1, 2) for a in (q, k, v))
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.c_proj(y.transpose(1, 2).contiguous().view(B, T, C))
        return x + self.mlp_proj(functional.gelu(self.c_fc(self.ln_2(x))))


class Nano(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.wte = nn.Embedding(shape.vocab_size, shape.width)
        self.wpe = nn.Embedding(shape.context, shape.width)
        self.h = nn.ModuleList(NanoBlock(shape.width, shape.heads) for _ in range(shape.layers))
        self.ln_f = nn.LayerNorm(shape.width)
        self.lm_head = nn.Linear(shape.width, shape.vocab_size, bias=False)
        self.wte.weight = self.lm_head.weight

    def forward(self, idx: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        x = self.wte(idx) + self.wpe(torch.arange(idx.shape[1], device=idx.device))
        for block in self.h:
            x = block(x)
        logits = self.lm_head(self.ln_f(x))
        return functional.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))


def nano_seconds(shape: Shape, batch: int, device: str) -> float:
    model = Nano(shape).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), fused=True)
    idx = torch.randint(VOCAB, (batch, shape.context), device=device)
    targets = torch.randint(VOCAB, (batch, shape.context), device=device)
    steps, seconds = 0, 0.0
    while steps < 3 or (seconds < 0.5 and steps < 50):
        started = time.monotonic()
        with torch.autocast(device.split(":")[0], dtype=torch.bfloat16, enabled=device != "cpu"):
            loss = model(idx, targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        loss.item()
        seconds += time.monotonic() - started if steps else 0.0
        steps += 1
    return seconds / (steps - 1) / targets.numel()


def matrix_peak(device: str) -> float:
    """bfloat16 operations per second of large matrix products."""
    a = torch.randn(8192, 8192, device=device, dtype=torch.bfloat16)
    b = torch.randn(8192, 8192, device=device, dtype=torch.bfloat16)
    best = math.inf
    for _ in range(10):
        torch.cuda.synchronize()
        started = time.monotonic()
        for _ in range(10):
            a @ b
        torch.cuda.synchronize()
        best = min(best, (time.monotonic() - started) / 10)
    return 2 * 8192**3 / best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="0.3M")
    parser.add_argument("--context", type=int, default=64)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(available_threads())
    shape = shape_of(options.size, VOCAB, options.context)
    batch = 4096 // options.context
    settings = Settings(1e-3, 0.1, 1, batch)
    times: dict[str, list[float]] = {"nanoGPT style": []}
    for _ in range(options.rounds):
        for model in ("gpt2", "gpt2-rotary", "llama"):
            run = Run(model, options.size, options.context, 10_000, 0, settings, "", VOCAB)
            times.setdefault(model, []).append(seconds_per_token(run, device=options.device))
        times["nanoGPT style"].append(nano_seconds(shape, batch, options.device))
    reference = statistics.median(times["nanoGPT style"])
    rows = {
        name: {
            "tokens_per_second": round(1 / statistics.median(seconds)),
            "ratio_to_nanogpt": round(statistics.median(seconds) / reference, 3),
            "ratio_range": [
                round(min(a / b for a, b in zip(seconds, times["nanoGPT style"], strict=True)), 3),
                round(max(a / b for a, b in zip(seconds, times["nanoGPT style"], strict=True)), 3),
            ],
        }
        for name, seconds in times.items()
    }
    table = {
        "machine": machine(), "device": options.device, "size": options.size,
        "context": options.context, "vocab_size": VOCAB, "rounds": options.rounds, "models": rows,
    }  # fmt: skip
    if options.device.startswith("cuda"):
        body = parameters_without_embeddings(build("gpt2", shape, seed=0))
        flops = 6 * (body + VOCAB * shape.width) + 6 * shape.layers * shape.context * shape.width
        peak = matrix_peak(options.device)
        table["share_of_matrix_peak"] = round(flops * rows["gpt2"]["tokens_per_second"] / peak, 3)
        table["card"] = torch.cuda.get_device_name()
    name = "lm_throughput.json" if options.device == "cpu" else "lm_throughput_gpu.json"
    (RESULTS / name).write_text(json.dumps(table, indent=2) + "\n")
    print(json.dumps(table, indent=2))


if __name__ == "__main__":
    main()
