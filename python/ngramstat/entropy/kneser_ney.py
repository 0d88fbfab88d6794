"""Held-out cross-entropy of interpolated modified Kneser-Ney models of every order.

Chen and Goodman (1999): discounts from counts of counts per order, continuation counts below the
highest order, recursion down to the uniform distribution over the vocabulary. With separators
between documents and boundary ``document`` this is KenLM's ``lmplz`` with the separator as sentence
start and end.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.boundary import Boundary
from ngramstat.entropy.copies import copied_tokens
from ngramstat.errors import InputError
from ngramstat.kernels import KneserNey
from ngramstat.ngram_models.discounts import FALLBACK_DISCOUNTS, discounts
from ngramstat.ngram_models.split_streams import SplitStreams, split_streams
from ngramstat.runtime.workspace import Workspace
from ngramstat.sampling.split import HeldOutSplit

__all__ = [
    "FALLBACK_DISCOUNTS",
    "HeldOutLosses",
    "discounts",
    "held_out_losses",
    "held_out_model",
    "scored_losses",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class HeldOutLosses:
    """Losses of the models with contexts of n = 0 .. max_context tokens.

    Attributes
    ----------
    losses : (n_documents, n_contexts) float64
        Sum of -ln p over the scored tokens of each held-out document.
    tokens : (n_documents,) int64
        Scored tokens.
    losses_at_starts, tokens_at_starts : like losses and tokens
        The part of both that belongs to tokens with fewer than max_context tokens before them in
        their document; zero with boundary ``stream``.
    copied : (n_documents,) int64
        Scored tokens inside a passage of `copy_tokens` or more that also stands in the training
        text.
    copy_tokens : int
        At least 32, and more where tokens carry little information.
    training_tokens : int
        Tokens trained on, separators included.
    discounts : tuple of dict
        Per order: order, raw and lower discounts (those of continuation counts), counts of counts,
        and whether they are fallbacks.
    """

    losses: Floats
    tokens: NDArray[np.int64]
    losses_at_starts: Floats
    tokens_at_starts: NDArray[np.int64]
    copied: NDArray[np.int64]
    copy_tokens: int
    training_tokens: int
    discounts: tuple[dict[str, Any], ...]

    @property
    def copied_fraction(self) -> float:
        """Fraction of the scored tokens inside copied passages."""
        return float(self.copied.sum() / self.tokens.sum())

    @property
    def full_context_loss(self) -> Floats:
        """Mean loss of the tokens with at least max_context tokens before them, (n_contexts,).

        Of all tokens where documents are so short that there is none.
        """
        tokens = int((self.tokens - self.tokens_at_starts).sum())
        losses = self.losses - self.losses_at_starts
        if tokens == 0:
            losses, tokens = self.losses, int(self.tokens.sum())
        mean: Floats = losses.sum(axis=0) / tokens
        return mean


def held_out_losses(
    split: HeldOutSplit,
    *,
    max_context: int,
    boundary: Boundary,
    find_copies: bool = True,
    workspace: Workspace | None = None,
    progress: Any = None,
) -> HeldOutLosses:
    """Train on one side of a split, score the other.

    With boundary ``document`` contexts reach back to the start of the document, which the separator
    before it marks (one that is never predicted is put in where the store has none); with
    ``stream`` they run across the concatenated documents. Separators of the store are predicted and
    scored like any token.

    Without `find_copies`, copies of training text are not looked for; `copy_tokens` is 0.

    Raises
    ------
    InputError
        The two corpora differ in vocabulary or separator, a token is not below the vocabulary's
        size, or one side is empty.
    """
    workspace = Workspace() if workspace is None else workspace
    with split_streams(
        split, boundary=boundary, max_context=max_context, workspace=workspace
    ) as streams:
        copied, copy_tokens = None, 0
        if find_copies:
            copied, copy_tokens = copied_tokens(streams, workspace.threads)
        try:
            model = held_out_model(streams, max_context)
            reads_tokens = model.cost(len(streams.training)).reads_text
            model.train(
                streams.training,
                first_event=streams.first_event,
                threads=workspace.threads,
                memory_limit=workspace.memory_budget(
                    token_bytes=streams.training.nbytes if reads_tokens else 0
                ),
                backend=workspace.gpus,
                progress=progress,
            )
        except IndexError as error:
            path = split.training.corpus.path
            raise InputError(f"{path}: {error} (of the training and held-out tokens)") from error
        losses = scored_losses(
            model,
            0,
            streams,
            training_tokens=streams.training_tokens,
            threads=workspace.threads,
        )
    if copied is None:
        return losses
    return dataclasses.replace(
        losses, copied=streams.scored.totals(copied), copy_tokens=copy_tokens
    )


def held_out_model(streams: SplitStreams, max_context: int) -> KneserNey:
    """Models of all orders for the held-out side of a split, to be trained."""
    return KneserNey(
        streams.held_out,
        streams.scored.documents,
        streams.vocab_size,
        order=max_context + 1,
        stop_token=streams.stop_token,
    )


def scored_losses(
    model: KneserNey, number: int, streams: SplitStreams, *, training_tokens: int, threads: int
) -> HeldOutLosses:
    """Losses of a trained model on the held-out side, copies of training text not looked for.

    `number` is that of the part it was trained on.
    """
    pieces = streams.scored
    raw, continuation, table = _discounts_by_order(model, number)
    losses = model.score(raw, continuation, model=number, threads=threads)
    return HeldOutLosses(
        losses=pieces.totals(losses),
        tokens=pieces.totals(pieces.tokens),
        losses_at_starts=pieces.totals_at_starts(losses),
        tokens_at_starts=pieces.totals_at_starts(pieces.tokens),
        copied=pieces.totals(np.zeros(len(pieces.part), np.int64)),
        copy_tokens=0,
        training_tokens=training_tokens,
        discounts=table,
    )


def _discounts_by_order(
    model: KneserNey, number: int
) -> tuple[Floats, Floats, tuple[dict[str, Any], ...]]:
    """Discounts of raw counts (orders, 3), of continuation counts (orders - 1, 3), and a table."""
    raw_counts, continuation_counts = model.counts(number)
    raw: list[Floats] = []
    continuation: list[Floats] = []
    table: list[dict[str, Any]] = []
    for m, counts in enumerate(raw_counts):
        values, is_fallback = discounts(counts)
        raw.append(values)
        row: dict[str, Any] = {
            "order": m + 1,
            "distinct": int(counts[4]),
            "raw": values.tolist(),
            "raw_counts_of_counts": counts[:4].tolist(),
            "raw_is_fallback": is_fallback,
        }
        # The highest order is only ever used with its raw counts.
        if m < len(continuation_counts):
            values, is_fallback = discounts(continuation_counts[m])
            continuation.append(values)
            row["lower"] = values.tolist()
            row["lower_counts_of_counts"] = continuation_counts[m][:4].tolist()
            row["lower_is_fallback"] = is_fallback
        table.append(row)
    lower = np.array(continuation, dtype=np.float64).reshape(-1, 3)
    return np.stack(raw), lower, tuple(table)
