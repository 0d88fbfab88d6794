"""Every number of Cagnetta et al. 2026 that can be recomputed, ours beside theirs: docs/paper.md.

    python -m benchmarks.paper NAME=CORPUS [NAME=CORPUS ...] [--figures FILE] [-o docs/paper.md]

The page is paper_template.md with tables in the places of its comments. The authors' figures are
those of paper_values.json and loss_curves.json, as they printed them. A
corpus is a corpus directory of TinyStories; the norms of each are measured at the paper's lags (ten
seconds for 2.2 M tokens). NAME is what the page calls it.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import ngramstat
from ngramstat.exponents import law_of_points, learning_limit, power_law, raw_gamma
from ngramstat.kernels import token_counts
from ngramstat.prediction.alpha import alpha_error
from ngramstat.prediction.paper import alpha_of_first_points
from ngramstat.results import AlternativeKind, CorrelationResult, Exponent

HERE = Path(__file__).parent
FIGURES = HERE / "paper_values.json"
CURVES = HERE / "loss_curves.json"
TEMPLATE = HERE / "paper_template.md"
PAGE = HERE.parent / "docs" / "paper.md"
LAST = 192
# The last sizes over which the authors fit the noise.
_LAST_SIZES = 5


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", nargs="+", metavar="NAME=CORPUS")
    parser.add_argument("--figures", type=Path, default=FIGURES)
    parser.add_argument("-o", "--output", type=Path, default=PAGE)
    options = parser.parse_args()
    figures = json.loads(options.figures.read_text(encoding="utf-8"))
    curves = json.loads(CURVES.read_text(encoding="utf-8"))["curves"]
    named = dict(text.split("=", 1) for text in options.corpora)
    measured = {name: Measured(path) for name, path in named.items()}
    page = Page(figures, curves, measured)
    text = re.sub(r"(\n\|[^\n]*\n)(?=[^|\n])", r"\1\n", "\n".join(page.lines()))
    text = re.sub(r"\n{3,}", "\n\n", text)
    options.output.write_text(text.rstrip() + "\n", encoding="utf-8")
    print(f"Wrote {options.output}")


class Measured:
    """One corpus, measured by the paper's protocol."""

    def __init__(self, path: str) -> None:
        self.corpus = ngramstat.Corpus.open(path)
        self.result: CorrelationResult = ngramstat.correlations(
            self.corpus, protocol="paper", sequential=False
        )
        counts = token_counts(self.corpus.tokens, self.corpus.vocab_size)
        p = counts[counts > 0] / counts.sum()
        self.unigram_entropy = float(-p @ np.log(p))
        self.types = len(p)

    @property
    def beta(self) -> Exponent:
        return self.result.beta

    def frobenius(self, noise: float) -> np.ndarray:
        """Norms with the noise of independent pairs taken off, in squares."""
        floor = noise**2 / self.result.pairs
        return np.sqrt(np.maximum(self.result.frobenius**2 - floor, 0.0))


def number(value: float | None, digits: int = 3) -> str:
    if value is None:
        return "–"
    text = f"{value:.{digits}f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 else text


def pair(low: float | None, high: float | None, digits: int = 3) -> str:
    return "–" if low is None else f"[{number(low, digits)}, {number(high, digits)}]"


def power(tokens: float) -> str:
    """A number of tokens as a power of two, or with three digits."""
    exponent = np.log2(tokens)
    return f"2^{exponent:.0f}" if abs(exponent - round(exponent)) < 1e-9 else f"{tokens:.3g}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(header) + " |"
    yield "|" + "---|" * len(header)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


class Page:
    """The page, section by section."""

    def __init__(
        self, figures: dict[str, Any], curves: list[dict[str, Any]], measured: dict[str, Measured]
    ) -> None:
        self.figures, self.curves, self.measured = figures, curves, measured
        self.lags = np.array(figures["norms"]["lags"])
        self.norms = np.array(figures["norms"]["operator"])
        self.theirs = law_of_points(self.lags[self.lags <= LAST], self.norms[self.lags <= LAST])

    def lines(self) -> Iterator[str]:
        """The template with the tables in their places."""
        places = {
            "corpora": self._corpora, "norms": self._norms, "beta": self._beta,
            "noise": self._noise, "gamma": self._gamma, "limits": self._limits,
            "alpha": self._alpha, "rotary": self._rotary, "predicted": self._predicted,
            "first_context": self._first_context,
        }  # fmt: skip
        for line in TEMPLATE.read_text(encoding="utf-8").splitlines():
            place = re.fullmatch(r"<!-- (\w+) -->", line)
            if place is None:
                yield line
            else:
                yield from places[place[1]]()

    def _corpora(self) -> Iterator[str]:
        known = self.figures["unigram"]
        rows = [
            ["theirs", f"{known['tokens']:,}", f"{known['types']:,}", number(known["entropy"], 3)]
        ]
        rows += [
            [name, f"{m.corpus.n_tokens:,}", f"{m.types:,}", number(m.unigram_entropy, 3)]
            for name, m in self.measured.items()
        ]
        yield from table(["", "tokens", "types that occur", "unigram entropy, nats"], rows)

    def _norms(self) -> Iterator[str]:
        header = ["lag", "theirs"]
        for name in self.measured:
            header += [f"{name}: debiased", "ratio", "plain"]
        rows = []
        for i, lag in enumerate(self.lags[self.lags <= LAST].tolist()):
            row = [str(lag), f"{1e4 * self.norms[i]:.2f}"]
            for m in self.measured.values():
                at = m.result.lags.tolist().index(lag)
                debiased = float(m.result.best_norm[at])
                row += [
                    f"{1e4 * debiased:.2f}",
                    f"{debiased / self.norms[i]:.2f}",
                    f"{1e4 * m.result.norm[at]:.2f}",
                ]
            rows.append(row)
        yield from table(header, rows)
        ratios = {
            name: m.result.best_norm / np.interp(m.result.lags, self.lags, self.norms)
            for name, m in self.measured.items()
        }
        for name, ratio in ratios.items():
            yield (
                f"- {name}: the ratio has a geometric mean of {np.exp(np.log(ratio).mean()):.2f} "
                f"and lies between {ratio.min():.2f} and {ratio.max():.2f}."
            )
        yield ""

    def _beta(self) -> Iterator[str]:
        printed = self.figures["beta"]
        header = ["", "lags", "β", "s.e. of the fit", "95 % by the fit", "resampled lags",
                  "documents", "total"]  # fmt: skip
        rows = [
            ["printed by the authors", "1..192", number(printed["value"], 4),
             number(printed["error"], 4), pair(*printed["interval"]), pair(*printed["resampled"]),
             "–", "–"],
            ["their norms, fitted here", "1..192", *law_cells(self.theirs), "–", "–"],
        ]  # fmt: skip
        for first, last in ((1, 32), (16, LAST)):
            used = (self.lags >= first) & (self.lags <= last)
            law = law_of_points(self.lags[used], self.norms[used])
            rows.append(["their norms", f"{first}..{last}", *law_cells(law), "–", "–"])
        for name, m in self.measured.items():
            rows += list(self._beta_rows(name, m))
        yield from table(header, rows)
        for name, m in self.measured.items():
            gap = m.beta.value - self.theirs.exponent
            inside = self.theirs.low <= m.beta.value <= self.theirs.high
            holds = m.beta.low <= self.theirs.exponent <= m.beta.high
            yield (
                f"- {name}: {gap:+.3f} from the slope of their norms; "
                f"{'inside' if inside else 'outside'} their interval, and theirs "
                f"{'inside' if holds else 'outside'} ours."
            )
        yield ""
        yield from self._frobenius()

    def _beta_rows(self, name: str, m: Measured) -> Iterator[list[str]]:
        beta, lags = m.beta, m.result.lags
        for label, norm in ((f"{name}, debiased", m.result.best_norm), ("plain", m.result.norm)):
            law = law_of_points(lags, norm)
            ends: list[str] = ["–", "–"]
            if norm is not m.result.norm:
                ends = [pair(*beta.parts.documents), pair(beta.low, beta.high)]
            yield [label if norm is not m.result.norm else f"{name}, {label}",
                   "1..192", *law_cells(law), *ends]  # fmt: skip
        for first, last in ((1, 32), (16, LAST)):
            used = (lags >= first) & (lags <= last)
            law = law_of_points(lags[used], m.result.best_norm[used])
            yield [f"{name}, debiased", f"{first}..{last}", *law_cells(law), "–", "–"]

    def _frobenius(self) -> Iterator[str]:
        null = self.figures["null"][0]
        noise = null["frobenius"][-1] * np.sqrt(null["pairs"][-1])
        used = self.lags <= LAST
        ours = power_law(self.lags[used], np.array(self.figures["norms"]["frobenius"])[used])
        rows = [
            ["printed by the authors", number(self.figures["beta"]["frobenius"], 4)],
            ["their norms, fitted here", number(ours.exponent, 4)],
        ]
        for name, m in self.measured.items():
            law = power_law(m.result.lags, m.frobenius(noise))
            rows.append([f"{name}, noise taken off in squares", number(law.exponent, 4)])
        yield from table(["Frobenius norm, lags 1..192", "slope"], rows)

    def _noise(self) -> Iterator[str]:
        rows = []
        for null in self.figures["null"]:
            for kind, printed in zip(("operator", "frobenius"), null["slopes"], strict=True):
                law = power_law(null["pairs"][-_LAST_SIZES:], null[kind][-_LAST_SIZES:])
                rows.append([
                    null["name"], kind, number(printed, 4), number(-law.exponent, 4),
                    f"{null[kind][-1] * np.sqrt(null['pairs'][-1]):.3f}",
                ])  # fmt: skip
        yield from table(["pairs", "norm", "slope in P, printed", "fitted here", "norm × √P"], rows)
        for name, m in self.measured.items():
            kappa = float(np.median(m.result.noise_floor * np.sqrt(m.result.pairs)))
            yield f"- {name}: the floor of the operator norm times √P is {kappa:.3f}."
        yield ""

    def _gamma(self) -> Iterator[str]:
        rows = []
        losses = self.figures["losses_by_context"]["WikiText-103 at 134217728 tokens"]
        for printed in self.figures["gamma"]:
            cells = ["L_n is not printed", "–", "–", "–"]
            if printed["corpus"].startswith("WikiText"):
                gamma = raw_gamma(losses["context"], losses["loss"], window=(1, 5))
                cells = [number(gamma.value, 4), *error_cells(gamma), pair(gamma.low, gamma.high)]
            rows.append([
                f"{printed['corpus']}, P = {power(printed['tokens'])}",
                "{}..{}".format(*printed["contexts"]),
                f"{number(printed['value'], 4)} ± {number(printed['error'], 4)}",
                pair(*printed["resampled"]), *cells,
            ])  # fmt: skip
        yield from table(
            ["", "n", "theirs", "theirs, resampled", "ours", "s.e.", "resampled", "total"], rows
        )

    def _limits(self) -> Iterator[str]:
        limits = self.figures["limits_by_context"]
        rows = []
        for printed in limits["fits"]:
            gamma = raw_gamma(limits["context"], limits["limit"], window=(1, printed["contexts"]))
            rows.append([
                f"1..{printed['contexts']}",
                f"{number(printed['gamma'], 4)} ± {number(printed['error'], 4)}",
                f"{number(gamma.value, 4)} ± {error_cells(gamma)[0]}",
            ])  # fmt: skip
        yield from table(["n", "theirs", "ours"], rows)

    def _alpha(self) -> Iterator[str]:
        for corpus in self.figures["alpha"]:
            tokens, losses, contexts = envelope(corpus)
            found = {row.points: row for row in alpha_of_first_points(tokens, losses, contexts)}
            rows = []
            for i, m in enumerate(corpus["points"]):
                row = found[m]
                rows.append([
                    str(m), power(row.tokens), str(row.context), f"{row.loss:.3f}",
                    f"{number(corpus['value'][i], 4)} ± {number(corpus['error'][i], 4)}",
                    pair(*corpus["resampled"][i], 4),
                    f"{number(row.alpha, 4)} ± {number(row.error, 4)}",
                    pair(row.resampled_low, row.resampled_high, 4),
                ])  # fmt: skip
            yield f"### {corpus['corpus']}"
            yield from table(
                ["m", "last P", "T", "L", "theirs", "resampled", "ours", "resampled"], rows
            )
            slopes = -np.diff(np.log(losses)) / np.diff(np.log(tokens))
            yield (
                "From one size to the next the slope is "
                + " ".join(number(s) for s in slopes) + "."
            )  # fmt: skip
            yield ""

    def _rotary(self) -> Iterator[str]:
        (rotary,) = (c for c in self.curves if c["name"] == "TinyStories RoPE T512")
        rows = [
            [str(r.points), power(r.tokens), f"{r.loss:.3f}",
             f"{number(r.alpha, 4)} ± {number(r.error, 4)}"]
            for r in alpha_of_first_points(rotary["tokens"], rotary["losses"])
        ]  # fmt: skip
        yield from table(["m", "last P", "L", "raw slope"], rows)

    def _predicted(self) -> Iterator[str]:
        rows = []
        for case in self.figures["predicted"]:
            (gamma, d_gamma), (beta, d_beta) = case["gamma"], case["beta"]
            rows.append([
                case["corpus"], f"{number(gamma)} ± {number(d_gamma)}",
                f"{number(beta, 2)} ± {number(d_beta, 2)}",
                f"{number(case['alpha'][0])} ± {number(case['alpha'][1])}",
                f"{number(gamma / (2 * beta), 4)} ± "
                f"{number(alpha_error(gamma, d_gamma, beta, d_beta), 4)}",
            ])  # fmt: skip
        printed = self.figures["gamma"][0]
        for name, m in self.measured.items():
            half = (m.beta.high - m.beta.low) / 2 / 1.96
            rows.append([
                f"TinyStories, β of {name}", f"{number(printed['value'], 4)} ± "
                f"{number(printed['error'], 4)}", f"{number(m.beta.value)} ± {number(half)}", "–",
                f"{number(printed['value'] / (2 * m.beta.value), 4)} ± "
                f"{number(alpha_error(printed['value'], printed['error'], m.beta.value, half), 4)}",
            ])  # fmt: skip
        yield from table(["", "γ", "β", "α, theirs", "α by eqs. 42 and 56"], rows)

    def _first_context(self) -> Iterator[str]:
        known = self.figures["first_context"]
        fit = learning_limit(known["tokens"], known["loss"])
        rows = [
            ["theirs (T = 128, absolute positions)", number(known["limit"], 2),
             number(known["delta"])],
            ["ours (T = 512, rotary positions)",
             f"{number(fit.limit, 2)} {pair(fit.low, fit.high, 2)}",
             f"{number(fit.delta)} {pair(fit.delta_low, fit.delta_high)}"],
        ]  # fmt: skip
        yield from table(["", "limit, nats", "δ₁"], rows)
        if not fit.identifiable:
            yield ""
            yield f"Ours is not identified: {fit.reason}."


def law_cells(law: Any) -> list[str]:
    return [
        number(law.exponent, 4), number(law.error, 4), pair(law.low, law.high),
        pair(law.resampled_low, law.resampled_high),
    ]  # fmt: skip


def error_cells(gamma: Exponent) -> list[str]:
    """Standard error of the fit, and the interval of resampled points."""
    (fit,) = gamma.alternatives_of(AlternativeKind.FIT_ERROR)
    (resampled,) = gamma.alternatives_of(AlternativeKind.RESAMPLED_POINTS)
    return [number(fit.extra["standard_error"], 4), pair(resampled.low, resampled.high)]


def envelope(corpus: dict[str, Any]) -> tuple[list[float], list[float], list[int]]:
    """Tokens, losses and contexts of the authors' lower envelope."""
    if "loss" in corpus:
        return corpus["tokens"], corpus["loss"], corpus["context"]
    loss = [corpus["loss_by_context"][str(t)][i] for i, t in enumerate(corpus["context"])]
    return corpus["tokens"], loss, corpus["context"]


if __name__ == "__main__":
    main()
