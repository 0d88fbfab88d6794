"""A validation as compact terminal text: the verdict first."""

from __future__ import annotations

from ngramstat.report.text import GATE_MARKS, count, estimate, gate_text, plain, scope, table, wrap
from ngramstat.results import AlternativeKind, Exponent, LearnerSlopes, ValidationResult

__all__ = ["summarize_validation"]


def summarize_validation(result: ValidationResult) -> str:
    """The verdict, the comparisons, the losses, the gates and the runs, as plain text.

    At most 100 columns wide, without control codes.
    """
    lines = [f"VERDICT  {result.outcome}", *wrap(result.meaning, indent=2)]
    lines += ["", *_comparisons(result), "", *_losses(result)]
    for learner in result.slopes:
        lines += ["", *_slopes(learner)]
    if result.time_exponent is not None:
        lines += ["", "TIME  training loss against summed learning rate (1/3 in Liu et al. 2026)"]
        lines += _exponent("largest P", result.time_exponent)
    lines += ["", "GATES"]
    for gate in result.gates:
        lines += wrap(
            f"{GATE_MARKS[gate.passed]} {gate.name}: {gate_text(gate)}", indent=2, hang=10
        )
    lines += ["", *_runs(result)]
    return plain("\n".join(lines)) + "\n"


def _comparisons(result: ValidationResult) -> list[str]:
    lines = ["ALPHA"]
    for comparison in result.comparisons:
        lines.append(f"  {comparison.name}: {comparison.outcome}")
        lines += _exponent("predicted", comparison.predicted)
        lines += _exponent("measured", comparison.measured)
    for name, value in result.known.items():
        if isinstance(value, dict) and value.get("value") is not None:
            lines += wrap(f"known {name}: {value['value']:.4g}", indent=2, hang=2)
    return lines


def _losses(result: ValidationResult) -> list[str]:
    rows = result.losses
    return [
        "LOSSES  held out, nats per target; * on the lower envelope",
        *table(
            [
                ("model", [r.model for r in rows]),
                ("T", [str(r.context) for r in rows]),
                ("P", [count(r.tokens) for r in rows]),
                ("loss", [f"{r.loss:.4f}" for r in rows]),
                ("interval", [_interval(r.low, r.high) for r in rows]),
                ("seeds", [str(r.seeds) for r in rows]),
                ("", ["*" if r.on_envelope else "" for r in rows]),
            ]
        ),
    ]


def _slopes(learner: LearnerSlopes) -> list[str]:
    """Raw slopes of one learner at every size, and alpha of its first sizes."""
    sizes = learner.sizes
    window = next((s.gamma.window for s in sizes if s.gamma.window is not None), None)
    contexts = "" if window is None else f", n = {window[0]:g} to {window[1]:g}"
    first = learner.alpha.alternatives_of(AlternativeKind.FIRST_POINTS)
    shown = [(a.points, a.value) for a in first] + [(len(sizes), learner.alpha.value)]
    by_number = ", ".join(f"{value:.3f} (first {m})" for m, value in shown if value is not None)
    return [
        *wrap(
            f"SLOPES  {learner.model}, T = {learner.context}: no limit subtracted; local: of the "
            f"losses since the size before; gamma: of the losses by context{contexts}, with the "
            "range over errors and windows",
            indent=0,
            hang=8,
        ),
        *table(
            [
                ("P", [f"{s.tokens:,.0f}" for s in sizes]),
                ("loss", [f"{s.loss:.3f}" for s in sizes]),
                ("local", ["-" if s.local is None else f"{s.local:.3f}" for s in sizes]),
                ("gamma", [estimate(s.gamma) for s in sizes]),
                ("gamma / (2 beta)", [estimate(s.predicted) for s in sizes]),
            ]
        ),
        *wrap(f"alpha by number of sizes: {by_number}", indent=2),
        *wrap(f"beta {estimate(learner.beta)} {scope(learner.beta)}", indent=2),
    ]


def _runs(result: ValidationResult) -> list[str]:
    runs = result.runs
    numbers = ", ".join(
        f"{runs[name]} {name.replace('_', ' ')}" for name in ("done", "diverged", "left_out")
    )
    lines = [f"RUNS  {numbers}"]
    if result.documents_are_blocks:
        lines += wrap("too few documents: equal blocks of the stream stood in for them", indent=2)
    if runs["left_out"]:
        sizes = ", ".join(count(p) for p in runs["left_out_sizes"])
        lines += wrap(
            f"left out because they do not fit the budget: sizes {sizes}, which need about "
            f"{runs['left_out_seconds']:,} s more",
            indent=2,
        )
    return lines


def _exponent(name: str, exponent: Exponent) -> list[str]:
    lines = [f"    {name:<10} {estimate(exponent):<23} {scope(exponent)}".rstrip()]
    lines += wrap(exponent.method, indent=6)
    if not exponent.reportable:
        lines += wrap(f"not reportable: {exponent.reason}", indent=6)
    return lines


def _interval(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"[{low:.4f}, {high:.4f}]"
