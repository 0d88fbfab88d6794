"""Style sheet of the pages, and the colours that all figures share.

Text has a contrast of 4.5 to 1 against what it stands on, curves and markers have 3 to 1, in light
and dark (WCAG 2.2, level AA).
"""

from __future__ import annotations

__all__ = ["DARK", "LIGHT", "MOST_GROUPS", "STYLE"]

# Colours of curves: distinguishable with the common forms of colour blindness, and in grey by their
# lightness and their markers.
LIGHT = {
    "ink": "#1a1c20", "blue": "#0072b2", "red": "#c24e00", "green": "#00795a", "purple": "#a2457d",
    "orange": "#946200", "indigo": "#4a5bc0", "grey": "#6b7280", "window": "#f4eed9",
}  # fmt: skip
DARK = {
    "ink": "#e6e8eb", "blue": "#56b4e9", "red": "#ff8f50", "green": "#35c79a", "purple": "#e39cc4",
    "orange": "#f0b429", "indigo": "#a9b6ff", "grey": "#9aa3af", "window": "#312e22",
}  # fmt: skip
# Of text, and of what it stands on.
_LIGHT_PAGE = {
    "paper": "#ffffff", "box": "#f5f6f8", "soft": "#555b66", "rule": "#d9dce1", "good": "#0a6b3d",
    "bad": "#a3261f", "open": "#7a5200",
}  # fmt: skip
_DARK_PAGE = {
    "paper": "#15171b", "box": "#1e2127", "soft": "#a9b0bb", "rule": "#363b44", "good": "#6fd39b",
    "bad": "#ff9a90", "open": "#f0c060",
}  # fmt: skip
# Groups of marks in one figure that can be switched on and off.
MOST_GROUPS = 32


def _variables(*colours: dict[str, str]) -> str:
    return " ".join(f"--{name}: {value};" for part in colours for name, value in part.items())


_SWITCHES = "\n".join(
    f".chart:has(.t{k}:not(:checked)) .g{k} {{ display: none; }}" for k in range(MOST_GROUPS)
)
_COLOURS = " ".join(f".c-{name} {{ --c: var(--{name}); }}" for name in LIGHT)

STYLE = f"""
:root {{ color-scheme: light dark; {_variables(LIGHT, _LIGHT_PAGE)} }}
@media (prefers-color-scheme: dark) {{ :root {{ {_variables(DARK, _DARK_PAGE)} }} }}
@media print {{ :root {{ color-scheme: light; {_variables(LIGHT, _LIGHT_PAGE)} }} }}
* {{ box-sizing: border-box; }}
html {{ -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }}
body {{ margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 54rem; background: var(--paper);
  color: var(--ink); font: 16px/1.55 system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
  overflow-wrap: anywhere; }}
h1 {{ margin: 0; font-size: 1.5rem; line-height: 1.25; }}
h2 {{ margin: 2.6rem 0 .6rem; font-size: 1.25rem; border-bottom: 1px solid var(--rule);
  padding-bottom: .25rem; }}
h3 {{ margin: 1.4rem 0 .3rem; font-size: 1rem; }}
p {{ margin: .5rem 0; }}
.eyebrow {{ margin: 0; color: var(--soft); font-size: .85rem; letter-spacing: .04em; }}
.lead, .note, small, figcaption, caption {{ color: var(--soft); }}
.note, small, figcaption, caption {{ font-size: .88rem; }}
.answer {{ margin: 1.2rem 0; padding: 1rem 1.2rem; background: var(--box); border-radius: 6px;
  border-left: 4px solid var(--blue); }}
.answer h2 {{ margin: 0; border: 0; padding: 0; font-size: 1rem; color: var(--soft);
  font-weight: 600; }}
.answer .value {{ margin: .1rem 0 .4rem; font-size: 1.7rem; line-height: 1.25; font-weight: 650; }}
pre {{ margin: .3rem 0; white-space: pre-wrap; }}
pre code {{ display: block; padding: .3rem .5rem; }}
.scroll {{ overflow-x: auto; margin: .8rem 0; }}
table {{ border-collapse: collapse; font-size: .9rem; min-width: 100%; }}
caption {{ text-align: left; padding-bottom: .4rem; }}
th, td {{ text-align: left; vertical-align: top; padding: .35rem .8rem .35rem 0;
  border-bottom: 1px solid var(--rule); overflow-wrap: normal; }}
th {{ color: var(--soft); font-weight: 600; }}
td {{ font-variant-numeric: tabular-nums; }}
tr.chosen td {{ background: var(--box); }}
code {{ background: var(--box); padding: 0 .2em; border-radius: 3px; font-size: .92em;
  overflow-wrap: anywhere; }}
.answer code {{ background: var(--paper); }}
.passed {{ color: var(--good); }} .failed {{ color: var(--bad); }}
.unknown {{ color: var(--open); }}
details {{ margin: .8rem 0; }}
summary {{ cursor: pointer; color: var(--blue); padding: .2rem 0; }}
a {{ color: var(--blue); }}
figure {{ margin: 1.4rem 0; }}
figcaption p {{ margin: .3rem 0; }}
svg.plot {{ width: 100%; height: auto; overflow: visible; }}
svg.wide {{ display: block; max-width: 720px; }}
svg.narrow {{ display: none; max-width: 460px; }}
svg.plot text {{ fill: var(--soft); font-family: inherit; }}
svg.plot .title {{ fill: var(--ink); font-weight: 600; }} svg.plot .axis {{ fill: var(--ink); }}
svg.plot .row {{ fill: var(--ink); }}
svg.plot .label, svg.plot .row {{ paint-order: stroke; stroke: var(--paper); stroke-width: 3px; }}
image {{ image-rendering: pixelated; }}
{_COLOURS}
.grid {{ stroke: var(--rule); fill: none; stroke-width: .8; }}
.frame {{ stroke: var(--grey); fill: none; stroke-width: 1; }}
.line {{ stroke: var(--c); fill: none; stroke-width: 1.7; stroke-linejoin: round; }}
.bars {{ stroke: var(--c); fill: none; stroke-width: 1.1; }}
.dot {{ fill: var(--c); stroke: var(--c); }}
.open {{ fill: var(--paper); stroke: var(--c); stroke-width: 1.3; }}
.area {{ fill: var(--c); fill-opacity: .22; }} .win {{ fill: var(--window); }}
.dashed {{ stroke-dasharray: 7 4; }} .dotted {{ stroke-dasharray: 2 3; }}
.dashdot {{ stroke-dasharray: 8 3 2 3; }}
.faint {{ opacity: .75; }}
.legend {{ display: flex; flex-wrap: wrap; gap: .25rem 1.1rem; font-size: .88rem;
  margin: .4rem 0; }}
.legend label {{ display: flex; align-items: flex-start; gap: .5rem; cursor: pointer;
  padding: .2rem 0; }}
.legend span {{ display: inline-flex; align-items: flex-start; gap: .35rem; }}
.legend .words {{ flex-wrap: wrap; gap: .1rem .9rem; }}
.legend input {{ flex: none; width: 1.1rem; height: 1.1rem; margin: .15rem 0 0;
  accent-color: var(--blue); }}
.swatch {{ flex: none; margin-top: .25rem; }} .swatch .win {{ stroke: var(--grey); }}
.more {{ margin: .2rem 0; font-size: .88rem; }}
{_SWITCHES}
.cards {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 17rem), 1fr));
  gap: 0 2rem; }}
dl {{ margin: 0; display: grid; grid-template-columns: minmax(6rem, auto) 1fr; gap: .1rem .8rem;
  font-size: .88rem; }}
dt {{ color: var(--soft); }} dd {{ margin: 0; min-width: 0; }}
@media screen and (max-width: 40rem) {{
  svg.wide {{ display: none; }} svg.narrow {{ display: block; }}
  .answer {{ padding: .8rem .9rem; }} .answer .value {{ font-size: 1.4rem; }}
  .stack thead {{ display: none; }} .stack tr {{ display: block; padding: .6rem 0;
    border-bottom: 1px solid var(--rule); }}
  .stack td {{ display: block; border: 0; padding: .1rem 0; }} .stack td:empty {{ display: none; }}
  .stack td[data-label]:not([data-label=""])::before {{ content: attr(data-label) ": ";
    color: var(--soft); }} }}
@media screen and (max-width: 22rem) {{ body {{ padding: 1rem .7rem 3rem; }} }}
@media print {{ body {{ max-width: none; padding: 0; font-size: 10.5pt; }}
  .scroll {{ overflow: visible; }} h2, h3 {{ break-after: avoid; }}
  figure, tr, .answer {{ break-inside: avoid; }}
  .legend input, .legend label:has(input:not(:checked)), details.more {{ display: none; }}
  details:not(.long)::details-content {{ content-visibility: visible; block-size: auto; }}
  details:not(.long) > summary {{ list-style: none; color: var(--ink); font-weight: 600; }}
  summary {{ break-after: avoid; }} details.long {{ display: none; }}
  svg.wide {{ max-width: 14.5cm; }} }}
"""
