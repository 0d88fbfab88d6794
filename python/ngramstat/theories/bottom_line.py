"""What a panel of theories comes to, in two sentences."""

from __future__ import annotations

from collections.abc import Sequence

from ngramstat.results import RunResult, TheoryRow

__all__ = ["UNIFORM_RULES", "bottom_line", "family_of"]

# A row with the same number as the horizon theory, from the same statistics: it is not counted as
# another theory.
UNIFORM_RULES = "hierarchy, uniform rules"

_OF_THE_PAPER = "The horizon theory, gamma / (2 beta),"
# What the horizon theory needs of a text.
_NEEDED = {
    "beta": "how fast correlations fall with the distance of tokens (beta)",
    "gamma": "how fast the next token becomes predictable with context (gamma)",
}


def family_of(row: TheoryRow) -> str:
    """The theory of a row: rows of several k, regimes or sizes belong to one."""
    return row.name.split(",")[0]


def bottom_line(rows: Sequence[TheoryRow], run: RunResult) -> str:
    """Which theories give a number, which of them measured losses agree with, and the horizon's.

    Parameters
    ----------
    rows : sequence of TheoryRow
        All rows of the panel, with their agreement.
    run : RunResult

    Returns
    -------
    str
        Two sentences.
    """
    predictions = [row for row in rows if row.kind == "prediction" and row.name != UNIFORM_RULES]
    measured = [row for row in rows if row.kind == "measured"]
    agreement = _agreement(predictions, measured) if measured else ""
    horizon = [row for row in predictions if family_of(row) == "horizon"]
    known = any(row.exponent.reportable for row in measured)
    return f"{_numbers(predictions)}{agreement}. {_horizon(horizon, run, measured=known)}"


def _numbers(predictions: Sequence[TheoryRow]) -> str:
    """How many theories give a number, and between which these lie."""
    theories = {family_of(row) for row in predictions}
    known = [
        (row.exponent.value, _named(row))
        for row in predictions
        if row.exponent.reportable and row.exponent.value is not None
    ]
    giving = {family_of(row) for row in predictions if row.exponent.reportable}
    if not known:
        return f"None of the {len(theories)} theories gives a number for this text"
    (low, lowest), (high, highest) = min(known), max(known)
    if len(known) == 1:
        return (
            f"1 of {len(theories)} theories gives a number for this text, {lowest} with {low:.3f}"
        )
    verb = "gives numbers" if len(giving) == 1 else "give numbers"
    return (
        f"{len(giving)} of {len(theories)} theories {verb} for this text, from {low:.3f} "
        f"({lowest}) to {high:.3f} ({highest})"
    )


def _named(row: TheoryRow) -> str:
    """The name of a row with commas only between rows."""
    family, _, variant = row.name.partition(", ")
    return f"{family} with {variant}" if variant else family


def _agreement(predictions: Sequence[TheoryRow], measured: Sequence[TheoryRow]) -> str:
    """Which theories measured losses agree with; rows that cannot be compared count for neither."""
    agreeing = [row for row in predictions if row.agreement == "consistent"]
    agree = {family_of(row) for row in agreeing}
    differing = list(
        dict.fromkeys(
            family_of(row)
            for row in predictions
            if row.agreement == "inconsistent" and family_of(row) not in agree
        )
    )
    said = []
    if agreeing:
        said.append(f"agree with {_listed([_named(row) for row in agreeing])}")
    if differing:
        said.append(f"disagree with {_listed(differing)}")
    if said:
        return f"; the measured losses {' and '.join(said)}"
    # All but one slope at finite P are about the loss above its limit.
    limits = [row for row in measured if row.name.endswith("limit")]
    known = any(row.exponent.reportable for row in limits)
    why = "" if known else ", since the limit that these approach is uncertain"
    return f"; whether one of them agrees with the measured losses cannot be told{why}"


def _listed(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _horizon(rows: Sequence[TheoryRow], run: RunResult, *, measured: bool) -> str:
    """Whether the horizon theory gives a number, and if not why, and what to go by."""
    known = [row for row in rows if row.exponent.reportable]
    limit = [row for row in known if row.name == "horizon"]
    if limit:
        return f"{_OF_THE_PAPER} gives {limit[0].exponent.value:.3f}."
    why = _why_no_horizon(run)
    if known:
        return (
            f"{_OF_THE_PAPER} gives only what belongs to a corpus of this size, "
            f"{known[0].exponent.value:.3f}, because {why}."
        )
    instead = (
        "go by the measured losses"
        if measured
        else "losses of small models trained on it say more (`ngramstat measure --train`)"
    )
    return f"{_OF_THE_PAPER} gives none, because {why}: {instead}."


def _why_no_horizon(run: RunResult) -> str:
    if run.correlations is None or run.entropies is None:
        return "the run has not measured both correlations and entropies"
    exponents = {"beta": run.correlations.beta, "gamma": run.entropies.gamma}
    unknown = [_NEEDED[name] for name, e in exponents.items() if e is None or not e.reportable]
    if not unknown:
        return "its formula has no definite value there"
    if len(unknown) == 1:
        return f"{unknown[0]} cannot be told from this text"
    return f"neither {' nor '.join(unknown)} can be told from this text"
