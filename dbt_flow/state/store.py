"""Where documents are kept: a few verbs, and a folder that has them (:mod:`.bucket` has them too).

Keys are relative paths with ``/``. A reader never sees half a document: ``put`` writes beside and renames. ``append`` is for
logs, whose keys end with ``.jsonl``, of several writers too; a line that a crash cut short is dropped by :func:`read_lines`.
"""

from __future__ import annotations

import builtins
import errno
import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from dbt_flow.errors import StateError
from dbt_flow.redact import at_rest

_BINARY = ".msgpack"
"""How the keys of binary documents end."""


class Store(Protocol):
    """What a backend must do. Values are bytes; every verb may raise :class:`~dbt_flow.errors.StateError`."""

    def get(self, key: str) -> bytes | None:
        """The value, or None when there is none."""

    def put(self, key: str, value: bytes) -> None:
        """Write or replace, at once: a reader sees the old value or the new one."""

    def put_if_absent(self, key: str, value: bytes) -> bool:
        """Write unless there is a value; says whether it wrote. Of many writers exactly one wins."""

    def list(self, prefix: str) -> list[str]:
        """The names directly under ``prefix``, sorted; no order of time is promised."""

    def older(self, prefix: str, seconds: float) -> builtins.list[str]:
        """Of the documents directly under ``prefix`` those that were written longer ago than that, sorted."""

    def drop(self, key: str) -> None:
        """Remove a document, or a log, or all that is under a prefix; nothing there is no error."""

    def append(self, key: str, value: bytes, *, soon: bool = False) -> None:
        """Add to the end of a log; with ``soon`` it may be on its way when this returns, until :meth:`flush`."""

    def flush(self) -> None:
        """Return when all that was appended ``soon`` is kept."""

    def trim(self, key: str, keep: int) -> None:
        """Keep the last ``keep`` lines of a log; a line that somebody appends meanwhile is not lost."""

    def logs(self, prefix: str) -> dict[str, str]:
        """The keys of all logs under ``prefix``, at any depth, each with a mark that is another when the log has changed."""

    def mark(self, prefix: str) -> str | None:
        """A mark that is another when a name directly under ``prefix`` has come or gone; None where that costs a listing."""

    @property
    def local(self) -> FolderStore:
        """What this machine alone can know: locks, and files of its processes."""

    @property
    def look_every(self) -> float:
        """Seconds between two looks of who waits for news; 0 where a look costs nothing."""


def as_it_rests(key: str, value: bytes) -> bytes:
    """What is kept of a value: a text without the secrets in it. A binary document stays as it is, byte for byte: one with
    other bytes in it is damaged, and who makes it sees to its secrets (:mod:`dbt_flow.project.sealing`).
    """
    return value if key.endswith(_BINARY) else at_rest(value)


class FolderStore:
    """A store in a folder. Everything in it is for its owner alone (0700, 0600): results can quote data."""

    look_every = 0.0

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def local(self) -> FolderStore:
        """Itself."""
        return self

    def __repr__(self) -> str:
        return f"FolderStore({str(self.folder)!r})"

    def path(self, key: str) -> Path:
        """The file for a key, its folder made."""
        file = self.folder / key
        with _disk(file):
            self._make_folder()
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return file

    def _make_folder(self) -> None:
        """A folder that was there before is somebody's: its rights and its ``.gitignore`` are left alone."""
        if self.folder.exists():
            return
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):  # another process was faster
            self.folder.mkdir(mode=0o700)
            (self.folder / ".gitignore").write_text("*\n")

    def get(self, key: str) -> bytes | None:
        """See :class:`Store`."""
        file = self.folder / key
        with _disk(file):
            try:
                return file.read_bytes()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return None

    def put(self, key: str, value: bytes) -> None:
        """See :class:`Store`."""
        file = self.path(key)
        with self._written_beside(file, as_it_rests(key, value)) as fresh:
            fresh.replace(file)

    def put_if_absent(self, key: str, value: bytes) -> bool:
        """See :class:`Store`; a hard link is made only where nothing stands."""
        file = self.path(key)
        with self._written_beside(file, as_it_rests(key, value)) as fresh:
            try:
                os.link(fresh, file)
            except FileExistsError:
                return False
        return True

    def list(self, prefix: str) -> list[str]:
        """See :class:`Store`."""
        folder = self.folder / prefix
        with _disk(folder):
            try:
                return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
            except (FileNotFoundError, NotADirectoryError):
                return []

    def older(self, prefix: str, seconds: float) -> builtins.list[str]:
        """See :class:`Store`."""
        before, found = time.time() - seconds, []
        for name in self.list(prefix):
            with suppress(OSError):
                if (self.folder / prefix / name).stat().st_mtime < before:
                    found.append(name)
        return found

    def drop(self, key: str) -> None:
        """See :class:`Store`."""
        file = self.folder / key
        if file.is_dir():
            shutil.rmtree(file, ignore_errors=True)
            return
        with _disk(file), suppress(FileNotFoundError, NotADirectoryError):
            file.unlink()

    def logs(self, prefix: str) -> dict[str, str]:
        """See :class:`Store`."""
        found = {}
        for folder, _, names in os.walk(self.folder / prefix):
            for name in names:
                file = Path(folder, name)
                if name.endswith(".jsonl") and name[0] != ".":
                    with suppress(OSError):
                        facts = file.stat()
                        found[file.relative_to(self.folder).as_posix()] = f"{facts.st_size} {facts.st_mtime_ns} {facts.st_ino}"
        return found

    def mark(self, prefix: str) -> str | None:
        """See :class:`Store`."""
        try:
            return str((self.folder / prefix).stat().st_mtime_ns)
        except OSError:
            return "-"

    def flush(self) -> None:
        """See :class:`Store`; here ``soon`` is at once."""

    def append(self, key: str, value: bytes, *, soon: bool = False) -> None:  # noqa: ARG002 - a folder needs no time
        """See :class:`Store`; one write call, so that a line is whole unless the disk is full or the machine dies in it.

        A line that was cut short is ended first: it must not spoil the next one.
        """
        file, value = self.path(key), as_it_rests(key, value)
        with _disk(file), _sole_writer(file) as handle:
            size = os.fstat(handle).st_size
            if size and os.pread(handle, 1, size - 1) != b"\n":
                value = b"\n" + value
            while value:  # a disk that is nearly full takes a part, and says no to the rest
                value = value[os.write(handle, value) :]

    def trim(self, key: str, keep: int) -> None:
        """See :class:`Store`; who appends waits, and then finds the shorter file."""
        file = self.path(key)
        with _disk(file), _sole_writer(file):
            lines = file.read_bytes().splitlines(keepends=True)
            if len(lines) > keep:
                with self._written_beside(file, b"".join(lines[-keep:])) as fresh:
                    fresh.replace(file)

    @contextmanager
    def _written_beside(self, file: Path, value: bytes) -> Iterator[Path]:
        """A temporary file with the value, flushed to the disk, gone afterwards."""
        with _disk(file):
            handle, name = tempfile.mkstemp(dir=file.parent, prefix=".")
            fresh = Path(name)
            try:
                with os.fdopen(handle, "wb") as stream:
                    stream.write(value)
                    stream.flush()
                    os.fsync(stream.fileno())
                yield fresh
            finally:
                with suppress(FileNotFoundError):
                    fresh.unlink()


@contextmanager
def _sole_writer(file: Path) -> Iterator[int]:
    """The file open for appending, and locked; the system drops the lock with the process. Where it cannot lock, without."""
    handle = _opened(file)
    while handle is None:
        handle = _opened(file)
    try:
        yield handle
    finally:
        os.close(handle)


def _opened(file: Path) -> int | None:
    """A locked handle; None when the file was replaced, or taken away, while this waited for the lock."""
    handle = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    with suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_EX)
    with suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(handle), file.stat()):
            return handle
    os.close(handle)
    return None


@contextmanager
def _disk(file: Path) -> Iterator[None]:
    """Turn what the disk says into a clear error."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StateError("disk-full", f"no space left to write {file}", hint="free some space and run it again") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            hint = "give this user the right, or name another folder: --state DIR or DBT_FLOW_STATE"
            raise StateError("disk-full", f"no permission for {file}", hint=hint) from error
        if error.errno == errno.ENOTDIR:
            hint = "move that file away, or name another folder: --state DIR"
            raise StateError("state-damaged", f"a file stands where the folder {file.parent} should be", hint=hint) from error
        hint = "see what the system says of that disk, or name another folder: --state DIR"
        raise StateError("state-damaged", f"{file}: {error.strerror or error}", hint=hint) from error


def put_json(store: Store, key: str, document: Any) -> None:
    """Write a document; floats stay as they are, unknown types become text."""
    store.put(key, encode(document))


def encode(document: Any) -> bytes:
    """A document as compact JSON."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, default=str).encode("utf-8", "replace")


def get_json(store: Store, key: str) -> Any | None:
    """Read a document, or None when there is none.

    :raises StateError: when it cannot be read as JSON.
    """
    raw = store.get(key)
    if raw is None:
        return None
    try:
        return json.loads(raw)
    except ValueError as error:
        hint = "move the file away; what it told is lost, nothing else"
        raise StateError("state-damaged", f"{key} in the state folder is damaged: {error}", hint=hint) from error


def read_lines(store: Store, key: str) -> Iterator[dict[str, Any]]:
    """The JSON lines of a log; a line that a crash cut short, or that is damaged, is left out."""
    for line in (store.get(key) or b"").splitlines():
        with suppress(ValueError):
            item = json.loads(line)
            if isinstance(item, dict):
                yield item
