"""Forecasts of losses tested on losses that are known: errors and coverage of the three routes.

    python -m benchmarks.forecast [--no-figure]

Two tests. *Absolute*: losses of the curves in forecast_texts.json from the entropies, norms and
document ends given there, with the one constant of the learner that the package uses, and with that
constant chosen anew without each curve. *Later from earlier*: every prefix of three sizes or more
of every curve (trained models, counted learners of loss_curves.json, exact curves as in
docs/theory.md 2.3) is continued to 2, 4 and 8 times its largest size. Takes five minutes on one
core. Writes benchmarks/results/forecast.json and docs/forecast.png.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.prediction.forecast import BACKTEST_FACTORS, MIN_BACKTEST_SIZES
from ngramstat.prediction.forecast_routes import (
    Band,
    MeasuredLosses,
    by_alpha,
    by_curves,
    by_fit,
)
from ngramstat.prediction.horizon_loss import (
    LEARNER_FACTOR,
    SHARPNESS,
    Entropies,
    TextHorizons,
    bounded_entropies,
    expected_log_losses,
    read_entropies,
    text_horizons,
)

Floats = NDArray[np.float64]

HERE = Path(__file__).resolve().parent
TEXTS = HERE / "forecast_texts.json"
COUNTED = HERE / "loss_curves.json"
RESULTS = HERE / "results" / "forecast.json"
FIGURE = HERE.parent / "docs" / "forecast.png"
CONTEXTS = 512
TOLERANCE = 1.2
# Later sizes to which the text's curves are tested, too.
FAR = (16.0, 32.0, 64.0)


@dataclass(frozen=True)
class Curve:
    """Losses of one learner on one text."""

    name: str
    role: str
    measured: MeasuredLosses
    text: str | None = None


@dataclass(frozen=True)
class Outcome:
    """One later loss predicted from the first sizes of a curve."""

    curve: str
    role: str
    route: str
    sizes: int
    factor: float
    error: float
    inside: bool
    half_width: float


@dataclass(frozen=True)
class Text:
    """What is known of a text, for the route of its curves."""

    horizons: TextHorizons
    line: Entropies
    brackets: Entropies
    alpha: tuple[float, float]

    @classmethod
    def of(cls, given: dict[str, Any]) -> Text:
        horizons = text_horizons(
            given["lags"], given["norm"], given["kappa"], CONTEXTS,
            document_lags=given["document_lags"], crossing=given["crossing"],
        )  # fmt: skip
        line = given["line"]
        n = np.arange(1, line["last"] + 1)
        read = read_entropies(
            n, line["scale"] * n ** -line["gamma"], given["unigram"], horizons, "line"
        )
        bounded = bounded_entropies(**given["bracket"], horizons=horizons, source="counts")
        assert read is not None
        assert bounded is not None
        return cls(horizons, read, bounded, tuple(given["alpha"]))


def load() -> tuple[dict[str, Text], list[Curve]]:
    data = json.loads(TEXTS.read_text())
    texts = {name: Text.of(given) for name, given in data["texts"].items()}
    curves = [
        Curve(c["name"], c["role"], losses_of(c, np.array(c["contexts"])), c["text"])
        for c in data["curves"]
    ]
    return texts, curves


def losses_of(curve: dict[str, Any], contexts: NDArray[np.int64] | None = None) -> MeasuredLosses:
    p, y = (np.array(curve[key], dtype=np.float64) for key in ("tokens", "losses"))
    none = np.zeros(len(p), dtype=np.int64)
    return MeasuredLosses(p, y, none if contexts is None else contexts, curve["name"])


def counted() -> list[Curve]:
    """Counted learners on six texts; text with many near copies is left out (loss_hindcast.py)."""
    curves = json.loads(COUNTED.read_text())["curves"]
    return [Curve(c["name"], "counted", losses_of(c)) for c in curves if c["kind"] == "counted"]


# --- exact curves ------------------------------------------------------------------------------

# (beta, gamma, delta) of docs/theory.md 2.3, and other values.
ANSATZ = [(0.9, 0.3, 1.0), (0.9, 0.3, 0.5), (0.88, 0.325, 1.0), (0.7, 0.4, 1.0), (1.2, 0.25, 0.7)]


def ansatz(beta: float, gamma: float, delta: float) -> tuple[Curve, Text]:
    """L(P) of H_n = 1 + 4 (n + 1)^-gamma, each drop learned as 1 - x^-delta, x = P / P*_n >= 1.

    P*_n = 100 n^(2 beta) is the number of tokens that this learner needs; counting, in the units of
    the package, needs 1 / LEARNER_FACTOR of it. The law of learning is another one than that of the
    package.
    """
    n = np.arange(CONTEXTS + 1)
    h = 1 + 4 * (n + 1.0) ** -gamma
    needed = 100 * np.arange(1, CONTEXTS + 1) ** (2 * beta)
    tokens = 2.0 ** np.arange(12, 29)
    x = np.maximum(tokens[:, None] / needed, 1.0)
    losses = h[0] + ((1 - x**-delta) * np.diff(h)).sum(axis=1)
    horizons = TextHorizons(np.log(needed / LEARNER_FACTOR), np.ones(CONTEXTS), float(CONTEXTS))
    line = read_entropies(n[1:33], h[1:33], float(h[0]), horizons, "exact")
    brackets = bounded_entropies(
        n[:6], h[:6] * [1, 1, 0.85, 0.6, 0.4, 0.2], h[:6] * [1, 1.02, 1.05, 1.1, 1.15, 1.2],
        horizons, "counts",
    )  # fmt: skip
    assert line is not None
    assert brackets is not None
    name = f"exact, beta {beta:g}, gamma {gamma:g}, delta {delta:g}"
    # The last context alone: the losses are those of a full window.
    measured = MeasuredLosses(tokens, losses, np.full(len(tokens), CONTEXTS), name, first=CONTEXTS)
    return Curve(name, "exact", measured, name), Text(
        horizons, line, brackets, (gamma / (2 * beta), 0.02)
    )


# --- later from earlier ------------------------------------------------------------------------


def prefixes(measured: MeasuredLosses) -> Iterator[tuple[int, list[float], list[int]]]:
    """(sizes, factors, rows) of all later losses near 2, 4, ... times the largest size."""
    p = measured.tokens
    for sizes in range(MIN_BACKTEST_SIZES, len(p)):
        found = [
            (factor, row)
            for factor in (*BACKTEST_FACTORS, *FAR)
            for row in range(sizes, len(p))
            if 1 / TOLERANCE < p[row] / p[sizes - 1] / factor < TOLERANCE
        ]
        if found:
            yield sizes, [f for f, _ in found], [r for _, r in found]


def routes(curve: Curve, text: Text | None, sizes: int, rows: list[int]) -> dict[str, Band]:
    """The bands of every route that applies."""
    measured = curve.measured.until(sizes)
    targets = curve.measured.tokens[rows]
    bands = {"fit": by_fit(measured, targets)}
    if text is not None:
        contexts = curve.measured.contexts[rows].tolist()
        bands["alpha"] = by_alpha(measured, targets, *text.alpha)
        for name, entropies in (("curves", text.brackets), ("curves, read", text.line)):
            bands[name] = by_curves(text.horizons, entropies, measured, targets, contexts)
    return bands


def outcomes(curve: Curve, text: Text | None) -> list[Outcome]:
    out = []
    for sizes, factors, rows in prefixes(curve.measured):
        truth = curve.measured.losses[rows]
        for route, band in routes(curve, text, sizes, rows).items():
            for i, factor in enumerate(factors):
                if factor in FAR and not route.startswith("curves"):
                    continue
                low, loss, high = band.low[i], band.loss[i], band.high[i]
                out.append(
                    Outcome(
                        curve.name, curve.role, route, sizes, factor,
                        float(loss / truth[i] - 1), bool(low <= truth[i] <= high),
                        float((high - low) / 2 / loss),
                    )
                )  # fmt: skip
    return out


def summary(found: Sequence[Outcome]) -> dict[str, Any]:
    errors = np.abs([o.error for o in found])
    return {
        "cases": len(found),
        "inside": int(sum(o.inside for o in found)),
        "median_error": round(float(np.median(errors)), 4),
        "largest_error": round(float(errors.max()), 4),
        "half_width": round(float(np.median([o.half_width for o in found])), 4),
    }


def table(found: Sequence[Outcome]) -> list[dict[str, Any]]:
    """By kind of curve (the curves of the bars also one by one), route and factor."""
    rows = []
    groups = {role: role for role in dict.fromkeys(o.role for o in found)}
    groups |= {o.curve: o.curve for o in found if o.role in ("bar", "later")}
    for group in groups:
        members = [o for o in found if group in (o.role, o.curve)]
        for route in dict.fromkeys(o.route for o in members):
            for factor in sorted({o.factor for o in members if o.route == route}):
                chosen = [o for o in members if (o.route, o.factor) == (route, factor)]
                rows.append({"curves": group, "route": route, "factor": factor, **summary(chosen)})
    return rows


# --- absolute losses ---------------------------------------------------------------------------


def absolute(curve: Curve, text: Text, entropies: Entropies) -> Band:
    return by_curves(
        text.horizons, entropies, None, curve.measured.tokens, curve.measured.contexts.tolist()
    )


def formula(curve: Curve, text: Text, factor: float, sharpness: float) -> Floats:
    """Relative errors of the formula with these constants, H_n as drawn through their losses."""
    line = Entropies(text.line.curves[:1], text.line.log_weights[:1], "line")
    predicted = [
        expected_log_losses(
            text.horizons, line, [p], last=int(t), log_factors=[math.log(factor)],
            sharpness=sharpness,
        )[0, 0, 0]
        for p, t in zip(curve.measured.tokens, curve.measured.contexts, strict=True)
    ]  # fmt: skip
    out: Floats = np.exp(np.array(predicted)) / curve.measured.losses - 1
    return out


def fitted(curves: Sequence[Curve], texts: dict[str, Text]) -> tuple[float, float]:
    """The constants with the smallest errors (their mean 8th power, nearly the largest)."""
    from scipy.optimize import minimize

    def misfit(x: Floats) -> float:
        errors = np.concatenate(
            [formula(c, texts[c.text or ""], *np.exp(x).tolist()) for c in curves]
        )
        return float(np.mean(errors**8) ** (1 / 8))

    found = minimize(
        misfit, np.log([LEARNER_FACTOR, SHARPNESS]), method="Nelder-Mead",
        options={"xatol": 1e-2, "fatol": 1e-4},
    )  # fmt: skip
    factor, sharpness = np.exp(found.x).tolist()
    return factor, sharpness


def per_cent(values: Floats) -> list[float]:
    return [round(100 * float(v), 1) for v in values]


def absolute_rows(curves: Sequence[Curve], texts: dict[str, Text]) -> list[dict[str, Any]]:
    rows = []
    bars = [c for c in curves if c.role == "bar"]
    for curve in curves:
        text = texts[curve.text or ""]
        row: dict[str, Any] = {"curve": curve.name, "role": curve.role}
        row["errors"] = per_cent(formula(curve, text, LEARNER_FACTOR, SHARPNESS))
        for name, entropies in (("line", text.line), ("counts", text.brackets)):
            band = absolute(curve, text, entropies)
            truth = curve.measured.losses
            row[name] = {
                "errors": per_cent(band.loss / truth - 1),
                "inside": int(np.sum((band.low <= truth) & (truth <= band.high))),
                "half_width": round(float(np.median((band.high - band.low) / 2 / band.loss)), 3),
            }
        if curve.role == "bar":
            constants = fitted([c for c in bars if c is not curve], texts)
            row["without"] = {
                "factor": round(constants[0]), "sharpness": round(constants[1], 2),
                "errors": per_cent(formula(curve, text, *constants)),
            }  # fmt: skip
            own = fitted([curve], {**texts})
            row["own"] = {
                "factor": round(own[0]), "sharpness": round(own[1], 2),
                "errors": per_cent(formula(curve, text, *own)),
            }  # fmt: skip
        rows.append(row)
        print(row["curve"], "largest error", max(map(abs, row["errors"])), "%", flush=True)
    return rows


# --- the picture -------------------------------------------------------------------------------


def draw(curves: Sequence[Curve], texts: dict[str, Text], found: Sequence[Outcome]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    colours = ["#1b6ca8", "#c2571a", "#2f8f4e", "#7a4fa3", "#8a7a1f"]
    shown = [c for c in curves if c.role in ("bar", "later")]
    for colour, curve in zip(colours, shown, strict=True):
        band = absolute(curve, texts[curve.text or ""], texts[curve.text or ""].line)
        p = curve.measured.tokens
        mark, later = ("o", "") if curve.role == "bar" else ("D", ", trained later")
        left.plot(
            p, curve.measured.losses, mark, color=colour, label=curve.name + later, markersize=5
        )
        left.plot(p, band.loss, color=colour)
        left.fill_between(p, band.low, band.high, color=colour, alpha=0.12, linewidth=0)
    left.set(xscale="log", yscale="log", xlabel="training tokens", ylabel="loss, nats per token")
    left.set_yticks([1, 1.5, 2, 3, 4, 5], ["1", "1.5", "2", "3", "4", "5"])
    left.minorticks_off()
    left.set_title("Losses from the text, one constant for all (line)")
    left.legend(fontsize=8, loc="lower left")
    names = {"curves": "the text's curves", "alpha": "alpha", "fit": "losses alone"}
    for colour, (route, name) in zip(colours, names.items(), strict=False):
        for factor in BACKTEST_FACTORS:
            errors = [
                abs(o.error) * 100 for o in found
                if (o.role, o.route, o.factor) == ("bar", route, factor)
            ]  # fmt: skip
            x = factor * 2 ** (0.2 * (list(names).index(route) - 1))
            right.plot(np.full(len(errors), x), errors, ".", color=colour, alpha=0.45)
            right.plot(
                [x / 1.06, x * 1.06], [np.median(errors)] * 2, color=colour, linewidth=3,
                label=name if factor == BACKTEST_FACTORS[0] else None,
            )  # fmt: skip
    right.set(xscale="log", xlabel="tokens of the later loss, in units of the largest size used",
              ylabel="error of the forecast, per cent")  # fmt: skip
    right.set_xticks(BACKTEST_FACTORS, [f"{f:g} times" for f in BACKTEST_FACTORS])
    right.minorticks_off()
    right.set_ylim(0)
    right.set_title("Later losses from earlier ones (bars: medians)")
    right.legend(fontsize=8, loc="upper left")
    figure.savefig(FIGURE, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--no-figure", action="store_true")
    arguments = parser.parse_args()
    texts, curves = load()
    rows = absolute_rows(curves, texts)
    exact = [ansatz(*parameters) for parameters in ANSATZ]
    known = {**texts, **{curve.name: text for curve, text in exact}}
    found = [
        outcome
        for curve in [*curves, *(curve for curve, _ in exact), *counted()]
        for outcome in outcomes(curve, known.get(curve.text or ""))
    ]
    tests = table(found)
    for row in tests:
        print(row, flush=True)
    RESULTS.write_text(
        json.dumps(
            {
                "factor": LEARNER_FACTOR, "sharpness": SHARPNESS, "absolute": rows,
                "backtests": tests,
                "outcomes": [asdict(o) for o in found if o.role in ("bar", "later")],
            },
            indent=1,
        ) + "\n"
    )  # fmt: skip
    if not arguments.no_figure:
        draw(curves, texts, found)


if __name__ == "__main__":
    main()
