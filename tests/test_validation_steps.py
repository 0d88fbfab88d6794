"""The steps of `ngramstat validate` that need no torch, and what happens without it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

import ngramstat
from ngramstat.cli import main
from ngramstat.synthetic import MarkovChain, synthesize
from ngramstat.validation import default_sizes
from ngramstat.validation.comparison import alpha_above_known_limit


def test_every_public_name_is_there_without_torch():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import ngramstat, pydoc\n"
        "from ngramstat import *\n"
        "missing = [n for n in ngramstat.__all__ if n not in globals()]\n"
        "assert not missing, missing\n"
        "assert 'validate' in pydoc.render_doc(ngramstat, renderer=pydoc.plaintext)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_torch_validate_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    world = MarkovChain.random(
        vocab_size=8, order=1, concentration=1.0, rules_seed=3, document_length=100
    )
    corpus = synthesize(world, tmp_path / "corpus", tokens=8000, seed=1)
    with pytest.raises(ngramstat.NgramstatError, match=r"pip install 'ngramstat\[torch\]'"):
        ngramstat.validate(corpus, output=tmp_path / "v")
    arguments = ["--quiet", "validate", str(tmp_path / "corpus"), "-o", str(tmp_path / "v")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert "pip install 'ngramstat[torch]'" in result.stderr


def test_alpha_above_a_known_limit_uses_sizes_on_the_staircase():
    """Sizes before the lowest level is learned, and those at the limit, are left out."""
    entropies = [2.0, 1.0, 0.4, 0.16, 0.1]
    p = 1000.0 * 2 ** np.arange(10)
    y = np.concatenate([[1.9, 1.7, 1.3], 0.1 + 0.8 * (p[3:8] / p[3]) ** -0.9, [0.1005, 0.0998]])
    draws = np.random.default_rng(1).normal(y, 0.002, (400, 10))
    result = alpha_above_known_limit(entropies, p, y, draws, 0.95)
    assert result.value == pytest.approx(0.9, abs=0.02)
    assert result.window == (p[3], p[7])
    assert result.low < 0.9 < result.high
    assert result.alternatives[0].window == (p[0], p[-1])
    assert alpha_above_known_limit([], p, y, draws, 0.95).value is None


def test_default_sizes_double():
    assert default_sizes(1_000_000) == (100_000, 200_000, 400_000, 800_000)
    assert default_sizes(10) == (100_000,)
    assert np.all(np.diff(np.log2(default_sizes(10**9))) == 1)
