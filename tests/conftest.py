"""Fixtures named by the axis they vary, and the corpora that some tests need."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# No deadline: on shared machines the time of an example varies for other reasons.
settings.register_profile("ngramstat", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ngramstat")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(params=[np.uint16, np.uint32], ids=["uint16", "uint32"])
def token_dtype(request):
    return request.param


@pytest.fixture(params=[1, 2, 7], ids=lambda n: f"{n} threads")
def threads(request):
    return request.param


@pytest.fixture(scope="session")
def corpora() -> Path:
    """Directory of the shared corpora (Wikipedia, TinyStories), not part of the repository."""
    default = REPOSITORY.parent / "shared" / "corpora"
    directory = Path(os.environ.get("NGRAMSTAT_CORPORA", default))
    if not directory.is_dir():
        pytest.skip(f"the shared corpora are not at {directory}; point NGRAMSTAT_CORPORA at them")
    return directory


@pytest.fixture
def any_limit(monkeypatch):
    """Accept memory limits below what a run needs, so that every step has its smallest size."""
    monkeypatch.setattr("ngramstat.api.running.require_memory", lambda *_: None)
