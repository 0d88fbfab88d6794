"""How long `measure` of 10^9 tokens should take on an H200: bytes and operations on paper.

    python benchmarks/gpu_estimate.py

No number here is a measurement, but for those that are marked as such and come from
results/gpu.json. The bytes are those that the kernels of csrc/include/ngramstat/gpu/ read and
write; docs and comments there say why.
"""

from __future__ import annotations

from dataclasses import dataclass

TOKENS = 1e9
VOCAB = 8192
LAGS = 30
DOCUMENTS = 1e6  # of a thousand tokens
DISTINCT = 4e8  # pairs of a document and a token that it has
ORDER = 6
# The whole training set, and the subsets of the learning curve (two halves, two quarters, four
# eighths).
TRAINED = 1 + 2.0

# Patterns of the mixture, and the fraction of the training tokens that follow contexts of the
# scored ones in one of them, on average (assumed).
PATTERNS, KNOWN = 26, 0.6
# CPU seconds of the mixture without counting, of which these are on one thread (measured on two
# cores); threads of the host.
MIXTURE_CPU, MIXTURE_SERIAL, THREADS = 51.0, 5.0, 16

# Bytes a second. The card's own number; a copy (measured: 3.8e12 of 4.8e12); lines of 32 and 64
# bytes at random from device memory (measured where pair counts gather entries: 100 bytes a
# position in 38.6 ms); lines from the second-level cache (assumed).
PEAK, COPY, RANDOM, CACHE = 4.8e12, 3.8e12, 2.6e12, 5.5e12
# Pages of the host pass through 64 MB of pinned memory (measured: 2 GB in .35 s).
UPLOAD = 2e9 / 0.35
# Double-precision operations, and conversions from single to double precision, a second.
DOUBLES, CONVERSIONS = 34e12, 132 * 16 * 1.98e9


@dataclass(frozen=True)
class Stage:
    """A kernel or a stage: how often it runs, and what it moves each time.

    `ordered` bytes are read or written one after the other, `scattered` ones as lines at random
    from device memory, `cached` ones from the second-level cache; `seconds` are measured or on the
    host.
    """

    name: str
    times: float
    ordered: float = 0.0
    scattered: float = 0.0
    cached: float = 0.0
    doubles: float = 0.0
    conversions: float = 0.0
    seconds: float = 0.0

    @property
    def total(self) -> float:
        """Seconds: memory and arithmetic one after the other, as if nothing overlapped."""
        once = self.ordered / COPY + self.scattered / RANDOM + self.cached / CACHE
        once += self.doubles / DOUBLES + self.conversions / CONVERSIONS + self.seconds
        return self.times * once

    @property
    def at_peak(self) -> float:
        """Seconds if every byte came at the card's own bandwidth."""
        moved = self.ordered + self.scattered + self.cached
        return self.times * (moved / PEAK + self.seconds)


def stages() -> list[Stage]:
    """All that `measure` does with its default options."""
    n = TOKENS
    # A product with eight vectors of doubles: an entry of 12 bytes and a line of 64 bytes for each
    # distinct pair, first by documents (the vectors fit the cache), then by tokens (64 MB do not).
    gram = {"ordered": 2 * 12 * DISTINCT, "cached": 64 * DISTINCT, "scattered": 64 * DISTINCT,
            "doubles": 2 * 2 * 8 * DISTINCT}  # fmt: skip
    # To 6 tokens of 14 bits: two words of 64 bits, sorted in 7 and 4 passes over 12 bytes, each
    # packed by reading a line of tokens; then common prefixes from two lines.
    sort = {"ordered": (11 * 24 + 2 * 12 + 9) * n, "scattered": 4 * 32 * n}
    order = 5 + 8 + 12 + 28 + 24  # heads, scan, beginnings, nodes, counts
    return [
        Stage("pair counts, of the text and of its shuffled copy (measured)", 2, seconds=0.58),
        Stage("C(t): 8 singular values, floors, Frobenius norm (measured)", 1, seconds=1.94),
        Stage("C(t): vectors of both halves, the other boundary (as the above)", 1, seconds=1.94),
        Stage("composition of documents: counted", 1,
              ordered=(2 * 8 + 5 * 2 * 2 * 8 + 20) * n + 40 * DISTINCT),
        Stage("composition of documents: 33 products a lag (as on TinyStories)", LAGS * 33, **gram),
        Stage("cross-fits and position: products by class, 3 a lag, both sides", LAGS * 3 * 2,
              ordered=4 * n, scattered=3 * 32 * n, doubles=n),
        Stage("cross-fits: bilinear forms, 2 a lag", LAGS * 2, ordered=4 * n,
              cached=2 * 32 * n, doubles=128 * n, conversions=72 * n),
        Stage("bootstrap: sums by document, 2 a lag", LAGS * 2, ordered=4 * n, cached=16 * n,
              doubles=4 * n),
        Stage("n-grams to six tokens, all subsets (measured)", 1, seconds=1.22),
        Stage("Kneser-Ney, whole and subsets: sorting", TRAINED, **sort),
        Stage("Kneser-Ney, whole and subsets: counting six orders", TRAINED * ORDER,
              ordered=order * n, scattered=32 * n),
        # Three times a line of the table of contexts; of known events eight bytes written, sorted
        # in six passes, marks of four kinds with their sums, and beginnings.
        Stage("mixture: what follows contexts, 26 patterns", PATTERNS,
              ordered=(3 * 2 + KNOWN * (8 + 6 * 16 + 8 + 4 * 12 + 8)) * n,
              cached=(1 + 2 * KNOWN) * 32 * n),
        Stage("tokens copied to the card, 9 times", 9, seconds=2 * n / UPLOAD),
        Stage("tokens shuffled inside documents (host, 5 ns of CPU)", 1,
              seconds=5e-9 * n / THREADS),
        Stage("mixture: trees, interpolation and mixing (host)", 1,
              seconds=MIXTURE_SERIAL + (MIXTURE_CPU - MIXTURE_SERIAL) / THREADS),
    ]  # fmt: skip


def main() -> None:
    print("| stage | times | GB moved | G operations | s at 4.8 TB/s | s expected |")
    print("|---|---:|---:|---:|---:|---:|")
    total = peak = 0.0
    for stage in stages():
        moved = stage.times * (stage.ordered + stage.scattered + stage.cached) / 1e9
        operations = stage.times * (stage.doubles + stage.conversions) / 1e9
        given = stage.seconds > 0 and not moved
        print(
            f"| {stage.name} | {stage.times:g} | {'—' if given else f'{moved:,.0f}'} | "
            f"{f'{operations:,.0f}' if operations else '—'} | "
            f"{'—' if given else f'{stage.at_peak:.2f}'} | {stage.total:.2f} |"
        )
        total += stage.total
        peak += stage.at_peak
    print(f"| **in all** | | | | {peak:.0f} | **{total:.0f}** |")


if __name__ == "__main__":
    main()
