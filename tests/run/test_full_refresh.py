"""``dbt-flow run --full-refresh``: dbt's own flag, in one dbt and in steps of their own."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from shop import Shop, open_shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    dags = {"growing": {"select": "growing"}, "apart": {"select": "growing", "isolate": "growing"}}
    opened = open_shop(tmp_path_factory.mktemp("shop"), dags=dags)
    sql = "{{ config(materialized='incremental') }} select 1 as grown {{ env_var('GROWING_FROM', '') }}"
    (opened.folder / "models" / "growing.sql").write_text(sql, encoding="utf-8")
    yield opened
    opened.close()


@pytest.mark.parametrize("dag", ["growing", "apart"])
def test_an_incremental_model_is_made_anew(shop: Shop, dag: str) -> None:
    rows = []
    for words in (("--full-refresh",), (), (), ("--full-refresh",)):
        ran = shop.run(dag, *words)
        assert ran.code == 0, ran.stderr
        rows.append(len(shop.query("select * from growing")))
    assert rows == [1, 2, 3, 1]


def test_a_retry_makes_it_anew_too_and_nothing_is_reused(shop: Shop) -> None:
    shop.dag("careful", select="growing", reuse="unchanged")
    assert shop.run("careful").code == 0
    failed = shop.run("careful", "--full-refresh", env={"GROWING_FROM": "from nowhere"})
    assert failed.code == 1
    [decision] = shop.kept(failed.json["run"], "decisions-0.json")
    assert decision["reason"] == "nothing is reused: dbt's flag FULL_REFRESH is set"
    again = shop.start(sys.executable, "-m", "dbt_flow", "retry", failed.json["run"], "--json").end()
    assert again.code == 0, again.stderr
    assert len(shop.query("select * from growing")) == 1
