"""How each contender is started. Peers have environments of their own, made from the package index when first asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from work import Work

_ADAPTERS = ("dbt-core>=1.11,<1.12", "dbt-duckdb", "dbt-postgres")


@dataclass(frozen=True)
class Contender:
    """Somebody who runs dbt."""

    name: str
    packages: tuple[str, ...]
    """What its own environment needs; empty for what runs in this one."""
    command: Callable[[Path, Path, Work], list[str]]
    """From its Python, the project's folder and the work to the command line."""
    environment: Callable[[Path], dict[str, str]] = lambda _: {}


def python_of(contender: Contender) -> Path:
    """The contender's Python; its environment is made now if it is not there."""
    if not contender.packages:
        return Path(sys.executable)
    home = Path(__file__).parents[1] / "build" / "bench" / contender.name
    python = home / "bin" / "python"
    if not (home / ".ready").exists():
        print(f"making an environment for {contender.name}: a minute or two, once", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-qq", *contender.packages, *_ADAPTERS], check=True)
        (home / ".ready").touch()
    return python


def _dbt(python: Path, folder: Path, work: Work) -> list[str]:
    select = ["--select", *work.select.split()] if work.select else []
    return [str(python.parent / "dbt"), "build", "--quiet", "--profiles-dir", str(folder), *select]


def _dbt_flow(python: Path, folder: Path, _: Work) -> list[str]:
    return [str(python.parent / "dbt-flow"), "run", str(folder / "bench.yaml"), "--project-dir", str(folder)]


def _dbt_flow_isolated(python: Path, folder: Path, _: Work) -> list[str]:
    return [str(python.parent / "dbt-flow"), "run", str(folder / "bench_isolated.yaml"), "--project-dir", str(folder)]


def _dbt_flow_reuse(python: Path, folder: Path, _: Work) -> list[str]:
    return [str(python.parent / "dbt-flow"), "run", str(folder / "bench_reuse.yaml"), "--project-dir", str(folder)]


def _script(name: str) -> Callable[[Path, Path, Work], list[str]]:
    file = Path(__file__).parent / "peers" / name
    return lambda python, folder, work: [str(python), str(file), str(folder), work.select or ""]


def _quiet_prefect(folder: Path) -> dict[str, str]:
    home = str(folder / ".prefect")
    return {
        "PREFECT_HOME": home,
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }


def _quiet_dagster(folder: Path) -> dict[str, str]:
    home = folder / ".dagster"
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    return {"DAGSTER_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "1"}


CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender("dbt", (), _dbt),
        Contender("dbt-flow", (), _dbt_flow),
        Contender("dbt-flow-isolated", (), _dbt_flow_isolated),
        Contender("dbt-flow-reuse", (), _dbt_flow_reuse),
        Contender("prefect", ("prefect-dbt>=0.7", "fastapi<0.116"), _script("run_prefect.py"), _quiet_prefect),
        Contender("dagster", ("dagster", "dagster-dbt"), _script("run_dagster.py"), _quiet_dagster),
    )
}

ENVIRONMENT = {
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "METAFLOW_USER": os.environ.get("METAFLOW_USER", "bench"),
    "NO_COLOR": "1",
}
"""What every contender gets."""
