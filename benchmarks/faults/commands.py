"""The commands that are put to the test, and what they read."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import numpy as np

from benchmarks.faults.running import clean_up, run

__all__ = ["COMMANDS", "CONTINUED", "QUICK", "READERS", "WITH_TORCH", "make_inputs"]

# By name: the arguments, with {i} for the directory of inputs. All write to the working directory.
COMMANDS = {
    "tokenize": "tokenize {i}/text.jsonl.gz -o out --vocab-size 300",
    "convert corpus": "convert {i}/corpus --to corpus -o out",
    "convert megatron": "convert {i}/corpus --to megatron -o out",
    "convert nanogpt": "convert {i}/corpus --to nanogpt -o out.bin",
    "convert npy": "convert {i}/corpus --to npy -o out.npy",
    "synthesize": "synthesize runs --mu 0.7 --tokens 2e5 -o out",
    "measure": "measure {i}/corpus -o out --lags 1,2,4,8 --max-context 2 --replicates 20 "
    "--predictor kneser-ney --learning-sizes 2",
    "measure mixture": "measure {i}/corpus -o out --lags 1 --max-context 1 --replicates 20 "
    "--learning-sizes 1",
    "correlations": "correlations {i}/corpus -o out.json --lags 1,2 --replicates 20",
    "entropies": "entropies {i}/corpus -o out.json --max-context 1 --replicates 20 "
    "--predictor kneser-ney --learning-sizes 1",
    "plan": "plan {i}/corpus -o out.json --lags 1 --max-context 1",
    "predict": "predict {i}/run --tokens 1e6 -o out.json",
    "report": "report {i}/run -o out.html",
    "compare": "compare {i}/run {i}/run -o out.html",
    "index build": "index build {i}/corpus -o out",
    "index overlap": "index overlap {i}/index {i}/text.jsonl.gz -o out.json",
    "model train": "model train {i}/corpus -o out --order 3",
    "model export": "model export {i}/model -o out.arpa",
    "counts pairs npz": "counts pairs {i}/corpus -o out.npz --window 3",
    "counts pairs mapped": "counts pairs {i}/corpus -o out --to mapped --window 3",
    "counts ngrams npz": "counts ngrams {i}/corpus -o out.npz -n 3",
    "counts ngrams npy": "counts ngrams {i}/corpus -o out -n 3",
    "shards": "shards run {i}/shard-1 {i}/shard-2 -o out --lags 1,2 --max-context 2 --ranges 4 "
    "--replicates 20",
    "slurm": "slurm {i}/corpus -o out --tasks 3 --lags 1,2 --max-context 1 --replicates 20 "
    "--predictor kneser-ney --learning-sizes 1",
    "validate": "validate {i}/corpus -o out --measured {i}/run --contexts 8 --sizes 500,1000 "
    "--trials 1 --no-capacity --held-out 2048 --tuning 512",
    "read": "read {i}/trained {i}/corpus -o out.csv --context 8 --tokens 2000 --batch 32",
}
WITH_TORCH = ("validate", "read")
QUICK = ("synthesize", "convert megatron", "correlations", "index build", "counts pairs mapped")

# What reads each of the inputs, and whether its checksum has to notice every changed bit.
READERS = {
    "corpus/tokens.bin": ("correlations {i}/corpus --lags 1 --replicates 20", True),
    "corpus/documents.bin": ("inspect {i}/corpus", False),
    "corpus/corpus.json": ("inspect {i}/corpus", False),
    "corpus/tokenizer.json": ("index build {i}/corpus -o out", False),
    "index": ("index verify {i}/index", True),
    "model": ("model verify {i}/model", True),
    "run/run.json": ("report {i}/run -o out.html", False),
    "run/parts": ("measure {i}/corpus -o {i}/run --lags 1,2 --max-context 1 --replicates 20 "
                  "--predictor kneser-ney --learning-sizes 1", True),
    "shards/rounds": ("shards run {i}/shard-1 {i}/shard-2 -o {i}/shards --lags 1,2 "
                      "--max-context 2 --ranges 4 --replicates 20", True),
    "text.jsonl.gz": ("tokenize {i}/text.jsonl.gz -o out --vocab-size 300", True),
    "store.bin": ("inspect {i}/store.bin", False),
    "store.idx": ("inspect {i}/store.bin", False),
    "store.npy": ("inspect {i}/store.npy", False),
}  # fmt: skip
# Those that belong to an output, which their command goes on with.
CONTINUED = {"run/parts": "run", "shards/rounds": "shards"}


def make_inputs(directory: Path, *, with_torch: bool) -> None:
    """Write all inputs, unless they are there.

    Parameters
    ----------
    directory
    with_torch
        Also what the commands of `WITH_TORCH` read.

    Raises
    ------
    RuntimeError
        A command failed.
    """
    if not (directory / "complete").exists():
        directory.mkdir(parents=True, exist_ok=True)
        _make_corpora(directory)
        (directory / "complete").touch()
    if with_torch and not (directory / "trained").exists():
        _run_all([f"{COMMANDS['validate'].format(i='.')} --sizes 500"], directory)
        (trained,) = (directory / "out" / "runs").iterdir()
        shutil.copytree(trained, directory / "trained")
        shutil.rmtree(directory / "out")


def _make_corpora(directory: Path) -> None:
    rng = np.random.default_rng(1)
    words = ["".join(rng.choice(list("abcdefgh"), rng.integers(2, 7))) for _ in range(200)]
    texts = [" ".join(words[k] for k in np.minimum(rng.zipf(1.5, 300), 200) - 1) for _ in range(60)]
    for name, some in (("text", texts), ("text-1", texts[:25]), ("text-2", texts[25:])):
        with gzip.GzipFile(directory / f"{name}.jsonl.gz", "wb", mtime=0) as file:
            for text in some:
                file.write(json.dumps({"text": text}).encode() + b"\n")
    shards = [
        f"tokenize text-{k}.jsonl.gz -o shard-{k} --tokenizer corpus/tokenizer.json --overwrite"
        for k in (1, 2)
    ]
    commands = [
        "tokenize text.jsonl.gz -o corpus --vocab-size 300 --overwrite",
        "measure corpus -o run --overwrite --lags 1,2 --max-context 1 --replicates 20 "
        "--predictor kneser-ney --learning-sizes 1",
        "index build corpus -o index --overwrite",
        "model train corpus -o model --order 3",
        "convert corpus --to megatron -o store --overwrite",
        "convert corpus --to npy -o store.npy --overwrite",
        *shards,
        READERS["shards/rounds"][0].format(i="."),
    ]
    _run_all(commands, directory)


def _run_all(commands: list[str], directory: Path) -> None:
    for command in commands:
        outcome = run(["--quiet", *command.split()], directory)
        if outcome.code != 0:
            raise RuntimeError(f"{command}: {outcome.errors}")
    clean_up(directory)
