"""
The status page: numbers for an operator, as one small HTML page, which a script of ours keeps up to date.

Everything that comes from outside this file is escaped. The page carries its own style, allowed by its hash; only
files of this endpoint (static/) load, and only it is asked. Without the script the page shows all but the sessions,
the charts and the events, and loads itself again.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime
from html import escape

SECONDS_BETWEEN_REFRESHES = 10

STYLE = """
:root { color-scheme: light dark; --line: #8883; --soft: #8881; --dim: #777; --good: #1a7f4b; --bad: #c0392b; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1rem; margin: 2rem 0 .5rem; text-transform: capitalize; }
header { display: flex; align-items: center; gap: 1rem; margin-bottom: 1.5rem; }
.state { padding: .1rem .75rem; border-radius: 1rem; color: #fff; font-size: .875rem; }
.good { background: var(--good); } .bad { background: var(--bad); }
.numbers { display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: .75rem; margin: 0; }
.numbers div { border: 1px solid var(--line); border-radius: .5rem; background: var(--soft); padding: .75rem 1rem; }
.numbers dt { color: var(--dim); font-size: .8125rem; }
.numbers dd { margin: 0; font-size: 1.5rem; font-variant-numeric: tabular-nums; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .375rem 0; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
th { font-weight: normal; color: var(--dim); width: 40%; }
td { font-variant-numeric: tabular-nums; }
footer { margin-top: 2.5rem; color: var(--dim); font-size: .875rem; }
"""

_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode("ascii")
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}' 'self'; script-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


# Between the names of a section and of what is in it.
_BETWEEN = "\x1f"

_LIVE = """<section id="live" hidden aria-label="now">
<div class="charts"><figure id="throughput"><figcaption>Throughput of the last hour</figcaption></figure>
<figure id="refusals"><figcaption>Logins refused in the last hour</figcaption></figure></div>
<section id="sessions"><h2>Sessions</h2>
<div class="controls"><label>Show only <input id="filter" type="search" maxlength="200"></label>
<span id="shown" role="status"></span><span id="updated"></span>
<span id="connection" class="lost" role="alert"></span></div>
<div class="wide"><table class="sessions"><thead><tr id="head"></tr></thead><tbody id="rows"></tbody></table></div>
</section>
<p id="withheld" hidden>Sessions, with users, addresses and paths, are shown where metrics.sessions is true;
ftpsd top and ftpsd who show them to operators.</p></section>"""


def render_page(is_ready: bool, status: Mapping[str, object], *, is_live: bool = False) -> bytes:
    """
    Return the page for *status*, with the live part where there *is* one.

    A number becomes a figure, a mapping a section of its own, anything else a row of the first table.
    """
    figures = {name: value for name, value in status.items() if _is_number(value)}
    sections = {name: value for name, value in status.items() if isinstance(value, Mapping)}
    rows = {name: value for name, value in status.items() if name not in figures and name not in sections}
    word, shade = ("ready", "good") if is_ready else ("not ready", "bad")
    refresh = f'<meta http-equiv="refresh" content="{SECONDS_BETWEEN_REFRESHES}">'
    scripts = '<script src="uplot.js" defer></script><script src="live.js" defer></script>' if is_live else ""
    sheets = '<link rel="stylesheet" href="uplot.css"><link rel="stylesheet" href="live.css">' if is_live else ""
    parts = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>FTPS server</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<noscript>{refresh}</noscript>" if is_live else refresh,
        f"<style>{STYLE}</style>{sheets}{scripts}</head><body>",
        f'<header><h1>FTPS server</h1><span id="state" class="state {shade}">{word}</span></header><main>',
        _figures(figures),
        _LIVE if is_live else "",
        _table(rows),
        *(f"<h2>{_text(name)}</h2>{_table(section, f'{name}{_BETWEEN}')}" for name, section in sections.items()),
        '</main><footer><a href="/metrics">metrics</a> · <a href="/healthz">healthz</a> · ',
        '<a href="/readyz">readyz</a></footer></body></html>\n',
    ]
    # Names decoded from bytes that were no UTF-8 hold lone surrogates, which the page cannot.
    return "".join(parts).encode("utf-8", "replace")


def _figures(figures: Mapping[str, object]) -> str:
    if not figures:
        return ""
    cells = (f"<div><dt>{_text(name)}</dt><dd{_key(name)}>{_text(value)}</dd></div>" for name, value in figures.items())
    return f'<dl class="numbers">{"".join(cells)}</dl>'


def _table(rows: Mapping[str, object], section: str = "") -> str:
    if not rows:
        return ""
    lines = (
        f'<tr><th scope="row">{_text(name)}</th><td{_key(section + str(name))}>{_text(value)}</td></tr>'
        for name, value in rows.items()
    )
    return f"<table>{''.join(lines)}</table>"


def _key(name: str) -> str:
    """Return the attribute by which the script finds where the value called *name* stands."""
    return f' data-key="{escape(name)}"'


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: object) -> str:
    """Return *value* as a person reads it, escaped."""
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:,.3f}".rstrip("0").rstrip(".")
        case datetime():
            return escape(value.isoformat(sep=" ", timespec="seconds"))
        case list() | tuple() | set() | frozenset():
            return ", ".join(_text(each) for each in value) or "none"
    return escape(str(value))
