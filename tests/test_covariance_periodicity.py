"""Periodic structure found in the tokens: wraps, records, padding; and silence on ordinary ones."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ngramstat
from ngramstat.corpus import Corpus
from ngramstat.covariance.periodicity import find_periods
from ngramstat.results import PeriodicKind
from ngramstat.synthetic import BroadcastTree, CopyProcess, IndependentTokens, MarkovChain, SantaFe

VOCAB = 500


def words(n: int, seed: int = 0) -> np.ndarray:
    """Tokens as frequent as words, without order; ids from 1."""
    p = 1.0 / np.arange(3, VOCAB + 2)
    return 1 + np.random.default_rng(seed).choice(VOCAB - 1, n, p=p / p.sum())


def corpus_of(tokens: np.ndarray, **options: Any) -> Corpus:
    return Corpus.from_arrays(tokens.astype(np.uint16), vocab_size=VOCAB, **options)


def lines(lengths: np.ndarray, seed: int = 0) -> Corpus:
    """Lines of these numbers of tokens, each ended by token 0."""
    text = words(int(lengths.sum()), seed)
    text[np.cumsum(lengths) - 1] = 0
    return corpus_of(text)


def test_wrapped_lines_are_found_without_a_tokenizer() -> None:
    rng = np.random.default_rng(1)
    lengths = rng.normal(17, 2, 8000).round().astype(int)
    lengths[::8] = rng.integers(2, 17, 1000)  # last lines of paragraphs
    (found,) = find_periods(lines(lengths))
    assert found.kind is PeriodicKind.LINES
    assert found.token == 0
    assert found.period == pytest.approx(17, abs=1)
    assert 0.7 < found.share <= 1
    assert "token 0" in found.finding
    assert "unwrap" in found.remedy
    assert found.repeats_at(16)
    assert not found.repeats_at(8)


def test_records_are_found_with_and_without_an_end() -> None:
    rng = np.random.default_rng(2)
    (ended,) = find_periods(lines(np.full(5000, 9)))
    assert (ended.kind, ended.token, ended.period) == (PeriodicKind.RECORDS, 0, 9)
    # Seven fields, each with values of its own.
    fields = np.minimum(rng.zipf(1.5, (20_000, 7)), 50) + 60 * np.arange(7)
    (found,) = find_periods(corpus_of(fields.ravel()))
    assert (found.kind, found.period, found.low, found.high) == (PeriodicKind.RECORDS, 7, 7, 7)
    assert found.share > 0.5


def test_padding_and_packed_documents_are_found() -> None:
    rng = np.random.default_rng(3)
    text = words(200_000)
    pieces = np.split(text, np.sort(rng.choice(len(text), 400, replace=False)))
    padded = np.concatenate([np.append(p, np.zeros(-len(p) % 512, int)) for p in pieces])
    (padding,) = find_periods(corpus_of(padded))
    assert (padding.kind, padding.token) == (PeriodicKind.PADDING, 0)
    assert padding.share == pytest.approx(np.mean(padded == 0), abs=0.02)
    assert not padding.repeats_at(1)
    packed = words(256_000)
    packed[255::256] = 0
    ends = np.arange(256, len(packed) + 1, 256)
    (documents,) = find_periods(corpus_of(packed, separator=0, document_ends=ends))
    assert (documents.kind, documents.period) == (PeriodicKind.DOCUMENTS, 256)


@pytest.mark.parametrize(
    "world",
    [
        BroadcastTree.with_beta(0.9, 8, 2, 12, 0.0),
        CopyProcess(document_length=2000),
        IndependentTokens(300, 1.0),
        IndependentTokens(2, 1.0),
        MarkovChain(
            np.eye(4) * 0.95 + 0.05 * np.random.default_rng(0).dirichlet(np.ones(4), 4),
            document_length=2000,
        ),
        SantaFe(0.43, 3.18, kinds=400, document_length=5000),
    ],
    ids=lambda world: world.kind,
)
def test_silent_on_worlds(world: ngramstat.synthetic.World) -> None:
    assert find_periods(world.corpus(300_000, seed=1)) == ()


def test_silent_on_irregular_lines() -> None:
    """Lines as long as sentences or as lines of code: distances vary."""
    rng = np.random.default_rng(4)
    assert find_periods(lines(1 + rng.geometric(1 / 15, 8000))) == ()
    assert find_periods(lines(2 + rng.gamma(4, 4, 8000).astype(int))) == ()


def test_wrapped_text_is_named_by_its_text_and_refused_with_the_reason(tmp_path: Path) -> None:
    """Random words with a tokenizer: silent as they are, found when wrapped at 70 columns."""
    rng = np.random.default_rng(5)
    vocabulary = ["".join(rng.choice(list("abcdefghij"), rng.integers(2, 9))) for _ in range(300)]
    p = 1.0 / np.arange(2, 302)
    plain, wrapped = [], []
    for _ in range(150):
        paragraphs = [
            " ".join(rng.choice(vocabulary, rng.integers(40, 160), p=p / p.sum())) for _ in range(6)
        ]
        plain.append("\n".join(paragraphs))
        wrapped.append("\n".join(textwrap.fill(part, 70) for part in paragraphs))
    results = []
    for name, texts in (("plain", plain), ("wrapped", wrapped)):
        source = tmp_path / f"{name}.jsonl"
        source.write_text("\n".join(json.dumps({"text": text}) for text in texts))
        ngramstat.tokenize([source], tmp_path / name, vocab_size=400)
        results.append(Corpus.open(tmp_path / name))
    assert find_periods(results[0]) == ()
    (found,) = find_periods(results[1])
    assert found.kind is PeriodicKind.LINES
    assert found.text is not None
    assert "\n" in found.text
    assert '"\\n"' in found.finding
    lags = sorted({1, 2, 3, 4, 6, 8, *range(10, 30, 2), 40})
    measured = ngramstat.correlations(results[1], lags=lags, replicates=99, sequential=False)
    assert measured.periodic.structures[0].finding == found.finding
    assert not measured.beta.reportable
    assert "the norm has a peak at lag" in str(measured.beta.reason)
    assert "unwrap the lines" in str(measured.beta.reason)
    assert (
        type(measured).from_dict(measured.to_dict()).periodic.structures[0].kind
        is PeriodicKind.LINES
    )
