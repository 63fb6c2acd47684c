"""How long ``dbt-flow deploy plan`` thinks: many DAGs over a large project, for a scheduler that answers at once.

    python benchmarks/deploy_plans.py --dags 200 --models 2000

It writes a layered project and DAG files over it, has plain dbt parse it once, to compare with, and plans four times: before
dbt has parsed, when nothing is deployed, when all is, and when one model's SQL has changed.
What a scheduler and Metaflow's ``create`` take is not in it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from layers import Shape, write

DBT = "import sys; from dbt.cli.main import cli; cli(sys.argv[1:])"


def main() -> None:
    """Print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dags", type=int, default=200)
    parser.add_argument("--models", type=int, default=2000)
    parser.add_argument("--folder", type=Path, help="Where to work. [a temporary folder]")
    said = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dbt-flow-bench-") as temporary:
        folder = said.folder or Path(temporary)
        names = write_fleet(folder, said.dags, said.models)
        measured: dict[str, object] = {"dags": said.dags, "models": said.models}
        measured["dbt parse, nothing parsed"] = spent(folder, "-c", DBT, "parse", "--no-partial-parse", "--quiet")
        measured["plan, nothing parsed"] = deploy(folder, "plan")
        measured["plan, nothing deployed"] = deploy(folder, "plan")
        measured["apply to local"] = deploy(folder, "apply")
        measured["plan, all deployed"] = deploy(folder, "plan")
        file = next((folder / "models").rglob(f"{names[-1]}.sql"))
        file.write_text(file.read_text() + "\n-- another word\n")
        measured["plan, one model changed"] = deploy(folder, "plan")
        kept = next((folder / ".dbt_flow/deployments").rglob("applied.json"))
        measured["state, bytes"] = kept.stat().st_size
    print(json.dumps(measured, indent=2))


def write_fleet(folder: Path, dags: int, models: int) -> list[str]:
    """The project, and DAGs that share its models out among them; gives the models' names."""
    write(folder, Shape(models=models, layers=10))
    (folder / "dags").mkdir(exist_ok=True)
    names = [f"m_{number:04d}" for number in range(models)]
    files = {file.stem: file for file in (folder / "models").rglob("*.sql")}
    for number, name in enumerate(names):
        tag = f"{{{{ config(tags=['dag_{number % dags:03d}']) }}}}\n"
        files[name].write_text(tag + files[name].read_text(), encoding="utf-8")
    for number in range(dags):
        text = f'owner: team\ntrigger: {{schedule: "{number % 60} 6 * * *"}}\nselect: tag:dag_{number:03d}\n'
        (folder / f"dags/dag_{number:03d}.yaml").write_text(text, encoding="utf-8")
    return names


def deploy(folder: Path, verb: str) -> dict[str, object]:
    """One command, as a person types it, and what it said last."""
    return spent(folder, "-m", "dbt_flow", "deploy", verb, "--to", "local")


def spent(folder: Path, *words: str) -> dict[str, object]:
    """A command of Python's: seconds of clock and of processor, megabytes at its height, and what it said last."""
    env = {**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "DBT_PROFILES_DIR": str(folder)}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run([sys.executable, *words], cwd=folder, env=env, capture_output=True, text=True, check=False)
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "seconds": round(wall, 1),
        "cpu": round(used, 1),
        "mb, highest so far": round(after.ru_maxrss / 1024),
        "said": "".join(done.stdout.strip().splitlines()[-1:]),
    }


if __name__ == "__main__":
    main()
