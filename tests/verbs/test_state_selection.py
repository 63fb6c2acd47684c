"""A DAG that selects by ``state:``, asked about with the whole fleet: what it compares with is its own last good run."""

from __future__ import annotations

import sys
from pathlib import Path

from shop import open_shop


def test_a_fleet_is_validated_with_a_dag_that_compares_with_its_last_run(tmp_path: Path) -> None:
    shop = open_shop(tmp_path / "shop", dags={"changed": {"select": "customers"}})
    try:
        assert shop.run("changed").code == 0
        (shop.folder / "dags" / "shop.yaml").unlink(missing_ok=True)
        shop.dag("changed", select="state:modified")
        (shop.folder / "dbt_flow.yml").touch()
        asked = shop.start(sys.executable, "-m", "dbt_flow", "validate", "--project", "--json").end()
        codes = {error["code"] for error in asked.json["errors"]}
        assert codes == {"selects-nothing"}, asked.stdout + asked.stderr
    finally:
        shop.close()
