"""What dbt keeps between two parses, shared by every process that works on the project.

dbt reads its cache from ``--partial-parse-file-path`` and writes a changed one into the target path, never back (dbt 1.10 and
1.11, ``ManifestLoader.write_manifest_for_partial_parse``). So each process writes a file of its own, which then replaces the
shared one in one step: a reader sees the old file or the new one, never half of one. A file that dbt cannot read costs a
full parse. What rests in the cache is sealed (:mod:`.sealing`): no value of ``env_var()`` stands there in clear. The private
files hold them while dbt parses, closed to others, and are gone afterwards.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

from dbt_flow.project.place import DbtProject
from dbt_flow.project.sealing import HEAD, is_sealed, seal, unseal

FILE_NAME = "partial_parse.msgpack"
"""dbt's own name for the file that it writes into the target path."""


class ParseCache:
    """The shared file of one project, profile, target, vars and set of versions."""

    def __init__(self, folder: Path, project: DbtProject, target_path: Path) -> None:
        """:param folder: shared by all projects; made when it is not there."""
        self.folder = folder
        self.shared = folder / f"{_key(project)}.msgpack"
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
                handle, copy = tempfile.mkstemp(dir=self.folder, prefix=".new-")  # 0600, and on the shared file's own disk
                try:
                    with os.fdopen(handle, "wb") as fresh:
                        fresh.write(sealed)
                    Path(copy).replace(self.shared)
                finally:
                    Path(copy).unlink(missing_ok=True)
        except (OSError, ValueError):
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


@cache  # reading what is installed costs 0.1 s, and does not change in a process
def dbt_versions() -> Mapping[str, str]:
    """Every installed distribution of dbt and its adapters, with its version: ``{"dbt-core": "1.11.16", ...}``."""
    found = {(dist.metadata["Name"] or "").lower(): dist.version for dist in distributions()}
    return {name: found[name] for name in sorted(found) if name.startswith("dbt-") and name != "dbt-flow"}


def _key(project: DbtProject) -> str:
    parts = [
        str(project.folder.resolve()),
        str(project.profiles_dir.resolve()) if project.profiles_dir else os.environ.get("DBT_PROFILES_DIR", ""),
        project.target or os.environ.get("DBT_TARGET", ""),
        json.dumps(dict(project.vars), sort_keys=True, default=str),
        json.dumps(dict(dbt_versions())),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
