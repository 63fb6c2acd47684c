"""No secret leaves the process: their values are replaced wherever text is shown, sent or kept.

What counts as a secret: the value of each environment variable whose name says so (``DBT_ENV_SECRET_...``, ``..._PASSWORD``,
``..._TOKEN``, ``..._KEY``, ``..._SECRET``), what :func:`learn` was told (the profile's secret fields), and the password in any
URL. Values that are too short to be told from ordinary words stay: replacing ``dev`` everywhere would hide more than it saves.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import is_dataclass
from typing import Any

HIDDEN = "*****"
"""Stands where a secret stood."""

SHORTEST, SHORTEST_SAID = 6, 4
"""Characters that a value must have: one whose variable's name makes it a secret, and one that is a secret for certain."""

_NAME = re.compile(r"SECRET|PASSWORD|PASSWD|PASSPHRASE|TOKEN|KEY|CREDENTIAL|WEBHOOK", re.IGNORECASE)
_NO_SECRET = re.compile(r"(_FILE|_PATH|_DIR|_ID|_NAME|_HOST|_USER|_URL_PATH)$", re.IGNORECASE)
_CERTAIN = "DBT_ENV_SECRET"
_FIELD = re.compile(r"^pass$|password|passphrase|token|secret|private_key|api_key|access_key|keyfile_json|credential", re.I)
_NO_FIELD = re.compile(r"(_path|_file|_id|_name|_uri|_url|_type|_provider)$", re.IGNORECASE)
_URL = re.compile(r"(?<=://)([^\s/:@'\"]*):([^\s/@'\"]+)(?=@)")
_NODE = re.compile(r"(model|test|unit_test|seed|snapshot|source|exposure|operation|function|saved_query)\.\w+\.\S+\Z")
_WORDS = frozenset({"true", "false", "none", "null", "disabled", "enabled", "required", "optional", "default", "always"})

_learnt: set[str] = set()


def secret_name(name: str) -> bool:
    """Whether a variable of that name holds a secret."""
    return name.startswith(_CERTAIN) or bool(_NAME.search(name) and not _NO_SECRET.search(name))


def secret_field(name: str) -> bool:
    """Whether a field of a profile's output holds a secret."""
    return bool(_FIELD.search(name) and not _NO_FIELD.search(name))


def secrets(environ: Mapping[str, str] | None = None) -> frozenset[str]:
    """Every value that is a secret now."""
    environ = os.environ if environ is None else environ
    found = set(_learnt)
    for name, value in environ.items():
        if secret_name(name):
            shortest = SHORTEST_SAID if name.startswith(_CERTAIN) else SHORTEST
            found.update(_worth_hiding(value, shortest))
    return frozenset(found)


def learn(values: Iterable[Any]) -> None:
    """From now on these are secrets as well."""
    for value in values:
        if isinstance(value, str):
            _learnt.update(_worth_hiding(value, SHORTEST_SAID))
    refresh()


def learn_fields(document: Any) -> None:
    """Learn the secret fields of a profile's output: ``password``, ``token``, ``private_key``..., at any depth."""
    learn(_fields(document, secret=False))


def text(value: str) -> str:
    """``value`` with every secret in it replaced."""
    pattern = _patterns()[0]
    if pattern is not None:
        value = pattern.sub(HIDDEN, value)
    return _URL.sub(rf"\1:{HIDDEN}", value) if "://" in value else value


def document(value: Any) -> Any:
    """A JSON value with every secret in its texts replaced; ids of dbt's nodes stay, because everything is joined on them."""
    if isinstance(value, str):
        return value if _NODE.match(value) else text(value)
    if isinstance(value, Mapping):
        return {key if _NODE.match(str(key)) else text(str(key)): document(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [document(item) for item in value]
    return value


def at_rest(raw: bytes) -> bytes:
    """What may be written to a disk: ``raw`` itself, nearly always; JSON, or lines of JSON, stays JSON."""
    pattern = _patterns()[1]
    if pattern is None or not pattern.search(raw):
        return raw
    try:
        return _dump(document(json.loads(raw)))
    except ValueError:
        pass
    return b"".join(_line(line) for line in raw.splitlines(keepends=True))


def _line(line: bytes) -> bytes:
    try:
        return _dump(document(json.loads(line))) + b"\n"
    except ValueError:
        return text(line.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def _dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str).encode("utf-8", "replace")


def _worth_hiding(value: str, shortest: int) -> Iterator[str]:
    """The value, and each of its lines: a private key is seen in parts. The name of a file or folder is no secret."""
    if value.startswith("/") and os.path.exists(value):  # noqa: PTH110 - this module loads nothing that it can do without
        return
    for part in (value, *value.splitlines()):
        bare = part.strip()
        if len(bare) >= shortest and bare.lower() not in _WORDS and not bare.startswith("-----"):
            yield bare


def _fields(value: Any, *, secret: bool) -> Iterator[Any]:
    if is_dataclass(value) and not isinstance(value, type):
        value = vars(value)
    if isinstance(value, Mapping):
        for key, item in value.items():
            name = str(key)
            named = secret_field(name) or name == "key_id"
            yield from _fields(item, secret=secret or (named and not isinstance(item, (Mapping, list, tuple))))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _fields(item, secret=secret)
    elif secret:
        yield value


def refresh() -> None:
    """Look at the environment again now; it is looked at several times a second at the most."""
    with _state.lock:
        _state.looked = -_AGAIN


class _State:
    """One pattern for all secrets, as text and as bytes; None while there are none."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        """Who asks while another looks waits for what that finds: a secret that was learnt just now is one for every thread."""
        self.known: frozenset[str] = frozenset()
        self.looked = -_AGAIN
        self.patterns: tuple[re.Pattern[str] | None, re.Pattern[bytes] | None] = (None, None)

    def look(self) -> None:
        """Make the patterns anew when the secrets have changed. Longest first, so that no rest of one stays."""
        self.looked = time.monotonic()
        now = secrets()
        if now == self.known:
            return
        self.known = now
        forms = {form for value in now for form in (value, *(json.dumps(value, ensure_ascii=a)[1:-1] for a in (True, False)))}
        either = "|".join(re.escape(form) for form in sorted(forms, key=lambda form: (-len(form), form)))
        raw = either.encode("utf-8", "surrogateescape")
        self.patterns = (re.compile(either), re.compile(raw)) if now else (None, None)


_AGAIN = 0.2  # seconds between two looks at the environment
_state = _State()


def _patterns() -> tuple[re.Pattern[str] | None, re.Pattern[bytes] | None]:
    with _state.lock:
        if time.monotonic() - _state.looked > _AGAIN:
            _state.look()
        return _state.patterns


def _fork() -> None:
    _state.lock = threading.RLock()  # who held it is not here


os.register_at_fork(after_in_child=_fork)
