"""A plan as a drawing, laid out as the card lays out a run: an SVG file by itself, or a page to search and zoom in."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import jinja2

from dbt_flow.plan.planned import Decision, Plan
from dbt_flow.records import NodeResult
from dbt_flow.report.card import card_folder
from dbt_flow.report.drawing import MOST_NODES, drawing
from dbt_flow.report.words import duration, one_line

LOOKS: Mapping[str, tuple[str, str, str]] = {
    "run": ("run", "▸", "runs"),
    "reuse": ("reused", "↺", "is reused"),
    "skip": ("skip", "–", "is skipped"),
    "blocked": ("bad", "✕", "is blocked"),
}
"""For each decision: how the card's style shows it, its mark, and a word."""

_LIGHT = {"bg": "#fafaf9", "card": "#fff", "ink": "#1b1d21", "soft": "#626973", "line": "#c9ccd1", "hover": "#f0f1f2"}
_DARK = {"bg": "#121417", "card": "#191c20", "ink": "#e6e8eb", "soft": "#9aa2ad", "line": "#4a5159", "hover": "#20242a"}
_TINTS = {
    "run": ("#1f5fc4", "#77b0fa"),
    "reused": ("#0c7068", "#5cc9be"),
    "skip": ("#69707b", "#9099a5"),
    "bad": ("#bf2f2a", "#f5817a"),
}
_HEAD, _FOOT, _NARROW, _LETTER = 30, 40, 520, 7.0
_MOST_PIPS = 8


def drawn(plan: Plan, decisions: Iterable[Decision], path: Sequence[tuple[str, float | None]]) -> dict[str, Any]:
    """The drawing as numbers; of a very large plan the part around its critical path.

    :param path: the critical path, with seconds where they are known
    """
    known = {key: seconds or 0.0 for key, seconds in path}
    results = {item.id: NodeResult(item.id, item.decision, seconds=known.get(item.id, 0.0)) for item in decisions}
    found = drawing(plan, results, list(known), MOST_NODES)
    names = [plan.by_id[key].name for key in known if not plan.by_id[key].is_test]
    return (
        found or {"nodes": [], "edges": [], "width": 0, "height": 0, "box": 0, "letters": 20, "total": 0, "part": False}
    ) | {"critical": names}


def svg(found: Mapping[str, Any], title: str, words: str) -> str:
    """A drawing that stands by itself, in the colours of whoever looks at it."""
    width = max(found["width"], _NARROW)
    lines = textwrap.wrap(words, max(int((width - 32) / _LETTER), 30)) + _part(found)
    top = _HEAD + 18 * (len(lines) + 1)
    height = top + found["height"] + _FOOT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="graph" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-labelledby="title">',
        f'<title id="title">{escape(one_line(title))}</title>',
        f"<style>{_style()}</style>",
        f'<rect class="bg" width="{width}" height="{height}"/>',
        f'<text class="gt" x="16" y="{_HEAD}">{escape(one_line(title))}</text>',
    ]
    for at, line in enumerate(lines, start=1):
        parts.append(f'<text class="gw" x="16" y="{_HEAD + 4 + 18 * at}">{escape(line)}</text>')
    parts += [f'<g transform="translate(0 {top})">', *_inside(found), "</g>", _legend(found, width, height - 16), "</svg>"]
    return "\n".join(part for part in parts if part) + "\n"


def _part(found: Mapping[str, Any]) -> list[str]:
    if not found["part"]:
        return []
    return [f"{len(found['nodes'])} of {found['total']:,} nodes: the critical path and what stands around it"]


def _inside(found: Mapping[str, Any]) -> list[str]:
    """Lines and boxes, in the card's own classes."""
    nodes = found["nodes"]
    critical = {at for at, node in enumerate(nodes) if node[0] in found["critical"]}
    steps = set(zip(found["critical"], found["critical"][1:], strict=False))
    parts = ['<g class="edges" aria-hidden="true">']
    for first, second, path in found["edges"]:
        mark = ' class="crit"' if (nodes[first][0], nodes[second][0]) in steps else ""
        parts.append(f'<path d="{path}" data-a="{first}" data-b="{second}"{mark}/>')
    parts.append("</g>")
    return [*parts, *(_box(found, at, node, at in critical) for at, node in enumerate(nodes))]


def _box(found: Mapping[str, Any], at: int, node: Sequence[Any], critical: bool) -> str:
    name, kind, status, x, y, seconds, tests, _ = node
    look, mark, word = LOOKS.get(status, ("none", "", ""))
    box, known = found["box"], bool(mark)
    told = [name, kind] + [word] * known + ["on the critical path"] * critical
    told += [f"usually {duration(seconds)}"] * bool(seconds)
    told += [f"{len(tests)} test{'s' if len(tests) > 1 else ''}"] * bool(tests)
    left, letters = (30, found["letters"]) if known else (16, found["letters"] + 2)
    short = name if len(name) <= letters else f"{name[: letters - 1]}…"
    under = f"{kind} · {duration(seconds)}" if seconds else kind
    sentence = _attribute(", ".join(told))
    radius = 21 if kind in ("source", "exposure") else 8
    pips = "".join(
        f'<circle class="{LOOKS.get(test, ("wait", "", ""))[0]}" cx="{box - 11 - place * 9}" cy="30" r="3"/>'
        for place, test in enumerate(tests[:_MOST_PIPS])
    )
    classes = f"n {look} k-{_attribute(kind)}{' crit' if critical else ''}"
    status_of = f' data-s="{word}"' if known else ""
    sign = f'<text class="gm" x="16" y="26">{mark}</text>' if known else ""
    return (
        f'<g class="{classes}" transform="translate({x} {y - 21:.1f})" data-i="{at}" data-n="{_attribute(name)}"{status_of}'
        f' role="img" aria-label="{sentence}"><title>{sentence}</title><rect width="{box}" height="42" rx="{radius}"/>{sign}'
        f'<text class="gn" x="{left}" y="18">{escape(one_line(short))}</text>'
        f'<text class="gs" x="{left}" y="33">{escape(under)}</text>{pips}</g>'
    )


def _attribute(text: str) -> str:
    return escape(one_line(text), quote=True)


def _keys(found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Look, mark and word of every decision that is drawn."""
    shown = {node[2] for node in found["nodes"]}
    return [look for decision, look in LOOKS.items() if decision in shown]


def _legend(found: Mapping[str, Any], width: int, y: int) -> str:
    said = [f"{mark} {word}" for _, mark, word in _keys(found)]
    said += ["bold: the critical path"] * bool(found["critical"]) + ["dots: tests", "round: sources and exposures"]
    while len(said) > 2 and sum(len(part) + 3 for part in said) * _LETTER > width - 32:
        said.pop()
    return f'<text class="gw" x="16" y="{y}">{escape(" · ".join(said))}</text>'


def _style() -> str:
    def coloured(shade: Mapping[str, str], place: int) -> str:
        rules = [
            f".bg{{fill:{shade['bg']}}}",
            f".edges path{{fill:none;stroke:{shade['line']};stroke-width:1.3}}",
            f".edges .crit{{stroke:{shade['ink']};stroke-width:2}}",
            f".n rect{{fill:{shade['card']};stroke:{shade['line']};stroke-width:1.3}}",
            f".n.none rect,.n.k-source rect,.n.k-exposure rect{{fill:{shade['hover']}}}",
            f".gt,.gn{{fill:{shade['ink']}}}.gs,.gw,.n.none .gn,.n.skip .gn{{fill:{shade['soft']}}}",
            f".n circle{{fill:{shade['soft']}}}",
        ]
        for look, tints in _TINTS.items():
            rules.append(f".n.{look} rect{{stroke:{tints[place]}}}.n.{look} .gm{{fill:{tints[place]}}}")
        return "".join([*rules, ".n.crit rect{stroke-width:2.4}"])

    fonts = 'text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}'
    sizes = ".gt{font-size:20px;font-weight:650}.gw{font-size:13px}.gm{font-weight:700;font-size:14px;text-anchor:middle}"
    sizes += ".gn{font-size:12.5px}.gs{font-size:11px}.n.skip rect,.n.k-ephemeral rect{stroke-dasharray:4 3}"
    return f"{fonts}{sizes}{coloured(_LIGHT, 0)}@media (prefers-color-scheme:dark){{{coloured(_DARK, 1)}}}"


def page(found: Mapping[str, Any], title: str, words: str, description: str) -> str:
    """One self-contained page; search, zoom, keys and fingers are the card's own script."""
    folder = card_folder()
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    template = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return template.get_template("plan_page.html").render(
        d=found,
        title=one_line(title),
        words=one_line(words, 600),
        description=one_line(description, 600),
        notes=_part(found),
        keys=_keys(found),
        inside="\n".join(_inside(found)),
        css=(folder / "run.css").read_text(encoding="utf-8"),
        script=(folder / "graph.js").read_text(encoding="utf-8"),
    )
