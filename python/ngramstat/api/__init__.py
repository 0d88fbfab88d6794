"""The public functions: a corpus in, C(t), H(n), the exponents and a prediction out."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ngramstat.api.conclusion import TRAIN
    from ngramstat.api.measurement import correlations, entropies, measure, plan
    from ngramstat.api.on_ray import run_on_ray
    from ngramstat.api.options import MeasureOptions
    from ngramstat.api.prediction import load_run, predict, predict_run
    from ngramstat.api.running import run, run_share
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
    "run_on_ray",
    "run_share",
    "theories",
]

# Modules are imported when one of their names is first used: what predicts from a finished run
# needs nothing of what measures.
_NAMES = {
    "ngramstat.api.conclusion": ("TRAIN",),
    "ngramstat.api.measurement": ("correlations", "entropies", "measure", "plan"),
    "ngramstat.api.on_ray": ("run_on_ray",),
    "ngramstat.api.options": ("MeasureOptions",),
    "ngramstat.api.prediction": ("load_run", "predict", "predict_run"),
    "ngramstat.api.running": ("run", "run_share"),
    "ngramstat.api.theory_panel": ("theories",),
    "ngramstat.results": ("PARTS", "RUN_FILE", "THEORIES_FILE"),
}


def __getattr__(name: str) -> Any:
    """Import a name on its first use (PEP 562)."""
    for module, names in _NAMES.items():
        if name in names:
            value = getattr(import_module(module), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
