"""Runs whose parts several processes share: equal results, claims, and processes that die."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import ngramstat
from designs import design_of
from ngramstat.api import MeasureOptions, run_share
from ngramstat.cli import main
from ngramstat.entropy.options import EntropyOptions
from ngramstat.kernels import Documents, KneserNey
from ngramstat.runtime.workspace import Workspace
from ngramstat.stages import divisions, shares
from ngramstat.stages.claims import Claims
from ngramstat.stages.entropies import HeldOutStage, MixtureStage, NgramStage
from ngramstat.stages.runner import stages_of
from test_covariance_measurement import zipf

OPTIONS = {"lags": [1, 2, 5, 12], "max_context": 2, "replicates": 99, "held_out": 0.2}


class Unseen:
    """Progress that nobody looks at."""

    def advance(self, amount: float = 1) -> None: ...


@pytest.fixture
def corpus():
    return documents_of(zipf(300, 40_000, seed=1))


def documents_of(tokens: np.ndarray) -> ngramstat.Corpus:
    tokens[::100] = 0
    ends = np.arange(400, len(tokens) + 1, 400)
    return ngramstat.Corpus.from_arrays(tokens, vocab_size=300, document_ends=ends)


def sections(run: ngramstat.RunResult) -> dict:
    data = run.to_dict()
    return {name: data[name] for name in ("corpus", "settings", "correlations", "entropies")}


def of_share(corpus, directory: Path, number: int, processes: int):
    options = MeasureOptions(output=directory, threads=1, **OPTIONS)
    return run_share(corpus, options, (number, processes))


def files(directory: Path, pattern: str) -> list[str]:
    return sorted(path.name for path in (directory / "parts").glob(pattern))


@pytest.mark.parametrize("processes", [2, 3, 7])
def test_shares_one_after_the_other_give_the_run_of_one_process(corpus, tmp_path, processes):
    whole = ngramstat.measure(corpus, threads=1, **OPTIONS)
    first = of_share(corpus, tmp_path, 1, processes)
    # Nobody else is there, so that the first process computes everything.
    assert first.computed == first.done == first.parts
    for number in range(2, processes + 1):
        assert of_share(corpus, tmp_path, number, processes).computed == 0
    assert not (tmp_path / "run.json").exists()
    assert sections(ngramstat.measure(corpus, output=tmp_path, threads=1, **OPTIONS)) == sections(
        whole
    )


def command_of_share(corpus: Path, directory: Path, *words: str) -> list[str]:
    return [
        sys.executable, "-m", "ngramstat", "--quiet", "--threads", "1", "measure", str(corpus),
        "-o", str(directory), "--vocab-size", "300", "--lags", "1:12", "--max-context", "2",
        "--replicates", "50", "--learning-sizes", "3", *words,
    ]  # fmt: skip


@pytest.fixture
def stored(tmp_path) -> Path:
    path = tmp_path / "tokens.npy"
    np.save(path, zipf(300, 300_000, seed=3))
    return path


def test_processes_at_one_time_share_the_work(stored, tmp_path, monkeypatch):
    whole, shared = tmp_path / "whole", tmp_path / "shared"
    subprocess.run(command_of_share(stored, whole), check=True, capture_output=True)
    workers = [
        subprocess.Popen(
            command_of_share(stored, shared, "--part", f"{i}/3", "--json"),
            stdout=subprocess.PIPE,
        )
        for i in (1, 2, 3)
    ]
    done = [json.loads(worker.communicate(timeout=120)[0]) for worker in workers]
    parts = done[0]["parts"]
    # A part is computed twice only where two processes are exactly as fast.
    assert parts <= sum(share["computed"] for share in done) <= parts + 2
    assert max(share["done"] for share in done) == parts
    assert not files(shared, "*.claim")
    assert not files(shared, ".*")
    subprocess.run(command_of_share(stored, shared), check=True, capture_output=True)
    one, three = (ngramstat.RunResult.load(directory / "run.json") for directory in (whole, shared))
    assert sections(three) == sections(one)
    # Of the parts that were divided no pieces are left.
    assert files(whole, "*.npz") == files(shared, "*.npz")


@pytest.mark.skipif(sys.platform == "win32", reason="kills a child process")
def test_the_parts_of_a_killed_process_are_taken_over(stored, tmp_path):
    child = subprocess.Popen(
        command_of_share(stored, tmp_path / "run", "--part", "1/2"), stdout=subprocess.PIPE
    )
    parts = tmp_path / "run" / "parts"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (parts.is_dir() and any(parts.glob("*.npz"))):
        time.sleep(0.02)
    # Between two parts it holds no claim, and at the beginning of one there is nothing in it.
    while True:
        child.send_signal(signal.SIGSTOP)
        claims = list(parts.glob("*.claim"))
        if (claims and all(claim.stat().st_size for claim in claims)) or (
            time.monotonic() > deadline
        ):
            break
        child.send_signal(signal.SIGCONT)
        time.sleep(0.002)
    child.kill()
    child.communicate()
    assert list(parts.glob("*.claim"))
    other = subprocess.run(
        command_of_share(stored, tmp_path / "run", "--part", "2/2", "--json"),
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    done = json.loads(other.stdout)
    assert done["done"] == done["parts"]
    assert not list(parts.glob("*.claim"))


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to a child process")
def test_control_c_releases_claims(stored, tmp_path):
    start = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from ngramstat.cli import main; main()"
    )
    # On a busy machine a share may be done before the signal comes.
    for attempt in range(5):
        run = tmp_path / f"run-{attempt}"
        words = command_of_share(stored, run, "--part", "1/2")[3:]
        child = subprocess.Popen([sys.executable, "-c", start, *words], stderr=subprocess.PIPE)
        parts = run / "parts"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not (parts.is_dir() and any(parts.glob("*.claim"))):
            time.sleep(0.005)
        os.kill(child.pid, signal.SIGINT)
        child.communicate(timeout=60)
        assert not list(parts.glob("*.claim"))
        if child.returncode:
            break
    assert child.returncode == 130


@pytest.fixture(params=["stream", "document"])
def large(request):
    """A design whose parts are divided into several ranges."""
    return design_of(documents_of(zipf(300, 320_000, seed=4)), boundary=request.param)


def options_of(design) -> EntropyOptions:
    return EntropyOptions(
        max_context=3, held_out=0.1, learning_sizes=3, boundary=design.boundary, seed=0
    )


@pytest.mark.parametrize("stage_class", [NgramStage, HeldOutStage, MixtureStage])
@pytest.mark.parametrize("memory_limit", [None, 1 << 20])
def test_pieces_make_the_part(large, stage_class, memory_limit):
    workspace = Workspace(2, memory_limit)
    stage = stage_class(large, options_of(large))
    part = stage.parts()[0]
    (whole,) = stage.compute([part], Workspace(2), Unseen())
    division = stage.division(part)
    pieces = division.parts()
    assert len(pieces) >= 3
    # In another order, each by itself.
    values = [next(division.compute([piece], workspace, Unseen())) for piece in pieces[::-1]]
    combined = division.combine(values[::-1], workspace)
    assert_equal(combined, whole)


def assert_equal(one: object, other: object) -> None:
    """Every number of two dataclasses is the same."""
    assert type(one) is type(other)
    if dataclasses.is_dataclass(one):
        for field in dataclasses.fields(one):
            assert_equal(getattr(one, field.name), getattr(other, field.name))
    elif isinstance(one, tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_equal(a, b)
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    else:
        assert one == other


def test_a_run_is_completed_from_the_pieces_that_are_there(tmp_path, monkeypatch):
    corpus = documents_of(zipf(300, 320_000, seed=4))
    whole = ngramstat.measure(corpus, threads=1, **OPTIONS)
    # So many processes that everything is divided; the first stops after a few pieces.
    computed = []
    compute = divisions.NgramRanges.compute

    def stopped(self, parts, workspace, bar):
        for value in compute(self, parts[:1], workspace, bar):
            computed.append(value)
            yield value
        raise KeyboardInterrupt

    monkeypatch.setattr(divisions.NgramRanges, "compute", stopped)
    with pytest.raises(KeyboardInterrupt):
        of_share(corpus, tmp_path, 1, 500)
    monkeypatch.undo()
    assert len(files(tmp_path, "ngrams-range-*.npz")) == len(computed) == 1
    assert sections(ngramstat.measure(corpus, output=tmp_path, threads=1, **OPTIONS)) == sections(
        whole
    )
    assert files(tmp_path, "*-range-*") == files(tmp_path, "*-tree-*") == []


def test_shares_are_all_batches_and_balanced(large):
    stages = stages_of(large, None, options_of(large))
    for processes in (1, 2, 3, 7, 40):
        batches = shares.batches_of(stages, processes)
        own = [shares.share_of(batches, i, processes) for i in range(processes)]
        assert sum(map(len, own)) == len(batches)
        seconds = [sum(batch.seconds for batch in share) for share in own]
        # No process has more than the least busy one and one batch of its own.
        longest = max(batch.seconds for batch in batches)
        assert max(seconds) <= min(seconds) + longest
        keys = [
            json.dumps([batch.source.kind, part.key], sort_keys=True)
            for batch in batches
            for part in batch.parts
        ]
        assert len(set(keys)) == len(keys)
    assert len(batches) > len(shares.batches_of(stages, 1))


def test_subsets_inside_others_stay_together(large):
    whole, *groups = HeldOutStage(large, options_of(large)).batches()
    assert [part.key["halvings"] for part in whole] == [0]
    assert [[part.key["halvings"] for part in group] for group in groups] == [[1, 2], [1, 2]]


def test_one_of_two_processes_has_a_claim(tmp_path):
    with Claims(tmp_path) as one, Claims(tmp_path) as two:
        assert one.take("a")
        assert one.take("a")
        assert not two.take("a")
        assert two.is_taken("a")
        assert not one.is_taken("a")
        assert two.take("b")
        one.release("a")
        assert two.take("a")
        one.release("a")  # which is no longer its own
        assert not one.take("a")
    assert list(tmp_path.iterdir()) == []


def test_one_of_many_has_a_claim(tmp_path):
    everyone = [Claims(tmp_path) for _ in range(16)]
    barrier = threading.Barrier(len(everyone))
    granted = []

    def race(claims: Claims) -> None:
        barrier.wait()
        granted.append(claims.take("part"))

    threads = [threading.Thread(target=race, args=(claims,)) for claims in everyone]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(granted) == 1


def claim_of(directory: Path, **changes: object) -> Path:
    """A claim as another process writes it, changed."""
    with Claims(directory) as other:
        other.take("part")
        path = directory / "part.claim"
        content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, **changes}))
    return path


def dead_process() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


@pytest.mark.skipif(sys.platform == "win32", reason="processes are told by the touches alone")
def test_the_claim_of_a_dead_process_is_taken_over(tmp_path):
    claim_of(tmp_path, process=dead_process())
    with Claims(tmp_path) as claims:
        assert not claims.is_taken("part")
        assert claims.take("part")
    assert list(tmp_path.iterdir()) == []


def test_the_claim_of_a_process_whose_number_another_has_is_taken_over(tmp_path):
    path = claim_of(tmp_path, process=os.getpid())
    with Claims(tmp_path) as claims:
        assert not claims.take("part")
        os.utime(path, (0, 0))
        assert claims.take("part")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [None, "", "{", '{"place": 1}'])
def test_the_claim_of_another_machine_is_taken_over_when_it_was_not_touched(tmp_path, content):
    path = claim_of(tmp_path, place="elsewhere", process=1)
    if content is not None:  # a process that died while it wrote
        path.write_text(content)
    with Claims(tmp_path) as claims:
        assert not claims.take("part")
        long_ago = time.time() - 200
        os.utime(path, (long_ago, long_ago))
        assert not claims.is_taken("part")
        assert claims.take("part")
    assert list(tmp_path.iterdir()) == []


def test_what_dead_processes_left_is_removed(tmp_path):
    path = claim_of(tmp_path, place="elsewhere")
    with Claims(tmp_path) as claims:
        claims.remove_dead()
        assert path.exists()
        os.utime(path, (0, 0))
        claims.remove_dead()
    assert list(tmp_path.iterdir()) == []


def test_claims_are_touched(tmp_path, monkeypatch):
    monkeypatch.setattr("ngramstat.stages.claims._TOUCHED_EVERY", 0.01)
    with Claims(tmp_path) as claims:
        claims.take("part")
        path = tmp_path / "part.claim"
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 20
        while path.stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert path.stat().st_mtime > time.time() - 60


@pytest.mark.parametrize("written", [False, True])
def test_an_interrupt_while_a_claim_is_made_leaves_none(tmp_path, monkeypatch, written):
    create = Claims._create

    def interrupted(self, path):
        if written:
            create(self, path)
        else:
            path.touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(Claims, "_create", interrupted)
    with pytest.raises(KeyboardInterrupt), Claims(tmp_path) as claims:
        claims.take("part")
    assert list(tmp_path.iterdir()) == []


def test_without_a_directory_every_claim_is_granted():
    with Claims(None) as one, Claims(None) as two:
        assert one.take("part")
        assert two.take("part")
        assert not two.is_taken("part")
        two.remove_dead()


def test_a_run_waits_for_what_another_process_computes(corpus, tmp_path):
    whole = ngramstat.measure(corpus, output=tmp_path / "whole", threads=1, **OPTIONS)
    (part,) = (tmp_path / "whole" / "parts").glob("ngrams-*.npz")
    parts = tmp_path / "run" / "parts"
    parts.mkdir(parents=True)
    result = []
    with Claims(parts) as other:
        other.take(part.stem)
        thread = threading.Thread(
            target=lambda: result.append(
                ngramstat.measure(corpus, output=tmp_path / "run", threads=1, **OPTIONS)
            )
        )
        thread.start()
        thread.join(timeout=3)
        assert thread.is_alive()
        (parts / part.name).write_bytes(part.read_bytes())
    thread.join(timeout=60)
    assert sections(result[0]) == sections(whole)


def test_the_command_says_what_is_done_and_what_assembles(stored, tmp_path):
    words = command_of_share(stored, tmp_path / "run", "--part", "1/1", "--no-sequential")
    shown = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    assert shown.startswith("Share 1 of 1: computed ")
    assert "parts of the run are done. The same command without --part puts them together" in shown
    again = shown.split("together: ")[1].strip()
    assert again.startswith("ngramstat ")
    assert again.endswith(" --no-sequential")
    assert "--part" not in again
    assert not (tmp_path / "run" / "run.json").exists()


@pytest.mark.parametrize("part", ["0/3", "4/3", "1", "1/2/3", "a/b", "-1/2"])
def test_a_share_is_a_number_of_a_number(stored, tmp_path, part):
    words = ["measure", str(stored), "-o", str(tmp_path / "run"), f"--part={part}"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2
    assert "i/N" in done.output


def test_a_share_needs_a_directory_and_no_training(corpus, stored, tmp_path):
    with pytest.raises(ngramstat.InputError, match="needs an output"):
        run_share(corpus, MeasureOptions(**OPTIONS), (1, 2))
    words = ["measure", str(stored), "-o", str(tmp_path / "r"), "--part", "1/2", "--train", "1m"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2
    assert "--part" in done.output


def test_counts_of_another_model_are_refused():
    tokens = zipf(30, 3_000, seed=5)
    documents = Documents.single(len(tokens))
    one, other = (KneserNey(tokens, documents, 30, order=order) for order in (2, 3))
    few = KneserNey(tokens[:5], Documents.single(5), 30, order=3)
    other.train(tokens)
    counted = other.counts_of_range()
    for model in (one, few):
        with pytest.raises(ValueError, match="same order for the same held-out tokens"):
            model.add_counts(counted)
