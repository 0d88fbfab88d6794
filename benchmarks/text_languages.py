"""Brackets and limits of H(n) on n-gram languages of real text, whose H(n) is known exactly.

    python -m benchmarks.text_languages CORPORA [--work DIR] [--sizes 2e6,2e7] [--draws 5]
                                        [--only LANGUAGE ...] [--report]

CORPORA holds `tinystories/stories.jsonl.xz` and `wikipedia-en/part-0.jsonl.xz`. The interpolated
Kneser-Ney models of orders 2, 3 and 4 of both are six languages with the n-gram statistics of
text (docs/theory.md 12.6). Corpora drawn from them are measured as `ngramstat entropies` does,
with boundary ``document``; beyond the smallest size only the first draw has a learning curve, and
the mixture of contexts is trained for the first draw of the smallest size alone, as these take
most of the time. Every draw is saved in --work as soon as it is measured, and draws of other
versions of the estimators are repeated. Writes results/text_languages.json, which
`python -m benchmarks.calibration` puts into calibration.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ngramstat
from benchmarks.calibration.draws import estimators
from ngramstat.results import EntropyResult
from ngramstat.synthetic.ngram import NgramLanguage

__all__ = ["LANGUAGES", "RESULTS", "markdown", "row_of"]

RESULTS = Path(__file__).resolve().parent / "results" / "text_languages.json"
_TEXTS = {
    "TinyStories": ("tinystories/stories.jsonl.xz", "tinystories"),
    "Wikipedia": ("wikipedia-en/part-0.jsonl.xz", "wikipedia"),
}
LANGUAGES = [(text, order) for text in _TEXTS for order in (2, 3, 4)]
_MAX_CONTEXT = 5
_FIELDS = ("low", "estimate", "high", "resolved", "limit", "limit_low", "limit_high", "plug_in",
           "miller_madow", "held_out")  # fmt: skip


def language(corpora: Path, work: Path, text: str, order: int) -> NgramLanguage:
    """The language of this order; the text is tokenized at the first call."""
    source, name = _TEXTS[text]
    corpus = work / name
    if not corpus.exists():
        ngramstat.tokenize([corpora / source], corpus)
    # Separators are predicted like tokens and are not part of the exact entropies.
    return NgramLanguage.open(corpus, order, separators=False)


def row_of(result: EntropyResult, exact: NDArray[np.float64]) -> dict[str, Any]:
    """The estimates of one draw beside the exact entropies, as JSON; missing numbers are None."""
    row: dict[str, Any] = {"exact": exact.tolist()}
    for name in _FIELDS:
        values = np.asarray(getattr(result, name))
        row[name] = [x if np.isfinite(x) else None for x in values.tolist()]
    return row


def measure(world: NgramLanguage, tokens: int, draw: int, *, smallest: bool) -> dict[str, Any]:
    """One draw of a language, measured."""
    result = ngramstat.entropies(
        world.corpus(tokens, seed=1000 + draw),
        boundary="document",
        seed=draw,
        max_context=_MAX_CONTEXT,
        predictor="mixture" if smallest and draw == 0 else "kneser-ney",
        learning_sizes=7 if smallest or draw == 0 else 1,
        threads=1,
    )
    return row_of(result, world.entropies(_MAX_CONTEXT, "document"))


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Coverage and widths over the draws of one language and size."""

    def column(name: str) -> NDArray[np.float64]:
        return np.array([row[name] for row in rows], dtype=np.float64)

    exact, low, high = column("exact"), column("low"), column("high")
    resolved = column("resolved") > 0
    inside = (low <= exact) & (exact <= high)
    # The unigram tells nothing about limits: its curve is at its end.
    limit_low, limit_high = column("limit_low")[:, 1:], column("limit_high")[:, 1:]
    shown = np.isfinite(limit_low)
    covered = (limit_low <= exact[:, 1:]) & (exact[:, 1:] <= limit_high)
    return {
        "draws": len(rows),
        "exact": exact[0].tolist(),
        "brackets": inside.size,
        "covered": int(inside.sum()),
        "low_above": int((low > exact).sum()),
        "high_below": int((high < exact).sum()),
        "width": (high - low).mean(axis=0).tolist(),
        "resolved": int(resolved.sum()),
        "resolved_covered": int((resolved & inside).sum()),
        "limits": int(shown.sum()),
        "limits_covered": int((shown & covered).sum()),
        "limit_width": float((limit_high - limit_low)[shown].mean()) if shown.any() else None,
    }


def markdown(summaries: list[dict[str, Any]]) -> list[str]:
    """The section of calibration.md; empty without draws."""
    if not summaries:
        return []
    lines = [
        "",
        "## n-gram languages of real text",
        "",
        "Made by `python -m benchmarks.text_languages`: interpolated Kneser-Ney models of "
        "TinyStories (2.2 M tokens) and Wikipedia (11 M), with their exact H(n). Brackets are "
        "those of all contexts n = 0 .. 5; widths in nats.",
        "",
        "| language | order | tokens | draws | H_1 | H_2 | H_3 | brackets that hold the truth | "
        "low end above it | high end below it | resolved, of these hold | width at n = 1 | 2 | 3 "
        "| limits shown, of these hold | their mean width |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    total: dict[str, int] = {}
    for s in summaries:
        lines.append(
            f"| {s['text']} | {s['order']} | {s['tokens']:.0e} | {s['draws']} | "
            + " | ".join(f"{h:.3f}" for h in s["exact"][1:4])
            + f" | {s['covered']} of {s['brackets']} | {s['low_above']} | {s['high_below']} | "
            f"{s['resolved']}, {s['resolved_covered']} | "
            + " | ".join(f"{w:.3f}" for w in s["width"][1:4])
            + f" | {s['limits']}, {s['limits_covered']} | "
            + ("–" if s["limit_width"] is None else f"{s['limit_width']:.2f}")
            + " |"
        )
        for name in ("brackets", "covered", "low_above", "high_below", "resolved",
                     "resolved_covered", "limits", "limits_covered"):  # fmt: skip
            total[name] = total.get(name, 0) + s[name]
    lines += [
        "",
        f"In all: {total['covered']} of {total['brackets']} brackets hold the truth, "
        f"{total['resolved_covered']} of {total['resolved']} resolved ones, and "
        f"{total['limits_covered']} of {total['limits']} limits; the low end is above the "
        f"truth in {total['low_above']}, the high end below it in {total['high_below']}.",
    ]
    return lines


def _saved(path: Path) -> Iterator[dict[str, Any]]:
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if row["estimators"] == estimators():
                yield row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpora", type=Path)
    parser.add_argument("--work", type=Path, default=Path("build/text_languages"))
    parser.add_argument("--sizes", default="2e6,2e7")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--only", action="append", help="such as TinyStories-3; may be repeated")
    parser.add_argument("--report", action="store_true", help="summarise the saved draws only")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    sizes = [round(float(x)) for x in options.sizes.split(",")]
    options.work.mkdir(parents=True, exist_ok=True)
    summaries = []
    for text, order in LANGUAGES:
        name = f"{text}-{order}"
        if options.only and name not in options.only:
            continue
        path = options.work / f"{name}.jsonl"
        rows = {(row["tokens"], row["draw"]): row for row in _saved(path)}
        missing = [(n, k) for n in sizes for k in range(options.draws) if (n, k) not in rows]
        if missing and not options.report:
            world = language(options.corpora, options.work, text, order)
            for tokens, draw in missing:
                row = measure(world, tokens, draw, smallest=tokens == sizes[0])
                row |= {"tokens": tokens, "draw": draw, "estimators": estimators()}
                rows[tokens, draw] = row
                with open(path, "a", encoding="utf-8") as file:
                    file.write(json.dumps(row, allow_nan=False) + "\n")
                print(name, tokens, draw, flush=True)
        for tokens in sizes:
            drawn = [row for (n, _), row in sorted(rows.items()) if n == tokens]
            if drawn:
                head = {"text": text, "order": order, "tokens": tokens}
                summaries.append({**head, **_summary(drawn)})
    options.output.write_text(json.dumps(summaries, indent=1) + "\n", encoding="utf-8")
    print("\n".join(markdown(summaries)))


if __name__ == "__main__":
    main()
