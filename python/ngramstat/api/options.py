"""The options of a measurement: what users choose, and what the stages make of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ngramstat.boundary import Boundary
from ngramstat.corpus import Corpus
from ngramstat.covariance.options import CorrelationOptions, check_protocol, default_lags
from ngramstat.entropy.options import EntropyOptions
from ngramstat.errors import InputError, check_choice, check_positive
from ngramstat.runtime.arguments import (
    as_flag,
    as_integer,
    as_integers,
    as_number,
    as_numbers,
    as_path,
    as_seed,
    as_word,
)
from ngramstat.runtime.gpus import Backend
from ngramstat.runtime.progress import shows_progress
from ngramstat.sampling.design import SamplingDesign
from ngramstat.sampling.options import SamplingOptions
from ngramstat.stages.runner import stages_of
from ngramstat.stages.stage import Stage

__all__ = ["BoundaryName", "MeasureOptions", "PredictorName", "ProtocolName", "StageOptions"]

BoundaryName = Literal["stream", "document"]
PredictorName = Literal["mixture", "kneser-ney"]
ProtocolName = Literal["default", "paper"]


@dataclass(frozen=True, kw_only=True)
class MeasureOptions:
    """Every option of `measure`, `correlations`, `entropies` and `plan`, checked.

    Names, types and defaults are those of the functions, which describe them; `tests/test_api.py`
    compares the two. `seed` is what `seed` or `rng` came to.
    """

    output: str | PathLike[str] | None = None
    tokens: float | Sequence[float] = ()
    overwrite: bool = False
    lags: int | Sequence[int] | None = None
    boundary: BoundaryName = "stream"
    protocol: ProtocolName = "default"
    singular_values: int = 8
    beta_window: tuple[int, int] | None = None
    vocab_top: int | None = None
    sequential: bool = True
    matrix_free: bool = False
    max_context: int = 5
    held_out: float | str | PathLike[str] | Corpus | None = None
    predictor: PredictorName = "mixture"
    learning_sizes: int = 7
    replicates: int = 999
    level: float = 0.95
    seed: int = 0
    rng: int | np.random.Generator | None = None
    threads: int | None = None
    memory_limit: str | int | None = None
    backend: Backend = "auto"
    gpu_memory: str | int | None = None
    progress: bool | None = None
    correlations: bool = True
    entropies: bool = True

    @classmethod
    def of(cls, arguments: Mapping[str, Any], **others: Any) -> MeasureOptions:
        """Of the arguments of a public function, as `locals` gives them at its beginning."""
        names = {field.name for field in fields(cls)}
        return cls(**{name: arguments[name] for name in arguments if name in names}, **others)

    def __post_init__(self) -> None:
        checked: dict[str, Any] = {
            "tokens": as_numbers("tokens", self.tokens),
            "seed": as_seed(self.seed, self.rng),
            "rng": None,
            "progress": shows_progress(self.progress),
        }
        kinds: dict[Any, tuple[str, ...]] = {
            as_path: ("output",),
            as_flag: ("overwrite", "sequential", "matrix_free", "correlations", "entropies"),
            as_integers: ("lags",),
            as_integer: ("singular_values", "vocab_top", "max_context", "learning_sizes",
                         "replicates", "threads"),
            as_number: ("level",),
            as_word: ("boundary", "protocol", "predictor"),
        }  # fmt: skip
        for check, names in kinds.items():
            for name in names:
                value = getattr(self, name)
                optional = self.__dataclass_fields__[name].default is None
                checked[name] = value if value is None and optional else check(name, value)
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "beta_window", self._window())
        object.__setattr__(self, "held_out", self._held_out())
        check_positive("tokens", checked["tokens"])
        check_choice("boundary", self.boundary, [b.value for b in Boundary])

    def _window(self) -> tuple[int, int] | None:
        if self.beta_window is None:
            return None
        ends = as_integers("beta_window", self.beta_window)
        if len(ends) != 2 or not 1 <= ends[0] < ends[1]:
            raise InputError(
                f"beta_window={self.beta_window!r}: must be (low, high) with 1 <= low < high"
            )
        return ends[0], ends[1]

    def _held_out(self) -> float | str | Corpus | None:
        if isinstance(self.held_out, Corpus):
            return self.held_out
        if self.held_out is None or isinstance(self.held_out, str | PathLike):
            return None if self.held_out is None else str(self.held_out)
        return as_number("held_out", self.held_out)

    @property
    def directory(self) -> Path | None:
        """Of the run."""
        return None if self.output is None else Path(self.output)


@dataclass(frozen=True)
class StageOptions:
    """Resolved options of the stages; None leaves that half out."""

    sampling: SamplingOptions
    correlations: CorrelationOptions | None
    entropies: EntropyOptions | None

    @classmethod
    def of(cls, corpus: Corpus, chosen: MeasureOptions) -> StageOptions:
        """What `chosen` comes to on this corpus.

        Options of either half are checked whether or not that half runs.
        """
        shared: dict[str, Any] = {
            "boundary": Boundary.parse(chosen.boundary),
            "replicates": chosen.replicates,
            "level": chosen.level,
            "seed": chosen.seed,
        }
        protocol = check_protocol(chosen.protocol)
        lags: Any = chosen.lags
        if lags is None:
            lags = default_lags(corpus, shared["boundary"], protocol)
        pair_options = CorrelationOptions(
            lags=lags,
            window=chosen.beta_window,
            protocol=protocol,
            singular_values=chosen.singular_values,
            vocab_top=chosen.vocab_top,
            sequential=chosen.sequential,
            matrix_free=chosen.matrix_free,
            **shared,
        )
        held_out: Any = chosen.held_out
        entropy_options = EntropyOptions(
            max_context=chosen.max_context,
            held_out=held_out,
            predictor=chosen.predictor,
            learning_sizes=chosen.learning_sizes,
            **shared,
        )
        return cls(
            SamplingOptions(**shared),
            pair_options if chosen.correlations else None,
            entropy_options if chosen.entropies else None,
        )

    def settings(self) -> dict[str, Any]:
        """All options, as `run.json` records them."""
        settings: dict[str, Any] = {}
        for options in (self.correlations, self.entropies):
            if options is not None:
                settings |= asdict(options)
        if settings:
            settings["boundary"] = self.sampling.boundary.value
        return settings

    def stages(self, design: SamplingDesign) -> list[Stage[Any]]:
        """What has to be run."""
        return stages_of(design, self.correlations, self.entropies)
