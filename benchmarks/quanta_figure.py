"""Single quanta that emerge at once beside a loss that falls smoothly, and the quanta of a text.

    python benchmarks/quanta_figure.py CORPUS [--name NAME]

Left: the exact loss of the learner that remembers quanta, with sampled learners, and the chance to
know single quanta. Right: with k-grams of CORPUS as quanta, the exponent of the k-grams that were
not seen yet on every doubling of the corpus. Writes docs/quanta.png and results/quanta.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from ngramstat.corpus import Corpus
from ngramstat.results import KgramTable
from ngramstat.sampling.design import SamplingDesign
from ngramstat.sampling.options import SamplingOptions
from ngramstat.theories.growth import measure_growth
from ngramstat.theories.missing_mass import missing_mass_exponents, quanta_in_words
from ngramstat.theories.quanta import QuantaLaw

HERE = Path(__file__).resolve().parent
ALPHA = 0.5
SIZES = tuple(round(10 ** (k / 4)) for k in range(33))
SAMPLED = tuple(10**k for k in range(6))
SINGLE = (1, 10, 100, 1000, 10_000)
LONGEST = 5


def memoriser() -> dict[str, Any]:
    """Losses of the learner that remembers quanta, and the chance to know single ones."""
    law = QuantaLaw(ALPHA)
    sampled, errors = law.simulate(SAMPLED, draws=20)
    return {
        "alpha": ALPHA, "tokens": SIZES, "loss": law.loss(SIZES).tolist(),
        "sampled_tokens": SAMPLED, "sampled_loss": sampled.tolist(), "error": errors.tolist(),
        "single": SINGLE, "learned": law.learned(SINGLE, SIZES).tolist(),
    }  # fmt: skip


def of_text(corpus: Corpus) -> dict[str, Any]:
    """Exponents of the missing mass by k and by doubling."""
    growth = measure_growth(SamplingDesign(corpus, SamplingOptions(seed=0)), longest=LONGEST)
    tables = [
        KgramTable(k=g.k, tokens=g.tokens, types=g.types, singletons=g.singletons)
        for g in growth.kgrams
    ]
    exponents = [missing_mass_exponents(table) for table in tables]
    return {
        "corpus": corpus.name, "sha256": corpus.sha256, "tokens": tables[0].tokens.tolist(),
        "k": [table.k for table in tables],
        "missing_mass": [(t.singletons / t.tokens).tolist() for t in tables],
        "exponents": [[x if np.isfinite(x) else None for x in e.tolist()] for e in exponents],
        "in_words": quanta_in_words(tables),
    }  # fmt: skip


def draw(law: dict[str, Any], grams: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 3.8), layout="constrained")
    loss, chance, text = figure.subplots(1, 3)
    loss.loglog(law["tokens"], law["loss"], "k", label="exact: P^-1/3 in the end")
    loss.errorbar(law["sampled_tokens"], law["sampled_loss"], law["error"], fmt="o", ms=4,
                  label="sampled learners")  # fmt: skip
    loss.set(xlabel="tokens P", ylabel="mean loss", title="The mean falls smoothly")
    loss.legend(fontsize=8)
    for number, learned in zip(law["single"], law["learned"], strict=True):
        chance.semilogx(law["tokens"], learned, lw=1.4, label=f"quantum {number:,}")
    chance.set(xlabel="tokens P", ylabel="chance that it is known", title="Single quanta emerge")
    chance.legend(fontsize=8)
    sizes = np.array(grams["tokens"])[1:] / 1e6
    for k, exponents in zip(grams["k"], grams["exponents"], strict=True):
        values = np.array([np.nan if x is None else x for x in exponents])
        if np.isfinite(values).sum() > 1:
            text.plot(np.log2(sizes), values, "o-", ms=4, label=f"k = {k}")
    text.set_xticks(np.log2(sizes), [f"{size:.2g}" for size in sizes])
    text.set(xlabel=f"million tokens of {grams['corpus']}", ylim=(0, None),
             ylabel="exponent of what was not seen yet", title="k-grams as quanta")  # fmt: skip
    text.legend(fontsize=8)
    figure.savefig(path, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path, nargs="?", help="without it the figure is redrawn")
    parser.add_argument("--name", help="of the text, for the figure")
    options = parser.parse_args()
    path = HERE / "results" / "quanta.json"
    if options.corpus is not None:
        result = {"memoriser": memoriser(), "text": of_text(Corpus.open(options.corpus))}
        result["text"]["corpus"] = options.name or options.corpus.name
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    result = json.loads(path.read_text(encoding="utf-8"))
    draw(result["memoriser"], result["text"], HERE.parent / "docs" / "quanta.png")
    print(result["text"]["in_words"])


if __name__ == "__main__":
    main()
