"""Interpolated modified Kneser-Ney models, counted for one held-out token stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat import _core
from ngramstat._core import Documents
from ngramstat.errors import InputError
from ngramstat.kernels.suffixes import CutNgram, Cuts, Share, Steps, SuffixCost, suffix_cost
from ngramstat.kernels.tokens import Tokens, check_tokens
from ngramstat.runtime.gpus import Backend, open_gpus

__all__ = ["CountsOfRange", "KneserNey", "ModelSizes", "models_in_budget"]

# Models that are trained in one sweep, at most, and the fraction of the memory that they may take:
# with less the sweep has few steps, but there are more sweeps.
_MODELS_AT_ONCE = 7
_MODELS_FRACTION = 0.6


@dataclass(frozen=True)
class ModelSizes:
    """Memory of models for the same held-out tokens.

    Attributes
    ----------
    index : int
        Bytes of the held-out n-grams, which all models share.
    model : int
        Bytes of one model.
    scoring : int
        Bytes in addition, while one is scored.
    """

    index: int
    model: int
    scoring: int


@dataclass(frozen=True)
class CountsOfRange:
    """What a model has counted of the n-grams whose last token lies in a range.

    Those of ranges that partition the vocabulary add up to the model (`KneserNey.add_counts`).

    Attributes
    ----------
    raw, continuation : (order, 5) and (order - 1, 5) uint64
        As of `KneserNey.counts`.
    contexts : (k,) uint32
        Held-out contexts that occur before tokens of the range, by their numbers in the model.
    followers : (k, 8) uint64
        Of each: the sum of the counts of what follows, and how many followers have count 1, 2, and
        3 or more; then the same of the continuation counts.
    ngrams : (l,) uint32
        Held-out n-grams that occur.
    counts : (l, 2) uint64
        Count and continuation count of each.
    """

    raw: NDArray[np.uint64]
    continuation: NDArray[np.uint64]
    contexts: NDArray[np.uint32]
    followers: NDArray[np.uint64]
    ngrams: NDArray[np.uint32]
    counts: NDArray[np.uint64]


def models_in_budget(model_bytes: int, budget: float | None) -> int:
    """How many models of this size to train in one sweep within so many bytes; None: no limit."""
    if budget is None:
        return _MODELS_AT_ONCE
    return min(max(int(budget * _MODELS_FRACTION) // model_bytes, 1), _MODELS_AT_ONCE)


class KneserNey:
    """Interpolated modified Kneser-Ney models of orders 1 .. order, counted for held-out tokens.

    Parameters
    ----------
    held_out : (n,) uint16 or uint32
        Tokens to score, with the contexts before them.
    documents : Documents
        Of the held-out tokens: their content is scored, other tokens only serve as context.
    vocab_size : int
        V; probabilities sum to one over it. The id V itself may stand for a separator that is
        never predicted.
    order : int
        Highest n-gram order, 1 .. 16: contexts of 0 .. order - 1 tokens.
    stop_token : int, optional
        Contexts extend back to this token and no further.
    """

    def __init__(
        self,
        held_out: Tokens,
        documents: Documents,
        vocab_size: int,
        *,
        order: int,
        stop_token: int | None = None,
    ) -> None:
        check_tokens(held_out, "held_out")
        model: Any = _core.KneserNey16 if held_out.dtype == np.uint16 else _core.KneserNey32
        self._stop = -1 if stop_token is None else stop_token
        self._vocab_size = vocab_size
        self._order = order
        self._dtype = held_out.dtype
        self._model = model(held_out, documents, vocab_size, order, self._stop)

    @property
    def _symbols(self) -> int:
        """Number of ids that occur in a stream: a separator may be one more than the vocabulary."""
        return self._vocab_size + (self._stop == self._vocab_size)

    def cost(self, n_tokens: int, *, n_models: int = 1) -> SuffixCost:
        """Memory for training on n_tokens tokens, without that of the models themselves."""
        return suffix_cost(n_tokens, self._symbols, self._order, with_positions=n_models > 1)

    @property
    def sizes(self) -> ModelSizes:
        """Memory of the models."""
        model = self._model
        return ModelSizes(model.index_bytes, model.model_bytes, model.scoring_bytes)

    def models_that_fit(self, budget: int | None) -> int:
        """How many models to train in one sweep; None: no limit.

        `budget` are the bytes that are left beside the first model, which is there from the start.
        """
        model_bytes = self._model.model_bytes
        return models_in_budget(model_bytes, None if budget is None else budget + model_bytes)

    def reset(self, n_models: int, *, threads: int = 1) -> None:
        """Forget all training, and allocate this many models, as `train_parts` does itself."""
        self._model.reset(n_models, threads)

    def train(
        self,
        training: Tokens,
        *,
        first_event: int = 0,
        threads: int = 1,
        memory_limit: int | None = None,
        backend: Backend = "cpu",
        progress: Any = None,
    ) -> None:
        """Count the training tokens, whose dtype must be that of the held-out tokens.

        Tokens before `first_event` only serve as context; `train_parts` describes the rest.

        Raises
        ------
        InputError
            The dtypes differ.
        """
        whole = (min(first_event, len(training)), len(training))
        self.train_parts(
            training,
            [whole],
            threads=threads,
            memory_limit=memory_limit,
            backend=backend,
            progress=progress,
        )

    def train_parts(
        self,
        training: Tokens,
        parts: Sequence[tuple[int, int]],
        *,
        threads: int = 1,
        memory_limit: int | None = None,
        backend: Backend = "cpu",
        progress: Any = None,
        share: Share | None = None,
    ) -> None:
        """Train one model on each of several nested parts of the training tokens, in one sweep.

        Earlier training is forgotten. Tokens before a part serve as context.

        Parameters
        ----------
        training : (n,) uint16 or uint32
            Of the dtype of the held-out tokens.
        parts : sequence of (first, last)
            The first holds all others. Of any two, one holds the other or they are disjoint; each
            comes after those that hold it.
        backend : str or Gpus
            With GPUs the first of them counts, within its own memory limit. The counts are the
            same.
        progress : object with ``advance(tokens)``, optional
            Told of the tokens that all models are trained on.
        share : Share, optional
            Count only the n-grams whose last token lies in one of several ranges, on the CPU.

        Raises
        ------
        InputError
            The dtypes differ.
        """
        check_tokens(training, "training")
        self._check_dtype(training, "training")
        first, last = parts[0]
        bounds = np.array(parts, dtype=np.int64).reshape(-1, 2)
        lengths = bounds[:, 1] - bounds[:, 0]
        if share is None and (gpus := open_gpus(backend)):
            gpus.devices[0].train_kneser_ney(self._model, training, bounds)
            if progress is not None:
                progress.advance(float(lengths.sum()))
            return
        trained_tokens = float(lengths.sum() / max(last - first, 1))
        self._model.reset(len(parts), threads)
        cost = self.cost(len(training), n_models=len(parts))
        steps = Steps(
            training[:last],
            self._symbols,
            threads,
            memory_limit,
            cost,
            first_event=first,
            share=share,
        )
        for step in steps.cut(Cuts(self._order, self._stop)):
            if isinstance(step, CutNgram):
                self._add_ngram(training, parts, step.tokens, threads)
                continue
            is_event = (*step.prefix, step.first)[0] < self._vocab_size
            if is_event:
                end = step.last if step.prefix else min(step.last, self._vocab_size)
                self._model.add_training(training, bounds, step.first, end, threads, step.prefix)
            if progress is not None:
                progress.advance(step.size * trained_tokens)

    def train_windows(
        self,
        head: Tokens,
        windows: Tokens,
        parts: Sequence[tuple[int, int]],
        tokens: tuple[int, int],
        *,
        threads: int = 1,
    ) -> None:
        """Train on n-grams that were brought together from several streams, as `train_parts` does.

        The training tokens are those of `head` and then the last ones of the windows. Counts of
        several ranges of tokens add up (`add_counts`) to those of the whole text, if every range
        gets all windows that end in it. Earlier training is forgotten.

        Parameters
        ----------
        head : (h,) uint16 or uint32
            The first tokens of all text, which have less than a window before them.
        windows : (k, order) uint16 or uint32
            Tokens, each with those before it, oldest first; what stands before a stop token is
            ignored.
        parts : sequence of (first, last)
            In training tokens, 0 .. h + k; as for `train_parts`.
        tokens : (first, last)
            The range of ids whose n-grams are counted, by the last token.

        Raises
        ------
        InputError
            The dtypes differ from that of the held-out tokens, or windows have another length.
        """
        stream: Any = np.concatenate([head, np.ascontiguousarray(windows).reshape(-1)])
        check_tokens(stream, "windows")
        self._check_dtype(stream, "windows")
        if windows.shape[1] != self._order:
            raise InputError(f"windows: have {windows.shape[1]} tokens, the order is {self._order}")
        events = np.array(parts, dtype=np.int64).reshape(-1, 2)
        bounds = np.where(
            events <= len(head), events, len(head) + self._order * (events - len(head))
        )
        self._model.reset(len(parts), threads)
        self._model.add_windows(stream, len(head), bounds, *tokens, threads)

    def _check_dtype(self, tokens: Tokens, name: str) -> None:
        if tokens.dtype != self._dtype:
            raise InputError(
                f"{name}: dtype {tokens.dtype} differs from the held-out tokens' {self._dtype}"
            )

    def _add_ngram(
        self,
        training: Tokens,
        parts: Sequence[tuple[int, int]],
        ngram: tuple[int, ...],
        threads: int,
    ) -> None:
        """Count an n-gram, last token first, whose extensions are counted in several steps."""
        if ngram[0] >= self._vocab_size:
            return
        for model, (first, last) in enumerate(parts):
            before = _core.tokens_before(training, self._symbols, first, last, ngram, threads)
            self._model.add_ngram(model, ngram, int(before.sum()), int(np.count_nonzero(before)))

    def counts_of_range(self, model: int = 0) -> CountsOfRange:
        """What a model that was trained on a `share` has counted."""
        return CountsOfRange(*self._model.counts_of_ranges(model))

    def add_counts(self, counted: CountsOfRange, model: int = 0) -> None:
        """Add what was counted of another range to a model.

        Raises
        ------
        ValueError
            The counts are of a model of another order, or for other held-out tokens.
        """
        self._model.add_counts(
            model,
            counted.raw,
            counted.continuation,
            counted.contexts,
            counted.followers,
            counted.ngrams,
            counted.counts,
        )

    def counts(self, model: int = 0) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Numbers of n-grams per order with counts 1, 2, 3, 4, and of all distinct ones.

        Returns (raw, continuation): raw is (order, 5); continuation, for the continuation counts of
        the lower orders, (order - 1, 5).
        """
        raw, continuation = self._model.counts(model)
        return raw, continuation

    def score(
        self,
        raw: NDArray[np.float64],
        continuation: NDArray[np.float64],
        *,
        model: int = 0,
        threads: int = 1,
    ) -> NDArray[np.float64]:
        """Sum of -ln p over each document, (n_documents, order), nats; column n is context n.

        raw (order, 3) and continuation (order - 1, 3) are the discounts D1, D2, D3+ of every order
        where it is the highest of its model and where it is not.
        """
        losses: NDArray[np.float64] = self._model.score(
            model,
            np.ascontiguousarray(raw, dtype=np.float64).reshape(-1, 3),
            np.ascontiguousarray(continuation, dtype=np.float64).reshape(-1, 3),
            threads,
        )
        return losses
