"""Opening a model of any kind."""

from __future__ import annotations

from os import PathLike

from ngramstat.ngram_models.backoff_model import BackoffModel
from ngramstat.ngram_models.mixture.files import is_mixture
from ngramstat.ngram_models.mixture.model import MixtureModel
from ngramstat.ngram_models.model import LanguageModel
from ngramstat.runtime.arguments import as_path

__all__ = ["load_model"]


def load_model(path: str | PathLike[str], *, verify: bool = False) -> LanguageModel:
    """Open a file that ``save`` of any model has written.

    Parameters
    ----------
    path
    verify : bool
        Read all of a mapped model and compare it with its checksums; of a mixture all is read
        anyway.

    Raises
    ------
    InputError
        The file is no model, is damaged, truncated or of another version.
    """
    path = as_path("path", path)
    return MixtureModel.load(path) if is_mixture(path) else BackoffModel.load(path, verify=verify)
