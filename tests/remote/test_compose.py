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
    assert wanted == set(re.findall(r"^(\w+)=", example, re.M))
    page = (ROOT / "docs/stack.md").read_text(encoding="utf-8")
    assert sorted(name for name in wanted if f"`{name}`" not in page) == []
    given = dict(re.findall(r"^(\w+)=(.*)$", example, re.M))
    assert {name: value for name, value in given.items() if value} == {"FREIGHT_S3_USER": "freight"}


def test_git_and_docker_leave_the_secrets_alone() -> None:
    assert ".env" in (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    assert (ROOT / ".dockerignore").read_text(encoding="utf-8").startswith("*\n"), "only what is named goes into the image"


def test_compose_itself_takes_it() -> None:
    program = next((words for words in (["docker", "compose"], ["docker-compose"]) if _runs([*words, "version"])), None)
    if program is None:
        pytest.skip("no docker compose here")
    values = dict.fromkeys(VARIABLE.findall(FILE.read_text(encoding="utf-8")), "a-value-of-its-own")
    command = [*program, "-f", str(FILE), "config", "--quiet"]
    done = subprocess.run(command, env={**os.environ, **values}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    bare = {name: value for name, value in os.environ.items() if name not in values}
    done = subprocess.run(command, env=bare, cwd=ROOT / "tests", capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "see .env.example" in done.stderr


def _runs(command: list[str]) -> bool:
    return bool(shutil.which(command[0])) and subprocess.run(command, capture_output=True, check=False).returncode == 0
