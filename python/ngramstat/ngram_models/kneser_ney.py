"""Interpolated modified Kneser-Ney models: trained on a corpus, in back-off form.

Chen and Goodman (1999): discounts from counts of counts per order, raw counts at the highest order,
continuation counts below it, recursion down to the uniform distribution over the vocabulary. With
boundary ``document`` this is KenLM's ``lmplz`` with the separator as sentence start and end.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from os import PathLike
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ngramstat.boundary import Boundary
from ngramstat.corpus import Corpus
from ngramstat.corpus.contents import document_contents
from ngramstat.corpus.conversion import CorpusLike, as_corpus
from ngramstat.errors import InputError
from ngramstat.kernels.ngram_models import KneserNeyTrainer, remove_pruned_ngrams
from ngramstat.kernels.tokens import dtype_holding
from ngramstat.ngram_models.backoff_model import BackoffModel
from ngramstat.ngram_models.discounts import discounts
from ngramstat.ngram_models.streams import stop_token_of, stream_size, write_stream
from ngramstat.ngram_models.text import TokenizerText
from ngramstat.ngram_models.trie import LEAF, MAX_ORDER, NODE, NgramTrie
from ngramstat.runtime.arguments import as_integers, integer_within
from ngramstat.runtime.progress import Progress, shows_progress
from ngramstat.runtime.resources import parse_memory_limit, resolve_threads
from ngramstat.runtime.workspace import Workspace

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
            The corpus is empty, an option cannot be used as given, or the files of the corpus
            change meanwhile.
        """
        corpus = as_corpus(corpus)
        order = integer_within("order", order, 1, MAX_ORDER)
        smallest = _min_counts(min_counts, order)
        chosen = _boundary(corpus, boundary)
        workspace = Workspace(resolve_threads(threads), parse_memory_limit(memory_limit))
        workspace.require_working_memory(corpus.n_tokens)
        with ExitStack() as stack:
            stack.enter_context(corpus.unchanged())
            stack.enter_context(workspace.managing(corpus.tokens))
            stream, stop = _training_stream(corpus, chosen, workspace, stack)
            trainer = KneserNeyTrainer(
                stream,
                corpus.vocab_size,
                order=order,
                stop_token=stop,
                first_event=0 if stop is None else 1,
                min_counts=smallest,
                threads=workspace.threads,
            )
            shown = stack.enter_context(
                Progress(3 * len(stream), "n-gram model", enabled=shows_progress(progress))
            )
            with corpus.naming_large_ids():
                model = cls._trained(trainer, stop, smallest, workspace, stack, shown)
        model.text = TokenizerText.of_corpus(corpus)
        if model.discounts[0]["distinct"] < model.vocab_size:
            unigrams = model._trie.levels[0]["log_prob"][: model.vocab_size]
            model._unknown_log_prob = float(unigrams.min())
        return model

    @classmethod
    def _trained(
        cls,
        trainer: KneserNeyTrainer,
        stop: int | None,
        min_counts: NDArray[np.uint64],
        workspace: Workspace,
        stack: ExitStack,
        progress: Any,
    ) -> Self:
        budget = workspace.memory_budget(token_bytes=trainer.random_bytes)
        raw, continuation = trainer.count(budget, progress)
        counts = np.concatenate([continuation, raw[-1:]])
        table = tuple(_row(m, row) for m, row in enumerate(counts, start=1))
        sizes = trainer.level_sizes()
        levels = [
            stack.enter_context(
                workspace.temporary_array(size, LEAF if m == len(sizes) > 1 else NODE)
            )
            for m, size in enumerate(sizes, start=1)
        ]
        values = np.array([row["discounts"] for row in table])
        trainer.train(levels, values, progress)
        symbols, vocab_size = trainer.symbols, trainer.vocab_size
        if min_counts[-1] > 1:
            sizes = remove_pruned_ngrams(vocab_size, symbols, levels)
            levels = [level[:size] for level, size in zip(levels, sizes, strict=True)]
        trie = NgramTrie(vocab_size, symbols, tuple(levels)).with_guides(workspace.threads)
        return cls(trie, stop_token=stop, training_tokens=int(trainer.n_events), discounts=table)


def _min_counts(min_counts: Sequence[int] | None, order: int) -> NDArray[np.uint64]:
    given = as_integers("min_counts", (1,) if min_counts is None else min_counts)
    numbers = [*given, *given[-1:] * order][:order]
    if len(given) > order or not given or given[0] != 1 or sorted(numbers) != numbers:
        raise InputError(
            f"min_counts={list(given)}: must be at most {order} ascending numbers, of which the "
            "first is 1"
        )
    return np.array(numbers, np.uint64)


def _boundary(corpus: Corpus, boundary: str | None) -> Boundary:
    if boundary is not None:
        return Boundary.parse(boundary)
    return Boundary.STREAM if corpus.document_ends is None else Boundary.DOCUMENT


def _training_stream(
    corpus: Corpus, boundary: Boundary, workspace: Workspace, stack: ExitStack
) -> tuple[NDArray[Any], int | None]:
    """The tokens to train on, and the stop token between documents."""
    if not corpus.n_tokens:
        raise InputError(f"{corpus.name}: holds no tokens to train on")
    stop = stop_token_of(corpus, boundary)
    if stop is None:
        return np.ascontiguousarray(corpus.tokens), None
    corpus.require_documents()
    first, last = document_contents(corpus)
    stream = stack.enter_context(
        workspace.temporary_array(stream_size(first, last, stop), dtype_holding(stop, corpus.dtype))
    )
    write_stream(stream, corpus.tokens, first, last, stop)
    return stream, stop


def _row(order: int, counts: NDArray[np.uint64]) -> dict[str, Any]:
    """The discounts of one order, and what they are estimated from."""
    values, is_fallback = discounts(counts)
    return {
        "order": order,
        "distinct": int(counts[4]),
        "discounts": values.tolist(),
        "counts_of_counts": counts[:4].tolist(),
        "is_fallback": is_fallback,
    }
