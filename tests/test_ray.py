"""Runs on a Ray cluster of several nodes on this machine, one of which is killed on the way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import ngramstat
from ngramstat.api import MeasureOptions, run_on_ray
from ngramstat.api.on_ray import _chunks, _Cluster
from ngramstat.cli import main
from ngramstat.stages.runner import stages_of
from ngramstat.stages.shares import batches_of
from test_covariance_measurement import zipf
from test_parts import large, options_of, sections  # noqa: F401

OPTIONS = {"lags": [*range(1, 13)], "max_context": 2, "replicates": 50, "learning_sizes": 3}

# In a process of its own: Ray leaves threads, sockets and warnings behind.
SESSION = """
import json, sys, threading, time
from pathlib import Path
from ray.cluster_utils import Cluster
from ngramstat.api import MeasureOptions, run_on_ray

nodes, kill, tokens, output, options = json.loads(sys.argv[1])
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
workers = [cluster.add_node(num_cpus=1) for _ in range(nodes)]

def kill_one():
    while not list(Path(output, "parts").glob("*.npz")):
        time.sleep(0.05)
    cluster.remove_node(workers[0], allow_graceful=False)

if kill:
    threading.Thread(target=kill_one, daemon=True).start()
started = time.monotonic()
chosen = MeasureOptions(output=output, threads=1, progress=False, **options)
run_on_ray({"path": tokens, "vocab_size": 300}, chosen, cluster.address)
print(json.dumps({"seconds": time.monotonic() - started}))
cluster.shutdown()
"""


@pytest.fixture
def stored(tmp_path) -> Path:
    path = tmp_path / "tokens.npy"
    np.save(path, zipf(300, 300_000, seed=3))
    return path


@pytest.mark.nightly
@pytest.mark.parametrize(("nodes", "kill"), [(2, False), (4, False), (2, True), (4, True)])
def test_a_cluster_measures_what_one_process_does(stored, tmp_path, nodes, kill):
    pytest.importorskip("ray")
    corpus = ngramstat.Corpus.open(stored, vocab_size=300)
    whole = ngramstat.measure(corpus, threads=1, **OPTIONS)
    output = tmp_path / "run"
    about = json.dumps([nodes, kill, str(stored), str(output), OPTIONS])
    done = subprocess.run(
        [sys.executable, "-c", SESSION, about],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = ngramstat.RunResult.load(output / "run.json")
    assert sections(run) == sections(whole)
    left = [path.name for path in (output / "parts").iterdir() if path.suffix != ".npz"]
    assert left == []


def test_without_ray_or_a_directory_it_says_so(stored, tmp_path, monkeypatch):
    with pytest.raises(ngramstat.InputError, match="needs an output"):
        run_on_ray({"path": stored}, MeasureOptions(), "auto")
    monkeypatch.setitem(sys.modules, "ray", None)
    words = ["measure", str(stored), "-o", str(tmp_path / "run"), "--vocab-size", "300"]
    done = CliRunner().invoke(main, [*words, "--ray", "auto"])
    assert done.exit_code == 1
    assert "pip install 'ngramstat[ray]'" in done.output


def node(cores: float, alive: bool = True) -> dict:
    return {"Alive": alive, "Resources": {"CPU": cores, "memory": 1e9}}


def test_a_task_takes_the_cores_and_the_memory_of_its_node():
    nodes = [node(8.0), node(16.0), node(2.0, alive=False), {"Alive": True, "Resources": {}}]
    cluster = _Cluster.of(nodes, MeasureOptions())
    assert (cluster.threads, cluster.tasks, cluster.tasks_of_node) == (8, 3, 2)
    assert cluster.options(MeasureOptions())["memory_limit"] == "40.00%"
    assert cluster.options(MeasureOptions(memory_limit="3G"))["memory_limit"] == "3G"
    assert _Cluster.of(nodes, MeasureOptions(threads=4)).tasks == 6
    with pytest.raises(ngramstat.InputError, match="no node of the cluster has more than 16 cores"):
        _Cluster.of(nodes, MeasureOptions(threads=17))
    with pytest.raises(ngramstat.InputError, match="no node of the cluster has a core"):
        _Cluster.of(nodes[2:], MeasureOptions())


def test_chunks_hold_every_part_once(large):  # noqa: F811
    stages = stages_of(large, None, options_of(large))
    batches = batches_of(stages, 4)
    chunks = _chunks(batches, 4)

    def keys(some: list) -> list[str]:
        return sorted(
            json.dumps([batch.source.kind, part.key], sort_keys=True)
            for batch in some
            for part in batch.parts
        )

    assert keys(chunks) == keys(batches)
