"""Durations, parameters, selections; and a DAG that travels as JSON and by pickle."""

from __future__ import annotations

import json
import pickle
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError
from spec_root import Root

from dbt_flow.errors import DbtFlowError, Place, StateError
from dbt_flow.spec import Dag, Duration, Param, load_dag, project_of

FULL = """\
owner: team
description: Everything that works today
tags: [a, b]
timezone: Europe/Berlin
trigger: {event: {name: landed, params: {as_of: date}}}
select: [tag:x, "+model"]
exclude: tag:slow
target: prod
vars: {lookback: 3, deep: {list: [1, {a: null}]}}
params:
  as_of: {type: date}
  limit: {type: int, default: 5, description: rows}
threads: 4
retries: 2
timeout: 1h30m
"""


def test_a_dag_says_what_the_file_says(root: Root) -> None:
    root.dag("carrier_risk", FULL)
    dag = load_dag(root.settings, "carrier_risk")
    assert (dag.name, dag.flow_name, dag.file) == ("carrier_risk", "CarrierRisk", "dags/carrier_risk.yaml")
    assert (dag.owner, dag.tags, dag.threads, dag.retries, dag.target) == ("team", ("a", "b"), 4, 2, "prod")
    assert dag.timeout == Duration(5400, "1h30m")
    assert dag.selection.select == ("tag:x", "+model")
    assert dag.selection.exclude == ("tag:slow",)
    assert not dag.selection.claimed
    assert dag.trigger.event.params == {"as_of": "date"}
    assert dag.place("select") == Place("dags/carrier_risk.yaml", 6, 9, 'select: [tag:x, "+model"]')
    assert dag.place("vars.lookback").column == 18
    assert dag.place("vars.deep.gone").line == 9
    assert dag.place("selector") == Place("dags/carrier_risk.yaml")
    assert project_of(root.settings, dag) == root.folder / "dbt_project"


def test_without_a_selection_the_models_claim_the_dag(root: Root) -> None:
    root.dag("mine", "owner: team\n")
    selection = load_dag(root.settings, "mine").selection
    assert (selection.claimed, selection.select) == (True, ("config.meta.dag:mine",))
    root.dag("all_but", "owner: team\nexclude: x\n")
    assert load_dag(root.settings, "all_but").selection.claimed is False


def test_a_dag_travels(root: Root) -> None:
    root.dag("full", FULL)
    dag = load_dag(root.settings, "full")
    again = Dag.from_dict(json.loads(json.dumps(dag.to_dict(), allow_nan=False)))
    assert again == dag == pickle.loads(pickle.dumps(dag))
    assert again.to_dict() == dag.to_dict()
    assert again.place("select") == dag.place("select")
    assert again.trigger.text == dag.trigger.text
    with pytest.raises(Exception, match="frozen"):
        dag.owner = "other"


def test_a_dag_of_a_newer_version_is_refused(root: Root) -> None:
    root.dag("full", FULL)
    document = load_dag(root.settings, "full").to_dict()
    with pytest.raises(StateError, match="version 99"):
        Dag.from_dict({**document, "version": 99})
    with pytest.raises(DbtFlowError, match="unknown key"):
        Dag.from_dict({**document, "keys": {**document["keys"], "later": 1}})


def test_yaml_keys_cannot_forge_what_is_ours(root: Root) -> None:
    root.dag("forged", "owner: team\nfile: x\nplaces: {}\nflow_name: Y\n")
    assert [error[:3] for error in root.errors()] == [("unknown-key", "dags/forged.yaml", line) for line in (2, 3, 4)]


words = st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=10)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda i: st.lists(i, max_size=3) | st.dictionaries(words, i, max_size=3),
    max_leaves=8,
)
dags = st.fixed_dictionaries(
    {"owner": words},
    optional={
        "description": words,
        "tags": st.lists(words, min_size=1, max_size=3),
        "select": words | st.lists(words, min_size=1, max_size=3),
        "exclude": words,
        "vars": st.dictionaries(words, json_values, max_size=3),
        "retries": st.integers(0, 4),
        "threads": st.integers(1, 64),
        "timeout": st.sampled_from(["none", "90m", "2h", "1d"]),
        "trigger": st.sampled_from(["none", {"schedule": "0 6 * * *"}, {"after": ["a", "b"]}, {"event": "x"}]),
        "timezone": st.sampled_from(["UTC", "Europe/Berlin"]),
    },
)


@settings(max_examples=100, deadline=None)
@given(keys=dags)
def test_any_dag_travels(keys: dict[str, object]) -> None:
    dag = Dag.from_dict({"name": "x", "file": "dags/x.yaml", "keys": keys, "places": {"owner": ["dags/x.yaml", 1, 1, None]}})
    again = Dag.from_dict(json.loads(json.dumps(dag.to_dict())))
    assert (again, again.to_dict()) == (dag, dag.to_dict())


@settings(max_examples=200, deadline=None)
@given(parts=st.tuples(st.integers(0, 99), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59)).filter(any))
def test_a_duration_is_the_sum_of_its_parts(parts: tuple[int, ...]) -> None:
    text = "".join(f"{number}{unit}" for number, unit in zip(parts, "dhms", strict=True) if number)
    duration = Duration.parse(text)
    days, hours, minutes, seconds = parts
    assert (duration.seconds, duration.text, str(duration)) == (((days * 24 + hours) * 60 + minutes) * 60 + seconds, text, text)


@given(text=st.text(max_size=10))
def test_any_other_text_is_no_duration(text: str) -> None:
    try:
        assert Duration.parse(text).seconds > 0
    except PydanticCustomError as refused:
        assert refused.type == "bad-duration"


@pytest.mark.parametrize("value", ["", "m", "1.5h", "-1h", "1h 30m", "30m1h", "90 m", "1H", "366d", "٣h", "1h\n"])
def test_what_is_no_duration(value: str) -> None:
    with pytest.raises(PydanticCustomError):
        Duration.parse(value)


TODAY = date(2026, 11, 21)


@pytest.mark.parametrize(
    ("kind", "given_", "value"),
    [
        ("date", "today", "2026-11-21"), ("date", "yesterday", "2026-11-20"), ("date", "2026-01-31", "2026-01-31"),
        ("int", "7", 7),
        ("int", 7, 7), ("float", "1.5", 1.5), ("float", 2, 2.0), ("bool", "true", True), ("bool", False, False),
        ("str", "x y", "x y"), ("str", 7, "7"),
    ],
)  # fmt: skip
def test_parameters_are_parsed(kind: str, given_: object, value: object) -> None:
    assert Param(type=kind).parse(given_, TODAY) == value


@pytest.mark.parametrize(
    ("kind", "given_"),
    [("date", "2026-02-30"), ("date", "x"), ("int", "1.5"), ("int", True), ("float", "nan"), ("bool", "yes")],
)
def test_parameters_that_do_not_fit(kind: str, given_: object) -> None:
    with pytest.raises(ValueError):
        Param(type=kind).parse(given_, TODAY)


def test_all_that_is_wrong_with_parameters_at_once(root: Root) -> None:
    root.dag("p", "owner: team\nparams: {as_of: {type: date, default: today}, n: {type: int}}\n")
    dag = load_dag(root.settings, "p")
    assert dag.parameters({"n": "3"}, TODAY) == {"as_of": "2026-11-21", "n": 3}
    with pytest.raises(DbtFlowError) as refused:
        dag.parameters({"as_off": "x", "as_of": "soon"}, TODAY)
    assert [error.hint for error in refused.value.errors] == [
        "did you mean as_of?",
        "write today, or a date like 2026-11-21",
        "give one: --param n=VALUE",
    ]
