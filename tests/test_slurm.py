"""The script that `slurm` writes, with a stand-in for sbatch that runs jobs at once."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import ngramstat
from ngramstat.cli import main
from test_covariance_measurement import zipf
from test_parts import sections

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a script for bash")

# Knows the options that the script uses; any other ends it. Tasks of an array run one after the
# other, and a job that depends on another only after it.
SBATCH = """#!/bin/bash
set -euo pipefail
here=$(dirname "$0")
array="" output="" after=""
for word in "$@"; do
    case $word in
        --parsable | --job-name=* | --cpus-per-task=3 | --mem=*M | --time=*-*:*:00) ;;
        --partition=short | --qos=long) ;;
        --chdir=*) cd "${word#--chdir=}" ;;
        --array=1-*) array=${word#--array=1-} ;;
        --output=*) output=${word#--output=} ;;
        --dependency=afterany:*) after=${word#--dependency=afterany:} ;;
        *) echo "sbatch: unknown option $word" >&2; exit 1 ;;
    esac
done
number=$(cat "$here/jobs" 2>/dev/null || echo 40)
echo "$*" >>"$here/asked"
if [[ -n $after && $after != "$number" ]]; then
    echo "sbatch: no job $after" >&2
    exit 1
fi
echo $((number + 1)) >"$here/jobs"
cat >"$here/script"
if [[ -n $array ]]; then
    for task in $(seq "$array"); do
        SLURM_ARRAY_TASK_ID=$task bash "$here/script" >"${output//%a/$task}" 2>&1
    done
else
    bash "$here/script" >"$output" 2>&1
fi
echo "$((number + 1));cluster"
"""

OPTIONS = [
    "--vocab-size", "300", "--lags", "1:4", "--max-context", "2", "--replicates", "50",
    "--learning-sizes", "3", "--no-sequential",
]  # fmt: skip


@pytest.fixture
def stored(tmp_path) -> Path:
    path = tmp_path / "tokens of a corpus.npy"
    np.save(path, zipf(300, 60_000, seed=3))
    return path


def write_script(stored: Path, directory: Path, *words: str) -> str:
    done = CliRunner().invoke(
        main,
        [
            "--seed", "3", "slurm", str(stored), "-o", str(directory), *OPTIONS, "--tasks", "3",
            "--cpus-per-task", "3", *words,
        ],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert f"Wrote {directory / 'slurm.sh'}: 3 tasks of 3 cores" in done.output
    return (directory / "slurm.sh").read_text()


def test_the_script_measures_what_one_process_does(stored, tmp_path):
    directory = tmp_path / "a run"
    further = ["--partition", "short", "--sbatch=--qos=long", "--setup", "export GREETING='a b'"]
    script = write_script(stored, directory, *further)
    assert "GREETING" in script
    programs = tmp_path / "bin"
    programs.mkdir()
    sbatch = programs / "sbatch"
    sbatch.write_text(SBATCH)
    sbatch.chmod(sbatch.stat().st_mode | stat.S_IXUSR)
    done = subprocess.run(
        ["bash", str(directory / "slurm.sh")], capture_output=True, text=True, check=False,
        env={**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
    )  # fmt: skip
    logs = {path.name: path.read_text() for path in (directory / "slurm-logs").iterdir()}
    assert done.returncode == 0, done.stderr + str(logs)
    assert done.stdout == "Submitted 41 (parts 1 to 3) and 42 (assembly)\n"
    assert set(logs) == {"part-1.txt", "part-2.txt", "part-3.txt", "assembly.txt"}
    assert "Share 2 of 3: computed" in logs["part-2.txt"]
    plain = subprocess.run(
        [sys.executable, "-m", "ngramstat", "--seed", "3", "measure", str(stored), "-o",
         str(tmp_path / "plain"), *OPTIONS],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert plain.returncode == 0, plain.stderr
    assembled, whole = (
        ngramstat.RunResult.load(path / "run.json") for path in (directory, tmp_path / "plain")
    )
    assert sections(assembled) == sections(whole)


def test_shellcheck_finds_nothing(stored, tmp_path):
    shellcheck = shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("shellcheck is not installed")
    write_script(stored, tmp_path / "a run")
    done = subprocess.run(
        [shellcheck, str(tmp_path / "a run" / "slurm.sh")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_memory_and_time_are_asked_for(stored, tmp_path):
    # More than the process of the tests itself has by then.
    script = write_script(stored, tmp_path / "run", "--memory-limit", "9000M", "--time", "26h")
    assert "--mem=10000M" in script
    assert "--memory-limit 9000M" in script
    assert "--time=1-02:00:00" in script
    assert "--threads 3" in script
    by_plan = write_script(stored, tmp_path / "other")
    assert "--time=0-00:30:00" in by_plan


def test_options_that_the_tasks_would_not_see_are_refused(stored, tmp_path):
    words = ["slurm", str(stored), "-o", str(tmp_path / "run"), "--tasks", "2"]
    done = CliRunner().invoke(main, words, env={"NGRAMSTAT_SLURM_LAGS": "1:3"})
    assert done.exit_code == 2
    assert "--lags: give it on the command line" in done.output
