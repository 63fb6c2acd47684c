"""``retries:`` and ``resume``: what is good is not built again, and the whole is told as one run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from shop import Ran, Shop, open_shop, short


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    few = {"select": "+after_flaky +after_slow", "exclude": "test_name:relationships"}
    opened = open_shop(tmp_path_factory.mktemp("shop"), dags={"twice": {**few, "retries": 1}, "once": few})
    yield opened
    opened.close()


def ended(shop: Shop, run: str, attempt: int) -> dict[str, str]:
    """What an attempt's own log says."""
    lines = [json.loads(line) for line in (shop.run_folder(run) / f"attempt-{attempt}.jsonl").read_text().splitlines()]
    return {short(line["end"]["id"]): line["end"]["status"] for line in lines if "end" in line}


def audit(shop: Shop) -> list[tuple[str, str]]:
    """The hooks that ran: what and in which call of dbt."""
    return shop.query("select what, run from audit")


FIRST = {"customers": "success", "stg_customers": "success", "slow": "success", "after_slow": "success"}
FIRST |= {"unique_stg_customers_id": "pass", "not_null_stg_customers_name": "pass"}


def test_a_second_attempt_builds_what_the_first_did_not(shop: Shop) -> None:
    shop.control("flaky", fail=True)
    started = shop.start(*shop.command("twice"))
    started.until(lambda: "begins in" in started.stderr)  # the wait before the second attempt
    shop.control("flaky")
    ran = started.end()
    assert (ran.code, ran.json["status"]) == (0, "success"), ran.stderr
    assert ran.json["counts"] == {"success": 6, "pass": 2}
    run = ran.json["run"]
    assert ended(shop, run, 0) == {**FIRST, "flaky": "error", "after_flaky": "skipped"}
    assert ended(shop, run, 1) == {"flaky": "success", "after_flaky": "success"}
    hooks = audit(shop)
    assert [what for what, _ in hooks] == ["start", "end", "start", "end"], "hooks run once per attempt"
    assert len({call for _, call in hooks}) == 2
    result = shop.kept(run, "result.json")
    assert {short(node["id"]): node["attempt"] for node in result["nodes"]} == {
        **dict.fromkeys(FIRST, 0),
        "flaky": 1,
        "after_flaky": 1,
    }
    written = [
        entry for entry in shop.kept(run, "run_results.json")["results"] if not entry["unique_id"].startswith("operation.")
    ]
    assert {short(entry["unique_id"]): entry["status"] for entry in written} == ran.statuses
    assert len(written) == 8, "every planned node once"
    assert shop.told_by_metaflow(run)[run]["successful"]


@pytest.fixture(scope="module")
def failed(shop: Shop) -> Ran:
    shop.control("flaky", fail=True)
    ran = shop.run("once")
    shop.control("flaky")
    assert ran.code == 1
    return ran


def resume(shop: Shop, dag: str, number: str) -> tuple[int, str, dict[str, Any]]:
    """Metaflow's own ``resume``, and the record of the run that it made."""
    done = shop.start(*shop.metaflow(dag, "resume", "--origin-run-id", number, "--run-id-file", "resumed")).end()
    new = (shop.folder / "resumed").read_text().strip()
    return done.code, new, shop.kept(new, "result.json")


def test_resume_follows_a_failed_run(shop: Shop, failed: Ran) -> None:
    code, new, result = resume(shop, "once", failed.json["run"].partition("/")[2])
    assert code == 0
    assert result["status"] == "success"
    assert result["follows"] == failed.json["run"]
    assert ended(shop, new, 0) == {"flaky": "success", "after_flaky": "success"}
    reused = {short(node["id"]): node["reason"] for node in result["nodes"] if node["status"] == "reused"}
    assert set(reused) == set(FIRST)
    assert all(failed.json["run"] in reason for reason in reused.values())
    facts = shop.told_by_metaflow(f"Once/{new}")[f"Once/{new}"]
    assert facts["successful"]
    assert {"dag:once", "owner:shopkeepers"} <= set(facts["tags"]), "resume tags as run does"

    hooks = len(audit(shop))
    good_again = resume(shop, "once", new)  # there is nothing left to do
    assert good_again[0] == 0
    assert good_again[2]["status"] == "success", good_again[2]["reason"]
    assert {node["status"] for node in good_again[2]["nodes"]} == {"reused"}
    assert len(audit(shop)) == hooks, "dbt was not called"


def test_resume_after_everything_was_killed(shop: Shop) -> None:
    shop.control("slow", sleep=60)
    started = shop.start(*shop.command("once"))
    built = started.builds("slow", "once")
    started.until(lambda: len(built.ended()) == 6)
    for process in (started.process, built.launcher, built.step):
        process.kill()
    started.end()
    assert shop.none_left() == []
    shop.control("slow")
    code, new, result = resume(shop, "once", built.folder.name)
    assert code == 0
    assert result["status"] == "success"
    assert ended(shop, new, 0) == {"slow": "success", "after_slow": "success"}
    assert sum(node["status"] == "reused" for node in result["nodes"]) == 6


def test_a_retry_that_is_refused_keeps_what_the_first_attempt_told(shop: Shop) -> None:
    shop.control("flaky", fail=True)
    started = shop.start(*shop.command("twice"))
    started.until(lambda: "begins in" in started.stderr)
    broken = shop.folder / "models/broken.sql"
    broken.write_text("select * from {{ ref('nothing_of_that_name') }}")
    ran = started.end()
    broken.unlink()
    shop.control("flaky")
    assert ran.code == 1, "the run took place, and failed"
    assert ran.json["status"] == "failed"
    assert ran.json["target"] == "dev"
    assert {**ran.statuses, "after_flaky": "skipped"} == {**FIRST, "flaky": "error", "after_flaky": "skipped"}
    assert "nothing_of_that_name" in ran.json["reason"]
    assert len(list(shop.state.glob(f"runs/*/*/{ran.json['run'].partition('/')[2]}"))) == 1, "one record of the run"
