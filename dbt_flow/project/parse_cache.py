"""What dbt keeps between two parses, shared by every process that works on the project.

dbt reads its cache from ``--partial-parse-file-path`` and writes a changed one into the target path, never back (dbt 1.10 and
1.11, ``ManifestLoader.write_manifest_for_partial_parse``). So each process writes a file of its own, which then replaces the
shared one in one step: a reader sees the old file or the new one, never half of one. A file that dbt cannot read costs a full
parse. So does a changed macro: dbt then parses anew the files that use it, and of a YAML file with models and a snapshot it
drops the tests without a word (seen on 1.11.16), which would make a run green for want of tests.

What rests in the cache is sealed (:mod:`.sealing`): no value of ``env_var()`` stands there in clear. The private files hold
them while dbt parses, closed to others, and are gone afterwards.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import msgpack
import yaml

from dbt_flow.errors import DbtFlowError
from dbt_flow.project.place import DbtProject
from dbt_flow.project.sealing import HEAD, is_sealed, seal, unseal
from dbt_flow.redact import at_rest

FILE_NAME = "partial_parse.msgpack"
"""dbt's own name for the file that it writes into the target path."""


class Exchange(Protocol):
    """Where machines give each other their parse caches, sealed as they are."""

    def get(self, key: str) -> bytes | None:
        """The file, or None."""

    def put(self, key: str, value: bytes) -> None:
        """Replace it in one step."""


class ParseCache:
    """The shared file of one project, profile, target, vars and set of versions."""

    def __init__(self, folder: Path, project: DbtProject, target_path: Path, exchange: Exchange | None = None) -> None:
        """:param folder: shared by all projects; made when it is not there.

        :param exchange: shared by machines; asked when the folder has no such file.
        """
        self.folder = folder
        self.exchange = exchange
        self.key = _key(project)
        self.shared = folder / f"{self.key}-{_macros(project.folder)}.msgpack"
        self.written = target_path / FILE_NAME
        self.read = target_path / f"before-{FILE_NAME}"

    def prepare(self) -> list[str]:
        """Make dbt's two files, closed to others: what it reads, when there is something, and what it will write, empty.

        :returns: the flags that dbt needs for it.
        """
        self.drop()
        os.close(os.open(self.written, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._fetch()
            if not self._open_sealed():
                os.link(self.shared, self.read)  # the same file under a second name: it outlives a replacement
        except FileNotFoundError:
            return []
        except OSError:  # another disk, or a file system without links
            try:
                os.close(os.open(self.read, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
                shutil.copyfile(self.shared, self.read)
            except OSError:
                return []
        except (ValueError, KeyError):  # damaged
            return []
        return ["--partial-parse-file-path", str(self.read)]

    def _fetch(self) -> None:
        """Take the file that another machine has left, if this one has none."""
        if self.exchange is None or self.shared.exists():
            return
        with suppress(DbtFlowError):  # a cache that cannot be had costs time
            found = self.exchange.get(f"parse/{self.shared.name}")
            if found is not None:
                self.replace(found)

    def replace(self, sealed: bytes) -> None:
        """Write the shared file in one step."""
        handle, copy = tempfile.mkstemp(dir=self.folder, prefix=".new-")  # 0600, and on the shared file's own disk
        try:
            with os.fdopen(handle, "wb") as fresh:
                fresh.write(sealed)
            Path(copy).replace(self.shared)
        finally:
            Path(copy).unlink(missing_ok=True)

    def _open_sealed(self) -> bool:
        """Write what dbt is to read, if the shared file is sealed; a plain one is left to be linked."""
        with self.shared.open("rb") as shared:
            if not is_sealed(shared.read(HEAD)):
                return False
            shared.seek(0)
            raw = unseal(shared.read())
        with os.fdopen(os.open(self.read, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as private:
            private.write(raw)
        return True

    def keep(self) -> None:
        """Let what dbt wrote replace the shared file, if it wrote anything. A full disk costs the cache, not the run."""
        try:
            if self.written.stat().st_size:
                sealed = seal(self.written.read_bytes())
                if sealed is None:
                    self.forget()
                    return
                self.replace(sealed)
                for older in self.folder.glob(f"{self.key}-*.msgpack"):  # of other macros
                    if older != self.shared:
                        older.unlink(missing_ok=True)
                if self.exchange is not None and at_rest(sealed) == sealed:
                    self.exchange.put(f"parse/{self.shared.name}", sealed)
        except (OSError, ValueError, DbtFlowError):
            pass
        finally:
            self.drop()

    def drop(self) -> None:
        """Remove the private files."""
        with suppress(OSError):
            self.written.unlink(missing_ok=True)
            self.read.unlink(missing_ok=True)

    def forget(self) -> None:
        """Remove the shared file: it led dbt astray."""
        with suppress(OSError):
            self.shared.unlink(missing_ok=True)


def carried_parse(kept: ParseCache) -> bytes | None:
    """The shared file as it may travel, sealed; None when there is none, or when it may not."""
    try:
        raw = kept.shared.read_bytes()
        return raw if is_sealed(raw) else seal(raw)
    except (OSError, ValueError):
        return None


def settle_here(kept: ParseCache, carried: bytes, before: str, now: str) -> None:
    """Make a parse that was carried the shared file of this machine, with the project's folder as it is called here.

    :param before: the project's folder where it was parsed; ``now``: here.
    """
    with suppress(OSError, ValueError, KeyError, TypeError):  # a cache that cannot be used costs time
        sealed = seal(moved(unseal(carried), before, now))
        if sealed is not None:
            kept.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            kept.replace(sealed)


def moved(raw: bytes, before: str, now: str) -> bytes:
    """A packed manifest whose seeds and files lie in another folder now."""
    manifest = msgpack.unpackb(raw, raw=False, strict_map_key=False)
    paths = [(file.get("path") or {}, "project_root") for file in (manifest.get("files") or {}).values()]
    paths += [(node, "root_path") for node in (manifest.get("nodes") or {}).values()]
    for holder, key in paths:
        said = holder.get(key)
        if isinstance(said, str) and (said == before or said.startswith(f"{before}/")):
            holder[key] = now + said[len(before) :]
    return bytes(msgpack.packb(manifest, use_bin_type=True))


@cache
def dbt_versions() -> Mapping[str, str]:
    """Every installed distribution of dbt and its adapters, with its version: ``{"dbt-core": "1.11.16", ...}``.

    Read from the names of their folders: asking ``importlib.metadata`` for all that is installed costs a quarter of a second.
    """
    found: dict[str, str] = {}
    for folder in (Path(entry) for entry in sys.path if entry):
        for mark in folder.glob("dbt_*.dist-info"):
            name, _, version = mark.name.removesuffix(".dist-info").partition("-")
            found.setdefault(name.replace("_", "-"), version)
    return {name: found[name] for name in sorted(found) if name != "dbt-flow"}


def _key(project: DbtProject) -> str:
    parts = [
        str(project.folder.resolve()),
        str(project.profiles_dir.resolve()) if project.profiles_dir else os.environ.get("DBT_PROFILES_DIR", ""),
        project.target or os.environ.get("DBT_TARGET", ""),
        json.dumps(dict(project.vars), sort_keys=True, default=str),
        json.dumps(dict(dbt_versions())),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _macros(folder: Path) -> str:
    """A digest of every macro that the project and its packages hold, generic tests included."""
    settings = project_settings(folder)
    roots = [folder / name for name in project_paths(settings, "macro-paths", "macros")]
    roots += [folder / name / "generic" for name in project_paths(settings, "test-paths", "tests")]
    packages = settings.get("packages-install-path")
    roots += sorted((folder / (packages if isinstance(packages, str) else "dbt_packages")).glob("*/macros"))
    digest = hashlib.sha256()
    for file in (file for root in roots for file in sorted(root.rglob("*.sql"))):
        with suppress(OSError):
            digest.update(str(file.relative_to(folder)).encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def project_settings(folder: Path) -> dict[str, Any]:
    """``dbt_project.yml`` as far as it can be read; what is wrong with it dbt will say."""
    with suppress(OSError, ValueError, yaml.YAMLError):
        found = yaml.safe_load((folder / "dbt_project.yml").read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    return {}


def project_paths(settings: Mapping[str, Any], key: str, default: str | None) -> list[str]:
    """The folders that a key of ``dbt_project.yml`` names, or the default."""
    said = settings.get(key)
    if isinstance(said, list):
        return [path for path in said if isinstance(path, str)]
    return [] if default is None else [default]
