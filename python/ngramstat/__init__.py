"""Predicts how the loss of a language model falls with data, from the token corpus alone.

Two statistics of a corpus fall as power laws: the covariance C(t) of tokens that are t apart, as
t^-beta, and the entropy H(n) of the next token given n tokens, as n^-gamma. The loss of a model
that is limited by data then falls with the number P of training tokens as P^-alpha, with
alpha = gamma / (2 beta) (Cagnetta, Raventos, Ganguli and Wyart, ICML 2026).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ngramstat.version import __version__

# The module that defines each public name. It is imported when the name is first used, so that
# `import ngramstat` stays light.
_HOMES = {
    "Answer": "ngramstat.results",
    "CollocationTable": "ngramstat.counts.collocations",
    "BackoffModel": "ngramstat.ngram_models.backoff_model",
    "Corpus": "ngramstat.corpus",
    "CorrelationResult": "ngramstat.results",
    "EntropyResult": "ngramstat.results",
    "Exponent": "ngramstat.results",
    "InputError": "ngramstat.errors",
    "NgramIndex": "ngramstat.index.ngram_index",
    "NgramTable": "ngramstat.counts.ngram_table",
    "KneserNeyModel": "ngramstat.ngram_models.kneser_ney",
    "MixtureModel": "ngramstat.ngram_models.mixture.model",
    "NgramstatError": "ngramstat.errors",
    "PerplexityResult": "ngramstat.results",
    "Prediction": "ngramstat.results",
    "ReadingResult": "ngramstat.results",
    "RunResult": "ngramstat.results",
    "TheoriesResult": "ngramstat.results",
    "ValidationResult": "ngramstat.results",
    "WordVectors": "ngramstat.counts.vectors",
    "collocations": "ngramstat.counts.collocations",
    "cooccurrence": "ngramstat.counts.cooccurrence",
    "cooccurrence_rows": "ngramstat.counts.cooccurrence",
    "correlations": "ngramstat.api",
    "entropies": "ngramstat.api",
    "inspect": "ngramstat.corpus",
    "load_model": "ngramstat.ngram_models.loading",
    "load_run": "ngramstat.api",
    "measure": "ngramstat.api",
    "open_cooccurrence": "ngramstat.counts.mapped_matrix",
    "ngram_batches": "ngramstat.counts.ngrams",
    "ngrams": "ngramstat.counts.ngrams",
    "plan": "ngramstat.api",
    "plot": "ngramstat.report.drawing",
    "ppmi": "ngramstat.counts.association",
    "predict": "ngramstat.api",
    "read_curves": "ngramstat.prediction.curve_files",
    "read_losses": "ngramstat.lm.reading",
    "read_reader_curve": "ngramstat.prediction.curve_files",
    "save_cooccurrence": "ngramstat.counts.matrix_files",
    "synthesize": "ngramstat.synthetic",
    "tokenize": "ngramstat.corpus",
    "validate": "ngramstat.validation",
    "word_vectors": "ngramstat.counts.vectors",
    "write_ngrams": "ngramstat.counts.ngrams",
}

if TYPE_CHECKING:
    from ngramstat.api import correlations, entropies, load_run, measure, plan, predict, theories
    from ngramstat.corpus import Corpus, tokenize
    from ngramstat.corpus.inspect import inspect
    from ngramstat.counts.association import ppmi
    from ngramstat.counts.collocations import CollocationTable, collocations
    from ngramstat.counts.cooccurrence import cooccurrence, cooccurrence_rows
    from ngramstat.counts.mapped_matrix import open_cooccurrence
    from ngramstat.counts.matrix_files import save_cooccurrence
    from ngramstat.counts.ngram_table import NgramTable
    from ngramstat.counts.ngrams import ngram_batches, ngrams, write_ngrams
    from ngramstat.counts.vectors import WordVectors, word_vectors
    from ngramstat.errors import InputError, NgramstatError
    from ngramstat.index.ngram_index import NgramIndex
    from ngramstat.lm.reading import read_losses
    from ngramstat.ngram_models.backoff_model import BackoffModel
    from ngramstat.ngram_models.kneser_ney import KneserNeyModel
    from ngramstat.ngram_models.loading import load_model
    from ngramstat.ngram_models.mixture.model import MixtureModel
    from ngramstat.prediction.curve_files import read_curves, read_reader_curve
    from ngramstat.report.drawing import plot
    from ngramstat.results import (
        Answer,
        CorrelationResult,
        EntropyResult,
        Exponent,
        PerplexityResult,
        Prediction,
        ReadingResult,
        RunResult,
        TheoriesResult,
        ValidationResult,
    )
    from ngramstat.synthetic import synthesize
    from ngramstat.validation import validate

__all__ = [
    "Answer",
    "BackoffModel",
    "CollocationTable",
    "Corpus",
    "CorrelationResult",
    "EntropyResult",
    "Exponent",
    "InputError",
    "KneserNeyModel",
    "MixtureModel",
    "NgramIndex",
    "NgramTable",
    "NgramstatError",
    "PerplexityResult",
    "Prediction",
    "ReadingResult",
    "RunResult",
    "TheoriesResult",
    "ValidationResult",
    "WordVectors",
    "__version__",
    "collocations",
    "cooccurrence",
    "cooccurrence_rows",
    "correlations",
    "entropies",
    "inspect",
    "load_model",
    "load_run",
    "measure",
    "ngram_batches",
    "ngrams",
    "open_cooccurrence",
    "plan",
    "plot",
    "ppmi",
    "predict",
    "read_curves",
    "read_losses",
    "read_reader_curve",
    "save_cooccurrence",
    "synthesize",
    "theories",
    "tokenize",
    "validate",
    "word_vectors",
    "write_ngrams",
]


def __getattr__(name: str) -> Any:
    """Import a public name on its first use (PEP 562)."""
    if name == "theories":  # a package, which can be called
        return import_module("ngramstat.theories")
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'ngramstat' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
