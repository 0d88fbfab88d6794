"""The learners of hierarchies: against slow ones, exact errors, and known sample complexities."""

from __future__ import annotations

import numpy as np
import pytest

import reference_hierarchy_learning as reference
from ngramstat.errors import InputError
from ngramstat.synthetic import RandomHierarchy
from ngramstat.theories.hierarchy_learning import (
    classes_of_rows,
    join_tuples,
    learn_labels,
    learn_last_token,
)


def sample(world, n, seed):
    """Strings and labels of a hierarchy."""
    tokens = np.concatenate(list(world.pieces(n * world.document_length, seed=seed)))
    return tokens.reshape(n, -1).astype(np.int64), world.labels(n, seed=seed).astype(np.int64)


def learned(world, strings, labels, *, shared=True):
    v, s = world.v, world.s
    return learn_labels(
        join_tuples(strings, s, v), labels, n_tuples=v**s, n_labels=world.classes, n_classes=v,
        branching=s, shared=shared,
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_classes_of_rows_equal_those_of_the_slow_version(seed):
    rng = np.random.default_rng(seed)
    n_classes = int(rng.integers(2, 5))
    distributions = rng.dirichlet(np.ones(4), (n_classes, 2))
    rows = np.stack([
        [rng.multinomial(int(rng.integers(0, 20)), p) for p in distributions[k]]
        for k in rng.integers(0, n_classes, 50)
    ])  # fmt: skip
    assert classes_of_rows(rows, n_classes).tolist() == reference.classes_of_rows(
        rows.tolist(), n_classes
    )


def test_rows_of_two_distributions_are_told_apart_and_empty_ones_go_to_the_first_class():
    rows = np.array([[90, 10], [0, 0], [12, 88], [9, 1], [1, 9], [45, 5]])
    assert classes_of_rows(rows[:, None], 2).tolist() == [0, 0, 1, 0, 1, 0]
    assert classes_of_rows(np.zeros((3, 1, 2), np.int64), 2).tolist() == [0, 0, 0]


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(
    ("v", "m", "s", "levels", "zipf_a", "n"),
    [
        (4, 2, 2, 1, None, 40),
        (4, 3, 2, 2, 1.0, 60),
        (3, 2, 2, 3, None, 150),
        (4, 5, 3, 2, 0.5, 200),
    ],
)
def test_errors_of_labels_equal_those_of_the_slow_learner(v, m, s, levels, zipf_a, n, shared):
    for seed in range(2):
        world = RandomHierarchy(v, m, s, levels, zipf_a=zipf_a, rules_seed=seed)
        strings, labels = sample(world, n, 1)
        test, test_labels = sample(world, 300, 2)
        learner = learned(world, strings, labels, shared=shared)
        predicted = learner.predict(join_tuples(test, s, v))
        assert np.mean(predicted != test_labels) == reference.label_errors(
            strings.tolist(), labels.tolist(), test.tolist(), test_labels.tolist(), v, s,
            shared=shared,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("v", "m", "s", "levels", "n"), [(4, 2, 2, 3, 200), (3, 2, 3, 2, 120), (5, 3, 2, 2, 64)]
)
def test_losses_of_the_last_token_equal_those_of_the_slow_learner(v, m, s, levels, n):
    world = RandomHierarchy(v, m, s, levels, zipf_a=1.0, zipf_levels="1")
    strings, _ = sample(world, n, 1)
    test, _ = sample(world, 100, 2)
    learner = learn_last_token(strings, vocabulary=v, branching=s, levels=levels)
    losses, used = reference.last_token_losses(strings.tolist(), test.tolist(), v, s, levels)
    np.testing.assert_allclose(learner.losses(test), losses, rtol=1e-12)
    assert learner.used == used
    assert learner.loss(test) == pytest.approx(losses[used], rel=1e-12)


def test_many_strings_teach_the_whole_hierarchy():
    world = RandomHierarchy(8, 4, 2, 3, rules_seed=1)
    strings, labels = sample(world, 1 << 15, 1)
    test, test_labels = sample(world, 2000, 2)
    predicted = learned(world, strings, labels).predict(join_tuples(test, 2, 8))
    assert np.mean(predicted != test_labels) < 0.005
    few = learned(world, strings[:100], labels[:100]).predict(join_tuples(test, 2, 8))
    assert np.mean(few != test_labels) > 0.5


def test_losses_of_the_last_token_fall_to_the_exact_entropies():
    world = RandomHierarchy(8, 2, 2, 3, rules_seed=2)
    strings, _ = sample(world, 1 << 16, 1)
    test, _ = sample(world, 1 << 15, 2)
    losses = learn_last_token(strings, vocabulary=8, branching=2, levels=3).losses(test)
    np.testing.assert_allclose(losses, world.tree.staircase(3), atol=0.02)


def test_strings_of_a_wrong_length_are_refused():
    with pytest.raises(InputError, match="power of 2"):
        learn_labels(
            np.zeros((4, 3), np.int64), np.zeros(4, np.int64), n_tuples=4, n_labels=2,
            n_classes=2, branching=2,
        )  # fmt: skip
    with pytest.raises(InputError, match="at least 16 strings"):
        learn_last_token(np.zeros((8, 4), np.int64), vocabulary=2, branching=2, levels=2)
    with pytest.raises(InputError, match="multiple of 2"):
        join_tuples(np.zeros((4, 3), np.int64), 2, 2)
