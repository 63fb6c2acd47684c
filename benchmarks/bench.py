"""Run the contenders in turn on the works, in one sitting, and report medians and ratios.

Each round runs every contender once, in an order that changes from round to round; the first round (cold) is not counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from contenders import CONTENDERS, ENVIRONMENT, python_of
from layers import write
from measure import Cost, measure
from report import page
from work import WORKS, Work

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests"))

from servers.postgres import server  # noqa: E402 - the tests' own


def main() -> int:
    """Run what the command line asks for."""
    said = _said()
    results: dict[str, dict[str, list[Cost]]] = {}
    for name in said.work:
        with _project(WORKS[name]) as folder:
            names = [who for who in said.contenders if who in ("dbt", "dbt-flow", *WORKS[name].also)]
            results[name] = sit(WORKS[name], names, said.rounds, folder)
    plain = {work: {who: [asdict(cost) for cost in costs] for who, costs in found.items()} for work, found in results.items()}
    if said.json:
        Path(said.json).write_text(json.dumps(plain, indent=1), encoding="utf-8")
    if said.write:
        page({WORKS[name]: found for name, found in results.items()}, ROOT / "docs")
    return 0


def sit(work: Work, names: Sequence[str], rounds: int, folder: Path) -> dict[str, list[Cost]]:
    """Every contender on one work, a cold round and then ``rounds`` warm ones."""
    costs: dict[str, list[Cost]] = {name: [] for name in names}
    for number in range(rounds + 1):
        order = list(names)[number % len(names) :] + list(names)[: number % len(names)]
        for name in order:
            contender = CONTENDERS[name]
            command = contender.command(python_of(contender), folder, work)
            cost = measure(command, folder, {**ENVIRONMENT, **contender.environment(folder)})
            if cost.code:
                print((folder / "last-output.txt").read_text(errors="replace")[-2000:], file=sys.stderr)
                raise SystemExit(f"{name} failed on {work.name} with {cost.code}")
            kind = "cold" if number == 0 else "warm"
            told = f"{cost.wall:7.2f} s wall {cost.cpu:7.2f} s CPU {cost.memory:6.0f} MB"
            print(f"{work.name:8} {kind} {name:18} {told}", file=sys.stderr, flush=True)
            if number:
                costs[name].append(cost)
    base = statistics.median(cost.wall for cost in costs[names[0]])
    for name, found in costs.items():
        wall, cpu = (statistics.median(getattr(cost, key) for cost in found) for key in ("wall", "cpu"))
        print(f"{work.name:8} {name:18} {wall:7.2f} s {wall / base:5.2f} x {names[0]}, {cpu:.2f} s CPU", flush=True)
    return costs


@contextmanager
def _project(work: Work) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        select = f"select: {work.select or 'package:this'}\n"
        for dag, more in (("bench", ""), ("bench_isolated", "isolate: all\n"), ("bench_reuse", "reuse: unchanged\n")):
            (folder / f"{dag}.yaml").write_text(f"owner: bench\n{select}{more}", encoding="utf-8")
        if not work.postgres:
            yield write(folder, work.shape)
            return
        with server(connections=work.shape.threads + 60) as port:
            yield write(folder, work.shape, port)


def _said() -> argparse.Namespace:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    listed = lambda known: lambda text: [_known(name, known) for name in text.split(",")]  # noqa: E731
    words.add_argument("--work", type=listed(WORKS), default=list(WORKS), help=f"of {', '.join(WORKS)}")
    words.add_argument("--contenders", type=listed(CONTENDERS), default=["dbt", "dbt-flow"], help=f"of {', '.join(CONTENDERS)}")
    words.add_argument("--rounds", type=int, default=5)
    words.add_argument("--json", help="also write every measurement there")
    words.add_argument("--write", action="store_true", help="write docs/benchmarks.md and its plot")
    return words.parse_args()


def _known(name: str, known: dict[str, object]) -> str:
    if name not in known:
        raise argparse.ArgumentTypeError(f"{name} is not one of {', '.join(known)}")
    return name


if __name__ == "__main__":
    raise SystemExit(main())
