"""Who waits for whom: reading what another is still building, circles, and DAGs that nothing starts."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from lint_ground import DAGS, Ground

from dbt_flow.plan.lint.landscape import Landscape, Waiter
from dbt_flow.records import utc_moment

AT_SEVEN = 'owner: data\ntrigger: {schedule: "0 7 * * *"}\nselect: report\n'


def test_reading_without_waiting(ground: Ground) -> None:
    ground.dag("report", AT_SEVEN)
    found = ground.only("reads-without-waiting")
    assert (found["file"], found["line"], found["severity"]) == ("dags/report.yaml", 2, "error")
    assert found["message"] == (
        "report reads facts, which facts builds, and does not wait for it: it starts every day at 07:00 UTC"
    )


@pytest.mark.parametrize(
    ("trigger", "waits"),
    [
        ("{after: facts}", True),
        ("{after: [base, facts]}", True),
        ("{after: {any: [facts]}}", True),
        ("{after: {any: [base, facts]}}", False),
        ("{after: base}", False),
        ("{event: landed}", False),
        ("none", True),
    ],
)
def test_what_waits_and_what_does_not(ground: Ground, trigger: str, waits: bool) -> None:
    ground.dag("report", f"owner: data\ntrigger: {trigger}\nselect: report\n")
    assert ground.codes() == ([] if waits else ["reads-without-waiting"])


def test_waiting_through_another_is_waiting(ground: Ground) -> None:
    ground.dbt("models/report.sql", "select id, value from {{ ref('base') }}\n")
    assert ground.findings() == []


def test_reading_through_an_ephemeral_is_reading(ground: Ground) -> None:
    ground.dbt("models/facts_of_today.sql", "{{ config(materialized='ephemeral') }}\nselect * from {{ ref('facts') }}\n")
    ground.dbt("models/report.sql", "select id, value from {{ ref('facts_of_today') }}\n")
    ground.dag("report", AT_SEVEN)
    assert "report reads facts" in ground.only("reads-without-waiting")["message"]


def test_a_source_over_another_dags_table_is_that_table(ground: Ground) -> None:
    ground.dbt("models/sources.yml", "sources: [{name: made, database: shop, schema: main, tables: [{name: facts}]}]\n")
    ground.dbt("models/report.sql", "select id, value from {{ source('made', 'facts') }}\n")
    ground.dag("report", AT_SEVEN)
    assert "report reads made.facts, which facts builds" in ground.only("reads-without-waiting")["message"]


def test_a_test_that_reads_another_dags_table_reads_it(ground: Ground) -> None:
    ground.dbt("tests/same.sql", "select 1 from {{ ref('base') }}, {{ ref('report') }} where 1 = 0\n")
    ground.dag("base", DAGS["base"].replace("numbers base", "numbers base same"))
    found = ground.only("reads-without-waiting")
    assert "base reads report, which report builds, and report waits for base" in found["message"]
    assert "move report" in found["fix"]


def test_a_circle_is_one_finding(ground: Ground) -> None:
    ground.dag("base", "owner: data\ntrigger: {after: report}\nselect: numbers base\n")
    found = ground.only("trigger-circle")
    assert found["message"] == "a circle: base waits for report, which waits for facts, which waits for base"
    assert (found["file"], found["line"]) == ("dags/base.yaml", 2)


def test_a_dag_that_waits_for_itself(ground: Ground) -> None:
    ground.dag("report", "owner: data\ntrigger: {after: [facts, report]}\nselect: report\n")
    assert ground.only("trigger-circle")["message"] == "report waits for itself"


def test_a_dag_that_nothing_starts(ground: Ground) -> None:
    ground.dag("base", "owner: data\nselect: numbers base\n")
    assert ground.only("never-starts")["message"] == "nothing starts base: it has no trigger"
    ground.dag("base", "owner: data\ntrigger: none\nselect: numbers base\n")
    assert ground.findings() == []


def test_one_finding_for_a_dag_that_reads_from_many_and_what_is_enough_to_wait_for(ground: Ground) -> None:
    ground.dbt("models/report.sql", "select f.id, b.value from {{ ref('facts') }} f, {{ ref('base') }} b\n")
    ground.dag("report", AT_SEVEN)
    found = ground.only("reads-without-waiting")
    assert "report reads base of base; facts of facts; and waits for none of them" in found["message"]
    assert found["fix"].startswith("write trigger: {after: facts},"), "facts waits for base"


FLOW = """
from metaflow import FlowSpec, project, schedule, step, trigger_on_finish

@project(name="shop")
START
class Train(FlowSpec):
    @step
    def start(self):
        self.next(self.end)
    @step
    def end(self):
        pass
if __name__ == "__main__":
    Train()
"""


def test_an_ml_flow_waits_and_is_waited_for(ground: Ground) -> None:
    ground.put("dbt_flow.yml", ground.text("dbt_flow.yml") + "flows: [train.py]\n")
    ground.put("train.py", FLOW.replace("START", '@trigger_on_finish(flow="Facts")'))
    ground.dag("report", "owner: data\ntrigger: {after: Train}\nselect: report\n")
    assert ground.findings() == [], "report waits for facts through the flow"
    ground.dag("facts", "owner: data\ntrigger: {after: [base, report]}\nselect: facts\n")
    assert "facts waits for report, which waits for Train" in ground.only("trigger-circle")["message"]
    ground.put("train.py", FLOW.replace("START", '@trigger_on_finish(flow="Fact")'))
    ground.dag("facts", DAGS["facts"])
    assert [(one["code"], one["file"]) for one in ground.findings()] == [
        ("reads-without-waiting", "dags/report.yaml"),
        ("never-starts", "train.py"),
    ]


def test_a_schedule_that_follows_an_ml_flows_schedule_becomes_after(ground: Ground) -> None:
    """As in the example, whose chain begins with the ingestion of files."""
    ground.put("dbt_flow.yml", ground.text("dbt_flow.yml") + "flows: [train.py]\n")
    ground.put("train.py", FLOW.replace("START", '@schedule(cron="30 5 * * ? *", timezone="America/Chicago")'))
    ground.dag("base", "owner: data\ntrigger: {after: Train}\nselect: numbers base\n")
    ground.dag("report", AT_SEVEN.replace("owner: data", "owner: data\ntimezone: America/Chicago"))
    assert ground.run("--fix")[0] == 0
    assert "trigger: {after: facts}" in ground.text("dags/report.yaml")


def land(*waiters: tuple[str, Iterable[str], bool]) -> Landscape:
    known = {name: Waiter(name, tuple(waits), any_of) for name, waits, any_of in waiters}
    return Landscape((), (), utc_moment("2026-11-22T00:00:00Z"), known)


def test_what_is_sure_to_have_ended() -> None:
    sure = land(
        ("a", (), False), ("b", ("a",), False), ("c", ("a",), False), ("d", ("b", "c"), True), ("e", ("d", "c"), False)
    ).sure
    assert sure["d"] == {"a"}, "either b or c, and a before both"
    assert sure["e"] == {"a", "c", "d"}


def test_a_chain_of_thousands_is_followed_to_its_end() -> None:
    sure = land(*((f"n{i}", (f"n{i - 1}",) if i else (), False) for i in range(3000))).sure
    assert len(sure["n2999"]) == 2999
