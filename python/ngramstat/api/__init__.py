"""The public functions: a corpus in, C(t), H(n), the exponents and a prediction out."""

from __future__ import annotations

from ngramstat.api.conclusion import TRAIN
from ngramstat.api.measurement import correlations, entropies, measure, plan, run
from ngramstat.api.options import MeasureOptions
from ngramstat.api.prediction import load_run, predict, predict_run
from ngramstat.api.theory_panel import theories
from ngramstat.results import PARTS, RUN_FILE, THEORIES_FILE

__all__ = [
    "PARTS",
    "RUN_FILE",
    "THEORIES_FILE",
    "TRAIN",
    "MeasureOptions",
    "correlations",
    "entropies",
    "load_run",
    "measure",
    "plan",
    "predict",
    "predict_run",
    "run",
    "theories",
]
