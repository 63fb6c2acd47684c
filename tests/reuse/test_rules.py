"""The rules of docs/reuse.md on one small project, edit by edit, with the reasons."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from yard import Yard

from dbt_flow.plan.planned import Decision
from dbt_flow.project import stamps

ALWAYS = {"strange", "over_strange", "piling"}
"""One reads what dbt does not know, one stands on it, one adds rows each time."""


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    """A project that has run until nothing changes any more."""
    patch = pytest.MonkeyPatch()
    patch.setenv("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")
    yard = Yard(tmp_path_factory.mktemp("yard"))
    for _ in range(3):
        yard.reusing()
    yield yard
    patch.undo()


def runs(decided: dict[str, Decision]) -> set[str]:
    return {name for name, each in decided.items() if each.decision == "run"}


def settle(yard: Yard) -> None:
    for _ in range(3):
        if runs(yard.reusing()) == ALWAYS:
            return
    raise AssertionError("it does not come to rest")


def test_when_nothing_changed_nothing_runs_but_what_may_have(settled: Yard) -> None:
    decided = settled.reusing()
    assert runs(decided) == ALWAYS
    assert decided["strange"].reason == "never reused: it reads outside.loose, which dbt knows nothing of"
    assert decided["over_strange"].reason == "depends on strange, which runs"
    assert decided["piling"].reason == "it reads what it builds, and no run has yet been seen to change nothing"
    assert decided["top"].reason.startswith("unchanged since Yard/")


def test_each_edit_has_its_reason(settled: Yard) -> None:
    yard = settled
    yard.macros["LATER"] = 1  # used where parsing does not enter
    yard.macros["QUIET"] = 3  # found by dispatch
    yard.macros["UNUSED"] = 9
    yard.vars["label"] = 5
    yard.sql("insert into raw.b values (900, 1)")
    yard.write()
    decided = yard.reusing()
    assert decided["slowly"].reason == "a macro that it uses changed"
    assert decided["codes_now"].reason == "a macro that it uses changed"
    assert decided["later"].reason == "a var that it reads changed"
    assert decided["facts"].reason == "raw.b changed"
    assert decided["growing"].reason == "raw.b changed"
    assert decided["beside"].reason == "depends on codes_now, which runs"
    assert decided["stage_a"].decision == decided["codes"].decision == "reuse"
    settle(yard)
    yard.codes[1] += 1
    yard.kinds["stage_a"] = "table"
    yard.write()
    yard.sql("alter table raw.a add column more int")
    yard.sql("update main.top set id = id + 1 where id = 1")
    yard.sql("drop view main.over_strange; drop table main.beside")
    decided = yard.reusing()
    assert decided["codes"].reason == "its code changed"
    assert decided["stage_a"].reason == "its code changed", "its config stands in it"
    assert decided["top"].reason.startswith("depends on ")
    settle(yard)
    yard.kinds.clear()
    yard.write()
    settle(yard)


def test_what_somebody_else_built_is_noticed(settled: Yard) -> None:
    yard = settled
    yard.sql("update main.top set id = -1 where id = (select max(id) from main.top)")
    yard.sql("drop table main.beside")
    decided = yard.both()
    assert decided["top"].reason == "its relation is not as this project's runs left it"
    assert decided["beside"].reason == "its relation is not there"
    assert decided["facts"].decision == "reuse"
    before = yard.macros["BUMP"]
    yard.macros["BUMP"] = before + 7
    yard.write()
    yard.dbt("run", "--select", "stage_a")  # a view: its rows look the same from outside, its SQL does not
    yard.macros["BUMP"] = before
    yard.write()
    decided = yard.both("stage_a facts")
    assert decided["stage_a"].reason == "its relation is not as this project's runs left it"
    decided = yard.both("facts")
    assert decided["facts"].decision == "reuse"
    settle(yard)


def test_a_view_of_another_dag_is_seen_through_only_as_it_was_built(settled: Yard) -> None:
    yard = settled
    yard.macros["BUMP"] += 1
    yard.write()
    yard.dbt("run", "--select", "stage_a")
    decided = yard.both("facts", dag="another")
    assert decided["facts"].reason == "the code of a view or an ephemeral model that it stands on changed"
    assert yard.both("facts", dag="another")["facts"].decision == "reuse"
    settle(yard)


def test_what_turns_it_off(settled: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    decided = settled.reusing("codes+", no_reuse="1")
    assert {each.reason for each in decided.values()} == {"nothing is reused: --no-reuse"}
    with monkeypatch.context() as patch:
        patch.setenv("DBT_FULL_REFRESH", "1")
        decided = settled.reusing("codes+")
        assert {each.reason for each in decided.values()} == {"nothing is reused: dbt's flag FULL_REFRESH is set"}
    assert runs(settled.reusing("codes+")) == set()


def test_without_a_digest_a_table_is_in_doubt_and_loaded_at_is_believed(settled: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the adapter cannot tell: tables too large to be read for a stamp."""
    yard = settled
    monkeypatch.setattr(stamps, "MOST_ROWS", -1)
    decided = yard.reusing("growing beside")
    assert decided["growing"].reason == "nothing tells whether the rows of raw.b changed"
    assert decided["beside"].reason == "nothing tells whether the rows of codes_now changed"
    schema = yard.folder / "models/all.yml"
    text = schema.read_text()
    schema.write_text(
        text.replace("{name: b}", "{name: b, loaded_at_field: 'cast(timestamp ''2026-01-01'' + to_days(value) as timestamp)'}")
    )
    yard.reusing("growing")
    assert yard.reusing("growing")["growing"].reason == "nothing tells whether somebody else has changed what it built"
    yard.sql("update raw.b set value = value + 100 where id = 1")
    assert yard.reusing("growing")["growing"].reason == "raw.b changed"
    schema.write_text(text)


def test_hooks_run_alone_when_nothing_else_does(settled: Yard) -> None:
    yard = settled
    yard.hooks = ["create or replace table outside.hooked as select coalesce(max(n), 0) + 1 as n from (select 1 as n)"]
    yard.hooks += ["insert into outside.hooked values (2)"]
    yard.write()
    assert runs(yard.reusing("codes")) == {"codes"}, "a hook is part of every key"
    yard.sql("drop table outside.hooked")
    assert runs(yard.reusing("codes")) == set()
    with yard.database() as open_:
        assert open_.execute("select count(*) from outside.hooked").fetchall() == [(2,)]
    yard.hooks = []
    yard.write()
