"""dbt's parse cache without the secrets in it, and back.

dbt keeps the value of each variable that ``env_var()`` read in clear in ``partial_parse.msgpack`` (to notice a change), and
whatever it rendered with one (a config, a source's database). At rest the first are hashes with a salt of the file's own; and
a secret's value is replaced, wherever it stands, by a mark of the same length, so that no byte of the file's frame changes.
Who has the same values in the environment gets the file back as it was. A value that has changed stays a mark: dbt sees that
it differs from the environment's, and parses anew what used it.

Cost: a walk over the file's top level (1 ms for each MB) when it is written and changed; nothing for a project without any.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import msgpack

from dbt_flow.redact import secret_name

_MAGIC = b"dbt-flow sealed 1\n"
HEAD = len(_MAGIC)
"""Bytes from which :func:`is_sealed` can tell."""
_FIELD = "env_vars"
_EMPTY = b"\x80"  # msgpack's map of nothing
_CHANGED = "changed since dbt parsed the project"
_SHORTEST = 8
"""Bytes of a value that a mark can stand for: a shorter one would be found where it is no mark."""
_SHORTEST_SECRET = 4
_ROUNDS = 1_000
_BIG = 2**31 - 1


def is_sealed(head: bytes) -> bool:
    """Whether a file that begins so is a sealed one."""
    return head.startswith(_MAGIC)


def seal(raw: bytes, environ: Mapping[str, str] | None = None) -> bytes | None:
    """The file as it may rest on a disk; None when it may not: a secret that is too short for a mark stands in it."""
    environ = os.environ if environ is None else environ
    secret = {name: value.encode() for name, value in environ.items() if secret_name(name) and len(value) >= _SHORTEST_SECRET}
    start, end, read = _env_vars(raw)
    body = raw[:start] + _EMPTY + raw[end:] if read else raw
    marked = {name: value for name, value in secret.items() if len(value) >= _SHORTEST and value in body}
    if any(len(value) < _SHORTEST and name in read and value in body for name, value in secret.items()):
        return None
    if not read and not marked:
        return raw
    salt = os.urandom(16)
    for value in sorted(marked.values(), key=len, reverse=True):
        body = body.replace(value, _mark(salt, value))
    head = {
        "salt": salt.hex(),
        "at": start,
        "known": {name: _digest(salt, value) for name, value in read.items() if environ.get(name) == value},
        # Not from the environment: dbt's own word for "its default was taken".
        "default": {name: value for name, value in read.items() if name not in environ},
        "all": list(read),
        "marks": {name: _digest(salt, value.decode()) for name, value in marked.items()},
    }
    return _MAGIC + json.dumps(head).encode() + b"\n" + body


def unseal(sealed: bytes, environ: Mapping[str, str] | None = None) -> bytes:
    """What dbt wrote, as far as the environment still holds the same values.

    :raises ValueError: the file is damaged.
    """
    if not sealed.startswith(_MAGIC):
        return sealed
    environ = os.environ if environ is None else environ
    line, found, body = sealed[len(_MAGIC) :].partition(b"\n")
    if not found:
        raise ValueError("a sealed file that was cut short")
    head: dict[str, Any] = json.loads(line)
    salt = bytes.fromhex(head["salt"])
    for name, digest in head["marks"].items():
        value = environ.get(name, "")
        if value and _digest(salt, value) == digest:
            body = body.replace(_mark(salt, value.encode()), value.encode())
    read = {name: head["default"].get(name, _CHANGED) for name in head["all"]}
    for name, digest in head["known"].items():
        now = environ.get(name)
        if now is not None and _digest(salt, now) == digest:
            read[name] = now
    if not read:
        return body
    at = int(head["at"])
    return body[:at] + bytes(msgpack.packb(read)) + body[at + len(_EMPTY) :]


def _env_vars(raw: bytes) -> tuple[int, int, dict[str, str]]:
    """Where the manifest's ``env_vars`` stand in the file, from and to, and what they are."""
    unpacker = msgpack.Unpacker(max_buffer_size=0, max_str_len=_BIG, max_bin_len=_BIG, max_array_len=_BIG, max_map_len=_BIG)
    unpacker.feed(raw)
    for _ in range(unpacker.read_map_header()):
        key, start = unpacker.unpack(), unpacker.tell()
        if key == _FIELD:
            return start, *_until(unpacker)
        unpacker.skip()
    return 0, 0, {}


def _until(unpacker: Any) -> tuple[int, dict[str, str]]:
    found = unpacker.unpack()
    return unpacker.tell(), {str(name): str(value) for name, value in found.items()}


def _digest(salt: bytes, value: str) -> str:
    return hashlib.pbkdf2_hmac("sha256", value.encode(), salt, _ROUNDS).hex()


def _mark(salt: bytes, value: bytes) -> bytes:
    """Text of the value's own length that stands nowhere else."""
    long = base64.b32encode(hashlib.pbkdf2_hmac("sha512", value, salt + b"mark", _ROUNDS)).rstrip(b"=")
    return (long * (len(value) // len(long) + 1))[: len(value)]
