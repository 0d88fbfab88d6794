"""Held-out losses of document shards against those of the same shards as one corpus."""

from __future__ import annotations

import json

import numpy as np
import pytest

import ngramstat
from ngramstat.errors import InputError
from ngramstat.runtime.workspace import Workspace
from ngramstat.sharding.held_out import HeldOutRounds, HeldOutSender
from ngramstat.sharding.rounds import ShardRounds, measure_shards
from ngramstat.sharding.split import TextSplit
from shard_texts import (
    CUTS,
    SEPARATOR,
    documents,
    options_of,
    plan_of,
    shards_of,
    short_in_the_middle,
    whole_of,
)


def entropies_of(corpus: ngramstat.Corpus, boundary: str, **others) -> dict:
    """As one corpus has them."""
    settings = {"max_context": 3, "replicates": 50, "seed": 3, "threads": 2} | others
    result = ngramstat.entropies(corpus, boundary=boundary, predictor="kneser-ney", **settings)
    return json.loads(json.dumps(result.to_dict()))


def found_by(rounds: ShardRounds) -> dict:
    return json.loads(json.dumps(rounds.entropies().to_dict()))


def without_separators(found: list[np.ndarray], v: int, cuts: list[int]) -> list[ngramstat.Corpus]:
    """Shards whose documents are known by their ends alone."""
    return [
        ngramstat.Corpus.from_arrays(
            np.concatenate(part).astype(np.uint16), vocab_size=v,
            document_ends=np.cumsum([len(tokens) for tokens in part]),
        )
        for part in np.split(np.array([*found, None], dtype=object)[:-1], cuts)
    ]  # fmt: skip


@pytest.mark.parametrize("boundary", ["stream", "document"])
@pytest.mark.parametrize("separated", [True, False], ids=["separators", "no separators"])
def test_entropies_of_shards_are_those_of_the_corpus(tmp_path, boundary, separated):
    """All of them, with brackets, learning curve, discounts, copies and gamma."""
    make = shards_of if separated else without_separators
    found = short_in_the_middle(300)
    found[50] = found[90][:60]  # a copy
    plan = plan_of(options_of(boundary, lags=(1,), sequential=False))
    rounds = measure_shards(make(found, 300, CUTS), plan, tmp_path, Workspace(2))
    expected = entropies_of(make(found, 300, [])[0], boundary)
    assert len(expected["learning_curve"]["tokens"]) > 2
    assert found_by(rounds) == expected


@pytest.mark.parametrize("max_context", [0, 1, 6])
@pytest.mark.parametrize("boundary", ["stream", "document"])
def test_training_tokens_sent_in_many_parts(tmp_path, max_context, boundary):
    """Parts and shards that are shorter than the context, and a shard that is held out."""
    found = documents(60, 45, seed=2)
    for short in (2, 7, 8, 9, 30):
        found[short] = np.array([4, SEPARATOR])
    shards = shards_of(found, 60, [2, 3, 8, 9, 30, 31])
    plan = plan_of(options_of(boundary, lags=(1,), sequential=False), len(shards), max_context,
                   held_out=0.3, learning_sizes=4)  # fmt: skip
    plan.save(tmp_path)
    rounds = ShardRounds(tmp_path, Workspace())
    for number, corpus in enumerate(shards):
        rounds.describe(number, corpus)
    split = TextSplit(rounds.layout, plan.entropies)
    assert any(len(split.training_of(number).places) == 0 for number in range(len(shards)))
    senders = [
        HeldOutSender(split, rounds.files, number, corpus, Workspace(), part=37)
        for number, corpus in enumerate(shards)
    ]
    for sender in senders:
        sender.tell()
    for sender in senders:
        sender.send()
    counting = HeldOutRounds(split, rounds.files, Workspace())
    for number in range(len(rounds.layout.ranges)):
        counting.count(number)
    whole, points = counting.losses()
    expected = entropies_of(
        whole_of(found, 60), boundary, max_context=max_context, held_out=0.3, learning_sizes=4
    )
    assert (whole.losses.sum(axis=0) / whole.tokens.sum()).tolist() == expected[
        "held_out_kneser_ney"
    ]
    assert whole.training_tokens == expected["training_tokens"]
    assert whole.copied_fraction == expected["held_out_copies"]
    curve = expected["learning_curve"]
    assert len(points) + 1 == sum(curve["replicates"])


def test_a_memory_limit_trains_fewer_models_at_a_time(tmp_path):
    found = documents(100, 60)
    plan = plan_of(options_of(lags=(1,), sequential=False), 2)
    limited = Workspace(1, 1)
    assert limited.memory_budget() is not None
    rounds = measure_shards(shards_of(found, 100, [20]), plan, tmp_path, Workspace())
    for path in tmp_path.glob("models-*"):
        path.unlink()
    split = TextSplit(rounds.layout, plan.entropies)
    counting = HeldOutRounds(split, rounds.files, limited)
    for number in range(len(rounds.layout.ranges)):
        counting.count(number)
    assert found_by(rounds) == entropies_of(whole_of(found, 100), "stream")


def test_too_few_documents_to_hold_some_out(tmp_path):
    found = documents(30, 3)
    plan = plan_of(options_of("document", sequential=False, lags=(1,)), 2)
    with pytest.raises(InputError, match=r"the 3 documents .*predictor none"):
        measure_shards(shards_of(found, 30, [1]), plan, tmp_path, Workspace())
