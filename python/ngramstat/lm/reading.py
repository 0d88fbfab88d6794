"""`read`: the losses of a trained model on a corpus by tokens of context, resumable.

The windows are read in parts, and each finished part is kept in a directory beside the output. A
call with the same output continues an interrupted one, to the same result. Needs torch only when it
is called.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.boundary import Boundary
from ngramstat.corpus import Corpus
from ngramstat.corpus.conversion import CorpusLike, as_corpus
from ngramstat.errors import InputError, NgramstatError, check_choice
from ngramstat.kernels import build_info
from ngramstat.lm.run import require_torch
from ngramstat.lm.same_tokenizer import check_tokenizer
from ngramstat.lm.text_windows import TextWindows, draw_windows
from ngramstat.lm.weights import held_out_corpus
from ngramstat.results import CurveTable, ReadingResult
from ngramstat.runtime.arguments import as_seed
from ngramstat.runtime.files import read_json, sha256_file, write_csv, write_json
from ngramstat.runtime.locks import sole_writer
from ngramstat.runtime.progress import Progress, shows_progress
from ngramstat.runtime.resources import (
    anonymous_bytes,
    parse_memory_limit,
    peak_rss_bytes,
    resolve_threads,
)
from ngramstat.runtime.workspace import Workspace
from ngramstat.sampling.bootstrap import ratio_of_sums
from ngramstat.stages.cache import PartCache, corpus_identity
from ngramstat.version import __version__

if TYPE_CHECKING:
    from ngramstat.lm.reader import Reader

__all__ = ["DEFAULT_TOKENS", "read_losses", "write_reader_curve"]

DEFAULT_TOKENS = 1_000_000
_DEFAULT_CONTEXT = 1024
# A part is at least this many tokens, and there are at most this many parts.
_PART_TOKENS, _MAX_PARTS = 1 << 14, 256
_KIND, _VERSION = "reading", 1
_PLAN_FILE = "plan.json"


@dataclass(frozen=True)
class _Part:
    """Losses of some windows, summed by block of documents.

    Attributes
    ----------
    blocks : (b,) int64
    sums, counts : (b, T) float64, int64
        Sum and number of losses after n tokens of context.
    """

    blocks: NDArray[np.int64]
    sums: NDArray[np.float64]
    counts: NDArray[np.int64]


# Formatted by hand: one group of options a line.
# fmt: off
def read_losses(
    model: str | PathLike[str], corpus: CorpusLike, *, output: str | PathLike[str] | None = None,
    context: int | None = None, tokens: int | None = None, windows: int | None = None,
    boundary: str = "stream", trained_on: float | None = None, learner: str | None = None,
    empty_context: bool = True, batch: int | None = None, precision: str = "auto",
    device: str | None = None, seed: int = 0, rng: int | np.random.Generator | None = None,
    threads: int | None = None, memory_limit: str | int | None = None,
    progress: bool | None = None,
) -> ReadingResult:
    """Mean loss of a trained model on a corpus after n = 0, 1, ... tokens of context.

    Needs torch, and for Hugging Face models transformers. The corpus must be tokenized with the
    model's own tokenizer.

    Parameters
    ----------
    model : path
        A local directory of a Hugging Face causal language model (config.json and safetensors), or
        a run of `validate`, such as ``validation/runs/gpt2-...``. A run of this very corpus is read
        on the documents that its training has not seen.
    corpus
        As in `measure`.
    output : path, optional
        CSV file to write. Finished parts are kept in OUTPUT.parts until then.
    context : int, optional
        T: contexts are 0 .. T - 1. By default what the model was made for, at most 1024.
    tokens, windows : int, optional
        How many tokens, or windows of T tokens, to read; by default 10^6 tokens.
    boundary : str
        ``stream``: windows run across document ends; ``document``: they end with their document.
    trained_on : float, optional
        Tokens that the model was trained on, where known.
    learner : str, optional
        The model's name in the output.
    empty_context : bool
        Put the model's start-of-text token, where it has one, before each window; without, or for a
        model without one, contexts begin at 1.
    batch : int, optional
        Windows in one pass; by default as many as memory and speed suggest.
    precision : str
        ``float32``, ``bfloat16``, or ``auto``: bfloat16 on GPUs that support it.
    device, seed, rng, threads, memory_limit, progress
        As in `validate`.

    Returns
    -------
    ReadingResult
        Its `table` is what `predict` takes as a reader.

    Raises
    ------
    InputError
        The model or the corpus cannot be read, or they do not fit together.
    NgramstatError
        torch or transformers is not installed, or memory is too small.
    """
    require_torch("reading")
    started = time.monotonic()
    corpus, seed, show = as_corpus(corpus), as_seed(seed, rng), shows_progress(progress)
    options = _checked_options(context=context, tokens=tokens, windows=windows, batch=batch,
                               boundary=boundary, trained_on=trained_on, precision=precision,
                               seed=seed)
    threads, memory = resolve_threads(threads), parse_memory_limit(memory_limit)
    reader = _open(model, device, precision, threads, memory)
    if not empty_context:
        reader.start = None
    text, notes = _text_for(reader, model, corpus)
    plan = _draw(reader, text, options)
    text.require_unchanged()
    parts = None if output is None else Path(f"{output}.parts")
    identity = {
        **corpus_identity(text), **options, "model": reader.identity(), "start": reader.start,
        "context": plan.context, "precision": reader.precision, "device": reader.kind,
    }
    with contextlib.nullcontext() if output is None else sole_writer(output, directory=False):
        reading = _Reading(reader, plan, parts, identity, batch, Workspace(threads, memory),
                           text.require_unchanged)
        sums, counts = reading.run(show)
        text.require_unchanged()
        table, rows = _curve(sums, counts, learner or reader.learner,
                             trained_on or reader.trained_on)
        result = ReadingResult(
            model=str(model), corpus=corpus.info(), table=table, windows=rows,
            notes=tuple(notes + _notes(reader, plan, table)),
            settings={
                **options, "context": plan.context, "windows": len(plan),
                "tokens": int(plan.lengths.sum()), "batch": reading.batch, "start": reader.start,
                "precision": reader.precision, "device": reader.device, "threads": threads,
                "blocks": plan.n_blocks,
            },
            provenance={
                "version": __version__, "commit": build_info().get("commit"),
                "seconds": round(time.monotonic() - started, 3),
                "peak_rss_bytes": peak_rss_bytes(),
            },
        )
        if output is not None:
            write_reader_curve(output, table)
            reading.clean()
        return result
# fmt: on


def write_reader_curve(path: str | PathLike[str], table: CurveTable) -> None:
    """Write the losses of one model as `predict --reader` reads them, atomically."""
    errors = np.full(len(table.loss), math.nan) if table.error is None else table.error
    rows = [
        (n, _cell(tokens), repr(loss), _cell(error), table.learner or "")
        for n, tokens, loss, error in zip(
            table.context.tolist(), table.tokens.tolist(), table.loss.tolist(), errors.tolist(),
            strict=True,
        )
    ]  # fmt: skip
    write_csv(path, ("context", "tokens", "loss", "error", "learner"), rows)


def _cell(value: float) -> str:
    if math.isnan(value):
        return ""
    return str(int(value)) if value.is_integer() and value < 1e15 else repr(value)


def _checked_options(
    *, batch: int | None, trained_on: float | None, precision: str, **deciding: Any
) -> dict[str, Any]:
    """The options that decide which losses are read, as JSON values; all are checked."""
    smallest = {"context": 2, "tokens": 1, "windows": 1, "batch": 1}
    for name, least in smallest.items():
        value = batch if name == "batch" else deciding[name]
        if value is not None and (isinstance(value, bool) or value < least):
            raise InputError(f"{name}={value}: must be at least {least}")
    if deciding["tokens"] is not None and deciding["windows"] is not None:
        raise InputError("tokens and windows: give one of the two")
    if trained_on is not None and not (math.isfinite(trained_on) and trained_on >= 1):
        raise InputError(f"trained_on={trained_on}: must be at least 1 token")
    check_choice("precision", precision, ("auto", "float32", "bfloat16"))
    if deciding["seed"] < 0:
        raise InputError(f"seed={deciding['seed']}: cannot be negative")
    return {**deciding, "boundary": str(Boundary.parse(deciding["boundary"]))}


def _open(
    model: str | PathLike[str], device: str | None, precision: str, threads: int, memory: int
) -> Reader:
    from ngramstat.lm.reader import open_reader
    from ngramstat.lm.train import device_of, set_threads

    device = device_of(device)
    # On the CPU every thread of `_Reading` computes alone.
    set_threads(1 if device == "cpu" else threads)
    return open_reader(model, device=device, precision=precision, memory=memory)


def _text_for(
    reader: Reader, model: str | PathLike[str], corpus: Corpus
) -> tuple[Corpus, list[str]]:
    """The text to read, and what the user should know of it.

    Raises
    ------
    InputError
        The corpus is not made of the model's tokens.
    """
    from ngramstat.lm.reader import TrainedReader

    if corpus.vocab_size > reader.vocab_size:
        raise InputError(
            f"{corpus.name}: has {corpus.vocab_size:,} vocabulary items, but {model} knows "
            f"{reader.vocab_size:,}; tokenize the text with the model's own tokenizer"
        )
    if not isinstance(reader, TrainedReader):
        return corpus, check_tokenizer(corpus, Path(model))
    saved = reader.saved
    if saved.corpus == corpus.sha256:
        return held_out_corpus(saved, corpus), [
            "The model was trained on this corpus: only the documents that it has not seen are "
            "read."
        ]
    known = None if corpus.tokenizer_path is None else sha256_file(corpus.tokenizer_path)
    if None not in (known, saved.tokenizer) and known != saved.tokenizer:
        raise InputError(
            f"{corpus.name}: was tokenized with another tokenizer than the corpus that {model} "
            "was trained on"
        )
    return corpus, []


def _draw(reader: Reader, text: Corpus, options: dict[str, Any]) -> TextWindows:
    longest = reader.longest_window
    context = options["context"]
    if context is None:
        context = min(longest or _DEFAULT_CONTEXT, _DEFAULT_CONTEXT)
        context = max(min(context, text.n_tokens // 2), 2)
    elif longest is not None and context > longest:
        raise InputError(
            f"context={context}: {reader.learner} was made for {longest} tokens; use a smaller "
            "--context"
        )
    return draw_windows(
        text, context, boundary=Boundary.parse(options["boundary"]),
        tokens=options["tokens"] or DEFAULT_TOKENS, windows=options["windows"],
        shortest=1 if reader.start is not None else 2, seed=options["seed"],
    )  # fmt: skip


class _Reading:
    """Reads all windows, part by part, and keeps what is finished."""

    def __init__(
        self, reader: Reader, plan: TextWindows, directory: Path | None, identity: dict[str, Any],
        batch: int | None, workspace: Workspace, require_unchanged: Callable[[], None],
    ) -> None:  # fmt: skip
        self.reader, self.plan, self.directory = reader, plan, directory
        # Each thread computes a batch of its own: nothing waits for others within a batch, and the
        # number of threads changes no bit. A GPU is busy with one batch.
        self.threads = workspace.threads if reader.kind == "cpu" else 1
        self.batch = self._decide_batch(batch, identity, workspace.memory_limit)
        # Batches are computed to the last bit alike only if they are of the same size.
        self.cache = PartCache(directory, {**identity, "batch": self.batch}, require_unchanged)
        if directory is not None:
            write_json(directory / _PLAN_FILE, {"identity": identity, "batch": self.batch})
        total = int(plan.lengths.sum())
        per_part = max(_PART_TOKENS, -(-total // _MAX_PARTS))
        batches = max(1, round(per_part / (self.batch * plan.context)))
        self.step = batches * self.batch

    def _decide_batch(self, batch: int | None, identity: dict[str, Any], memory: int | None) -> int:
        """Windows in one pass; an interrupted call has decided before."""
        if batch is not None:
            return batch
        if self.directory is not None and (self.directory / _PLAN_FILE).is_file():
            with contextlib.suppress(InputError):
                known = read_json(self.directory / _PLAN_FILE)
                if (
                    isinstance(known, dict)
                    and known.get("identity") == identity
                    and isinstance(known.get("batch"), int)
                    and known["batch"] >= 1
                ):
                    return int(known["batch"])
        assert memory is not None
        free = max(memory - anonymous_bytes(), 1)
        return self.reader.default_batch(self.plan.context, free // (2 * self.threads))

    def run(self, show: bool) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Sums and numbers of losses by block and context, (n_blocks, T)."""
        plan = self.plan
        shape = (plan.n_blocks, plan.context)
        sums, counts = np.zeros(shape), np.zeros(shape, np.int64)
        total = int(plan.lengths.sum())
        parts = [
            np.arange(first, min(first + self.step, len(plan)))
            for first in range(0, len(plan), self.step)
        ]
        with Progress(total, "read", unit="tok", enabled=show) as progress:
            done = [self.cache.load(_KIND, _VERSION, self._key(rows), _Part) for rows in parts]
            missing = [rows for rows, part in zip(parts, done, strict=True) if part is None]
            with ThreadPoolExecutor(self.threads) as pool:
                read = self._read_all(missing, pool)
                for rows, part in zip(parts, done, strict=True):
                    if part is None:
                        part = self._read(rows, read, progress)
                        self.cache.save(_KIND, _VERSION, self._key(rows), part)
                    else:
                        progress.skip(int(plan.lengths[rows].sum()))
                    sums[part.blocks] += part.sums
                    counts[part.blocks] += part.counts
        return sums, counts

    @staticmethod
    def _key(rows: NDArray[np.int64]) -> dict[str, Any]:
        return {"windows": [int(rows[0]), int(rows[-1])]}

    def _batches(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """The windows of a part in batches.

        Windows of similar lengths together: little is computed for the filling of short ones.
        """
        order = rows[np.argsort(-self.plan.lengths[rows], kind="stable")]
        return [order[i : i + self.batch] for i in range(0, len(order), self.batch)]

    def _read_all(
        self, parts: list[NDArray[np.int64]], pool: ThreadPoolExecutor
    ) -> Iterator[NDArray[np.float32]]:
        """Losses of all batches of the parts, in order; some are computed ahead."""
        batches = iter([batch for rows in parts for batch in self._batches(rows)])
        ahead: deque[Future[NDArray[np.float32]]] = deque()
        try:
            for batch in islice(batches, 2 * self.threads):
                ahead.append(pool.submit(self._losses, batch))
            while ahead:
                losses = ahead.popleft().result()
                for batch in islice(batches, 1):
                    ahead.append(pool.submit(self._losses, batch))
                yield losses
        finally:
            for future in ahead:
                future.cancel()

    def _losses(self, batch: NDArray[np.int64]) -> NDArray[np.float32]:
        return self.reader.losses(self.plan.of(batch))

    def _read(
        self, rows: NDArray[np.int64], read: Iterator[NDArray[np.float32]], progress: Progress
    ) -> _Part:
        """A part, from the losses of its batches, which come next."""
        plan = self.plan
        blocks = np.unique(plan.block[rows])
        sums = np.zeros((len(blocks), plan.context))
        counts = np.zeros((len(blocks), plan.context), np.int64)
        for batch in self._batches(rows):
            losses = next(read).astype(np.float64)
            width = losses.shape[1]
            scored = np.arange(width) < plan.lengths[batch, None]
            if self.reader.start is None:
                scored[:, 0] = False
            if not np.isfinite(losses[scored]).all():
                raise NgramstatError(
                    f"{self.reader.learner}: gives a loss that is not finite; try --precision "
                    "float32"
                )
            which = np.searchsorted(blocks, plan.block[batch])
            np.add.at(sums[:, :width], which, np.where(scored, losses, 0.0))
            np.add.at(counts[:, :width], which, scored)
            progress.advance(int(plan.lengths[batch].sum()))
        return _Part(blocks.astype(np.int64), sums, counts)

    def clean(self) -> None:
        """Remove the parts, which the finished result replaces."""
        if self.directory is None:
            return
        for path in [*self.directory.glob(f"{_KIND}-*.npz"), self.directory / _PLAN_FILE]:
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # other files lie there
            self.directory.rmdir()


def _curve(
    sums: NDArray[np.float64], counts: NDArray[np.int64], learner: str, tokens: float | None
) -> tuple[CurveTable, NDArray[np.int64]]:
    """Means with standard errors, and the number of losses behind each.

    The mean after n tokens is a ratio of sums over blocks of documents.
    """
    total = counts.sum(axis=0)
    contexts = np.flatnonzero(total)
    loss, error = ratio_of_sums(sums[:, contexts], counts[:, contexts])
    # A standard error of exactly zero (every loss the same) shows no spread.
    error[error == 0] = math.nan
    table = CurveTable(
        context=contexts.astype(np.int64),
        tokens=np.full(len(contexts), math.nan if tokens is None else float(tokens)),
        loss=loss,
        error=error if np.isfinite(error).any() else None,
        replicates=np.ones(len(contexts), np.int64),
        learner=learner,
    )
    return table, total[contexts]


def _notes(reader: Reader, plan: TextWindows, table: CurveTable) -> list[str]:
    notes = []
    if reader.start is None:
        notes.append(
            "The model is given no start-of-text token, so contexts begin at 1: it needs a token "
            "to predict from."
        )
    if float(table.loss.min()) > math.log(reader.vocab_size):
        notes.append(
            "The losses are larger than that of a uniform guess: the corpus was probably tokenized "
            "with another tokenizer than the model's."
        )
    return notes
