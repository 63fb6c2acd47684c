"""Days cut into chunks, which parameters say them, and when chunks may run side by side."""

from __future__ import annotations

import io
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some
from rich.console import Console
from rich.live import Live

from dbt_flow.cli import main
from dbt_flow.cli.chunk_display import Display
from dbt_flow.errors import InputError
from dbt_flow.plan.planned import Plan
from dbt_flow.plan.side_by_side import hindrance
from dbt_flow.records import Node
from dbt_flow.settings import load_settings
from dbt_flow.spec import Dag, load_dag
from dbt_flow.spec.chunks import Over, cut, over
from dbt_flow.state.backfills import Known


@given(
    some.dates(date(1990, 1, 1), date(2060, 1, 1)),
    some.integers(0, 400),
    some.sampled_from(["1d", "3d", "2w", "1mo", "5mo", "1y", "day", "week", "month", "quarter", "year"]),
)
def test_no_day_is_left_out_and_none_is_in_two_chunks(first: date, more: int, size: str) -> None:
    last = first + timedelta(days=more)
    chunks = cut(first, last, size)
    assert chunks[0].start == first
    assert chunks[-1].end == last + timedelta(days=1)
    assert all(chunk.start < chunk.end for chunk in chunks)
    assert all(before.end == after.start for before, after in pairwise(chunks))


def test_months_are_counted_from_the_first_day() -> None:
    chunks = cut(date(2026, 1, 31), date(2026, 4, 2), "month")
    assert [str(chunk.end) for chunk in chunks] == ["2026-02-28", "2026-03-31", "2026-04-03"]


@pytest.mark.parametrize(
    ("first", "last", "size", "told"),
    [
        ("2026-01-01", "2026-01-02", "2h", "days, weeks, months or years"),
        ("2026-01-01", "2026-01-02", "mont", "did you mean month?"),
        ("2026-01-02", "2026-01-01", "1d", "--from 2026-01-02 is after --to 2026-01-01"),
        ("1926-01-01", "2026-01-01", "1d", "--chunk month"),
    ],
)
def test_what_cannot_be_cut_is_refused_with_what_to_type(first: str, last: str, size: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        cut(date.fromisoformat(first), date.fromisoformat(last), size)
    assert told in str(caught.value)
    assert caught.value.hint


def dag(folder: Path, *names: str) -> Dag:
    (folder / "dags").mkdir(exist_ok=True)
    (folder / "dbt_project.yml").write_text("name: shop\n")
    params = "".join(f"  {name}: {{type: date, default: today}}\n" for name in names)
    (folder / "dags/x.yaml").write_text("owner: me\nselect: a\n" + (f"params:\n{params}" if names else ""))
    return load_dag(load_settings(start=folder, environ={}), "x")


@pytest.mark.parametrize(
    ("names", "said", "found"),
    [
        ((), None, Over()),
        (("as_of",), None, Over("as_of")),
        (("until_day", "from_day"), None, Over("from_day", "until_day")),
        (("start_date", "end_date"), None, Over("start_date", "end_date")),
        (("as_of", "loaded"), "loaded", Over("loaded")),
        (("a", "b"), "b, a", Over("b", "a")),
    ],
)
def test_the_parameters_of_a_chunk_are_found_or_named(
    tmp_path: Path, names: tuple[str, ...], said: str | None, found: Over
) -> None:
    assert over(dag(tmp_path, *names), said) == found


@pytest.mark.parametrize(
    ("names", "said", "told"),
    [
        (("as_of", "loaded"), None, "--over as_of"),
        (("as_of",), "as_off", "did you mean as_of?"),
        ((), "as_of", "params: {as_of: {type: date}}"),
        (("a", "b"), "a,a", "--over START,END"),
    ],
)
def test_what_could_mean_several_is_asked(tmp_path: Path, names: tuple[str, ...], said: str | None, told: str) -> None:
    with pytest.raises(InputError) as caught:
        over(dag(tmp_path, *names), said)
    assert told in str(caught.value)


def plan(*kinds: str, adapter: str = "snowflake") -> Plan:
    nodes = tuple(Node(f"model.x.{kind}", "model", kind, "x", "m.sql", materialized=kind) for kind in kinds)
    nodes += (Node("test.x.t", "test", "t", "x", "m.yml"),)
    return Plan("x", "x", "dev", adapter, nodes, (), (), ())


def test_chunks_run_side_by_side_only_where_none_replaces_what_another_reads() -> None:
    assert hindrance(plan("incremental"), None, with_parameters=True) == ""
    assert hindrance(plan("incremental", "view"), None, with_parameters=False) == ""
    assert "view" in hindrance(plan("incremental", "view"), None, with_parameters=True)
    assert hindrance(plan("incremental", adapter="postgres"), None, with_parameters=True) == ""
    assert "view" in hindrance(plan("incremental", "view", adapter="postgres"), None, with_parameters=False)
    assert "table" in hindrance(plan("incremental", "table"), None, with_parameters=False)
    assert "holds x.duckdb" in hindrance(plan("incremental"), "/data/x.duckdb", with_parameters=False)


def test_a_terminal_shows_how_far_chunks_and_their_nodes_are() -> None:
    out = io.StringIO()
    screen = Console(file=out, force_terminal=True, width=80, color_system=None)
    first, second = cut(date(2026, 1, 1), date(2026, 1, 2), "1d")
    with Live(console=screen, auto_refresh=False) as live:
        display = Display(2, live, screen)
        display.began(first)
        display.heard(first, {"event": "plan", "nodes": [["a", "a", "model"], ["b", "b", "model"]]})
        display.heard(first, {"event": "end"})
        display.tick()
        assert "0/2 chunks" in out.getvalue()
        assert "2026-01-01  1/2 nodes" in out.getvalue()
        display.ended(first, Known("X/1", "failed", "no table", 2.0))
        display.began(second)
        display.tick()
    shown = out.getvalue()
    assert "[1/2] failed    2026-01-01 X/1 2.0s: no table" in shown
    assert "2026-01-02  0/… nodes" in shown
    assert "1/2 chunks" in shown and "left" in shown


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--from", "soon", "--to", "today"), "--from soon is not a date"),
        (("--from", "2026-02-30", "--to", "today"), "--from 2026-02-30 is not a date"),
        (("--from", "yesterday", "--to", "today", "--param", "as_of=2026-01-01"), "each chunk has its own as_of"),
        (("--from", "yesterday", "--to", "today", "--param", "region"), "NAME=VALUE was expected"),
        (("--from", "yesterday", "--to", "today", "--param", "region=x"), 'no parameter "region"'),
    ],
)
def test_a_wrong_call_is_refused_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    dag(tmp_path, "as_of")
    assert main(["--root", str(tmp_path), "backfill", "x", *words]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / ".dbt_flow").exists()
