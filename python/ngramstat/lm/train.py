"""One training run: trains to the smallest tuning loss, resumable, and scores the best model.

Training stops after the requested number of epochs, or when the tuning loss has been rising for
several evaluations. When data are scarce the best model is the one at the smallest tuning loss, so
its weights are kept. A run that was killed resumes from its last checkpoint; on the CPU the resumed
run is identical to the last bit.
"""

from __future__ import annotations

import copy
import dataclasses
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
from ngramstat.lm.data import DataSplit, Windows, windows_in_order, windows_of_epoch
from ngramstat.lm.models import build, parameters_without_embeddings
from ngramstat.lm.protocol import protocol_of
from ngramstat.lm.run import Run, TrainingResult, read_result
from ngramstat.lm.shape import shape_of
from ngramstat.lm.weights import save_weights
from ngramstat.runtime.files import atomic_write, write_arrays, write_csv, write_json
from ngramstat.runtime.resources import multiplies_bfloat16
from ngramstat.version import __version__

__all__ = [
    "default_precision",
    "device_of",
    "held_out_losses",
    "loss_of",
    "measured_pace",
    "next_token_losses",
    "seconds_per_token",
    "set_threads",
    "train",
    "training_precision",
    "training_tokens",
]

Floats = NDArray[np.float64]

_CLIP = 1.0
# Evaluations of the tuning loss in one run; where the protocol stops early, the run ends once this
# many since the smallest loss were worse than it.
_EVALUATIONS, _PATIENCE = 24, 4
# A smaller rise of the tuning loss, in nats, does not count as worse: it is not yet overfitting.
_RISE = 1e-3
_CHECKPOINT_SECONDS = 60.0
# Logits in memory at a time while scoring, on a GPU and on a CPU, where they should stay in cache.
_MAX_LOGITS, _MAX_LOGITS_CPU = 1 << 25, 1 << 21
# The time of a step is measured on at most this many tokens, for about this many seconds.
_TIMED_TOKENS, _TIMED_SECONDS = 4096, 0.5


def loss_of(model: Callable[[Tensor], Tensor], targets: Tensor, start: int) -> Tensor:
    """-ln p of every token of the windows (B, T), given those before it in its window; (B, T)."""
    return _losses(_logits(model, targets, start), targets)


def _logits(model: Callable[[Tensor], Tensor], targets: Tensor, start: int) -> Tensor:
    before = torch.full((len(targets), 1), start, dtype=targets.dtype, device=targets.device)
    return model(torch.cat([before, targets[:, :-1]], dim=1))


def next_token_losses(model: Callable[[Tensor], Tensor], windows: Tensor) -> Tensor:
    """-ln p of the tokens after the first of the windows (B, T + 1), given those before; (B, T)."""
    return _losses(model(windows[:, :-1]), windows[:, 1:])


def _losses(logits: Tensor, targets: Tensor) -> Tensor:
    flat, ids = logits.flatten(0, 1), targets.reshape(-1)
    if flat.device.type == "cpu" and torch.is_grad_enabled():
        losses: Tensor = _CrossEntropy.apply(flat, ids)  # type: ignore[no-untyped-call]
    else:
        losses = cross_entropy(flat.float(), ids, reduction="none")
    return losses.view(targets.shape)


class _CrossEntropy(torch.autograd.Function):
    """-ln p of each target under its row of logits, in float32, with few passes over the logits.

    With thousands of items in the vocabulary, the logits are most of what a small model handles.
    """

    @staticmethod
    def forward(context: Any, logits: Tensor, targets: Tensor) -> Tensor:
        values = logits.to(torch.float32, copy=True)
        norms = values.logsumexp(dim=-1, keepdim=True)
        losses = (norms - values.gather(-1, targets[:, None])).squeeze(-1)
        context.save_for_backward(values.sub_(norms).exp_(), targets)
        context.dtype = logits.dtype
        return losses

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        probabilities, targets = context.saved_tensors
        result = probabilities * gradient[:, None]
        result.scatter_add_(-1, targets[:, None], -gradient[:, None])
        return result.to(context.dtype), None


@torch.no_grad()
def held_out_losses(
    model: nn.Module, windows: Windows, *, start: int, device: str, precision: str | None = None
) -> tuple[Floats, NDArray[np.int64]]:
    """Sums of -ln p by group and position, (n_clusters, T), and `TrainingResult.errors`.

    `start` is the id of the start symbol, which is put before windows that do not hold the token
    before them.
    """
    n = len(windows.tokens)
    context = windows.tokens.shape[1] - windows.given
    sums = np.zeros((windows.n_clusters, context))
    errors = np.zeros(windows.n_clusters, np.int64)
    max_logits = _MAX_LOGITS if device.startswith("cuda") else _MAX_LOGITS_CPU
    batch = max(1, max_logits // (context * start))
    model.eval()
    for first in range(0, n, batch):
        part = _as_tensor(windows.tokens[first : first + batch], device)
        with _autocast(device, precision or default_precision(device)):
            logits = model(part[:, :-1]) if windows.given else _logits(model, part, start)
        part = part[:, int(windows.given) :]
        losses = _losses(logits, part)
        wrong = logits[:, -1].argmax(dim=-1) != part[:, -1]
        groups = windows.cluster[first : first + batch]
        np.add.at(sums, groups, losses.double().cpu().numpy())
        np.add.at(errors, groups, wrong.cpu().numpy())
    model.train()
    return sums, errors


def train(
    run: Run,
    split: DataSplit,
    tuning: Windows,
    measuring: Windows,
    directory: Path,
    *,
    device: str = "cpu",
    progress: Any = None,
) -> TrainingResult:
    """Train a model, resume an interrupted training, or read a finished one from `directory`.

    Parameters
    ----------
    run : Run
    split : DataSplit
    tuning, measuring : Windows
        Windows that decide when to stop, and windows that the result is measured on.
    directory : Path
        Used by this run only: run.json, log.csv, checkpoint.pt during training, losses.npz and
        weights.npz at the end.
    device : str
    progress : object with ``advance(tokens)``, ``skip(tokens)`` and ``show_value(text)``, optional

    Returns
    -------
    TrainingResult
        A run whose loss becomes infinite or NaN ends there. Its result uses the weights of the
        smallest tuning loss before that; without any, it is `diverged`.

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
    tokens = training_tokens(run, split)
    trainer = _Trainer(run, tokens, tuning, directory, device)
    trainer.train(progress)
    counts = np.bincount(measuring.cluster, minlength=measuring.n_clusters)
    losses = np.full((measuring.n_clusters, run.context), math.nan)
    errors = counts
    if trainer.best:
        losses, errors = held_out_losses(
            trainer.best_model(), measuring, start=run.vocab_size, device=device
        )
        save_weights(directory, trainer.best, split)
    result = TrainingResult(
        tokens=len(tokens) - protocol_of(run.protocol).first_context,
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
    fields = dataclasses.asdict(result)
    arrays = {name: np.asarray(value) for name, value in fields.items()}
    write_arrays(directory / "losses.npz", arrays)
    (directory / "checkpoint.pt").unlink(missing_ok=True)
    return result


def training_tokens(run: Run, split: DataSplit) -> NDArray[Any]:
    """The tokens that a run is trained on: whole documents, or cut to P + 1 by the protocol."""
    rules = protocol_of(run.protocol)
    if rules.start_symbol:
        return split.training(run.tokens)
    return split.training(run.tokens + 1)[: run.tokens + 1]


def seconds_per_token(run: Run, *, device: str) -> float:
    """Seconds per token of a training step, measured on random tokens."""
    shape = shape_of(run.size, run.vocab_size, run.context)
    model = build(run.model, shape, seed=0).to(device)
    forward = _compiled(model, device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    batch = run.settings.batch
    if device == "cpu":
        # A small batch is timed quickly; a GPU needs the whole batch to be busy.
        batch = max(1, min(batch, _TIMED_TOKENS // run.context))
    tokens = np.random.default_rng(0).integers(run.vocab_size, size=(batch, run.context))
    targets = _as_tensor(tokens, device)
    steps = 0
    seconds: list[float] = []
    while steps < 4 or (sum(seconds) < _TIMED_SECONDS and steps < 50):
        started = time.monotonic()
        with _autocast(device, run.precision):
            loss = loss_of(forward, targets, shape.start).mean()
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        loss.item()
        # The first step is a warm-up and is not counted.
        if steps:
            seconds.append(time.monotonic() - started)
        steps += 1
    # The median is hardly changed by other work that comes in between.
    return float(np.median(seconds)) / targets.numel()


def training_precision(device: str) -> str:
    """bfloat16 where the GPU or the CPU multiplies it in hardware, otherwise float32.

    It takes about three quarters of the time there. Which of the two is faster is not timed on the
    spot: with other work on the machine that would change the numbers of a run from call to call.
    """
    if device == "cpu" and multiplies_bfloat16():
        return "bfloat16"
    return default_precision(device)


def measured_pace(run: Run, *, device: str) -> tuple[str, float]:
    """The precision in which a run trains, and its seconds per token."""
    precision = training_precision(device)
    return precision, seconds_per_token(
        dataclasses.replace(run, precision=precision), device=device
    )


def set_threads(threads: int) -> None:
    """Set torch's CPU threads; results are identical to the bit for a fixed number of threads."""
    torch.set_num_threads(threads)


@dataclass
class _State:
    """What a checkpoint holds besides the weights."""

    step: int = 0
    seconds: float = 0.0
    best_loss: float = math.inf
    best_step: int = 0
    worse: int = 0
    rate_sum: float = 0.0
    ended: bool = False


class _Trainer:
    """The training loop of one run."""

    def __init__(
        self, run: Run, tokens: NDArray[Any], tuning: Windows, directory: Path, device: str
    ) -> None:
        self.run, self.tokens, self.tuning = run, tokens, tuning
        self.directory, self.device = directory, device
        shape = shape_of(run.size, run.vocab_size, run.context)
        self.model = build(run.model, shape, seed=run.seed).to(device)
        self.forward = _compiled(self.model, device)
        self.start = shape.start
        self.rules = protocol_of(run.protocol)
        self.optimizer = self._make_optimizer()
        self.steps = run.steps(len(tokens))
        self.evaluation_steps = _evaluation_steps(self.steps)
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
            betas=self.rules.betas,
            fused=True,
        )

    def best_model(self) -> nn.Module:
        """The model with the weights of the smallest tuning loss."""
        self.model.load_state_dict(self.best)
        return self.model

    def train(self, progress: Any) -> None:
        """Train from the last checkpoint to the end."""
        state = self.state
        saved = time.monotonic()
        per_step = self.run.settings.batch * self.run.context
        if progress is not None:
            progress.skip(state.step * per_step)
        since, total, counted = time.monotonic(), torch.zeros((), device=self.device), 0
        while not state.ended:
            rate = self._set_rate(state.step)
            total += self._step()
            state.rate_sum += rate
            counted += 1
            state.step += 1
            if progress is not None:
                progress.advance(per_step)
            if state.step in self.evaluation_steps or state.step == self.steps:
                mean = float(total) / counted
                tuning = self._evaluate() if math.isfinite(mean) else math.nan
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
        rate = self.run.settings.learning_rate * self.rules.rate(step, self.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return rate

    def _step(self) -> Tensor:
        targets = _as_tensor(self._batch(self.state.step), self.device)
        with _autocast(self.device, self.run.precision):
            if self.rules.start_symbol:
                losses = loss_of(self.forward, targets, self.start)
            else:
                losses = next_token_losses(self.forward, targets)
            loss = (losses[:, -1] if self.run.only_last else losses).mean()
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.model.parameters(), _CLIP)
        self.optimizer.step()
        return loss.detach()

    def _batch(self, step: int) -> NDArray[Any]:
        """Windows of a step, (B, T), or (B, T + 1) without a start symbol.

        Shuffled batches run on from one epoch into the next.
        """
        context, batch = self.run.context, self.run.settings.batch
        if self.rules.in_order:
            per_epoch = self.rules.steps_per_epoch(len(self.tokens), context, batch)
            assert per_epoch is not None
            first_of_step = (step % per_epoch) * batch
            length = context + self.rules.first_context
            return windows_in_order(self.tokens, context, length, first_of_step, batch)
        per_epoch = -(-len(self.tokens) // context)
        first, last = step * batch, min((step + 1) * batch, per_epoch * self.run.settings.epochs)
        starts = np.concatenate(
            [
                self._epoch(epoch)[max(first - epoch * per_epoch, 0) : last - epoch * per_epoch]
                for epoch in range(first // per_epoch, (last - 1) // per_epoch + 1)
            ]
        )
        positions = (starts[:, None] + np.arange(context)) % len(self.tokens)
        windows: NDArray[Any] = self.tokens[positions]
        return windows

    def _epoch(self, epoch: int) -> NDArray[np.int64]:
        if self._order is None or self._order[0] != epoch:
            order = windows_of_epoch(
                len(self.tokens), self.run.context, seed=self.run.seed, epoch=epoch,
                ring=not self.run.only_last,
            )  # fmt: skip
            self._order = (epoch, order)
        return self._order[1]

    def _evaluate(self) -> float:
        """The tuning loss now; keeps the weights of the smallest, and decides when to stop."""
        state = self.state
        sums, _ = held_out_losses(
            self.model, self.tuning, start=self.start, device=self.device,
            precision=self.run.precision,
        )  # fmt: skip
        by_context = sums.sum(axis=0) / len(self.tuning.tokens)
        loss = float(by_context[-1] if self.run.only_last else by_context.mean())
        if loss < state.best_loss:
            state.best_loss, state.best_step, state.worse = loss, state.step, 0
            self.best = copy.deepcopy(self.model.state_dict())
        elif loss > state.best_loss + _RISE:
            state.worse += 1
        state.ended = state.step >= self.steps
        state.ended |= self.rules.stops_early and state.worse >= _PATIENCE
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
            try:
                torch.save(content, file)
            except RuntimeError as error:
                # After a write has failed, PyTorch still ends its archive, and raises what it then
                # finds wrong with that.
                if isinstance(error.__context__, OSError):
                    raise error.__context__ from None
                raise
        self._write_log()

    def _load(self) -> None:
        path = self.directory / "checkpoint.pt"
        if not path.is_file():
            return
        try:
            saved = torch.load(path, map_location=self.device, weights_only=True)
            self.model.load_state_dict(saved["model"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.state = _State(**saved["state"])
            self.best, self.log = saved["best"], saved["log"]
        except Exception as error:
            raise InputError(
                f"{path}: not a checkpoint of this run ({' '.join(str(error).split())[:200]}); "
                "remove it to start again"
            ) from error

    def _write_log(self) -> None:
        header = ("step", "rate_sum", "training_loss", "tuning_loss", "seconds")
        write_csv(self.directory / "log.csv", header, self.log)


def _evaluation_steps(steps: int) -> frozenset[int]:
    """Steps after which the tuning loss is evaluated."""
    even = np.linspace(steps / _EVALUATIONS, steps, _EVALUATIONS)
    return frozenset(int(step) for step in np.unique(np.rint(even)) if step >= 1)


def _as_tensor(tokens: NDArray[Any], device: str) -> Tensor:
    return torch.from_numpy(tokens.astype(np.int64)).to(device, non_blocking=True)


def _compiled(model: nn.Module, device: str) -> Callable[[Tensor], Tensor]:
    """The compiled model on a GPU; on the CPU compiling takes longer than it saves."""
    if not device.startswith("cuda"):
        return model
    compiled: Callable[[Tensor], Tensor] = torch.compile(model)
    return compiled


def default_precision(device: str) -> str:
    """bfloat16 on a GPU that supports it, otherwise float32."""
    capable = device.startswith("cuda") and torch.cuda.is_bf16_supported()
    return "bfloat16" if capable else "float32"


def _autocast(device: str, precision: str) -> torch.autocast:
    enabled = precision == "bfloat16"
    return torch.autocast(device.partition(":")[0], dtype=torch.bfloat16, enabled=enabled)


def device_of(name: str | None) -> str:
    """The named device, checked; by default a GPU if there is one.

    Raises
    ------
    InputError
        There is no such device.
    """
    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not (kind == "cuda" and number.isdecimal())):
        raise InputError(f"device {name!r}: expected cpu, cuda or cuda:0")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise InputError(
            f"device {name!r}: torch sees {torch.cuda.device_count()} GPUs, no GPU of that "
            "number; use --device cpu"
        )
    return name
