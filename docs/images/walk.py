"""Records ``docs/images/walk.svg``: real commands, run here and now, as an animation that needs no script and no network.

``make picture`` calls it, by way of ``card.sh``, with the folder of the programs. Each line comes when the command said it,
slow ones brought nearer. A reader who wants no motion sees the end; colours follow the reader's light or dark. The state
folder, which is a scratch one here, is shown as the one that it is by default.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from html import escape
from pathlib import Path

from rich.text import Text

COMMANDS = ("cat dags/carrier_safety.yaml", "dbt-flow validate", "dbt-flow run carrier_safety", "dbt-flow card carrier_safety")
COLUMNS, ROWS = 96, 26
LINE, CHARACTER, EDGE = 18, 8.43, 18  # pixels
TYPING, PAUSE, LONGEST, END = 0.9, 1.2, 7.0, 6.0  # seconds
CLASSES = {"green": "g", "red": "r", "yellow": "y", "cyan": "c", "blue": "c", "magenta": "m", "bold": "b", "dim": "d"}
CLASSES |= {f"color({number})": letter for number, letter in enumerate("drgycmc")}

STYLE = """
.back{fill:#fbfbfa;stroke:#d7d7d2}.bar{fill:#efefeb}.dot{fill:#c9c9c3}.cover{fill:#fbfbfa}
text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#22262b;white-space:pre}
.b{font-weight:700}.d{fill:#737a82}.g{fill:#14763a}.r{fill:#b3261e}.y{fill:#8a5a00}.c{fill:#0b6a8a}.m{fill:#8a3a86}.p{fill:#14763a;font-weight:700}
@media (prefers-color-scheme:dark){.back{fill:#16191d;stroke:#33383e}.bar{fill:#1e2227}.dot{fill:#454b52}.cover{fill:#16191d}
text{fill:#dfe3e7}.d{fill:#8b939b}.g{fill:#5ccf87}.r{fill:#ff8a80}.y{fill:#e6b450}.c{fill:#6cc7e6}.m{fill:#d99ad5}.p{fill:#5ccf87}}
@media (prefers-reduced-motion:reduce){.roll,.cover{animation:none!important}}
"""


@dataclass(frozen=True)
class Said:
    """A line, and when it came."""

    at: float
    text: Text
    prompt: bool = False


def record(programs: Path) -> list[Said]:
    """Run the commands; every line of theirs with its second in the film."""
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "COLUMNS": str(COLUMNS), "FORCE_COLOR": "1"}
    lines: list[Said] = []
    now = 0.5
    for command in COMMANDS:
        lines.append(Said(now, Text(f"$ {command}"), prompt=True))
        now += TYPING
        came: list[tuple[float, str]] = []
        began = time.monotonic()
        process = subprocess.Popen(
            command.split(), env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        state = environment.get("DBT_FLOW_STATE", ".dbt_flow")
        for line in process.stdout or ():
            came.append((time.monotonic() - began, line.rstrip("\n").replace(state, ".dbt_flow")))
        process.wait()
        took = came[-1][0] if came else 0.0
        scale = min(1.0, LONGEST / took) if took else 1.0
        lines += [Said(now + at * scale, cut(line)) for at, line in came]
        now += took * scale + PAUSE
    return lines


def cut(line: str) -> Text:
    """A line that fits the window."""
    text = Text.from_ansi(line)
    text.truncate(COLUMNS, overflow="ellipsis")
    return text


def spans(said: Said) -> str:
    """The line as SVG."""
    if said.prompt:
        return f'<tspan class="p">$</tspan><tspan class="b">{escape(said.text.plain[1:])}</tspan>'
    plain, marks = said.text.plain, [set() for _ in said.text.plain]
    for span in said.text.spans:
        words = str(span.style).split()
        for index in range(span.start, min(span.end, len(plain))):
            marks[index] |= {CLASSES[word] for word in words if word in CLASSES}
    if not any(marks):
        first = plain.strip().split(" ")[0:2]
        word = next((name for name in ("fail", "error", "skipped", "success", "pass") if name in first), "")
        return (
            f'<tspan class="{ {"fail": "r", "error": "r", "skipped": "y"}.get(word, "d") }">{escape(plain)}</tspan>'
            if word
            else escape(plain)
        )
    parts, start = [], 0
    for index in range(1, len(plain) + 1):
        if index == len(plain) or marks[index] != marks[start]:
            names, text = " ".join(sorted(marks[start])), escape(plain[start:index])
            parts.append(f'<tspan class="{names}">{text}</tspan>' if names else text)
            start = index
    return "".join(parts)


def film(lines: list[Said]) -> str:
    """The whole picture."""
    total = lines[-1].at + END
    width, height = round(COLUMNS * CHARACTER) + 2 * EDGE, ROWS * LINE + 2 * EDGE + 28
    roll, cover = [], []
    for index, said in enumerate(lines):
        at = f"{100 * said.at / total:.3f}%"
        roll.append(f"{at}{{transform:translateY({-max(0, index + 1 - ROWS) * LINE}px)}}")
        cover.append(f"{at}{{transform:translateY({(index + 1) * LINE}px)}}")
    last = len(lines)
    still = f".roll{{transform:translateY({-max(0, last - ROWS) * LINE}px);animation:roll {total:.1f}s step-end infinite}}"
    still += f".cover{{transform:translateY({last * LINE}px);animation:cover {total:.1f}s step-end infinite}}"
    rules = (
        f"@keyframes roll{{0%{{transform:none}}{''.join(roll)}}}@keyframes cover{{0%{{transform:none}}{''.join(cover)}}}{still}"
    )
    rows = "".join(f'<text x="{EDGE}" y="{(i + 1) * LINE - 4}">{spans(said)}</text>' for i, said in enumerate(lines))
    dots = "".join(f'<circle class="dot" cx="{20 + 18 * i}" cy="14" r="5"/>' for i in range(3))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="A terminal: {escape("; ".join(COMMANDS))}"><style>{STYLE}{rules}</style>'
        f'<clipPath id="w"><rect x="1" y="{28 + EDGE // 2}" width="{width - 2}" height="{ROWS * LINE + EDGE // 2}"/></clipPath>'
        f'<rect class="back" x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="8"/>'
        f'<path class="bar" d="M1 28V8.5a7.5 7.5 0 0 1 7.5-7.5h{width - 17}a7.5 7.5 0 0 1 7.5 7.5V28z"/>{dots}'
        f'<g clip-path="url(#w)"><g transform="translate(0 {28 + EDGE // 2})"><g class="roll">{rows}'
        f'<rect class="cover" x="1" y="0" width="{width - 2}" height="{(last + ROWS) * LINE}"/></g></g></g></svg>\n'
    )


if __name__ == "__main__":
    (Path(__file__).parent / "walk.svg").write_text(film(record(Path(sys.argv[1]).resolve())), encoding="utf-8")
