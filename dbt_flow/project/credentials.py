"""``check()``: whether a profile's output can log in at all, by its form, before anything is built or a connection opened.

What a warehouse alone can say (a wrong password, a missing grant) is told when it says it, by :mod:`.warehouse_words`. What is
wrong in the profile itself is told here, with the line and what to write: keys that are empty, a key file that is not there or
not a key, a login that lacks its token, a login that needs a browser where there is none.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from dbt_flow.errors import DbtFlowError, Place, ProjectError, Refusals
from dbt_flow.project import whereabouts
from dbt_flow.yamlfile import did_you_mean, read, show

AUTHENTICATORS: Mapping[str, str] = {
    "snowflake": "user and password",
    "username_password_mfa": "user and password, with a second factor",
    "externalbrowser": "a browser on this machine",
    "oauth_authorization_code": "a browser on this machine",
    "oauth": "token, or token with oauth_client_id and oauth_client_secret",
    "jwt": "token",
    "programmatic_access_token": "token",
    "workload_identity": "workload_identity_provider",
    "snowflake_jwt": "private_key_path or private_key",
}
"""Snowflake's ways to log in, and what each needs; an Okta address (https://...) is one as well."""

_BROWSER = ("externalbrowser", "oauth_authorization_code")
_TOKEN = ("oauth", "jwt", "programmatic_access_token")
_PROVIDERS = ("AWS", "AZURE", "GCP", "OIDC")
_NO_USER = (*_TOKEN, "workload_identity")
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_ENV_VAR = re.compile(r"env_var\(\s*['\"](\w+)['\"]")
_ADDRESS = re.compile(r"^\w+://|\.snowflakecomputing\.(com|cn)\b.*$|/.*$", re.IGNORECASE)
_MAKE = "openssl genrsa 2048 | openssl pkcs8 -topk8 -inform PEM -out rsa_key.p8"
_TWO_SIDED = "give one of the two: private_key_path: PATH is the safer one"


def check(config: Any, profiles_dir: Path) -> None:
    """Refuse an output that cannot work, with everything that is wrong with it.

    :param config: dbt's ``RuntimeConfig``.
    :raises ProjectError: ``dbt-profile``; several as :class:`~dbt_flow.errors.Refusals`.
    """
    kinds = {"snowflake": _snowflake, "postgres": _postgres}
    credentials = config.credentials
    if credentials.type not in kinds:
        return
    output = _Output(profiles_dir / "profiles.yml", str(config.profile_name), str(config.target_name), credentials)
    found: list[DbtFlowError] = list(kinds[credentials.type](output))
    if found:
        raise found[0] if len(found) == 1 else Refusals(found)


@dataclass(frozen=True)
class _Output:
    """One output of a profile: what dbt made of it, and where it is written."""

    file: Path
    profile: str
    target: str
    credentials: Any

    def get(self, key: str) -> str:
        """A key's value as text; empty when it has none."""
        value = getattr(self.credentials, key, None)
        return "" if value is None else str(value)

    def wrong(self, key: str, message: str, hint: str) -> ProjectError:
        """A refusal at a key."""
        return ProjectError("dbt-profile", f"{message} (target {self.target})", place=self._place(key), hint=hint)

    def empty(self, key: str, what: str) -> ProjectError:
        """A refusal of a key without a value; where a variable was to give it, the hint names the variable."""
        names = _ENV_VAR.findall(str(self._written().get(key, "")))
        hint = f"export {names[0]}=..." if names else f"write {key}: {what}"
        return self.wrong(key, f"{key} is empty" if key in self._written() else f"there is no {key}", hint)

    def _written(self) -> Mapping[str, Any]:
        data: Any = read(self.file).data
        for part in (self.profile, "outputs", self.target):
            data = data.get(part) if isinstance(data, Mapping) else None
        return data if isinstance(data, Mapping) else {}

    def _place(self, key: str) -> Place:
        document = read(self.file)
        if not isinstance(document.data, Mapping):
            return whereabouts.place(self.file)
        at = document.place((self.profile, "outputs", self.target, key), key=True)
        return whereabouts.place(self.file, at.line, at.column)


# ---- Snowflake


def _snowflake(it: _Output) -> Iterator[ProjectError]:
    way = it.get("authenticator")
    lower = way.lower()
    if not it.get("account"):
        yield it.empty("account", "ORGANIZATION-ACCOUNT, as in Snowsight under Account details")
    elif _ADDRESS.search(it.get("account")) and not it.get("host"):
        name = _ADDRESS.sub("", it.get("account"))
        yield it.wrong("account", f"account is {show(it.get('account'))}, an address", f"write account: {name}")
    if way and lower not in AUTHENTICATORS and not lower.startswith("https://"):
        near = did_you_mean(lower, AUTHENTICATORS)
        hint = f"did you mean {near}?" if near else f"it is one of {', '.join(AUTHENTICATORS)}, or an Okta address"
        yield it.wrong("authenticator", f"authenticator is {show(way)}", hint)
        return
    if lower in _TOKEN and way != lower:  # dbt-snowflake knows the word in this spelling alone, and sends no token otherwise
        yield it.wrong("authenticator", f"authenticator is {show(way)}", f"write authenticator: {lower}")
        return
    if not it.get("user") and lower not in _NO_USER:
        yield it.empty("user", "the user's login name")
    yield from _key_pair(it)
    if lower in _TOKEN:
        yield from _token(it, lower)
    elif lower in _BROWSER:
        yield from _browser(it, lower)
    elif lower == "workload_identity":
        yield from _workload(it)
    elif lower == "snowflake_jwt" and not (it.get("private_key") or it.get("private_key_path")):
        yield it.empty("private_key_path", "the path of the user's private key")
    elif lower in ("", "snowflake", "username_password_mfa") and not _has_secret(it):
        names = "password, private_key_path, or authenticator: oauth with token"
        yield it.wrong("password", f"nothing to log in with: there is no {names}", _password_hint(it))


def _has_secret(it: _Output) -> bool:
    return any(it.get(key) for key in ("password", "private_key", "private_key_path"))


def _password_hint(it: _Output) -> str:
    empty = it.empty("password", "\"{{ env_var('DBT_ENV_SECRET_SNOWFLAKE_PASSWORD') }}\"")
    return str(empty.hint)


def _token(it: _Output, way: str) -> Iterator[ProjectError]:
    if not it.get("token"):
        yield it.wrong("authenticator", f"authenticator: {way} needs a token", _token_hint(it))
    given = [key for key in ("oauth_client_id", "oauth_client_secret") if it.get(key)]
    if way == "oauth" and len(given) == 1:
        [other] = {"oauth_client_id", "oauth_client_secret"} - set(given)
        yield it.wrong(given[0], f"there is an {given[0]} and no {other}", f"write {other}, or delete {given[0]}")


def _token_hint(it: _Output) -> str:
    return str(it.empty("token", "\"{{ env_var('DBT_ENV_SECRET_SNOWFLAKE_TOKEN') }}\"").hint)


def _workload(it: _Output) -> Iterator[ProjectError]:
    provider = it.get("workload_identity_provider")
    if not provider:
        yield it.wrong("authenticator", "workload_identity needs a provider", "write workload_identity_provider: AWS")
    elif provider.upper() not in _PROVIDERS:
        hint = f"it is one of {', '.join(_PROVIDERS)}"
        yield it.wrong("workload_identity_provider", f"workload_identity_provider is {show(provider)}", hint)


def _browser(it: _Output, way: str) -> Iterator[ProjectError]:
    on_linux = sys.platform.startswith("linux")
    remote = bool(os.environ.get("KUBERNETES_SERVICE_HOST") or os.environ.get("AWS_BATCH_JOB_ID"))
    if remote or (on_linux and not any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))):
        hint = "use a key pair for runs without a person: private_key_path: PATH"
        yield it.wrong("authenticator", f"{way} asks a person in a browser, and there is none here", hint)


def _key_pair(it: _Output) -> Iterator[ProjectError]:
    path, text = it.get("private_key_path"), it.get("private_key")
    if path and text:
        yield it.wrong("private_key_path", "there are private_key and private_key_path", _TWO_SIDED)
    elif path:
        try:
            raw = Path(path).read_bytes()
        except OSError as error:
            hint = "write the path of the key as it is on this machine, from the root, in a file that this user can read"
            yield it.wrong("private_key_path", f"private_key_path: {path} cannot be read: {error.strerror}", hint)
            return
        yield from _key(it, "private_key_path", raw, path)
    elif text:
        yield from _key(it, "private_key", text.encode(), "private_key")


def _key(it: _Output, at: str, raw: bytes, named: str) -> Iterator[ProjectError]:
    passphrase = it.get("private_key_passphrase")
    encrypted = b"ENCRYPTED" in raw[:2000]
    if encrypted and not passphrase:
        said = it.empty("private_key_passphrase", "\"{{ env_var('DBT_ENV_SECRET_SNOWFLAKE_PASSPHRASE') }}\"")
        yield it.wrong(at, f"{named} is encrypted, and {said.message.partition(' (')[0]}", str(said.hint))
        return
    if b"BEGIN PUBLIC KEY" in raw[:2000]:
        yield it.wrong(at, f"{named} is a public key", "write the path of the private one; Snowflake keeps the public one")
        return
    if passphrase and raw.lstrip().startswith(b"-----") and not encrypted:
        yield it.wrong("private_key_passphrase", f"{named} is not encrypted", "delete private_key_passphrase")
        return
    # What dbt-snowflake itself loads is a key; it also knows encryptions of old.
    auth = import_module("dbt.adapters.snowflake.auth")
    try:
        load = auth.private_key_from_file if at == "private_key_path" else auth.private_key_from_string
        key = load(it.get(at), passphrase or None)
    except Exception as error:  # cryptography's own, and those of the libraries below it
        if encrypted and "password" in str(error).lower():
            hint = "give the passphrase with which the key was made"
            yield it.wrong("private_key_passphrase", f"private_key_passphrase does not open {named}", hint)
        else:
            yield it.wrong(at, f"{named} is no private key in PEM", f"Snowflake wants PKCS#8 in PEM: {_MAKE}")
        return
    if not isinstance(key, RSAPrivateKey):
        yield it.wrong(at, f"{named} is no RSA key", f"Snowflake wants an RSA key: {_MAKE}")


# ---- PostgreSQL


def _postgres(it: _Output) -> Iterator[ProjectError]:
    for key, what in (("host", "the server's name"), ("user", "the role that dbt logs in as"), ("database", "dbname")):
        if not it.get(key):
            yield it.empty("dbname" if key == "database" else key, what)
    mode = it.get("sslmode")
    if mode and mode not in _SSL_MODES:
        near = did_you_mean(mode, _SSL_MODES)
        hint = f"did you mean {near}?" if near else f"it is one of {', '.join(_SSL_MODES)}"
        yield it.wrong("sslmode", f"sslmode is {show(mode)}", hint)
    for key in ("sslcert", "sslkey", "sslrootcert"):
        path = it.get(key)
        if path and path != "system" and not os.access(path, os.R_OK):
            hint = f"write the path of a file that this machine's user can read, or delete {key}"
            yield it.wrong(key, f"{key}: {path} cannot be read", hint)
