"""Style sheet of the report. Text contrast meets WCAG AA (4.5 to 1), light and dark."""

from __future__ import annotations

__all__ = ["STYLE"]

STYLE = """
:root { --paper: #ffffff; --ink: #1a1c20; --soft: #555b66; --rule: #d9dce1; --faint: #9aa1ab;
  --window: #f7f3e6; --blue: #0072b2; --good: #0a6b3d; --bad: #a3261f; --open: #7a5200;
  --box: #f5f6f8; }
@media (prefers-color-scheme: dark) { :root { --paper: #15171b; --ink: #e6e8eb; --soft: #a9b0bb;
  --rule: #363b44; --faint: #737b87; --window: #2b2920; --blue: #56b4e9; --good: #6fd39b;
  --bad: #ff9a90; --open: #f0c060; --box: #1e2127; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 62rem; background: var(--paper);
  color: var(--ink); font: 16px/1.55 system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
  overflow-wrap: anywhere; }
h1 { margin: 0; font-size: 1.7rem; line-height: 1.2; }
h2 { margin: 2.4rem 0 .6rem; font-size: 1.25rem; border-bottom: 1px solid var(--rule);
  padding-bottom: .25rem; }
h3 { margin: 1rem 0 .3rem; font-size: 1rem; }
.eyebrow { margin: 0; color: var(--soft); font-size: .85rem; letter-spacing: .04em; }
.lead, .note, small, figcaption, caption { color: var(--soft); }
.note, figcaption, caption { font-size: .88rem; }
.verdict { font-size: 1.12rem; padding: .8rem 1rem; background: var(--box);
  border-left: 4px solid var(--blue); }
.scroll { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .9rem; min-width: 100%; }
caption { text-align: left; padding-bottom: .4rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .8rem .35rem 0;
  border-bottom: 1px solid var(--rule); overflow-wrap: normal; }
th { color: var(--soft); font-weight: 600; }
td { font-variant-numeric: tabular-nums; }
code { background: var(--box); padding: 0 .2em; border-radius: 3px; font-size: .92em;
  overflow-wrap: anywhere; }
.passed { color: var(--good); } .failed { color: var(--bad); } .unknown { color: var(--open); }
figure { margin: 1rem 0; overflow-x: auto; }
svg.figure { width: 100%; height: auto; display: block; background: var(--paper); }
details { margin: .8rem 0; }
summary { cursor: pointer; color: var(--blue); }
a { color: var(--blue); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 17rem), 1fr));
  gap: 0 2rem; }
dl { margin: 0; display: grid; grid-template-columns: minmax(6rem, auto) 1fr; gap: .1rem .8rem;
  font-size: .88rem; }
dt { color: var(--soft); } dd { margin: 0; min-width: 0; }
@media (max-width: 40rem) { svg.figure { min-width: 30rem; }
  .stack thead { display: none; } .stack tr { display: block;
  padding: .6rem 0; border-bottom: 1px solid var(--rule); } .stack td { display: block; border: 0;
  padding: .1rem 0; } .stack td:empty { display: none; }
  .stack td[data-label]:not([data-label=""])::before { content: attr(data-label) ": ";
  color: var(--soft); } }
@media print { body { max-width: none; font-size: 11pt; } details { display: block; }
  .scroll { overflow: visible; } h2 { break-after: avoid; } figure, tr { break-inside: avoid; } }
"""
