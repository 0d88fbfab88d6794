"""The report as one HTML file: safe, offline, readable, and equal to run.json."""

from __future__ import annotations

import base64
import csv
import dataclasses
import hashlib
import html
import html.parser
import io
import json
import re
import shutil
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from ngramstat.cli import main
from ngramstat.report.chart import (
    CURVE_COLOURS,
    Axis,
    Chart,
    Curve,
    Heat,
    Label,
    Panel,
    floats,
)
from ngramstat.report.chart_svg import chart_figure
from ngramstat.report.compare import comparability, plane_chart, render_comparison
from ngramstat.report.figure_index import charts_of, figures_of
from ngramstat.report.page import render_page
from ngramstat.report.style import DARK, LIGHT, STYLE
from ngramstat.results import Exponent, LearningCurve, RunResult, TheoriesResult, TheoryRow
from test_report import planted_correlations, planted_entropies, planted_run
from test_report_prediction import full_run

HARMFUL = "<script>alert('x')</script>"


class Page(html.parser.HTMLParser):
    """Tags with their attributes, text by tag, and whether every tag is closed in order."""

    VOID = ("meta", "br", "link", "img", "path", "use", "rect", "image", "input")

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


def hash_source(content: str) -> str:
    """How a content security policy names a style or script."""
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"


def test_a_browser_runs_and_loads_nothing_but_the_style_of_the_page() -> None:
    pages = render_page(rich_run()), render_comparison([("one", rich_run())])
    for page in map(Page, pages):
        (policy,) = [
            a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"
        ]
        rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
        assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
        assert rules["img-src"] == "data:"
        assert "script-src" not in rules
        # What the policy would block is not there: other styles, and any attribute with one.
        assert not any("style" in attributes for _, attributes in page.tags)
    for text in pages:
        (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
        assert f"style-src '{hash_source(style)}'" in text
        # It holds from here on: before it stands nothing that it could stop.
        assert text.index("Content-Security-Policy") < text.index("<title>")


def test_ids_are_unique_and_figures_have_descriptions() -> None:
    page = Page(render_page(rich_run()))
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    # One drawing for wide screens and one for phones; swatches of legends are no figures.
    drawings = [a for tag, a in page.tags if tag == "svg" and "plot" in str(a["class"]).split()]
    assert len(drawings) == 2 * len(charts_of(rich_run())) >= 10
    assert all(a["role"] == "img" and len(str(a["aria-label"])) > 30 for a in drawings)
    swatches = [a for tag, a in page.tags if tag == "svg" and "swatch" in str(a["class"]).split()]
    assert swatches
    assert all(a["aria-hidden"] == "true" for a in swatches)


def test_all_images_decode_and_all_references_resolve() -> None:
    run = rich_run(prediction=full_run().prediction)
    theories = TheoriesResult(
        corpus={}, provenance={}, rows=(theory_row("measured", 0.2), theory_row("prediction", 0.3))
    )
    for text in (render_page(run, theories), render_comparison([("one", run), ("two", run)])):
        page = Page(text)
        ids = {str(a["id"]) for _, a in page.tags if "id" in a}
        images = 0
        for tag, attributes in page.tags:
            for name in ("href", "xlink:href", "src"):
                target = attributes.get(name)
                if target is None:
                    continue
                if target.startswith("#"):
                    assert target[1:] in ids
                    continue
                head, data = target.split(",", 1)
                assert re.fullmatch(r"data:(image/png|text/csv|application/json);base64", head)
                content = base64.b64decode(data, validate=True)
                if tag == "image":
                    images += 1
                    pixels = decoded_png(content)
                    assert pixels.min() < pixels.max()
                elif "json" in head:
                    json.loads(content)
                else:
                    assert len(list(csv.reader(io.StringIO(content.decode())))) > 1
        used = set(re.findall(r"url\(#([^)]*)\)", text))
        assert used <= ids
        assert used
        # A map of two collapses and its scale of colours, in two layouts.
        assert images == (8 if "measured" in text else 0)


def decoded_png(content: bytes) -> NDArray[np.uint8]:
    """Pixels of an image of four channels of eight bits, by the format's own rules."""
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    chunks: dict[bytes, bytes] = {}
    at = 8
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        kind, body = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        (check,) = struct.unpack(">I", content[at + 8 + length : at + 12 + length])
        assert check == zlib.crc32(kind + body)
        chunks[kind] = chunks.get(kind, b"") + body
        at += 12 + length
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    width, height, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert rest == [8, 6, 0, 0, 0]
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + 4 * width)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(height, width, 4)


def theory_row(kind: str, value: float) -> TheoryRow:
    exponent = Exponent(
        value=value, low=value - 0.05, high=value + 0.05, method="m", reportable=True
    )
    return TheoryRow(
        name=f"{kind} exponent", source="Nobody 2026", kind=kind, formula="1 - h",
        exponent=exponent, assumption="none", falsifier="none",
    )  # fmt: skip


def test_the_map_of_the_collapse_has_the_values_of_the_grid() -> None:
    values = np.array([[0.0, 1.0, np.nan], [0.25, 0.5, 0.75]])
    heat = Heat(x=floats([1, 2, 3]), y=floats([5, 6]), values=values, scale="distance")
    panel = Panel(x=Axis(label="x", log=False), y=Axis(label="y", log=False), marks=[heat])
    page = Page(chart_figure(Chart(title="t", description="d", panels=(panel,)), "map"))
    images = [str(a["href"]) for tag, a in page.tags if tag == "image"]
    pixels = decoded_png(base64.b64decode(images[0].split(",")[1]))
    assert pixels.shape == (2, 3, 4)
    assert pixels[1, 2, 3] == 0  # unknown, at the bottom right: transparent
    assert (pixels[..., 3] == 255).sum() == 5
    lightness = pixels[..., :3].sum(axis=2).astype(int)
    known = [lightness[1, 0], lightness[0, 0], lightness[0, 1], lightness[0, 2], lightness[1, 1]]
    assert known == sorted(known, reverse=True)


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


def test_the_page_needs_no_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    text = render_page(rich_run())
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert render_page(rich_run()) == text
    assert text.count("<figure") == len(charts_of(rich_run()))


def test_the_page_is_small_and_quick() -> None:
    run = full_run()
    started = time.perf_counter()
    text = render_page(run)
    assert time.perf_counter() - started < 5
    assert len(text.encode()) < 3_000_000


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def blend(front: str, back: str, opacity: float) -> str:
    parts = [(int(front[i : i + 2], 16), int(back[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(opacity * a + (1 - opacity) * b):02x}" for a, b in parts)


def test_colours_have_the_contrast_of_wcag_aa() -> None:
    rules = re.findall(r"(@media [^{]*)?\{? ?:root \{([^}]*)\}", STYLE)
    sheets = {media.strip(): dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", body))
              for media, body in rules}  # fmt: skip
    assert list(sheets) == ["", "@media (prefers-color-scheme: dark)", "@media print"]
    assert sheets["@media print"] == sheets[""]
    faint = re.search(r"\.faint \{ opacity: ([.\d]+)", STYLE)
    assert faint is not None
    for colours in sheets.values():
        # Text: 4.5 to 1 against all that it stands on.
        for paper in ("paper", "box"):
            for name in ("ink", "soft", "blue", "good", "bad", "open"):
                assert contrast(colours[name], colours[paper]) >= 4.5, (name, paper)
        # Curves: 3 to 1 against the page and the window of a fit.
        for name in LIGHT:
            if name == "window":
                continue
            for paper in ("paper", "window"):
                assert contrast(colours[name], colours[paper]) >= 3, (name, paper)
            shown = blend(colours[name], colours["paper"], float(faint[1]))
            assert contrast(shown, colours["paper"]) >= 3, name
    assert set(LIGHT) == set(DARK) == {*CURVE_COLOURS, "ink", "window"}


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
    assert "boundary, lags, windows" not in shown
    (panel,) = plane_chart(runs).panels
    # Two gammas of each run that has both halves.
    assert len([m for m in panel.marks if isinstance(m, Curve) and m.key]) == 4
    lines = [m for m in panel.marks if isinstance(m, Curve) and not m.key]
    labels = [m for m in panel.marks if isinstance(m, Label)]
    assert len(lines) == len(labels) >= 2
    (left, right), (bottom, top) = panel.limits()
    for line, label in zip(lines, labels, strict=True):
        slopes = line.y / line.x / 2
        assert np.ptp(slopes) < 1e-9
        assert label.text == f"α = {slopes[0]:.3g}"
        assert left < label.x < right
        assert bottom < label.y < top
    for name in ("a", "b"):
        run.save(tmp_path / f"{name}.json")
    out = tmp_path / "both.html"
    arguments = ["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json"), "-o", str(out)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "2 runs" in out.read_text(encoding="utf-8")
    assert CliRunner().invoke(main, ["compare", str(tmp_path / "none")]).exit_code == 2


def test_compare_says_what_is_comparable() -> None:
    run = rich_run(settings={"lags": [1, 2, 4]})
    same = comparability([("a", run), ("b", run)])
    assert len(same) == 1
    assert "can be compared" in same[0]
    other = dataclasses.replace(
        run,
        corpus={**run.corpus, "boundary": "document", "tokens": 8e6, "vocab_size": 50257},
        settings={"lags": [1, 2, 4, 8]},
    )
    run = dataclasses.replace(run, corpus={**run.corpus, "boundary": "stream", "vocab_size": 8192})
    text = " ".join(comparability([("a", run), ("b", other)]))
    for part in (
        "boundaries differ (stream; document)", "1 to 4, 3 of them; 1 to 8, 4 of them",
        "(8,192; 50,257)", "(2 M, 8 M tokens)",
    ):  # fmt: skip
        assert part in text, part
    assert "can be compared" not in text


_PROBE_SCRIPT = """
const texts = [...document.querySelectorAll("svg.plot text")].filter(
  t => t.checkVisibility() && t.getBoundingClientRect().width > 0);
const sizes = texts.map(t => { const m = t.getScreenCTM();
  return parseFloat(getComputedStyle(t).fontSize) * Math.hypot(m.a, m.b); });
const wide = document.documentElement.clientWidth;
const outside = texts.filter(t => { const r = t.getBoundingClientRect();
  return r.left < 0 || r.right > wide; }).map(t => t.textContent);
const pictures = [...document.querySelectorAll("svg image")];
const decoded = p => { const i = new Image(); i.src = p.href.baseVal; return i.decode(); };
Promise.all(pictures.map(decoded))
  .then(() => pictures.length, () => -1)
  .then(n => parent.postMessage(JSON.stringify({ scroll: document.documentElement.scrollWidth,
    smallest: Math.min(...sizes), texts: texts.length, outside: outside, images: n }), "*"));
"""


def measure_in_browser(folder: Path, page: str, width: int) -> dict[str, Any]:
    """What a page looks like in a window of this width, with all details open."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("needs chromium")
    # The policy of the page holds, and allows the probe besides.
    allowed = f"default-src 'none'; script-src '{hash_source(_PROBE_SCRIPT)}'"
    assert page.count("default-src 'none'") == 1
    page = page.replace("default-src 'none'", allowed).replace("<details", "<details open")
    page = page.replace("</body>", f"<script>{_PROBE_SCRIPT}</script></body>")
    (folder / "page.html").write_text(page, encoding="utf-8")
    # A window is 500 pixels at least: a frame has the width of a phone.
    (folder / "frame.html").write_text(
        f"<iframe src='page.html' width='{width}' height='900' style='border:0'></iframe><p>-</p>"
        "<script>onmessage = e => { document.querySelector('p').textContent = e.data }</script>"
    )
    result = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr",
         "--virtual-time-budget=3000", "--dump-dom", f"--user-data-dir={folder / 'profile'}",
         (folder / "frame.html").as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    seen = re.search(r"<p>(\{.*\})</p>", result.stdout)
    assert seen is not None, result.stdout[-500:]
    assert "CONSOLE" not in result.stderr, result.stderr
    return dict(json.loads(html.unescape(seen[1])))


def check_in_browser(folder: Path, page: str, width: int) -> None:
    seen = measure_in_browser(folder, page, width)
    assert seen["scroll"] <= width
    assert seen["smallest"] >= 11
    assert seen["texts"] > 10
    assert seen["outside"] == []
    assert seen["images"] == page.count("<image ")


def test_it_opens_on_a_phone_without_scrolling_sideways(tmp_path: Path) -> None:
    check_in_browser(tmp_path, render_page(full_run()), 375)


@pytest.mark.nightly
@pytest.mark.parametrize("width", [320, 375, 768, 1280])
def test_pages_can_be_read_at_every_width(tmp_path: Path, width: int) -> None:
    theories = TheoriesResult(corpus={}, provenance={}, rows=(theory_row("measured", 0.2),) * 3)
    run = rich_run(prediction=full_run().prediction)
    pages = render_page(run, theories), render_comparison([("one", run), ("two" * 40, run)])
    for k, page in enumerate(pages):
        (tmp_path / str(k)).mkdir()
        check_in_browser(tmp_path / str(k), page, width)
