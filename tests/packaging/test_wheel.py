"""The wheel: what is in it and what is not. (That Metaflow finds its card is tested in ``tests/card``.)"""

from __future__ import annotations

import configparser
import email
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CARD = "metaflow_extensions/dbt_flow/plugins/cards/dbt_run/"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built as ``make wheel`` does, without a network, from links to what is packaged."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "dbt_flow", "cards"):
        (source / name).symlink_to(ROOT / name)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built)


def test_it_holds_every_file_of_the_package_and_of_the_card(wheel: zipfile.ZipFile) -> None:
    folders = {"dbt_flow": ROOT / "dbt_flow", "metaflow_extensions": ROOT / "cards/metaflow_extensions"}
    wanted = {
        f"{name}/{path.relative_to(folder).as_posix()}"
        for name, folder in folders.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wanted <= set(wheel.namelist())
    assert {f"{CARD}{name}" for name in ("__init__.py", "run.html", "run.css", "run.js")} <= wanted


def test_it_holds_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {re.sub(r"-[0-9.]+\.dist-info", "", top) for top in tops} == {"dbt_flow", "metaflow_extensions"}
    assert not [name for name in wheel.namelist() if "test" in name.lower() or "__pycache__" in name]


def test_metaflow_extensions_stays_a_namespace(wheel: zipfile.ZipFile) -> None:
    """An ``__init__.py`` there would hide every other extension of Metaflow."""
    assert "metaflow_extensions/__init__.py" not in wheel.namelist()


def test_its_metadata(wheel: zipfile.ZipFile) -> None:
    (folder,) = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    told = email.message_from_bytes(wheel.read(f"{folder}/METADATA"))
    assert told["Name"] == "dbt-flow"
    assert told["License-Expression"] == "Apache-2.0"
    assert f"{folder}/licenses/LICENSE" in wheel.namelist()
    assert "Apache License" in wheel.read(f"{folder}/licenses/LICENSE").decode()
    scripts = configparser.ConfigParser()
    scripts.read_string(wheel.read(f"{folder}/entry_points.txt").decode())
    assert dict(scripts["console_scripts"]) == {"dbt-flow": "dbt_flow.cli:main"}


def test_importing_the_package_imports_nothing_else(tmp_path: Path) -> None:
    """dbt imports it as a plugin candidate, so it must cost nothing and cannot fail."""
    ask = "import sys; before = set(sys.modules); import dbt_flow; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", ask], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['dbt_flow']"
