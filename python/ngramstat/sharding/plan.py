"""What all rounds over the shards of a corpus agree on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ngramstat.boundary import Boundary
from ngramstat.covariance.options import CorrelationOptions
from ngramstat.entropy.options import EntropyOptions
from ngramstat.errors import InputError
from ngramstat.runtime.files import read_json, write_json
from ngramstat.sampling.options import SamplingOptions
from ngramstat.sharding.files import RoundFiles

__all__ = ["PLAN_FILE", "ShardPlan"]

PLAN_FILE = "plan.json"
_FORMAT = "ngramstat.shards.plan/2"
_PREDICTORS = ("kneser-ney", "none")
# What a plan says beside the options of C(t), which those of sampling are a part of.
_OWN = ("shards", "max_context", "ranges", "predictor", "held_out", "learning_sizes")


@dataclass(frozen=True)
class ShardPlan:
    """The shards of a corpus and what is measured of them.

    Attributes
    ----------
    shards : int
        Their number.
    max_context : int
        N-grams of up to one token more are counted.
    ranges : int
        Ranges of token ids, about, whose n-grams are counted at a time.
    correlations : CorrelationOptions
    predictor : str
        ``kneser-ney``: held-out losses are measured, for brackets of H(n) and gamma; ``none``:
        n-grams are only counted.
    held_out : float or None
        Fraction of the tokens to hold out; None: as `EntropyOptions` has it.
    learning_sizes : int
        Sizes of the training set on the learning curve, each half of the next.
    """

    shards: int
    max_context: int
    ranges: int
    correlations: CorrelationOptions
    predictor: str = "kneser-ney"
    held_out: float | None = None
    learning_sizes: int = 7

    def __post_init__(self) -> None:
        if self.predictor not in _PREDICTORS:
            raise InputError(f"predictor={self.predictor!r}: expected {' or '.join(_PREDICTORS)}")
        for name, least in (("shards", 1), ("max_context", 0), ("ranges", 1)):
            if getattr(self, name) < least:
                raise InputError(f"{name}={getattr(self, name)}: must be at least {least}")
        if self.max_context > 254:
            raise InputError(f"max_context={self.max_context}: must be at most 254")
        if self.correlations.matrix_free or self.correlations.vocab_top is not None:
            raise InputError("shards are counted over the whole vocabulary, and not matrix-free")
        _ = self.entropies  # checks what it is made of

    @property
    def entropies(self) -> EntropyOptions | None:
        """Options of H(n), where held-out losses are measured."""
        if self.predictor == "none":
            return None
        shared = {
            field.name: getattr(self.correlations, field.name) for field in fields(SamplingOptions)
        }
        return EntropyOptions(
            **shared,
            max_context=self.max_context,
            held_out=self.held_out,
            predictor=self.predictor,
            learning_sizes=self.learning_sizes,
        )

    @property
    def longest_lag(self) -> int:
        """In tokens."""
        return self.correlations.lags[-1]

    def settings(self) -> dict[str, Any]:
        """As `run.json` records them."""
        options = {**asdict(self.correlations), "boundary": self.correlations.boundary.value}
        options["lags"] = list(self.correlations.lags)
        return {**options, **{name: getattr(self, name) for name in _OWN}}

    def files(self, directory: Path) -> RoundFiles:
        """The files of its rounds."""
        text = json.dumps(self.settings(), sort_keys=True)
        return RoundFiles(directory, hashlib.sha256(text.encode()).hexdigest())

    def save(self, directory: Path) -> None:
        """Write the plan, which the rounds read.

        Raises
        ------
        InputError
            The directory holds another plan, or cannot be made.
        """
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{directory}: cannot be created: {error.strerror}") from error
        path = directory / PLAN_FILE
        if path.exists() and ShardPlan.load(directory) != self:
            raise InputError(f"{directory}: holds another plan of shards; choose another directory")
        write_json(path, {"format": _FORMAT, **self.settings()})

    @classmethod
    def load(cls, directory: Path) -> ShardPlan:
        """The plan of a directory.

        Raises
        ------
        InputError
            There is none.
        """
        path = directory / PLAN_FILE
        found = read_json(path)
        if not isinstance(found, Mapping) or found.get("format") != _FORMAT:
            raise InputError(f"{path}: is no plan of shards ({_FORMAT})")
        try:
            options = {k: v for k, v in found.items() if k != "format"}
            own = {name: options.pop(name) for name in _OWN}
            options["lags"] = tuple(options["lags"])
            options["boundary"] = Boundary.parse(options["boundary"])
            if options["window"] is not None:
                options["window"] = tuple(options["window"])
            return cls(**own, correlations=CorrelationOptions(**options))
        except (KeyError, TypeError) as error:
            raise InputError(f"{path}: is damaged: {error}") from error
