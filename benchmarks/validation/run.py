"""Trained transformers against the prediction, on a synthetic hierarchy and on real text.

    python benchmarks/validation/run.py CORPUS --work DIR [--rhm-budget 8m] [--text-budget 40m]

Both are calls of `ngramstat validate`, which are printed and resume where an earlier call ended.
The results are copied next to this file, into one folder each: validation.json, runs.csv, the
curves, summary.txt and the figures. --full trains at the sizes of the paper and needs a GPU.
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
COPIED = ("validation.json", "runs.csv", "summary.txt", "*.png", "curves-*.csv")
# Rules for which the loss of the last token has five plateaus below a million tokens.
RHM = ("--v", "8", "--m", "2", "--s", "2", "--levels", "5", "--tokens", "3.2e6")
RHM_SIZES = "640,1280,2560,5120,10240,20480,40960,81920,163840,327680,655360,1310720"
TEXT_SIZES = "1e5,2e5,4e5,8e5,1.6e6,3.2e6"
FULL_SIZES = "1e5,2e5,4e5,8e5,1.6e6,3.2e6,6.4e6,1.28e7,2.56e7,5.12e7"


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
    text = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
    (target / "validation.json").write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--measured", type=Path, help="a finished `measure` of the corpus")
    parser.add_argument("--rhm-budget", default="8m")
    parser.add_argument("--text-budget", default="40m")
    parser.add_argument("--full", action="store_true", help="the sizes of the paper; needs a GPU")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)

    world, run = options.work / "rhm", options.work / "rhm-validation"
    if not (world / "corpus.json").exists():
        call("synthesize", "rhm", *RHM, "-o", world)
    call(
        "validate", world, "-o", run, "--targets", "last", "--sizes", RHM_SIZES,
        "--trials", 3, "--budget", options.rhm_budget, "--held-out", "131072",
    )  # fmt: skip
    copy_results(run, "rhm")

    run = options.work / "text-validation"
    measured = [] if options.measured is None else ["--measured", options.measured]
    if options.full:
        call(
            "validate", options.corpus, "-o", run, *measured, "--sizes", FULL_SIZES,
            "--models", "gpt2,llama", "--size", "30M", "--contexts", "32,64,128,256",
            "--trials", 6, "--seeds", 2, "--budget", options.text_budget,
        )  # fmt: skip
        copy_results(run, "text-gpu")
        return
    call(
        "validate", options.corpus, "-o", run, *measured, "--sizes", TEXT_SIZES,
        "--trials", 1, "--budget", options.text_budget,
    )  # fmt: skip
    copy_results(run, "text")


if __name__ == "__main__":
    main()
