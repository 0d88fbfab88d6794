"""One corpus of a world, measured as `ngramstat measure` does, and many such draws on disk."""

from __future__ import annotations

import hashlib
import json
import math
import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ngramstat
from benchmarks.calibration.cases import CASES, Case
from ngramstat.exponents.fit import power_law
from ngramstat.prediction.predict import predict
from ngramstat.runtime.progress import Progress
from ngramstat.synthetic import RandomHierarchy

__all__ = ["Draws", "draw_all", "estimator_files", "estimators", "measure"]

_PACKAGE = Path(ngramstat.__file__).resolve().parent
_CSRC = Path(__file__).resolve().parents[2] / "csrc"
# The code that an estimate depends on besides its case: draws measured by other code are repeated.
_ESTIMATORS = (
    *("covariance", "entropy", "sampling", "linear_algebra", "exponents", "prediction"),
    *("kernels", "stages", "api"),
)


def estimator_files() -> list[tuple[str, Path]]:
    """(name, path) of every source file of the estimators and kernels, sorted by name.

    Names are relative to the package or to csrc, so that they do not depend on where it is
    installed.
    """
    files = []
    for name in _ESTIMATORS:
        path = _PACKAGE / name
        sources = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        files += [(source.relative_to(_PACKAGE).as_posix(), source) for source in sources]
    for pattern in ("src/**/*.cpp", "include/ngramstat/**/*.hpp"):
        files += [(f"csrc/{s.relative_to(_CSRC).as_posix()}", s) for s in _CSRC.glob(pattern)]
    return sorted(files)


def estimators() -> str:
    """Short hash of the code of the estimators and kernels."""
    digest = hashlib.sha256()
    for name, path in estimator_files():
        digest.update(name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def measure(case: Case, tokens: int, draw: int) -> dict[str, Any]:
    """Draw one corpus and measure it; returns plain JSON with the exact values."""
    world = case.world(draw)
    seed = zlib.crc32(f"{case.name} {tokens} {draw}".encode())
    if case.last_token:
        assert isinstance(world, RandomHierarchy)
        return _measure_last_token(case, world, tokens, seed)
    corpus = world.corpus(tokens, seed=seed)

    def sequential(lags: Sequence[int]) -> NDArray[np.float64]:
        # The exact curve holds for the world's own documents, not for documents that were cut.
        return np.full(len(lags), np.nan) if case.unequal else world.sequential_norms(lags)

    if case.unequal:
        corpus = _cut(corpus, case.unequal, seed)
    shared: dict[str, Any] = {
        "boundary": case.boundary, "replicates": case.replicates, "seed": seed % 2**31, "threads": 1
    }  # fmt: skip
    out: dict[str, Any] = {"seed": seed, "tokens": corpus.n_tokens}
    c = e = None
    if case.lags:
        c = ngramstat.correlations(
            corpus, lags=case.lags, singular_values=1, beta_window=case.beta_window, **shared
        )
        names = (
            *("norm", "norm_low", "norm_high", "norm_crossfit", "norm_debiased"),
            *("norm_sequential", "norm_sequential_debiased", "noise_floor", "valid"),
        )
        out["c"] = {name: _list(getattr(c, name)) for name in names}
        out["c"] |= {
            "exact": _list(world.norms(case.lags, case.boundary)),
            "exact_sequential": _list(sequential(case.lags)),
            "pairs": _list(c.pairs),
        }
        out["beta"] = _exponent(c.beta)
        out["beta_sequential"] = _exponent(c.beta_sequential)
        for name, curve in (
            ("beta", lambda lags: world.norms(lags, case.boundary)),
            ("beta_sequential", sequential),
        ):
            out[name]["exact_in_window"] = _slope(case.lags, getattr(c, name), curve)
    if case.max_context >= 0:
        e = ngramstat.entropies(corpus, max_context=case.max_context, **shared)
        names = ("plug_in", "miller_madow", "chao_shen", "held_out", "estimate", "low",
                 "high", "resolved")  # fmt: skip
        out["e"] = {name: _list(getattr(e, name)) for name in names}
        out["e"]["exact"] = _list(world.entropies(case.max_context, case.boundary))
        out["gamma"] = _exponent(e.gamma)
    if c is not None and e is not None:
        out["alpha"] = _exponent(predict(c, e).alpha)
    return out


def _cut(corpus: ngramstat.Corpus, sigma: float, seed: int) -> ngramstat.Corpus:
    """The same tokens in documents of log-normal lengths, about 1000 tokens on average."""
    rng = np.random.default_rng([seed, 1])
    mean = 1000.0
    lengths = rng.lognormal(np.log(mean) - sigma**2 / 2, sigma, 2 * corpus.n_tokens // int(mean))
    ends = np.cumsum(np.maximum(lengths.astype(np.int64), 1))
    ends = np.append(ends[ends < corpus.n_tokens], corpus.n_tokens)
    return ngramstat.Corpus.from_arrays(
        corpus.tokens, vocab_size=corpus.vocab_size, document_ends=ends
    )


def _slope(
    lags: Sequence[int], fitted: ngramstat.Exponent, curve: Callable[[list[int]], Any]
) -> float | None:
    """Log-log slope of an exact curve over the lags of a fit, with the weights of that fit."""
    if fitted.window is None:
        return None
    inside = [t for t in lags if fitted.window[0] <= t <= fitted.window[1]]
    exact = curve(inside)
    if len(inside) < 2 or len(inside) != fitted.points or not np.all(exact > 0):
        return None
    return power_law(inside, exact, fitted.weights).exponent


def _measure_last_token(
    case: Case, world: RandomHierarchy, tokens: int, seed: int
) -> dict[str, Any]:
    """Measure the pairs (token at the lag before the last, last token) of all strings.

    Each pair becomes a document of two tokens.
    """
    d = world.document_length
    n = world.n_documents(tokens)
    pairs_by_lag: dict[int, list[NDArray[Any]]] = {lag: [] for lag in case.lags}
    rest = np.zeros(0, world.dtype)
    for piece in world.pieces(n * d, seed=seed):
        # Pieces end anywhere: an incomplete string waits for the next piece.
        rest = np.concatenate([rest, piece])
        complete = len(rest) // d * d
        strings, rest = rest[:complete].reshape(-1, d), rest[complete:]
        for lag in case.lags:
            pairs_by_lag[lag].append(strings[:, [d - 1 - lag, d - 1]])
    out: dict[str, Any] = {"seed": seed, "tokens": n * d}
    columns: dict[str, list[Any]] = {}
    for lag in case.lags:
        pairs = np.concatenate(pairs_by_lag[lag])
        corpus = ngramstat.Corpus.from_arrays(
            pairs.reshape(-1), vocab_size=world.v, document_ends=2 * np.arange(1, len(pairs) + 1)
        )
        c = ngramstat.correlations(
            corpus, lags=[1], boundary="document", singular_values=1, seed=seed % 2**31,
            replicates=case.replicates, threads=1,
        )  # fmt: skip
        covariance = world.tree.pair_covariance(d - 1 - lag, d - 1)
        # Bias of the squared Frobenius norm by noise, for nearly independent pairs.
        p, q = (np.bincount(pairs[:, k], minlength=world.v) / len(pairs) for k in (0, 1))
        noise = float((1 - p @ p) * (1 - q @ q)) / len(pairs)
        row = {
            name: _list(getattr(c, name))[0]
            for name in ("norm", "norm_crossfit", "norm_debiased", "norm_low", "norm_high",
                         "noise_floor", "valid")
        }  # fmt: skip
        row |= {
            "exact": float(np.linalg.norm(covariance, 2)),
            "pairs": len(pairs),
            "exact_frobenius_squared": float(np.sum(covariance**2)),
            "frobenius_squared": float(c.frobenius[0]) ** 2 - noise,
        }
        # Documents of two tokens have no composition to subtract.
        row |= dict.fromkeys(("norm_sequential", "norm_sequential_debiased", "exact_sequential"))
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    out["c"] = columns
    return out


def _list(values: Any) -> list[Any]:
    """A list for JSON, with None for NaN and infinity."""
    return [
        None if isinstance(x, float) and not math.isfinite(x) else x
        for x in np.asarray(values).tolist()
    ]


def _exponent(e: ngramstat.Exponent | None) -> dict[str, Any]:
    if e is None:
        return {}
    return {
        "value": e.value, "low": e.low, "high": e.high, "reportable": e.reportable,
        "reason": e.reason, "window": None if e.window is None else list(e.window),
    }  # fmt: skip


def _run(name: str, tokens: int, draw: int) -> tuple[str, int, int, dict[str, Any], float]:
    case = next(c for c in CASES if c.name == name)
    started = time.monotonic()
    row = measure(case, tokens, draw)
    return name, tokens, draw, row, time.monotonic() - started


class Draws:
    """Draws saved on disk, one line of JSON each.

    Parameters
    ----------
    directory : Path
    keep : bool
        Whether to use draws measured by other versions of the estimators, too.
    """

    def __init__(self, directory: Path, *, keep: bool = False) -> None:
        self.directory, self.keep = directory, keep
        self._code = estimators()
        directory.mkdir(parents=True, exist_ok=True)

    def path(self, case: Case, tokens: int) -> Path:
        name = "".join(ch if ch.isalnum() else "-" for ch in case.name)
        return self.directory / f"{name}-{tokens}.jsonl"

    def load(self, case: Case, tokens: int) -> dict[int, dict[str, Any]]:
        """Saved draws of a case at one size, by the number of the draw."""
        path = self.path(case, tokens)
        rows: dict[int, dict[str, Any]] = {}
        if path.exists():
            text = path.read_text(encoding="utf-8")
            if text and not text.endswith("\n"):
                with open(path, "a", encoding="utf-8") as file:
                    file.write("\n")  # so that the next draw starts on a new line
            for line in text.splitlines():
                try:
                    row = json.loads(line)
                except ValueError:
                    continue  # cut short by an interruption: the draw is repeated
                if row["draw"] < case.draws[tokens] and (
                    self.keep or row["estimators"] == self._code
                ):
                    rows[row["draw"]] = row
        return rows

    def add(self, case: Case, tokens: int, draw: int, row: dict[str, Any]) -> None:
        with open(self.path(case, tokens), "a", encoding="utf-8") as file:
            file.write(json.dumps({"draw": draw, "estimators": self._code, **row}) + "\n")


def draw_all(cases: list[Case], draws: Draws, workers: int) -> None:
    """Measure the draws that are not saved yet, small corpora first."""
    missing = []
    for case in cases:
        for tokens, count in case.draws.items():
            done = draws.load(case, tokens)
            missing += [(tokens, case, k) for k in range(count) if k not in done]
    # By size, then by number: every case gets its first draw before any gets its second.
    missing.sort(key=lambda job: (job[0], job[2]))
    total = sum(tokens for tokens, _, _ in missing)
    with (
        Progress(total, "calibration", unit="tok") as bar,
        ProcessPoolExecutor(workers) as pool,
    ):
        jobs = [pool.submit(_run, case.name, tokens, k) for tokens, case, k in missing]
        by_name = {case.name: case for case in cases}
        for job in as_completed(jobs):
            name, tokens, k, row, seconds = job.result()
            draws.add(by_name[name], tokens, k, {**row, "seconds": round(seconds, 3)})
            bar.advance(tokens)
