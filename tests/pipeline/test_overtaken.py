"""A retry, while other runs have built the same tables since: what they left is not taken for what the earlier run had good."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from shop import Ran, Shop, open_shop

DAY = {
    "select": "+report +after_flaky",
    "exclude": "test_type:unit test_name:relationships",
    "params": {"as_of": {"type": "date", "default": "today"}},
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    opened = open_shop(tmp_path_factory.mktemp("shop"), dags={"day": DAY, "other": {"select": "stg_customers"}})
    project = (opened.folder / "dbt_project.yml").read_text()
    (opened.folder / "dbt_project.yml").write_text(project.partition("on-run-start")[0])
    yield opened
    opened.close()


def day(shop: Shop, as_of: str, *words: str, fail: bool = False) -> Ran:
    shop.control("flaky", fail=fail)
    ran = shop.run("day", "--param", f"as_of={as_of}", *words)
    shop.control("flaky")
    assert ran.code == int(fail), ran.stderr
    return ran


def retry(shop: Shop, run: str) -> Ran:
    return shop.start(sys.executable, "-m", "dbt_flow", "retry", run, "--json").end()


def reasons(shop: Shop, run: str) -> dict[str, str]:
    return {one["id"].split(".")[2]: f"{one['decision']}: {one['reason']}" for one in shop.kept(run, "decisions-0.json")}


def report(shop: Shop) -> set[Any]:
    return {row[0] for row in shop.query("select as_of from report")}


def header(shop: Shop, run: str) -> dict[str, Any]:
    line: dict[str, Any] = json.loads((shop.run_folder(run) / "attempt-0.jsonl").read_text().splitlines()[0])
    return line


def test_what_another_day_has_built_since_is_built_again(shop: Shop) -> None:
    first = day(shop, "2026-11-02", fail=True)
    assert first.statuses["report"] == "success"
    second = day(shop, "2026-11-03")
    assert report(shop) == {"2026-11-03"}
    again = retry(shop, first.json["run"])
    assert (again.code, again.json["status"]) == (0, "success"), again.stderr
    assert again.statuses["report"] == "success"
    assert report(shop) == {"2026-11-02"}
    why = reasons(shop, again.json["run"])
    assert why["report"] == f"run: {second.json['run']} has built it since, with as_of=2026-11-03"
    assert why["flaky"] == f"run: failed in {first.json['run']}"

    # A run that was good, and of which nothing is left, is not told as good once more.
    refused = retry(shop, second.json["run"])
    assert refused.code == 2
    assert "was good and is so no longer" in refused.stderr
    assert "dbt-flow run day --param as_of=2026-11-03" in refused.stderr


def test_what_the_same_day_has_built_since_is_taken_over_when_it_is_good(shop: Shop) -> None:
    span = ("--event-time-start", "2026-11-01", "--event-time-end", "2026-11-02")
    first = day(shop, "2026-11-06", *span, fail=True)
    second = day(shop, "2026-11-06", *span, fail=True)
    other = shop.run("other")  # no parameters at all, and it builds one of them
    again = retry(shop, first.json["run"])
    assert (again.code, again.json["status"]) == (0, "success"), again.stderr
    why = reasons(shop, again.json["run"])
    assert why["clean_orders"] == f"skip: good in {first.json['run']}"
    assert (
        why["stg_customers"]
        == f"run: {other.json['run']} has built it since, with no as_of, no event_time_end, no event_time_start"
    )
    assert why["report"] == "run: depends on stg_customers, which runs again"
    assert why["flaky"].startswith("run: failed in")
    assert header(shop, again.json["run"])["options"] == header(shop, second.json["run"])["options"]
    assert header(shop, again.json["run"])["options"]["event_time_start"] == "2026-11-01"


def test_what_the_same_day_has_found_bad_since_is_not_good(shop: Shop) -> None:
    orders = shop.folder / "seeds/orders.csv"
    kept = orders.read_text()
    first = day(shop, "2026-11-08", fail=True)
    orders.write_text(kept + "9,1,\n")
    shop.run("day", "--param", "as_of=2026-11-08")
    again = retry(shop, first.json["run"])
    orders.write_text(kept)
    assert again.code == 1, "the test that fails by now fails the retry"
    assert again.statuses["not_null_clean_orders_amount"] == "fail"
    assert again.statuses["totals"] == "skipped"
