"""How language-model loss will fall with data, from the text alone.

Two statistics of a token corpus, the covariances C(t) of tokens t apart and the next-token
entropies H(n) given n tokens, fall as t^-beta and n^-gamma; the data-limited loss then falls with
the number of training tokens P as P^-alpha with alpha = gamma / (2 beta) (Cagnetta, Raventos,
Ganguli and Wyart, ICML 2026).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ngramstat.version import __version__

# Where each public name lives. Loaded on first use, so that `import ngramstat` stays light.
_HOMES = {
    "Corpus": "ngramstat.corpus",
    "CorrelationResult": "ngramstat.results",
    "EntropyResult": "ngramstat.results",
    "Exponent": "ngramstat.results",
    "InputError": "ngramstat.errors",
    "NgramstatError": "ngramstat.errors",
    "Prediction": "ngramstat.results",
    "RunResult": "ngramstat.results",
    "ValidationResult": "ngramstat.results",
    "correlations": "ngramstat.api",
    "entropies": "ngramstat.api",
    "inspect": "ngramstat.corpus",
    "measure": "ngramstat.api",
    "plan": "ngramstat.api",
    "predict": "ngramstat.prediction.predict",
    "read_curves": "ngramstat.prediction.curve_files",
    "synthesize": "ngramstat.synthetic",
    "tokenize": "ngramstat.corpus",
    "validate": "ngramstat.validation",
}

if TYPE_CHECKING:
    from ngramstat.api import correlations, entropies, measure, plan
    from ngramstat.corpus import Corpus, inspect, tokenize
    from ngramstat.errors import InputError, NgramstatError
    from ngramstat.prediction.curve_files import read_curves
    from ngramstat.prediction.predict import predict
    from ngramstat.results import (
        CorrelationResult,
        EntropyResult,
        Exponent,
        Prediction,
        RunResult,
        ValidationResult,
    )
    from ngramstat.synthetic import synthesize
    from ngramstat.validation import validate

__all__ = [
    "Corpus",
    "CorrelationResult",
    "EntropyResult",
    "Exponent",
    "InputError",
    "NgramstatError",
    "Prediction",
    "RunResult",
    "ValidationResult",
    "__version__",
    "correlations",
    "entropies",
    "inspect",
    "measure",
    "plan",
    "predict",
    "read_curves",
    "synthesize",
    "tokenize",
    "validate",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'ngramstat' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
