"""Writing a world as a corpus directory, with ``truth.json`` beside the tokens."""

from __future__ import annotations

import dataclasses
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.boundary import Boundary
from ngramstat.corpus import Corpus, CorpusWriter
from ngramstat.corpus.corpus_writer import CorpusFacts, check_output_directory
from ngramstat.errors import InputError, NgramstatError
from ngramstat.runtime.arguments import as_seed
from ngramstat.runtime.files import atomic_write, reason, write_json
from ngramstat.runtime.locks import sole_writer
from ngramstat.runtime.progress import Progress, shows_progress
from ngramstat.runtime.resources import resolve_threads
from ngramstat.synthetic.sampling import check_seed
from ngramstat.synthetic.world import Floats, World

__all__ = ["LABELS_FILE", "TRUTH_FILE", "TRUTH_SCHEMA", "synthesize", "truth"]

TRUTH_FILE = "truth.json"
LABELS_FILE = "labels.npy"
TRUTH_SCHEMA = "ngramstat.truth/1"

_MAX_DEFAULT_LAG = 4096
# A sample is rounded up to one whole document only if that document is not longer than this.
_MAX_ROUNDED_LENGTH = 1 << 24
# Labels written at a time.
_LABELS_BLOCK = 1 << 20


def default_truth_lags(world: World) -> tuple[int, ...]:
    """Every lag up to 8, then four per octave, and the lags of the world's own ruler."""
    longest = min(world.longest_lag, _MAX_DEFAULT_LAG)
    fine = {round(2 ** (k / 4)) for k in range(12, 49)}
    lags = {*range(1, 9), *fine, *world.ruler(longest)}
    return tuple(sorted(lag for lag in lags if lag <= longest))


def truth(
    world: World,
    *,
    lags: Sequence[int] | None = None,
    max_context: int = 5,
    progress: bool = False,
) -> dict[str, Any]:
    """The exact curves and exponents of a world, as ``truth.json`` holds them.

    Parameters
    ----------
    world : World
    lags : sequence of int, optional
        Increasing, at least 1.
    max_context : int
        Longest context of the entropies; shorter where the exact ones cannot be computed.
    progress : bool
        Show progress on standard error.

    Raises
    ------
    InputError
        The lags do not increase from 1 or more, or max_context is negative.
    """
    lags = tuple(int(lag) for lag in lags) if lags is not None else default_truth_lags(world)
    if not lags or any(b <= a for a, b in zip((0, *lags), lags, strict=False)):
        raise InputError(f"lags={list(lags)}: need increasing integers of at least 1")
    if max_context < 0:
        raise InputError(f"max_context={max_context}: must be at least 0")
    curves: dict[str, Callable[[], Any]] = {
        "norm_document": lambda: _numbers(world.norms(lags, Boundary.DOCUMENT)),
        "norm_stream": lambda: _numbers(world.norms(lags, Boundary.STREAM)),
        "norm_sequential": lambda: _numbers(world.sequential_norms(lags)),
        "document": lambda: _entropies(world, max_context, Boundary.DOCUMENT),
        "stream": lambda: _entropies(world, max_context, Boundary.STREAM),
        "extras": world.extras,
    }
    values: dict[str, Any] = {}
    with Progress(len(curves), "exact curves", unit="curves", enabled=progress) as bar:
        for name, curve in curves.items():
            values[name] = curve()
            bar.advance()
    norms = ("norm_stream", "norm_document", "norm_sequential")
    return {
        "schema": TRUTH_SCHEMA,
        "kind": world.kind,
        "parameters": world.parameters(),
        "vocab_size": world.vocab_size,
        "document_length": world.document_length if world.equal_documents else None,
        "correlations": {"lags": list(lags), **{name: values[name] for name in norms}},
        "entropies": {boundary: values[boundary] for boundary in Boundary},
        "exponents": {name: e.to_dict() for name, e in world.exponents().items()},
        "extras": values["extras"],
        "warnings": world.warnings(),
    }


def _entropies(world: World, max_context: int, boundary: str) -> dict[str, Any]:
    """The longest known curve up to max_context.

    With boundary ``document`` the targets have the longest context of that curve before them.
    """
    for longest in range(min(max_context, world.document_length - 1), -1, -1):
        entropies = world.entropies(longest, boundary)
        known = np.isfinite(entropies)
        if known.all() or boundary == Boundary.STREAM or known[0]:
            count = int(np.argmin(known)) if not known.all() else len(entropies)
            return {"context": list(range(count)), "entropy": _numbers(entropies[:count])}
    return {"context": [], "entropy": []}


def _numbers(values: Floats) -> list[float | None]:
    return [float(x) if math.isfinite(x) else None for x in values]


def synthesize(
    world: World,
    output: str | PathLike[str],
    *,
    tokens: float,
    seed: int = 0,
    rng: int | np.random.Generator | None = None,
    lags: Sequence[int] | None = None,
    max_context: int = 5,
    threads: int | None = None,
    overwrite: bool = False,
    progress: bool | None = None,
) -> Corpus:
    """Draw a corpus of a world and write it as a corpus directory with ``truth.json``.

    Parameters
    ----------
    world : World
    output : path
        Directory to write.
    tokens : whole number
        Tokens to draw, such as 1e7; rounded up to whole documents, except in a stream without any.
    seed : int
        Seed of the sample; the world's own rules have another.
    rng : int or numpy.random.Generator, optional
        Instead of `seed`: a seed, or a generator that one is drawn from.
    lags, max_context
        Lags and longest context of the exact curves, see `truth`.
    threads : int, optional
        By default the cores this process may use. Does not change the result.
    overwrite : bool
        Whether an existing corpus in `output` may be replaced.
    progress : bool, optional
        Show progress; by default in notebooks.

    Raises
    ------
    InputError
        A parameter cannot be used as given, or the output holds something else.
    NgramstatError
        Writing failed.
    """
    directory = Path(output)
    seed, show = as_seed(seed, rng), shows_progress(progress)
    check_seed(seed)
    size = _sample_size(world, tokens, seed, directory)
    workers = resolve_threads(threads)
    _check_space(directory, size.stored_tokens * world.dtype.itemsize)
    labelled = size.documents is not None and world.labels(1, seed=seed) is not None
    tokenizer = None if world.tokenizer_path is None else world.tokenizer_path.read_bytes()
    check_output_directory(directory, overwrite=overwrite)

    def write_truth(facts: CorpusFacts) -> None:
        """What is known of the corpus: there before the corpus itself counts as written."""
        for name in (TRUTH_FILE, LABELS_FILE):  # those of the corpus that is replaced
            _remove(directory / name)
        if size.documents is not None and labelled:
            _write_labels(directory / LABELS_FILE, world, size.documents, seed)
        drawn = dataclasses.asdict(facts)
        labels = {"labels": LABELS_FILE if labelled else None}
        write_json(directory / TRUTH_FILE, {**exact, "seed": seed, **drawn, **labels})

    with sole_writer(directory):
        exact = truth(world, lags=lags, max_context=max_context, progress=show)
        with CorpusWriter(
            directory,
            world.vocab_size,
            separator=world.separator,
            tokenizer=tokenizer,
            overwrite=overwrite,
        ) as writer:
            _draw(world, writer, size, seed, workers, show)
            return writer.finish(write_truth)


@dataclass(frozen=True)
class _SampleSize:
    """Tokens to draw, and the number of documents they make; None in a stream without any.

    Where documents differ in length, `ends` says where each of them ends among the tokens drawn.
    """

    tokens: int
    documents: int | None
    ends: NDArray[np.int64] | None = None
    separators: bool = False

    @property
    def stored_tokens(self) -> int:
        """Tokens that the corpus will have."""
        return self.tokens + (self.documents or 0) * self.separators


def _sample_size(world: World, tokens: float, seed: int, directory: Path) -> _SampleSize:
    """Round the requested tokens up to whole documents."""
    if not isinstance(world, World):
        raise InputError(
            f"world={world!r}: expected a world of ngramstat.synthetic, such as RunProcess(mu=1.0)"
        )
    if not isinstance(tokens, int | float | np.integer) or tokens % 1 != 0:
        raise InputError(f"tokens={tokens!r}: must be a whole number")
    tokens = int(tokens)
    if tokens < 1:
        raise InputError(f"tokens={tokens}: needs at least 1")
    if world.one_stream:
        return _SampleSize(tokens, None)
    if not world.equal_documents:
        # The lengths of all documents are drawn at once: not for a sample that no disk holds.
        _check_space(directory, tokens * world.dtype.itemsize)
        ends = np.cumsum(world.document_lengths(tokens, seed=seed))
        return _SampleSize(int(ends[-1]), len(ends), ends, world.separator is not None)
    length = world.document_length
    if tokens < length and length > _MAX_ROUNDED_LENGTH:
        raise InputError(
            f"tokens={tokens}: one document of this world has {length} tokens; ask for at least "
            "that many, or for a stream without documents where the world offers it (rhm "
            "--concatenated)"
        )
    documents = world.n_documents(tokens)
    return _SampleSize(documents * length, documents)


def _draw(
    world: World,
    writer: CorpusWriter,
    size: _SampleSize,
    seed: int,
    threads: int,
    progress: bool,
) -> None:
    """Draw the sample piece by piece and write it."""
    done = 0
    with Progress(size.tokens, f"synthesize {world.kind}", unit="tok", enabled=progress) as bar:
        for piece in world.pieces(size.tokens, seed=seed, threads=threads):
            if size.documents is None:
                writer.write(piece)
            elif size.ends is None:
                writer.write_equal(piece, world.document_length)
            else:  # pieces of unequal documents are whole documents
                first, last = np.searchsorted(size.ends, [done, done + len(piece)], side="right")
                inner = size.ends[first:last] - done
                writer.append_batch(np.split(piece, inner[:-1]))
            done += len(piece)
            bar.advance(len(piece))


def _check_space(directory: Path, needed: int) -> None:
    """Refuse a sample that the disk cannot hold before anything is written."""
    existing = directory.absolute()
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise InputError(
            f"{directory}: {needed / 1e9:,.1f} GB of tokens, but {free / 1e9:,.1f} GB are free; "
            "use fewer tokens or another disk"
        )


def _write_labels(path: Path, world: World, documents: int, seed: int) -> None:
    """Write the classes of all documents as one .npy array, a block at a time."""
    dtype = np.dtype(np.uint32)
    header = {"descr": dtype.str, "fortran_order": False, "shape": (documents,)}
    with atomic_write(path) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for first in range(0, documents, _LABELS_BLOCK):
            labels = world.labels(min(_LABELS_BLOCK, documents - first), seed=seed, first=first)
            assert labels is not None
            file.write(labels.tobytes())


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise NgramstatError(f"{path}: cannot be removed: {reason(error)}") from error
