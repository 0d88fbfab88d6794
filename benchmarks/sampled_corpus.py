"""A corpus of any size that looks like a given one: drawn from its trigrams.

    python benchmarks/sampled_corpus.py CORPUS --tokens 1e9 -o OUT

The next token is what follows a random one of all places in CORPUS with the last two tokens, so
trigrams have the frequencies of CORPUS (separators included, which end documents) and nothing is
correlated beyond what they carry. For measuring speed and memory, not exponents.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

import ngramstat
from ngramstat.corpus import CorpusWriter
from ngramstat.kernels import suffix_array
from ngramstat.runtime.progress import Progress
from ngramstat.runtime.resources import available_threads

WALKERS = 50_000
BLOCK = 250  # steps kept before they are written


def draw(corpus: ngramstat.Corpus, tokens: int, out: np.ndarray, seed: int) -> None:
    """Fills out, (walkers, steps), with one walk a row."""
    text = np.asarray(corpus.tokens)
    order, lcp = suffix_array(
        text, corpus.vocab_size, depth=2, backward=True, threads=available_threads()
    )
    begins = np.flatnonzero(np.concatenate([[True], lcp[1:] < 2])).astype(np.int32)
    sizes = np.diff(begins, append=len(text)).astype(np.int32)
    # Where each position's group of equal bigrams lies in `order`.
    group = np.empty(len(text), np.int32)
    group[order] = np.repeat(np.arange(len(begins), dtype=np.int32), sizes)
    places = order.astype(np.int32)
    del order, lcp
    rng = np.random.default_rng(seed)
    at = rng.integers(1, len(text) - 1, len(out))
    steps = out.shape[1]
    buffer = np.empty((BLOCK, len(out)), text.dtype)
    with Progress(tokens, "Draw", unit="tok", enabled=True) as bar:
        for first in range(0, steps, BLOCK):
            here = min(BLOCK, steps - first)
            for k in range(here):
                mine = group[at]
                jump = begins[mine] + (rng.random(len(at)) * sizes[mine]).astype(np.int32)
                # Nothing follows the last place of all: that walk begins anew.
                at = (places[jump].astype(np.int64) + 1) % len(text)
                buffer[k] = text[at]
            out[:, first : first + here] = buffer[:here].T
            bar.advance(here * len(out))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus")
    parser.add_argument("--tokens", type=float, required=True)
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    corpus = ngramstat.Corpus.open(options.corpus)
    if corpus.separator is None:
        raise SystemExit(f"{options.corpus}: has no separator to end documents with")
    wanted = int(options.tokens)
    walkers = max(1, min(WALKERS, wanted // 1000))
    steps = -(-wanted // walkers)
    Path(options.output).parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=Path(options.output).parent) as file:
        out = np.memmap(file, corpus.dtype, mode="w+", shape=(walkers, steps))
        draw(corpus, wanted, out, options.seed)
        stream = out.reshape(-1)[:wanted]
        with CorpusWriter(
            options.output, corpus.vocab_size, corpus.dtype, corpus.separator
        ) as writer:
            begin, part = 0, 1 << 24
            while begin < wanted:
                piece = stream[begin : begin + part]
                ends = np.flatnonzero(piece == corpus.separator)
                if begin + part >= wanted:  # the last document ends with the stream
                    ends = np.append(ends, len(piece))
                starts = np.concatenate([[0], ends[:-1] + 1])
                writer.append_batch(
                    [piece[s:e] for s, e in zip(starts.tolist(), ends.tolist(), strict=True)]
                )
                begin += int(ends[-1]) + 1
            print(writer.finish())


if __name__ == "__main__":
    main()
