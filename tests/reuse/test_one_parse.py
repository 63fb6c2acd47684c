"""A folder of many DAGs costs one parse and one linking for each dbt project, target and set of vars."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from projects import chain

from dbt_flow.pipeline.prepare import check_selections
from dbt_flow.project import parsing
from dbt_flow.project.seams import invocation, selection
from dbt_flow.settings import Flags, load_settings
from dbt_flow.spec import load_fleet


def test_many_dags_parse_and_link_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")
    names = [f"m{number}" for number in range(20)]
    chain(tmp_path, *names)
    (tmp_path / "dags").mkdir()
    for name in names:
        (tmp_path / f"dags/build_{name}.yaml").write_text(f"owner: x\nselect: +{name}\ntests: {{exclude: {name}}}\n")
    (tmp_path / "dags/with_vars.yaml").write_text("owner: x\nselect: m1\nvars: {day: 3}\n")
    (tmp_path / "dags/wrong.yaml").write_text("owner: x\nselect: m1\ntests: {exclude: 'no_such_method:x'}\n")
    asked: list[str] = []
    linked: list[int] = []
    ask, link = invocation.ask, selection.link

    def counting_ask(arguments: Sequence[str], manifest: Any = None) -> Any:
        asked.append(arguments[0])
        return ask(arguments, manifest)

    def counting_link(manifest: Any) -> Any:
        linked.append(1)
        return link(manifest)

    monkeypatch.setattr(parsing.invocation, "ask", counting_ask)
    monkeypatch.setattr(parsing.selection, "link", counting_link)
    settings = load_settings(Flags(root=str(tmp_path), project_dir=str(tmp_path)))
    fleet = load_fleet(settings)
    [error] = check_selections(settings, fleet.dags)
    assert (error.code, error.place and (error.place.file, error.place.line)) == ("dbt-selector", ("dags/wrong.yaml", 3))
    assert asked == ["parse", "parse"], "one for the project, one for the DAG with vars of its own"
    assert len(linked) == 2
