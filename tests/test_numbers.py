"""Numbers as people write them: one style of counts, and what the command line understands."""

from __future__ import annotations

import math

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from ngramstat.cli import main
from ngramstat.cli.options import Count, ListOf, MeasuredLoss, Numbers
from ngramstat.report.text import count
from ngramstat.runtime.numbers import (
    count_text,
    number_text,
    parse_count,
    parse_float,
    parse_integer,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (7, "7"), (8192, "8,192"), (9999, "9,999"), (10_000, "10 k"),
        (12_345, "12.3 k"), (999_499, "999 k"), (999_500, "1 M"), (1_230_000, "1.23 M"),
        (87_430_000, "87.4 M"), (1.5e9, "1.5 G"), (3e11, "300 G"), (2.5e12, "2.5 T"),
        (1e15, "1e15"), (1.234e18, "1.23e18"), (137.4, "137"), ("unknown", "unknown"),
        (None, "None"), (True, "True"),
    ],
)  # fmt: skip
def test_counts_have_three_digits_and_a_suffix(value, text):
    assert count_text(value) == text
    assert count(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (0.012345, "0.0123"), (1.5, "1.5"), (137.4, "137"), (9996.0, "10 k"),
        (1234.5, "1230"), (12_345.0, "12.3 k"), (2.1e-7, "2.1e-7"), (-3.25, "-3.25"),
        (-2e6, "-2 M"), (math.inf, "inf"),
    ],
)  # fmt: skip
def test_other_numbers_have_three_digits(value, text):
    assert number_text(value) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1000", 1000), ("1_000_000", 1e6), ("1,000", 1000), ("1e9", 1e9), ("1G", 1e9),
        ("1 G", 1e9), ("2.5M", 2.5e6), ("2.3m", 2.3e6), ("40k", 40_000), ("40K", 40_000),
        ("3B", 3e9), ("1T", 1e12), ("2^20", 1 << 20), ("2**10", 1024), (" 12 ", 12), (".5M", 5e5),
        ("1.5e3", 1500),
    ],
)  # fmt: skip
def test_counts_are_understood_as_people_write_them(text, value):
    assert parse_count(text) == value
    assert Count().convert(text, None, None) == value


@pytest.mark.parametrize(
    "text", ["", "k", "1KB", "x", "1e", "-5", "2^", "^3", "2^99", "1e999", "nan", "inf", "1..2",
             "3_0_0", "1,0,0", "1__000", "1_000,000", "\uff11", "\u0661\u0660", "2\u212a"]
)  # fmt: skip
def test_other_texts_are_refused(text):
    with pytest.raises(ValueError, match=r"."):
        parse_count(text)
    with pytest.raises(click.BadParameter, match="count"):
        Count().convert(text, None, None)


@pytest.mark.parametrize("text", ["3_0_0", "1_0.5", "\uff13", "\u0663.5", "\xb2", "3\u066b5"])
def test_numbers_in_other_digits_are_refused(text):
    for parse in (parse_integer, parse_float):
        with pytest.raises(ValueError, match=r"."):
            parse(text)
    for options in (
        ["synthesize", "runs", "--mu", text, "-o", "x"],
        ["synthesize", "markov", "--order", text, "-o", "x"],
        ["--threads", text, "inspect", "x"],
        ["measure", "x", "-o", "y", "--max-context", text],
        ["measure", "x", "-o", "y", "--lags", f"1,{text}"],
        ["measure", "x", "-o", "y", "--beta-window", f"1:{text}"],
        ["counts", "ngrams", "x", "-n", text],
        ["predict", "x", "--loss", f"1e9:{text}"],
        ["validate", "x", "-o", "y", "--budget", text],
        ["validate", "x", "-o", "y", "--contexts", text],
    ):
        result = CliRunner().invoke(main, options)
        assert result.exit_code == 2, options
        assert "Invalid value" in result.stderr, (options, result.stderr)


def test_plain_numbers_are_numbers():
    assert parse_integer(" -17 ") == -17
    assert parse_float("1e-3") == 1e-3
    with pytest.raises(ValueError, match=r"."):
        parse_integer("1.0")


def test_a_count_is_a_whole_number():
    for text in ("0.5", "0", "1e20", "1.2345k"):
        with pytest.raises(click.BadParameter, match="whole number"):
            Count().convert(text, None, None)


def test_lists_and_pairs_take_the_same_counts():
    assert Numbers().convert("1G, 2.5M,2^20", None, None) == (1e9, 2.5e6, 1 << 20)
    assert ListOf(Count()).convert("100k,200k", None, None) == (100_000, 200_000)
    assert MeasuredLoss().convert("1G:3.2", None, None) == (1e9, 3.2)
    for kind, text in ((Numbers(), "1G,x"), (MeasuredLoss(), "1G"), (MeasuredLoss(), "x:3")):
        with pytest.raises(click.BadParameter):
            kind.convert(text, None, None)


@given(st.floats(min_value=1, max_value=9.9e14))
def test_a_count_that_is_read_back_is_within_its_digits(value):
    back = parse_count(count_text(value))
    assert abs(back - value) <= max(0.5, 0.00501 * value)
