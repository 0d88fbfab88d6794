"""Losses of a language model on a corpus or a text."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError
from ngramstat.results.base import FloatVector, IntVector, JsonObject, Result

__all__ = ["PERPLEXITY_SCHEMA", "SCORE_SCHEMA", "PerplexityResult", "TextScore"]

PERPLEXITY_SCHEMA, SCORE_SCHEMA = "ngramstat.perplexity/1", "ngramstat.score/1"


@dataclass(frozen=True, kw_only=True, eq=False)
class PerplexityResult(Result):
    """What a model loses on a corpus, by document.

    Attributes
    ----------
    schema : str
    model : str
        What the model is.
    corpus : dict
        As in a run.
    losses : (n_documents,) float64
        Sum of -ln p over the predicted tokens of each document, nats; infinite where a token has
        no probability.
    tokens : (n_documents,) int64
        Predicted tokens; the separator at the end of a document is one of them.
    unseen : (n_documents,) int64
        Those of a type that the model has never seen.
    """

    schema: str = PERPLEXITY_SCHEMA
    model: str
    corpus: JsonObject
    losses: FloatVector
    tokens: IntVector
    unseen: IntVector

    def _check(self) -> None:
        if self.schema != PERPLEXITY_SCHEMA:
            raise InputError(f"schema {self.schema!r}: this version reads {PERPLEXITY_SCHEMA!r}")
        if not self.losses.shape == self.tokens.shape == self.unseen.shape:
            raise InputError("PerplexityResult: needs losses, tokens and unseen of each document")

    @property
    def nats(self) -> float:
        """Mean loss of a token, nats."""
        return float(self.losses.sum()) / max(int(self.tokens.sum()), 1)

    @property
    def bits(self) -> float:
        """Mean loss of a token, bits."""
        return self.nats / math.log(2)

    @property
    def perplexity(self) -> float:
        """exp of the mean loss."""
        return _exp(self.nats)

    @property
    def by_document(self) -> NDArray[np.float64]:
        """Perplexity of each document, (n_documents,); NaN for one without a predicted token."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            perplexities: NDArray[np.float64] = np.exp(self.losses / self.tokens)
        return perplexities

    def summary(self) -> dict[str, Any]:
        """The numbers of the whole corpus: documents, tokens, unseen, nats, bits, perplexity."""
        return {
            "documents": len(self.losses),
            "tokens": int(self.tokens.sum()),
            "unseen": int(self.unseen.sum()),
            "nats": self.nats,
            "bits": self.bits,
            "perplexity": self.perplexity,
        }

    def documents(self) -> tuple[list[str], list[list[Any]]]:
        """Header and rows of a table: document, loss, tokens, unseen, perplexity."""
        return self._rows()

    def _rows(self) -> tuple[list[str], list[list[Any]]]:
        columns = (self.losses, self.tokens, self.unseen, self.by_document)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return ["document", "loss", "tokens", "unseen", "perplexity"], [
            [number, *row] for number, row in enumerate(rows)
        ]


@dataclass(frozen=True, kw_only=True, eq=False)
class TextScore(Result):
    """What a model loses on each token of a text.

    Attributes
    ----------
    schema : str
    tokens : (n,) int64
        Ids.
    spellings : tuple of str
        The text of each id.
    losses : (n,) float64
        -ln p given the tokens before, nats.
    """

    schema: str = SCORE_SCHEMA
    tokens: IntVector
    spellings: tuple[str, ...]
    losses: FloatVector

    def _check(self) -> None:
        if self.schema != SCORE_SCHEMA:
            raise InputError(f"schema {self.schema!r}: this version reads {SCORE_SCHEMA!r}")
        if not len(self.tokens) == len(self.spellings) == len(self.losses):
            raise InputError("TextScore: needs a spelling and a loss for each token")

    @property
    def nats(self) -> float:
        """Mean loss of a token, nats."""
        return float(self.losses.mean())

    @property
    def bits(self) -> float:
        """Mean loss of a token, bits."""
        return self.nats / math.log(2)

    @property
    def perplexity(self) -> float:
        """exp of the mean loss."""
        return _exp(self.nats)

    def _rows(self) -> tuple[list[str], list[list[Any]]]:
        rows = zip(self.tokens.tolist(), self.spellings, self.losses.tolist(), strict=True)
        return ["token", "text", "loss"], [list(row) for row in rows]


def _exp(x: float) -> float:
    return math.exp(x) if x < 709 else math.inf
