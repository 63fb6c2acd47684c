"""The parse cache at rest: no value of a variable in clear, and nothing parsed anew until one changes."""

from __future__ import annotations

from pathlib import Path

import msgpack
import pytest
from projects import write

from dbt_flow import redact
from dbt_flow.project.parsing import Parsed, parse
from dbt_flow.project.place import DbtProject
from dbt_flow.project.sealing import seal, unseal

TOKEN = "t0k3n-of-a-partner-9f8e7d"
MODEL = """{{ config(meta={'with': env_var('PARTNER_TOKEN')}) }}
select '{{ env_var('PARTNER_TOKEN') }}' as t, '{{ env_var('PLAIN') }}' as p
"""


def packed(**env_vars: str) -> bytes:
    return bytes(
        msgpack.packb({"nodes": {"a": f"uses {TOKEN}"}, "files": {"f": {"env_vars": ["X"]}}, "env_vars": env_vars, "z": 1})
    )


def test_there_and_back() -> None:
    environ = {"PARTNER_TOKEN": TOKEN, "PLAIN": "dev"}
    raw = packed(PARTNER_TOKEN=TOKEN, PLAIN="dev", GONE="dbt's default")
    sealed = seal(raw, environ)
    assert sealed is not None
    assert TOKEN.encode() not in sealed
    assert unseal(sealed, environ) == raw
    changed = msgpack.unpackb(unseal(sealed, {"PARTNER_TOKEN": TOKEN, "PLAIN": "prod"}))["env_vars"]
    assert changed["PLAIN"] not in ("dev", "prod")
    assert (changed["PARTNER_TOKEN"], changed["GONE"]) == (TOKEN, "dbt's default")
    other = unseal(sealed, {"PARTNER_TOKEN": "another", "PLAIN": "dev"})
    assert TOKEN.encode() not in other
    assert len(msgpack.unpackb(other)["nodes"]["a"]) == len(f"uses {TOKEN}")


def test_without_secrets_it_is_the_file_itself() -> None:
    raw = packed()
    assert seal(raw, {"PLAIN": "dev"}) == raw
    assert unseal(raw, {}) == raw


def test_a_short_secret_that_cannot_be_marked_is_not_kept() -> None:
    raw = packed(PIN_KEY="uses")
    assert seal(raw, {"PIN_KEY": "uses"}) is None
    assert seal(packed(PIN_KEY="4711"), {"PIN_KEY": "4711"}) is not None  # it stands nowhere else


def test_damage_is_said() -> None:
    sealed = seal(packed(PLAIN="dev"), {"PLAIN": "dev"})
    assert sealed is not None
    with pytest.raises(ValueError, match=r"."):
        unseal(sealed[:30], {})


def test_dbt_parses_nothing_anew_until_a_value_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARTNER_TOKEN", TOKEN)
    monkeypatch.setenv("PLAIN", "dev")
    redact.refresh()
    folder = write(tmp_path / "shop", {"models/m.sql": MODEL, "models/n.sql": "select 1 as one\n"})
    cache = tmp_path / "cache"

    def meta(run: str) -> tuple[Parsed, str]:
        parsed = parse(DbtProject(folder), cache, tmp_path / run)
        return parsed, str(parsed.manifest.nodes["model.shop.m"].config.meta["with"])

    parsed, said = meta("one")
    assert said == TOKEN
    (kept,) = cache.glob("*.msgpack")
    first = kept.read_bytes()
    assert TOKEN.encode() not in first
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and TOKEN.encode() in file.read_bytes()]
    created = parsed.manifest.nodes["model.shop.m"].created_at
    parsed, said = meta("two")
    assert (said, parsed.manifest.nodes["model.shop.m"].created_at) == (TOKEN, created)  # from the cache
    monkeypatch.setenv("PARTNER_TOKEN", "another-token-altogether")
    redact.refresh()
    untouched = parsed.manifest.nodes["model.shop.n"].created_at
    parsed, said = meta("three")
    assert said == "another-token-altogether"
    assert parsed.manifest.nodes["model.shop.n"].created_at == untouched
    assert not [file for file in cache.rglob("*") if file.is_file() and b"another-token" in file.read_bytes()]
