"""What a card and the terminal say to type is typed, in a shell, at a root whose dbt project is a folder in it."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from pathlib import Path

from shop import Shop, open_shop


def test_the_command_reproduces_the_failure(tmp_path: Path) -> None:
    shop = open_shop(tmp_path / "the warehouse", bad=("amount",))
    (tmp_path / "dbt_flow.yml").write_text("dbt_projects: [the warehouse]\nowners: {shopkeepers: {}}\n")
    (shop.folder / "dags").rename(tmp_path / "dags")
    shop.dag(
        "shop", select="+clean_orders", exclude="test_name:relationships", params={"day": {"type": "date", "default": "today"}}
    )
    (tmp_path / "dags/shop.yaml").write_text((shop.folder / "dags/shop.yaml").read_text())
    ran = flow(shop, tmp_path, "run", "shop")
    assert ran.returncode == 1, ran.stderr
    assert "failing since this run" in ran.stdout
    again = flow(shop, tmp_path, "run", "shop")
    assert re.search(r"failing since 20\d\d-\d\d-\d\d \d\d:\d\d UTC", again.stdout), again.stdout
    (card,) = re.findall(r"Card: (.*)", again.stdout)
    page = html.unescape((tmp_path / card).read_text())
    (command,) = set(re.findall(r"cd '[^<]*dbt build [^<]*", page))
    assert command.startswith("cd 'the warehouse' && dbt build --select not_null_clean_orders_amount --target dev")
    assert "--vars" in command
    environ = shop.environment({"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"})
    typed = subprocess.run(["/bin/sh", "-c", command], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert typed.returncode == 1, typed.stdout + typed.stderr
    assert "Got 1 result, configured to fail if != 0" in typed.stdout
    (retry,) = set(re.findall(r"next: (dbt-flow retry .*)", again.stdout))
    assert flow(shop, tmp_path, *retry.split()[1:]).returncode == 1
    shop.close()


def flow(shop: Shop, root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dbt_flow", *words]
    return subprocess.run(command, cwd=root, env=shop.environment(), capture_output=True, text=True, check=False)
