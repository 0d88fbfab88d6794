"""Speed and memory of counts, of the index and of n-gram models, against the programs people use.

    python benchmarks/counts.py CORPUS [--rounds 3] [--only CASE] [--glove DIR] [--kenlm DIR]

interleaved.py tells how. Peers: GloVe's `cooccur` (--glove, the directory of its programs), `lmplz`
and `query` of KenLM (--kenlm) and its Python module, tokengrams and infini-gram (pip), NumPy and
SciPy. The last fiftieth of the corpus is held out where new text is needed. Writes
benchmarks/results/counts.json.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ngramstat
from interleaved import (
    HERE,
    Arm,
    Benchmark,
    Context,
    Result,
    if_built,
    if_installed,
    timed,
    timed_tokengrams,
)

WINDOW = 10
ORDER = 5
MIN_COUNT = 2
QUERIES = 100_000
FEW_QUERIES = 10_000
HELD_OUT_TOKENS = 1_000_000
THREADS = 2


def tokens_of(context: Context) -> NDArray[Any]:
    return np.array(context.corpus.tokens)


def rounded(values: NDArray[Any]) -> list[str]:
    """Sums to six digits: peers add floating-point numbers in another order."""
    values = np.asarray(values, np.float64)
    return [f"{values.sum():.5e}", f"{(values**2).sum():.5e}", str(len(values))]


# Co-occurrence --------------------------------------------------------------------------------


def our_cooccurrence(context: Context, threads: int) -> Result:
    seconds, matrix = timed(
        lambda: ngramstat.cooccurrence(
            context.corpus, window=WINDOW, weights="harmonic", symmetric=True, threads=threads
        )
    )
    return context.corpus.n_tokens, seconds, rounded(matrix.data)


def glove_cooccurrence(context: Context) -> Result:
    """All tokens on one line, so that windows run across documents as ours do."""
    tokens = tokens_of(context)
    text, vocabulary = context.work / "glove.txt", context.work / "glove-vocabulary.txt"
    if not text.exists():
        write_ids(text, tokens)
    counts = np.bincount(tokens, minlength=context.corpus.vocab_size)
    frequent = np.argsort(-counts, kind="stable")
    vocabulary.write_text("".join(f"{t} {counts[t]}\n" for t in frequent if counts[t]))
    output = context.work / "glove.bin"

    def run() -> None:
        with open(text, "rb") as source, open(output, "wb") as target:
            subprocess.run(
                [context.programs["glove"] / "cooccur", "-window-size", str(WINDOW), "-symmetric",
                 "1", "-memory", "4.0", "-verbose", "0", "-vocab-file", vocabulary,
                 "-overflow-file", context.work / "glove-overflow"],
                stdin=source, stdout=target, check=True,
            )  # fmt: skip

    seconds, _ = timed(run)
    record = np.dtype([("row", "<i4"), ("column", "<i4"), ("value", "<f8")])
    return len(tokens), seconds, rounded(np.fromfile(output, record)["value"])


def scipy_cooccurrence(context: Context) -> Result:
    from scipy.sparse import coo_array, csr_array

    tokens, size = tokens_of(context).astype(np.int32), context.corpus.vocab_size

    def count() -> Any:
        total = csr_array((size, size))
        for lag in range(1, WINDOW + 1):
            weight = np.full(len(tokens) - lag, 1 / lag)
            total = total + coo_array((weight, (tokens[:-lag], tokens[lag:])), (size, size)).tocsr()
        return total + total.T

    seconds, matrix = timed(count)
    return len(tokens), seconds, rounded(matrix.tocsr().data)


# N-gram tables --------------------------------------------------------------------------------


def table_answer(tokens: NDArray[Any], counts: NDArray[Any]) -> list[int]:
    """Independent of the order of the rows."""
    powers = np.array([1_000_003**k % (1 << 61) for k in range(tokens.shape[1])], np.uint64)
    hashes = (tokens.astype(np.uint64) * powers).sum(axis=1, dtype=np.uint64)
    mixed = (hashes * counts.astype(np.uint64)).sum(dtype=np.uint64)
    return [len(counts), int(counts.sum()), int(mixed)]


def our_table(context: Context, method: str) -> Result:
    seconds, table = timed(
        lambda: ngramstat.ngrams(
            context.corpus, ORDER, min_count=MIN_COUNT, method=method, threads=THREADS
        )
    )
    return context.corpus.n_tokens, seconds, table_answer(table.tokens, table.counts)


def numpy_table(context: Context) -> Result:
    """Windows packed into 16 bytes and sorted, in two 64-bit columns."""
    tokens, size = tokens_of(context), context.corpus.vocab_size

    def count() -> tuple[NDArray[Any], NDArray[Any]]:
        n = len(tokens) - ORDER + 1
        high, low = np.zeros(n, np.uint64), np.zeros(n, np.uint64)
        for k in range(ORDER - 4):
            high = high * np.uint64(size) + tokens[k : k + n]
        for k in range(ORDER - 4, ORDER):
            low = low * np.uint64(size) + tokens[k : k + n]
        order = np.lexsort((low, high))
        high, low = high[order], low[order]
        first = np.flatnonzero(
            np.concatenate([[True], (high[1:] != high[:-1]) | (low[1:] != low[:-1])])
        )
        counts = np.diff(np.append(first, n))
        kept = counts >= MIN_COUNT
        at = order[first[kept]]
        return np.stack([tokens[at + k] for k in range(ORDER)], axis=1), counts[kept]

    seconds, (ngrams, counts) = timed(count)
    return len(tokens), seconds, table_answer(ngrams, counts)


def kenlm_counting(context: Context) -> Result:
    """The first step of lmplz: count and sort n-grams of the order. It keeps all of them."""
    text = context.work / "kenlm.txt"
    if not text.exists():
        write_documents(text, context)
    command = [context.programs["kenlm"] / "lmplz", "-o", str(ORDER), "-S", "60%", "-T",
               context.work / "sort", "--discount_fallback", "--arpa", "/dev/null"]  # fmt: skip
    started = time.perf_counter()
    with open(text, "rb") as source:
        program = subprocess.Popen(command, stdin=source, stderr=subprocess.PIPE, text=True)
    assert program.stderr is not None
    for line in program.stderr:
        if line.startswith("=== 2/5"):
            break
    seconds = time.perf_counter() - started
    program.kill()
    program.wait()
    return context.corpus.n_tokens, seconds, None


# The index ------------------------------------------------------------------------------------


def index_of(context: Context) -> ngramstat.NgramIndex:
    place = context.work / "index"
    if not place.exists():
        ngramstat.NgramIndex.build(context.corpus, place, threads=THREADS)
    return ngramstat.NgramIndex.open(place)


def tokengrams_of(context: Context) -> Any:
    import tokengrams

    text, table = context.work / "tokens.bin", context.work / "tokens.idx"
    size = context.corpus.vocab_size
    if not table.exists():
        timed_tokengrams(context, "tokens")
    return tokengrams.MemmapIndex(str(text), str(table), size)


def our_build(context: Context) -> Result:
    place = context.work / "built"
    seconds, _ = timed(
        lambda: ngramstat.NgramIndex.build(context.corpus, place, threads=THREADS, overwrite=True)
    )
    index = ngramstat.NgramIndex.open(place)
    return context.corpus.n_tokens, seconds, index.count(queries(context)[:100]).tolist()


def tokengrams_build(context: Context) -> Result:
    seconds, index = timed_tokengrams(context, "built")
    return (
        context.corpus.n_tokens,
        seconds,
        [index.count(q) for q in queries(context)[:100].tolist()],
    )


def queries(context: Context, n: int = ORDER) -> NDArray[np.int64]:
    """N-grams of the text, every other one with a last token from elsewhere."""
    tokens, rng = context.corpus.tokens, np.random.default_rng(0)
    starts = rng.integers(0, len(tokens) - n, QUERIES)
    grams = np.stack([tokens[starts + k] for k in range(n)], axis=1).astype(np.int64)
    grams[::2, -1] = tokens[rng.integers(0, len(tokens), len(grams[::2]))]
    return grams


def warmed(work: Callable[[Any], Any], asked: Any) -> tuple[float, Any]:
    work(asked)
    return timed(lambda: work(asked))


def our_counts(context: Context) -> Result:
    index = index_of(context)
    asked = queries(context)
    seconds, counts = warmed(lambda q: index.count(q, threads=THREADS), asked)
    return len(asked), seconds, [int(counts.sum()), int(np.count_nonzero(counts))]


def tokengrams_counts(context: Context) -> Result:
    index = tokengrams_of(context)
    asked = queries(context).tolist()
    seconds, counts = warmed(lambda q: [index.count(gram) for gram in q], asked)
    return len(asked), seconds, [sum(counts), sum(map(bool, counts))]


def our_next(context: Context) -> Result:
    index = index_of(context)
    asked = queries(context, 2)[:FEW_QUERIES]
    seconds, counts = warmed(lambda q: index.count_next(q, threads=THREADS), asked)
    return len(asked), seconds, [int(counts.sum()), int(np.count_nonzero(counts))]


def tokengrams_next(context: Context) -> Result:
    index = tokengrams_of(context)
    asked = queries(context, 2)[:FEW_QUERIES].tolist()
    seconds, counts = warmed(index.batch_count_next, asked)
    found = np.array(counts)
    return len(asked), seconds, [int(found.sum()), int(np.count_nonzero(found))]


def training_part(context: Context) -> ngramstat.Corpus:
    return ngramstat.Corpus.from_arrays(
        context.corpus.tokens[: context.corpus.n_tokens - HELD_OUT_TOKENS],
        vocab_size=context.corpus.vocab_size,
    )


def our_matches(context: Context) -> Result:
    place = context.work / "training-index"
    if not place.exists():
        ngramstat.NgramIndex.build(training_part(context), place, threads=THREADS)
    index = ngramstat.NgramIndex.open(place)
    new = np.array(context.corpus.tokens[-HELD_OUT_TOKENS:])
    seconds, matches = timed(lambda: index.longest_match(new, threads=THREADS))
    return len(new), seconds, rounded(matches.lengths)


# The language model ---------------------------------------------------------------------------


def model_of(context: Context) -> Path:
    """A model of the whole corpus but for the held-out tokens, saved."""
    place = context.work / "model.ngm"
    if not place.exists():
        model = ngramstat.KneserNeyModel.train(
            training_part(context), ORDER, boundary="stream", threads=THREADS
        )
        model.save(place)
        model.write_arpa(context.work / "model.arpa")
    return place


def held_out_text(context: Context) -> Path:
    text = context.work / "held-out.txt"
    write_ids(text, np.array(context.corpus.tokens[-HELD_OUT_TOKENS:]))
    return text


def our_scores(context: Context) -> Result:
    """From the saved model to the sum of the losses."""
    place = model_of(context)
    new = np.array(context.corpus.tokens[-HELD_OUT_TOKENS:])
    seconds, losses = timed(
        lambda: ngramstat.KneserNeyModel.load(place).log_probs(new, threads=THREADS)
    )
    return len(new), seconds, round(float(-losses[ORDER:].mean()), 3)


def kenlm_model(context: Context) -> Path:
    """Our model in KenLM's fastest binary form."""
    binary = context.work / "model.kenlm"
    if not binary.exists():
        model_of(context)
        build = context.programs["kenlm"] / "build_binary"
        subprocess.run([build, "probing", context.work / "model.arpa", binary], check=True,
                       stderr=subprocess.DEVNULL)  # fmt: skip
    return binary


def kenlm_query(context: Context) -> Result:
    model, text = kenlm_model(context), held_out_text(context)

    def run() -> str:
        with open(text, "rb") as source:
            return subprocess.run(
                [context.programs["kenlm"] / "query", "-n", "-v", "summary", model],
                stdin=source, check=True, text=True, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            ).stdout  # fmt: skip

    seconds, summary = timed(run)
    found = re.search(r"including OOVs:\s*(\S+)", summary)
    assert found is not None
    return HELD_OUT_TOKENS, seconds, round(float(np.log(float(found[1]))), 3)


def kenlm_module(context: Context) -> Result:
    import kenlm

    model_file, text = kenlm_model(context), held_out_text(context)
    line = text.read_text()
    seconds, scores = timed(
        lambda: list(kenlm.Model(str(model_file)).full_scores(line, bos=False, eos=False))
    )
    mean = -np.log(10) * float(np.mean([score[0] for score in scores][ORDER:]))
    return HELD_OUT_TOKENS, seconds, round(mean, 3)


# Files of the peers ---------------------------------------------------------------------------


def write_ids(path: Path, tokens: NDArray[Any]) -> None:
    with open(path, "w", encoding="ascii") as file:
        for start in range(0, len(tokens), 1_000_000):
            file.write(" ".join(map(str, tokens[start : start + 1_000_000].tolist())) + " ")
        file.write("\n")


def write_documents(path: Path, context: Context) -> None:
    ends = context.corpus.document_ends
    tokens, start = context.corpus.tokens, 0
    with open(path, "w", encoding="ascii") as file:
        for end in ends.tolist() if ends is not None else [len(tokens)]:
            file.write(" ".join(map(str, tokens[start:end].tolist())) + "\n")
            start = end


def cases(context: Context) -> dict[str, dict[str, Arm]]:
    """Arms by case."""
    narrow = context.corpus.dtype == np.uint16
    wide = None if narrow else "reads 16-bit tokens"
    return {
        "cooccurrence": {
            "ngramstat, 1 thread": lambda: our_cooccurrence(context, 1),
            "ngramstat, 2 threads": lambda: our_cooccurrence(context, 2),
            "GloVe, cooccur": if_built(context, "glove", lambda: glove_cooccurrence(context)),
            "scipy.sparse": lambda: scipy_cooccurrence(context),
        },
        "ngram-table": {
            "ngramstat, hash, 2 threads": lambda: our_table(context, "hash"),
            "ngramstat, suffixes, 2 threads": lambda: our_table(context, "suffixes"),
            "NumPy, sorted windows": lambda: numpy_table(context),
            "KenLM, counting of lmplz": if_built(context, "kenlm", lambda: kenlm_counting(context)),
        },
        "index-build": {
            "ngramstat, 2 threads": lambda: our_build(context),
            "tokengrams, 2 threads": wide
            or if_installed("tokengrams", lambda: tokengrams_build(context)),
        },
        "count": {
            "ngramstat, 2 threads": lambda: our_counts(context),
            "tokengrams": wide or if_installed("tokengrams", lambda: tokengrams_counts(context)),
        },
        "count-next": {
            "ngramstat, 2 threads": lambda: our_next(context),
            "tokengrams, batch_count_next": wide
            or if_installed("tokengrams", lambda: tokengrams_next(context)),
        },
        "longest-match": {"ngramstat, 2 threads": lambda: our_matches(context)},
        "scores": {
            "ngramstat, 2 threads": lambda: our_scores(context),
            "KenLM, query": if_built(context, "kenlm", lambda: kenlm_query(context)),
            "KenLM, Python module": if_installed("kenlm", lambda: kenlm_module(context))
            if "kenlm" in context.programs
            else "no program of --kenlm DIR",
        },
    }  # fmt: skip


def main() -> None:
    Benchmark(
        script=__file__,
        about=str(__doc__).splitlines()[0],
        cases=cases,
        programs=("glove", "kenlm"),
        calls_programs=frozenset({"GloVe, cooccur", "KenLM, query"}),
        output=HERE / "results" / "counts.json",
    ).main()


if __name__ == "__main__":
    main()
