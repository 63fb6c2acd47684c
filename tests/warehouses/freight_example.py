"""A copy of the example with its DAG files, loaded and built on a server: the same for PostgreSQL and Snowflake."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shop import Ran, Shop, Started

ROOT = Path(__file__).parents[2]
DAGS = ("carrier_reference", "carrier_safety", "carrier_risk")
_LEFT_OUT = shutil.ignore_patterns("target", "logs", "*.duckdb*", ".*", "__pycache__")


@dataclass
class Example:
    """The example in a shop's folder, with a target of its profile and the variables that lead there."""

    shop: Shop
    target: str
    env: Mapping[str, str]

    def start(self, *words: str) -> Started:
        """Python, in its folder."""
        return self.shop.start(sys.executable, *words, env=self.env)

    def load(self, *words: str) -> Ran:
        """The raw data, few rows of it; ``--break`` with faults."""
        given = ("--target", self.target, "--scale", "0.02", "--as-of", "2026-11-20")
        return self.start("dbt_project/raw_data/generate.py", *given, *words).end()

    def run(self, dag: str, *words: str) -> Ran:
        """``dbt-flow run``, to its end."""
        return self.start("-m", "dbt_flow", "run", dag, "--target", self.target, "--json", *words).end()

    def dbt_build(self, *words: str) -> dict[str, str]:
        """Plain dbt, statuses by id."""
        where = {"project-dir": "dbt_project", "profiles-dir": "dbt_project", "target-path": str(self.shop.folder / "target")}
        there = [f"--{name}={value}" for name, value in where.items()] + [f"--target={self.target}"]
        return self.shop.dbt_build(*there, *words, env=self.env)


def example_in(folder: Path, target: str, env: Mapping[str, str]) -> Example:
    """Copy it into a folder."""
    for part in ("dbt_project", "dags"):
        shutil.copytree(ROOT / part, folder / part, ignore=_LEFT_OUT)
    shutil.copy(ROOT / "dbt_flow.yml", folder)
    return Example(Shop(folder), target, env)


def statuses(*runs: Ran) -> dict[str, str]:
    """Of the nodes of all of them, by id."""
    return {node["id"]: node["status"] for ran in runs for node in ran.json["nodes"]}
