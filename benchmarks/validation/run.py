"""Trained transformers against the prediction, on a synthetic hierarchy and on real text.

    python benchmarks/validation/run.py CORPUS --work DIR [--rhm-budget 8m] [--text-budget 2h]
    python benchmarks/validation/run.py CORPUS --work DIR --gpu [--text-budget 10m]

All are calls of `ngramstat validate`, which are printed and resume where an earlier call ended. The
text is trained on by the protocol of Cagnetta et al.: CORPUS is TinyStories, of which the first
form needs 2.2 M tokens. With --gpu the models have the size of the paper's and CORPUS is Wikipedia,
of which as many sizes are trained as fit the budget, the smallest first. The results are copied
next to this file, into one folder each: validation.json, runs.csv, the curves, summary.txt and the
figures; `against_paper.py` then compares those of the text with the paper's.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
COPIED = ("validation.json", "runs.csv", "summary.txt", "losses.png", "slopes.png", "curves-*.csv")
# Rules for which the loss of the last token has five plateaus below a million tokens.
RHM = ("--v", "8", "--m", "2", "--s", "2", "--levels", "5", "--tokens", "3.2e6")
RHM_SIZES = "640,1280,2560,5120,10240,20480,40960,81920,163840,327680,655360,1310720"
# The paper's own sizes, from 2^18 on, and two below.
TEXT_SIZES = ",".join(str(1 << k) for k in range(16, 22))
GPU_SIZES = ",".join(str(1 << k) for k in range(20, 27))
# What is left must hold 2^21 tokens of a corpus of 2.24 M.
TEXT_HELD_OUT = ("--held-out", "100000", "--tuning", "16000")


def call(*arguments: object) -> None:
    """Print and run one ngramstat command."""
    words = [str(argument) for argument in arguments]
    print("$ ngramstat", shlex.join(words), flush=True)
    started = time.monotonic()
    command = [sys.executable, "-c", "from ngramstat.cli import main; main()"]
    subprocess.run([*command, *words], check=True)
    print(f"  {time.monotonic() - started:.0f} s", flush=True)


def copy_results(run: Path, name: str) -> None:
    """Copy the results of a run into the folder `name` next to this file."""
    target = HERE / name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for pattern in COPIED:
        for path in sorted(run.glob(pattern)):
            shutil.copy(path, target)
    # Directories of this machine mean nothing elsewhere.
    result = json.loads((target / "validation.json").read_text(encoding="utf-8"))
    for section, key in (("corpus", "path"), ("settings", "measured")):
        if result[section][key] is not None:
            result[section][key] = Path(result[section][key]).name
    text = json.dumps(result, ensure_ascii=False) + "\n"
    (target / "validation.json").write_text(text, encoding="utf-8")


def validate_hierarchy(work: Path, budget: str) -> None:
    """The hierarchy world, made first if it is not there."""
    world, run = work / "rhm", work / "rhm-validation"
    if not (world / "corpus.json").exists():
        call("synthesize", "rhm", *RHM, "-o", world)
    call(
        "validate", world, "-o", run, "--targets", "last", "--sizes", RHM_SIZES,
        "--trials", 3, "--budget", budget, "--held-out", "131072",
    )  # fmt: skip
    copy_results(run, "rhm")


def validate_text(
    corpus: Path, work: Path, measured: Path | None, budget: str, *, gpu: bool
) -> None:
    """The paper's protocol on a text, with small models or with those of the paper's size."""
    name = "text-gpu" if gpu else "text"
    run = work / f"{name}-validation"
    given = [] if measured is None else ["--measured", measured]
    if gpu:
        options = [
            "--models", "gpt2", "--size", "85M", "--contexts", "128,512", "--sizes", GPU_SIZES,
            "--device", "cuda", "--trials", 1,
        ]  # fmt: skip
    else:
        options = [
            "--models", "gpt2-rotary,gpt2", "--size", "3M", "--contexts", "128", "--sizes",
            TEXT_SIZES, "--trials", 6, *TEXT_HELD_OUT,
        ]  # fmt: skip
    call(
        "validate", corpus, "-o", run, "--protocol", "paper", "--no-capacity", *given, *options,
        "--budget", budget,
    )  # fmt: skip
    copy_results(run, name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--measured", type=Path, help="a finished `measure` of the corpus")
    parser.add_argument("--rhm-budget", default="8m")
    parser.add_argument("--text-budget", default="2h")
    parser.add_argument("--gpu", action="store_true", help="models of the paper's size, on a GPU")
    parser.add_argument("--only", choices=["rhm", "text"], help="one of the two")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    if not options.gpu and options.only != "text":
        validate_hierarchy(options.work, options.rhm_budget)
    if options.only != "rhm":
        validate_text(
            options.corpus, options.work, options.measured, options.text_budget, gpu=options.gpu
        )


if __name__ == "__main__":
    main()
