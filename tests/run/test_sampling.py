"""Which of a failing test's rows may be seen: what is private is masked, and what might be is masked as well."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from dbt_flow.run.sampling import MASK, MOST_CHARACTERS, may_show, sample, whole_rows


@dataclass
class Member:
    unique_id: str
    depends_on_nodes: list[str] = field(default_factory=list)
    columns: dict[str, Any] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)
    config: Any = None
    column_name: str | None = None


def columns(**metas: dict[str, Any]) -> dict[str, Any]:
    return {name: SimpleNamespace(meta=meta, config=None) for name, meta in metas.items()}


def seen(*members: Member, names: list[str], test: Member | None = None) -> list[str]:
    test = test or Member("test.t", [members[-1].unique_id])
    sources = {m.unique_id: m for m in members if m.unique_id.startswith("source.")}
    manifest = SimpleNamespace(nodes={m.unique_id: m for m in members if m.unique_id not in sources}, sources=sources)
    shows = may_show(manifest, test)
    return [name for name in names if shows(name)]


NAMES = ["id", "Email", "e", "n_records"]


def test_with_nothing_private_all_is_shown() -> None:
    assert seen(Member("model.a", columns=columns(id={})), names=NAMES) == NAMES


@pytest.mark.parametrize("said", [{"private": True}, {"pii": True}, {"pii": "true"}, {"contains_pii": 1}])
def test_a_private_column_is_masked_and_so_is_what_nobody_documents(said: dict[str, Any]) -> None:
    assert seen(Member("model.a", columns=columns(id={}, email=said)), names=NAMES) == ["id", "n_records"]


def test_a_column_stays_private_on_its_way_down() -> None:
    source = Member("source.raw", columns=columns(email={"pii": True}))
    staging = Member("model.stg", ["source.raw"])
    mart = Member("model.mart", ["model.stg"], columns=columns(id={}, email={}))
    assert seen(source, staging, mart, names=NAMES) == ["id", "n_records"]


def test_meta_in_the_config_counts_too() -> None:
    said = {"email": SimpleNamespace(meta={}, config=SimpleNamespace(meta={"private": True}))}
    assert "Email" not in seen(Member("model.a", columns={**columns(id={}), **said}), names=NAMES)


def test_of_a_private_model_and_of_a_test_of_a_private_column_only_counts_are_shown() -> None:
    assert seen(Member("model.a", meta={"private": True}), names=NAMES) == ["n_records"]
    model = Member("model.a", columns=columns(id={}, email={"pii": True}))
    about = Member("test.t", ["model.a"], column_name="email")
    assert seen(model, names=[*NAMES, "unique_field"], test=about) == ["n_records"]


def test_false_is_not_private() -> None:
    assert seen(Member("model.a", columns=columns(id={}, email={"private": False})), names=NAMES) == NAMES


def test_a_sample_is_small() -> None:
    rows = [["x" * 5000, None, at] for at in range(1000)]
    found = sample(["long", "none", "at"], rows, lambda name: name != "at", 5)
    assert len(found["rows"]) == 5
    assert found["rows"][0] == ["x" * (MOST_CHARACTERS - 1) + "…", None, MASK]
    assert found["masked"] == ["at"]
    wide = sample([str(n) for n in range(300)], [[*range(300)]], lambda _: True, 5)
    assert len(wide["columns"]) == len(wide["rows"][0]) == 20


def test_rows_without_a_value_are_shown_whole() -> None:
    compiled = '\n    \n    \n\n\n\nselect carrier_id\nfrom "freight"."main"."t"\nwhere carrier_id is null\n'
    dbts = SimpleNamespace(test_metadata=SimpleNamespace(name="not_null", namespace=None), column_name="carrier_id")
    assert " ".join(whole_rows(dbts, compiled).split()) == 'select * from "freight"."main"."t" where carrier_id is null'
    own = SimpleNamespace(test_metadata=SimpleNamespace(name="not_null", namespace="mine"), column_name="carrier_id")
    assert whole_rows(own, compiled) == compiled
    other = "with a as (select carrier_id from t) select carrier_id from a where carrier_id is null"
    assert whole_rows(dbts, other) == other
