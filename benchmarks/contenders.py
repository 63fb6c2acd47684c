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
    home: str = ""
    """The folder of its environment, where another contender has the same; its name if empty."""


def python_of(contender: Contender) -> Path:
    """The contender's Python; its environment is made now if it is not there."""
    if not contender.packages:
        return Path(sys.executable)
    home = Path(__file__).parents[1] / "build" / "bench" / (contender.home or contender.name)
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


def _script(name: str, mode: str = "") -> Callable[[Path, Path, Work], list[str]]:
    """A script of ``peers``; one with modes is told its mode, and how many processes it may have at a time."""
    file = Path(__file__).parent / "peers" / name

    def command(python: Path, folder: Path, work: Work) -> list[str]:
        # One process holds a DuckDB file.
        more = [mode, str(work.shape.threads if work.postgres else 1)] if mode else []
        return [str(python), str(file), str(folder), work.select or "", *more]

    return command


def _flow(name: str) -> Callable[[Path, Path, Work], list[str]]:
    file = Path(__file__).parent / "peers" / name
    return lambda python, _, work: ["env", f"BENCH_SELECT={work.select or ''}", str(python), str(file), "--quiet", "run"]


def _quiet_prefect(folder: Path) -> dict[str, str]:
    home = folder / ".prefect"
    return {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_MEMO_STORE_PATH": str(home / "memo_store.toml"),
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "300",
        "DO_NOT_TRACK": "1",
    }


def _quiet_dagster(folder: Path) -> dict[str, str]:
    home = folder / ".dagster"
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    return {"DAGSTER_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "1"}


def _quiet_airflow(folder: Path) -> dict[str, str]:
    home = folder / ".airflow"
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__COSMOS__CACHE_DIR": str(home / "cosmos"),
        "AIRFLOW__COSMOS__ENABLE_TELEMETRY": "false",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }


def _own_dbt(_: Path) -> dict[str, str]:
    """metaflow-dbt starts dbt by name."""
    binaries = Path(__file__).parents[1] / "build" / "bench" / "metaflow-dbt" / "bin"
    return {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}


_PREFECT = ("prefect-dbt>=0.7.25,<0.8", "fastapi<0.116")
_COSMOS = ("astronomer-cosmos>=1.15,<1.16", "apache-airflow>=3.3,<3.4")

CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender("dbt", (), _dbt),
        Contender("dbt-flow", (), _dbt_flow),
        Contender("dbt-flow-isolated", (), _dbt_flow_isolated),
        Contender("dbt-flow-reuse", (), _dbt_flow_reuse),
        Contender("metaflow", (), _flow("run_metaflow.py")),
        Contender("metaflow-dbt", ("metaflow-dbt==1.0.7", "metaflow>=2.19,<2.20"), _flow("run_metaflow_dbt.py"), _own_dbt),
        Contender("prefect", _PREFECT, _script("run_prefect.py", "runner"), _quiet_prefect),
        Contender("prefect-nodes", _PREFECT, _script("run_prefect.py", "nodes"), _quiet_prefect, "prefect"),
        Contender("dagster", ("dagster", "dagster-dbt"), _script("run_dagster.py"), _quiet_dagster),
        Contender("cosmos", _COSMOS, _script("run_cosmos.py", "local"), _quiet_airflow),
        Contender("cosmos-watcher", _COSMOS, _script("run_cosmos.py", "watcher"), _quiet_airflow, "cosmos"),
    )
}

ENVIRONMENT = {
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "METAFLOW_USER": os.environ.get("METAFLOW_USER", "bench"),
    "NO_COLOR": "1",
}
"""What every contender gets."""
