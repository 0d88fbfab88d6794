"""The mixture of contexts as a language model: trained once, then asked about any tokens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ngramstat.boundary import Boundary
from ngramstat.corpus import Corpus
from ngramstat.corpus.conversion import CorpusLike, as_corpus
from ngramstat.errors import InputError
from ngramstat.index.ngram_arguments import NgramsLike
from ngramstat.kernels import token_counts
from ngramstat.kernels.mixing import MAX_OFFSET
from ngramstat.ngram_models.mixture.files import read_mixture, save_mixture
from ngramstat.ngram_models.mixture.losses import Mixture
from ngramstat.ngram_models.mixture.tuning_slice import (
    MixtureSplit,
    pieces_of,
    pieces_of_targets,
    tuning_split,
)
from ngramstat.ngram_models.model import LanguageModel
from ngramstat.ngram_models.split_streams import training_stream
from ngramstat.ngram_models.streams import stream_to_score
from ngramstat.ngram_models.text import TokenizerText
from ngramstat.runtime.arguments import as_path, integer_within
from ngramstat.runtime.progress import Progress, shows_progress
from ngramstat.runtime.resources import parse_memory_limit, resolve_threads
from ngramstat.runtime.workspace import Workspace
from ngramstat.sampling.design import SamplingDesign
from ngramstat.sampling.options import SamplingOptions
from ngramstat.sampling.split import Selection

__all__ = ["MixtureModel"]

Floats = NDArray[np.float64]


class MixtureModel(LanguageModel):
    """A mixture of many contexts, which predicts better than Kneser-Ney, and more slowly.

    Training fits what is the same for every text: the trees of binary decisions, the discounts and
    the weights of the mixers. The counts of all patterns of context would take a hundred times the
    memory of the corpus, so they are made for the contexts of each text that is scored: the model
    keeps its corpus, and every call of `log_probs` reads it once per pattern. Score many tokens in
    one call. A token's probability depends on the corpus and on the tokens before it alone, not on
    what else is scored.

    `measure` uses the same mixture: trained on the training side of its split, the model has the
    losses that `measure` finds on the held-out side.

    Attributes
    ----------
    order, vocab_size, stop_token, text
        As of `LanguageModel`.
    corpus : Corpus
        What was trained on.
    better : bool
        Whether the mixture beat its starting point, a Kneser-Ney model, on the second half of the
        tuning slice, before it had learned from it.
    """

    def __init__(
        self,
        corpus: Corpus,
        mixture: Mixture,
        *,
        boundary: Boundary,
        seed: int,
        threads: int | None = None,
        memory_limit: str | int | None = None,
    ) -> None:
        self.corpus = corpus
        self.text = TokenizerText.of_corpus(corpus)
        self._mixture, self._seed = mixture, seed
        self._boundary = boundary
        self._threads, self._memory_limit = threads, memory_limit
        separator = corpus.vocab_size if corpus.separator is None else corpus.separator
        self.stop_token = None if boundary.across else separator

    @property
    def order(self) -> int:
        return self._mixture.max_context + 1

    @property
    def vocab_size(self) -> int:
        return self.corpus.vocab_size

    @property
    def better(self) -> bool:
        return bool(self._mixture.mixers.better[-1])

    def __repr__(self) -> str:
        return (
            f"MixtureModel(order {self.order}, vocabulary {self.vocab_size:,}, boundary "
            f"{self._boundary.value}, trained on {self.corpus.name})"
        )

    @classmethod
    def train(
        cls,
        corpus: CorpusLike,
        order: int = 5,
        *,
        boundary: str | None = None,
        seed: int = 0,
        threads: int | None = None,
        memory_limit: str | int | None = None,
        progress: bool | None = None,
    ) -> MixtureModel:
        """Fit the trees, discounts and weights to a corpus.

        Parameters
        ----------
        corpus
            Whatever holds tokens or text, as for `ngramstat.measure`. The model keeps it.
        order : int
            Contexts have up to order - 1 tokens, 1 .. 15.
        boundary : str, optional
            As for `KneserNeyModel.train`.
        seed : int
            Of the choice of documents that the weights are learned on.
        threads : int, optional
            By default the cores this process may use. Does not change the model.
        memory_limit : str or int, optional
            Such as "80%" (the default) or "16G"; also of scoring. Does not change the model.
        progress : bool, optional
            Show progress; by default in notebooks.

        Raises
        ------
        InputError
            The corpus is too small, an option cannot be used as given, or the files of the corpus
            change meanwhile.
        """
        corpus = as_corpus(corpus)
        order = integer_within("order", order, 2, MAX_OFFSET)
        if boundary is None:
            chosen = Boundary.STREAM if corpus.document_ends is None else Boundary.DOCUMENT
        else:
            chosen = Boundary.parse(boundary)
        workspace = Workspace(resolve_threads(threads), parse_memory_limit(memory_limit))
        workspace.require_working_memory(corpus.n_tokens)
        with (
            corpus.unchanged(),
            _training(corpus, chosen, seed, workspace) as split,
            Progress(1.0, "mixture", unit="", enabled=shows_progress(progress)) as bar,
        ):
            mixture = Mixture.new(split, order - 1, [order - 1], workspace)
            if corpus.vocab_size > 1:
                mixture.losses(split, list(pieces_of(split)), workspace, bar)
        return cls(
            corpus,
            mixture,
            boundary=chosen,
            seed=seed,
            threads=threads,
            memory_limit=memory_limit,
        )

    def save(self, path: str | PathLike[str]) -> None:
        """Write what was fitted, and which corpus the counts come from; atomically.

        The corpus itself is not written.

        Raises
        ------
        InputError, NgramstatError
            The file cannot be written.
        """
        save_mixture(path, self._mixture, self.corpus, self._boundary, self._seed)

    @classmethod
    def load(
        cls,
        path: str | PathLike[str],
        *,
        corpus: CorpusLike | None = None,
        threads: int | None = None,
        memory_limit: str | int | None = None,
    ) -> Self:
        """Open a model that `save` has written.

        Parameters
        ----------
        path
        corpus
            What it was trained on; by default it is opened where it was.

        Raises
        ------
        InputError
            The file is no mixture or is damaged, or the corpus is not there or has changed.
        """
        mixture, found, boundary, seed = read_mixture(
            as_path("path", path), None if corpus is None else as_corpus(corpus)
        )
        return cls(
            found, mixture, boundary=boundary, seed=seed, threads=threads, memory_limit=memory_limit
        )

    def unseen_types(self) -> NDArray[np.bool_]:
        unseen: NDArray[np.bool_] = token_counts(self.corpus.tokens, self.vocab_size) == 0
        return unseen

    def log_probs(self, tokens: CorpusLike, *, threads: int | None = None) -> Floats:
        """Log probability of every token given those before it, nats.

        Reads the training corpus once per pattern and 2 million tokens.

        Parameters
        ----------
        tokens, threads
            As for `BackoffModel.log_probs`.

        Returns
        -------
        (n,) float64

        Raises
        ------
        InputError
            An id is not below the model's vocabulary size, or the corpus has another separator.
        """
        corpus = self._read_corpus(tokens)
        stream, places = stream_to_score(corpus, self.stop_token, self.vocab_size)
        if places is None:
            return -self._losses(stream, np.arange(len(stream)), threads)
        events = np.unique(places[places >= 0])
        scores = np.zeros(len(stream))
        scores[events] = -self._losses(stream, events, threads)
        result: Floats = scores[np.maximum(places, 0)]
        result[places < 0] = 0.0
        return result

    def next_log_probs(self, contexts: NgramsLike, *, threads: int | None = None) -> Floats:
        """Log probabilities of all V tokens after contexts, nats; shapes as of `BackoffModel`'s.

        Takes a pass over the training corpus, as `log_probs` does, for k V tokens.

        Parameters
        ----------
        contexts
            One context or many, as for `BackoffModel.next_log_probs`. Each of at least order - 1
            tokens, or from the stop token at the beginning of its document on.
        """
        v, history = self.vocab_size, self.order - 1
        rows, ends = [], []
        queries = self._read_contexts(contexts)
        slices = queries.slices
        for number, (begin, end) in enumerate(zip(slices.begins, slices.ends, strict=True)):
            given = slices.tokens[begin:end].astype(np.int64)[-history:]
            if len(given) < history and given.tolist()[:1] != [self.stop_token]:
                raise InputError(
                    f"contexts: number {number} has {len(given)} tokens; a mixture needs "
                    f"{history}, or the stop token at the beginning of a document"
                )
            width = len(given) + 1
            block = np.tile(np.append(given, 0), (v, 1))
            block[:, -1] = np.arange(v)
            rows.append(block.reshape(-1))
            ends.append(np.full(v, width))
        if not rows:
            return np.zeros((0, v))
        tokens = np.concatenate(rows).astype(np.uint32)
        targets = np.cumsum(np.concatenate(ends)) - 1
        result = -self._losses(tokens, targets, threads).reshape(-1, v)
        return result[0] if queries.single else result

    def _losses(
        self, tokens: NDArray[Any], targets: NDArray[np.int64], threads: int | None
    ) -> Floats:
        if self.vocab_size == 1 or not len(targets):
            return np.zeros(len(targets))
        chosen = self._threads if threads is None else threads
        workspace = Workspace(resolve_threads(chosen), parse_memory_limit(self._memory_limit))
        with _training(self.corpus, self._boundary, self._seed, workspace) as split:
            pieces = list(pieces_of_targets(tokens, targets))
            losses: Floats = self._mixture.losses(split, pieces, workspace)[-1]
        return losses


@contextmanager
def _training(
    corpus: Corpus, boundary: Boundary, seed: int, workspace: Workspace
) -> Iterator[MixtureSplit]:
    """The corpus with the tuning slice at its end, as `measure` lays it out."""
    design = SamplingDesign(corpus, SamplingOptions(boundary=boundary, seed=seed))
    documents = design.documents
    selection = Selection.of_documents(corpus, documents, np.arange(len(documents)))
    with (
        workspace.managing(corpus.tokens),
        training_stream(selection, boundary, workspace) as streams,
    ):
        yield tuning_split(streams, seed)
