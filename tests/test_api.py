"""The main job as a whole: resuming, refusing to mix runs, and what it writes."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import ngramstat
from ngramstat.corpus.writers import convert
from ngramstat.stages import correlations as lag_stage
from ngramstat.stages.cache import PartCache
from test_covariance_measurement import zipf

OPTIONS = {"lags": [1, 2, 5, 12], "max_context": 2, "replicates": 99, "held_out": 0.2}


@pytest.fixture
def corpus():
    tokens = zipf(300, 40_000, seed=1)
    tokens[::100] = 0
    return ngramstat.Corpus.from_arrays(
        tokens, vocab_size=300, document_ends=np.arange(400, 40_001, 400)
    )


def without_provenance(run: ngramstat.RunResult) -> dict:
    data = run.to_dict()
    data.pop("provenance")
    # What to do next names the run's directory and how long trainings take here.
    if data.get("answer"):
        data["answer"].pop("next")
    return data


def test_a_run_holds_all_that_the_contract_names(corpus, tmp_path):
    run = ngramstat.measure(corpus, output=tmp_path / "run", tokens=[1e6], **OPTIONS)
    data = json.loads((tmp_path / "run" / "run.json").read_text())
    assert data == run.to_dict()
    assert data["schema"] == "ngramstat.run/1"
    names = {
        "corpus": "path format sha256 tokens documents vocab_size dtype boundary",
        "provenance": "version commit backend threads seconds peak_rss_bytes",
        "correlations": "lags pairs norm norm_sequential composition_norm norm_crossfit "
        "noise_floor frobenius singular_values residual valid beta beta_sequential",
        "entropies": "context plug_in miller_madow held_out_kneser_ney held_out limit limit_low "
        "limit_high resolved learning_curve gamma gamma_finite",
        "prediction": "alpha alpha_finite gates horizon threshold",
    }
    for section, fields in names.items():
        assert set(fields.split()) <= set(data[section]), section
    exponent = (
        "value low high parts level window points method reportable reason weights alternatives"
    )
    for section, name in (("correlations", "beta"), ("entropies", "gamma_finite")):
        assert set(data[section][name]) == set(exponent.split())
    for section, axis in (("correlations", "lags"), ("entropies", "context")):
        lengths = {
            len(v) for k, v in data[section].items() if isinstance(v, list) and k != "discounts"
        }
        assert lengths == {len(data[section][axis])}
    for option in ("lags", "boundary", "seed", "replicates", "level", "max_context", "held_out"):
        assert option in data["settings"]
    assert data["correlations"]["pairs"] == [40_000 - lag for lag in OPTIONS["lags"]]


def test_an_interrupted_run_goes_on_and_ends_the_same(corpus, tmp_path, monkeypatch):
    whole = ngramstat.measure(corpus, output=tmp_path / "whole", **OPTIONS)
    measure_lags = lag_stage.measure_lags
    counted: list[list[int]] = []

    def interrupted(design, options, lags, **kwargs):
        counted.append(list(lags))
        for i, measurement in enumerate(measure_lags(design, options, lags, **kwargs)):
            if i == 2:
                raise KeyboardInterrupt
            yield measurement

    monkeypatch.setattr(lag_stage, "measure_lags", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ngramstat.measure(corpus, output=tmp_path / "run", **OPTIONS)
    assert not (tmp_path / "run" / "run.json").exists()
    again = ngramstat.measure(corpus, output=tmp_path / "run", **OPTIONS)
    assert counted == [[1, 2, 5, 12], [5, 12]]
    assert without_provenance(again) == without_provenance(whole)
    # A third call finds everything.
    ngramstat.measure(corpus, output=tmp_path / "run", **OPTIONS)
    assert len(counted) == 2


@pytest.mark.parametrize("damage", ["truncate", "garbage", "empty"])
def test_a_damaged_part_is_computed_again(corpus, tmp_path, damage):
    first = ngramstat.measure(corpus, output=tmp_path / "run", **OPTIONS)
    for part in (tmp_path / "run" / "parts").iterdir():
        whole = part.read_bytes()
        part.write_bytes(
            {"truncate": whole[: len(whole) // 2], "garbage": whole[::-1], "empty": b""}[damage]
        )
    again = ngramstat.measure(corpus, output=tmp_path / "run", **OPTIONS)
    assert without_provenance(again) == without_provenance(first)


def test_more_lags_reuse_what_is_there(corpus, tmp_path, monkeypatch):
    ngramstat.measure(corpus, output=tmp_path / "run", **OPTIONS)
    measure_lags = lag_stage.measure_lags
    requested: list[list[int]] = []

    def watched(design, options, lags, **kwargs):
        requested.append(list(lags))
        return measure_lags(design, options, lags, **kwargs)

    monkeypatch.setattr(lag_stage, "measure_lags", watched)
    more = {**OPTIONS, "lags": [1, 2, 3, 5, 12]}
    with pytest.raises(ngramstat.InputError, match="holds a run that differs in lags;"):
        ngramstat.measure(corpus, output=tmp_path / "run", **more)
    ngramstat.measure(corpus, output=tmp_path / "run", overwrite=True, **more)
    assert requested == [[3]]


def test_other_horizons_are_read_off_a_finished_run(corpus, tmp_path):
    ngramstat.measure(corpus, output=tmp_path / "run", tokens=[1e6], **OPTIONS)
    again = ngramstat.measure(corpus, output=tmp_path / "run", tokens=[1e9], **OPTIONS)
    assert [point.tokens for point in again.prediction.horizon] == [1e9]
    assert "1e+09 tokens resolve" in repr(again.prediction)
    # Asked for no others, a run keeps them; one that replaces it does not.
    kept = ngramstat.measure(corpus, output=tmp_path / "run", **OPTIONS)
    assert [point.tokens for point in kept.prediction.horizon] == [1e9]
    assert kept.settings["tokens"] == [1e9]
    fresh = ngramstat.measure(corpus, output=tmp_path / "run", overwrite=True, **OPTIONS)
    assert fresh.prediction.horizon == ()


def test_another_corpus_is_not_mixed_into_a_run(corpus, tmp_path):
    ngramstat.measure(corpus, output=tmp_path / "run", **OPTIONS)
    other = ngramstat.Corpus.from_arrays(zipf(300, 40_000, seed=2), vocab_size=300)
    with pytest.raises(ngramstat.InputError, match="holds a run that differs in corpus;"):
        ngramstat.measure(other, output=tmp_path / "run", **OPTIONS)


@dataclasses.dataclass(frozen=True)
class Numbers:
    x: np.ndarray
    y: float


def test_parts_depend_on_everything_that_shapes_them(tmp_path):
    cache = PartCache(tmp_path, {"tokens": "a"})
    cache.save("lag", 1, {"lag": 1}, Numbers(np.arange(3), 0.1))
    result = cache.load("lag", 1, {"lag": 1}, Numbers)
    assert result.x.tolist() == [0, 1, 2]
    assert result.y == 0.1
    assert cache.load("lag", 1, {"lag": 2}, Numbers) is None
    assert cache.load("lag", 2, {"lag": 1}, Numbers) is None
    assert cache.load("ngrams", 1, {"lag": 1}, Numbers) is None
    assert PartCache(tmp_path, {"tokens": "b"}).load("lag", 1, {"lag": 1}, Numbers) is None
    assert PartCache(None, {}).load("lag", 1, {"lag": 1}, Numbers) is None


def test_parts_without_a_field_are_computed_again(tmp_path):
    @dataclasses.dataclass(frozen=True)
    class More(Numbers):
        z: float

    cache = PartCache(tmp_path, {})
    cache.save("lag", 1, {"lag": 1}, Numbers(np.arange(3), math.nan))
    assert math.isnan(cache.load("lag", 1, {"lag": 1}, Numbers).y)
    assert cache.load("lag", 1, {"lag": 1}, More) is None


def test_any_changed_bit_of_a_part_is_noticed_and_said(tmp_path, caplog):
    """The part is the one that was saved, to the last bit, or it is not given out at all."""
    cache = PartCache(tmp_path, {})
    saved = Numbers(np.arange(6, dtype=np.uint16).reshape(2, 3), 0.1)
    cache.save("lag", 1, {"lag": 1}, saved)
    path = cache.path("lag", 1, {"lag": 1})
    whole = path.read_bytes()
    bits = np.random.default_rng(0).integers(8, size=len(whole))
    noticed = 0
    for at, bit in enumerate(bits):
        changed = bytearray(whole)
        changed[at] ^= 1 << bit
        path.write_bytes(changed)
        caplog.clear()
        part = cache.load("lag", 1, {"lag": 1}, Numbers)
        if part is None:
            noticed += 1
            assert str(path) in caplog.text
            assert "it is computed again" in caplog.text
        else:  # a date, for instance, is no part of the value
            assert part.x.dtype == saved.x.dtype
            assert part.x.tolist() == saved.x.tolist()
            assert part.y == saved.y
    # Names, headers and data of three arrays are most of so small a file.
    assert noticed > len(whole) // 3
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert cache.load("lag", 1, {"lag": 1}, Numbers) is None


def test_parts_with_each_others_names_are_noticed(tmp_path, caplog):
    cache = PartCache(tmp_path, {})
    first, second = {"lag": 1}, {"lag": 2}
    cache.save("lag", 1, first, Numbers(np.arange(3), 1.0))
    cache.save("lag", 1, second, Numbers(np.arange(3), 2.0))
    one, two = (cache.path("lag", 1, key) for key in (first, second))
    one.rename(tmp_path / "between")
    two.rename(one)
    (tmp_path / "between").rename(two)
    assert cache.load("lag", 1, first, Numbers) is None
    assert cache.load("lag", 1, second, Numbers) is None
    assert caplog.text.count("its checksum differs") == 2


def test_arrays_that_were_changed_under_an_old_checksum_are_noticed(tmp_path):
    """Whatever wrote the file with valid sums of its own: only what was saved counts."""
    cache = PartCache(tmp_path, {})
    cache.save("lag", 1, {"lag": 1}, Numbers(np.arange(3), 0.1))
    path = cache.path("lag", 1, {"lag": 1})
    with np.load(path) as file:
        arrays = dict(file)
    changes = {
        "data": {"value.x": arrays["value.x"] + 1},
        "type": {"value.x": arrays["value.x"].view(np.uint64)},
        "shape": {"value.x": arrays["value.x"].reshape(3, 1)},
        "name": {"value.z": np.arange(2)},
    }
    for change in changes.values():
        np.savez(path, **{**arrays, **change})
        assert cache.load("lag", 1, {"lag": 1}, Numbers) is None
    np.savez(path, **{name: a for name, a in arrays.items() if name != "checksum"})
    assert cache.load("lag", 1, {"lag": 1}, Numbers) is None
    np.savez(path, **arrays)
    assert cache.load("lag", 1, {"lag": 1}, Numbers).y == 0.1


def test_a_damaged_part_of_a_run_is_computed_again(corpus, tmp_path, caplog):
    plain = ngramstat.measure(corpus, output=tmp_path / "run", **OPTIONS)
    parts = sorted((tmp_path / "run" / "parts").glob("*.npz"))
    kept = parts[0].read_bytes()
    for part in parts:
        data = bytearray(part.read_bytes())
        data[len(data) // 2] ^= 4
        part.write_bytes(data)
    again = ngramstat.measure(corpus, output=tmp_path / "run", **OPTIONS)
    assert without_provenance(again) == without_provenance(plain)
    assert all(str(part) in caplog.text for part in parts)
    assert len(parts[0].read_bytes()) == len(kept)
    caplog.clear()
    ngramstat.measure(corpus, output=tmp_path / "run", **OPTIONS)
    assert "computed again" not in caplog.text


def test_a_part_with_a_pickle_inside_is_not_loaded(tmp_path):
    cache = PartCache(tmp_path, {})
    path = cache.path("lag", 1, {"lag": 1})
    np.savez(path, x=np.array([{"not": "an array"}], dtype=object))
    assert cache.load("lag", 1, {"lag": 1}, Numbers) is None


@pytest.fixture
def written(corpus, tmp_path):
    """A corpus directory, and the function that changes a token of it in place."""
    convert(corpus, tmp_path / "corpus", "corpus")

    def change(token: int = 7) -> None:
        with open(tmp_path / "corpus" / "tokens.bin", "r+b") as file:
            file.seek(2 * 1000)
            before = file.read(2)
            file.seek(2 * 1000)
            file.write(bytes([before[0] ^ token, before[1]]))

    return tmp_path / "corpus", change


def test_a_corpus_that_was_changed_does_not_continue_a_run(written, tmp_path):
    """Its checksum is recorded beside it, and no longer that of the text."""
    store, change = written
    ngramstat.measure(store, output=tmp_path / "run", **OPTIONS)
    (tmp_path / "run" / "run.json").unlink()
    next((tmp_path / "run" / "parts").glob("lag-*.npz")).unlink()
    change()
    with pytest.raises(ngramstat.InputError, match=r"corpus: its tokens have changed since they"):
        ngramstat.measure(store, output=tmp_path / "run", **OPTIONS)
    assert not (tmp_path / "run" / "run.json").exists()
    assert len(list((tmp_path / "run" / "parts").glob("lag-*.npz"))) == len(OPTIONS["lags"]) - 1


@pytest.mark.parametrize("damage", ["change", "truncate", "touch", "replace"])
@pytest.mark.parametrize("kind", ["corpus", "raw"])
def test_a_text_that_changes_while_it_is_measured(written, tmp_path, monkeypatch, damage, kind):
    """No part of another text is kept under the name of this one."""
    store, change = written
    tokens = store / "tokens.bin"
    if kind == "raw":  # whose checksum is recorded nowhere
        opened = ngramstat.Corpus.open(tokens, dtype="uint16", vocab_size=300)
    else:
        opened = ngramstat.Corpus.open(store)
    plain = ngramstat.measure(opened, output=tmp_path / "plain", **OPTIONS)
    whole = tokens.read_bytes()
    keep = PartCache.save
    kept = []

    def save(self, kind, version, key, value):
        if len(kept) == 2:
            if damage == "change":
                change()
            elif damage == "truncate":
                os.truncate(tokens, 4096)
            elif damage == "touch":
                os.utime(tokens)
            else:  # the file that is mapped lives on without its name
                tokens.unlink()
                tokens.write_bytes(whole)
        keep(self, kind, version, key, value)
        kept.append(key)

    monkeypatch.setattr(PartCache, "save", save)
    run = tmp_path / "run"
    if damage in ("touch", "replace"):
        again = ngramstat.measure(opened, output=run, **OPTIONS)
        assert without_provenance(again) == without_provenance(plain)
        return
    what = {"change": "has changed", "truncate": "was truncated"}[damage]
    with pytest.raises(ngramstat.InputError, match=f"{what} since the work on it began"):
        ngramstat.measure(opened, output=run, **OPTIONS)
    assert len(list((run / "parts").glob("*.npz"))) == 2
    assert not (run / "run.json").exists()
    monkeypatch.undo()
    with open(tokens, "r+b") as file:
        file.write(whole)
    again = ngramstat.measure(opened, output=run, **OPTIONS)
    assert without_provenance(again) == without_provenance(plain)


def test_nothing_is_written_without_an_output(corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ngramstat.measure(corpus, **OPTIONS)
    assert list(tmp_path.iterdir()) == []


def test_threads_and_memory_do_not_change_a_run(corpus, threads, any_limit):
    plain = ngramstat.measure(corpus, threads=1, **OPTIONS)
    other = ngramstat.measure(corpus, threads=threads, memory_limit=300_000, **OPTIONS)
    assert without_provenance(other) == without_provenance(plain)
    assert other.provenance["threads"] == threads


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to a child process")
def test_control_c_leaves_a_run_that_can_go_on(tmp_path):
    """The real thing: the command in a child process, interrupted between lags."""
    np.save(tmp_path / "tokens.npy", zipf(300, 300_000, seed=3))
    # A shell's background job, as these tests may be, hands down that it ignores Ctrl-C.
    start = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from ngramstat.cli import main; main()"
    )
    command = [
        sys.executable, "-c", start, "--quiet", "measure",
        str(tmp_path / "tokens.npy"), "--vocab-size", "300", "-o", str(tmp_path / "run"),
        "--lags", "1:60", "--max-context", "1", "--replicates", "50",
        "--predictor", "kneser-ney", "--learning-sizes", "1",
    ]  # fmt: skip
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    parts = tmp_path / "run" / "parts"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (parts.is_dir() and any(parts.glob("lag-*.npz"))):
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGINT)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 130, errors
    assert errors.strip().startswith("Interrupted. The output directory keeps what is finished")
    assert not (tmp_path / "run" / "run.json").exists()
    kept = {p.name: p.stat().st_mtime_ns for p in parts.glob("lag-*.npz")}
    assert kept
    assert not list(parts.glob("*.tmp"))
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    assert (tmp_path / "run" / "run.json").exists()
    assert {n: (parts / n).stat().st_mtime_ns for n in kept} == kept
