"""``trace`` from receipts and notes alone: up to data, code and tests; down to models and deployments; what is damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from written_receipts import AT, receipt

from dbt_flow.cli import cli
from dbt_flow.errors import InputError
from dbt_flow.ml.notes import note_deployment, note_model
from dbt_flow.pipeline.tracing import Thing, trace
from dbt_flow.state.store import FolderStore


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "dbt_project.yml").write_text("name: s\n")
    monkeypatch.chdir(tmp_path)
    one = receipt(tmp_path, "one", {"a": ["source.s.raw.one"]}, {})
    two = receipt(tmp_path, "two", {"b": ["model.s.a"], "c": ["source.s.raw.two"]}, {"a": one})
    tables = {"b": {"id": "model.s.b", "run": two["run"], "digest": two["digest"], "built_in": two["run"], "built": AT}}
    (tmp_path / ".dbt_flow/reads/Train").mkdir(parents=True)
    read = {"version": 1, "run": "Train/7", "task": "Train/7/start/1", "git": "fedcba9876543210", "at": AT, "tables": tables}
    (tmp_path / ".dbt_flow/reads/Train/7.json").write_text(json.dumps(read))
    note_model("risk", "7", run="Train/7", receipts={two["run"]: two["digest"]})
    note_deployment("risk", "7", run="Deploy/9", kind="variant")
    return tmp_path


def names(thing: Thing) -> list[str]:
    return [f"{thing.kind} {thing.name}", *(name for one in thing.below for name in names(one))]


def test_up_and_down(root: Path) -> None:
    store = FolderStore(root / ".dbt_flow")
    data = ["run Two/1", "run One/1", "source source.s.raw.one", "source source.s.raw.two"]
    model = ["model risk:7", "training Train/7", "table model.s.b", *data]
    traced = trace(store, "risk")
    assert names(traced.up) == model and names(traced.down) == ["model risk:7", "deployment risk:7"]
    assert names(trace(store, "Deploy/9").up) == ["deployment Deploy/9", *model]
    assert names(trace(store, "Train/7").up) == model[1:]
    reached = ["training Train/7", "model risk:7", "deployment risk:7"]
    assert names(trace(store, "a").down) == ["table model.s.a", "table model.s.b", *reached]
    assert names(trace(store, "main.c").down) == ["table model.s.c"], "what was not read was not reached"
    assert names(trace(store, "One/1").down) == ["run One/1", "run Two/1", *reached]
    with pytest.raises(InputError, match="no model, table or run is named nothing"):
        trace(store, "nothing")


def test_as_a_tree_and_as_json(root: Path) -> None:
    shown = CliRunner().invoke(cli, ["trace", "risk:7"], standalone_mode=False).output
    for words in ("git fedcba9876", "git 0123456789", "1 of 1 tests pass", "source raw.one", "as variant by Deploy/9"):
        assert words in shown, shown
    # A receipt that somebody changed is not believed, and the tree says where it is missing.
    file = root / ".dbt_flow/runs/dev/one/1/receipt.json"
    file.write_text(file.read_text().replace('"rows": 3', '"rows": 4'))
    done = CliRunner().invoke(cli, ["trace", "risk", "--json"], standalone_mode=False)
    document = json.loads(done.stdout)
    assert "the receipt of One/1 is not what was written" in document["damaged"][0] and "One/1" in done.stderr
    assert "its receipt is gone or damaged" in json.dumps(
        CliRunner().invoke(cli, ["trace", "risk"], standalone_mode=False).output
    )
