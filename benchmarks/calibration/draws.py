"""One corpus of a world, measured as `ngramstat measure` does; and many of them, kept on disk."""

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

__all__ = ["Draws", "draw_all", "estimators", "measure"]

_ROOT = Path(ngramstat.__file__).resolve().parent
# What an estimate depends on besides its case: draws made with other code are made again.
_ESTIMATORS = ("statistics", "exponents", "kernels", "pipeline.py")
_KERNELS = Path(__file__).resolve().parents[2] / "csrc"


def estimators() -> str:
    """Short hash of the code of the estimators and kernels."""
    files = [f for name in _ESTIMATORS for f in (_ROOT / name, *(_ROOT / name).glob("*.py"))]
    files += [*_KERNELS.glob("src/*.cpp"), *_KERNELS.glob("include/ngramstat/*.hpp")]
    digest = hashlib.sha256()
    # By folder and name: the same wherever the package is installed.
    for file in sorted((f for f in files if f.is_file()), key=lambda f: (f.parent.name, f.name)):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]


def measure(case: Case, tokens: int, draw: int) -> dict[str, Any]:
    """Draws one corpus and measures it; plain JSON with the exact values beside."""
    world = case.world(draw)
    seed = zlib.crc32(f"{case.name} {tokens} {draw}".encode())
    if case.last_token:
        assert isinstance(world, RandomHierarchy)
        return _measure_last_token(case, world, tokens, seed)
    corpus = world.corpus(tokens, seed=seed)

    def sequential(lags: Sequence[int]) -> NDArray[np.float64]:
        # That of the world's own documents, not of the cut ones.
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
        names = ("plug_in", "miller_madow", "chao_shen", "held_out", "limit", "limit_low",
                 "limit_high", "resolved")  # fmt: skip
        out["e"] = {name: _list(getattr(e, name)) for name in names}
        out["e"]["exact"] = _list(world.entropies(case.max_context, case.boundary))
        out["gamma"] = _exponent(e.gamma)
    if c is not None and e is not None:
        out["alpha"] = _exponent(predict(c, e).alpha)
    return out


def _cut(corpus: ngramstat.Corpus, sigma: float, seed: int) -> ngramstat.Corpus:
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
    """Slope of an exact curve over the lags of a fit, with its weights, in log-log."""
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
    """Pairs (token t before the last, last) of every string, each a document of two tokens."""
    d = world.document_length
    n = world.n_documents(tokens)
    key_tokens: dict[int, list[NDArray[Any]]] = {lag: [] for lag in case.lags}
    rest = np.zeros(0, world.dtype)
    for piece in world.pieces(n * d, seed=seed):
        rest = np.concatenate([rest, piece])
        whole = len(rest) // d * d
        strings, rest = rest[:whole].reshape(-1, d), rest[whole:]
        for lag in case.lags:
            key_tokens[lag].append(strings[:, [d - 1 - lag, d - 1]])
    out: dict[str, Any] = {"seed": seed, "tokens": n * d}
    columns: dict[str, list[Any]] = {}
    for lag in case.lags:
        pairs = np.concatenate(key_tokens[lag])
        corpus = ngramstat.Corpus.from_arrays(
            pairs.reshape(-1), vocab_size=world.v, document_ends=2 * np.arange(1, len(pairs) + 1)
        )
        c = ngramstat.correlations(
            corpus, lags=[1], boundary="document", singular_values=1, seed=seed % 2**31,
            replicates=case.replicates, threads=1,
        )  # fmt: skip
        covariance = world.tree.pair_covariance(d - 1 - lag, d - 1)
        # What noise adds to the squared Frobenius norm of nearly independent pairs.
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
        # Pairs at fixed positions have no composition to take off.
        row |= dict.fromkeys(("norm_sequential", "norm_sequential_debiased", "exact_sequential"))
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    out["c"] = columns
    return out


def _list(values: Any) -> list[Any]:
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
    found = measure(case, tokens, draw)
    return name, tokens, draw, found, time.monotonic() - started


class Draws:
    """Draws kept on disk, one line each.

    Parameters
    ----------
    directory : Path
    keep : bool
        Whether draws made with other versions of the estimators count too.
    """

    def __init__(self, directory: Path, *, keep: bool = False) -> None:
        self.directory, self.keep = directory, keep
        self._code = estimators()
        directory.mkdir(parents=True, exist_ok=True)

    def path(self, case: Case, tokens: int) -> Path:
        name = "".join(ch if ch.isalnum() else "-" for ch in case.name)
        return self.directory / f"{name}-{tokens}.jsonl"

    def load(self, case: Case, tokens: int) -> dict[int, dict[str, Any]]:
        path = self.path(case, tokens)
        found: dict[int, dict[str, Any]] = {}
        if path.exists():
            text = path.read_text(encoding="utf-8")
            if text and not text.endswith("\n"):
                with open(path, "a", encoding="utf-8") as file:
                    file.write("\n")  # so that the next draw begins a line of its own
            for line in text.splitlines():
                try:
                    row = json.loads(line)
                except ValueError:
                    continue  # a line that an interruption cut short is drawn again
                if row["draw"] < case.draws[tokens] and (
                    self.keep or row["estimators"] == self._code
                ):
                    found[row["draw"]] = row
        return found

    def add(self, case: Case, tokens: int, draw: int, row: dict[str, Any]) -> None:
        with open(self.path(case, tokens), "a", encoding="utf-8") as file:
            file.write(json.dumps({"draw": draw, "estimators": self._code, **row}) + "\n")


def draw_all(cases: list[Case], draws: Draws, workers: int) -> None:
    """Makes the draws that are not there yet: small corpora first, then the first of every case."""
    wanted = []
    for case in cases:
        for tokens, count in case.draws.items():
            done = draws.load(case, tokens)
            wanted += [(tokens, case, k) for k in range(count) if k not in done]
    wanted.sort(key=lambda job: (job[0], job[2]))
    total = sum(tokens for tokens, _, _ in wanted)
    with (
        Progress(total, "calibration", unit="tok") as bar,
        ProcessPoolExecutor(workers) as pool,
    ):
        jobs = [pool.submit(_run, case.name, tokens, k) for tokens, case, k in wanted]
        by_name = {case.name: case for case in cases}
        for job in as_completed(jobs):
            name, tokens, k, row, seconds = job.result()
            draws.add(by_name[name], tokens, k, {**row, "seconds": round(seconds, 3)})
            bar.advance(tokens)
