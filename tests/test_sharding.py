"""Measurements of document shards against those of the same shards as one corpus."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from click.testing import CliRunner

import ngramstat
from designs import design_of
from ngramstat.cli import main
from ngramstat.covariance.assembly import assemble_correlations
from ngramstat.covariance.measurement import LagMeasurement, measure_lags
from ngramstat.entropy.counts import plug_in
from ngramstat.entropy.ngrams import count_design_ngrams
from ngramstat.errors import InputError
from ngramstat.kernels import count_pairs
from ngramstat.runtime.workspace import Workspace
from ngramstat.sharding.correlations import LagRounds
from ngramstat.sharding.count_files import StoredPairs
from ngramstat.sharding.files import RoundFiles
from ngramstat.sharding.ngrams import NgramRounds, NgramSender, SentWindows
from ngramstat.sharding.plan import ShardPlan
from ngramstat.sharding.rounds import ShardRounds, measure_shards
from shard_texts import (
    CUTS,
    LAGS,
    SEPARATOR,
    documents,
    options_of,
    plan_of,
    shards_of,
    short_in_the_middle,
    whole_of,
)


@pytest.fixture(scope="module", params=["stream", "document"])
def measured(request, tmp_path_factory):
    """The rounds of seven shards, and the same documents as one corpus."""
    v = 300
    found = short_in_the_middle(v)
    shards = shards_of(found, v, CUTS)
    assert len(shards) == 7
    assert shards[2].n_tokens < max(LAGS)
    plan = plan_of(options_of(request.param))
    directory = tmp_path_factory.mktemp("rounds")
    rounds = measure_shards(shards, plan, directory, Workspace(2))
    return rounds, plan, directory, whole_of(found, v)


def rounds_of(directory) -> LagRounds:
    rounds = ShardRounds(directory, Workspace(2))
    return LagRounds(rounds.layout, rounds.files, Workspace(2))


def test_the_design_of_shards_is_that_of_the_corpus(measured):
    rounds, _, _, corpus = measured
    layout = rounds.layout
    expected = design_of(corpus, seed=3).documents
    found = layout.whole_design().documents
    for name in ("starts", "ends", "content_starts", "content_ends", "folds", "clusters"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert layout.n_tokens == corpus.n_tokens


def test_pair_counts_of_shards_add_up_to_those_of_the_corpus(measured):
    rounds, plan, _, corpus = measured
    files = rounds.files
    design = design_of(corpus, seed=3)
    for expected in count_pairs(corpus.tokens, corpus.vocab_size, design.documents, LAGS):
        parts = [files.load(StoredPairs, "pairs", expected.lag, k) for k in range(7)]
        found = StoredPairs.sum_of(parts, threads=2)
        within, across = found.within, found.across
        if plan.correlations.boundary.across:
            assert across.nnz > 0
        for got, wanted in ((within, expected.within), (across, expected.across)):
            for a, b in zip(got.to_coo(), wanted.to_coo(), strict=True):
                np.testing.assert_array_equal(a, b)


def numbers_of(measurement: LagMeasurement) -> dict[str, object]:
    """All fields, those of dataclasses among them by both names."""
    found = {}
    for field in dataclasses.fields(measurement):
        value = getattr(measurement, field.name)
        inner = dataclasses.fields(value) if dataclasses.is_dataclass(value) else ()
        found |= {f"{field.name}.{f.name}": getattr(value, f.name) for f in inner}
        found |= {} if inner else {field.name: value}
    return found


def assert_equal_measurements(found: LagMeasurement, expected: LagMeasurement) -> None:
    """Integers are equal, and numbers to 1e-12 of themselves or of the norm they belong to."""
    others = numbers_of(found)
    for name, wanted in numbers_of(expected).items():
        if not np.issubdtype(np.asarray(wanted).dtype, np.floating):
            np.testing.assert_array_equal(others[name], wanted, err_msg=name)
            continue
        np.testing.assert_allclose(
            others[name], wanted, rtol=1e-12, atol=1e-12 * expected.norm, err_msg=name
        )


def test_norms_of_shards_equal_those_of_the_corpus(measured):
    _, plan, directory, corpus = measured
    rounds = rounds_of(directory)
    design = design_of(corpus, boundary=plan.correlations.boundary.value, seed=3, replicates=50)
    for expected in measure_lags(design, plan.correlations, LAGS, workspace=Workspace(2)):
        found = rounds.measurement(expected.lag)
        # What the counts alone determine is the same to the last bit.
        for name in ("norm", "frobenius", "noise_floor", "norm_sequential", "permutation_floor"):
            assert getattr(found, name) == getattr(expected, name), name
        assert np.isfinite(found.norm_sequential)
        if found.lag == 1:
            assert np.isfinite(
                [found.cross_fit.debiased, found.cross_fit_sequential.debiased]
            ).all()
        assert_equal_measurements(found, expected)


def test_the_result_of_shards_is_that_of_the_corpus(measured):
    _, plan, directory, corpus = measured
    found = rounds_of(directory).result()
    design = design_of(corpus, boundary=plan.correlations.boundary.value, seed=3, replicates=50)
    lags = list(measure_lags(design, plan.correlations, LAGS, workspace=Workspace(2)))
    expected = assemble_correlations(design, plan.correlations, lags)
    np.testing.assert_array_equal(found.valid, expected.valid)
    np.testing.assert_array_equal(found.pairs, expected.pairs)
    np.testing.assert_array_equal(found.crossing_share, expected.crossing_share)
    np.testing.assert_array_equal(found.left_types, expected.left_types)
    np.testing.assert_array_equal(found.norm, expected.norm)
    np.testing.assert_allclose(found.norm_debiased, expected.norm_debiased, rtol=1e-12)
    assert found.periodic == expected.periodic
    assert found.beta.reason == expected.beta.reason


def test_ngrams_of_shards_are_those_of_the_corpus(measured):
    """Counts of counts, losses by cluster, halves and quarters."""
    rounds, plan, _, corpus = measured
    design = design_of(corpus, boundary=plan.correlations.boundary.value, seed=3)
    expected = count_design_ngrams(design, max_context=3)
    found = rounds.ngrams()
    np.testing.assert_array_equal(found.losses, expected.losses)
    np.testing.assert_array_equal(found.group_targets, expected.group_targets)
    got = [found.whole, *found.halves, *found.quarters]
    wanted = [expected.whole, *expected.halves, *expected.quarters]
    for a, b in zip(got, wanted, strict=True):
        assert a.targets == b.targets
        for tables, others in ((a.ngrams, b.ngrams), (a.contexts, b.contexts)):
            for table, other in zip(tables, others, strict=True):
                np.testing.assert_array_equal(table, other)


@pytest.mark.parametrize("max_context", [0, 1, 6])
@pytest.mark.parametrize("boundary", ["stream", "document"])
def test_ngrams_sent_in_many_parts(tmp_path, max_context, boundary):
    """Parts and shards that are shorter than the context."""
    found = short_in_the_middle(60)[:40]
    found[2] = np.array([4, SEPARATOR])
    shards = shards_of(found, 60, [2, 3, 30, 31])
    plan = plan_of(options_of(boundary, sequential=False, lags=(1,)), 5, max_context)
    plan.save(tmp_path)
    rounds = ShardRounds(tmp_path, Workspace())
    for number, corpus in enumerate(shards):
        rounds.describe(number, corpus)
    for number, corpus in enumerate(shards):
        NgramSender(rounds.layout, rounds.files, number, corpus, part=37).send()
    counting = NgramRounds(rounds.layout, rounds.files, Workspace())
    for number in range(len(rounds.layout.ranges)):
        counting.count(number)
    design = design_of(whole_of(found, 60), boundary=boundary, seed=3)
    expected = count_design_ngrams(design, max_context=max_context)
    got = rounds.ngrams()
    np.testing.assert_array_equal(got.losses, expected.losses)
    for table, other in zip(got.whole.ngrams, expected.whole.ngrams, strict=True):
        np.testing.assert_array_equal(table, other)
    for table, other in zip(got.whole.contexts, expected.whole.contexts, strict=True):
        np.testing.assert_array_equal(table, other)


def test_a_vocabulary_of_which_most_is_unused(tmp_path):
    """Items are numbered anew by what occurs in all shards; results name the original ids."""
    v, wide = 250, 4000
    found = [np.where(d == SEPARATOR, 0, d * 13 + 1) for d in short_in_the_middle(v)]
    shards = [
        ngramstat.Corpus.from_arrays(
            np.concatenate(part).astype(np.uint16), vocab_size=wide, separator=0
        )
        for part in (found[:50], found[50:])
    ]
    plan = plan_of(options_of(lags=(1, 40)), 2)
    measure_shards(shards, plan, tmp_path, Workspace(2))
    whole = ngramstat.Corpus.from_arrays(
        np.concatenate(found).astype(np.uint16), vocab_size=wide, separator=0
    )
    rounds = rounds_of(tmp_path)
    design = design_of(whole, seed=3, replicates=50)
    for expected in measure_lags(design, plan.correlations, (1, 40), workspace=Workspace(2)):
        assert_equal_measurements(rounds.measurement(expected.lag), expected)


def small_rounds(directory, shards=None) -> tuple[ShardRounds, list[ngramstat.Corpus]]:
    shards = shards_of(documents(30, 40), 30, [20]) if shards is None else shards
    plan = plan_of(options_of(sequential=False, lags=(1, 2)), 2)
    plan.save(directory)
    return ShardRounds(directory, Workspace()), shards


def test_rounds_out_of_order_are_refused(tmp_path):
    rounds, shards = small_rounds(tmp_path)
    rounds.describe(0, shards[0])
    with pytest.raises(InputError, match=r"shard-000001\.npz: is missing; an earlier round"):
        rounds.count(0, shards[0])
    with pytest.raises(InputError, match="shard 3: the plan has shards 1 to 2"):
        rounds.describe(2, shards[0])


def test_another_text_than_was_described_is_refused(tmp_path):
    rounds, shards = small_rounds(tmp_path)
    for number, corpus in enumerate(shards):
        rounds.describe(number, corpus)
    with pytest.raises(InputError, match="is not the text that was described as shard 2"):
        rounds.count(1, shards[0])


def test_shards_of_different_kinds_are_refused(tmp_path):
    found = documents(30, 40)
    rounds, _ = small_rounds(tmp_path)
    rounds.describe(0, whole_of(found, 30))
    rounds.describe(1, whole_of(found, 31))
    with pytest.raises(InputError, match="differ in their vocabulary size: 30, 31"):
        rounds.count(0, whole_of(found, 30))


def test_too_few_documents_are_refused(tmp_path):
    found = documents(30, 10)
    rounds, _ = small_rounds(tmp_path)
    rounds.describe(0, whole_of(found[:5], 30))
    rounds.describe(1, whole_of(found[5:], 30))
    with pytest.raises(InputError, match="have 10 documents together, and at least 20"):
        rounds.count(0, whole_of(found[:5], 30))


def test_damaged_and_foreign_files_are_refused(tmp_path):
    rounds, shards = small_rounds(tmp_path / "one")
    for number, corpus in enumerate(shards):
        rounds.describe(number, corpus)
    path = tmp_path / "one" / "shard-000000.npz"
    content = bytearray(path.read_bytes())
    at = content.index(np.diff(shards[0].document_ends, prepend=0).tobytes())
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        rounds.count(0, shards[0])
    other = plan_of(options_of(sequential=False, lags=(1, 3)), 2)
    with pytest.raises(InputError, match="holds another plan of shards"):
        other.save(tmp_path / "one")
    other.save(tmp_path / "two")
    there = ShardRounds(tmp_path / "two", Workspace())
    (tmp_path / "two" / "shard-000001.npz").write_bytes(
        (tmp_path / "one" / "shard-000001.npz").read_bytes()
    )
    there.describe(0, shards[0])
    with pytest.raises(InputError, match="belongs to another plan or text"):
        there.count(0, shards[0])


def test_a_file_under_the_name_of_another_is_refused(tmp_path):
    files = RoundFiles(tmp_path, "plan")
    for number in (1, 2):
        files.save(SentWindows(number), "sent", number)
    (tmp_path / "sent-000001.npz").replace(tmp_path / "sent-000002.npz")
    with pytest.raises(InputError, match=r"sent-000002\.npz: is damaged"):
        files.load(SentWindows, "sent", 2)


def test_any_changed_bit_of_a_header_has_its_file_made_again(tmp_path):
    files = RoundFiles(tmp_path, "plan")
    files.save(SentWindows(1), "sent", 1)
    path = tmp_path / "sent-000001.npz"
    whole = path.read_bytes()
    for position in range(len(whole)):
        path.write_bytes(bytes(b ^ (k == position) for k, b in enumerate(whole)))
        files.has("sent", 1)  # True or False, and no other error
    path.write_bytes(whole)
    assert files.has("sent", 1)


def test_finished_files_are_not_made_again(tmp_path):
    """Only the descriptions of shards, which tell whether the text is the same."""

    def written() -> dict[str, int]:
        return {
            path.name: path.stat().st_mtime_ns
            for path in tmp_path.glob("*.npz")
            if not path.name.startswith("shard-")
        }

    plan = plan_of(options_of(lags=(1, 2)), 2)
    shards = shards_of(documents(30, 40), 30, [20])
    measure_shards(shards, plan, tmp_path, Workspace())
    before = written()
    kinds = {name.partition("-")[0] for name in before}
    assert {"sample", "pairs", "documents", "shuffled", "ngrams", "sums", "forms"} <= kinds
    measure_shards(shards, plan, tmp_path, Workspace())
    assert written() == before
    # A process that was killed before it had sent all windows left those that it had written.
    markers = [name for name in before if name.startswith(("sent-", "training-sent-"))]
    assert len(markers) == 4
    for name in markers:
        (tmp_path / name).unlink()
    measure_shards(shards, plan, tmp_path, Workspace())
    after = written()
    assert {name for name in before if after[name] != before[name]} == set(markers)


def test_counts_of_another_text_are_made_again(tmp_path):
    """A shard that changed between two calls: nothing of the old text is left in the result."""
    found = documents(30, 40)
    plan = plan_of(options_of(sequential=False, lags=(1, 2)), 2)
    measure_shards(shards_of(found, 30, [20]), plan, tmp_path, Workspace())
    found[25] = np.append(found[25][:-1] + 1, SEPARATOR) % 30
    changed = measure_shards(shards_of(found, 30, [20]), plan, tmp_path, Workspace())
    expected = count_design_ngrams(design_of(whole_of(found, 30), seed=3), max_context=3)
    np.testing.assert_array_equal(changed.ngrams().losses, expected.losses)
    design = design_of(whole_of(found, 30), seed=3, replicates=50)
    (lag, _) = measure_lags(design, plan.correlations, (1, 2), workspace=Workspace())
    assert_equal_measurements(rounds_of(tmp_path).measurement(1), lag)


def test_the_plan_is_read_back(tmp_path):
    plan = plan_of(options_of(window=(1, 7)))
    plan.save(tmp_path)
    assert ShardPlan.load(tmp_path) == plan
    (tmp_path / "plan.json").write_text(json.dumps({"format": "x"}))
    with pytest.raises(InputError, match="is no plan of shards"):
        ShardPlan.load(tmp_path)
    for settings in (
        {"shards": 0},
        {"max_context": 255},
        {"max_context": 16},
        {"predictor": "mixture"},
        {"held_out": 0.9},
        {"learning_sizes": 0},
    ):
        with pytest.raises(InputError, match=next(iter(settings)).replace("held_out", "held-out")):
            ShardPlan(**{"shards": 2, "max_context": 3, "ranges": 2} | settings,
                      correlations=options_of())  # fmt: skip


def command(*arguments: object) -> None:
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output


def test_the_commands_of_all_rounds(tmp_path):
    """One after the other they leave what `shards run` does."""
    paths, store = [], ["--dtype", "uint16", "--vocab-size", 40, "--separator", SEPARATOR]
    for number, corpus in enumerate(shards_of(documents(40, 60), 40, [25])):
        paths.append(tmp_path / f"shard-{number}.bin")
        paths[-1].write_bytes(corpus.tokens.tobytes())
    settings = ["--lags", "1,2,5", "--replicates", 20, "--max-context", 2, "--ranges", 3]
    rounds, separate, together = (tmp_path / name for name in ("rounds", "separate", "together"))
    numbered = [(path, "--number", number) for number, path in enumerate(paths, start=1)]
    command("shards", "plan", rounds, "--shards", 2, *settings, "--seed", 4)
    for step in ("describe", "count"):
        for path, *number in numbered:
            command("shards", step, rounds, path, *number, *store)
    for part in ("2/3", "3/3", "1/3"):
        command("shards", "merge", rounds, "--after", "count", "--part", part)
    for path, *number in numbered:
        command("shards", "sum", rounds, path, *number, "--round", 1, *store)
    command("shards", "merge", rounds, "--after", "sums")
    for path, *number in numbered:
        command("shards", "sum", rounds, path, *number, "--round", 2, *store)
    command("shards", "assemble", rounds, "-o", separate)
    command("shards", "run", *paths, *store, *settings, "--seed", 4, "-o", together)
    one, other = (json.loads((path / "run.json").read_text()) for path in (separate, together))
    for run in (one, other):
        assert run.pop("provenance")["version"]  # the rest, such as seconds, may differ
    assert one == other
    assert not (separate / "entropies.json").exists()
    whole = ngramstat.measure(
        whole_of(documents(40, 60), 40), lags=[1, 2, 5], replicates=20, max_context=2, seed=4,
        predictor="kneser-ney",
    )  # fmt: skip
    expected = json.loads(json.dumps(whole.to_dict()))
    assert one["entropies"] == expected["entropies"]
    assert one["prediction"]["alpha"]["reason"] == expected["prediction"]["alpha"]["reason"]
    rungs = [[rung["rung"] for rung in run["answer"]["rungs"]] for run in (one, expected)]
    assert rungs[0] == rungs[1]
    assert one["answer"]["reason"] == expected["answer"]["reason"]


def test_counted_entropies_where_nothing_is_held_out(tmp_path):
    """Longer contexts than models have, and no gamma."""
    found = documents(40, 60)
    plan = plan_of(options_of(sequential=False, lags=(1,)), 2, 20, predictor="none")
    rounds = measure_shards(shards_of(found, 40, [25]), plan, tmp_path / "rounds", Workspace())
    result = rounds.assemble(tmp_path / "run")
    assert result.entropies is None
    assert result.prediction is None
    counted = json.loads((tmp_path / "run" / "entropies.json").read_text())
    expected = count_design_ngrams(design_of(whole_of(found, 40), seed=3), max_context=20)
    assert counted["context"] == list(range(21))
    assert counted["targets"] == expected.whole.targets
    assert counted["plug_in"] == plug_in(expected.whole).tolist()


def test_one_shard_is_refused():
    done = CliRunner().invoke(main, ["shards", "run", "corpus", "-o", "run"])
    assert done.exit_code == 2
    assert "corpus: is one shard; `ngramstat measure` takes it" in done.output
