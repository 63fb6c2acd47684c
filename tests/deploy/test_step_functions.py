"""What is AWS Step Functions' own: schedules in EventBridge's words, and what it cannot express."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from stands import StepFunctionsStand, step_functions_stand


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StepFunctionsStand]:
    """One DAG, deployed to production."""
    with step_functions_stand(tmp_path_factory.mktemp("stand")) as opened:
        for file in ("dags/chained.yaml", "dbt_flow.yml"):
            (opened.door.shop.folder / file).unlink()
        assert opened.door.apply() == {"nightly": "create"}
        yield opened


def test_a_schedule_in_eventbridges_words_and_in_utc(stand: StepFunctionsStand) -> None:
    [rule] = stand.aws.client("events").list_rules()["Rules"]
    assert (rule["Name"], rule["State"]) == ("shop.prod.Nightly", "ENABLED")
    assert rule["ScheduleExpression"] == "cron(0 21 ? * SUN *)", "half past two on Mondays in India"


def test_what_it_cannot_express_is_refused_with_its_line(stand: StepFunctionsStand) -> None:
    shop = stand.door.shop
    shop.dag("berlin", owner="team", select="totals", trigger={"schedule": "0 6 * * *"}, timezone="Europe/Berlin")
    shop.dag("heard", owner="team", select="totals", trigger={"event": "landed"})
    document = stand.door.run("plan", "--json", code=2).json
    told = {(one["file"], one["line"], one["code"]) for one in document["errors"]}
    assert told == {("dags/berlin.yaml", 5, "not-on-scheduler"), ("dags/heard.yaml", 3, "not-on-scheduler")}
