"""The site builds offline without a broken link; the command line's page and its commands agree; recipes select something."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import click
import pytest
from cli_page import PAGE, page

from dbt_flow.cli import VERBS, cli
from dbt_flow.settings import load_settings
from dbt_flow.spec import load_fleet

ROOT = Path(__file__).parents[2]


def test_the_page_of_the_command_line_is_what_help_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "write it anew: python tests/desk/cli_page.py"


def test_every_verb_and_option_is_on_it() -> None:
    text = PAGE.read_text(encoding="utf-8")
    context = click.Context(cli, info_name="dbt-flow")
    for name in VERBS:
        command = cli.get_command(context, name)
        assert command is not None
        assert f"### dbt-flow {name}\n" in text
        assert (command.help or "").strip()
        part = text.partition(f"### dbt-flow {name}\n")[2].partition("\n### ")[0]
        inner = [command, *(getattr(command, "commands", {}).values())]
        options = {
            option for each in inner for parameter in each.params for option in parameter.opts if option.startswith("--")
        }
        assert {option for option in options - {"--help"} if not re.search(rf"{option}\b", part)} == set()


class Links(HTMLParser):
    """What a page of HTML leads to, loads, and can be jumped to."""

    def __init__(self) -> None:
        super().__init__()
        self.leads: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.leads.append(found["href"])
        elif tag in ("script", "img", "iframe", "source") and "src" in found:
            self.loads.append(found["src"])
        elif tag == "link" and "href" in found and found.get("rel") != "canonical":
            self.loads.append(found["href"])


def build(source: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(source / "mkdocs.yml"), "-d", str(out)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Links]:
    pytest.importorskip("mkdocs", reason="mkdocs is not installed")
    out = tmp_path_factory.mktemp("site") / "site"
    done = build(ROOT, out)
    assert done.returncode == 0, done.stderr
    found = {}
    for file in out.rglob("*.html"):
        found[file] = Links()
        found[file].feed(file.read_text(encoding="utf-8"))
    return found


def test_the_site_has_every_page(site: dict[Path, Links]) -> None:
    assert {page.stem for page in (ROOT / "docs").glob("*.md")} <= {file.stem for file in site}


def test_no_link_and_no_anchor_is_broken(site: dict[Path, Links]) -> None:
    broken = []
    for file, links in site.items():
        for link in links.leads:
            path, _, anchor = link.partition("#")
            if "://" in link or link.startswith("mailto:") or file.name == "404.html":
                continue
            there = (file.parent / path).resolve() if path else file
            there = there / "index.html" if there.is_dir() else there
            if not there.exists() or (anchor and there in site and anchor not in site[there].anchors):
                broken.append(f"{file.name}: {link}")
    assert broken == []


def test_nothing_comes_from_elsewhere(site: dict[Path, Links]) -> None:
    assert {load for links in site.values() for load in links.loads if re.match(r"(https?:)?//", load)} == set()


@pytest.mark.parametrize("wrong", ["[lost](no-such-page.md)", "[lost](dag-file.md#no-such-part)"])
def test_a_broken_link_fails_the_build(tmp_path: Path, wrong: str) -> None:
    pytest.importorskip("mkdocs", reason="mkdocs is not installed")
    for name in ("docs", "dbt_project/README.md", "CONTRIBUTING.md", "CHANGELOG.md", "README.md", "mkdocs.yml"):
        there = tmp_path / name
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(ROOT / name, there) if (ROOT / name).is_dir() else shutil.copy(ROOT / name, there)
    with (tmp_path / "docs/index.md").open("a", encoding="utf-8") as stream:
        stream.write(f"\n{wrong}\n")
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode != 0
    assert "no-such" in done.stderr


def test_every_recipe_is_good_beside_the_example_and_dbt_selects_something(tmp_path: Path) -> None:
    """The whole fleet at once, as dbt sees the example's project."""
    from dbt_flow.pipeline.prepare import check_selections  # noqa: PLC0415 - loads dbt

    for name in ("dbt_flow.yml", "dags", "dbt_project"):
        source = ROOT / name
        shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("*.duckdb*", "target", "logs")) if (
            source.is_dir()
        ) else shutil.copy(source, tmp_path / name)
    (tmp_path / "training").symlink_to(ROOT / "training")
    recipes = {}
    for page_name in ("cookbook.md", "analysts.md"):
        text = (ROOT / "docs" / page_name).read_text(encoding="utf-8")
        for name, body in re.findall(r"^```yaml\n# dags/(\S+)\n(.*?)^```", text, re.S | re.M):
            recipes[name] = body
    assert len(recipes) >= 10
    for name, body in recipes.items():
        file = tmp_path / "dags" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(body, encoding="utf-8")
    settings = load_settings(start=tmp_path, environ={})
    fleet = load_fleet(settings)
    assert [str(error) for error in fleet.errors] == []
    assert [str(error) for error in check_selections(settings, fleet.dags)] == []
