"""Writer of the package's own corpus directories."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from ngramstat.corpus.corpus_writer import CorpusWriter
from ngramstat.corpus.formats import METADATA_FILE
from ngramstat.corpus.store import Corpus
from ngramstat.corpus.writers.writer import SeparatedStream, WriteOptions, Writer

__all__ = ["CORPUS"]


def _outputs(path: Path) -> list[Path]:
    return [path / METADATA_FILE] if path.is_dir() else [path]


def _bytes_needed(corpus: Corpus, options: WriteOptions) -> int:
    stream = SeparatedStream(corpus)
    return stream.max_tokens * options.dtype.itemsize + 8 * corpus.n_documents + (1 << 16)


def _write(corpus: Corpus, path: Path, options: WriteOptions) -> list[Path]:
    tokenizer = None if corpus.tokenizer_path is None else corpus.tokenizer_path.read_bytes()
    separator = corpus.separator
    with CorpusWriter(
        path,
        max(corpus.vocab_size, 0 if separator is None else separator + 1),
        options.dtype,
        None if corpus.document_ends is None else separator,
        tokenizer=tokenizer,
        overwrite=True,  # the registry has refused to replace one unasked
    ) as writer:
        if corpus.tokenization is not None:
            writer.tokenization = dict(corpus.tokenization)
        # The writer adds the separators itself.
        tail = 0 if separator is None else 1
        for ids, ends in SeparatedStream(corpus).documents():
            cuts = [0, *ends.tolist()]
            if ends.size:
                writer.append_batch([ids[low : high - tail] for low, high in pairwise(cuts)])
            else:
                writer.write(ids)
        writer.finish()
    return [path]


CORPUS = Writer("corpus", "ngramstat corpus directory", _outputs, _bytes_needed, _write)
