"""How the page looks: light and dark as the reader's system is, one column on a phone."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1c2127; --soft: #5a6470; --line: #d9dee3; --bar: #2b7a86; --mark: #b3541e;
}
@media (prefers-color-scheme: dark) {
  :root { --paper: #14181c; --ink: #e4e8ec; --soft: #9aa5b1; --line: #323a42; --bar: #4fb0bd; --mark: #f0a35e; }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 70rem;
  background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word;
}
h1 { margin: 0; font-size: 1.5rem; }
h2 { margin: 2.5rem 0 .75rem; font-size: 1.15rem; }
h3 { margin: 1.5rem 0 .25rem; font-size: 1rem; }
p { margin: .25rem 0; }
figure { margin: 0 0 1rem; }
figcaption, .soft, .endpoint { color: var(--soft); font-size: .875rem; font-weight: normal; }
.endpoint { display: block; }
svg { display: block; width: 100%; }
svg text { fill: var(--soft); font-size: 12px; }
.bar, .dot { fill: var(--bar); }
.bar:hover, .dot:hover { fill: var(--mark); }
.path { stroke: var(--bar); stroke-width: 1.5; }
.axis { stroke: var(--line); }
.mark { stroke: var(--mark); stroke-width: 2; }
.rare { stroke-dasharray: 3 3; }
div.table { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .6rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top; }
th:first-child, td:first-child { padding-left: 0; text-align: left; }
thead th { color: var(--soft); font-size: .875rem; font-weight: normal; }
thead th[colspan] { text-align: center; }
tbody th { min-width: 15rem; overflow-wrap: anywhere; }
.words { text-align: left; }
.whole { white-space: nowrap; }
@media (max-width: 64rem) {
  table, tbody, tr, th, td { display: block; }
  thead { display: none; }
  tr { display: grid; grid-template-columns: 1.3fr 1fr 1fr 1fr; gap: .25rem .5rem; padding: .75rem 0; }
  tr { border-bottom: 1px solid var(--line); }
  th, td, th:first-child { min-width: 0; padding: 0; border: 0; text-align: left; }
  tbody th, .wide { grid-column: 1 / -1; }
  td::before { content: attr(data-label); display: block; color: var(--soft); font-size: .75rem; }
  .turns::after { content: " turns"; }
  .wide { padding-left: 6.5rem; }
  .wide::before { float: left; margin-left: -6.5rem; font-size: .875rem; line-height: 1.7; }
}
"""
