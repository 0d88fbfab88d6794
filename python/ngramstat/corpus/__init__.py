"""Corpora: opening token stores of many formats, and making them from text."""

from __future__ import annotations

from ngramstat.corpus.store import Corpus, CorpusWriter

__all__ = ["Corpus", "CorpusWriter"]
