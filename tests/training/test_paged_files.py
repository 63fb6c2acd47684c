"""Late, empty, doubled and half-delivered pages: all of a file arrives, or the table stays as it was."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest
from loopback_files import Answer, Files, serving

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))
import paged_files
from paged_files import NotDelivered, fetch, replace_tables

ROWS = [{"n": number, "word": f"w{number}"} for number in range(25)]
SCHEMA = {"numbers": {"n": "INTEGER", "word": "VARCHAR"}}


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paged_files, "WAIT", 0.01)


def get(trouble: Any = None, patience: float = 5.0, **said: Any) -> Any:
    files = Files(said.pop("rows", ROWS), page_size=10, **said)
    if trouble:
        files.trouble = trouble
    with serving(files):
        return fetch(files.url, "numbers", patience)


def late(number: int, asked: int, page: dict[str, Any]) -> Answer | None:
    return (503, b"") if asked < 2 else None


def cut_short(number: int, asked: int, page: dict[str, Any]) -> Answer | None:
    return (200, json.dumps(page).encode()[:-20]) if number == 2 and asked == 0 else None


def fewer_rows(number: int, asked: int, page: dict[str, Any]) -> Answer | None:
    return (200, json.dumps({**page, "rows": page["rows"][:3]}).encode()) if number == 3 and asked == 0 else None


def doubled(number: int, asked: int, page: dict[str, Any]) -> Answer | None:
    """Under number 2 the first page comes again, once."""
    first = {**page, "id": "2026-11-21-1", "rows": ROWS[:10], "count": 10}
    return (200, json.dumps(first).encode()) if number == 2 and asked == 0 else None


def begun_anew(number: int, asked: int, page: dict[str, Any]) -> Answer | None:
    old = {**page, "as_of": "2026-11-20", "id": f"old-{number}"}
    return (200, json.dumps(old).encode()) if number == 1 and asked == 0 else None


@pytest.mark.parametrize("trouble", [None, late, cut_short, fewer_rows, doubled, begun_anew])
def test_what_waiting_mends(trouble: Any) -> None:
    delivery = get(trouble)
    assert delivery.rows == ROWS and delivery.as_of == "2026-11-21"


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (lambda number, asked, page: (503, b""), "did not come"),
        (lambda number, asked, page: (401, b""), "401"),
        (lambda number, asked, page: (200, json.dumps({**page, "id": "x"}).encode()), "came twice, with different rows"),
        (lambda number, asked, page: (200, b'{"rows": []}'), "did not come"),
        (lambda number, asked, page: (200, json.dumps({**page, "count": 99}).encode()), "did not come"),
    ],
)
def test_what_it_does_not(trouble: Any, said: str) -> None:
    with pytest.raises(NotDelivered, match=said):
        get(trouble, patience=0.1)


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(NotDelivered, match="empty"):
        get(rows=[])


def test_all_tables_or_none(tmp_path: Path) -> None:
    database = tmp_path / "d.duckdb"
    deliveries = {"numbers": get()}
    assert replace_tables(database, deliveries, SCHEMA, "a test") == {"numbers": 25}
    assert replace_tables(database, deliveries, SCHEMA, "a test") == {"numbers": 25}  # again: not twice
    bad = {"numbers": get(rows=ROWS[:3]), "others": get(rows=[{"n": "no number"}])}
    schemas = {**SCHEMA, "others": {"n": "INTEGER"}}
    with pytest.raises(NotDelivered, match="do not fit"):
        replace_tables(database, bad, schemas, "a test")
    with pytest.raises(NotDelivered, match="no raw table"):
        replace_tables(database, {"unknown": deliveries["numbers"]}, SCHEMA, "a test")
    with duckdb.connect(str(database), read_only=True) as connection:
        assert connection.execute("select count(*), sum(n) from raw.numbers").fetchall() == [(25, sum(range(25)))]
