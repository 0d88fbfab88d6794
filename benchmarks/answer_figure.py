"""The picture of an answer in the README: losses of trained models, and what is expected beyond.

    python -m benchmarks.answer_figure RUN docs/answer.png

RUN is a finished `measure --train`, whose directory holds the losses of the trained models.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from ngramstat.api import predict_run
from ngramstat.prediction.learner_curves import best_learner, read_learners
from ngramstat.prediction.measured import losses_of_all_contexts

BLUE, ORANGE = "#0072b2", "#d55e00"
# Bands of the forecast are tested up to so many times the largest measured size.
TESTED = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    learner = best_learner(read_learners(options.run / "train"))
    assert learner is not None
    tokens, losses = losses_of_all_contexts(learner.table)
    goal = np.geomspace(tokens[0], TESTED * tokens[-1], 40)
    run = predict_run(options.run, tokens=goal.tolist())
    assert run.answer is not None
    expected = [p for p in run.forecast if p.route == "curves" and p.loss is not None]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    p = np.array([point.tokens for point in expected])
    left.fill_between(
        p,
        [point.low for point in expected],
        [point.high for point in expected],
        color=ORANGE,
        alpha=0.2,
        label="its 95% band",
    )
    left.plot(p, [point.loss for point in expected], color=ORANGE, label="expected")
    left.plot(tokens, losses, "o", color=BLUE, label="trained models")
    left.set_xscale("log")
    left.set_yscale("log")
    left.set_yticks([1.5, 2, 3, 4], ["1.5", "2", "3", "4"])
    left.minorticks_off()
    left.set_xlabel("training tokens")
    left.set_ylabel("loss, nats per token")
    left.set_title("Loss against training tokens")
    left.legend(frameon=False)
    rows = [rung for rung in run.answer.rungs if rung.low is not None and rung.high is not None]
    names = {"curves": "predicted from\ntrained models", "counts": "counts alone",
             "counted": "predicted from\nn-gram losses"}  # fmt: skip
    shown = run.answer.rungs[0]
    spans = [("measured on\ntrained models", shown.shown, shown.shown_low, shown.shown_high, True)]
    spans += [(names.get(r.rung, r.rung), r.alpha, r.low, r.high, r.reportable) for r in rows]
    for y, (_, value, low, high, reportable) in enumerate(reversed(spans)):
        right.plot([low, high], [y, y], color=BLUE, lw=4, alpha=1 if reportable else 0.35)
        if value is not None:
            right.plot(value, y, "o", color=BLUE, mfc=BLUE if reportable else "white")
    right.set_yticks(range(len(spans)), [name for name, *_ in reversed(spans)])
    right.set_xlim(0, None)
    right.set_xlabel("alpha (pale: checks not passed)")
    right.set_title("What bears on alpha")
    figure.savefig(options.output, dpi=110)


if __name__ == "__main__":
    main()
