"""Corpora: opening token stores of many formats, and tokenizing text into new ones."""

from __future__ import annotations

from ngramstat.corpus.corpus_writer import CorpusWriter
from ngramstat.corpus.held_out import open_held_out
from ngramstat.corpus.inspect import Inspection, inspect
from ngramstat.corpus.store import Corpus
from ngramstat.corpus.tokenizing.tokenize import tokenize

__all__ = ["Corpus", "CorpusWriter", "Inspection", "inspect", "open_held_out", "tokenize"]
