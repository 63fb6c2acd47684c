"""The analyst's desk over a large fleet: CPU seconds of ``plan --base`` and of ``lint``, beside the parses that they need.

``python benchmarks/desk.py --models 2000 --dags 200``

A project and a fleet are written into a git repository; then a change touches SQL, tags, a macro and DAG files. Each command
runs in a process of its own: first with nothing known, then with dbt's parses kept, which is the price of all that is not
parsing, of starting Python and dbt included. A parse is measured by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from layers import Shape, write
from measure import measure

PARSE = """
import sys, tempfile
from pathlib import Path
from dbt_flow.project.parsing import parse
from dbt_flow.project.place import DbtProject
parse(DbtProject(Path(sys.argv[1])), Path(tempfile.mkdtemp(dir=sys.argv[2])), Path(tempfile.mkdtemp(dir=sys.argv[2])))
"""


def main() -> None:
    """Write the fleet, change it, measure each command, and say what it cost."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--models", type=int, default=2000)
    words.add_argument("--dags", type=int, default=200)
    words.add_argument("--json", action="store_true", help="print one JSON document")
    said = words.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        root = Path(name) / "fleet"
        _fleet(root, said.models, said.dags)
        _change(root, said.models, said.dags)
        known: dict[str, float] = {}
        parse = [sys.executable, "-c", PARSE, str(root / "dbt_project"), name]
        known["one parse, cold"] = _seconds(parse, root)
        flow = [sys.executable, "-m", "dbt_flow", "--root", str(root)]
        for label, command, good in (
            ("plan --base", ["plan", "--base", "HEAD", "--json"], (0,)),
            ("lint", ["lint", "--json"], (0, 1)),
        ):
            if label == "plan --base":
                known[f"{label}, cold"] = _seconds([*flow, *command], root, good)
            known[f"{label}, parse kept"] = _seconds([*flow, *command], root, good)
    if said.json:
        print(json.dumps({"models": said.models, "dags": said.dags, "cpu_seconds": known}, indent=2))
        return
    print(f"{said.dags} DAGs over {said.models} models, CPU seconds")
    for label, seconds in known.items():
        print(f"  {label:<42}{seconds:7.1f}")


def _seconds(command: list[str], folder: Path, good: tuple[int, ...] = (0,)) -> float:
    taken = measure(command, folder, {**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"})
    if taken.code not in good:
        raise SystemExit(f"{' '.join(command)} ended with {taken.code}")
    return taken.cpu


def _fleet(root: Path, models: int, dags: int) -> None:
    write(root / "dbt_project", Shape(models=models, layers=10, tests=1.4))
    _put(root / "dbt_flow.yml", "dbt_projects: [dbt_project]\nowners: {bench: {email: bench@example.com}, desk: {}}\n")
    _put(root / ".gitignore", ".dbt_flow/\n")
    for number in range(dags):
        model = f"m_{number * models // dags:04d}"
        words = (f"+{model}+2", f"{model}+", f"tag:daily,{model}+3")[number % 3]
        start = 'trigger: {schedule: "0 6 * * *"}' if number % 4 == 0 else f"trigger: {{after: dag_{number - 1:03d}}}"
        _put(root / "dags" / f"dag_{number:03d}.yaml", f"owner: bench\n{start}\nselect: {words}\n")
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "A fleet"]):
        who = ["-c", "user.name=bench", "-c", "user.email=bench@example.com", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", str(root), *who, *command], check=True)


def _change(root: Path, models: int, dags: int) -> None:
    """As a large pull request: SQL of a twentieth, tags of another, a macro that all models use, a tenth of the DAG files."""
    chance = random.Random(7)
    files = sorted((root / "dbt_project/models").rglob("*.sql"))
    for file in chance.sample(files, models // 20):
        file.write_text(file.read_text().replace("* 7 + 3", "* 7 + 4"))
    for file in chance.sample(files, models // 20):
        text = file.read_text()
        file.write_text(text.replace('"daily"', '"hourly"') if '"daily"' in text else text.replace('"hourly"', '"daily"'))
    macro = root / "dbt_project/macros/nap.sql"
    macro.write_text(macro.read_text().replace("seconds > 0", "seconds > 0.0"))
    for number in chance.sample(range(dags), dags // 10):
        file = root / "dags" / f"dag_{number:03d}.yaml"
        file.write_text(file.read_text().replace("owner: bench", "owner: desk") + 'done_by: "07:00"\n')
    _put(root / "dags/dag_new.yaml", "owner: bench\nselect: tag:hourly\n")


def _put(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
