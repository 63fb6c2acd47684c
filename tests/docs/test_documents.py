"""What the documents show is so: commands exist with their flags, YAML validates, links lead somewhere, settings are all there.

``docs/dag-file.md`` and ``docs/errors.md`` have further tests of their own beside what they document (``tests/spec``).
"""

from __future__ import annotations

import ast
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from dbt_flow.cli import VERBS, cli
from dbt_flow.pipeline.job import OPTION_VARIABLES
from dbt_flow.report.channels import PAGERDUTY_URL
from dbt_flow.settings import KEYS, VARIABLES, load_settings
from dbt_flow.spec import load_fleet
from dbt_flow.spec.model import DagKeys

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "dbt_project/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.S | re.M)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, *languages: str) -> list[str]:
    return [text for language, text in BLOCK.findall(page.read_text(encoding="utf-8")) if language in languages]


def commands(page: Path, program: str) -> Iterator[str]:
    """Command lines of ``program`` in shell blocks, after a prompt or not, and in inline code."""
    text = page.read_text(encoding="utf-8")
    lines = [
        line.strip().removeprefix("$ ")
        for block in blocks(page, "console", "sh", "bash", "shell")
        for line in block.splitlines()
    ]
    lines += [part.strip() for code in re.findall(r"`([^`\n]+)`", BLOCK.sub("", text)) for part in code.split("&&")]
    for line in lines:
        command = re.sub(r"^(\S*/)?(?=\w)", "", line, count=1) if line.startswith(".venv/") else line
        if re.match(rf"{program}(\s|$)", command):
            yield command


def wrong_with(line: str) -> str | None:
    """What click would not understand of a ``dbt-flow`` command line; values are not looked at."""
    words = shlex.split(line, comments=True)[1:]
    context = click.Context(cli)
    command: click.Command = cli
    for word in words:
        if word in ("--", "|", ">", "<"):
            break
        known = {option for parameter in command.params for option in parameter.opts} | {"-h", "--help"}
        if word.startswith("-") and word != "-" and word.partition("=")[0] not in known:
            return f"{command.name} has no {word}"
        if isinstance(command, click.Group) and not word.startswith("-") and word not in ("COMMAND", "VERB"):
            found = command.get_command(context, word)
            if found is None:
                return f"there is no verb {word}"
            command = found
    return None


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_exists_with_its_flags(page: Path) -> None:
    assert {line: wrong for line in commands(page, "dbt-flow") if (wrong := wrong_with(line))} == {}


def test_a_command_that_does_not_exist_is_found() -> None:
    assert wrong_with("dbt-flow rum carrier_risk") == "there is no verb rum"
    assert wrong_with("dbt-flow run carrier_risk --no-such-flag") == "run has no --no-such-flag"
    assert wrong_with("dbt-flow metaflow carrier_risk -- card --anything") is None


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    named = {line.split()[1] for line in commands(page, "make") if len(line.split()) > 1}
    assert named <= targets


def test_every_target_of_the_makefile_says_what_it_does() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.*)$", text, re.M)
    assert set(phony.split()) == set(re.findall(r"^([a-z]+):.*## \w", text, re.M))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(BLOCK.sub("", page.read_text(encoding="utf-8"))):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        file = page.parent / target if target else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(link)
    assert broken == []


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", BLOCK.sub("", page.read_text(encoding="utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "dag-file.md"], ids=name_of)
def test_every_yaml_example_validates(page: Path, tmp_path: Path) -> None:
    """A DAG file in a fleet with the example's DAGs; a ``dbt_flow.yml`` by its settings; other YAML only by its syntax."""
    for index, text in enumerate(blocks(page, "yaml", "yml")):
        said = re.match(r"# (\S+\.ya?ml)\n", text)
        root = fleet(tmp_path / str(index))
        if said and said[1] == "dbt_flow.yml":
            (root / "dbt_flow.yml").write_text(text, encoding="utf-8")
            for project in yaml.safe_load(text).get("dbt_projects", ()):
                (root / project).mkdir(parents=True, exist_ok=True)
                (root / project / "dbt_project.yml").write_text("name: freight\n")
            load_settings(start=root, environ={})
        elif set(yaml.safe_load(text)) <= {*DagKeys.model_fields, "name"}:
            name = Path(said[1] if said else "example.yaml").name
            (root / "dags" / name).write_text(text, encoding="utf-8")
            errors = load_fleet(load_settings(start=root, environ={})).errors
            allowed = {"not-yet"} if text.startswith("# not yet") else set()
            assert [str(error) for error in errors if error.code not in allowed] == [], text


def fleet(root: Path) -> Path:
    """A root with the example's DAGs, and of its settings only who starts the first of them."""
    (root / "dbt_project").mkdir(parents=True)
    (root / "dbt_project/dbt_project.yml").write_text("name: freight\n")
    (root / "dbt_flow.yml").write_text("flows: [training/ingest_carrier_files.py]\n")
    shutil.copytree(ROOT / "dags", root / "dags")
    return root


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_python_example_parses(page: Path) -> None:
    for text in blocks(page, "python"):
        ast.parse(text)


def test_every_setting_and_variable_is_on_the_platform_page() -> None:
    page = (ROOT / "docs/platform.md").read_text(encoding="utf-8")
    written = set(re.findall(r"`([A-Za-z_]+)`", page))
    assert {*VARIABLES, *OPTION_VARIABLES.values(), *KEYS} <= written
    known = {*VARIABLES, *OPTION_VARIABLES.values(), PAGERDUTY_URL, "DBT_FLOW_FEED", "DBT_FLOW_PARENT", "DBT_FLOW_LAUNCHER"}
    assert {name for name in written if name.startswith("DBT_FLOW_")} <= known


def test_every_verb_is_in_some_document() -> None:
    told = {verb for page in PAGES for line in commands(page, "dbt-flow") for verb in line.split()[1:2]}
    assert set(VERBS) <= told


def test_every_page_can_be_reached_from_the_index() -> None:
    index = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    linked = set(LINK.findall(index))
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"} <= linked


def test_the_architecture_page_has_every_floor() -> None:
    """Those that the import contract names and that are there."""
    page = (ROOT / "docs/ARCHITECTURE.md").read_text(encoding="utf-8")
    (layers,) = re.findall(r"^layers = \[(.*?)^\]", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M | re.S)
    floors = {name for name in re.findall(r"\w+", layers) if not name.startswith("__")}
    there = {
        name for name in floors if (ROOT / f"dbt_flow/{name}.py").is_file() or (ROOT / f"dbt_flow/{name}/__init__.py").is_file()
    }
    assert {name for name in there if not re.search(rf"^    .*\b{name}\b", page, re.M)} == set()
