"""Where a warehouse can show what was, a table that was built anew is read as of when the run chose it; else it is refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from written_receipts import receipt

from dbt_flow.errors import DbtFlowError, InputError
from dbt_flow.ml import readers
from dbt_flow.ml.reading import Ask, CannotTravel, Found, Place
from dbt_flow.ml.receipts import Receipts, _choose
from dbt_flow.plan.needs import Contract
from dbt_flow.records import utc_text
from dbt_flow.state.store import FolderStore

pytest.importorskip("pandas")


@dataclass
class TimeMachine:
    """A warehouse that keeps every table as it was, until it is told to forget. A reader, and its ``open``."""

    forgets: bool = False
    rows: int = 3
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    @contextmanager
    def opened(self, place: Place) -> Iterator[TimeMachine]:
        assert place.adapter == "machine" and place.project.target == "dev" and "(reads a)" in place.who
        yield self

    def now(self) -> str:
        return "noon"

    def read(self, ask: Ask, as_of: str | None = None) -> Found:
        if as_of is not None and self.forgets:
            raise CannotTravel("it keeps nothing of it")
        table = f"{ask.relation} at {as_of}" if as_of else None
        self.asked.append((ask.sql(table), as_of))
        return Found(3 if as_of else self.rows, as_of or "now")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> TimeMachine:
    found = TimeMachine()
    monkeypatch.setattr(readers, "READERS", {**readers.READERS, "machine": found.opened})
    monkeypatch.setattr("dbt_flow.ml.receipts.TRAVELLERS", frozenset({"machine"}))
    return found


def built(root: Path, number: str) -> None:
    receipt(root, "one", {"a": []}, {}, number=number, at=utc_text(time.time()), adapter="machine")


def chosen(root: Path, contract: Contract) -> Receipts:
    """As a flow's run chooses, in the run ``Train/1``."""
    store = FolderStore(root / ".dbt_flow")
    pinned = {"by": "Train/1", **_choose(store, contract, "Train/1")}
    pinned["moment"] = Receipts(store, contract, pinned).moment()
    return Receipts(store, contract, pinned)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "dbt_project.yml").write_text("name: s\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_as_of_when_it_was_chosen(root: Path, machine: TimeMachine) -> None:
    built(root, "1")
    receipts = chosen(root, Contract(tables=("a",)))
    assert receipts.pandas("a", "select x from {table}") == "now"
    machine.rows = 4
    # Somebody else's rows, without a run: the table as of then is what the run built.
    assert receipts.pandas("a") == "noon"
    machine.rows = 3
    built(root, "2")
    assert receipts.pandas("a", "select x from {table}") == "noon"
    assert machine.asked[-1] == ("select x from main.a at noon", "noon")
    machine.forgets = True
    with pytest.raises(DbtFlowError, match=r"built anew by One/2.*; it keeps nothing of it") as caught:
        receipts.pandas("a")
    assert caught.value.code == "table-changed"


def test_what_is_too_old_is_not_read_as_of_then_either(
    root: Path, machine: TimeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    built(root, "1")
    receipts = chosen(root, Contract(tables=("a",), max_age=3600))
    later = time.time() + 7200
    monkeypatch.setattr("dbt_flow.ml.receipts.time", SimpleNamespace(time=lambda: later))
    built(root, "2")
    with pytest.raises(DbtFlowError, match="older than") as caught:
        receipts.pandas("a")
    assert caught.value.code == "needs-not-met"


def test_where_nothing_is_kept_a_changed_table_is_refused(
    root: Path, machine: TimeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dbt_flow.ml.receipts.TRAVELLERS", frozenset())
    built(root, "1")
    receipts = chosen(root, Contract(tables=("a",)))
    built(root, "2")
    with pytest.raises(DbtFlowError, match="was built anew by One/2 since this run chose One/1") as caught:
        receipts.pandas("a")
    assert caught.value.code == "table-changed" and machine.asked == []


def test_what_is_built_anew_while_it_is_read_is_refused(root: Path, machine: TimeMachine) -> None:
    built(root, "1")
    receipts = chosen(root, Contract(tables=("a",)))
    with pytest.raises(DbtFlowError, match="was built anew by One/2") as caught, receipts.reading("a"):
        built(root, "2")
    assert caught.value.code == "table-changed"


def test_a_run_chooses_once_and_one_that_resumes_it_chooses_anew(
    root: Path, machine: TimeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow, contract = SimpleNamespace(), Contract(tables=("a",))

    def run_read(number: str) -> str:
        """From which run this one, in any of its steps, takes the table."""
        told = SimpleNamespace(flow_name="Train", run_id=number, pathspec=f"Train/{number}/start/1")
        monkeypatch.setattr("dbt_flow.ml.receipts.current", told)
        return str(Receipts.of(flow, contract)["a"]["run"])

    built(root, "1")
    assert run_read("7") == "One/1"
    built(root, "2")
    assert run_read("7") == "One/1"
    assert run_read("8") == "One/2"  # its artifacts are those of run 7


def test_a_warehouse_that_nobody_here_reads(root: Path) -> None:
    receipt(root, "one", {"a": []}, {}, adapter="oracle")
    receipts = chosen(root, Contract(tables=("a",)))
    with pytest.raises(InputError, match="oracle is read by nobody here"):
        receipts.arrow("a")
    with receipts.reading("a") as relation:
        assert relation == "main.a"
