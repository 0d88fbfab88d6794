"""The main job on real text: time, peak memory, norms and exponents.

    python benchmarks/bars.py CORPORA [--work DIR] [--picture docs/wikipedia.png]

CORPORA holds `wikipedia-en/part-*.jsonl.xz` and `tinystories/stories.jsonl.xz`. Each command runs
in its own process, so that its peak memory can be measured. A corpus that is in --work already is
not tokenized again, and the table then lacks the time for it. Writes benchmarks/results/bars.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import ngramstat
from ngramstat.kernels import build_info

HERE = Path(__file__).resolve().parent


def command(*arguments: object) -> dict[str, float]:
    """Run one ngramstat command; its wall seconds and peak resident bytes."""
    code = "from ngramstat.cli import main; main()"
    started = time.monotonic()
    child = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        raise SystemExit(f"{' '.join(map(str, arguments))}: exit status {status}")
    seconds = time.monotonic() - started
    return {"seconds": round(seconds, 1), "peak_rss_bytes": usage.ru_maxrss * 1024}


def slope(result: ngramstat.CorrelationResult, low: int, high: int) -> float:
    """Exponent of the norms between two lags, by least squares in log-log."""
    inside = (result.lags >= low) & (result.lags <= high)
    log_lag, log_norm = np.log(result.lags[inside]), np.log(result.norm[inside])
    return float(-np.polyfit(log_lag, log_norm, 1)[0])


def machine() -> dict[str, Any]:
    """Platform, processor, compiler, commit and load average."""
    info = {"platform": platform.platform(), "cores": os.cpu_count()}
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        info["cpu"] = next(line.split(":")[1].strip() for line in lines if "model name" in line)
    return {**info, **build_info(), "load": os.getloadavg()[0]}


def wikipedia(corpora: Path, work: Path, picture: Path | None) -> dict[str, Any]:
    table: dict[str, Any] = {}
    corpus = work / "wikipedia"
    if not (corpus / "corpus.json").exists():
        parts = sorted((corpora / "wikipedia-en").glob("part-*.jsonl.xz"))
        table["tokenize"] = command("tokenize", *parts, "-o", corpus)
    run = work / "wikipedia-run"
    table["measure"] = command("measure", corpus, "-o", run, "--overwrite")
    loaded = ngramstat.RunResult.load(run / "run.json")
    c = loaded.correlations
    assert c is not None
    table |= {
        "tokens": loaded.corpus["tokens"],
        "norm_lag_1": float(c.norm[0]),
        "beta_1_32": slope(c, 1, 32),
        "beta_32_512": slope(c, 32, 512),
        **{name: e.to_dict() for name, e in loaded.exponents.items()},
    }
    if picture is not None:
        loaded.plot().savefig(picture, dpi=110)
    return table


def tinystories(corpora: Path, work: Path) -> dict[str, Any]:
    table: dict[str, Any] = {}
    corpus = work / "tinystories"
    if not (corpus / "corpus.json").exists():
        table["tokenize"] = command(
            "tokenize", corpora / "tinystories" / "stories.jsonl.xz", "-o", corpus
        )
    out = work / "tinystories.json"
    table["correlations"] = command("correlations", corpus, "--lags", "1:200:18", "-o", out)
    c = ngramstat.RunResult.load(out).correlations
    assert c is not None
    return {
        **table,
        "lags": c.lags.tolist(),
        "norm": c.norm.tolist(),
        "beta_1_200": slope(c, 1, 200),
        "beta": c.beta.to_dict(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpora", type=Path)
    parser.add_argument(
        "--work", type=Path, help="directory for corpora and runs [default: temporary]"
    )
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        table = {
            "machine": machine(),
            "tinystories": tinystories(options.corpora, work),
            "wikipedia": wikipedia(options.corpora, work, options.picture),
        }
    output = HERE / "results" / "bars.json"
    output.parent.mkdir(exist_ok=True)
    output.write_text(json.dumps(table, indent=2) + "\n")
    print(json.dumps(table, indent=2))


if __name__ == "__main__":
    main()
