"""Checks the predicted alpha against trained transformers.

The steps, in order: `design` decides what to train on, `ngramstat.lm` trains, `trained` collects
the losses, `comparison` fits alpha to them and compares it with the prediction or with the `known`
exponents of a synthetic world, `gates` checks whether the losses can be trusted, and `verdict`
puts the result together. `experiment` runs all of it. torch is imported when training starts.
"""

from __future__ import annotations

from ngramstat.validation.design import default_sizes
from ngramstat.validation.experiment import validate
from ngramstat.validation.measured_with_models import measure_trained

__all__ = ["default_sizes", "measure_trained", "validate"]
