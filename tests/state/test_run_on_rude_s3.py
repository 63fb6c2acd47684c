"""A run whose state is on S3 having a bad day: what passes is nobody's business, what stays is one clear message."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from projects import chain
from rude_s3 import RudeS3, rude_s3
from servers.moto import BUCKET, moto_server
from shop import Ran, Shop


@pytest.fixture(scope="module")
def rude(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RudeS3, dict[str, str]]]:
    with moto_server(tmp_path_factory.mktemp("moto")) as aws, rude_s3(aws.url) as between:
        yield between, {**aws.variables, "AWS_ENDPOINT_URL": between.url, "AWS_MAX_ATTEMPTS": "3"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder: Path = chain(tmp_path_factory.mktemp("rude") / "shop", "one", "two")
    (folder / "dbt_flow.yml").write_text(f"dags: dags\nstate: s3://{BUCKET}/state\n")
    found = Shop(folder)
    found.dag("all", select="*")
    yield found
    found.close()


def said(shop: Shop, env: dict[str, str], *words: str) -> Ran:
    return shop.start(sys.executable, "-m", "dbt_flow", *words, env=env).end()


def test_trouble_now_and_then_changes_nothing(shop: Shop, rude: tuple[RudeS3, dict[str, str]]) -> None:
    between, env = rude
    turn = iter(range(1_000_000))
    moods = {"GET": ["500", "half"], "PUT": ["500", "written"]}
    troubled: list[str] = []

    def mood(method: str, path: str) -> str | None:
        number = next(turn)
        if number % 4 or method not in moods:
            return None
        troubled.append(path)
        return moods[method][number // 4 % 2]

    between.mood = mood
    ran = said(shop, env, "run", "all", "--json")
    assert (ran.code, ran.json["status"]) == (0, "success"), ran.stderr
    assert len(troubled) > 5
    assert "Traceback" not in ran.stderr
    between.mood = lambda method, path: None
    [line] = said(shop, env, "history", "all", "--json").json["runs"]
    assert (line["run"], line["status"]) == (ran.json["run"], "success")


def test_trouble_that_stays_while_it_builds_is_told_once_and_the_run_can_be_retried(
    shop: Shop, rude: tuple[RudeS3, dict[str, str]]
) -> None:
    between, env = rude
    down = False

    def mood(method: str, path: str) -> str | None:
        nonlocal down
        down = down or (method == "PUT" and "/decisions-0.json" in path)
        return "500" if down else None

    between.mood = mood
    ran = said(shop, env, "run", "all", "--json")
    assert down
    assert ran.code != 0
    assert "state-unreachable" in ran.stdout or "SlowDown, 3 times" in ran.stderr, ran.stderr
    assert "Traceback" not in ran.stderr + ran.stdout
    between.mood = lambda method, path: None
    retried = said(shop, env, "retry", "all", "--json")
    assert (retried.code, retried.json["status"]) == (0, "success"), retried.stderr
    [mended, broken, *_] = said(shop, env, "history", "all", "--json").json["runs"]
    assert (mended["status"], broken["status"]) == ("success", "failed")
