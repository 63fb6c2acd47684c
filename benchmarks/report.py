"""The page and the plot that a sitting leaves in ``docs/``."""

from __future__ import annotations

import platform
import statistics
from datetime import date
from importlib.metadata import version
from pathlib import Path

from measure import Cost
from work import Work

WHY = """## Where an aim is not met

The launcher imports Metaflow and forks the process that imports dbt, which becomes the task: of what a run costs beyond
`dbt build` the command line's 0.2 s, Metaflow's own import, settling, receipt and card 0.3 s are left. What is saved (no
manifest is written, a graph is linked once, garbage is looked for seldom, no module is taken apart at the end) makes up for
that on DuckDB.

- *A second for each model*: four threads are busy from the first to the last second in any order, so longest path first has
  nothing to gain, and the cost of a run is seen. Where durations differ it has. A tenth of the time with nothing changed would
  be 2 s: the imports of dbt and Metaflow alone are that.
- *64 threads*: dbt's own Python, one thread of it at a time, is half of the time: of what a node costs, a fifth is compiling
  templates, a seventh the namespace of macros made anew for each node, a seventh events. Only dbt could change that.
  (Measured while tests ran beside it.)
- *One model of 5,000*: reading dbt's parse cache, dbt's checks of the whole manifest and `graph` for Jinja are most of what is
  left. dbt would have to read a part of its manifest.
- *Memory*: the launcher (40 MB), the command line (30 MB) and the process that Metaflow sees (9 MB) stand beside the one that
  builds, which holds Metaflow too.
- *Steps of their own* cost about two CPU seconds each: Metaflow's start of a task, a fork, and dbt's set-up for one node.
"""
"""What the profiles show; kept here because the page is written anew by each sitting."""

Results = dict[Work, dict[str, list[Cost]]]


def page(results: Results, folder: Path) -> None:
    """Write ``benchmarks.md`` and ``images/benchmarks.svg``."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "images" / "benchmarks.svg").write_text(_plot(results), encoding="utf-8")
    (folder / "benchmarks.md").write_text(_page(results), encoding="utf-8")


def _page(results: Results) -> str:
    what = ", ".join(f"{name} {version(name)}" for name in ("dbt-core", "metaflow", "dbt-duckdb"))
    lines = [
        "# Benchmarks",
        "",
        f"Measured on {date.today()} on {platform.system()}, Python {platform.python_version()}, {what}.",
        "Medians of warm runs, in turn, in one sitting for each work; wall times, CPU seconds and memory of the whole command,",
        "ratios to plain `dbt build`. Repeat them with `make bench`; `benchmarks/README.md` says how they are made.",
        "",
        "![Wall time over plain dbt build](images/benchmarks.svg)",
        "",
    ]
    for work, found in results.items():
        aim = f" Aim: at most {work.aim} times the wall time of `dbt build`." if work.aim else ""
        aim += f" Aim: at most {work.cpu_aim} times the CPU seconds of `dbt build`." if work.cpu_aim else ""
        lines += [f"## {work.title}", "", f"{work.shape.threads} threads.{aim}", ""]
        lines += ["| | wall s | wall, ratio | CPU s | CPU, ratio | peak MB |", "|---|--:|--:|--:|--:|--:|"]
        base = _median(next(iter(found.values())))
        for name, costs in found.items():
            mid = _median(costs)
            wall, cpu = mid.wall / base.wall, mid.cpu / base.cpu
            lines.append(f"| {name} | {mid.wall:.2f} | {wall:.2f} | {mid.cpu:.2f} | {cpu:.2f} | {mid.memory:.0f} |")
        lines.append("")
    return "\n".join([*lines, WHY])


def _median(costs: list[Cost]) -> Cost:
    values = [statistics.median(getattr(cost, key) for cost in costs) for key in ("wall", "cpu", "memory")]
    return Cost(*values, 0)


def _plot(results: Results) -> str:
    """Horizontal bars of wall time ratios, a group for each work."""
    rows: list[tuple[str, str, float]] = []
    for work, found in results.items():
        base = _median(next(iter(found.values()))).wall
        rows += [(work.title, name, _median(costs).wall / base) for name, costs in found.items()]
    top = max((ratio for *_, ratio in rows), default=1.0)
    height = 24 * len(rows) + 30 * len(results) + 10
    style = (
        "text{font:12px system-ui,sans-serif;fill:#333}.t{font-weight:600}.us{fill:#1b7f4d}.dbt{fill:#888}.peer{fill:#c9c9c9}"
    )
    dark = "@media(prefers-color-scheme:dark){text{fill:#ddd}.peer{fill:#555}}"
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {height}" role="img">', f"<style>{style}{dark}</style>"]
    y, title = 0, ""
    for work_title, name, ratio in rows:
        if work_title != title:
            title, y = work_title, y + 30
            parts.append(f'<text class="t" x="0" y="{y - 8}">{title}</text>')
        kind = "us" if name.startswith("dbt-flow") else "dbt" if name == "dbt" else "peer"
        width = max(2.0, 480 * ratio / top)
        parts.append(f'<text x="150" y="{y + 14}" text-anchor="end">{name}</text>')
        parts.append(f'<rect class="{kind}" x="160" y="{y + 2}" width="{width:.0f}" height="16" rx="3"/>')
        parts.append(f'<text x="{168 + width:.0f}" y="{y + 14}">{ratio:.2f}</text>')
        y += 24
    return "\n".join([*parts, "</svg>"])
