"""All steps on a corpus that every machine has: the sources of Python's standard library."""

from __future__ import annotations

import sysconfig
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from ngramstat.api import measure
from ngramstat.corpus import Corpus, tokenize
from ngramstat.errors import NgramstatError
from ngramstat.results import RunResult

__all__ = ["quickstart", "standard_library_sources"]

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


def quickstart(
    output: str | PathLike[str] = "ngramstat-quickstart",
    *,
    sources: Sequence[Path] | None = None,
    threads: int | None = None,
    memory_limit: str | int | None = None,
    backend: str = "auto",
    gpu_memory: str | int | None = None,
    seed: int = 0,
    progress: bool = False,
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
