"""The tree: no machine's path and no registry's host in any tracked file; the lock names all that is needed, and no place."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
# Written in parts, so that this file does not bear what it looks for.
MACHINES = re.compile(
    "|".join(["/ro" + "ot/", "/ho" + r"me/\w", "/Us" + r"ers/\w", "/wo" + "rk/", r"C:\\Us" + "ers", "/tm" + r"p/\w+/\w"])
)
REGISTRIES = re.compile(
    "|".join(["pypi" + r"\.org", "python" + "hosted", "anaconda" + r"\.org", "index-" + r"url[= ]+\S*//"]), re.I
)
LOCK = ROOT / "requirements.lock"


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name]


@pytest.mark.parametrize("pattern", [MACHINES, REGISTRIES], ids=["paths of a machine", "hosts of a package registry"])
def test_no_tracked_file_names(pattern: re.Pattern[str]) -> None:
    found = []
    for path in tracked():
        if path.suffix in (".png", ".duckdb") or not path.is_file():
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if match := pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {match[0]}")
    assert found == []


def test_nothing_that_is_made_is_tracked() -> None:
    made = re.compile(r"(^|/)(\.venv|\.dbt_flow|\.metaflow|__pycache__|target|logs|dist|build)/|\.(duckdb|whl|pyc|log)$")
    assert [name for path in tracked() if made.search(name := path.relative_to(ROOT).as_posix())] == []


def names(requirements: list[str]) -> set[str]:
    return {re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", text)[0]).lower() for text in requirements}  # type: ignore[index]


def test_the_lock_has_every_dependency_and_no_host() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = names([*project["project"]["dependencies"], *project["dependency-groups"]["dev"]])
    wanted |= names(project["project"]["optional-dependencies"]["postgres"])
    text = LOCK.read_text(encoding="utf-8")
    locked = names(re.findall(r"^[\w.-]+(?=[=\[])", text, re.M))
    assert wanted - locked == set(), "make lock"
    assert "://" not in text
    assert not re.search(r"^-", text, re.M), "an option in the lock"


def test_each_package_of_the_lock_has_a_version_and_hashes() -> None:
    entries = re.split(r"\n(?=\w)", LOCK.read_text(encoding="utf-8").split("\n", 2)[2])
    for entry in entries:
        assert re.match(r"[\w.-]+(\[[\w,-]+\])?==\S+ ", entry), entry
        assert "--hash=sha256:" in entry, entry


def test_no_module_has_a_name_that_holds_the_world() -> None:
    names = {path.stem for path in (ROOT / "dbt_flow").rglob("*")}
    assert not {"utils", "common", "helpers", "base", "manager"} & names
