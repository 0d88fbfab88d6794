"""Predictions of a finished run, or of the two halves of one."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, overload

from ngramstat.api.conclusion import concluded_run
from ngramstat.errors import InputError, InputTypeError
from ngramstat.prediction.curve_files import Paths
from ngramstat.prediction.learner_curves import LearnerCurves
from ngramstat.prediction.predict import predict as predict_of_halves
from ngramstat.results import (
    CorrelationResult,
    CurveTable,
    EntropyResult,
    Prediction,
    RunResult,
)
from ngramstat.runtime.arguments import as_integer, as_number, as_numbers, as_path, as_word

__all__ = ["load_run", "predict", "predict_run"]


def load_run(path: str | PathLike[str]) -> RunResult:
    """The result of `measure`, from its directory or its file.

    Raises
    ------
    InputError
        The run is unfinished, or the file is absent or no run.
    """
    return RunResult.load(as_path("run", path))


@overload
def predict(
    run: CorrelationResult,
    entropies: EntropyResult,
    *,
    tokens: float | Sequence[float] = (),
    losses: Sequence[tuple[float, float]] = (),
    context: int | None = None,
    curves: CurveTable | None = None,
    protocol: str | None = None,
) -> Prediction: ...


@overload
def predict(
    *,
    correlations: CorrelationResult,
    entropies: EntropyResult,
    tokens: float | Sequence[float] = (),
    losses: Sequence[tuple[float, float]] = (),
    context: int | None = None,
    curves: CurveTable | None = None,
    protocol: str | None = None,
) -> Prediction: ...


@overload
def predict(
    run: RunResult | str | PathLike[str],
    *,
    tokens: float | Sequence[float] = (),
    losses: Sequence[tuple[float, float]] = (),
    context: int | None = None,
    curves: Paths | CurveTable | None = None,
    reader: str | PathLike[str] | None = None,
    protocol: str | None = None,
) -> RunResult: ...


def predict(
    run: Any = None,
    entropies: EntropyResult | None = None,
    *,
    correlations: CorrelationResult | None = None,
    tokens: float | Sequence[float] = (),
    losses: Sequence[tuple[float, float]] = (),
    context: int | None = None,
    curves: Paths | CurveTable | None = None,
    reader: str | PathLike[str] | None = None,
    protocol: str | None = None,
) -> Prediction | RunResult:
    """What a run predicts: alpha with its conditions, horizons, and losses at other sizes.

    ``predict(run)`` takes a finished run, or the path of its directory or file, and returns it with
    `prediction`, `answer` and `forecast`. ``predict(correlations, entropies)`` takes the two halves
    and returns the `Prediction` alone.

    Parameters
    ----------
    run : RunResult, path or CorrelationResult
    entropies : EntropyResult, optional
        Of the same corpus, where the first argument is a CorrelationResult.
    correlations : CorrelationResult, optional
        Another name of the first argument.
    tokens : float or sequence of float
        Numbers of training tokens P at which horizon, context length, stage and expected loss are
        computed.
    losses : sequence of (float, float)
        (training tokens, loss in nats per token) of your own models, at least two; the expected
        loss curve is fitted to them.
    context : int, optional
        Context T of those models, in tokens; by default the largest context of `curves`.
    curves : CurveTable or path, optional
        Losses of your own models by context and training tokens: as `read_curves` returns them, or
        (of a run) what it reads without options, or the output directory of `validate`. By default
        those of models that were trained for this run.
    reader : path, optional
        Losses of a pretrained model on this text, as `ngramstat read` writes them (of a run).
    protocol : str, optional
        ``paper`` adds the exponents by the paper's protocol; by default that of the run.

    Raises
    ------
    InputError
        An argument cannot be used, the run lacks a half, or a file cannot be read.
    """
    first = run if correlations is None else correlations
    options: dict[str, Any] = {
        "tokens": as_numbers("tokens", tokens),
        "losses": _pairs(losses),
        "context": None if context is None else as_integer("context", context),
        "curves": curves,
    }
    if protocol is not None:
        options["protocol"] = as_word("protocol", protocol)
    if isinstance(first, CorrelationResult):
        if not isinstance(entropies, EntropyResult):
            raise InputTypeError(
                "entropies: needs the EntropyResult of the same corpus, not "
                f"{type(entropies).__name__}"
            )
        if reader is not None:
            raise InputError("reader: needs a run, as in predict(run, reader=...)")
        if not isinstance(curves, CurveTable | None):
            as_path("curves", curves)
            raise InputError("curves: needs what read_curves returns, or a run instead of halves")
        return predict_of_halves(first, entropies, **options)
    if entropies is not None:
        raise InputTypeError(
            "predict takes a run alone, or a CorrelationResult and an EntropyResult, not "
            f"{type(first).__name__} and {type(entropies).__name__}"
        )
    if not isinstance(first, RunResult | str | PathLike):
        raise InputTypeError(
            f"run: needs a RunResult, its path, or a CorrelationResult, not {type(first).__name__}"
        )
    return predict_run(first, reader=reader, **options)


def _pairs(losses: Any) -> list[tuple[float, float]]:
    try:
        pairs = [(tokens, loss) for tokens, loss in losses]
    except (TypeError, ValueError) as error:
        raise InputTypeError(
            f"losses={losses!r:.60}: must be pairs (training tokens, loss), such as [(1e7, 4.9)]"
        ) from error
    return [(as_number("losses", tokens), as_number("losses", loss)) for tokens, loss in pairs]


def predict_run(
    run: str | PathLike[str] | RunResult,
    *,
    tokens: float | Sequence[float] = (),
    losses: Sequence[tuple[float, float]] = (),
    context: int | None = None,
    curves: Paths | CurveTable | Sequence[LearnerCurves] | None = None,
    reader: str | PathLike[str] | None = None,
    protocol: str | None = None,
) -> RunResult:
    """The run with what it predicts, and its answer, at the sizes and for the models given.

    Parameters
    ----------
    run : path or RunResult
        With both halves.
    tokens, losses, context
        As for `predict`.
    curves : path, paths or CurveTable, optional
        Losses of your own models: what `read_curves` has read, or what it reads without options; or
        the output directory of `validate`. By default those of models that `measure --train`
        trained for this run.
    reader : path, optional
        Losses of a pretrained model on this text, as `ngramstat read` writes them.
    protocol : str, optional
        ``paper`` adds the exponents by the paper's protocol; by default that of the run.

    Raises
    ------
    InputError
        The run lacks a half, or a file cannot be read.
    """
    if isinstance(run, RunResult):
        result, directory = run, None
    else:
        result, path = load_run(run), Path(run)
        directory = path if path.is_dir() else path.parent
    return concluded_run(
        result, directory, tokens=as_numbers("tokens", tokens), losses=losses, context=context,
        curves=curves, reader=reader,
        protocol=protocol or str(result.settings.get("protocol", "default")),
    )  # fmt: skip
