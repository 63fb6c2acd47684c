"""Whatever stands in a file: validate ends with 0 or 2, never with a bug, and every error has a place and a next step."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dbt_flow import cli
from dbt_flow.errors import CODES

SEEDS = [
    "owner: team\ntrigger: {after: [a, b]}\nselect: tag:x\n",
    "owner: team\ntrigger:\n  schedule: ['0 6 * * *', '*/5 8-18 * * MON-FRI']\ntimezone: Europe/Berlin\ntimeout: 1h30m\n",
    "owner: team\ntrigger: {event: {name: landed, params: {as_of: date}}}\nparams: {as_of: {type: date, default: today}}\n",
    "owner: team\nvars: &v {a: 1, b: [x, {c: ~}]}\ntests: {on_fail: warn, exclude: *v}\nisolate: {tag:heavy: {memory: 8GB}}\n",
    "name: fuzz\nowner: team\nselect: [a, b]\nexclude: c\nthreads: 4\nrequire_fresh: {select: source:x, otherwise: wait}\n",
]
PIECES = [
    "&a ",
    "*a",
    "!!int ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    ": ",
    "\n",
    "\t",
    "'",
    '"',
    "|",
    ">",
    "~",
    "---\n",
    "...\n",
    "%YAML 3.0\n",
    "? ",
    "\0",
]
PIECES += [
    "\ud7ff",
    "\x85",
    "<<: ",
    "null",
    ".inf",
    "0x",
    "9" * 400,
    "1e999",
    "@daily",
    "#",
    "\r",
    "é",
    "\U0001f600",
    "1:2",
    "0 0 30 2 *",
]
WORDS = [
    "owner",
    "trigger",
    "after",
    "schedule",
    "event",
    "params",
    "type",
    "select",
    "vars",
    "isolate",
    "resources",
    "name",
    "timezone",
    "file",
]

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.sampled_from([*WORDS, *PIECES])
keys = st.sampled_from(WORDS) | st.text(max_size=8)
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A good file with some of its bytes replaced, deleted or joined by pieces that mean something in YAML."""
    text = draw(st.sampled_from(SEEDS))
    rng = random.Random(draw(st.integers(0, 2**32)))
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(text) + 1)
        cut = rng.choice([0, 0, 1, 3, 10])
        text = text[:at] + rng.choice([*PIECES, *WORDS, ""]) + text[at + cut :]
    raw = text.encode("utf-8", "surrogatepass")
    if rng.random() < 0.2:
        at = rng.randrange(len(raw) + 1)
        raw = raw[:at] + rng.randbytes(2) + raw[at:]
    return raw


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "dbt_flow.yml").write_text("owners: {team: {}}\n")
    (folder / "dags").mkdir()
    (folder / "dags/a.yaml").write_text("owner: team\n")
    return folder


def check(folder: Path, raw: bytes, where: str = "dags/fuzz.yaml") -> None:
    (folder / where).write_bytes(raw)
    for words in (["validate", "--json"], ["validate"], ["list", "--json"]):
        result = run(folder, words)
        assert result[0] in (0, 2), result
        if words == ["validate", "--json"]:
            document = json.loads(result[1])
            assert bool(document["errors"]) == (result[0] == 2)
            for error in [*document["errors"], *document["warnings"]]:
                assert error["code"] in CODES
                assert error["file"], error
                assert error["line"] or error["code"] in ("unreadable", "bad-name", "name-collision"), error
                assert error["message"], error
                assert error["hint"], error


def run(folder: Path, words: list[str]) -> tuple[int, str]:
    """The entry point itself, in this process, under click's runner (which gives it streams of its own)."""
    with CliRunner().isolation() as streams:
        code = cli.main(["--root", str(folder), *words])
        return code, streams[0].getvalue().decode()


LIGHT = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


@LIGHT
@given(raw=mutated())
def test_a_good_file_gone_bad(folder: Path, raw: bytes) -> None:
    check(folder, raw)


@LIGHT
@given(raw=st.binary(max_size=200))
def test_any_bytes(folder: Path, raw: bytes) -> None:
    check(folder, raw)


@LIGHT
@given(tree=st.dictionaries(keys, trees, max_size=6))
def test_any_tree_under_known_keys(folder: Path, tree: dict[str, object]) -> None:
    check(folder, json.dumps({"owner": "team", **tree}).encode())


@LIGHT
@given(tree=st.dictionaries(keys, trees, max_size=4))
def test_any_defaults(folder: Path, tree: dict[str, object]) -> None:
    (folder / "dags/fuzz.yaml").write_text("owner: team\n")
    try:
        check(folder, json.dumps(tree).encode(), "dags/_defaults.yaml")
    finally:
        (folder / "dags/_defaults.yaml").unlink()
