"""What the loss of a node costs a run on a Ray cluster.

    python benchmarks/lost_node.py CORPUS --work DIR [--nodes 2] [--at 0.4]

A local cluster of nodes of one core each measures a corpus with all defaults, once undisturbed and
once with one node killed after a fraction `--at` of the undisturbed time; the results have to be
equal. If n nodes take T, and one of them is lost at t, the rest takes (T - t) n / (n - 1); what is
taken beyond that is the cost of the loss. It is compared with the longest batch of parts that is
sent to a node, as the plan estimates it, scaled by how right the plan was for the whole run.
Writes benchmarks/results/lost_node.json. Needs `ngramstat[ray]`, as many idle cores as nodes, and
RAY_worker_niceness=0 in the environment: Ray's workers otherwise give way to everything else.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from bars import machine

RESULTS = Path(__file__).resolve().parent / "results" / "lost_node.json"
# Of a run; what differs between two equal runs is elsewhere.
SECTIONS = ("correlations", "entropies", "prediction")

# In a process of its own: Ray leaves threads and sockets behind.
SESSION = """
import json, sys, threading, time
from ray.cluster_utils import Cluster
from ngramstat.api import MeasureOptions, run_on_ray
from ngramstat.api.on_ray import _chunks
from ngramstat.api.running import PreparedRun
from ngramstat.corpus import Corpus
from ngramstat.stages.shares import batches_of

corpus, nodes, kill_after, output = json.loads(sys.argv[1])
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
workers = [cluster.add_node(num_cpus=1) for _ in range(nodes)]
chosen = MeasureOptions(output=output, threads=1, progress=False)
stages = PreparedRun.of(Corpus.open(corpus), chosen).stages()
planned = [batch.seconds for batch in _chunks(batches_of(stages, nodes), nodes)]
if kill_after:
    kill = lambda: cluster.remove_node(workers[0], allow_graceful=False)
    threading.Timer(kill_after, kill).start()
started = time.monotonic()
run_on_ray({"path": corpus}, chosen, cluster.address)
seconds = time.monotonic() - started
print(json.dumps({"seconds": seconds, "longest": max(planned), "planned": sum(planned)}))
cluster.shutdown()
"""


def measured(corpus: Path, nodes: int, kill_after: float, output: Path) -> dict[str, float]:
    """Seconds of one run, and of its batches by the plan."""
    shutil.rmtree(output, ignore_errors=True)
    about = json.dumps([str(corpus), nodes, kill_after, str(output)])
    done = subprocess.run(
        [sys.executable, "-c", SESSION, about], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr[-4000:])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def sections(output: Path) -> dict[str, Any]:
    run = json.loads((output / "run.json").read_text())
    return {name: run[name] for name in SECTIONS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--at", type=float, default=0.4)
    chosen = parser.parse_args()
    n = chosen.nodes
    whole, lost = chosen.work / "undisturbed", chosen.work / "node-lost"
    before = measured(chosen.corpus, n, 0.0, whole)
    at = chosen.at * before["seconds"]
    after = measured(chosen.corpus, n, at, lost)
    without_cost = at + (before["seconds"] - at) * n / (n - 1)
    scale = before["seconds"] * n / before["planned"]
    row = {
        "corpus": chosen.corpus.name, "nodes": n, "lost_at": at,
        "undisturbed": before["seconds"], "node_lost": after["seconds"],
        "cost": after["seconds"] - without_cost, "longest_batch": before["longest"] * scale,
        "equal": sections(whole) == sections(lost),
    }  # fmt: skip
    print(json.dumps(row, indent=1))
    RESULTS.write_text(json.dumps({"machine": machine(), "rows": [row]}, indent=1) + "\n")
    if not row["equal"]:
        raise SystemExit("the results differ")


if __name__ == "__main__":
    main()
