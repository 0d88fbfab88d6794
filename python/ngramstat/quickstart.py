"""All steps, first on a world of known answer, then on a text that every machine has.

The text is the sources of Python's standard library.
"""

from __future__ import annotations

import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from ngramstat.api import measure
from ngramstat.corpus import Corpus, tokenize
from ngramstat.errors import NgramstatError
from ngramstat.exponents.fit import power_law
from ngramstat.results import RunResult
from ngramstat.synthetic import BroadcastTree

__all__ = ["KnownValue", "known_values", "quickstart", "standard_library_sources"]

# Large enough that intervals are narrow, and measured within seconds.
_WORLD_TOKENS = 1_000_000
_WORLD = BroadcastTree(vocab_size=8, s=2, levels=12, theta=2**-0.45)
_LAGS = (1, 2, 4, 8, 16, 32, 64, 128)
_CONTEXTS = 3

# Tests, and packages that are installed next to the library, are not part of it.
_EXCLUDED_FOLDERS = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}


def standard_library_sources() -> tuple[list[Path], list[Path]]:
    """(sources, unreadable): the library's .py files, and those that are not UTF-8.

    Raises
    ------
    NgramstatError
        This Python has no sources on disk (a zipped or frozen library).
    """
    root = Path(sysconfig.get_paths()["stdlib"])
    sources: list[Path] = []
    unreadable: list[Path] = []
    for path in sorted(root.rglob("*.py")):
        if _EXCLUDED_FOLDERS.intersection(path.relative_to(root).parts[:-1]):
            continue
        try:
            path.read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError):
            unreadable.append(path)
        else:
            sources.append(path)
    if len(sources) < 100:
        raise NgramstatError(
            f"{root}: only {len(sources)} Python sources; this Python has no library "
            "sources. Use `ngramstat tokenize` and `ngramstat measure` on your own text"
        )
    return sources, unreadable


@dataclass(frozen=True)
class KnownValue:
    """A quantity whose exact value is known, beside its measured interval.

    Attributes
    ----------
    name : str
    truth : float
    low, high : float
    """

    name: str
    truth: float
    low: float
    high: float

    @property
    def holds(self) -> bool:
        """Whether the interval holds the truth."""
        return self.low <= self.truth <= self.high


def known_values(*, threads: int | None = None, seed: int = 0) -> list[KnownValue]:
    """Measure a text drawn from a tree of symbols whose C(t) and H(n) are known exactly.

    alpha is compared with gamma / (2 beta) of the exact curves, on the same lags and contexts.

    Parameters
    ----------
    threads, seed
        As in `measure`.
    """
    corpus = _WORLD.corpus(_WORLD_TOKENS, seed=seed)
    run = measure(
        corpus, lags=_LAGS, max_context=_CONTEXTS, sequential=False, predictor="kneser-ney",
        threads=threads, seed=seed,
    )  # fmt: skip
    c, e, answer = run.correlations, run.entropies, run.answer
    assert c is not None
    assert e is not None
    norms = _WORLD.norms(_LAGS, "stream")
    entropies = _WORLD.entropies(_CONTEXTS, "stream")
    rows = []
    if c.norm_low is not None and c.norm_high is not None:
        for lag in (1, 8, 64):
            k = _LAGS.index(lag)
            low, high = float(c.norm_low[k]), float(c.norm_high[k])
            rows.append(KnownValue(f"||C({lag})||", float(norms[k]), low, high))
    if e.low is not None and e.high is not None:
        for n in (1, _CONTEXTS):
            truth = float(entropies[n])
            rows.append(KnownValue(f"H({n}), nats", truth, float(e.low[n]), float(e.high[n])))
    if answer is not None and answer.low is not None and answer.high is not None:
        gamma = power_law(np.arange(1, _CONTEXTS + 1), entropies[1:]).exponent
        alpha = gamma / (2 * power_law(_LAGS, norms).exponent)
        rows.append(KnownValue("alpha", alpha, answer.low, answer.high))
    return rows


def quickstart(
    output: str | PathLike[str] = "ngramstat-quickstart",
    *,
    sources: Sequence[Path] | None = None,
    threads: int | None = None,
    memory_limit: str | int | None = None,
    backend: str = "auto",
    gpu_memory: str | int | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> tuple[Corpus, RunResult]:
    """Tokenize the standard library's sources into ``output/corpus``, measure into ``output/run``.

    Every file is one document. A second call reuses the corpus and resumes the run of the first.

    Parameters
    ----------
    output : path
        Directory for ``corpus`` and ``run``.
    sources : sequence of Path, optional
        By default those of `standard_library_sources`, which reads every file.
    threads, memory_limit, backend, gpu_memory, seed, progress
        As in `measure`.

    Raises
    ------
    NgramstatError
        This Python has no sources on disk, or writing failed.
    """
    directory = Path(output)
    corpus_directory = directory / "corpus"
    if (corpus_directory / "corpus.json").exists():
        corpus = Corpus.open(corpus_directory)
    else:
        if sources is None:
            sources, _ = standard_library_sources()
        corpus = tokenize(
            sources, corpus_directory, document="file", threads=threads, progress=progress
        )
    result = measure(
        corpus,
        output=directory / "run",
        threads=threads,
        memory_limit=memory_limit,
        backend=backend,
        gpu_memory=gpu_memory,
        seed=seed,
        progress=progress,
    )
    return corpus, result
