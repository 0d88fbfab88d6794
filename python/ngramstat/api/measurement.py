"""Measurements: a corpus in, C(t), H(n), the exponents and a prediction out."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

import numpy as np

from ngramstat.api.corpora import with_held_out
from ngramstat.api.options import (
    BoundaryName,
    MeasureOptions,
    PredictorName,
    ProtocolName,
    StageOptions,
)
from ngramstat.api.running import run
from ngramstat.corpus import Corpus
from ngramstat.corpus.conversion import CorpusLike, as_corpus
from ngramstat.results import CorrelationResult, EntropyResult, RunResult
from ngramstat.runtime.gpus import Backend
from ngramstat.runtime.resources import parse_memory_limit, resolve_threads
from ngramstat.runtime.workspace import Workspace
from ngramstat.sampling.design import SamplingDesign
from ngramstat.stages.plan import MeasurementPlan, make_plan

__all__ = ["correlations", "entropies", "measure", "plan"]


def correlations(
    corpus: CorpusLike,
    *,
    lags: int | Sequence[int] | None = None,
    boundary: BoundaryName = "stream",
    protocol: ProtocolName = "default",
    singular_values: int = 8,
    beta_window: tuple[int, int] | None = None,
    vocab_top: int | None = None,
    sequential: bool = True,
    matrix_free: bool = False,
    replicates: int = 999,
    level: float = 0.95,
    seed: int = 0,
    rng: int | np.random.Generator | None = None,
    threads: int | None = None,
    memory_limit: str | int | None = None,
    backend: Backend = "auto",
    gpu_memory: str | int | None = None,
    progress: bool | None = None,
) -> CorrelationResult:
    """Covariances C(t) of a corpus, their noise and beta.

    Parameters
    ----------
    corpus
        Whatever holds tokens or text: a `Corpus`, a path or paths, an array, tensor or list of
        token ids (a stream, or with two dimensions a document a row), a list of documents or of
        texts, or a table with a column ``input_ids`` or ``text``, such as a Hugging Face dataset.
        The vocabulary is then inferred (`Corpus.from_arrays` takes it), and texts are tokenized
        with a BPE trained on them (`Corpus.from_texts` takes another tokenizer).
    lags : int or sequence of int, optional
        Separations in tokens, increasing; by default about three an octave up to 512, as far as
        the corpus (with boundary ``document``, its documents) has enough pairs.
    boundary : str
        ``stream``: pairs run across documents, as in the paper; ``document``: they stay inside.
    protocol : str
        ``default``, or ``paper``: beta by least squares with equal weights over lags 1..192 (or
        `beta_window`), with the errors of the lags beside those of the documents; its 15 lags are
        measured unless `lags` are given.
    singular_values : int
        How many leading singular values to return, 1 .. 8.
    beta_window : (low, high), optional
        Lags to fit beta on, inclusive; chosen from the data by default.
    vocab_top : int, optional
        Restrict C(t) to this many of the most frequent vocabulary items; what that leaves out is
        in `vocab_cut` of the result. By default the whole vocabulary counts.
    sequential : bool
        Measure the sequential covariance (composition of the documents removed) and its nulls, too.
        Without it C(t) takes a third of the time.
    matrix_free : bool
        Count no pairs, which takes memory of O(V) and more time; only without `sequential`.
    replicates : int
        Bootstrap replicates over documents.
    level : float
        Confidence level of the intervals.
    seed : int
        Seed of the document folds, the bootstrap and everything else that is drawn.
    rng : int or numpy.random.Generator, optional
        Instead of `seed`: a seed, or a generator that one is drawn from.
    threads : int, optional
        By default the cores this process may use. Does not change the result.
    memory_limit : str or int, optional
        Such as "80%" (the default) or "16G". Does not change the result.
    backend : str
        Compute backend: ``cuda`` (GPUs count, multiply counts by vectors and sum over pairs),
        ``cpu``, or ``auto`` (GPUs where there are any). Counts are the same, norms agree to 1e-7.
    gpu_memory : str or int, optional
        Limit of each GPU's memory, such as "40G" or "50%" of what is free (by default nearly all).
    progress : bool, optional
        Show progress; by default in notebooks.

    Raises
    ------
    InputError
        An option or the corpus cannot be used as given.
    """
    chosen = MeasureOptions.of(locals(), entropies=False)
    result = run(corpus, chosen).correlations
    assert result is not None
    return result


def entropies(
    corpus: CorpusLike,
    *,
    max_context: int = 5,
    boundary: BoundaryName = "stream",
    held_out: float | str | PathLike[str] | Corpus | None = None,
    predictor: PredictorName = "mixture",
    learning_sizes: int = 7,
    replicates: int = 999,
    level: float = 0.95,
    seed: int = 0,
    rng: int | np.random.Generator | None = None,
    threads: int | None = None,
    memory_limit: str | int | None = None,
    backend: Backend = "auto",
    gpu_memory: str | int | None = None,
    progress: bool | None = None,
) -> EntropyResult:
    """Entropies H(n) of a corpus, bracketed by counts and held-out losses, and gamma.

    Parameters
    ----------
    corpus
        As for `correlations`.
    max_context : int
        Contexts of 0 .. max_context tokens.
    boundary : str
        ``stream``: contexts run across documents; ``document``: they stay inside.
    held_out : float, path or Corpus, optional
        Fraction of the tokens to hold out, or a held-out corpus; what its files do not record is
        as in the corpus. By default a hundredth, but at least 200,000 tokens and at most a tenth.
    predictor : str
        Best predictor to look for: ``mixture`` of contexts, or ``kneser-ney`` alone.
    learning_sizes : int
        Sizes of the training set on the learning curve, each half of the next.
    replicates, level, seed, rng, threads, memory_limit, backend, gpu_memory, progress
        As for `correlations`.

    Raises
    ------
    InputError
        An option or the corpus cannot be used as given.
    """
    chosen = MeasureOptions.of(locals(), correlations=False)
    result = run(corpus, chosen).entropies
    assert result is not None
    return result


def measure(
    corpus: CorpusLike,
    *,
    output: str | PathLike[str] | None = None,
    tokens: float | Sequence[float] = (),
    overwrite: bool = False,
    lags: int | Sequence[int] | None = None,
    boundary: BoundaryName = "stream",
    protocol: ProtocolName = "default",
    singular_values: int = 8,
    beta_window: tuple[int, int] | None = None,
    vocab_top: int | None = None,
    sequential: bool = True,
    matrix_free: bool = False,
    max_context: int = 5,
    held_out: float | str | PathLike[str] | Corpus | None = None,
    predictor: PredictorName = "mixture",
    learning_sizes: int = 7,
    replicates: int = 999,
    level: float = 0.95,
    seed: int = 0,
    rng: int | np.random.Generator | None = None,
    threads: int | None = None,
    memory_limit: str | int | None = None,
    backend: Backend = "auto",
    gpu_memory: str | int | None = None,
    progress: bool | None = None,
) -> RunResult:
    """C(t), H(n), the exponents and the prediction: the main job.

    Parameters
    ----------
    corpus
        As for `correlations`.
    output : path, optional
        Directory of the run. Finished parts are kept there as they come, and a later call with the
        same corpus and options resumes from them; the result is that of a call that was never
        interrupted. Without it nothing is written.
    tokens : float or sequence of float
        Numbers of training tokens at which to give the horizon n*(P); by default those of an
        earlier run in `output`.
    overwrite : bool
        Whether another run's result in `output` may be replaced.
    lags, boundary, protocol, singular_values, beta_window, vocab_top, sequential, matrix_free
        As for `correlations`.
    max_context, held_out, predictor, learning_sizes
        As for `entropies`.
    replicates, level, seed, rng, threads, memory_limit, backend, gpu_memory, progress
        As for `correlations`.

    Raises
    ------
    InputError
        An option or the corpus cannot be used as given, or `output` holds another run.
    """
    return run(corpus, MeasureOptions.of(locals()))


def plan(
    corpus: CorpusLike,
    *,
    correlations: bool = True,
    entropies: bool = True,
    output: str | PathLike[str] | None = None,
    lags: int | Sequence[int] | None = None,
    boundary: BoundaryName = "stream",
    protocol: ProtocolName = "default",
    singular_values: int = 8,
    beta_window: tuple[int, int] | None = None,
    vocab_top: int | None = None,
    sequential: bool = True,
    matrix_free: bool = False,
    max_context: int = 5,
    held_out: float | str | PathLike[str] | Corpus | None = None,
    predictor: PredictorName = "mixture",
    learning_sizes: int = 7,
    replicates: int = 999,
    level: float = 0.95,
    seed: int = 0,
    rng: int | np.random.Generator | None = None,
    threads: int | None = None,
    memory_limit: str | int | None = None,
) -> MeasurementPlan:
    """What `measure` would take with these options: passes, memory, temporary disk and time.

    Takes some seconds to time steps on the beginning of the corpus: three lags of C(t) on up to 16
    million tokens, kernels of H(n) on two million.

    Parameters
    ----------
    corpus
        As for `correlations`.
    correlations, entropies : bool
        The halves to plan.
    output : path, optional
        Directory of the run, where temporary files would be.
    lags, boundary, protocol, singular_values, beta_window, vocab_top, sequential, matrix_free
        As for `correlations`.
    max_context, held_out, predictor, learning_sizes
        As for `entropies`.
    replicates, level, seed, rng, threads, memory_limit
        As for `correlations`.

    Raises
    ------
    InputError
        An option or the corpus cannot be used as given.
    """
    options = MeasureOptions.of(locals())
    corpus, options, other = with_held_out(as_corpus(corpus), options)
    chosen = StageOptions.of(corpus, options)
    workspace = Workspace(
        resolve_threads(options.threads), parse_memory_limit(options.memory_limit), options.output
    )
    design = SamplingDesign(corpus, chosen.sampling, other)
    return make_plan(corpus, chosen.stages(design), workspace)
