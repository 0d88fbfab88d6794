"""Whether intervals of beta agree between halves of the documents and between grids of lags.

    python benchmarks/beta_overlap.py CORPUS [CORPUS ...] [--splits N] [--work DIR]

Each corpus is divided at random into two halves of its documents, N times. beta of every half is
fitted on four grids of lags (the default one, the paper's, powers of two, and three times powers of
two). Two intervals ought to overlap: those of the two halves on one grid, and those of two grids on
one half. Prints the share of pairs that do, for all intervals and for the reportable ones. Norms
are measured once for all grids (they do not depend on which other lags are measured), and kept in
--work.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np

import ngramstat
from ngramstat.covariance.assembly import assemble_correlations
from ngramstat.covariance.measurement import LagMeasurement, measure_lags
from ngramstat.covariance.options import DEFAULT_LAGS, CorrelationOptions
from ngramstat.runtime.files import read_arrays, write_arrays
from ngramstat.runtime.workspace import Workspace
from ngramstat.sampling.design import SamplingDesign
from ngramstat.stages.codec import from_arrays, to_arrays

GRIDS = {
    "default": DEFAULT_LAGS,
    "paper": (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192),
    "powers of two": tuple(2**k for k in range(10)),
    "three times powers of two": (1, *(3 * 2**k for k in range(8))),
}
BAR = 0.95


def halves(corpus: ngramstat.Corpus, seed: int) -> Iterator[ngramstat.Corpus]:
    """Two corpora of half of the documents each, in their order."""
    assert corpus.document_ends is not None
    ends = np.asarray(corpus.document_ends)
    lengths = np.diff(ends, prepend=0)
    order = np.random.default_rng(seed).permutation(len(ends))
    middle = int(np.searchsorted(np.cumsum(lengths[order]), ends[-1] / 2))
    tokens = np.asarray(corpus.tokens)
    for part in (np.sort(order[:middle]), np.sort(order[middle:])):
        yield ngramstat.Corpus.from_arrays(
            np.concatenate([tokens[ends[d] - lengths[d] : ends[d]] for d in part]),
            vocab_size=corpus.vocab_size,
            document_ends=np.cumsum(lengths[part]),
            separator=corpus.separator,
        )


def measured(
    design: SamplingDesign, options: CorrelationOptions, work: Path | None, name: str
) -> dict[int, LagMeasurement]:
    """The measurement of every lag, read from `work` where it was kept."""
    found: dict[int, LagMeasurement] = {}
    files = {lag: None if work is None else work / f"{name}-{lag}.npz" for lag in options.lags}
    for lag, file in files.items():
        if file is not None and file.exists():
            found[lag] = from_arrays(LagMeasurement, read_arrays(file))
    missing = [lag for lag in options.lags if lag not in found]
    for part in measure_lags(design, options, missing, workspace=Workspace()):
        found[part.lag] = part
        file = files[part.lag]
        if file is not None:
            write_arrays(file, to_arrays(part))
    return found


def exponents(
    corpus: ngramstat.Corpus, work: Path | None, name: str
) -> dict[str, ngramstat.Exponent]:
    """beta on every grid."""
    union = tuple(
        lag for lag in sorted(set().union(*GRIDS.values())) if 10 * lag <= corpus.n_tokens
    )
    options = CorrelationOptions(lags=union, singular_values=1, sequential=False)
    design = SamplingDesign(corpus, options)
    parts = measured(design, options, work, name)
    fits = {}
    for grid, every in GRIDS.items():
        lags = tuple(lag for lag in every if lag in parts)
        chosen = CorrelationOptions(lags=lags, singular_values=1, sequential=False)
        fits[grid] = assemble_correlations(design, chosen, [parts[lag] for lag in lags]).beta
    return fits


def compare(
    kind: str,
    a: ngramstat.Exponent,
    b: ngramstat.Exponent,
    counts: dict[tuple[str, str], list[bool]],
) -> None:
    """Count whether two intervals overlap."""
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return
    overlap = a.low <= b.high and b.low <= a.high
    counts[kind, "all"].append(overlap)
    if a.reportable and b.reportable:
        counts[kind, "reportable"].append(overlap)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpora", nargs="+", type=Path)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--work", type=Path)
    options = parser.parse_args()
    if options.work is not None:
        options.work.mkdir(parents=True, exist_ok=True)
    for path in options.corpora:
        corpus = ngramstat.Corpus.open(path)
        counts: dict[tuple[str, str], list[bool]] = defaultdict(list)
        for seed in range(options.splits):
            fits = [
                exponents(half, options.work, f"{path.name}-{seed}-{k}")
                for k, half in enumerate(halves(corpus, seed))
            ]
            for grid in GRIDS:
                compare("halves", fits[0][grid], fits[1][grid], counts)
            for half in fits:
                for first, second in combinations(GRIDS, 2):
                    compare("grids", half[first], half[second], counts)
        print(f"{path}")
        for (kind, which), overlaps in sorted(counts.items()):
            share = float(np.mean(overlaps))
            verdict = "ok" if share >= BAR else f"below {100 * BAR:.0f} %"
            print(
                f"  {kind}, {which}: {sum(overlaps)} of {len(overlaps)} pairs overlap "
                f"({100 * share:.1f} %), {verdict}"
            )


if __name__ == "__main__":
    main()
