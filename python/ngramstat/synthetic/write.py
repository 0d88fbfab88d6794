"""A world as a corpus directory, with ``truth.json`` beside the tokens."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ngramstat.corpus import Corpus, CorpusWriter
from ngramstat.errors import InputError, NgramstatError
from ngramstat.runtime.files import atomic_write, reason, write_json
from ngramstat.runtime.progress import Progress
from ngramstat.runtime.resources import resolve_threads
from ngramstat.synthetic.sampling import check_seed
from ngramstat.synthetic.world import Floats, World

__all__ = ["LABELS_FILE", "TRUTH_FILE", "TRUTH_SCHEMA", "synthesize", "truth"]

TRUTH_FILE = "truth.json"
LABELS_FILE = "labels.npy"
TRUTH_SCHEMA = "ngramstat.truth/1"

_LONGEST_LAG = 4096
# A sample may be rounded up to one document of this length, not to an astronomical one.
_LONGEST_ROUNDED = 1 << 24
# Labels written at a time.
_LABELS = 1 << 20


def default_truth_lags(world: World) -> tuple[int, ...]:
    """Every lag up to 8, then four an octave, and the powers of the world's own ruler."""
    longest = min(world.longest_lag, _LONGEST_LAG)
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
        Longest context of the entropies; fewer where the exact ones are out of reach.
    progress : bool
        Show progress on standard error.
    """
    wanted = tuple(int(lag) for lag in lags) if lags is not None else default_truth_lags(world)
    if not wanted or any(b <= a for a, b in zip((0, *wanted), wanted, strict=False)):
        raise InputError(f"lags={list(wanted)}: need increasing integers of at least 1")
    if max_context < 0:
        raise InputError(f"max_context={max_context}: must be at least 0")
    curves: dict[str, Callable[[], Any]] = {
        "norm_document": lambda: _numbers(world.norms(wanted, "document")),
        "norm_stream": lambda: _numbers(world.norms(wanted, "stream")),
        "norm_sequential": lambda: _numbers(world.sequential_norms(wanted)),
        "document": lambda: _entropies(world, max_context, "document"),
        "stream": lambda: _entropies(world, max_context, "stream"),
        "extras": world.extras,
    }
    found: dict[str, Any] = {}
    with Progress(len(curves), "exact curves", unit="curves", enabled=progress) as bar:
        for name, curve in curves.items():
            found[name] = curve()
            bar.advance()
    norms = ("norm_stream", "norm_document", "norm_sequential")
    return {
        "schema": TRUTH_SCHEMA,
        "kind": world.kind,
        "parameters": world.parameters(),
        "vocab_size": world.vocab_size,
        "document_length": world.document_length,
        "correlations": {"lags": list(wanted), **{name: found[name] for name in norms}},
        "entropies": {boundary: found[boundary] for boundary in ("stream", "document")},
        "exponents": {name: e.to_dict() for name, e in world.exponents().items()},
        "extras": found["extras"],
        "warnings": world.warnings(),
    }


def _entropies(world: World, max_context: int, boundary: str) -> dict[str, Any]:
    """The longest curve up to max_context that is known; its population is that of its own end."""
    for longest in range(min(max_context, world.document_length - 1), -1, -1):
        found = world.entropies(longest, boundary)
        known = np.isfinite(found)
        if known.all() or boundary == "stream" or known[0]:
            count = int(np.argmin(known)) if not known.all() else len(found)
            return {"context": list(range(count)), "entropy": _numbers(found[:count])}
    return {"context": [], "entropy": []}


def _numbers(values: Floats) -> list[float | None]:
    return [float(x) if math.isfinite(x) else None for x in values]


def synthesize(
    world: World,
    output: str | PathLike[str],
    *,
    tokens: float,
    seed: int = 0,
    lags: Sequence[int] | None = None,
    max_context: int = 5,
    threads: int | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> Corpus:
    """Draw a corpus of a world and write it as a corpus directory with ``truth.json``.

    Parameters
    ----------
    world : World
    output : path
        Directory to write.
    tokens : whole number
        Tokens wanted, such as 1e7; rounded up to whole documents, except in a stream without any.
    seed : int
        Of the sample; the world's own rules have another.
    lags, max_context
        Of the exact curves, see `truth`.
    threads : int, optional
        By default the cores this process may use. Does not change the result.
    overwrite : bool
        Whether a corpus that is there may be replaced.
    progress : bool
        Show progress on standard error.

    Raises
    ------
    InputError
        A parameter cannot be used as given, or the output holds something else.
    NgramstatError
        Writing failed.
    """
    directory = Path(output)
    if not isinstance(world, World):
        raise InputError(
            f"world={world!r}: expected a world of ngramstat.synthetic, such as RunProcess(mu=1.0)"
        )
    if not isinstance(tokens, int | float | np.integer) or tokens % 1 != 0:
        raise InputError(f"tokens={tokens!r}: must be a whole number")
    tokens = int(tokens)
    check_seed(seed)
    if tokens < 1:
        raise InputError(f"tokens={tokens}: needs at least 1")
    workers = resolve_threads(threads)
    documents = None if world.one_stream else world.n_documents(tokens)
    length = world.document_length
    if tokens < length and length > _LONGEST_ROUNDED and documents is not None:
        raise InputError(
            f"tokens={tokens}: one document of this world has {length} tokens; ask for at least "
            "that many, or for a stream without documents where the world offers it (rhm "
            "--concatenated)"
        )
    total = tokens if documents is None else documents * length
    _check_space(directory, total * world.dtype.itemsize)
    exact = truth(world, lags=lags, max_context=max_context, progress=progress)
    labelled = documents is not None and world.labels(1, seed=seed) is not None
    with CorpusWriter(directory, world.vocab_size, overwrite=overwrite) as writer:
        with Progress(total, f"synthesize {world.kind}", unit="tok", enabled=progress) as bar:
            for piece in world.pieces(total, seed=seed, threads=workers):
                if documents is None:
                    writer.write(piece)
                else:
                    writer.write_equal(piece, length)
                bar.advance(len(piece))
        for name in (TRUTH_FILE, LABELS_FILE):  # of a corpus that is replaced
            _remove(directory / name)
        corpus = writer.finish()
    exact |= {
        "seed": seed,
        "tokens": corpus.n_tokens,
        "documents": corpus.n_documents,
        "sha256": corpus.sha256,
        "labels": LABELS_FILE if labelled else None,
    }
    if documents is not None and labelled:
        _write_labels(directory / LABELS_FILE, world, documents, seed)
    write_json(directory / TRUTH_FILE, exact)
    return corpus


def _check_space(directory: Path, needed: int) -> None:
    """Refuse what the disk cannot hold before anything is written."""
    place = directory.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if needed > free:
        raise InputError(
            f"{directory}: {needed / 1e9:,.1f} GB of tokens, where {free / 1e9:,.1f} GB are free; "
            "use fewer tokens or another disk"
        )


def _write_labels(path: Path, world: World, documents: int, seed: int) -> None:
    """All documents' classes as one array in NumPy's format, some at a time."""
    dtype = np.dtype(np.uint32)
    header = {"descr": dtype.str, "fortran_order": False, "shape": (documents,)}
    with atomic_write(path) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for first in range(0, documents, _LABELS):
            labels = world.labels(min(_LABELS, documents - first), seed=seed, first=first)
            assert labels is not None
            file.write(labels.tobytes())


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise NgramstatError(f"{path}: cannot be removed: {reason(error)}") from error
