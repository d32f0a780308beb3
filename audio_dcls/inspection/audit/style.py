"""How the audit's page looks, and the few lines that sort its tables."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --ink: #1c2733; --soft: #5c6975; --paper: #ffffff; --panel: #f4f6f8;
  --rule: #dfe4e9; --accent: #1f6fa8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9ee; --soft: #98a4b0; --paper: #12171c; --panel: #1b2229;
  --rule: #2d363f; --accent: #6db4e6; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { margin: 0; font-size: 1.9rem; letter-spacing: -0.01em; }
h2 { margin: 0 0 0.9rem; font-size: 1.15rem; }
p { max-width: 70ch; color: var(--soft); }
.source { margin: 0.15rem 0 1.5rem; overflow-wrap: anywhere; }
section { margin-top: 2.75rem; }
.tiles { display: grid; gap: 0.75rem; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); }
.tiles div { padding: 0.8rem 1rem; border-radius: 8px; background: var(--panel); }
.tiles b { display: block; font-size: 1.45rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.tiles span { color: var(--soft); font-size: 0.85rem; }
.scroll { overflow-x: auto; margin: 0.5rem 0 1rem; }
table { width: 100%; border-collapse: collapse; font-size: 0.9rem; }
th { padding: 0; border-bottom: 1px solid var(--rule); text-align: left; white-space: nowrap; }
th button { all: unset; padding: 0.4rem 0.9rem 0.4rem 0; color: var(--soft); font-weight: 500; cursor: pointer; }
th button:hover, th button:focus-visible { color: var(--accent); text-decoration: underline; }
th[aria-sort=ascending] button::after { content: " ▲"; font-size: 0.7em; }
th[aria-sort=descending] button::after { content: " ▼"; font-size: 0.7em; }
td { padding: 0.35rem 0.9rem 0.35rem 0; border-bottom: 1px solid var(--rule); vertical-align: top;
  overflow-wrap: break-word; }
td:last-child { overflow-wrap: anywhere; }
td:first-child { min-width: 8rem; }
td.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
details { margin: 0.75rem 0; }
summary { color: var(--accent); cursor: pointer; }
svg { display: block; width: 100%; height: auto; color: var(--ink); font-family: system-ui, sans-serif; }
"""

SCRIPT = """
for (const button of document.querySelectorAll("th button")) button.onclick = () => {
  const head = button.parentElement, row = head.parentElement, body = head.closest("table").tBodies[0];
  const place = [...row.cells].indexOf(head), up = head.getAttribute("aria-sort") === "descending";
  const key = line => line.cells[place].textContent.trim();
  const number = text => Number(text.replace(/[,%]/g, "") || NaN);
  const lines = [...body.rows].sort((a, b) => {
    const x = number(key(a)), y = number(key(b));
    return Number.isNaN(x) || Number.isNaN(y) ? key(a).localeCompare(key(b)) : x - y;
  });
  for (const other of row.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  body.append(...(up ? lines : lines.reverse()));
};
"""
