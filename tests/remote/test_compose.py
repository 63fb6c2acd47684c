"""``docker-compose.yml``: everything on loopback, everything watched, no secret in it, and what it needs is in the docs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from dbt_flow.redact import secret_name

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
VARIABLE = re.compile(r"\$\{(\w+)")
STACK: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = STACK["services"]
NO_PASSWORD = ("METAFLOW_USER", "AWS_ACCESS_KEY_ID")
COMPOSES_OWN = {"COMPOSE_PROJECT_NAME": "freight"}
"""What Compose itself reads; not every version takes the project's name from the file."""


def ends_by_itself(service: dict[str, Any]) -> bool:
    return str(service["restart"]) == "on-failure"


@pytest.mark.parametrize("name", SERVICES)
def test_a_port_is_bound_to_loopback(name: str) -> None:
    assert [port for port in SERVICES[name].get("ports", ()) if not port.startswith("127.0.0.1:")] == []
    assert "network_mode" not in SERVICES[name] and not SERVICES[name].get("privileged")


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_watched_and_what_others_wait_for_is_there(name: str) -> None:
    service = SERVICES[name]
    assert ends_by_itself(service) or service["healthcheck"]["test"]
    for other, wait in service.get("depends_on", {}).items():
        if wait["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other]
        if wait["condition"] == "service_completed_successfully":
            assert ends_by_itself(SERVICES[other])


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_stands_in_it(name: str) -> None:
    for key, value in SERVICES[name].get("environment", {}).items():
        if (secret_name(key) or key.endswith("_PSWD")) and key not in NO_PASSWORD:
            assert re.fullmatch(r"\$\{\w+:[?-][^}]*\}", value), f"{key} must come from the environment"


def test_images_are_pinned_and_volumes_are_named() -> None:
    images = [service["image"] for service in SERVICES.values() if "image" in service]
    assert all(":" in image and not image.endswith(":latest") for image in images)
    mounted = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())}
    assert {name for name in mounted if not name.startswith(".")} == set(STACK["volumes"])


def test_every_variable_is_in_the_example_and_in_the_docs() -> None:
    wanted = set(VARIABLE.findall(FILE.read_text(encoding="utf-8")))
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert wanted == set(re.findall(r"^(\w+)=", example, re.M)) - {*COMPOSES_OWN}
    page = (ROOT / "docs/stack.md").read_text(encoding="utf-8")
    assert sorted(name for name in (*wanted, *COMPOSES_OWN) if f"`{name}`" not in page) == []
    given = dict(re.findall(r"^(\w+)=(.*)$", example, re.M))
    assert {name: value for name, value in given.items() if value} == {"FREIGHT_S3_USER": "freight", **COMPOSES_OWN}


def test_git_and_docker_leave_the_secrets_alone() -> None:
    assert ".env" in (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    assert (ROOT / ".dockerignore").read_text(encoding="utf-8").startswith("*\n"), "only what is named goes into the image"


@pytest.fixture(scope="module", params=["docker compose", "docker-compose"])
def compose(request: pytest.FixtureRequest) -> list[str]:
    """Compose v2 as Docker's plugin, and the older program, which knows less."""
    words = str(request.param).split()
    if not shutil.which(words[0]) or subprocess.run([*words, "version"], capture_output=True, check=False).returncode:
        pytest.skip(f"no `{request.param}` here; on Debian: apt-get install docker-compose")
    return words


def asked(compose: list[str], folder: Path, dotenv: str, *words: str) -> subprocess.CompletedProcess[str]:
    """What ``config`` says, with an ``.env`` and nothing from this environment."""
    (folder / "dotenv").write_text(dotenv)
    taken = {*VARIABLE.findall(FILE.read_text(encoding="utf-8")), *COMPOSES_OWN}
    command = [*compose, "--env-file", str(folder / "dotenv"), "-f", str(FILE), "config", *words]
    env = {name: value for name, value in os.environ.items() if name not in taken}
    return subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, check=False)


def test_compose_takes_it_with_the_example_filled_in(compose: list[str], tmp_path: Path) -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    done = asked(compose, tmp_path, re.sub(r"^(\w+)=$", r"\1=of-\1", example, flags=re.M))
    assert done.returncode == 0, done.stderr
    services = yaml.safe_load(done.stdout)["services"]
    assert set(services) == set(SERVICES)
    for name, service in services.items():
        for port in service.get("ports", ()):
            bound = port["host_ip"] if isinstance(port, dict) else port.split(":")[0]
            assert bound == "127.0.0.1", f"{name} listens to the world: {port}"
        for key, value in service.get("environment", {}).items():
            if (secret_name(key) or key.endswith("_PSWD")) and key not in NO_PASSWORD:
                assert str(value).startswith("of-"), f"{key} of {name} is not from .env"
        assert ends_by_itself(service) or service["healthcheck"]["test"]


def test_compose_says_what_is_missing(compose: list[str], tmp_path: Path) -> None:
    done = asked(compose, tmp_path, "FREIGHT_S3_USER=freight\n", "--quiet")
    assert done.returncode != 0
    assert "see .env.example" in done.stderr and "Traceback" not in done.stderr
