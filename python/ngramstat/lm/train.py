"""One training run: to the least loss on the tuning text, resumable, with its curves.

Training stops at the number of epochs asked for, or when the tuning loss has risen for a while:
with data short, the best model is the one at the least loss, and its weights are kept. A run that
was killed goes on from its last checkpoint, on the CPU to the same bits.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ngramstat.errors import InputError
from ngramstat.kernels import build_info
from ngramstat.lm.data import Texts, Windows, windows_of_epoch
from ngramstat.lm.models import build, parameters_without_embeddings
from ngramstat.lm.shape import shape_of
from ngramstat.runtime.files import (
    atomic_write,
    read_arrays,
    read_json,
    write_arrays,
    write_csv,
    write_json,
)
from ngramstat.version import __version__

__all__ = [
    "Run",
    "RunResult",
    "Settings",
    "device_of",
    "held_out_losses",
    "loss_of",
    "read_result",
    "seconds_per_token",
    "set_threads",
    "train",
]

Floats = NDArray[np.float64]

_BETAS = (0.9, 0.95)
_CLIP = 1.0
# Of all steps, but no more than so many, the rate rises to its full value.
_WARM_UP_SHARE, _MAX_WARM_UP = 0.05, 200
# Looks at the tuning loss in one run, and how many since the least one may be worse before it ends.
_LOOKS, _PATIENCE = 24, 4
# A rise by less is no sign of overfitting yet.
_RISE = 1e-3
_CHECKPOINT_SECONDS = 60.0
# Logits held at a time while scoring.
_MAX_LOGITS = 1 << 25
# Steps are timed on so many tokens, for so long.
_TIMED_TOKENS, _TIMED_SECONDS = 4096, 0.5


@dataclass(frozen=True)
class Settings:
    """What may be tuned.

    Attributes
    ----------
    learning_rate : float
        Largest, after warm-up; falls as a cosine to zero.
    weight_decay : float
        Of matrices, embeddings among them.
    epochs : int
        Passes over the training text at most.
    batch : int
        Windows of a step.
    """

    learning_rate: float
    weight_decay: float
    epochs: int
    batch: int


@dataclass(frozen=True)
class Run:
    """Everything that decides the outcome of one training.

    Attributes
    ----------
    model, size : str
    context : int
        T.
    tokens : int
        P asked for; whole documents make it a little more.
    seed : int
        Of the weights and the order of windows.
    settings : Settings
    data : str
        Hash of the corpus and of how it is split.
    vocab_size : int
    targets : str
        One of TARGETS.
    """

    model: str
    size: str
    context: int
    tokens: int
    seed: int
    settings: Settings
    data: str
    vocab_size: int
    targets: str = "all"

    @property
    def only_last(self) -> bool:
        """Whether the last token of a window alone is trained on and scored."""
        return self.targets != "all"

    @property
    def key(self) -> str:
        """A short name of this run alone."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        return f"{self.model}-{self.size}-T{self.context}-P{self.tokens}-s{self.seed}-{digest}"

    def steps(self, length: int) -> int:
        """Optimiser steps on a text of so many tokens."""
        windows = -(-length // self.context) * self.settings.epochs
        return -(-windows // self.settings.batch)


@dataclass(frozen=True)
class RunResult:
    """What one training came to.

    Attributes
    ----------
    tokens : int
        Trained on (distinct; times the epochs in all).
    tuning_loss : float
        The least; nats per token.
    best_step, steps : int
        Where it was, and how many were made.
    parameters : int
        Without embeddings.
    seconds : float
    losses : (n_clusters, T) float64
        Sums of held-out -ln p by group of documents and position: column n has n tokens of context.
    counts : (n_clusters,) int64
        Windows of each group.
    errors : (n_clusters,) int64
        Windows whose last token is not the most likely one.
    device : str
        That it was trained on.
    """

    tokens: int
    tuning_loss: float
    best_step: int
    steps: int
    parameters: int
    seconds: float
    losses: Floats
    counts: NDArray[np.int64]
    errors: NDArray[np.int64]
    device: str

    @property
    def diverged(self) -> bool:
        """Whether the loss was no number before it was ever looked at."""
        return not math.isfinite(self.tuning_loss)

    @property
    def error_rate(self) -> float:
        """Share of the windows whose last token is not the most likely one."""
        return float(self.errors.sum() / self.counts.sum())

    @property
    def by_context(self) -> Floats:
        """L_n for n = 0 .. T - 1, nats per token."""
        found: Floats = self.losses.sum(axis=0) / self.counts.sum()
        return found


def loss_of(model: Callable[[Tensor], Tensor], targets: Tensor, start: int) -> Tensor:
    """-ln p of every token of the windows (B, T) given those before it in its window, (B, T)."""
    return _losses(_logits(model, targets, start), targets)


def _logits(model: Callable[[Tensor], Tensor], targets: Tensor, start: int) -> Tensor:
    before = torch.full((len(targets), 1), start, dtype=targets.dtype, device=targets.device)
    return model(torch.cat([before, targets[:, :-1]], dim=1))


def _losses(logits: Tensor, targets: Tensor) -> Tensor:
    flat = cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="none")
    return flat.view(targets.shape)


@torch.no_grad()
def held_out_losses(
    model: nn.Module, windows: Windows, *, start: int, device: str
) -> tuple[Floats, NDArray[np.int64]]:
    """Sums of -ln p by group and position, (n_clusters, T), and `RunResult.errors`."""
    n, context = windows.tokens.shape
    sums = np.zeros((windows.n_clusters, context))
    errors = np.zeros(windows.n_clusters, np.int64)
    batch = max(1, _MAX_LOGITS // (context * start))
    model.eval()
    for first in range(0, n, batch):
        part = _as_tensor(windows.tokens[first : first + batch], device)
        with _precision(device):
            logits = _logits(model, part, start)
        losses = _losses(logits, part)
        wrong = logits[:, -1].argmax(dim=-1) != part[:, -1]
        groups = windows.cluster[first : first + batch]
        np.add.at(sums, groups, losses.double().cpu().numpy())
        np.add.at(errors, groups, wrong.cpu().numpy())
    model.train()
    return sums, errors


def train(
    run: Run,
    texts: Texts,
    tuning: Windows,
    measuring: Windows,
    directory: Path,
    *,
    device: str = "cpu",
    progress: Any = None,
) -> RunResult:
    """Train, or go on training, or read what was trained; the result stands in `directory`.

    Parameters
    ----------
    run : Run
    texts : Texts
    tuning, measuring : Windows
        To stop by, and to measure with.
    directory : Path
        Of this run alone: run.json, log.csv, checkpoint.pt while it goes, losses.npz at the end.
    device : str
    progress : object with ``advance(tokens)`` and ``show_value(text)``, optional

    Returns
    -------
    RunResult
        Where the loss is no number any more the run ends: with the weights of the least tuning
        loss before, or `diverged` without any.

    Raises
    ------
    InputError
        The directory holds another run, or a checkpoint or result that cannot be read.
    """
    done = read_result(directory, run)
    if done is not None:
        return done
    directory.mkdir(parents=True, exist_ok=True)
    environment = {
        "version": __version__, "commit": build_info().get("commit"), "torch": torch.__version__,
        "device": device, "threads": torch.get_num_threads(),
    }  # fmt: skip
    content = {"run": dataclasses.asdict(run), "environment": environment}
    write_json(directory / "run.json", content)
    trainer = _Trainer(run, texts.training(run.tokens), tuning, directory, device)
    trainer.go_on(progress)
    counts = np.bincount(measuring.cluster, minlength=measuring.n_clusters)
    losses = np.full((measuring.n_clusters, run.context), math.nan)
    errors = counts
    if trainer.best:
        losses, errors = held_out_losses(
            trainer.best_model(), measuring, start=run.vocab_size, device=device
        )
    result = RunResult(
        tokens=len(trainer.text),
        tuning_loss=trainer.state.best_loss,
        best_step=trainer.state.best_step,
        steps=trainer.state.step,
        parameters=parameters_without_embeddings(trainer.model),
        seconds=trainer.state.seconds,
        losses=losses,
        counts=counts.astype(np.int64),
        errors=errors,
        device=device,
    )
    numbers = dataclasses.asdict(result)
    write_arrays(
        directory / "losses.npz", {name: np.asarray(value) for name, value in numbers.items()}
    )
    (directory / "checkpoint.pt").unlink(missing_ok=True)
    return result


def seconds_per_token(run: Run, *, device: str) -> float:
    """How long a step takes, per token, on random tokens."""
    shape = shape_of(run.size, run.vocab_size, run.context)
    model = build(run.model, shape, seed=0).to(device)
    forward = _compiled(model, device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    batch = run.settings.batch
    if device == "cpu":
        # No more than are timed soon; a GPU needs its whole step to be busy.
        batch = max(1, min(batch, _TIMED_TOKENS // run.context))
    tokens = np.random.default_rng(0).integers(run.vocab_size, size=(batch, run.context))
    targets = _as_tensor(tokens, device)
    steps, seconds = 0, 0.0
    while steps < 3 or (seconds < _TIMED_SECONDS and steps < 50):
        started = time.monotonic()
        with _precision(device):
            loss = loss_of(forward, targets, shape.start).mean()
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        loss.item()
        # The first step also warms up.
        seconds += time.monotonic() - started if steps else 0.0
        steps += 1
    return seconds / (steps - 1) / targets.numel()


def set_threads(threads: int) -> None:
    """Threads of torch on the CPU; for one number of them results are the same to the bit."""
    torch.set_num_threads(threads)


def read_result(directory: Path, run: Run) -> RunResult | None:
    """The result of a run that is finished; None of an unfinished one.

    Raises
    ------
    InputError
        The directory holds another run, or a result that cannot be read.
    """
    path = directory / "losses.npz"
    if not (directory / "run.json").is_file():
        return None
    held = read_json(directory / "run.json")
    if not isinstance(held, dict) or held.get("run") != dataclasses.asdict(run):
        raise InputError(f"{directory}: holds another run; use another --output")
    if not path.exists():
        return None
    found: dict[str, Any] = dict(read_arrays(path))
    try:
        for name in ("tokens", "best_step", "steps", "parameters"):
            found[name] = int(found[name])
        for name in ("tuning_loss", "seconds"):
            found[name] = float(found[name])
        found["device"] = str(found["device"])
        result = RunResult(**found)
        groups = len(result.counts)
        if result.losses.shape != (groups, run.context) or result.errors.shape != (groups,):
            raise ValueError("its arrays have other shapes")
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: damaged: {error}; remove it to train again") from error
    return result


@dataclass
class _State:
    """What a checkpoint holds beside the weights."""

    step: int = 0
    seconds: float = 0.0
    best_loss: float = math.inf
    best_step: int = 0
    worse: int = 0
    rate_sum: float = 0.0
    ended: bool = False


class _Trainer:
    """The loop of one run."""

    def __init__(
        self, run: Run, text: NDArray[Any], tuning: Windows, directory: Path, device: str
    ) -> None:
        self.run, self.text, self.tuning = run, text, tuning
        self.directory, self.device = directory, device
        shape = shape_of(run.size, run.vocab_size, run.context)
        self.model = build(run.model, shape, seed=run.seed).to(device)
        self.forward = _compiled(self.model, device)
        self.start = shape.start
        self.optimizer = self._make_optimizer()
        self.steps = run.steps(len(text))
        self.looks = _look_steps(self.steps)
        self.state = _State()
        self.best: dict[str, Tensor] = {}
        self.log: list[list[float]] = []
        self._order: tuple[int, NDArray[np.int64]] | None = None
        self._load()

    def _make_optimizer(self) -> torch.optim.AdamW:
        settings = self.run.settings
        matrices = [p for p in self.model.parameters() if p.ndim == 2]
        others = [p for p in self.model.parameters() if p.ndim != 2]
        return torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": settings.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=settings.learning_rate,
            betas=_BETAS,
            fused=True,
        )

    def best_model(self) -> nn.Module:
        """The model with the weights of the least tuning loss."""
        self.model.load_state_dict(self.best)
        return self.model

    def go_on(self, progress: Any) -> None:
        """Train to the end."""
        state = self.state
        saved = time.monotonic()
        per_step = self.run.settings.batch * self.run.context
        if progress is not None:
            progress.advance(state.step * per_step)
        since, total, counted = time.monotonic(), torch.zeros((), device=self.device), 0
        while not state.ended:
            rate = self._set_rate(state.step)
            total += self._step()
            state.rate_sum += rate
            counted += 1
            state.step += 1
            if progress is not None:
                progress.advance(per_step)
            if state.step in self.looks or state.step == self.steps:
                mean = float(total) / counted
                tuning = self._look() if math.isfinite(mean) else math.nan
                state.ended |= not math.isfinite(tuning)
                now = time.monotonic()
                state.seconds += now - since
                since, total, counted = now, torch.zeros((), device=self.device), 0
                self.log.append([state.step, state.rate_sum, mean, tuning, state.seconds])
                if progress is not None:
                    progress.show_value(f"loss {tuning:.3f}")
                if now - saved >= _CHECKPOINT_SECONDS:
                    self._save()
                    saved = now
        self._write_log()

    def _set_rate(self, step: int) -> float:
        warm = min(max(1, round(_WARM_UP_SHARE * self.steps)), _MAX_WARM_UP)
        if step < warm:
            share = (step + 1) / warm
        else:
            share = 0.5 * (1 + math.cos(math.pi * (step - warm) / max(self.steps - warm, 1)))
        rate = self.run.settings.learning_rate * share
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return rate

    def _step(self) -> Tensor:
        targets = _as_tensor(self._batch(self.state.step), self.device)
        with _precision(self.device):
            losses = loss_of(self.forward, targets, self.start)
            loss = (losses[:, -1] if self.run.only_last else losses).mean()
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.model.parameters(), _CLIP)
        self.optimizer.step()
        return loss.detach()

    def _batch(self, step: int) -> NDArray[Any]:
        """Windows of a step, (B, T): the next ones of the epochs in a row."""
        context, batch = self.run.context, self.run.settings.batch
        per_epoch = -(-len(self.text) // context)
        first, last = step * batch, min((step + 1) * batch, per_epoch * self.run.settings.epochs)
        starts = np.concatenate(
            [
                self._epoch(epoch)[max(first - epoch * per_epoch, 0) : last - epoch * per_epoch]
                for epoch in range(first // per_epoch, (last - 1) // per_epoch + 1)
            ]
        )
        places = (starts[:, None] + np.arange(context)) % len(self.text)
        found: NDArray[Any] = self.text[places]
        return found

    def _epoch(self, epoch: int) -> NDArray[np.int64]:
        if self._order is None or self._order[0] != epoch:
            order = windows_of_epoch(
                len(self.text), self.run.context, seed=self.run.seed, epoch=epoch,
                ring=not self.run.only_last,
            )  # fmt: skip
            self._order = (epoch, order)
        return self._order[1]

    def _look(self) -> float:
        """The tuning loss now; keeps the weights if it is the least, ends where it has risen."""
        state = self.state
        sums, _ = held_out_losses(self.model, self.tuning, start=self.start, device=self.device)
        by_context = sums.sum(axis=0) / len(self.tuning.tokens)
        loss = float(by_context[-1] if self.run.only_last else by_context.mean())
        if loss < state.best_loss:
            state.best_loss, state.best_step, state.worse = loss, state.step, 0
            self.best = copy.deepcopy(self.model.state_dict())
        elif loss > state.best_loss + _RISE:
            state.worse += 1
        state.ended = state.step >= self.steps or state.worse >= _PATIENCE
        return loss

    def _save(self) -> None:
        content = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
            "state": dataclasses.asdict(self.state),
            "log": self.log,
        }
        with atomic_write(self.directory / "checkpoint.pt") as file:
            torch.save(content, file)
        self._write_log()

    def _load(self) -> None:
        path = self.directory / "checkpoint.pt"
        if not path.is_file():
            return
        try:
            found = torch.load(path, map_location=self.device, weights_only=True)
            self.model.load_state_dict(found["model"])
            self.optimizer.load_state_dict(found["optimizer"])
            self.state = _State(**found["state"])
            self.best, self.log = found["best"], found["log"]
        except Exception as error:
            raise InputError(
                f"{path}: is no checkpoint of this run ({' '.join(str(error).split())[:200]}); "
                "remove it to start anew"
            ) from error

    def _write_log(self) -> None:
        header = ("step", "rate_sum", "training_loss", "tuning_loss", "seconds")
        write_csv(self.directory / "log.csv", header, self.log)


def _look_steps(steps: int) -> frozenset[int]:
    """Steps after which the tuning loss is looked at."""
    even = np.linspace(steps / _LOOKS, steps, _LOOKS)
    return frozenset(int(step) for step in np.unique(np.rint(even)) if step >= 1)


def _as_tensor(tokens: NDArray[Any], device: str) -> Tensor:
    return torch.from_numpy(tokens.astype(np.int64)).to(device, non_blocking=True)


def _compiled(model: nn.Module, device: str) -> Callable[[Tensor], Tensor]:
    """The model with its kernels fused, on a GPU; on the CPU that takes longer than it saves."""
    if not device.startswith("cuda"):
        return model
    fused: Callable[[Tensor], Tensor] = torch.compile(model)
    return fused


def _precision(device: str) -> torch.autocast:
    """bfloat16 on a GPU that has it, else full precision."""
    capable = device.startswith("cuda") and torch.cuda.is_bf16_supported()
    return torch.autocast("cuda" if capable else "cpu", dtype=torch.bfloat16, enabled=capable)


def device_of(wanted: str | None) -> str:
    """The device asked for; by default a GPU if there is one.

    Raises
    ------
    InputError
        There is no such device.
    """
    if wanted is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    name, _, number = wanted.partition(":")
    if name not in ("cpu", "cuda") or (number and not (name == "cuda" and number.isdecimal())):
        raise InputError(f"device {wanted!r}: expected cpu, cuda or cuda:0")
    if name == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise InputError(
            f"device {wanted!r}: torch sees {torch.cuda.device_count()} GPUs, no GPU of that "
            "number; use --device cpu"
        )
    return wanted
