"""A small fleet to deploy: two DAGs of the tiny shop and an ML flow, with state that a test can look into."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shop import Shop, open_shop

from dbt_flow.deploy.applying import Applying, Done
from dbt_flow.deploy.ledger import Ledger
from dbt_flow.deploy.nouns import Space
from dbt_flow.deploy.planning import DeployPlan, make_plan
from dbt_flow.settings import Settings, load_settings
from dbt_flow.state.store import FolderStore

TRAIN = """from metaflow import FlowSpec, Parameter, project, step, trigger_on_finish


@project(name="shop")
@trigger_on_finish(flow="Nightly")
class Train(FlowSpec):
    rate = Parameter("rate", default=0.1)

    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Train()
"""
NIGHTLY = {
    "owner": "team",
    "select": "totals",
    "trigger": {"schedule": "0 6 * * 1-5"},
    "timezone": "Europe/Berlin",
    "params": {"as_of": {"type": "date", "default": "today"}},
}
CHAINED = {"owner": "team", "select": "report", "trigger": {"after": "nightly"}}


def open_fleet(folder: Path, nightly: dict[str, object] | None = None, chained: dict[str, object] | None = None) -> Shop:
    """Two DAGs with models of their own, and what a deployment elsewhere needs: a database that every task reaches."""
    shop = open_shop(folder, dags={"nightly": nightly or NIGHTLY, "chained": chained or CHAINED})
    (folder / "dags/shop.yaml").unlink()
    profiles = folder / "profiles.yml"
    profiles.write_text(profiles.read_text().replace("dev.duckdb", str(folder / "dev.duckdb")))
    return shop


def with_training(shop: Shop, text: str = TRAIN) -> None:
    """An ML flow in a folder of its own, since all Python files beside it travel with it."""
    (shop.folder / "training").mkdir(exist_ok=True)
    (shop.folder / "training/train.py").write_text(text)
    (shop.folder / "dbt_flow.yml").write_text("project: shop\ndbt_projects: [.]\nflows: [training/train.py]\n")


def change_sql(shop: Shop, model: str, old: str, new: str) -> None:
    """Another SQL in one model."""
    file = shop.folder / f"models/{model}.sql"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


@dataclass
class Deployer:
    """``dbt-flow deploy`` in this process, on a scheduler that is a dictionary."""

    shop: Shop
    scheduler: Any
    """A :class:`stand_in_scheduler.StandInScheduler` where a test looks into it."""
    space: Space

    @property
    def settings(self) -> Settings:
        return load_settings(start=self.shop.folder, environ={})

    @property
    def ledger(self) -> Ledger:
        return Ledger(FolderStore(self.shop.state), self.scheduler.name, self.space)

    def plan(self) -> DeployPlan:
        return make_plan(self.settings, self.scheduler, self.ledger, lambda _: None)

    def actions(self) -> dict[str, str]:
        return {action.name: action.action for action in self.plan().actions}

    def apply(self, saved: dict[str, object] | None = None) -> list[Done]:
        if hasattr(self.scheduler, "did"):
            self.scheduler.did.clear()
        applying = Applying(self.settings, self.scheduler, self.ledger, lambda _: None)
        return applying.run(saved, lambda _: None)[1]

    def lose_state(self) -> None:
        shutil.rmtree(self.shop.state / "deployments", ignore_errors=True)
