"""Metaflow finds the card from any folder, editable and as a wheel, and renders what a task left behind.

Metaflow swallows every mistake of a card extension, so only asking Metaflow itself proves anything.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import card_runs
from card_page import Page

from dbt_flow.report.card import card_document

ROOT = Path(__file__).parents[2]
ASK = (
    "import sys; from metaflow.plugins import CARDS; import metaflow_extensions.dbt_flow.plugins.cards.dbt_run as shim;"
    "print([c.type for c in CARDS].count('dbt_run'), shim.__file__,"
    "[m for m in ('jinja2', 'dbt_flow', 'dbt', 'networkx') if m in sys.modules])"
)
RENDER = "import sys; from dbt_flow.report.card import render; print(render({})); assert 'metaflow' not in sys.modules"
FLOW = """
import json
from metaflow import FlowSpec, card, step

class LeavesACard(FlowSpec):
    @card(type="dbt_run")
    @step
    def start(self):
        self.next(self.end)

    @card(type="dbt_run")
    @step
    def end(self):
        self.card_document = json.load(open({document!r}))

if __name__ == "__main__":
    LeavesACard()
"""


def run(command: list[str], folder: Path, **environment: str) -> str:
    quiet = {
        "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(folder),
        "METAFLOW_HOME": str(folder / "home"),
        "METAFLOW_USER": "tester",
        "METAFLOW_DEFAULT_DATASTORE": "local",
        "METAFLOW_DEFAULT_METADATA": "local",
    }
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **quiet, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_editable_it_is_found_from_any_folder_and_imports_nothing(tmp_path) -> None:
    told = run([sys.executable, "-c", ASK], tmp_path).split(maxsplit=2)
    assert told[0] == "1" and told[2].strip() == "[]"
    assert Path(told[1]).is_relative_to(ROOT)


def test_as_a_wheel_it_is_found_with_its_template(tmp_path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "dbt_flow", "cards"):
        if (ROOT / name).exists():
            (source / name).symlink_to(ROOT / name)
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")], source)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(site)
    # -S leaves .pth files unread: the editable install is out of sight, and only the wheel can answer.
    path = os.pathsep.join([str(site), sysconfig.get_path("purelib")])
    told = run([sys.executable, "-S", "-c", ASK], tmp_path, PYTHONPATH=path).split(maxsplit=2)
    assert told[0] == "1" and told[2].strip() == "[]"
    assert Path(told[1]).is_relative_to(site)
    page = run(
        [
            sys.executable,
            "-S",
            "-c",
            RENDER,
        ],
        tmp_path,
        PYTHONPATH=path,
    )
    assert "Nothing to show here" in page


def test_a_task_leaves_a_document_and_metaflow_shows_its_card(tmp_path) -> None:

    document = tmp_path / "document.json"
    document.write_text(json.dumps(card_document(*card_runs.failing())))
    flow = tmp_path / "leaves_a_card.py"
    flow.write_text(FLOW.format(document=str(document)))
    run([sys.executable, str(flow), "run", "--run-id-file", "run.txt"], tmp_path)
    number = (tmp_path / "run.txt").read_text().strip()
    shown = {}
    for step in ("start", "end"):
        (task,) = [p.name for p in (tmp_path / ".metaflow" / "LeavesACard" / number / step).iterdir() if p.name.isdigit()]
        file = tmp_path / f"{step}.html"
        run([sys.executable, str(flow), "card", "get", f"{number}/{step}/{task}", str(file)], tmp_path)
        shown[step] = Page(file.read_text())
    assert shown["end"].one(cls="verdict").text == "✕Failed"
    assert len(shown["end"].all("article", "cause")) == 3
    assert "left nothing to show" in shown["start"].one("main").text
