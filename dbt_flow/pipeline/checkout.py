"""A revision of the project's git repository as a folder of files, for as long as it is looked at.

The files are written from git's own objects with an index of their own: the user's checkout, index and branches are never
touched. The folder lies in the state folder and has the same path each time, so that dbt's parse of it can be kept; what a
process that was killed has left there is removed by the next.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from dbt_flow.errors import InputError, StateError

_SLOTS = 8
"""So many processes may look at revisions at once."""


@dataclass(frozen=True)
class Revision:
    """A commit that somebody named."""

    said: str
    """As it was named: ``main``, ``HEAD~2``."""
    commit: str
    """Its full name."""
    top: Path
    """The folder of the repository's work tree."""
    told: str
    """Its short name, date and title, for people."""
    aside: int = 0
    """How many of its commits are not in what is checked out: what those did shows as undone."""


def find_revision(folder: Path, said: str) -> Revision:
    """The commit that ``said`` names, in the repository that ``folder`` lies in; ``main...`` is where it forked from ``main``.

    :raises InputError: ``unknown-revision`` when there is no git, no repository, or no such revision
    """
    top = Path(_asked(folder, "rev-parse", "--show-toplevel"))
    name = said
    if said.endswith("...") and not said.startswith("-"):
        named = _commit(top, said, said[:-3] or "HEAD")
        name = _asked(top, "merge-base", named, "HEAD", said=said)
    commit = _commit(top, said, name)
    told = _asked(top, "log", "-1", "--format=%h of %cs, %s", commit)
    aside = _git(top, "rev-list", "--count", f"HEAD..{commit}")
    return Revision(said, commit, top, told, int(aside.stdout.strip() or 0) if aside.returncode == 0 else 0)


@contextmanager
def checked_out(revision: Revision, within: Path, state: Path) -> Iterator[Path]:
    """The revision's files, in a folder that stands for the repository's top; gone afterwards, also after Ctrl-C.

    :param within: only what lies in this folder of the work tree is written
    :raises StateError: the files cannot be written
    """
    with _slot(state / "revisions") as folder:
        tree = folder / "tree"
        shutil.rmtree(tree, ignore_errors=True)
        try:
            try:
                tree.mkdir(parents=True)
                _write(revision, within, tree, folder / "index")
            except OSError as error:
                hint = "make room, or name another state folder with --state DIR"
                raise StateError("disk-full", f"cannot write the files of {revision.said}: {error}", hint=hint) from error
            yield tree
        finally:
            shutil.rmtree(tree, ignore_errors=True)
            (folder / "index").unlink(missing_ok=True)


@contextmanager
def _slot(parent: Path) -> Iterator[Path]:
    """A folder that no other process uses meanwhile: the first one, unless two look at revisions at once."""
    parent.mkdir(parents=True, exist_ok=True)
    for number in range(_SLOTS):
        lock = FileLock(parent / f"{number}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        try:
            folder = parent / str(number)
            folder.mkdir(exist_ok=True)
            yield folder
        finally:
            lock.release()
        return
    raise StateError("disk-full", f"{_SLOTS} processes look at revisions already", hint="wait for one of them to end")


def _write(revision: Revision, within: Path, tree: Path, index: Path) -> None:
    """Unlike ``git archive`` this heeds no ``export-ignore``, and unlike ``git worktree`` it leaves nothing in ``.git``."""
    index.unlink(missing_ok=True)
    environment = {**os.environ, "GIT_INDEX_FILE": str(index)}
    _asked(revision.top, "read-tree", revision.commit, environment=environment)
    part = within.relative_to(revision.top).as_posix()
    listed = _git(
        revision.top, "ls-files", "-z", "--", ":/" if part == "." else f":(top,literal){part}", environment=environment
    )
    written = _git(
        revision.top,
        "checkout-index",
        "-q",
        "-z",
        "--stdin",
        f"--prefix={tree}/",
        environment=environment,
        stdin=listed.stdout,
    )
    if listed.returncode or written.returncode:
        said = (listed.stderr or written.stderr).strip().splitlines()
        raise OSError(said[-1] if said else "git failed")


def _commit(top: Path, said: str, name: str) -> str:
    found = _git(top, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    if found.returncode == 0 and not name.startswith("-"):
        return found.stdout.strip()
    shallow = _git(top, "rev-parse", "--is-shallow-repository").stdout.strip() == "true"
    hint = "see what there is: git log --oneline, git branch --all"
    if shallow:
        hint = "the clone is shallow: git fetch --unshallow, or in GitHub Actions actions/checkout with fetch-depth: 0"
    elif name.startswith("origin/"):
        hint = f"fetch it first: git fetch origin {name.removeprefix('origin/')}"
    raise InputError("unknown-revision", f"git knows no revision {said} in {top}", hint=hint)


def _asked(folder: Path, *words: str, environment: dict[str, str] | None = None, said: str = "") -> str:
    """What git answers.

    :raises InputError: ``unknown-revision`` with git's own last words
    """
    done = _git(folder, *words, environment=environment)
    if done.returncode == 0:
        return done.stdout.strip()
    last = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1].removeprefix("fatal: ")
    if "not a git repository" in last:
        hint = "compare where the project's git repository is, or begin one: git init"
        raise InputError("unknown-revision", f"{folder} lies in no git repository", hint=hint)
    message = f"git cannot compare with {said}: {last}" if said else f"git {words[0]}: {last}"
    raise InputError("unknown-revision", message, hint="see what there is: git log --oneline, git branch --all")


def _git(
    folder: Path, *words: str, environment: dict[str, str] | None = None, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *words],
            env={**(environment or os.environ), "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"},
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
        )
    except FileNotFoundError:
        hint = "install git, and compare in a clone of the project"
        raise InputError("unknown-revision", "there is no git on this machine", hint=hint) from None
