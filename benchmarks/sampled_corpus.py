"""A corpus of any size with the trigram statistics of a given one.

    python benchmarks/sampled_corpus.py CORPUS --tokens 1e9 -o OUT

The next token is the one that follows a random occurrence of the last two tokens in CORPUS. So
trigrams have the frequencies of CORPUS (including separators, which end documents), and there are
no correlations beyond those of trigrams. For measuring speed and memory, not exponents.
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
BLOCK = 250  # steps buffered before they are written


def draw(corpus: ngramstat.Corpus, tokens: int, out: np.ndarray, seed: int) -> None:
    """Fill `out`, (walkers, steps), with one random walk per row."""
    stream = np.asarray(corpus.tokens)
    order, lcp = suffix_array(
        stream, corpus.vocab_size, depth=2, backward=True, threads=available_threads()
    )
    begins = np.flatnonzero(np.concatenate([[True], lcp[1:] < 2])).astype(np.int32)
    sizes = np.diff(begins, append=len(stream)).astype(np.int32)
    # group[i]: the group of positions in `order` whose bigram equals the one that ends at i.
    group = np.empty(len(stream), np.int32)
    group[order] = np.repeat(np.arange(len(begins), dtype=np.int32), sizes)
    positions = order.astype(np.int32)
    del order, lcp
    rng = np.random.default_rng(seed)
    at = rng.integers(1, len(stream) - 1, len(out))
    steps = out.shape[1]
    buffer = np.empty((BLOCK, len(out)), stream.dtype)
    with Progress(tokens, "Draw", unit="tok", enabled=True) as bar:
        for first in range(0, steps, BLOCK):
            n_steps = min(BLOCK, steps - first)
            for k in range(n_steps):
                groups = group[at]
                jump = begins[groups] + (rng.random(len(at)) * sizes[groups]).astype(np.int32)
                # Nothing follows the last position; a walk that reaches it continues at the first.
                at = (positions[jump].astype(np.int64) + 1) % len(stream)
                buffer[k] = stream[at]
            out[:, first : first + n_steps] = buffer[:n_steps].T
            bar.advance(n_steps * len(out))


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
    n_tokens = int(options.tokens)
    walkers = max(1, min(WALKERS, n_tokens // 1000))
    steps = -(-n_tokens // walkers)
    Path(options.output).parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=Path(options.output).parent) as file:
        out = np.memmap(file, corpus.dtype, mode="w+", shape=(walkers, steps))
        draw(corpus, n_tokens, out, options.seed)
        stream = out.reshape(-1)[:n_tokens]
        with CorpusWriter(
            options.output, corpus.vocab_size, corpus.dtype, corpus.separator
        ) as writer:
            begin, part = 0, 1 << 24
            while begin < n_tokens:
                piece = stream[begin : begin + part]
                ends = np.flatnonzero(piece == corpus.separator)
                if begin + part >= n_tokens:  # the last document ends with the stream
                    ends = np.append(ends, len(piece))
                starts = np.concatenate([[0], ends[:-1] + 1])
                writer.append_batch(
                    [piece[s:e] for s, e in zip(starts.tolist(), ends.tolist(), strict=True)]
                )
                begin += int(ends[-1]) + 1
            print(writer.finish())


if __name__ == "__main__":
    main()
