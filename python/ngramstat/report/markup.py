"""Parts of an HTML page: escaped text, tables, figures, downloads."""

from __future__ import annotations

import base64
import hashlib
import html
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ngramstat.report.style import STYLE
from ngramstat.runtime.text import encoded, readable

__all__ = [
    "document",
    "download",
    "fold",
    "number",
    "section",
    "table",
    "text_of",
]


# A page is text, shapes and one style: whatever markup a name or a text might bring in, a browser
# runs no script, loads nothing and sends nothing.
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
_CONTENT_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)


def document(title: str, heading: str, eyebrow: str, body: str) -> str:
    """A complete page around a body that is HTML already."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_CONTENT_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{text_of(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<header><p class="eyebrow">{text_of(eyebrow)}</p><h1>{text_of(heading)}</h1></header>
<main>
{body}
</main>
</body>
</html>
"""


def text_of(value: object) -> str:
    """Any value as text of the page, with markup escaped and control characters replaced."""
    shown = "".join(c if c.isprintable() else "�" for c in readable(str(value)))
    return html.escape(shown, quote=True)


def number(value: Any) -> str:
    """A number of run.json with at most five significant digits."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer) or (float(value).is_integer() and abs(value) < 1e15):
        return f"{int(value):,}"
    return f"{value:.5g}"


def section(title: str, *parts: str, lead: str = "") -> str:
    shown = f'<p class="lead">{lead}</p>' if lead else ""
    inside = "\n".join(part for part in (shown, *parts) if part)
    anchor = "".join(c if c.isalnum() else "-" for c in title.lower())
    return f'<section id="{anchor}"><h2>{text_of(title)}</h2>\n{inside}\n</section>'


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    caption: str = "",
    stacked: bool = False,
) -> str:
    """A table whose cells are HTML already. A wide table scrolls in its own box, not the page.

    With `stacked` every row becomes a block on a narrow screen, and its cells are labelled by the
    headers, except the first.
    """
    labels = ["", *header[1:]] if stacked else []
    head = "".join(f"<th scope='col'>{cell}</th>" for cell in header)

    def cell(k: int, content: str) -> str:
        label = f' data-label="{labels[k]}"' if labels else ""
        return f"<td{label}>{content}</td>"

    body = "\n".join(
        "<tr>" + "".join(cell(k, c) for k, c in enumerate(row)) + "</tr>" for row in rows
    )
    title = f"<caption>{text_of(caption)}</caption>" if caption else ""
    label = text_of(caption or header[0] or "table")
    kind = "scroll stack" if stacked else "scroll"
    return (
        f'<div class="{kind}" tabindex="0" role="region" aria-label="{label}"><table>{title}'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def fold(summary: str, content: str, *, long: bool = False) -> str:
    """Content that is folded on screens; in print it is shown, unless it is long."""
    kind = ' class="long"' if long else ""
    return f"<details{kind}><summary>{text_of(summary)}</summary>\n{content}\n</details>"


def download(name: str, kind: str, content: str) -> str:
    data = base64.b64encode(encoded(content)).decode()
    return f'<a download="{name}" href="data:{kind};base64,{data}">{name}</a>'
