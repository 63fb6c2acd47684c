"""The documents say what the code does: keys, examples, codes, variables; and the schema on disk is current."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel
from spec_root import Root

from dbt_flow.errors import CODES
from dbt_flow.settings import CONTACTS, KEYS, VARIABLES, load_settings
from dbt_flow.spec import json_schema, load_fleet
from dbt_flow.spec.model import MAX_RETRIES, NOT_YET, DagKeys
from dbt_flow.yamlfile import read

HERE = Path(__file__).parents[2]
DAG_FILE = (HERE / "docs/dag-file.md").read_text(encoding="utf-8")
ERRORS = (HERE / "docs/errors.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", DAG_FILE, re.S)
TABLE = re.findall(r"^\| `([a-z-]+)` \| (.*?) \| (.*?) \|$", ERRORS, re.M)
EXAMPLE_OF = {code: message for code, _, message in TABLE}


def keys_of(model: type[BaseModel]) -> set[str]:
    """Of the model and of those inside it."""
    found = set(model.model_fields)
    for inner in json_schema()["$defs"].values():
        found |= set(inner["properties"])
    return found


def test_every_key_is_in_the_document() -> None:
    assert {key for key in keys_of(DagKeys) if not re.search(rf"\b{key}\b", DAG_FILE)} == set()
    assert f"(0 to {MAX_RETRIES})" in DAG_FILE


def test_what_is_not_yet_is_said_so() -> None:
    """Each key without effect has an example marked so; and each example so marked is refused as such (below)."""
    marked = " ".join(text for text in EXAMPLES if text.startswith("# not yet"))
    assert {dotted for dotted in NOT_YET if dotted.rsplit(".", maxsplit=1)[-1] not in marked} == set()


@pytest.mark.parametrize("text", EXAMPLES, ids=range(len(EXAMPLES)))
def test_each_example_validates(root: Root, text: str) -> None:
    root.write("dbt_flow.yml", "")
    root.write("dbt_project.yml", "name: at_the_root\n")
    for other in ("carrier_reference", "carrier_safety"):
        root.dag(other, "owner: x\n")
    jsonschema.validate(read(root.dag("example", text)).data, json_schema())
    if text.startswith("# dags/_defaults.yaml"):
        (root.folder / "dags/example.yaml").rename(root.folder / "dags/_defaults.yaml")
    codes = {error.code for error in root.fleet().errors}
    assert codes == ({"not-yet"} if text.startswith("# not yet") else set()), root.fleet().errors


def test_settings_are_in_the_document() -> None:
    for name, sentence in VARIABLES.items():
        assert f"| `{name}` | {sentence} |" in DAG_FILE
    for key in [*KEYS, *CONTACTS]:
        assert f"`{key}`" in DAG_FILE


def test_the_table_of_errors_is_that_of_the_code() -> None:
    assert [(code, meaning) for code, meaning, _ in TABLE] == list(CODES.items())


@pytest.mark.parametrize(
    ("code", "text"),
    {
        "yaml-syntax": "owner: team\ntrigger:\n\tevent: x\n",
        "duplicate-key": "owner: team\nowner: team\n",
        "unknown-key": "ownr: team\n",
        "missing-key": "select: x\n",
        "wrong-type": "owner: team\nretries: three\n",
        "bad-value": "owner: team\nretries: 9\n",
        "bad-name": "owner: team\nname: another\n",
        "bad-cron": "owner: team\ntrigger: {schedule: 0 6 * *}\n",
        "bad-timezone": "owner: team\ntimezone: Europe/berlin\n",
        "bad-duration": "owner: team\ntimeout: 90\n",
        "unknown-owner": "owner: teem\n",
        "unknown-dag": "owner: team\ntrigger: {after: elsewhere}\n",
        "waits-for-itself": "owner: team\ntrigger: {after: example}\n",
        "unreadable": b"owner: caf\xe9\n",
    }.items(),
)
def test_each_example_message_is_a_real_one(root: Root, code: str, text: str | bytes) -> None:
    root.dag("example", text)
    assert [(error.code, error.message) for error in root.fleet().errors] == [(code, EXAMPLE_OF[code])]


def test_a_collision_reads_as_in_the_document(root: Root) -> None:
    root.dag("example", "owner: team\n")
    root.dag("example_", "owner: team\n")
    assert root.fleet().errors[0].message == EXAMPLE_OF["name-collision"]


def test_the_schema_on_disk_is_current() -> None:
    written = json.loads((HERE / "dags/.schema.json").read_text(encoding="utf-8"))
    assert written == json_schema(), "write it anew: dbt-flow validate --write-schema"


def described(schema: dict[str, Any], where: str) -> list[str]:
    return [f"{where}.{name}" for name, inner in schema["properties"].items() if not inner.get("description")]


def test_the_schema_helps_an_editor() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    missing = described(schema, "dag")
    for name, inner in schema["$defs"].items():
        missing += described(inner, name)
    assert missing == []
    assert set(schema["properties"]) == set(DagKeys.model_fields)
    for name, inner in schema["properties"].items():
        for example in inner.get("examples", ()):
            jsonschema.validate({name: example}, schema)


@pytest.mark.parametrize(
    "text", ["ownr: x", "trigger: {shedule: x}", "threads: 0", "select: []", "reuse: maybe", "timeout: soon", "params: {x: {}}"]
)
def test_the_schema_refuses_what_the_code_refuses(root: Root, text: str) -> None:
    path = root.dag("x", text + "\n")
    assert root.fleet().errors
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(read(path).data, json_schema())


def test_the_shipped_dags_are_good() -> None:
    fleet = load_fleet(load_settings(start=HERE, environ={}))
    assert fleet.errors == ()
    assert fleet.warnings == ()
