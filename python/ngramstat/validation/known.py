"""What is known exactly about a synthetic world: exponents, and entropies by level."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ngramstat.corpus import Corpus
from ngramstat.errors import InputError
from ngramstat.results import Exponent
from ngramstat.runtime.files import read_json

__all__ = ["exact_exponent", "known_values"]


def known_values(corpus: Corpus, targets: str) -> tuple[dict[str, Any], list[float]]:
    """Exact exponents of a world, and the entropies of its last tokens by level.

    The entropies end with the limit of the loss; they are empty where that is not known. Both are
    empty for a corpus without truth.json.

    Raises
    ------
    InputError
        truth.json is damaged, or lacks the entropies of the last tokens.
    """
    path = None if corpus.path is None else Path(str(corpus.path)) / "truth.json"
    if path is None or not path.is_file():
        return {}, []
    truth = read_json(path)
    try:
        known = {
            name: {key: value.get(key) for key in ("value", "low", "high", "meaning")}
            for name, value in truth["exponents"].items()
        }
        if targets != "last":
            return known, []
        extras, length = truth["extras"], int(truth["document_length"])
        last_token = extras["last_token_entropy"]
        entropies = [float(h) for h in last_token["entropy"]]
        # Every document has one target, so thresholds are numbers of documents.
        thresholds = [float(p) * length for p in extras["thresholds"]["tokens"]]
        known["staircase"] = {"entropy": entropies, "tokens": thresholds}
        contexts = last_token["context"]
        has_limit = bool(contexts) and int(contexts[-1]) == length - 1
        return known, entropies if has_limit else []
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path}: not the truth of a hierarchy world ({type(error).__name__}: {error}); use "
            "--targets all, or a corpus of `ngramstat synthesize rhm`"
        ) from error


def exact_exponent(value: dict[str, Any] | None, level: float) -> Exponent:
    """A known exponent; if only bounds are known, their middle, with the bounds as interval."""
    if value is None:
        return Exponent.refused("not known for this corpus", method="known exactly", level=level)
    method = str(value["meaning"])
    number, low, high = (value[key] for key in ("value", "low", "high"))
    if number is None and low is not None and high is not None:
        number = (low + high) / 2
    if number is None:
        return Exponent.refused("not known for this world", method=method, level=level)
    return Exponent(
        value=number, low=number if low is None else low, high=number if high is None else high,
        level=level, method=method, reportable=True,
    )  # fmt: skip
