"""The outcome of a check as one HTML page: what was found, and the distributions as bars. Nothing is fetched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from llm.check.section import Section
from llm.core.console import count_of
from llm.data.check.finding import Chart, Finding

STYLE = """
:root { color-scheme: light dark; --text: #1d2430; --soft: #5b6472; --bar: #2563a8; --track: #e4e8ee; --bad: #b3261e;
  --good: #1c6b45; --back: #ffffff; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e9ee; --soft: #a3acb9; --bar: #7fb2ea; --track: #2b323d;
  --bad: #ff9a8f; --good: #7fd6a8; --back: #14181f; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 0 auto; padding: 1rem; color: var(--text);
  background: var(--back); overflow-wrap: anywhere; }
h1 { font-size: 1.35rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .3rem; }
pre { white-space: pre-wrap; margin: 0; } pre, code { font: .85rem/1.5 ui-monospace, monospace; }
.verdict { font-weight: 600; } .bad { color: var(--bad); } .good { color: var(--good); }
ol { padding-left: 1.6rem; }
li { margin-bottom: 1rem; } li p { margin: .1rem 0; } .advice, .said { color: var(--soft); }
table { width: 100%; border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
td { padding: .1rem .5rem .1rem 0; vertical-align: middle; } .name, .said { white-space: nowrap; width: 1%; }
.name { text-align: right; } svg { display: block; width: 100%; height: 1rem; }
.track { fill: var(--track); } .bar { fill: var(--bar); }
"""


def page(title: str, sections: Sequence[Section]) -> str:
    return "\n".join(_parts(title, sections)) + "\n"


def _parts(title: str, sections: Sequence[Section]) -> Iterator[str]:
    yield '<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{_text(title)}</title>\n<style>{STYLE}</style>\n<h1>{_text(title)}</h1>"
    findings = [(section.name, finding) for section in sections for finding in section.findings]
    said = count_of(len(findings), "finding") if findings else "clean"
    yield f'<p class="verdict {"bad" if findings else "good"}">{said}</p>'
    if findings:
        yield "<ol>"
        yield from (_finding(name if len(sections) > 1 else "", finding) for name, finding in findings)
        yield "</ol>"
    for section in sections:
        yield f"<h2>{_text(section.name)}</h2>\n<pre>{_text(chr(10).join(section.lines))}</pre>"
        for chart in section.charts:
            if chart.bars:
                yield from _bars(chart)
    yield "</html>"


def _finding(name: str, finding: Finding) -> str:
    examples = "".join(f"<p><code>{_text(example)}</code></p>" for example in finding.examples)
    text = f"{name}: {finding.text}" if name else finding.text
    return f'<li><p>{_text(text)}</p><p class="advice">{_text(finding.advice)}</p>{examples}</li>'


def _bars(chart: Chart) -> Iterator[str]:
    """A table, so that it can be read aloud and copied; the bar of each row is a picture of its number."""
    yield f"<h3>{_text(chart.title)}</h3>\n<table>"
    longest = 1.0 if chart.is_share else max(value for _, value, _ in chart.bars) or 1.0
    for name, value, said in chart.bars:
        width = 100 * value / longest
        picture = (
            '<svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
            f'<rect class="track" width="100" height="10"/><rect class="bar" width="{width:.2f}" height="10"/></svg>'
        )
        yield f'<tr><td class="name">{_text(name)}</td><td>{picture}</td><td class="said">{_text(said)}</td></tr>'
    yield "</table>"


def _text(text: str) -> str:
    return escape(text, quote=False)
