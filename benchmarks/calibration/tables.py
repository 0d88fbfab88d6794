"""Bias, error and coverage of the draws, as numbers and as Markdown."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.calibration.cases import Case
from benchmarks.calibration.draws import estimators
from ngramstat.synthetic import IndependentTokens, RandomHierarchy

__all__ = ["markdown", "summarize_case", "tokens_label"]

Floats = NDArray[np.float64]


def _matrix(rows: list[dict[str, Any]], section: str, name: str) -> Floats:
    return np.array(
        [[np.nan if x is None else x for x in row[section][name]] for row in rows], dtype=np.float64
    )


def _mean(values: Floats) -> float | None:
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else None


def _errors(estimates: Floats, exact: Floats) -> dict[str, float | None]:
    """Relative bias, root-mean-square error, and standard error of the bias."""
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = (estimates - exact) / exact
    relative = relative[np.isfinite(relative)]
    if not len(relative):
        return {"bias": None, "rmse": None, "bias_error": None}
    return {
        "bias": float(relative.mean()),
        "rmse": float(np.sqrt(np.mean(relative**2))),
        "bias_error": float(relative.std() / np.sqrt(len(relative))),
    }


def summarize_case(case: Case, tokens: int, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Bias, error and coverage of one case at one size."""
    out: dict[str, Any] = {
        "case": case.name, "tokens": tokens, "draws": len(rows), "boundary": case.boundary,
        "note": case.note, "seconds_per_draw": _mean(np.array([r["seconds"] for r in rows])),
        "estimators": sorted({r["estimators"] for r in rows}),
    }  # fmt: skip
    if case.lags:
        out["norms"] = _norm_table(case, rows)
    if case.max_context >= 0:
        out["entropies"] = _entropy_table(case, rows)
    for name in ("beta", "beta_sequential", "gamma", "alpha"):
        if rows[0].get(name):
            out[name] = _exponent_table(case, name, rows)
    if case.last_token:
        out["beta_last_token"] = _hierarchy_beta(case, rows)
    world = case.world(0)
    if isinstance(world, IndependentTokens) and not world.topics:
        known = world.extras()
        out["null"] = {
            "draws_with_a_valid_lag": int(np.any(_matrix(rows, "c", "valid") > 0, axis=1).sum()),
            "lags": len(case.lags),
            "noise_constant": float(np.mean([row["noise_constant"] for row in out["norms"]])),
            "noise_constant_theory": known["noise_constant"],
            "noise_constant_approximation": known["noise_constant_approximation"],
        }
    return out


def _norm_table(case: Case, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    exact, valid = _matrix(rows, "c", "exact"), _matrix(rows, "c", "valid") > 0
    low, high = _matrix(rows, "c", "norm_low"), _matrix(rows, "c", "norm_high")
    floor, pairs = _matrix(rows, "c", "noise_floor"), _matrix(rows, "c", "pairs")
    covered = (low <= exact) & (exact <= high)
    table = []
    for k, lag in enumerate(case.lags):
        row: dict[str, Any] = {
            "lag": lag,
            "exact": _mean(exact[:, k]),
            "exact_over_floor": _mean(exact[:, k] / floor[:, k]),
            "valid": float(valid[:, k].mean()),
            "coverage": float(covered[valid[:, k], k].mean()) if valid[:, k].any() else None,
            "covered_draws": int(valid[:, k].sum()),
            "noise_constant": _mean(floor[:, k] * np.sqrt(pairs[:, k])),
        }
        for name in ("norm", "norm_crossfit", "norm_debiased"):
            row[name] = _errors(_matrix(rows, "c", name)[:, k], exact[:, k])
        for name in ("norm_sequential", "norm_sequential_debiased"):
            row[name] = _errors(
                _matrix(rows, "c", name)[:, k], _matrix(rows, "c", "exact_sequential")[:, k]
            )
        table.append(row)
    return table


def _entropy_table(case: Case, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    exact, resolved = _matrix(rows, "e", "exact"), _matrix(rows, "e", "resolved") > 0
    low, high = _matrix(rows, "e", "low"), _matrix(rows, "e", "high")
    covered = (low <= exact) & (exact <= high)
    table = []
    for n in range(case.max_context + 1):
        if not np.isfinite(exact[:, n]).any():
            continue
        chosen = resolved[:, n]
        row: dict[str, Any] = {
            "context": n,
            "exact": _mean(exact[:, n]),
            "resolved": float(chosen.mean()),
            "coverage": float(covered[chosen, n].mean()) if chosen.any() else None,
            "covered_draws": int(chosen.sum()),
        }
        for name in ("plug_in", "miller_madow", "chao_shen", "held_out", "estimate"):
            errors = _matrix(rows, "e", name)[:, n] - exact[:, n]
            row[name] = {"bias": _mean(errors), "rmse": math.sqrt(_mean(errors**2) or 0.0)}
        table.append(row)
    return table


def _exponent_table(case: Case, name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    known = case.world(0).exponents().get(name.split("_")[0])
    truth = None if known is None else known.value
    fits = [row[name] for row in rows]
    value, low, high, window_truth = (
        np.array([np.nan if e.get(key) is None else e[key] for e in fits], dtype=np.float64)
        for key in ("value", "low", "high", "exact_in_window")
    )
    reportable = np.array([bool(e["reportable"]) for e in fits])
    if name.startswith("beta"):
        target = window_truth
    elif name == "alpha" and truth is not None:
        # gamma / (2 beta) with the beta of the exact curve, which has no sampling error.
        gamma = case.world(0).exponents()["gamma"].value
        slopes = [row["beta"].get("exact_in_window") for row in rows]
        target = np.array([np.nan if x is None else gamma / (2 * x) for x in slopes])
    else:
        target = np.full(len(fits), np.nan if truth is None else truth)
    usable = reportable & np.isfinite(target)
    reasons: dict[str, int] = {}
    for e in fits:
        if not e["reportable"]:
            reason = (e["reason"] or "")[:100]
            reasons[reason] = reasons.get(reason, 0) + 1
    errors = (value - target)[usable]
    out: dict[str, Any] = {
        "truth": truth,
        "reportable": float(reportable.mean()),
        "mean": _mean(value[reportable]) if reportable.any() else None,
        "mean_target": _mean(target[usable]) if usable.any() else None,
        "rmse_to_target": float(np.sqrt(np.mean(errors**2))) if usable.any() else None,
        "largest_error_to_truth": (
            float(np.abs(value[reportable] - truth).max()) if truth is not None and reportable.any()
            else None
        ),
        "mean_error_to_truth": (
            float(np.mean(value[reportable] - truth)) if truth is not None and reportable.any()
            else None
        ),
        "coverage": (
            float(np.mean((low <= target)[usable] & (target <= high)[usable]))
            if usable.any() else None
        ),
        "covered_draws": int(usable.sum()),
        "reasons": dict(sorted(reasons.items(), key=lambda item: -item[1])[:4]),
    }  # fmt: skip
    return out


def _hierarchy_beta(case: Case, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Slopes of norms against the level of the common ancestor, averaged over all sets of rules.

    The finite-v law holds for the root mean square over entries and rules, and so for the Frobenius
    norm. The largest singular value falls more slowly while others are close to it.
    """
    world = case.world(0)
    assert isinstance(world, RandomHierarchy)
    levels = np.log([lag + 1.0 for lag in case.lags]) / math.log(world.s)
    truth = world.exponents()["beta"].value
    x = levels * math.log(world.s)
    slopes: dict[str, float | None] = {}
    for name in ("exact", "exact_frobenius_squared", "frobenius_squared", "norm_debiased"):
        values = _matrix(rows, "c", name)
        squares = values if name.endswith("squared") else values**2
        mean = squares.mean(axis=0)  # NaN where the norm is missing for a set of rules
        known = mean > 0
        slopes[name] = (
            -float(np.polyfit(x[known], np.log(mean[known]) / 2, 1)[0]) if known.sum() > 1 else None
        )
    return {"finite_v_law": truth, "large_v": world.exponents()["beta_large_v"].value,
            "rules": len(rows), **slopes}  # fmt: skip


def _versions(summaries: list[dict[str, Any]]) -> list[str]:
    """Lines that say by which versions of the estimators the draws were measured."""
    now = estimators()
    by_version: dict[str, list[str]] = {}
    for s in summaries:
        by_version.setdefault(", ".join(s["estimators"]), []).append(
            f"{s['case']} at {tokens_label(s['tokens'])}"
        )
    if list(by_version) == [now]:
        return [f"All draws were made with the estimators of this version ({now}).", ""]
    lines = ["Draws were made with these versions of the estimators (hashes of their code):", ""]
    for version in sorted(by_version, key=lambda v: v != now):
        mark = " (the present one)" if version == now else ""
        lines.append(f"- {version}{mark}: {'; '.join(by_version[version])}.")
    return [*lines, ""]


def _percent(x: float | None, digits: int = 1) -> str:
    return "–" if x is None else f"{100 * x:.{digits}f}"


def _number(x: float | None, form: str = ".4g") -> str:
    return "–" if x is None else format(x, form)


def tokens_label(n: int) -> str:
    """A number of tokens such as 4·10^6."""
    exponent = int(math.log10(n))
    lead = n / 10**exponent
    return f"10^{exponent}" if lead == 1 else f"{lead:g}·10^{exponent}"


def markdown(summaries: list[dict[str, Any]]) -> str:
    """The whole report as Markdown."""
    lines = [
        "# Calibration",
        "",
        "Made by `python -m benchmarks.calibration`; the same numbers and more are in "
        "`results/calibration.json`. Intervals are nominal 95 %. Bias and error of norms in per "
        "cent of the exact norm, of entropies in 10^-4 nats. Coverage counts valid lags and "
        "resolved contexts only, in the draws where they are.",
        "",
        *_versions(summaries),
        *_exponent_section(summaries),
        *_hierarchy_paragraphs(summaries),
        *_null_section(summaries),
        *_norm_section(summaries),
        *_entropy_section(summaries),
    ]
    return "\n".join(lines) + "\n"


def _exponent_section(summaries: list[dict[str, Any]]) -> list[str]:
    """Estimates of the exponents against their targets."""
    lines = [
        "## Exponents",
        "",
        "`target` is the slope of the exact curve over the window that the estimate used (for "
        "gamma the exact exponent, for alpha that over twice beta's target); `truth` is the "
        "exponent of the world.",
        "",
        "| world | tokens | draws | exponent | reportable % | mean | target | truth | rms error to "
        "target | coverage % | why refused most often |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for s in summaries:
        for name in ("beta", "beta_sequential", "gamma", "alpha"):
            if name not in s:
                continue
            e = s[name]
            why = next(iter(e["reasons"]), "")
            lines.append(
                f"| {s['case']} | {tokens_label(s['tokens'])} | {s['draws']} | {name} "
                f"| {_percent(e['reportable'], 0)} | {_number(e['mean'])} "
                f"| {_number(e['mean_target'])} | {_number(e['truth'])} "
                f"| {_number(e['rmse_to_target'], '.3f')} | {_percent(e['coverage'])} | {why} |"
            )
    return lines


def _hierarchy_paragraphs(summaries: list[dict[str, Any]]) -> list[str]:
    """Slopes of the last-token norms of random hierarchies."""
    lines: list[str] = []
    for s in summaries:
        if "beta_last_token" in s:
            e = s["beta_last_token"]
            lines += [
                "",
                f"{s['case']}, {tokens_label(s['tokens'])} tokens, {e['rules']} sets of rules, "
                f"last token, lags up to {s['norms'][-1]['lag']}: beta of the Frobenius norm, root "
                f"mean square over rules, {_number(e['frobenius_squared'], '.3f')} (exact curves "
                f"{_number(e['exact_frobenius_squared'], '.3f')}; finite-v law "
                f"{e['finite_v_law']:.3f}); of the debiased largest singular value, where it is "
                f"found for all rules, {_number(e['norm_debiased'], '.3f')} (exact curves, all "
                f"lags, {_number(e['exact'], '.3f')}; large v {e['large_v']:.3f}).",
            ]
    return lines


def _null_section(summaries: list[dict[str, Any]]) -> list[str]:
    """Worlds of independent tokens."""
    lines = ["", "## No correlation at all"]
    for s in summaries:
        if "null" in s:
            e = s["null"]
            lines += [
                "",
                f"{s['case']}, {tokens_label(s['tokens'])} tokens: some of {e['lags']} lags valid "
                f"in {e['draws_with_a_valid_lag']} of {s['draws']} draws; noise floor times the "
                f"root of the pairs {e['noise_constant']:.4f}, by theory "
                f"{e['noise_constant_theory']:.4f} (1.25 sqrt(p_max) = "
                f"{e['noise_constant_approximation']:.4f}).",
            ]
    return lines


def _norm_section(summaries: list[dict[str, Any]]) -> list[str]:
    """Bias, error and coverage of the norms, one table for each case and size."""
    lines = ["", "## Norms"]
    for s in summaries:
        if "norms" not in s:
            continue
        lines += [
            "",
            f"### {s['case']}, {tokens_label(s['tokens'])} tokens, {s['draws']} draws"
            + (f" ({s['note']})" if s["note"] else ""),
            "",
            "| lag | exact | exact / floor | bias (rms error) % of norm | of cross-fitted | of "
            "debiased | of sequential | of sequential debiased | valid % | coverage % (draws) |",
            "|---|---|---|---|---|---|---|---|---|---|",
        ]
        for row in s["norms"]:
            cells = [
                f"{_percent(row[name]['bias'])} ({_percent(row[name]['rmse'])})"
                if row["exact"] and row[name]["bias"] is not None
                else "–"
                for name in (
                    "norm",
                    "norm_crossfit",
                    "norm_debiased",
                    "norm_sequential",
                    "norm_sequential_debiased",
                )
            ]
            lines.append(
                f"| {row['lag']} | {_number(row['exact'])} "
                f"| {_number(row['exact_over_floor'], '.2f')} | {' | '.join(cells)} "
                f"| {_percent(row['valid'], 0)} | {_percent(row['coverage'])} "
                f"({row['covered_draws']}) |"
            )
    return lines


def _entropy_section(summaries: list[dict[str, Any]]) -> list[str]:
    """Bias, error and coverage of the entropies, one table for each case and size."""
    lines = ["", "## Entropies"]
    for s in summaries:
        if "entropies" not in s:
            continue
        lines += [
            "",
            f"### {s['case']}, {tokens_label(s['tokens'])} tokens, {s['draws']} draws"
            + (f" ({s['note']})" if s["note"] else ""),
            "",
            "| n | exact H_n | bias (rms error), 10^-4 nats: plug-in | Miller-Madow | Chao-Shen | "
            "held out | estimate | resolved % | coverage % (draws) |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        for row in s["entropies"]:
            cells = [
                f"{1e4 * row[name]['bias']:.1f} ({1e4 * row[name]['rmse']:.1f})"
                for name in ("plug_in", "miller_madow", "chao_shen", "held_out", "estimate")
            ]
            lines.append(
                f"| {row['context']} | {_number(row['exact'], '.5f')} | {' | '.join(cells)} "
                f"| {_percent(row['resolved'], 0)} | {_percent(row['coverage'])} "
                f"({row['covered_draws']}) |"
            )
    return lines
