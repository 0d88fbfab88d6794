"""Was a corpus tokenized with a model's own tokenizer? Compares their tokenizer.json files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ngramstat.corpus import Corpus
from ngramstat.errors import InputError
from ngramstat.runtime.files import read_json, sha256_file

__all__ = ["TOKENIZER_FILE", "check_tokenizer"]

TOKENIZER_FILE = "tokenizer.json"
# Parts of a tokenizer.json that decide how a text is cut; the others add special tokens around it,
# or turn tokens back into text.
_PARTS = ("normalizer", "pre_tokenizer", "added_tokens")


def check_tokenizer(corpus: Corpus, model: Path) -> list[str]:
    """Compare the corpus's tokenizer with the model's.

    Returns
    -------
    list of str
        Sentences for the user where the two could not be compared, or differ in a part that changes
        few tokens.

    Raises
    ------
    InputError
        Both tokenizers are there, and an id does not mean the same token in both.
    """
    own, other = corpus.tokenizer_path, model / TOKENIZER_FILE
    if own is None or not own.is_file():
        return [
            "The corpus does not record its tokenizer, so it is not known whether it is the "
            "model's own."
        ]
    if not other.is_file():
        return [
            f"The model has no {TOKENIZER_FILE}, so it is not known whether the corpus was "
            "tokenized with its tokenizer."
        ]
    if sha256_file(own) == sha256_file(other):
        return []
    ours, theirs = _read(own), _read(other)
    if _pieces(ours) != _pieces(theirs):
        raise InputError(
            f"{corpus.name}: was tokenized with another tokenizer than that of {model}: their "
            f"vocabularies or merges differ; tokenize the text with --tokenizer {other}"
        )
    different = [part for part in _PARTS if ours.get(part) != theirs.get(part)]
    if not different:
        return []
    return [
        f"The tokenizers of the corpus and of the model differ in {' and '.join(different)}; some "
        "texts are cut differently."
    ]


def _read(path: Path) -> dict[str, Any]:
    data = read_json(path)
    if not isinstance(data, dict) or not isinstance(data.get("model"), dict):
        raise InputError(f"{path}: not a tokenizer: it has no object `model`")
    return data


def _pieces(tokenizer: dict[str, Any]) -> tuple[Any, ...]:
    """Kind, vocabulary and merges; merges are written as "a b" or as ["a", "b"]."""
    model = tokenizer["model"]
    merges = model.get("merges") or []
    return (
        model.get("type"),
        model.get("vocab"),
        [" ".join(merge) if isinstance(merge, list) else merge for merge in merges],
    )
