"""The losses of a pretrained model, as text."""

from __future__ import annotations

import math

from ngramstat.report.text import count, plain, table, wrap
from ngramstat.results import ReadingResult

__all__ = ["summarize_reading"]


def summarize_reading(result: ReadingResult) -> str:
    """A headline, losses at contexts that double, and what to keep in mind."""
    curve, settings = result.table, result.settings
    learner = plain(curve.learner or "model")
    known = "" if math.isnan(curve.tokens[0]) else f", trained on {count(curve.tokens[0])} tokens"
    lines = wrap(
        f"{learner}{known}: {count(settings['tokens'])} tokens read in "
        f"{count(settings['windows'])} windows of {settings['context']} tokens. Losses in nats per "
        "token, with standard errors:",
        indent=0,
    )
    contexts = curve.context.tolist()
    last = contexts[-1]
    shown = [i for i, n in enumerate(contexts) if n == last or n & (n - 1) == 0]
    errors = [math.nan] * len(contexts) if curve.error is None else curve.error.tolist()
    lines += table(
        [
            ("context", [str(contexts[i]) for i in shown]),
            ("loss", [f"{curve.loss[i]:.4f}" for i in shown]),
            ("error", ["" if math.isnan(errors[i]) else f"{errors[i]:.4f}" for i in shown]),
        ]
    )
    for note in result.notes:
        lines += wrap(plain(note), indent=0)
    return "\n".join(lines)
