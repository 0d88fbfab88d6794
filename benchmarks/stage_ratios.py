"""CPU time of every stage of a measurement, relative to a plain way of the same job.

    python -m benchmarks.stage_ratios [--write]

The smallest size of end_to_end.py: some hundred thousand tokens of Python's standard library, one
thread. Each stage and its yardstick (plain_ways.py) take turns in one process, answers are
compared, and the smallest CPU time of each counts, so that other work on the machine hardly
matters. `--write` stores the ratios in results/stage_ratios.json, for each instruction set that
this processor has; tests/test_stage_ratios.py fails where a ratio has doubled.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

import ngramstat
from benchmarks import plain_ways
from benchmarks.bars import machine
from ngramstat.boundary import Boundary
from ngramstat.covariance.options import CorrelationOptions
from ngramstat.entropy.counts import plug_in
from ngramstat.entropy.options import EntropyOptions
from ngramstat.kernels import simd_level
from ngramstat.ngram_models.split_streams import split_streams
from ngramstat.quickstart import standard_library_sources
from ngramstat.runtime.workspace import Workspace
from ngramstat.sampling.design import SamplingDesign
from ngramstat.sampling.options import SamplingOptions
from ngramstat.stages.runner import stages_of

__all__ = ["STORED", "Case", "Example", "cases", "measure_ratios", "stored_ratios"]

STORED = Path(__file__).resolve().parent / "results" / "stage_ratios.json"
_BYTES, _VOCAB_SIZE = 600_000, 1024
# Tokens of the stages, and of the mixture, which takes longest.
_TOKENS, _FEW_TOKENS = 150_000, 20_000
_LAGS, _MAX_CONTEXT, _SIZES, _REPLICATES = (1, 8), 4, 3, 99
_ROUNDS = 3


class _NoProgress:
    def advance(self, amount: float = 1) -> None:
        """Show nothing."""


class Example:
    """Texts, their tokens, and the stages that measure them.

    Parameters
    ----------
    directory : Path
        For the tokenizer and the corpora made with it.
    """

    def __init__(self, directory: Path) -> None:
        from tokenizers import ByteLevelBPETokenizer

        self.directory = directory
        self.sources: list[Path] = []
        size = 0
        for path in standard_library_sources()[0]:
            if size + path.stat().st_size <= _BYTES:
                self.sources.append(path)
                size += path.stat().st_size
        library = ByteLevelBPETokenizer()
        library.train(
            list(map(str, self.sources[:20])), _VOCAB_SIZE, show_progress=False,
            special_tokens=["<|endoftext|>"],
        )  # fmt: skip
        self.tokenizer = directory / "tokenizer.json"
        library.save(str(self.tokenizer))

    def tokenize(self) -> ngramstat.Corpus:
        """The corpus of all texts, one document each."""
        return ngramstat.tokenize(
            self.sources, self.directory / "corpus", tokenizer=str(self.tokenizer),
            document="file", overwrite=True, progress=False, threads=1,
        )  # fmt: skip

    @cached_property
    def corpus(self) -> ngramstat.Corpus:
        """The first tokens of the corpus."""
        return self._head(_TOKENS)

    @cached_property
    def short_corpus(self) -> ngramstat.Corpus:
        return self._head(_FEW_TOKENS)

    def _head(self, tokens: int) -> ngramstat.Corpus:
        whole = self.tokenize()
        ends = np.asarray(whole.document_ends)
        ends = np.append(ends[ends < tokens], tokens)
        return ngramstat.Corpus.from_arrays(
            np.array(whole.tokens[:tokens]), vocab_size=whole.vocab_size, document_ends=ends,
            separator=whole.separator,
        )  # fmt: skip

    def stage(self, name: str, corpus: ngramstat.Corpus) -> list[Any]:
        """The values of all parts of one stage, computed on one thread."""
        design = SamplingDesign(corpus, SamplingOptions(replicates=_REPLICATES))
        correlations = CorrelationOptions(lags=_LAGS, replicates=_REPLICATES)
        entropies = EntropyOptions(
            max_context=_MAX_CONTEXT, learning_sizes=_SIZES, replicates=_REPLICATES
        )
        (stage,) = (s for s in stages_of(design, correlations, entropies) if s.name == name)
        return list(stage.compute(stage.parts(), Workspace(threads=1), _NoProgress()))

    def split(self, corpus: ngramstat.Corpus) -> tuple[NDArray[Any], NDArray[Any]]:
        """The training and the held-out tokens of the stages."""
        design = SamplingDesign(corpus, SamplingOptions(replicates=_REPLICATES))
        with split_streams(
            design.held_out_split(None), boundary=Boundary.STREAM, max_context=_MAX_CONTEXT,
            workspace=Workspace(),
        ) as streams:  # fmt: skip
            return np.array(streams.training), np.array(streams.held_out)


@dataclass(frozen=True)
class Case:
    """A stage, its yardstick, and whether their answers agree."""

    ours: Callable[[], Any]
    plain: Callable[[], Any]
    agree: Callable[[Any, Any], bool]


def _near(tolerance: float) -> Callable[[Any, Any], bool]:
    return lambda ours, plain: bool(np.allclose(ours, plain, rtol=0, atol=tolerance))


def _library_tokens(example: Example) -> int:
    from tokenizers import Tokenizer

    library = Tokenizer.from_file(str(example.tokenizer))
    # One by one: threads that wait for each other take CPU time, too.
    return sum(len(library.encode(p.read_text(encoding="utf-8")).ids) for p in example.sources)


def cases(example: Example) -> dict[str, Case]:
    """What is compared, by the name of the stage."""
    corpus, short = example.corpus, example.short_corpus
    tokens, size = np.array(corpus.tokens).astype(np.int64), corpus.vocab_size
    training, held_out = example.split(corpus)
    few, held_out_few = example.split(short)
    order = _MAX_CONTEXT + 1
    return {
        "tokenize": Case(
            lambda: _content(example.tokenize()),
            lambda: _library_tokens(example),
            lambda ours, plain: ours == plain,
        ),
        "C(t)": Case(
            lambda: [part.norm for part in example.stage("C(t)", corpus)],
            lambda: plain_ways.numpy_norms(tokens, size, _LAGS),
            lambda ours, plain: bool(np.allclose(ours, plain, rtol=1e-4)),
        ),
        "H(n) counts": Case(
            lambda: plug_in(example.stage("H(n) counts", corpus)[0].whole),
            lambda: plain_ways.numpy_entropies(tokens, size, _MAX_CONTEXT),
            _near(0.01),
        ),
        "H(n) held out": Case(
            lambda: example.stage("H(n) held out", corpus)[0].full_context_loss,
            lambda: [
                plain_ways.numpy_kneser_ney(training, held_out, size, order),
                *plain_ways.numpy_learning(training, held_out, size, order, _SIZES),
            ][0],
            _near(0.05),
        ),
        "H(n) mixture": Case(
            lambda: example.stage("H(n) mixture", short)[0].losses.sum(axis=0) / len(held_out_few),
            lambda: plain_ways.numpy_mixture(few, held_out_few, size),
            lambda ours, plain: float(ours.min()) < plain,
        ),
    }


def _content(corpus: ngramstat.Corpus) -> int:
    """Tokens that are no separators."""
    return int(np.count_nonzero(np.asarray(corpus.tokens) != corpus.separator))


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.process_time()
    answer = work()
    return time.process_time() - started, answer


def measure_ratios(
    compared: Mapping[str, Case],
    *,
    rounds: int = _ROUNDS,
    limits: Mapping[str, float] | None = None,
) -> dict[str, tuple[float, float]]:
    """(CPU seconds of ours, of the yardstick) by stage: the smallest of interleaved rounds.

    With `limits`, a stage is not measured again once its ratio is within its limit.

    Raises
    ------
    ValueError
        The two answers differ.
    """
    best = {name: (float("inf"), float("inf")) for name in compared}
    # Idle threads of a linear-algebra library spin, which would count.
    with threadpool_limits(1):
        for _ in range(rounds):
            for name, case in compared.items():
                ours, plain = best[name]
                if limits is not None and ours < limits[name] * plain and plain < float("inf"):
                    continue
                (a, answer), (b, expected) = _timed(case.ours), _timed(case.plain)
                if not case.agree(answer, expected):
                    raise ValueError(f"{name}: the plain way gives {expected}, ours {answer}")
                best[name] = min(ours, a), min(plain, b)
    return best


def stored_ratios(names: Iterable[str]) -> dict[str, float]:
    """The committed ratios for this instruction set, or the largest of all others."""
    stored = json.loads(STORED.read_text())["ratios"]
    level = simd_level()
    return {
        name: stored[level][name] if level in stored else max(s[name] for s in stored.values())
        for name in names
    }


def _write() -> None:
    """Measure in one process for each instruction set, and store."""
    ratios = {}
    for level in ("avx512", "avx2", "scalar"):
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.stage_ratios"], check=False, capture_output=True,
            text=True, cwd=Path(__file__).resolve().parent.parent,
            env={**os.environ, "NGRAMSTAT_SIMD": level},
        )  # fmt: skip
        if done.returncode == 0:
            rows = json.loads(done.stdout)
            ratios[level] = {name: round(row["ratio"], 4) for name, row in rows.items()}
        elif "does not have it" not in done.stderr:
            raise SystemExit(done.stderr)
    STORED.write_text(json.dumps({"machine": machine(), "ratios": ratios}, indent=2) + "\n")
    print(STORED.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"store the ratios in {STORED.name}")
    if parser.parse_args().write:
        _write()
        return
    with tempfile.TemporaryDirectory() as directory:
        found = measure_ratios(cases(Example(Path(directory))))
    print(
        json.dumps(
            {
                name: {"seconds": ours, "plain_seconds": plain, "ratio": ours / plain}
                for name, (ours, plain) in found.items()
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
