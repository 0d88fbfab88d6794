"""Builds the architectures by name."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from ngramstat.errors import check_choice
from ngramstat.lm.gpt2 import GPT2
from ngramstat.lm.llama import LLaMA
from ngramstat.lm.run import MODELS
from ngramstat.lm.shape import Shape

__all__ = ["build", "parameters_without_embeddings"]

_BUILDERS: dict[str, Callable[[Shape], nn.Module]] = {
    "gpt2": GPT2,
    "gpt2-rotary": lambda shape: GPT2(shape, rotary=True),
    "llama": LLaMA,
}


def build(name: str, shape: Shape, *, seed: int) -> nn.Module:
    """A freshly initialised model; the same seed gives the same weights.

    Raises
    ------
    InputError
        There is no such architecture.
    """
    check_choice("model", name, MODELS)
    # Leaves torch's global generator unchanged for the caller.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _BUILDERS[name](shape)


def parameters_without_embeddings(model: nn.Module) -> int:
    """Number of parameters besides the embeddings of tokens (input and output) and positions."""
    return sum(
        parameter.numel()
        for name, parameter in model.named_parameters()
        if not name.startswith(("embedding.", "positions.", "head."))
    )
