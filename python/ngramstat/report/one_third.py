"""The toy of the one-third law as text and as a figure."""

from __future__ import annotations

import math

import numpy as np

from ngramstat.report.chart import Axis, Chart, Curve, Panel, Rule, Window
from ngramstat.report.text import estimate, plain, wrap
from ngramstat.results.one_third import OneThirdResult

__all__ = ["one_third_chart", "summarize_one_third"]


def summarize_one_third(result: OneThirdResult) -> str:
    """The result as plain text."""
    s, exponent = result.settings, result.exponent
    low, high = exponent.window or (math.nan, math.nan)
    inside = (result.rate_sum >= low) & (result.rate_sum <= high)
    scales = result.scale[inside] if inside.any() else result.scale
    lines = ["ONE-THIRD LAW  loss of a student on peaked targets against the summed learning rate"]
    lines += wrap(
        f"teacher of {s['inputs']} inputs and {s['vocab_size']} tokens at temperature "
        f"{s['temperature']:g}; student from zero, {s['optimizer']} at rate {s['rate']:g}, "
        f"{s['steps']} steps of {s['batch']}",
        indent=2,
    )
    lines += wrap(
        f"the loss falls as tau^-{estimate(exponent)} from tau = {low:.3g} to {high:.3g}; the "
        f"law has 0.333. It falls from {result.losses[inside][0]:.3g} to "
        f"{result.losses[inside][-1]:.3g} nats",
        indent=2,
    )
    if exponent.reason:
        lines += wrap(f"not reportable: {plain(exponent.reason)}", indent=2)
    chance = math.sqrt(2 * math.log(s["vocab_size"]))
    lines += wrap(
        f"the student's logits have {scales[0]:.1f} to {scales[-1]:.1f} times the teacher's before "
        f"the temperature; the law holds between chance, {chance:.1f}, and the teacher, "
        f"{1 / s['temperature']:.0f}: {'within' if result.law_holds else 'NOT within'} its range",
        indent=2,
    )
    if s["optimizer"] == "adam":
        lines += wrap(
            "Adam divides each step by the size of the gradients, which shrink with the loss: the "
            "law, of gradient flow, is not its law",
            indent=2,
        )
    return "\n".join(lines) + "\n"


def one_third_chart(result: OneThirdResult) -> Chart:
    """Losses against the summed learning rate, with the law, and the student's scale."""
    low, high = result.exponent.window or (float(result.rate_sum[0]), float(result.rate_sum[-1]))
    inside = (result.rate_sum >= low) & (result.rate_sum <= high)
    tau, losses = result.rate_sum[inside], result.losses[inside]
    middle = len(tau) // 2
    law = losses[middle] * (tau / tau[middle]) ** (-1 / 3)
    temperature = result.settings["temperature"]
    return Chart(
        title="The one-third law",
        description="Loss of the student and scale of its logits against the summed learning rate.",
        panels=(
            Panel(
                title="Loss",
                x=Axis(label="summed learning rate"), y=Axis(label="divergence, nats"),
                marks=[
                    Window(low=low, high=high, name="fitted"),
                    Curve(name="student", x=result.rate_sum, y=result.losses),
                    Curve(name="law, exponent 1/3", x=tau, y=law, colour="red", marker="",
                          stroke="dashed"),
                ],
            ),
            Panel(
                title="Scale of the logits",
                x=Axis(label="summed learning rate"),
                y=Axis(label="scale, teacher before the temperature = 1"),
                marks=[
                    Curve(name="student", x=result.rate_sum, y=np.maximum(result.scale, 1e-6)),
                    Rule(name="teacher", at=1 / temperature, horizontal=True, colour="green"),
                ],
            ),
        ),
    )  # fmt: skip
