"""The reader of the user's learning curves: what it accepts, and how it refuses the rest."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from ngramstat.errors import InputError
from ngramstat.prediction.curve_files import read_curves, read_reader_curve
from ngramstat.results import CurveTable

ROWS = [(1, 1e6, 5.5), (1, 2e6, 5.3), (2, 1e6, 5.1), (2, 2e6, 4.8)]


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_csv_in_any_order_with_other_columns(tmp_path):
    lines = ["model,Tokens,context,loss", *(f"gpt,{p},{n},{y}" for n, p, y in ROWS[::-1])]
    table = read_curves(write(tmp_path / "c.csv", "\ufeff" + "\r\n".join(lines) + "\r\n\r\n"))
    assert table.context.tolist() == [1, 1, 2, 2]
    assert table.tokens.tolist() == [1e6, 2e6, 1e6, 2e6]
    assert table.loss.tolist() == [y for _, _, y in ROWS]
    assert table.error is None
    assert table.replicates.tolist() == [1] * 4


@pytest.mark.parametrize("columns", [True, False], ids=["lists", "objects"])
def test_json_gives_the_same_curves(tmp_path, columns):
    names = ("context", "tokens", "loss")
    data = (
        dict(zip(names, map(list, zip(*ROWS, strict=True)), strict=True))
        if columns
        else [dict(zip(names, row, strict=True)) for row in ROWS]
    )
    table = read_curves(write(tmp_path / "c.json", json.dumps(data)))
    assert table.loss.tolist() == [y for _, _, y in ROWS]
    assert table.context.tolist() == [1, 1, 2, 2]


def test_replicates_are_averaged_with_their_spread(tmp_path):
    text = "context,tokens,loss,seed,error\n1,1e6,5.0,a,\n1,1e6,5.2,b,\n1,1e6,5.4,c,\n"
    text += "1,2e6,4.0,a,0.03\n1,2e6,4.0,b,0.04\n1,4e6,3.5,a,\n1,8e6,3.0,,0.1\n"
    table = read_curves(write(tmp_path / "c.csv", text))
    np.testing.assert_allclose(table.loss, [5.2, 4.0, 3.5, 3.0])
    assert table.replicates.tolist() == [3, 2, 1, 1]
    assert table.error[0] == pytest.approx(0.2 / math.sqrt(3))
    assert table.error[1] == pytest.approx(0.05 / 2)  # hypot(.03, .04) / 2; the spread is zero
    assert math.isnan(table.error[2])
    assert table.error[3] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["c.csv", "empty", "context,tokens,loss"]),
        ("1,1e6,5.5\n", ["line 1", "no header"]),
        ("context,tokens\n1,2\n", ["line 1", "'loss'", "nats"]),
        ("context,n,tokens,loss\n", ["line 1", "two columns", "'context'"]),
        ("context,tokens,loss\n", ["no losses"]),
        ("context,tokens,loss\n1,1e6\n", ["line 2", "2 cells", "3"]),
        ("context,tokens,loss\n1,1e6,5\n1,1e6,low\n", ["line 3", "loss 'low'", "not a number"]),
        ("context,tokens,loss\n1,1e6,nan\n", ["line 2", "loss is nan"]),
        ("context,tokens,loss\n1,inf,5\n", ["line 2", "tokens is inf"]),
        ("context,tokens,loss\n1,1e6,-5\n", ["line 2", "loss -5", "nats"]),
        ("context,tokens,loss\n1,1e6,300\n", ["line 2", "loss 300", "perplexity"]),
        ("context,tokens,loss\n1.5,1e6,3\n", ["line 2", "context 1.5", "whole"]),
        ("context,tokens,loss\n-1,1e6,3\n", ["line 2", "context -1"]),
        ("context,tokens,loss\n1,0,3\n", ["line 2", "tokens 0"]),
        ("context,tokens,loss,error\n1,1e6,3,0\n", ["line 2", "error 0", "positive"]),
        ("context,tokens,loss,seed\n1,1e6,3,7\n1,1000000,3.1,7\n",
         ["line 3", "seed 7", "line 2", "remove"]),
        ('context,tokens,loss\n1,1e6,"3\n', ["line 2", "CSV"]),
    ],
)  # fmt: skip
def test_bad_csv_is_refused_with_its_line(tmp_path, text, words):
    with pytest.raises(InputError) as caught:
        read_curves(write(tmp_path / "c.csv", text))
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("5", ["list of objects"]),
        ("[5]", ["entry 0", "object"]),
        ('[{"context": 1, "tokens": 5}]', ["entry 0", "'loss'"]),
        ('[{"context": 1, "tokens": 5, "loss": true}]', ["entry 0", "'True'"]),
        ('[{"context": 1, "tokens": 5, "loss": null}]', ["no losses"]),
        ('{"context": [1], "tokens": [5, 6], "loss": [1]}', ["different lengths"]),
        ('{"context": 1, "tokens": [5], "loss": [1]}', ["context", "list"]),
        ("[NaN]", ["entry 0", "object"]),
        ("[5", ["not valid JSON"]),
        ('[{"context": 1, "tokens": 5, "loss": NaN}]', ["entry 0", "loss is nan"]),
        ('[{"context": 1, "context": 2}]', ["not valid JSON", "twice"]),
    ],
)
def test_bad_json_is_refused(tmp_path, text, words):
    with pytest.raises(InputError) as caught:
        read_curves(write(tmp_path / "c.json", text))
    for word in ("c.json", *words):
        assert word in str(caught.value)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.csv"):
        read_curves(tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        read_curves(tmp_path / "binary.csv")


# --- the losses of one pretrained model ---


def test_a_readers_curve_has_one_loss_for_each_context(tmp_path):
    text = "context,tokens,loss,error,learner\n2,,4.5,.1,pythia\n0,,7.0,,pythia\n1,,5.5,.2,pythia\n"
    table = read_reader_curve(write(tmp_path / "c.csv", text))
    assert table.context.tolist() == [0, 1, 2]
    assert table.loss.tolist() == [7.0, 5.5, 4.5]
    assert np.isnan(table.tokens).all()
    assert np.isnan(table.error).tolist() == [True, False, False]
    assert table.learner == "pythia"
    again = type(table).from_dict(json.loads(json.dumps(table.to_dict())))
    assert again == table
    with pytest.raises(InputError, match=r"no training tokens.*for reader"):
        read_curves(tmp_path / "c.csv")


def test_a_readers_training_tokens_and_name_are_optional(tmp_path):
    rows = [{"n": 1, "p": 3e11, "nats": 5.0}, {"n": 2, "p": 3e11, "nats": 4.0}]
    table = read_reader_curve(write(tmp_path / "big.json", json.dumps(rows)))
    assert table.tokens.tolist() == [3e11, 3e11]
    assert table.learner == "big"
    assert table.error is None
    assert read_curves(tmp_path / "big.json").learner is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("context,tokens,loss\n1,,5\n1,,4\n", ["line 3", "context 1", "are for curves"]),
        ("context,tokens,loss\n1,1e6,5\n2,2e6,4\n", ["2 different", "are for curves"]),
        ("context,tokens,loss\n1,1e6,5\n2,,4\n", ["line 3", "tokens ''"]),
        ("context,tokens,loss,learner\n1,,5,a\n2,,4,b\n", ["2 learners"]),
        ("context,loss\n1,5\n", ["'tokens'"]),
        ("context,tokens,loss\n1,,nan\n", ["line 2", "loss"]),
    ],
)
def test_what_is_no_readers_curve_is_refused(text, words, tmp_path):
    with pytest.raises(InputError) as refused:
        read_reader_curve(write(tmp_path / "c.csv", text))
    assert all(word in str(refused.value) for word in words), refused.value


def test_a_table_of_losses_needs_tokens_unless_it_names_a_learner():
    row = {"context": np.array([1, 2]), "loss": np.array([2.0, 1.0]),
           "replicates": np.array([1, 1])}  # fmt: skip
    unknown = np.full(2, math.nan)
    assert CurveTable(**row, tokens=unknown, learner="x").learner == "x"
    for tokens, learner in ((unknown, None), (np.array([1.0, math.nan]), "x")):
        with pytest.raises(InputError, match="tokens"):
            CurveTable(**row, tokens=tokens, learner=learner)
    with pytest.raises(InputError, match="without repeats"):
        CurveTable(**{**row, "context": np.array([1, 1])}, tokens=unknown, learner="x")
