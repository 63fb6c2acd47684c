"""Does ``dbt-flow run`` end as ``dbt build`` does? Node by node, on two copies of a project and of its DuckDB file.

::

    python tests/conformance/conform.py --project-dir DIR [--select ... --exclude ... --selector NAME]
                                        [--profiles-dir DIR] [--target NAME] [--seed] [--keep]

Both sides get the same selection; with none, everything. Exit code 0: every node has the same status on both sides. 1: some
have not, or stand on one side only. 2: a side could not start. Hooks (``operation.*``) are in dbt's results and not in a plan;
they are left out. The project itself is read and never written.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

EVERYTHING = ("fqn:*", "source:*", "exposure:*", "metric:*", "semantic_model:*")
"""dbt's own default selection (``dbt.graph.cli.DEFAULT_INCLUDES``); a DAG file without a selection means something else."""
LEFT_OUT = shutil.ignore_patterns("target", "logs", ".git", ".dbt_flow", ".metaflow", ".venv", "venv", "__pycache__")


@dataclass(frozen=True)
class Difference:
    """A node that did not end the same."""

    id: str
    by_dbt: str | None
    by_dbt_flow: str | None

    def __str__(self) -> str:
        return f"{self.id}: dbt {self.by_dbt or 'did not run it'}, dbt-flow {self.by_dbt_flow or 'did not plan it'}"


class CouldNotStart(Exception):
    """A side gave no results; the text is what it said."""


def compare(by_dbt: Mapping[str, str], by_dbt_flow: Mapping[str, str]) -> list[Difference]:
    """The nodes whose statuses differ, by id."""
    return [
        Difference(key, by_dbt.get(key), by_dbt_flow.get(key))
        for key in sorted({*by_dbt, *by_dbt_flow})
        if by_dbt.get(key) != by_dbt_flow.get(key)
    ]


def copy_project(project: Path, profiles_dir: Path | None, into: Path) -> Path:
    """A copy of the project with its profile, whose DuckDB files are copies in its folder.

    A path that is no plain text (Jinja, ``md:``) is left as it is: both sides then work on one database, one after the other.
    """
    shutil.copytree(project, into, ignore=LEFT_OUT, symlinks=True)
    places = [profiles_dir, project, Path.home() / ".dbt"]
    source = next((place / "profiles.yml" for place in places if place and (place / "profiles.yml").is_file()), None)
    if source is None:
        raise CouldNotStart("there is no profiles.yml; give its folder: --profiles-dir DIR")
    profiles = yaml.safe_load(source.read_text(encoding="utf-8"))
    for profile in (profile for profile in profiles.values() if isinstance(profile, dict)):
        for name, output in (profile.get("outputs") or {}).items():
            path = str(output.get("path", ""))
            if output.get("type") != "duckdb" or not path or "{{" in path or ":" in path:
                continue
            database = project / path
            output["path"] = database.name if database.is_absolute() and project not in database.parents else path
            if database.is_file() and not (into / output["path"]).exists():
                shutil.copyfile(database, into / output["path"])
            print(f"  {into.name}: target {name} is {into / output['path']}")
    (into / "profiles.yml").write_text(yaml.safe_dump(profiles, sort_keys=False), encoding="utf-8")
    return into


def run_dbt(project: Path, command: str, flags: Sequence[str]) -> dict[str, str]:
    """Node statuses of one dbt command, from its ``run_results.json``.

    :raises CouldNotStart: it left none.
    """
    target = project.parent / "dbt-target"
    shutil.rmtree(target, ignore_errors=True)
    words = [sys.executable, "-m", "dbt.cli.main", command, "--project-dir", str(project), "--profiles-dir", str(project)]
    words += ["--target-path", str(target), *flags]
    done = subprocess.run(words, cwd=project, env=_environment(project), capture_output=True, text=True, check=False)
    results = target / "run_results.json"
    if not results.is_file():
        if done.returncode == 0:
            return {}  # nothing to do
        raise CouldNotStart(f"dbt {command} said:\n{done.stdout}{done.stderr}")
    found = json.loads(results.read_text(encoding="utf-8"))["results"]
    return {row["unique_id"]: row["status"] for row in found if not row["unique_id"].startswith("operation.")}


def run_dbt_flow(project: Path, dag: Mapping[str, Any]) -> dict[str, str]:
    """Node statuses of ``dbt-flow run`` of a DAG file made for this.

    :raises CouldNotStart: it printed no result.
    """
    file = project.parent / "conformance.yaml"
    file.write_text(yaml.safe_dump({"owner": "conformance", **dag}, sort_keys=False), encoding="utf-8")
    words = [sys.executable, "-m", "dbt_flow", "run", str(file), "--project-dir", str(project), "--json"]
    done = subprocess.run(words, cwd=project.parent, env=_environment(project), capture_output=True, text=True, check=False)
    try:
        document = json.loads(done.stdout)
        return {row["id"]: row["status"] for row in document["nodes"]}
    except (ValueError, KeyError, TypeError):
        if "selects-nothing" in done.stdout:
            return {}
        raise CouldNotStart(f"dbt-flow run said (exit {done.returncode}):\n{done.stdout}{done.stderr}") from None


def _environment(project: Path) -> dict[str, str]:
    ours = {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(project.parent / "metaflow")}
    return {**os.environ, "METAFLOW_USER": os.environ.get("METAFLOW_USER", "conformance"), **ours}


def conform(options: argparse.Namespace, work: Path) -> list[Difference]:
    """Run both sides in ``work`` and compare them.

    :raises CouldNotStart: a side gave no results.
    """
    include = () if options.selector else tuple(options.select) or (() if options.exclude else EVERYTHING)
    flags: list[str] = ["--target", options.target] if options.target else []
    for flag, words in (("--select", include), ("--exclude", options.exclude)):
        flags += [flag, " ".join(words)] if words else []
    flags += ["--selector", options.selector] if options.selector else []
    said = {"select": list(include), "exclude": list(options.exclude), "selector": options.selector, "target": options.target}
    dag = {key: value for key, value in said.items() if value}
    sides = {
        name: copy_project(options.project_dir, options.profiles_dir, work / name / "project") for name in ("dbt", "dbt-flow")
    }
    if options.seed:
        for project in sides.values():
            run_dbt(project, "seed", ["--target", options.target] if options.target else [])
    by_dbt = run_dbt(sides["dbt"], "build", flags)
    by_dbt_flow = run_dbt_flow(sides["dbt-flow"], dag)
    for name, found in (("dbt build", by_dbt), ("dbt-flow run", by_dbt_flow)):
        counts = ", ".join(f"{count} {status}" for status, count in Counter(found.values()).most_common())
        print(f"  {name}: {len(found)} nodes: {counts or 'nothing'}")
    return compare(by_dbt, by_dbt_flow)


def main(words: Sequence[str] | None = None) -> int:
    """The command; see the module."""
    parser = argparse.ArgumentParser(description="Compare dbt build and dbt-flow run, node by node.")
    parser.add_argument("--project-dir", type=lambda text: Path(text).resolve(), required=True)
    parser.add_argument("--profiles-dir", type=lambda text: Path(text).resolve())
    parser.add_argument("--target")
    parser.add_argument("--select", nargs="+", default=())
    parser.add_argument("--exclude", nargs="+", default=())
    parser.add_argument("--selector")
    parser.add_argument("--seed", action="store_true", help="load the seeds first, where sources are seeds' tables")
    parser.add_argument("--keep", action="store_true", help="keep the copies")
    options = parser.parse_args(words)
    work = Path(tempfile.mkdtemp(prefix="conform-"))
    try:
        different = conform(options, work)
    except CouldNotStart as error:
        print(error, file=sys.stderr)
        return 2
    finally:
        if options.keep:
            print(f"  kept in {work}")
        else:
            shutil.rmtree(work, ignore_errors=True)
    for difference in different:
        print(f"  DIFFERS {difference}")
    print("same" if not different else f"{len(different)} nodes differ")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
