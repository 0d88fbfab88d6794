"""Trained models that read a text: Hugging Face causal language models, and our own.

A reader gives -ln p of every token of a window from the tokens before it in the window. Weights
come from safetensors or from arrays of numbers, never from pickles, and no code of the model's
directory is run.
"""

from __future__ import annotations

import json
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import linear

from ngramstat.errors import InputError, NgramstatError
from ngramstat.lm.models import build
from ngramstat.lm.protocol import protocol_of
from ngramstat.lm.run import Run, Settings, read_result
from ngramstat.lm.shape import shape_of
from ngramstat.lm.train import default_precision, loss_of, next_token_losses
from ngramstat.lm.weights import SavedWeights, read_weights
from ngramstat.runtime.files import read_json, reason

__all__ = ["PRECISIONS", "HuggingFaceReader", "Reader", "TrainedReader", "open_reader"]

PRECISIONS = ("auto", "float32", "bfloat16")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
# Tokens in one pass through a model, unless memory allows fewer: enough for large matrices, and
# few enough that what a layer computes stays in a processor's cache.
_PASS_TOKENS = {"cpu": 1024, "cuda": 1 << 16}
# Logits in memory at a time.
_MAX_LOGITS = {"cpu": 1 << 22, "cuda": 1 << 28}
# Tokens of the windows on which a model is tried before it reads.
_TRIAL_TOKENS = 16
# Settings of models that change the logits after the output embedding.
_LOGIT_CHANGES = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier")


class Reader(ABC):
    """A trained model.

    Attributes
    ----------
    learner : str
        Its name.
    vocab_size : int
        Ids that it knows: 0 .. vocab_size - 1.
    limit : int or None
        Tokens that it can be given at once, the start token included; None: any number.
    start : int or None
        Id of the token that stands for an empty context; None: it needs a token of context.
    trained_on : float or None
        Number of tokens it was trained on.
    device, precision : str
    """

    learner: str
    vocab_size: int
    limit: int | None
    start: int | None
    trained_on: float | None
    device: str
    precision: str

    @property
    def kind(self) -> str:
        """``cpu`` or ``cuda``."""
        return self.device.partition(":")[0]

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """JSON values that the losses depend on, as far as the model's files decide them."""

    @abstractmethod
    def bytes_per_token(self, context: int) -> int:
        """Memory of a pass for every token of its windows, in bytes; rather too much."""

    @abstractmethod
    def _losses(self, tokens: Tensor) -> Tensor:
        """-ln p of the tokens (B, L); (B, L) float32, or (B, L - 1) without a start token."""

    @property
    def longest_window(self) -> int | None:
        """T of the longest window: the last token is predicted, but not given."""
        if self.limit is None:
            return None
        return self.limit + (self.start is None)

    def default_batch(self, context: int, memory: int) -> int:
        """Windows in one pass, for a budget of `memory` bytes."""
        if self.kind == "cuda":
            memory = min(memory, int(0.8 * torch.cuda.mem_get_info(self.device)[0]))
        tokens = min(_PASS_TOKENS[self.kind], memory // self.bytes_per_token(context))
        return max(1, tokens // context)

    def losses(self, windows: NDArray[np.int64]) -> NDArray[np.float32]:
        """-ln p of every token of the windows.

        Parameters
        ----------
        windows : (B, L) int64

        Returns
        -------
        (B, L) float32
            In column n the loss after n tokens of context; without a start token column 0 is NaN.

        Raises
        ------
        NgramstatError
            A single window does not fit the GPU's memory.
        """
        out = np.full(windows.shape, np.nan, np.float32)
        if self.start is None and windows.shape[1] < 2:
            return out
        try:
            tokens = torch.from_numpy(windows).to(self.device)
            with torch.inference_mode():
                losses = self._losses(tokens).cpu().numpy()
        except torch.cuda.OutOfMemoryError as error:
            half = len(windows) // 2
            if not half:
                raise NgramstatError(
                    f"a window of {windows.shape[1]} tokens does not fit the GPU's memory; use a "
                    "smaller --context, or --device cpu"
                ) from error
            torch.cuda.empty_cache()
            return np.concatenate([self.losses(windows[:half]), self.losses(windows[half:])])
        out[:, windows.shape[1] - losses.shape[1] :] = losses
        return out

    def _autocast(self) -> torch.autocast:
        on = self.precision == "bfloat16"
        return torch.autocast(self.kind, dtype=torch.bfloat16, enabled=on)


def open_reader(
    path: str | os.PathLike[str], *, device: str, precision: str = "auto", memory: int
) -> Reader:
    """The model in a directory.

    Parameters
    ----------
    path
        A Hugging Face model (config.json and safetensors), or one run of `validate`.
    device : str
        ``cpu``, ``cuda`` or such as ``cuda:1``.
    precision : str
        ``float32``, ``bfloat16``, or ``auto``: bfloat16 on GPUs that support it.
    memory : int
        Bytes of main memory that may be used.

    Raises
    ------
    InputError
        There is no such model, its weights are pickled or incomplete, or it is not causal.
    NgramstatError
        transformers is not installed, or memory is too small for the model.
    """
    directory = Path(path)
    if precision == "auto":
        precision = default_precision(device)
    if not directory.is_dir():
        raise InputError(
            f"{path}: is not a directory; give a local directory with config.json and "
            "model.safetensors (`hf download NAME --local-dir DIRECTORY` fetches one)"
        )
    if (directory / "config.json").is_file():
        return HuggingFaceReader(directory, device, precision, memory)
    if (directory / "run.json").is_file():
        return TrainedReader(directory, device, precision)
    runs = sorted(p.parent.name for p in (directory / "runs").glob("*/weights.npz"))
    if runs:
        raise InputError(
            f"{path}: holds several trained models; name one of them, such as "
            f"{directory / 'runs' / runs[0]}"
        )
    raise InputError(
        f"{path}: holds no model: neither config.json (Hugging Face) nor run.json (a run of "
        "`ngramstat validate`)"
    )


class TrainedReader(Reader):
    """The best weights of one run of `validate`."""

    def __init__(self, directory: Path, device: str, precision: str) -> None:
        run = _saved_run(directory)
        result = read_result(directory, run)
        if result is None:
            raise InputError(f"{directory}: its training is not finished; run `validate` again")
        if run.only_last:
            raise InputError(
                f"{directory}: was trained to predict the last token alone, so it has no losses at "
                "other contexts"
            )
        self.saved: SavedWeights = read_weights(directory)
        shape = shape_of(run.size, run.vocab_size, run.context)
        self.model = build(run.model, shape, seed=0)
        try:
            state = {name: torch.from_numpy(a) for name, a in self.saved.weights.items()}
            self.model.load_state_dict(state)
        except (RuntimeError, TypeError) as error:
            raise InputError(
                f"{directory}: its weights are not those of its run.json: {reason(error)[:200]}"
            ) from error
        self.model.to(device).eval()
        self.learner = f"{run.model} {run.size} T={run.context}"
        self.vocab_size = run.vocab_size
        self.limit = run.context
        self.start = shape.start if protocol_of(run.protocol).start_symbol else None
        self.trained_on = float(result.tokens)
        self.device, self.precision = device, precision
        self._directory, self._shape = directory, shape

    def identity(self) -> dict[str, Any]:
        return {"files": _files(self._directory, ("weights.npz", "run.json"))}

    def bytes_per_token(self, context: int) -> int:
        shape = self._shape
        logits = 3 * shape.vocab_size
        return 4 * (40 * shape.width + 2 * shape.heads * context + logits)

    def _losses(self, tokens: Tensor) -> Tensor:
        # All logits of some windows at a time: our vocabularies and contexts are small.
        step = max(1, _MAX_LOGITS[self.kind] // (tokens.shape[1] * self.vocab_size))
        with self._autocast():
            return torch.cat([self._losses_of(part) for part in torch.split(tokens, step)])

    def _losses_of(self, tokens: Tensor) -> Tensor:
        if self.start is None:
            return next_token_losses(self.model, tokens)
        return loss_of(self.model, tokens, self.start)


def _saved_run(directory: Path) -> Run:
    saved = read_json(directory / "run.json")
    try:
        fields = dict(saved["run"])
        return Run(**{**fields, "settings": Settings(**fields["settings"])})
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{directory / 'run.json'}: is not a run of `ngramstat validate`: {reason(error)}"
        ) from error


class HuggingFaceReader(Reader):
    """A causal language model in the format of Hugging Face's transformers."""

    def __init__(self, directory: Path, device: str, precision: str, memory: int) -> None:
        self.device, self.precision = device, precision
        self._directory = directory
        files = _safetensors(directory)
        transformers = _transformers()
        stored = _stored_parameters(files)
        # Weights stored in bfloat16 lose nothing in it; all others are kept in full.
        kept = torch.bfloat16 if precision == "bfloat16" and stored[1] else torch.float32
        _check_memory(directory, stored[0] * kept.itemsize, device, memory)
        self.model: nn.Module = _load(transformers, directory, kept).to(device).eval()
        config = self.model.config.get_text_config()
        self.config: Any = config
        self.learner = _name(directory)
        inner: Any = self.model.get_input_embeddings()
        self.vocab_size = int(inner.weight.shape[0])
        limit = getattr(config, "max_position_embeddings", None)
        self.limit = int(limit) if isinstance(limit, int) and limit > 0 else None
        start = getattr(config, "bos_token_id", None)
        usable = isinstance(start, int) and 0 <= start < self.vocab_size
        self.start = start if usable else None
        self.trained_on = None
        self._body: nn.Module | None = None
        self._head: tuple[Tensor, Tensor | None] | None = None
        self._try_out()

    def identity(self) -> dict[str, Any]:
        names = ["config.json", *(path.name for path in _safetensors(self._directory))]
        return {"files": _files(self._directory, names)}

    def bytes_per_token(self, context: int) -> int:
        config = self.config
        width = int(getattr(config, "hidden_size", 0) or 1024)
        inner = int(getattr(config, "intermediate_size", 0) or 4 * width)
        heads = int(getattr(config, "num_attention_heads", 0) or 16)
        logits = 0 if self._head is not None else 3 * self.vocab_size
        return 4 * (12 * width + 4 * inner + 2 * heads * context + logits)

    @property
    def separates_output(self) -> bool:
        """Whether logits are computed from hidden states for some positions at a time."""
        return self._head is not None

    def _hidden(self, inputs: Tensor) -> Tensor:
        assert self._body is not None
        with self._autocast():
            out: Tensor = self._body(input_ids=inputs, use_cache=False).last_hidden_state
        return out

    def _logits(self, inputs: Tensor) -> Tensor:
        with self._autocast():
            out: Tensor = self.model(input_ids=inputs, use_cache=False).logits
        return out

    def _losses(self, tokens: Tensor) -> Tensor:
        if self.start is None:
            inputs, targets = tokens[:, :-1], tokens[:, 1:]
        else:
            first = torch.full_like(tokens[:, :1], self.start)
            inputs, targets = torch.cat([first, tokens[:, :-1]], dim=1), tokens
        if self._head is not None:
            hidden = self._hidden(inputs).flatten(0, 1)
            return self._from_hidden(hidden, targets.flatten()).view(targets.shape)
        step = max(1, _MAX_LOGITS[self.kind] // (inputs.shape[1] * self.vocab_size))
        parts = zip(torch.split(inputs, step), torch.split(targets, step), strict=True)
        return torch.cat([_cross_entropy(self._logits(part), ids) for part, ids in parts])

    def _from_hidden(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """-ln p of the targets (n,), in full precision, from hidden states (n, width)."""
        assert self._head is not None
        weight, bias = self._head
        step = max(1, _MAX_LOGITS[self.kind] // len(weight))
        out = torch.empty(len(targets), dtype=torch.float32, device=hidden.device)
        for first in range(0, len(targets), step):
            rows = slice(first, first + step)
            logits = linear(hidden[rows].float(), weight, bias)
            out[rows] = _cross_entropy(logits, targets[rows])
        return out

    def _try_out(self) -> None:
        """Check on random tokens that the model is causal, and find how logits can be computed."""
        length = min(_TRIAL_TOKENS, self.limit or _TRIAL_TOKENS)
        ids = np.random.default_rng(0).integers(self.vocab_size, size=(2, length))
        half = max(1, length // 2)
        ids[1, :half] = ids[0, :half]
        tokens = torch.from_numpy(ids).to(self.device)
        try:
            with torch.inference_mode():
                logits = self._logits(tokens).float()
                size = 1 + float(logits.abs().max())
                tolerance = (1e-4 if self.precision == "float32" else 2e-2) * size
                if not float((logits[0, :half] - logits[1, :half]).abs().max()) <= tolerance:
                    raise InputError(
                        f"{self._directory}: is not a causal model: tokens that come later change "
                        "what it predicts before them"
                    )
                self._separate_output(tokens, logits, size)
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"{self._directory}: the model does not run on token ids: {reason(error)[:200]}"
            ) from error

    def _separate_output(self, tokens: Tensor, logits: Tensor, size: float) -> None:
        """Use hidden states and the output embedding if they give the model's own logits."""
        config = self.config
        if any(getattr(config, name, None) not in (None, 1.0) for name in _LOGIT_CHANGES):
            return
        head: Any = self.model.get_output_embeddings()  # type: ignore[operator]
        body: Any = self.model.base_model
        if not isinstance(head, nn.Linear) or body is self.model:
            return
        bias = None if head.bias is None else head.bias.detach().float()
        self._body, self._head = body, (head.weight.detach().float(), bias)
        hidden = self._hidden(tokens)
        mine = linear(hidden.float(), *self._head) if hidden.shape[-1] == head.in_features else None
        tolerance = (1e-5 if self.precision == "float32" else 2e-2) * size
        same = mine is not None and mine.shape == logits.shape
        if not same or not float((mine - logits).abs().max()) <= tolerance:  # type: ignore[operator]
            self._body = self._head = None


def _name(directory: Path) -> str:
    """The directory's name; in Hugging Face's cache, where that is a commit, the model's."""
    path = directory.resolve()
    if path.parent.name == "snapshots" and path.parents[1].name.startswith("models--"):
        return path.parents[1].name.removeprefix("models--").replace("--", "/")
    return path.name


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """-ln p of the targets, (...), in float32, from logits (..., V)."""
    logits = logits.float()
    chosen = logits.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return logits.logsumexp(dim=-1) - chosen


def _safetensors(directory: Path) -> list[Path]:
    files = sorted(directory.glob("*.safetensors"))
    if files:
        return files
    pickled = sorted(p.name for p in directory.iterdir() if p.suffix in _PICKLES)
    if pickled:
        raise InputError(
            f"{directory}: its weights are in {pickled[0]}, a pickle, which can run any code when "
            "it is loaded; only safetensors are read (save the model again with "
            "`model.save_pretrained(DIRECTORY)`)"
        )
    raise InputError(f"{directory}: holds config.json but no weights (*.safetensors)")


def _stored_parameters(files: list[Path]) -> tuple[int, bool]:
    """Number of parameters in the files, and whether all are stored in bfloat16."""
    total, dtypes = 0, set()
    for path in files:
        for tensor in _header(path).values():
            total += math.prod(tensor["shape"])
            dtypes.add(tensor["dtype"])
    return total, dtypes == {"BF16"}


def _header(path: Path) -> dict[str, Any]:
    """Name, dtype and shape of the tensors of a safetensors file."""
    try:
        with open(path, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > 1 << 28:
                raise ValueError("its header is too long")
            header = json.loads(file.read(size))
        header.pop("__metadata__", None)
        for tensor in header.values():
            tensor["dtype"], math.prod(tensor["shape"])
        return dict(header)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path}: not a safetensors file: {reason(error)[:200]}") from error


def _check_memory(directory: Path, needed: int, device: str, memory: int) -> None:
    where, remedy = "the memory limit is", "raise --memory-limit"
    if device.startswith("cuda"):
        memory, where = int(torch.cuda.mem_get_info(device)[0]), "free memory of the GPU is"
        remedy = "use --device cpu"
    if needed > 0.9 * memory:
        raise NgramstatError(
            f"{directory}: its weights need {needed / 2**30:.1f} GiB, but {where} "
            f"{memory / 2**30:.1f} GiB; {remedy}"
        )


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise NgramstatError(
            "reading a Hugging Face model needs transformers, which is not installed: "
            "pip install 'ngramstat[reader]'"
        ) from error
    return transformers


def _load(transformers: Any, directory: Path, dtype: torch.dtype) -> Any:
    config = read_json(directory / "config.json")
    with _quiet(transformers):
        try:
            model, found = transformers.AutoModelForCausalLM.from_pretrained(
                str(directory), dtype=dtype, local_files_only=True, use_safetensors=True,
                trust_remote_code=False, output_loading_info=True,
            )  # fmt: skip
        except Exception as error:  # the library raises many kinds
            own_code = isinstance(config, dict) and "auto_map" in config
            hint = "; it needs code of its own, which is not run" if own_code else ""
            raise InputError(
                f"{directory}: cannot be loaded as a causal language model{hint}: "
                f"{reason(error)[:300]}"
            ) from error
    lacking = [*found["missing_keys"], *(key[0] for key in found["mismatched_keys"])]
    if lacking or found["error_msgs"]:
        raise InputError(
            f"{directory}: its weights are incomplete: {len(lacking)} tensors are missing or have "
            f"other shapes, such as {', '.join(sorted(map(str, lacking))[:2])}"
        )
    return model


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Without the library's own messages and progress bars, which say nothing to our users."""
    log = transformers.utils.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()


def _files(directory: Path, names: Any) -> list[list[Any]]:
    """Name, size and time of change of files: cheap, where hashing gigabytes is not."""
    stats = [(name, os.stat(directory / name)) for name in names]
    return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]
