"""The file of a mixture: what was fitted, and the fingerprint of the corpus that is counted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.boundary import Boundary
from ngramstat.corpus import Corpus
from ngramstat.errors import InputError
from ngramstat.kernels.mixing import Discounts, TokenTree, path_lengths
from ngramstat.ngram_models.mixture.context_patterns import CLASSES, Pattern, has_classes, patterns
from ngramstat.ngram_models.mixture.losses import Mixture
from ngramstat.ngram_models.mixture.mixers import Mixers
from ngramstat.ngram_models.mixture.trees import N_TREES
from ngramstat.runtime.files import read_arrays, reason, sha256_array, write_arrays

__all__ = ["is_mixture", "read_mixture", "save_mixture"]

_SCHEMA = "ngramstat.mixture/2"
_ABOUT = "about"


def save_mixture(
    path: str | PathLike[str], mixture: Mixture, corpus: Corpus, boundary: Boundary, seed: int
) -> None:
    """Write a mixture, atomically."""
    about = {
        "schema": _SCHEMA,
        "boundary": boundary.value,
        "seed": seed,
        "max_context": mixture.max_context,
        "lengths": list(mixture.mixers.lengths),
        "better": mixture.mixers.better.tolist(),
        "patterns": list(mixture.discounts),
        "corpus": _fingerprint(corpus),
        "open": _how_to_open(corpus),
    }
    arrays: dict[str, NDArray[Any]] = {
        _ABOUT: np.frombuffer(json.dumps(about).encode(), np.uint8),
        "leaf_of": np.stack([tree.leaf_of for tree in mixture.trees]),
        "split": np.stack([tree.split for tree in mixture.trees]),
        "class_maps": mixture.class_maps,
        "discounts": np.array(
            [[*d.raw, *d.continuation] for d in mixture.discounts.values()]
        ).reshape(-1, 6),
    }
    for tree, parts in mixture.mixers.trained.items():
        for part, mixers in enumerate(parts):
            for k in range(len(mixers.group.shapes)):
                for i, weights in enumerate(mixers.group.weights(k)):
                    arrays[_weights_name(tree, part, k, i)] = weights
    write_arrays(path, arrays)


def _weights_name(tree: int, part: int, k: int, i: int) -> str:
    return f"weights-{tree}-{part}-{k}-{i}"


def is_mixture(path: str | PathLike[str]) -> bool:
    """Whether a file may be a mixture: it is an archive of arrays."""
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except OSError:
        return False


def read_mixture(
    path: str | PathLike[str], corpus: Corpus | None
) -> tuple[Mixture, Corpus, Boundary, int]:
    """The mixture, its corpus, boundary and seed.

    Raises
    ------
    InputError
        The file is damaged, or the corpus is not there or is not the one that was trained on.
    """
    arrays = read_arrays(path)
    try:
        about = json.loads(arrays.pop(_ABOUT).tobytes())
        if about["schema"] != _SCHEMA:
            raise ValueError(f"its schema is {about['schema']!r:.40}")
        boundary, seed = Boundary(about["boundary"]), about["seed"]
        if type(seed) is not int or seed < 0:
            raise ValueError("its seed is not valid")
        expected, how = dict(about["corpus"]), dict(about["open"])
        mixture = _mixture(about, arrays)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path}: is no mixture of this version, or damaged: {reason(error)}"
        ) from error
    corpus = _opened(path, how) if corpus is None else corpus
    if _fingerprint(corpus) != expected:
        raise InputError(
            f"{path}: was trained on another corpus than {corpus.name}, or that has changed; name "
            "the right one, as in MixtureModel.load(path, corpus=...), or train anew"
        )
    if mixture.trees[0].leaf_of.shape != (corpus.vocab_size,):
        raise InputError(f"{path}: damaged: its trees are not those of its vocabulary")
    return mixture, corpus, boundary, seed


def _mixture(about: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Mixture:
    """What a file describes; ValueError, KeyError or TypeError if it is damaged."""
    trees = _trees(arrays["leaf_of"], arrays["split"])
    v = trees[0].leaf_of.size
    max_context, lengths = about["max_context"], about["lengths"]
    if lengths != [max_context] or type(max_context) is not int or not 1 <= max_context <= 16:
        raise ValueError("its lengths of context are not valid")
    used = patterns(max_context, classed=has_classes(v))
    discounts = _discounts(about["patterns"], arrays["discounts"], used if v > 1 else None)
    _check_class_maps(arrays["class_maps"], v)
    mixers = Mixers(used, lengths)
    mixers.better[:] = about["better"]
    for number in range(len(trees) if v > 1 else 0):
        mixers.trained[number] = mixers.untrained(number, v - 1)
        for part, of_part in enumerate(mixers.trained[number]):
            for k, shape in enumerate(of_part.group.shapes):
                count = 2 + shape.n_selectors
                names = [_weights_name(number, part, k, i) for i in range(count)]
                of_part.group.set_weights(k, [arrays[name] for name in names])
    return Mixture(trees, arrays["class_maps"], max_context, discounts, mixers)


def _trees(leaf_of: NDArray[Any], split: NDArray[Any]) -> list[TokenTree]:
    trees = [TokenTree(*pair) for pair in zip(leaf_of, split, strict=True)]
    if (
        leaf_of.dtype != np.uint32
        or split.dtype != np.uint32
        or leaf_of.ndim != 2
        or len(trees) != N_TREES
    ):
        raise ValueError("its trees have another type")
    for tree in trees:
        path_lengths(tree)  # ValueError for what is no tree
    return trees


def _discounts(
    names: list[str], array: NDArray[Any], used: Sequence[Pattern] | None
) -> dict[str, Discounts]:
    """By name of the pattern; those of `used`, unless that is None."""
    values = array.astype(np.float64)
    if used is not None and (
        sorted(names) != sorted(p.name for p in used) or values.shape != (len(used), 6)
    ):
        raise ValueError("its patterns are those of another version")
    if not np.isfinite(values).all() or (values < 0).any():
        raise ValueError("its discounts are not valid")
    return {
        name: Discounts(row[:3].tolist(), row[3:].tolist())
        for name, row in zip(names, values, strict=True)
    }


def _check_class_maps(maps: NDArray[Any], vocab_size: int) -> None:
    n_maps = len(CLASSES) if has_classes(vocab_size) else 0
    if maps.dtype != np.uint32 or maps.ndim != 2 or len(maps) != n_maps:
        raise ValueError("its classes are not those of its vocabulary")


def _fingerprint(corpus: Corpus) -> dict[str, Any]:
    ends = corpus.document_ends
    return {
        "tokens": corpus.n_tokens,
        "vocab_size": corpus.vocab_size,
        "separator": corpus.separator,
        "sha256": sha256_array(np.asarray(corpus.tokens)),
        "documents": None if ends is None else sha256_array(np.ascontiguousarray(ends)),
    }


def _how_to_open(corpus: Corpus) -> dict[str, Any]:
    """Paths and options of `Corpus.open`; no paths for a corpus in memory."""
    paths = [str(shard.path.resolve()) for shard in corpus.shards]
    if corpus.path is not None and not paths:
        paths = [str(corpus.path.resolve())]
    options: dict[str, Any] = {"vocab_size": corpus.vocab_size, "separator": corpus.separator}
    if corpus.format == "raw":
        options |= {"format": "raw", "dtype": corpus.dtype.name}
    return {"paths": paths, **options}


def _opened(path: str | PathLike[str], how: dict[str, Any]) -> Corpus:
    paths = how.pop("paths", [])
    if not paths:
        raise InputError(
            f"{path}: its corpus was in memory; give it, as in MixtureModel.load(path, corpus=...)"
        )
    try:
        return Corpus.open(paths[0] if len(paths) == 1 else paths, **how)
    except (InputError, TypeError) as error:
        raise InputError(f"{path}: its corpus cannot be opened: {reason(error)}") from error
