"""The flows that ``docs/training.md`` shows are read by ``serve`` as the page says; what ``@needs`` and ``@dbt`` refuse."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dbt_flow import ml
from dbt_flow.errors import InputError
from dbt_flow.launch import read_flow
from dbt_flow.ml.dbt_steps import name_of
from dbt_flow.serve.flow_reading import Reader
from dbt_flow.settings import load_settings

PAGE = Path(__file__).parents[2] / "docs/training.md"


def test_the_pages_flows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAFLOW_USER", "ann")
    blocks = [text for text in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S) if "FlowSpec):" in text]
    assert len(blocks) == 2
    for number, text in enumerate(blocks):
        (tmp_path / f"flow{number}.py").write_text(text)
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags/carrier_risk.yaml").write_text("owner: team\nselect: x\ntrigger: none\n")
    (tmp_path / "dbt_project.yml").write_text("name: freight\n")
    (tmp_path / "dbt_flow.yml").write_text("owners: {team: {}}\nflows: {flow0.py: team, flow1.py: team}\n")
    settings = load_settings(start=tmp_path, environ={})
    listening = Reader(settings).read()
    assert not listening.problems
    count = listening.by_name["CountShippers"]
    assert count.needs and count.needs.tables == ("dim_shippers",) and count.needs.max_age == 86400
    assert count.owner == "team"
    # Nothing has run yet: whichever DAG ends, the records are asked.
    assert [wait.settled for wait in count.waits] == ["dbt_flow.freight.user.ann.CarrierRisk.settled"]
    assert listening.by_event[str(count.waits[0].settled)] == (count,)
    assert read_flow(tmp_path / "flow1.py", settings)["needs"] is None


def test_what_is_refused() -> None:
    for said, code in [
        ({}, "bad-value"),
        ({"tables": "fct_loads"}, "bad-value"),
        ({"tables": ["x"], "max_age": "soon"}, "bad-duration"),
    ]:
        with pytest.raises(InputError) as found:
            ml.needs(**said)
        assert found.value.code == code
    assert name_of("TrainCarrierRisk", "features") == "train_carrier_risk_features"
    assert name_of("MLFlow2", "start") == "ml_flow2_start"


def test_the_public_names() -> None:
    assert ml.__all__ == ["dbt", "needs", "note_deployment", "note_model", "receipt"]
    text = PAGE.read_text()
    assert all(name in text for name in ml.__all__)
