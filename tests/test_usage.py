"""Time and memory of the parts of a program, as `measure` records them of its stages."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import ngramstat
from ngramstat.runtime.usage import UsageLog

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


ALLOCATES_AND_RELEASES = """
import time
import numpy as np
from ngramstat.runtime.usage import UsageLog

log = UsageLog()
for name, size in (("large", 200_000_000), ("small", 1000), ("medium", 100_000_000)):
    with log.record(name):
        block = np.ones(size, np.uint8)
        time.sleep(0.5)
        del block
print(*(f"{part.name} {part.peak_rss_bytes}" for part in log.parts))
"""


@LINUX
def test_memory_is_measured_whether_or_not_it_is_the_highest_so_far():
    # In a process of its own: in this one, what earlier tests left may be released in between.
    answer = subprocess.run(
        [sys.executable, "-c", ALLOCATES_AND_RELEASES], capture_output=True, text=True, check=True
    ).stdout.split()
    assert answer[::2] == ["large", "small", "medium"]
    large, small, medium = map(int, answer[1::2])
    assert large - small == pytest.approx(200_000_000, rel=0.1)
    assert medium - small == pytest.approx(100_000_000, rel=0.1)


def test_the_time_of_the_cores_is_that_of_all_threads():
    log = UsageLog()

    def work():
        end = time.thread_time() + 0.1
        while time.thread_time() < end:
            pass

    with log.record("idle"):
        time.sleep(0.2)
    with log.record("busy"):
        workers = [threading.Thread(target=work) for _ in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    idle, busy = log.parts
    assert idle.seconds >= 0.2
    assert idle.cpu_seconds < 0.1
    assert busy.cpu_seconds >= 0.2


def test_what_fails_is_not_recorded():
    log = UsageLog()
    with pytest.raises(ValueError, match="no"), log.record("fails"):
        raise ValueError("no")
    assert log.to_dicts() == []
    assert threading.active_count() == len(threading.enumerate())
    assert not any(thread.name == "memory" for thread in threading.enumerate())


def test_a_run_says_what_each_stage_took():
    tokens = np.random.default_rng(0).integers(0, 20, 20_000).astype(np.uint16)
    run = ngramstat.measure(
        ngramstat.Corpus.from_arrays(tokens, vocab_size=20),
        lags=[1, 2], max_context=1, replicates=9, predictor="kneser-ney",
    )  # fmt: skip
    stages = run.provenance["stages"]
    assert [stage["name"] for stage in stages] == [
        "plan", "C(t)", "C(t) fits", "H(n) counts", "H(n) held out", "H(n) fits",
    ]  # fmt: skip
    # Every figure is rounded to a thousandth of a second by itself.
    rounding = 0.0005 * (len(stages) + 1) + 1e-9
    seconds = sum(stage["seconds"] for stage in stages)
    assert 0 < seconds <= run.provenance["seconds"] + rounding
    assert all(stage["peak_rss_bytes"] > 0 for stage in stages if sys.platform == "linux")
