"""Interpolated modified Kneser-Ney models: trained on a corpus, in back-off form.

Chen and Goodman (1999): discounts from counts of counts per order, raw counts at the highest order,
continuation counts below it, recursion down to the uniform distribution over the vocabulary. With
boundary ``document`` this is KenLM's ``lmplz`` with the separator as sentence start and end.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from math import log
from os import PathLike
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ngramstat.boundary import Boundary
from ngramstat.corpus import Corpus
from ngramstat.corpus.conversion import CorpusLike, as_corpus
from ngramstat.errors import InputError
from ngramstat.ngram_models.backoff_model import BackoffModel
from ngramstat.ngram_models.discounts import discounts
from ngramstat.ngram_models.streams import document_contents, stream_size, write_stream
from ngramstat.ngram_models.text import TokenizerText
from ngramstat.ngram_models.trie import MAX_ORDER, Batch, NgramTrie
from ngramstat.ngram_models.trie_building import build_trie
from ngramstat.runtime.arguments import integer_within

__all__ = ["KneserNeyModel"]


class KneserNeyModel(BackoffModel):
    """An interpolated modified Kneser-Ney model of one order.

    Attributes
    ----------
    order, vocab_size, boundary, stop_token
        As of `BackoffModel`.
    training_tokens : int
        Tokens trained on, separators included.
    discounts : tuple of dict
        Per order: order, distinct (n-grams), discounts, counts_of_counts (1 to 4), is_fallback; of
        raw counts at the highest order and of continuation counts below it.
    """

    def __init__(
        self,
        trie: NgramTrie,
        *,
        stop_token: int | None,
        training_tokens: int,
        discounts: tuple[dict[str, Any], ...],
    ) -> None:
        super().__init__(trie, stop_token=stop_token)
        self.training_tokens = training_tokens
        self.discounts = discounts

    def _settings(self) -> dict[str, Any]:
        return {
            "kind": "kneser-ney",
            "training_tokens": self.training_tokens,
            "discounts": list(self.discounts),
        }

    @classmethod
    def _restored(
        cls, path: str | PathLike[str], trie: NgramTrie, stop_token: int | None, settings: Any
    ) -> Self:
        if settings.get("kind") != "kneser-ney":
            raise InputError(
                f"{path}: holds a back-off model that was not trained here; use BackoffModel.load"
            )
        tokens, table = settings.get("training_tokens"), settings.get("discounts")
        if type(tokens) is not int or not isinstance(table, list):
            raise InputError(f"{path}: damaged: its discounts are missing")
        return cls(trie, stop_token=stop_token, training_tokens=tokens, discounts=tuple(table))

    @classmethod
    def train(
        cls,
        corpus: CorpusLike,
        order: int = 5,
        *,
        boundary: str | None = None,
        min_counts: Sequence[int] | None = None,
        threads: int | None = None,
        memory_limit: str | int | None = None,
        progress: bool | None = None,
    ) -> KneserNeyModel:
        """Train on a corpus.

        Parameters
        ----------
        corpus
            Whatever holds tokens or text, as for `ngramstat.measure`.
        order : int
            Longest n-grams, 1 .. 16; contexts have up to order - 1 tokens.
        boundary : str, optional
            ``document``: contexts reach back to the start of their document, and its end is
            predicted where the corpus has separators; ``stream``: they run across documents. By
            default ``document`` where the documents are known.
        min_counts : sequence of int, optional
            Keep n-grams of order m that occur at least min_counts[m - 1] times; the first is 1, no
            number is smaller than the one before, and the last holds for all higher orders. What
            is left out adds to the back-off weights, as in KenLM's ``lmplz --prune``. By default
            all are kept.
        threads : int, optional
            By default the cores this process may use. Does not change the model.
        memory_limit : str or int, optional
            Such as "80%" (the default) or "16G". Does not change the model.
        progress : bool, optional
            Show progress; by default in notebooks.

        Raises
        ------
        InputError
            The corpus is empty, or an option cannot be used as given.
        """
        corpus = as_corpus(corpus)
        order = integer_within("order", order, 1, MAX_ORDER)
        chosen = _boundary(corpus, boundary)
        stream, stop = _training_stream(corpus, chosen)
        model = _train(cls, stream, corpus.vocab_size, stop, order)
        model.text = TokenizerText.of_corpus(corpus)
        if model.discounts[0]["distinct"] < corpus.vocab_size:
            model._unknown_log_prob = float(
                model._trie.levels[0]["log_prob"][: corpus.vocab_size].min()
            )
        return model


def _boundary(corpus: Corpus, boundary: str | None) -> Boundary:
    if boundary is not None:
        return Boundary.parse(boundary)
    return Boundary.STREAM if corpus.document_ends is None else Boundary.DOCUMENT


def _training_stream(corpus: Corpus, boundary: Boundary) -> tuple[NDArray[Any], int | None]:
    if boundary.across:
        return corpus.tokens, None
    if corpus.document_ends is None:
        raise InputError(
            f"{corpus.name}: has no documents to stay inside; use --boundary stream, or give the "
            "separator's id with --separator"
        )
    stop = corpus.vocab_size if corpus.separator is None else corpus.separator
    first, last = document_contents(corpus)
    stream = np.empty(stream_size(first, last, stop), np.uint32)
    write_stream(stream, corpus.tokens, first, last, stop)
    return stream, stop


def _train(
    cls: type[KneserNeyModel], stream: NDArray[Any], vocab_size: int, stop: int | None, order: int
) -> KneserNeyModel:
    events = 0
    counts: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(order + 1)]
    left: list[dict[tuple[int, ...], set[int]]] = [defaultdict(set) for _ in range(order + 1)]
    tokens = stream.tolist()
    for i in range(0 if stop is None else 1, len(tokens)):
        if tokens[i] >= vocab_size:
            continue
        events += 1
        gram: tuple[int, ...] = ()
        for m in range(1, order + 1):
            at = i - m + 1
            if at < 0 or (m > 2 and gram[0] == stop):
                break
            gram = (tokens[at], *gram)
            counts[m][gram] += 1
            ended = at == 0 or (m > 1 and gram[0] == stop)
            left[m][gram].add(-1 if ended else tokens[at - 1])
    for m in range(1, order):
        for gram in counts[m]:
            if not (m > 1 and gram[0] == stop):
                counts[m][gram] = len(left[m][gram])
    if not events:
        raise InputError("the corpus holds no tokens to train on")
    table = []
    probabilities: list[dict[tuple[int, ...], float]] = [{(): 1 / vocab_size}]
    backoffs: list[dict[tuple[int, ...], float]] = []
    for m in range(1, order + 1):
        numbers = Counter(counts[m].values())
        values, is_fallback = discounts(np.array([numbers[c] for c in (1, 2, 3, 4)], np.uint64))
        table.append(
            {
                "order": m,
                "distinct": len(counts[m]),
                "discounts": values.tolist(),
                "counts_of_counts": [numbers[c] for c in (1, 2, 3, 4)],
                "is_fallback": is_fallback,
            }
        )
        total: Counter[tuple[int, ...]] = Counter()
        freed: dict[tuple[int, ...], float] = defaultdict(float)
        for gram, c in counts[m].items():
            total[gram[:-1]] += c
            freed[gram[:-1]] += float(values[min(c, 3) - 1])
        backoffs.append({context: freed[context] / total[context] for context in total})
        probabilities.append(
            {
                gram: (
                    max(c - float(values[min(c, 3) - 1]), 0.0)
                    + freed[gram[:-1]]
                    * probabilities[m - 1].get(gram[1:], backoffs[0][()] / vocab_size)
                )
                / total[gram[:-1]]
                for gram, c in counts[m].items()
            }
        )
    unknown = backoffs[0][()] / vocab_size

    def batches(m: int) -> Iterator[Batch]:
        grams = dict(probabilities[m])
        if m == 1 and stop == vocab_size:
            grams[(vocab_size,)] = 0.0
        weights = backoffs[m] if m < order else {}
        with np.errstate(divide="ignore"):
            yield (
                np.array(list(grams), np.int64).reshape(-1, m),
                np.log(np.array(list(grams.values()))),
                np.array([log(weights.get(gram, 1.0)) for gram in grams]),
            )

    symbols = vocab_size + (stop == vocab_size)
    trie = build_trie(vocab_size, symbols, [batches(m) for m in range(1, order + 1)], log(unknown))
    return cls(trie, stop_token=stop, training_tokens=events, discounts=tuple(table))
