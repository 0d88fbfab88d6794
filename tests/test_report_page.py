"""The report as one HTML file: safe, offline, readable, and equal to run.json."""

from __future__ import annotations

import base64
import csv
import dataclasses
import html
import html.parser
import importlib.util
import io
import json
import re
import shutil
import subprocess
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from ngramstat.cli import main
from ngramstat.report.compare import plot_plane, render_comparison
from ngramstat.report.figure_index import figures_of
from ngramstat.report.page import render_page
from ngramstat.report.style import STYLE
from ngramstat.results import LearningCurve, RunResult
from test_report import planted_correlations, planted_entropies, planted_run

HARMFUL = "<script>alert('x')</script>"


class Page(html.parser.HTMLParser):
    """Tags with their attributes, text by tag, and whether every tag is closed in order."""

    VOID = ("meta", "br", "link", "img", "path", "use", "rect")

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text.append(data)

    def links(self) -> dict[str, str]:
        return {
            str(a["download"]): str(a["href"])
            for tag, a in self.tags
            if tag == "a" and "download" in a
        }


def rich_run(**changes: Any) -> RunResult:
    types = np.tile(np.arange(12), (10, 3, 1))
    values = np.tile(np.linspace(0.6, -0.5, 12), (10, 3, 1))
    correlations = planted_correlations(
        left_types=types,
        left_loadings=values,
        right_types=types,
        right_loadings=values,
        singular_values=np.outer(np.linspace(9e-3, 1e-3, 10), [1, 0.5, 0.2]),
        type_texts={"0": HARMFUL, "1": "y" * 10_000, "2": "\x1b[31m\u202e red"},
    )
    curve = LearningCurve(
        tokens=np.array([10**5, 10**6]),
        held_out=np.stack([np.linspace(7, 5, 7), np.linspace(6.9, 4, 7)]),
    )
    values_of = {"correlations": correlations, "entropies": planted_entropies(learning_curve=curve)}
    return planted_run(**(values_of | changes))


def test_the_page_has_no_scripts_external_resources_or_raw_markup() -> None:
    run = rich_run(corpus={"path": HARMFUL, "note": "a & b", "tokens": 5})
    text = render_page(run)
    page = Page(text)
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "iframe", "object", "embed", "link", "img", "form"}
    for _, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "xlink:href", "action"):
            target = attributes.get(name)
            assert target is None or target.startswith(("#", "data:"))
    assert "@import" not in text
    assert re.findall(r"url\((?!#)", text) == []
    shown = "".join(page.text)
    assert HARMFUL[:20] in shown
    assert "y" * 23 + "…" in shown
    assert "y" * 25 not in shown
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_ids_are_unique_and_figures_have_descriptions() -> None:
    page = Page(render_page(rich_run()))
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    drawings = [a for tag, a in page.tags if tag == "svg"]
    assert len(drawings) == len(figures_of(rich_run())) >= 5
    assert all(a["role"] == "img" and len(str(a["aria-label"])) > 30 for a in drawings)
    references = {str(a["xlink:href"])[1:] for _, a in page.tags if "xlink:href" in a}
    assert references <= set(ids)


def test_downloads_and_tables_have_the_numbers_of_the_run() -> None:
    run = rich_run()
    page = Page(render_page(run))
    links = page.links()
    assert set(links) == {"run.json", "correlations.csv", "entropies.csv", "prediction.csv"}

    def content(name: str) -> str:
        return base64.b64decode(links[name].split(",", 1)[1]).decode()

    data = json.loads(content("run.json"))
    assert data == run.to_dict()
    rows = list(csv.DictReader(io.StringIO(content("correlations.csv"))))
    assert [float(row["norm"]) for row in rows] == data["correlations"]["norm"]
    shown = " ".join(page.text)
    for value in data["correlations"]["norm_low"]:
        assert f"{value:.5g}" in shown
    for value in data["entropies"]["low"]:
        assert f"{value:.5g}" in shown
    for gate in data["prediction"]["gates"]:
        assert gate["name"] in shown
        if gate["value"] is not None:
            assert f"{gate['value']:.5g}" in shown or f"{gate['value']:,.0f}" in shown


def test_parts_that_were_not_computed_are_left_out() -> None:
    for changes in (
        {"entropies": None, "prediction": None},
        {"correlations": None, "prediction": None},
        {"correlations": None, "entropies": None, "prediction": None},
    ):
        run = dataclasses.replace(rich_run(), **changes)
        page = Page(render_page(run))
        titles = {str(a["id"]) for tag, a in page.tags if tag == "section"}
        assert ("correlations" in titles) == (run.correlations is not None)
        assert ("entropies" in titles) == (run.entropies is not None)
        assert {"verdict", "corpus-and-run", "data"} <= titles


def test_a_reportable_alpha_is_explained() -> None:
    run = rich_run()
    assert run.prediction is not None
    alpha = dataclasses.replace(
        run.prediction.alpha, value=0.2, low=0.1, high=0.3, reportable=True, reason=None
    )
    prediction = dataclasses.replace(run.prediction, alpha=alpha)
    text = render_page(dataclasses.replace(run, prediction=prediction))
    # 1 - 10^-.2 = .369, 1 - 10^-.1 = .206, 1 - 10^-.3 = .499
    assert "reduce the loss above its limit by 37 % (between 21 and 50 %)" in text


def test_without_matplotlib_the_page_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "matplotlib" else find(name, *rest),
    )
    text = render_page(rich_run())
    assert "<svg" not in text
    assert html.unescape(text).count("pip install 'ngramstat[plot]'") >= 5


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def test_colours_of_text_have_enough_contrast() -> None:
    light, dark = STYLE.split("@media (prefers-color-scheme: dark)")[:2]
    for sheet in (light, dark):
        colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", sheet))
        for paper in ("paper", "box"):
            for name in ("ink", "soft", "blue", "good", "bad", "open"):
                assert contrast(colours[name], colours[paper]) >= 4.5, (name, paper)
        assert contrast(colours["faint"], colours["paper"]) >= 2.5


def test_the_report_command_writes_the_page_and_figures(tmp_path: Any) -> None:
    run = rich_run()
    run.save(tmp_path / "run.json")

    def call(*arguments: Any) -> Any:
        return CliRunner().invoke(main, ["report", *map(str, arguments)])

    result = call(tmp_path)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == render_page(run)
    for kind, head in (("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")):
        folder = tmp_path / kind
        result = call(tmp_path / "run.json", "-o", tmp_path / "page.html", "--figures", folder,
                      "--format", kind)  # fmt: skip
        assert result.exit_code == 0, result.output
        files = sorted(path.stem for path in folder.iterdir())
        assert files == sorted(figures_of(run))
        assert all(path.read_bytes().startswith(head) for path in folder.iterdir())
    (tmp_path / "open" / "parts").mkdir(parents=True)
    for path, message in ((tmp_path / "open", "unfinished"), (tmp_path / "none", "none")):
        result = call(path)
        assert result.exit_code == 2
        assert message in result.stderr


def test_compare_shows_several_runs(tmp_path: Any) -> None:
    run = rich_run()
    only = dataclasses.replace(run, entropies=None, prediction=None)
    runs = [("one", run), (HARMFUL, run), ("half", only)]
    page = Page(render_comparison(runs))
    shown = " ".join(page.text)
    assert HARMFUL in shown
    assert not {tag for tag, _ in page.tags} & {"script", "link", "img"}
    beta = run.exponents["beta"]
    assert shown.count(f"{beta.value:.4g}") >= 3
    axes = plot_plane(runs).axes[0]
    # Two gammas of each run that has both halves.
    assert len(axes.containers) == 4
    lines = [line for line in axes.lines if line.get_color() == "#b8b8b8"]
    for line in lines:
        slopes = line.get_ydata() / line.get_xdata() / 2
        assert np.ptp(slopes) < 1e-9
    for name in ("a", "b"):
        run.save(tmp_path / f"{name}.json")
    out = tmp_path / "both.html"
    arguments = ["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json"), "-o", str(out)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "2 runs" in out.read_text(encoding="utf-8")
    assert CliRunner().invoke(main, ["compare", str(tmp_path / "none")]).exit_code == 2


@pytest.mark.parametrize("width", [375, 768, 1440])
def test_it_opens_in_a_browser_without_scrolling_sideways(tmp_path: Any, width: int) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("needs chromium")
    page = render_page(rich_run())
    probe = "<script>parent.postMessage(document.documentElement.scrollWidth, '*')</script></body>"
    (tmp_path / "page.html").write_text(page.replace("</body>", probe), encoding="utf-8")
    # A window is 500 pixels at least: a frame has the width of a phone.
    (tmp_path / "frame.html").write_text(
        f"<iframe src='page.html' width='{width}' height='900' style='border:0'></iframe><p>-</p>"
        "<script>onmessage = e => { document.querySelector('p').textContent = e.data }</script>"
    )
    result = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr",
         "--virtual-time-budget=3000", "--dump-dom", f"--user-data-dir={tmp_path / 'profile'}",
         (tmp_path / "frame.html").as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    seen = re.search(r"<p>(\d+)</p>", result.stdout)
    assert seen is not None, result.stdout[-500:]
    assert int(seen[1]) <= width
    assert "CONSOLE" not in result.stderr
