"""No alpha, exponent, horizon or loss of a refused fit appears without its mark, in any text.

Refused runs are made, every text and table of them is walked, and wherever a refused number appears
it must stand in parentheses, or in a row, object or label that says that it is not reportable.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import ngramstat
from ngramstat.cli import main
from ngramstat.prediction.predict import predict
from ngramstat.report.compare import render_comparison
from ngramstat.report.page import render_page
from ngramstat.report.summary import summarize
from ngramstat.results import CurveTable, Exponent, LearningCurve, RunResult
from test_prediction import learned_curves
from test_report import planted_correlations, planted_entropies, planted_run

# Numbers that a refused fit yields, by the names of the fields that hold them.
DERIVED = re.compile(
    r"^(value|loss|slope(_low|_high)?|(other_)?(alpha|beta|gamma)?_?(low|high)?|limit(_low|_high)?)$"
)
NOT_DERIVED = {"", "alpha_not_used"}


def refused_numbers(data: Any) -> set[float]:
    """All numbers that belong to an object, or an alternative of one, that is not reportable."""
    found: set[float] = set()
    reportable: set[float] = set()

    def walk(node: Any, refused: bool) -> None:
        if isinstance(node, list):
            for item in node:
                walk(item, refused)
        elif isinstance(node, dict):
            if "reportable" in node:
                refused = node["reportable"] is False
            other = node.get("other_reportable", True) is False
            for name, value in node.items():
                hidden = other if name.startswith("other_") else refused
                is_number = isinstance(value, float) and name not in NOT_DERIVED
                if is_number and node.get("reportable") is True:
                    reportable.add(value)
                if is_number and hidden and DERIVED.match(name) and value not in (0.0, 1.0):
                    found.add(value)
                walk(value, refused and name != "measured")

    walk(data, False)
    # A collapse with one refused exponent has another that may be shown where it was fitted; and a
    # text cannot tell a refused number from a reportable one that rounds to the same digits.
    rounded = {f"{value:.3f}" for value in reportable}
    return {value for value in found - reportable if f"{value:.3f}" not in rounded}


def shown(number: float) -> set[str]:
    """The ways in which a text may show a number, if enough of its digits are seen."""
    forms = {f"{number:{form}}" for form in (".3f", ".4f", ".4g", ".5g")} | {repr(number)}
    return {form for form in forms if len(re.sub(r"[^0-9]|^0\.?0*", "", form)) >= 3}


def is_marked(text: str, at: int) -> bool:
    """Whether a position lies in parentheses, in a reason, or before "(not reportable"."""
    depth = 0
    for character in reversed(text[max(0, at - 1500) : at]):
        depth += {")": 1, "(": -1}.get(character, 0)
        if depth < 0:
            return True
    ahead = text[at : at + 120].split("\n")[0]
    return "not reportable" in ahead


def bare(text: str, numbers: set[float]) -> list[str]:
    """Where the text shows one of the numbers without a mark."""
    return [
        f"{form}: ...{text[max(0, match.start() - 80) : match.end() + 40]}"
        for number in numbers
        for form in shown(number)
        for match in re.finditer(rf"(?<![\d.]){re.escape(form)}(?!\d)", text)
        if not is_marked(text, match.start())
    ]


def without_reasons(text: str, reasons: set[str]) -> str:
    """The text on one line, without the reasons, which may quote the numbers they refuse."""
    flat = " ".join(text.split())
    for reason in sorted(reasons, key=len, reverse=True):
        flat = flat.replace(" ".join(reason.split()), "REASON")
    return flat


def flattened(text: str, reasons: set[str]) -> str:
    """Without reasons; a page by its lines (cells), a terminal's wrapped text on one line."""
    lines = text.split("\n") if "\n\n\n" in text else [text]
    return "\n".join(without_reasons(line, reasons) for line in lines)


def reasons_of(data: Any) -> set[str]:
    found: set[str] = set()
    if isinstance(data, dict):
        for name, value in data.items():
            if name in ("reason", "other_reason", "alpha_not_used") and value:
                found.add(value)
            elif name == "reasons":
                found |= {r for r in value if r}
            else:
                found |= reasons_of(value)
    elif isinstance(data, list):
        for item in data:
            found |= reasons_of(item)
    return found


def texts_of_page(page: str) -> str:
    """Every cell, caption, SVG text and paragraph of a page on a line of its own."""
    page = re.sub(r"<style.*?</style>|<a [^>]*href=\"data:[^>]*>", "", page, flags=re.S)
    # Ticks of axes.
    page = re.sub(r"<text[^>]*>[-−\s\d.]+</text>", "", page)
    page = re.sub(r"</?(b|small|span|sup|code|tspan)( [^>]*)?>", "", page)
    return unescape(re.sub(r"<[^>]*>", "\n", page))


def drawn_texts(run: RunResult) -> Iterator[str]:
    from matplotlib.text import Text

    from ngramstat.report.figure_index import figures_of

    for draw in figures_of(run).values():
        texts = (item.get_text().replace("$", "") for item in draw().findobj(Text))
        yield from (text for text in texts if not re.fullmatch(r"[-−\s\d.]+", text))  # no ticks


def check_run(run: RunResult, others: tuple[str, ...] = ()) -> set[float]:
    """Walk all that a run can print; returns the numbers looked for."""
    data = run.to_dict()
    numbers, reasons = refused_numbers(data), reasons_of(data)
    parts = [p for p in (run.correlations, run.entropies, run.prediction) if p is not None]
    texts = [
        summarize(run),
        texts_of_page(render_page(run)),
        texts_of_page(render_comparison([("one", run), ("two", run)])),
        *(repr(result) for result in (run, *parts, *run.exponents.values())),
        *(part._caption() for part in parts),
        *others,
    ]
    for text in texts:
        assert bare(flattened(text, reasons), numbers) == []
    pytest.importorskip("matplotlib")
    for text in drawn_texts(run):
        assert bare(text, numbers) == []
    check_tables(run, numbers)
    check_json(data)
    return numbers


def check_tables(run: RunResult, numbers: set[float]) -> None:
    """Rows of pandas, CSV and notebooks with a refused number say that it is refused."""
    for part in (run, run.prediction, *run.exponents.values()):
        if part is None:
            continue
        header, rows = part._rows()
        for row in rows:
            cells = dict(zip(header, row, strict=True))
            if cells.get("value") in numbers or cells.get("low") in numbers:
                assert cells["reportable"] is False, cells
                assert cells["reason"], cells


def check_json(data: Any, where: str = "run") -> None:
    """Whatever holds a value, an alpha or a loss says whether it is reportable, and why not."""
    if isinstance(data, list):
        for k, item in enumerate(data):
            check_json(item, f"{where}[{k}]")
    elif isinstance(data, dict):
        if data.get("reportable") is False:
            assert data.get("reason"), where
        elif "reportable" not in data and "kind" not in data and "threshold" not in data:
            for name in ("value", "alpha", "loss"):
                assert not isinstance(data.get(name), float), f"{where}.{name} has no mark"
        for name, value in data.items():
            check_json(value, f"{where}.{name}")


def refused(exponent: Exponent | None, reason: str) -> Exponent:
    assert exponent is not None
    assert exponent.value is not None
    return replace(exponent, reportable=False, reason=reason)


def planted_refusals(losses: int) -> RunResult:
    """A run whose fits all have values and are all refused."""
    correlations, entropies = planted_correlations(two_stages=True), planted_entropies()
    correlations = replace(
        correlations,
        beta=refused(correlations.beta, "planted for beta"),
        beta_sequential=refused(correlations.beta_sequential, "planted for the other beta"),
        document_reach=1000,
    )
    table = learned_curves(0.4, 4 * np.arange(1, 7) ** -0.3)
    curve = LearningCurve(
        tokens=table.tokens[:8].astype(np.int64),
        held_out=np.column_stack([np.full(8, 7.0), table.loss.reshape(6, 8).T]),
    )
    entropies = replace(
        entropies,
        gamma=refused(entropies.gamma, "planted for gamma"),
        gamma_finite=refused(entropies.gamma_finite, "planted for the finite gamma"),
        learning_curve=curve,
    )
    sizes = 1e6 * 2.0 ** np.arange(losses)
    prediction = predict(
        correlations,
        entropies,
        tokens=[3e5, 3e7, 1e9, 1e12],
        losses=[(float(p), float(30 * p**-0.16)) for p in sizes],
        context=512,
        curves=learned_curves(0.37, 4.321 * np.arange(1, 5) ** -0.437, noise=0.01),
    )
    return planted_run(correlations=correlations, entropies=entropies, prediction=prediction)


@pytest.mark.parametrize("losses", [2, 6])
def test_no_text_of_a_refused_run_shows_a_bare_number(losses: int) -> None:
    run = planted_refusals(losses)
    assert run.prediction is not None
    assert not run.prediction.alpha.reportable
    assert not run.prediction.alpha_finite.reportable
    numbers = check_run(run)
    # The walk looks for what matters: alphas, stages, alternatives, and losses without support.
    assert {run.prediction.alpha.value, run.prediction.alpha_finite.value} <= numbers
    assert {p.other_alpha for p in run.prediction.stage} <= numbers
    unsupported = {p.loss for p in run.prediction.loss_curve if not p.reportable}
    assert unsupported
    assert unsupported <= numbers
    assert run.prediction.collapse
    assert all(not c.reportable for c in run.prediction.collapse)


def test_the_walk_finds_bare_numbers() -> None:
    number = {0.34412}
    assert bare("alpha 0.344 [0.328, 0.361]", number)
    assert bare("alpha (0.3) and 0.3441", number)
    assert not bare("alpha (0.344 [0.328, 0.361])", number)
    assert not bare("exponent 0.344 (not reportable)", number)
    assert not bare("10.3441 and 0.34419", number)
    with pytest.raises(AssertionError):
        check_json({"points": [{"tokens": 1.0, "loss": 2.0}]})
    with pytest.raises(AssertionError):
        check_json({"alpha": {"value": 0.3, "reportable": False}})


def command(*arguments: object) -> str:
    result = CliRunner().invoke(main, ["--quiet", *(str(a) for a in arguments)])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.stdout


WORLDS = {
    "independent": ("synthesize", "independent", "--tokens", "60000", "--vocab-size", "500"),
    "markov": ("synthesize", "markov", "--tokens", "60000"),
    "text": (),
}


def make_text(path: Path) -> None:
    rng = np.random.default_rng(3)
    words = [f"w{i}" for i in range(300)]
    p = 1 / np.arange(1, 301)
    with path.open("w") as file:
        for _ in range(150):
            drawn = rng.choice(300, size=150, p=p / p.sum())
            drawn[1::3] = drawn[:-1:3]
            file.write(json.dumps({"text": " ".join(words[i] for i in drawn)}) + "\n")


def write_curves(path: Path, table: CurveTable) -> Path:
    rows = zip(table.context, table.tokens, table.loss, strict=True)
    path.write_text("context,tokens,loss\n" + "".join(f"{n},{p},{y}\n" for n, p, y in rows))
    return path


@pytest.mark.parametrize("world", WORLDS)
def test_no_command_prints_a_bare_number_of_a_refused_fit(world: str, tmp_path: Path) -> None:
    corpus, run = tmp_path / "corpus", tmp_path / "run"
    if WORLDS[world]:
        command(*WORLDS[world], "-o", corpus)
    else:
        make_text(tmp_path / "text.jsonl")
        command("tokenize", tmp_path / "text.jsonl", "-o", corpus, "--vocab-size", "400")
    small = ("--replicates", "99", "--max-context", "4", "--learning-sizes", "5")
    printed = [
        command("measure", corpus, "-o", run, *small, "--lags", "1:32:8", "--tokens", "1e6,1e12")
    ]
    measured = ngramstat.RunResult.load(run / "run.json")
    assert not all(e.reportable for e in measured.exponents.values())
    printed.append((run / "summary.txt").read_text())
    printed.append(texts_of_page((run / "report.html").read_text()))
    check_run(measured, tuple(printed))
    curves = write_curves(tmp_path / "curves.csv", learned_curves(0.4, 4 * np.ones(4)))
    for losses in ((), ("--loss", "1e6:3.5", "--loss", "1e7:3.1")):
        options = ("predict", run, "--tokens", "2e7,1e12", *losses, "--curves", curves)
        result = RunResult.from_dict(json.loads(command(*options, "--json")))
        check_run(result, (command(*options),))
    command("compare", run, run, "-o", tmp_path / "compare.html")
    others = [texts_of_page((tmp_path / "compare.html").read_text())]
    # Other theories have exponents of their own.
    panel = json.loads(command("theories", run, "--json", "--longest", "2"))
    others.append(command("theories", run, "--longest", "2"))
    command("report", run)
    others.append(texts_of_page((run / "report.html").read_text()))
    numbers = refused_numbers(panel) | refused_numbers(measured.to_dict())
    reasons = reasons_of(panel) | reasons_of(measured.to_dict())
    for text in others:
        flat = flattened(text, reasons)
        # Long forms only: the tables of a real run hold many numbers of three digits.
        assert [b for b in bare(flat, numbers) if len(b.split(":")[0]) > 5] == []
    check_json(panel)
