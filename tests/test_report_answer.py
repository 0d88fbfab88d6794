"""The answer at the beginning of the page, its evidence, and the forecast."""

from __future__ import annotations

import dataclasses
import re

import pytest

from ngramstat.report.page import render_page
from ngramstat.results import Answer, ForecastBacktest, ForecastPoint, Rung, RunResult
from test_report import planted_run
from test_report_page import HARMFUL, Page

STEPS = (
    "ngramstat measure corpus -o run --train 40m (trains small models on this text)",
    "ngramstat read MODEL corpus -o reader.csv (a model that you have reads this text)",
)


def bounds(**changes: object) -> Answer:
    rung = Rung(rung="counts", learner="counts", low=0.064, high=0.446, protocol="bounds",
                reportable=True)  # fmt: skip
    other = Rung(
        rung="counted", learner=HARMFUL, alpha=0.091, low=0.073, high=0.121, tokens=87e6,
        reason="beta: the gamma of this learner " + "changes " * 20,
    )  # fmt: skip
    values = {
        "low": 0.064, "high": 0.446, "rung": "counts", "reportable": True,
        "because": ("beta is known, and gamma lies between 0.1 and 0.5", f"Second {HARMFUL}",
                    "third reason"),
        "next": STEPS, "rungs": (rung, other),
    }  # fmt: skip
    return Answer(**(values | changes))  # type: ignore[arg-type]


def forecast(**changes: object) -> tuple[ForecastPoint, ...]:
    return tuple(
        ForecastPoint(
            tokens=tokens, route=route, loss=loss, low=0.9 * loss, high=1.1 * loss, change=-0.12,
            context=33.4, recommended=route == "curves", reportable=route != "fit",
            reason="too far" if route == "fit" else None,
        )
        for tokens in (1e8, 1e9)
        for route, loss in (("curves", 2.345), ("fit", 2.456))
    )  # fmt: skip


def page_of(run: RunResult) -> tuple[str, list[str]]:
    """Words of the page, and the ids of its sections in order."""
    page = Page(render_page(run))
    words = " ".join(" ".join(page.text).split())
    return words, [str(a["id"]) for tag, a in page.tags if tag == "section"]


def test_the_page_begins_with_the_answer_then_evidence_then_the_forecast() -> None:
    words, sections = page_of(planted_run(answer=bounds(), forecast=forecast()))
    assert sections[:4] == ["answer", "what-the-answer-stands-on", "forecast", "correlations"]
    assert "verdict" not in sections
    assert "exponents" in sections
    assert words.index("α between 0.064 and 0.446") < words.index("counts alone")
    # 1 - 10^-.064 = .137, 1 - 10^-.446 = .642
    assert "95% interval, no value in it is preferred" in words
    assert "lower the loss by 14% to 64%" in words
    assert "β is known, and γ lies between 0.1 and 0.5." in words
    assert STEPS[0].split(" (")[0] in words
    assert "2.345" in words
    assert "−12 %" in words
    assert "33 tokens" in words
    assert HARMFUL in words
    assert HARMFUL not in render_page(planted_run(answer=bounds()))


def test_the_answer_takes_at_most_ten_lines() -> None:
    text = render_page(planted_run(answer=bounds()))
    block = re.search(r'<section id="answer".*?</section>', text, flags=re.S)
    assert block is not None
    # What is folded takes one line.
    open_part = re.sub(r"<details.*?</details>", "<p>More</p>", block[0], flags=re.S)
    assert len(re.findall(r"<(?:p|h2|pre)\b", open_part)) <= 10
    assert "third reason" not in open_part
    assert "third reason" in block[0].lower()


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"alpha": 0.16, "low": 0.12, "high": 0.2, "rung": "curves", "protocol": "raw",
          "tokens": 2e6, "learner": "a small model", "reportable": False},
         ("α = (0.160 [0.120 to 0.200] ) not reportable", "by about 31% (24% to 37%)",
          "(0.160 [0.120, 0.200], 95% interval, a check failed) near 2 M training tokens",
          "from a small model.")),
        ({"alpha": 0.05, "low": 0.04, "high": 0.06, "protocol": "measured", "rung": "curves",
          "learner": "two models"},
         ("The losses of two models fall as P^-α with α = 0.050 [0.040, 0.060]",)),
        ({"alpha": 0.05, "low": 0.04, "high": 0.06, "protocol": "measured", "learner": "counting"},
         ("α cannot be predicted for this text", "the losses of counting fall as")),
        ({"low": None, "high": None}, ("α is unknown", "can be used")),
        ({"next": (), "because": (), "rungs": ()}, ("α between",)),
    ],
)  # fmt: skip
def test_every_kind_of_answer_is_said_in_words(
    changes: dict[str, object], parts: tuple[str, ...]
) -> None:
    words, _ = page_of(planted_run(answer=bounds(**changes)))
    for part in parts:
        assert part in words, part


def test_only_the_recommended_route_is_unfolded() -> None:
    run = planted_run(answer=bounds(), forecast=forecast())
    text = render_page(run)
    section = re.search(r'<section id="forecast".*?</section>', text, flags=re.S)
    assert section is not None
    first, folded = section[0].split("<details", 1)
    assert first.count("2.345") == 2
    assert "2.456" not in first
    assert folded.count("(2.456)") == 2  # not supported by backtests
    assert "In parentheses: Too far." in re.sub(r"<[^>]*>", "", folded)
    backtest = ForecastBacktest(
        route="fit", learner="counting", factor=4, cases=9, inside=8, median_error=0.021,
        largest_error=0.05,
    )  # fmt: skip
    words, _ = page_of(dataclasses.replace(run, forecast_backtests=(backtest,)))
    assert "2.1 % 8 of 9" in words
    assert "forecast" not in page_of(planted_run())[1]
