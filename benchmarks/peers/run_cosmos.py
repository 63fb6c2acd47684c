"""Cosmos on Airflow: ``run_cosmos.py FOLDER SELECT local|watcher THREADS``.

As fast as their docs say that it can be: dbt in Airflow's environment and called as a library, the graph from a manifest
that is there, tests in their model's task (for the watcher in tasks of their own, which is what it has), no assets, no stored
SQL, no deps, our profiles.yml.

The watcher's tasks run one after the other in this process (``dag.test()``: no scheduler, no server): its first one is a dbt
with threads of its own. So do local tasks with one thread, as on DuckDB, whose file one process holds. With more, Airflow's
LocalExecutor runs that many at a time, each in a fork that has dbt imported, beside the API server that Airflow 3 wants.

Counted: imports, reading the DAG, the run to its end, with an executor also the API server's start. Not counted, as it
is done once, in the cold round: making Airflow's database (SQLite) and the manifest.
"""

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from urllib.request import urlopen

folder, select, mode, threads = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
forks = mode == "local" and threads > 1
binaries = Path(sys.executable).parent
with socket.socket() as knock:
    knock.bind(("127.0.0.1", 0))
    port = int(knock.getsockname()[1])
server = f"http://127.0.0.1:{port}/execution/"

# Airflow reads its settings as it is imported, and so do the processes that it starts.
os.environ |= {
    "AIRFLOW__CORE__DAGS_FOLDER": str(Path(__file__).parent / "cosmos_dags"),
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": server,
    "AIRFLOW__CORE__PARALLELISM": str(threads),
    "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
    "BENCH_PROJECT": str(folder),
    "BENCH_SELECT": select,
    "BENCH_MODE": mode,
}


def make_ready() -> None:
    """Airflow's database and the manifest, where they are not there yet."""
    home = Path(os.environ["AIRFLOW_HOME"])
    home.mkdir(exist_ok=True)
    if not (home / "airflow.db").exists():
        subprocess.run([binaries / "airflow", "db", "migrate"], check=True)
    if not (folder / "target" / "manifest.json").exists():
        subprocess.run([binaries / "dbt", "parse", "--quiet", "--profiles-dir", folder], cwd=folder, check=True)


@contextmanager
def api_server() -> Iterator[None]:
    """Airflow's server for tasks that run in processes of their own."""
    process = subprocess.Popen(
        [binaries / "airflow", "api-server", "--apps", "execution", "--host", "127.0.0.1", "--port", str(port)]
    )
    try:
        until = time.monotonic() + 120
        while time.monotonic() < until and process.poll() is None:
            try:
                urlopen(f"{server}health", timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(60)


def main() -> int:
    """Run the DAG to its end."""
    make_ready()
    from airflow.dag_processing.dagbag import DagBag  # noqa: PLC0415 - it opens the database

    bag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    if bag.import_errors:
        sys.exit("\n".join(bag.import_errors.values()))
    if forks:
        import dbt.cli.main  # noqa: F401, PLC0415 - so that the forks need not
    with api_server() if forks else nullcontext():
        run = bag.dags["project"].test(use_executor=forks)
    return 0 if run.state == "success" else 1


if __name__ == "__main__":
    sys.exit(main())
