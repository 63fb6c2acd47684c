"""What a task on another machine could not use, and what must not travel, is refused where it is launched, with its place."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from shop import Shop, open_shop

from dbt_flow.errors import DbtFlowError
from dbt_flow.flows.far_runs import DECOSPECS, far
from dbt_flow.pipeline.arriving import arrive, check_versions, python_version
from dbt_flow.pipeline.carrying import gather, profile_refusals, profiles_file, state_refusals, travelling
from dbt_flow.pipeline.job import Job, Options
from dbt_flow.project.project_files import project_files
from dbt_flow.settings import Flags, load_settings
from dbt_flow.spec import load_dag

PROFILE = """shop:
  target: dev
  outputs:
    dev:
      type: postgres
      host: warehouse.freight.example
      user: dbt
      password: hunter2-hunter2
      keyfile_json: {private_key: "-----BEGIN"}
    prod: {type: duckdb, path: shop.duckdb, token: "{{ env_var('T') }}"}
other:
  target: dev
  outputs: {dev: {type: postgres, password: of-another-project}}
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return open_shop(tmp_path_factory.mktemp("shop"))


def job_of(shop: Shop, **options: str) -> Job:
    settings = load_settings(Flags(project_dir=str(shop.folder)), environ={})
    return Job.of(settings, load_dag(settings, str(shop.folder / "dags/shop.yaml")), Options(**options))


def test_a_secret_in_the_profile_is_refused_with_its_line_and_is_not_shown(shop: Shop) -> None:
    (shop.folder / "profiles.yml").write_text(PROFILE)
    found = profile_refusals(job_of(shop), profiles_file(job_of(shop)))
    assert [(error.code, str(error.place)) for error in found] == [
        ("secret-in-file", "profiles.yml:8:7"),
        ("secret-in-file", "profiles.yml:9:22"),
    ]
    said = "\n".join(map(str, found))
    assert "env_var('DBT_ENV_SECRET_PASSWORD')" in said
    assert "hunter2" not in said and "of-another-project" not in said


def test_no_file_with_the_value_of_a_secret_variable_travels(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever file of the dbt project it stands in; the bucket's parse cache is one that does not answer."""
    for name, value in {"ENDPOINT_URL": "http://127.0.0.1:9", "MAX_ATTEMPTS": "1", "DEFAULT_REGION": "eu-central-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    monkeypatch.setenv("DBT_ENV_SECRET_LAKE", "hunter2-of-the-lake")
    output = f"{{type: duckdb, path: {tmp_path}/shop.duckdb}}"
    (shop.folder / "profiles.yml").write_text(f"shop: {{target: dev, outputs: {{dev: {output}}}}}\n")
    job = replace(job_of(shop), bucket="s3://freight/state", state=tmp_path / ".dbt_flow")
    macro = shop.folder / "macros" / "lake.sql"
    macro.parent.mkdir(exist_ok=True)
    macro.write_text("{% macro lake() %}'hunter2-of-the-lake'{% endmacro %}")
    try:
        with pytest.raises(DbtFlowError) as refused:
            gather(job, lambda _: None)
    finally:
        macro.unlink()
    assert refused.value.code == "secret-in-file"
    assert "macros/lake.sql holds the value of a secret variable" in refused.value.message
    assert "hunter2" not in str(refused.value)
    travels = dict(travelling(gather(job, lambda _: None)))
    assert any(name.endswith("dbt_project.yml") for name in travels.values())
    assert not [name for file, name in travels.items() if b"hunter2" in file.read_bytes()]


def test_a_database_of_this_machine_is_refused(shop: Shop) -> None:
    (shop.folder / "profiles.yml").write_text(PROFILE)
    [error] = profile_refusals(job_of(shop, target="prod"), profiles_file(job_of(shop)))
    assert (error.code, str(error.place)) == ("not-remote", "profiles.yml:10:32")


def test_state_of_this_machine_is_refused(shop: Shop) -> None:
    assert [error.code for error in state_refusals(job_of(shop))] == ["not-remote"]
    assert "s3://BUCKET/PREFIX" in str(state_refusals(job_of(shop))[0])
    assert len(state_refusals(job_of(shop, compare_to="target"))) == 2
    assert state_refusals(replace(job_of(shop), bucket="s3://freight/x")) == []


def test_the_front_door_says_all_of_it_at_once(shop: Shop) -> None:
    (shop.folder / "profiles.yml").write_text(PROFILE)
    file = str(shop.folder / "dags/shop.yaml")
    done = shop.start(
        sys.executable, "-m", "dbt_flow", "metaflow", file, "--", "run", "--with", "kubernetes", env={"PYTHONPATH": ""}
    ).end()
    assert done.code == 2, done.stderr
    assert "profiles.yml:8:7" in done.stderr and "s3://BUCKET/PREFIX" in done.stderr
    assert "Traceback" not in done.stderr and "hunter2" not in done.stderr


@pytest.mark.parametrize(
    ("words", "where"),
    [
        ("run", None),
        ("run --with card", None),
        ("run --with kubernetes", "kubernetes"),
        ("run --with=batch:cpu=2", "batch"),
        ("resume --with retry --with batch", "batch"),
        ("argo-workflows create", "kubernetes"),
        ("argo-workflows --name x create --only-json", "kubernetes"),
        ("argo-workflows trigger", None),
        ("step-functions create", "batch"),
        ("package list", "package"),
        ("--with kubernetes:image=x step end --run-id 1", None),
        ("show", None),
    ],
)
def test_which_launches_go_elsewhere(words: str, where: str | None) -> None:
    assert far(words.split(), {}) == where


def test_metaflows_own_variable_counts() -> None:
    assert far(["run"], {DECOSPECS: "kubernetes:cpu=1 retry"}) == "kubernetes"


def test_of_the_project_only_what_dbt_reads_travels(shop: Shop) -> None:
    for name in (
        ".env",
        "notes.txt",
        "models/.env",
        "models/old.duckdb",
        "seeds/key.pem",
        "target/manifest.json",
        "logs/dbt.log",
    ):
        (shop.folder / name).parent.mkdir(exist_ok=True)
        (shop.folder / name).write_text("x")
    found = {file.relative_to(shop.folder).as_posix() for file in project_files(shop.folder)}
    assert {"dbt_project.yml", "models/report.sql", "seeds/orders.csv", "macros/control.sql"} <= found
    assert not {name for name in found if name.endswith((".env", ".duckdb", ".pem", ".json", ".log", ".txt"))}


def test_a_secret_among_the_variables_is_refused(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "dbt_project.yml").write_text("name: shop\nprofile: shop\n")
    (tmp_path / "dbt_flow.yml").write_text("remote:\n  imag: x\n  variables: [PGHOST, PGPASSWORD]\n")
    done = shop.start(sys.executable, "-m", "dbt_flow", "--root", str(tmp_path), "list").end()
    assert done.code == 2
    assert "dbt_flow.yml:2:3" in done.stderr and "did you mean image?" in done.stderr
    assert "dbt_flow.yml:3:23" in done.stderr and "remote.secrets" in done.stderr


def test_a_machine_that_fits_is_no_refusal(tmp_path: Path) -> None:
    assert arrive({"dag": {}}, tmp_path) == {"dag": {}}, "no package: the Config holds as it is"
    (tmp_path / "carried").mkdir()
    (tmp_path / "carried/carried.json").write_text(json.dumps({"versions": {"python": python_version()}}))
    check_versions(tmp_path)
