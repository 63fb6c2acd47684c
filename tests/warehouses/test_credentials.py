"""Logins that cannot work are refused by their form, with the line and what to write, before anything connects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from dbt.adapters.postgres import PostgresCredentials
from dbt.adapters.snowflake import SnowflakeCredentials

from dbt_flow.errors import DbtFlowError, flatten
from dbt_flow.project.credentials import check

SNOW = {"account": "acme-main", "user": "ann", "database": "shop", "schema": "dev"}
PLAIN = {**SNOW, "password": "quite secret"}
POSTGRES = {"host": "db", "user": "ann", "password": "quite secret", "database": "shop", "schema": "dev", "port": 5432}

Refused = Callable[..., list[DbtFlowError]]


@pytest.fixture
def refused(tmp_path: Path) -> Refused:
    """What is wrong with an output of a profile that stands in a file; ``written`` is how, where that differs."""

    def ask(output: Mapping[str, Any], kind: str = "snowflake", written: Mapping[str, str] | None = None) -> list[DbtFlowError]:
        text = {"type": kind, **output, **(written or {})}
        outputs = {"other": {"type": "duckdb", "token": 1, "authenticator": 2}, "dev": text}
        profiles = {"shop": {"target": "dev", "outputs": outputs}}
        (tmp_path / "profiles.yml").write_text(yaml.safe_dump(profiles, sort_keys=False))
        made = {"snowflake": SnowflakeCredentials, "postgres": PostgresCredentials}[kind](**output)
        try:
            check(SimpleNamespace(credentials=made, profile_name="shop", target_name="dev"), tmp_path)
        except DbtFlowError as error:
            return list(flatten(error))
        return []

    return ask


def line_of(folder: Path, key: str) -> int:
    lines = (folder / "profiles.yml").read_text().splitlines()
    return max(number for number, line in enumerate(lines, 1) if line.strip().startswith(f"{key}:"))


def pem(key: Any, passphrase: bytes | None = None) -> bytes:
    hidden = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden))


@pytest.fixture(scope="module")
def key() -> Any:
    return rsa.generate_private_key(65537, 2048)


def test_what_works_is_not_refused(refused: Refused, tmp_path: Path, key: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROWSER", "firefox")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    (tmp_path / "plain.p8").write_bytes(pem(key))
    (tmp_path / "hidden.p8").write_bytes(pem(key, b"open sesame"))
    plain, hidden = str(tmp_path / "plain.p8"), str(tmp_path / "hidden.p8")
    inline = "".join(pem(key).decode().splitlines()[1:-1])
    for more in (
        {"password": "quite secret"},
        {"password": "quite secret", "authenticator": "username_password_mfa"},
        {"private_key_path": plain},
        {"private_key_path": hidden, "private_key_passphrase": "open sesame"},
        {"private_key": pem(key).decode()},
        {"private_key": inline},
        {"authenticator": "externalbrowser"},
        {"authenticator": "oauth", "token": "a token"},
        {"authenticator": "oauth", "token": "a token", "oauth_client_id": "id", "oauth_client_secret": "secret"},
        {"authenticator": "https://acme.okta.com", "password": "quite secret"},
    ):
        assert refused({**SNOW, **more}) == [], more
    assert refused(POSTGRES, "postgres") == []


BAD: list[tuple[dict[str, Any], str, str, str]] = [
    ({"private_key_path": "{tmp}/none.p8"}, "private_key_path", "none.p8 cannot be read: No such file", "path of the key"),
    ({"private_key_path": "{tmp}"}, "private_key_path", "cannot be read: Is a directory", "path of the key"),
    ({"private_key_path": "{tmp}/text.p8"}, "private_key_path", "is no private key in PEM", "openssl genrsa"),
    ({"private_key_path": "{tmp}/public.pem"}, "private_key_path", "is a public key", "the path of the private one"),
    ({"private_key_path": "{tmp}/ec.p8"}, "private_key_path", "is no RSA key", "openssl genrsa"),
    ({"private_key_path": "{tmp}/hidden.p8"}, "private_key_path", "is encrypted", "write private_key_passphrase"),
    (
        {"private_key_path": "{tmp}/hidden.p8", "private_key_passphrase": "another"},
        "private_key_passphrase",
        "does not open",
        "with which the key was made",
    ),
    (
        {"private_key_path": "{tmp}/plain.p8", "private_key_passphrase": "one too many"},
        "private_key_passphrase",
        "is not encrypted",
        "delete private_key_passphrase",
    ),
    ({"private_key_path": "{tmp}/plain.p8", "private_key": "x"}, "private_key_path", "private_key and", "one of the two"),
    ({"authenticator": "oauth"}, "authenticator", "oauth needs a token", "write token"),
    ({"authenticator": "jwt"}, "authenticator", "jwt needs a token", "write token"),
    ({"authenticator": "oauth", "token": "t", "oauth_client_id": "i"}, "oauth_client_id", "no oauth_client_secret", "delete"),
    ({"authenticator": "externalbroser"}, "authenticator", 'is "externalbroser"', "did you mean externalbrowser?"),
    ({"authenticator": "OAuth", "token": "t"}, "authenticator", 'is "OAuth"', "write authenticator: oauth"),
    ({"authenticator": "externalbrowser"}, "authenticator", "there is none here", "use a key pair"),
    ({"account": "https://acme-main.snowflakecomputing.com/"}, "account", "an address", "write account: acme-main"),
    ({"account": "acme-main.privatelink.snowflakecomputing.com"}, "account", "an address", "account: acme-main.privatelink"),
    (
        {"authenticator": "workload_identity", "workload_identity_provider": "amazon"},
        "workload_identity_provider",
        'is "amazon"',
        "AWS, AZURE, GCP, OIDC",
    ),
    ({"authenticator": "workload_identity"}, "authenticator", "needs a provider", "workload_identity_provider"),
    ({"authenticator": "snowflake_jwt"}, "dev", "there is no private_key_path", "write private_key_path"),
]


@pytest.mark.parametrize("bad", BAD)
def test_what_cannot_work_is_refused_with_its_line(
    bad: tuple[dict[str, Any], str, str, str], refused: Refused, tmp_path: Path, key: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    more, at, says, hint = bad
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    (tmp_path / "plain.p8").write_bytes(pem(key))
    (tmp_path / "hidden.p8").write_bytes(pem(key, b"open sesame"))
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "public.pem").write_bytes(public)
    (tmp_path / "ec.p8").write_bytes(pem(ec.generate_private_key(ec.SECP256R1())))
    (tmp_path / "text.p8").write_text("this is no key")
    more = {name: value.replace("{tmp}", str(tmp_path)) for name, value in more.items()}
    [error] = refused({**SNOW, **({"password": "quite secret"} if "account" in more else {}), **more})
    assert (error.code, error.exit_code) == ("dbt-profile", 2)
    assert says in error.message
    assert hint in str(error.hint)
    assert error.place is not None
    assert error.place.line == line_of(tmp_path, at)
    assert error.place.excerpt is None, "lines of profiles.yml hold secrets"
    assert not any(secret in str(error) for secret in ("another", "one too many") if secret in more.values())


def test_all_that_is_empty_is_told_at_once_with_its_variable(refused: Refused, tmp_path: Path, key: Any) -> None:
    written = {"account": "{{ env_var('ACME_ACCOUNT', '') }}", "user": "{{ env_var('ACME_USER', '') }}"}
    found = refused({**PLAIN, "account": "", "user": "", "password": ""}, written=written)
    assert [error.hint for error in found][:2] == ["export ACME_ACCOUNT=...", "export ACME_USER=..."]
    assert "nothing to log in with" in found[2].message
    assert found[2].place is not None
    assert found[2].place.line == line_of(tmp_path, "password")
    found = refused({**POSTGRES, "host": "", "sslmode": "verify_full", "sslrootcert": "none.pem"}, "postgres")
    told = [(error.message.partition(" (target")[0], error.hint) for error in found]
    assert told[0] == ("host is empty", "write host: the server's name")
    assert told[1] == ('sslmode is "verify_full"', "did you mean verify-full?")
    assert told[2][0] == "sslrootcert: none.pem cannot be read"
    (tmp_path / "hidden.p8").write_bytes(pem(key, b"open sesame"))
    hidden = {"private_key_passphrase": "{{ env_var('DBT_ENV_SECRET_ACME', '') }}"}
    [locked] = refused({**SNOW, "private_key_path": str(tmp_path / "hidden.p8"), "private_key_passphrase": ""}, written=hidden)
    assert "is encrypted, and private_key_passphrase is empty" in locked.message
    assert locked.hint == "export DBT_ENV_SECRET_ACME=..."
