"""The best weights of a finished training run, kept as plain arrays, and the text it never saw.

``weights.npz`` lies beside run.json and losses.npz. It holds numbers only, so reading it executes
no code, and it needs no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus import Corpus
from ngramstat.errors import InputError
from ngramstat.lm.data import DataSplit
from ngramstat.runtime.files import read_arrays, sha256_file, write_arrays

__all__ = [
    "WEIGHTS_FILE",
    "SavedWeights",
    "held_out_corpus",
    "keep_best_weights",
    "read_weights",
    "save_weights",
]

WEIGHTS_FILE = "weights.npz"
_PREFIX = "weight/"


@dataclass(frozen=True)
class SavedWeights:
    """Weights, and what they were trained on.

    Attributes
    ----------
    weights : dict of arrays
        The model's state by name.
    corpus : str
        SHA-256 of the tokens of the corpus of the training.
    tokenizer : str or None
        SHA-256 of its tokenizer.json, where it has one.
    starts, ends : (n_documents,) int64
        Bounds in that corpus of the documents held out for measuring, which neither the training
        nor the search for settings has used.
    """

    weights: dict[str, NDArray[Any]]
    corpus: str
    tokenizer: str | None
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


def save_weights(directory: Path, weights: Mapping[str, Any], split: DataSplit) -> None:
    """Keep the weights of a run: a state of tensors on any device, or of arrays."""
    first, last = split.measuring
    path = split.corpus.tokenizer_path
    arrays = {f"{_PREFIX}{name}": _as_array(value) for name, value in weights.items()}
    arrays["corpus"] = np.array(split.corpus.sha256)
    arrays["tokenizer"] = np.array("" if path is None else sha256_file(path))
    arrays["starts"] = np.asarray(split.starts[first:last], np.int64)
    arrays["ends"] = np.asarray(split.ends[first:last], np.int64)
    write_arrays(directory / WEIGHTS_FILE, arrays)


def read_weights(directory: Path) -> SavedWeights:
    """What `save_weights` has written.

    Raises
    ------
    InputError
        There are no weights, or their file is damaged.
    """
    path = directory / WEIGHTS_FILE
    if not path.is_file():
        raise InputError(
            f"{directory}: holds no {WEIGHTS_FILE}: the training is not finished, its loss became "
            "infinite, another run of its size was better, or an older version wrote it; train it "
            "to its end with this version"
        )
    arrays = read_arrays(path)
    try:
        saved = SavedWeights(
            {
                name.removeprefix(_PREFIX): value
                for name, value in arrays.items()
                if name.startswith(_PREFIX)
            },
            str(arrays["corpus"]),
            str(arrays["tokenizer"]) or None,
            arrays["starts"],
            arrays["ends"],
        )
    except KeyError as error:
        raise InputError(f"{path}: damaged: {error} is missing; train the run again") from error
    return saved


def keep_best_weights(directory: Path, runs: Iterable[tuple[Any, str, float]]) -> None:
    """Remove all weights but those of the best run of every kind, to save disk space.

    Parameters
    ----------
    directory : Path
        Holds the directory of every run.
    runs : (kind, name, loss)
        What a run trained, its directory's name and its tuning loss; of several runs of one kind
        the one of the smallest loss keeps its weights.
    """
    best: dict[Any, tuple[float, str]] = {}
    names = []
    for kind, name, loss in runs:
        names.append(name)
        best[kind] = min(best.get(kind, (loss, name)), (loss, name))
    kept = {name for _, name in best.values()}
    for name in names:
        if name not in kept:
            (directory / name / WEIGHTS_FILE).unlink(missing_ok=True)


def held_out_corpus(saved: SavedWeights, corpus: Corpus) -> Corpus:
    """The held-out documents of the training's own corpus, joined in their order of the split.

    Raises
    ------
    InputError
        Their bounds lie outside the corpus.
    """
    if not len(saved.ends) or int(saved.ends.max()) > corpus.n_tokens:
        raise InputError(f"{corpus.name}: does not have the documents that the run held out")
    pieces = [
        np.asarray(corpus.tokens[start:end])
        for start, end in zip(saved.starts, saved.ends, strict=True)
    ]
    return Corpus.from_arrays(
        np.concatenate(pieces),
        vocab_size=corpus.vocab_size,
        document_ends=np.cumsum([len(piece) for piece in pieces]),
        separator=corpus.separator,
    )


def _as_array(value: Any) -> NDArray[Any]:
    # A tensor moves to main memory first; arrays are tested without torch.
    return np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)
