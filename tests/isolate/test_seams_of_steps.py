"""What isolated steps use of dbt: hooks that can be left out, and a manifest that another process can read.

When one of these fails after an upgrade of dbt, the message says which change broke it.
"""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from dbt.contracts.results import RunResult
from dbt.task.build import BuildTask
from dbt.task.run import RunTask
from projects import chain

from dbt_flow.project.parsing import parse
from dbt_flow.project.place import DbtProject
from dbt_flow.project.seams.contents import packed, unpacked
from dbt_flow.run.hooks import Hooks, with_hooks

SECRET = "a-value-that-no-file-may-hold"


def test_hooks_are_run_by_a_method_that_can_be_replaced() -> None:
    assert list(inspect.signature(RunTask.safe_run_hooks).parameters) == ["self", "adapter", "hook_type", "extra_context"]
    assert issubclass(BuildTask, RunTask)
    before, after = inspect.getsource(RunTask.before_run), inspect.getsource(RunTask.after_run)
    assert "self.safe_run_hooks" in before, "on-run-start is run elsewhere: it would run in every step"
    assert "self.safe_run_hooks" in after, "on-run-end is run elsewhere: it would run in every step"
    for word in ("results", "schemas", "database_schemas"):
        assert f'"{word}"' in after, f"on-run-end is no longer told of {word}"


def test_a_build_of_nothing_can_still_run_hooks() -> None:
    assert list(inspect.signature(BuildTask.run).parameters) == ["self"]
    assert list(inspect.signature(BuildTask.execute_with_hooks).parameters) == ["self", "selected_uids"]
    assert "_runtime_initialize" in inspect.getsource(BuildTask.run)
    assert with_hooks(BuildTask, Hooks(), alone=True).run is not BuildTask.run


def test_results_of_other_steps_can_be_made() -> None:
    fields = {"status", "timing", "thread_id", "execution_time", "adapter_response", "message", "failures", "node"}
    assert fields <= set(inspect.signature(RunResult).parameters)


def test_a_packed_manifest_is_whole_and_holds_no_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", SECRET)
    folder = chain(tmp_path / "shop", "first", "second")
    (folder / "models" / "third.sql").write_text("{% set here = env_var('SHOP_PASSWORD') %}select 1 as id\n")
    parsed = parse(DbtProject(folder), tmp_path / "cache", tmp_path / "target")
    assert SECRET in parsed.manifest.env_vars.values(), "this test looks at nothing"
    data = packed(parsed.manifest)
    assert SECRET.encode() not in data
    again = unpacked(data)
    for part in ("nodes", "sources", "macros", "exposures", "unit_tests", "docs", "groups"):
        assert set(getattr(again, part)) == set(getattr(parsed.manifest, part)), part
    key = "model.shop.second"
    assert again.nodes[key].to_dict() == parsed.manifest.nodes[key].to_dict()
    assert parsed.manifest.env_vars, "what is packed is a copy"
