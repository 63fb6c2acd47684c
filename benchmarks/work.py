"""The works: which project, how large, with what latency, and which part of it."""

from __future__ import annotations

from dataclasses import dataclass

from layers import Shape

_QUICK = ("dbt-flow-reuse", "metaflow", "prefect", "dagster")
_ALL = (*_QUICK, "dbt-flow-isolated", "metaflow-dbt", "prefect-nodes", "cosmos", "cosmos-watcher")


@dataclass(frozen=True)
class Work:
    """One piece of work that contenders do in turn."""

    name: str
    title: str
    shape: Shape
    postgres: bool = False
    select: str | None = None
    also: tuple[str, ...] = ()
    """Who does it beside dbt and dbt-flow: some would take an hour."""
    aim: float | None = None
    """Wall time of dbt-flow over plain ``dbt build`` that we want to stay under."""
    cpu_aim: float | None = None
    """The same of CPU seconds."""


WORKS = {
    work.name: work
    for work in (
        Work("small", "30 nodes, DuckDB", Shape(models=12, layers=4, tests=1.4), also=_ALL, aim=1.25),
        Work("medium", "150 nodes, DuckDB", Shape(models=62, layers=6, tests=1.4), also=_QUICK, aim=1.0),
        Work(
            "latency",
            "107 nodes, a second for each model, PostgreSQL",
            Shape(models=44, layers=6, tests=1.4, latency=1.0, test_latency=0.3),
            True,
            also=_QUICK,
            aim=0.95,
        ),
        Work(
            "uneven",
            "145 nodes, a second for a model on average, 8 threads, PostgreSQL",
            Shape(models=60, layers=6, tests=1.4, latency=1.0, test_latency=0.3, uneven=1.0, narrowing=0.4, threads=8),
            True,
            also=("dbt-flow-reuse", "metaflow"),
            aim=0.95,
        ),
        Work(
            "wide",
            "900 nodes, uneven, 64 threads, PostgreSQL",
            Shape(models=600, layers=4, tests=0.5, latency=3.0, test_latency=1.0, uneven=1.0, narrowing=0.5, threads=64),
            True,
            also=("dbt-flow-reuse",),
            aim=0.85,
        ),
        Work(
            "one",
            "one model of 5,000, DuckDB",
            Shape(models=5000, layers=10, tests=1.4),
            select="raw_numbers m_0003",
            cpu_aim=0.2,
        ),
    )
}
