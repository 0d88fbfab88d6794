"""What the documentation site changes of the pages in docs/, which are also read as plain Markdown.

Formulas become MathML, which browsers show without a script; images beside the benchmarks are taken
along; other links that leave docs/ lead to the repository. `mkdocs.yml` names this file.
"""

from __future__ import annotations

import html
import posixpath
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File

# As pymdownx.arithmatex writes formulas with `generic: true`.
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
_LINK = re.compile(r"(?<=\]\()((?:\.\./)+[^)#\s]+)")
_REPOSITORY = Path(__file__).resolve().parent.parent


def on_files(files: Any, *, config: Any, **_: Any) -> Any:
    """The figures of benchmarks/, under the same path."""
    for path in sorted((_REPOSITORY / "benchmarks").glob("*.png")):
        name = path.relative_to(_REPOSITORY).as_posix()
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """Links out of docs/, which the site does not have, become addresses of the repository."""
    folder = posixpath.dirname(posixpath.join("docs", page.file.src_uri))

    def address(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, match[1]))
        if path.startswith("docs/"):
            return match[1]
        if path.startswith("benchmarks/") and path.endswith(".png"):
            return posixpath.relpath(path, posixpath.dirname(page.file.src_uri) or ".")
        return f"{config.repo_url}/blob/main/{path}"

    return _LINK.sub(address, markdown)


def on_page_content(content: str, **_: Any) -> str:
    """Formulas, from TeX to MathML."""

    def mathml(match: re.Match[str]) -> str:
        display = "block" if match[2] == "[" else "inline"
        return convert(html.unescape(match[3]), display=display)

    return _FORMULA.sub(mathml, content)
