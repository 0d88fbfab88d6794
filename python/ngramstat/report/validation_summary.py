"""A validation as compact terminal text: the verdict first."""

from __future__ import annotations

from ngramstat.report.text import GATE_MARKS, count, estimate, gate_text, plain, scope, table, wrap
from ngramstat.results import Exponent, ValidationResult

__all__ = ["summarize_validation"]


def summarize_validation(result: ValidationResult) -> str:
    """The verdict, the comparisons, the losses, the gates and the runs, as plain text.

    At most 100 columns wide, without control codes.
    """
    lines = [f"VERDICT  {result.outcome}", *wrap(result.meaning, indent=2)]
    lines += ["", *_comparisons(result), "", *_losses(result)]
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
