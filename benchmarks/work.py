"""The works: which project, how large, with what latency, and which part of it."""

from __future__ import annotations

from dataclasses import dataclass

from layers import Shape


@dataclass(frozen=True)
class Work:
    """One piece of work that contenders do in turn."""

    name: str
    title: str
    shape: Shape
    postgres: bool = False
    select: str | None = None
    peers: bool = False
    """Whether the peers, which take many times as long, do it too."""
    aim: float | None = None
    """Wall time of dbt-flow over plain ``dbt build`` that we want to stay under."""


WORKS = {
    work.name: work
    for work in (
        Work("small", "30 nodes, DuckDB", Shape(models=12, layers=4, tests=1.4), peers=True, aim=1.25),
        Work("medium", "150 nodes, DuckDB", Shape(models=62, layers=6, tests=1.4), aim=1.0),
        Work(
            "latency",
            "107 nodes, a second for each model, PostgreSQL",
            Shape(models=44, layers=6, tests=1.4, latency=1.0, test_latency=0.3),
            True,
            aim=0.95,
        ),
        Work(
            "uneven",
            "145 nodes, a second for a model on average, 8 threads, PostgreSQL",
            Shape(models=60, layers=6, tests=1.4, latency=1.0, test_latency=0.3, uneven=1.0, narrowing=0.4, threads=8),
            True,
            aim=0.95,
        ),
        Work(
            "wide",
            "900 nodes, uneven, 64 threads, PostgreSQL",
            Shape(models=600, layers=4, tests=0.5, latency=3.0, test_latency=1.0, uneven=1.0, narrowing=0.5, threads=64),
            True,
            aim=0.85,
        ),
        Work("one", "one model of 5,000, DuckDB", Shape(models=5000, layers=10, tests=1.4), select="raw_numbers m_0003"),
    )
}
