"""A warehouse that refuses: each time one clear message with what to do, and nothing half-written."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from cut_project import left_over
from servers.fakesnow import Snow
from servers.postgres import Database
from servers.snow_gate import gate
from warehouse_shop import open_on

from dbt_flow.errors import ProjectError
from dbt_flow.plan.making import make_plan
from dbt_flow.project.connecting import connected
from dbt_flow.project.place import DbtProject
from dbt_flow.project.warehouse_words import advice
from dbt_flow.records import Facts, Node, NodeResult, RunResult, Target
from dbt_flow.report.card import card_document, render
from dbt_flow.run.labels import snowsight


def refused(folder: Path, output: dict[str, object]) -> ProjectError:
    """What is said when the output's warehouse does not let us in."""
    (folder / "dbt_project.yml").write_text("name: shop\nprofile: shop\n")
    (folder / "profiles.yml").write_text(yaml.safe_dump({"shop": {"target": "dev", "outputs": {"dev": output}}}))
    with pytest.raises(ProjectError) as error, connected(DbtProject(folder, None, "dev"), "a test"):
        pass
    return error.value


def test_postgresql_does_not_let_us_in(a_database: Callable[[], Database], tmp_path: Path) -> None:
    database = a_database()
    nobody = refused(tmp_path, database.output(user="nobody_here"))
    assert (nobody.code, nobody.message.partition(":")[0]) == ("warehouse", "the login is refused")
    assert "check user and password" in str(nobody.hint)
    nowhere = refused(tmp_path, database.output(dbname="no_such_database"))
    assert nowhere.message.startswith("there is no such database")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        down = refused(tmp_path, {**database.output(), "port": closed.getsockname()[1]})
    assert down.message.startswith("the warehouse cannot be reached")


@pytest.mark.parametrize(
    ("code", "message", "told"),
    [
        ("390100", "Incorrect username or password was specified.", "the login is refused"),
        ("390144", "JWT token is invalid.", "Snowflake does not know the key pair"),
        ("390318", "OAuth access token expired. [1172527951366]", "the login has expired"),
        ("394400", "Programmatic access token is invalid.", "Snowflake does not know the token"),
        ("394508", "Multi-factor authentication is required for this account.", "the login wants a second factor"),
        ("390101", "User access disabled. Contact your local system administrator.", "the login is refused"),
        (
            "390420",
            "Incoming request with IP/Token 10.1.2.3 is not allowed to access Snowflake. Contact your account administrator.",
            "a network policy of the account keeps this machine out",
        ),
        (
            "390189",
            "Role 'LOADER' specified in the connect string is not granted to this user.",
            "the profile's role is not this user's",
        ),
    ],
)
def test_snowflake_does_not_let_us_in(code: str, message: str, told: str, tmp_path: Path) -> None:
    with gate(login=(code, message)) as closed:
        error = refused(tmp_path, Snow(closed.port).output(password="quite secret"))
    assert (error.code, error.message.partition(":")[0]) == ("warehouse", told)
    assert message.partition(".")[0] in error.message
    assert error.hint
    assert "quite secret" not in str(error)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("000606 (57P03): No active warehouse selected in the current session.", "no warehouse runs the query"),
        (
            "090073 (22000): Warehouse 'SMALL' cannot be resumed because resource monitor 'M' has exceeded its quota.",
            "the warehouse is suspended",
        ),
        (
            "090105 (22000): Cannot perform CREATE SCHEMA. This session does not have a current database.",
            "the database is not there, or the role cannot see it",
        ),
        (
            "002003 (02000): SQL compilation error:\nDatabase 'FREIGHT' does not exist or not authorized.",
            "the database is not there, or the role cannot see it",
        ),
        (
            "002043 (02000): SQL compilation error:\nObject does not exist, or operation cannot be performed.",
            "it is not there, or the role cannot see it",
        ),
        (
            "000630 (57014): Statement reached its statement or warehouse timeout of 60 second(s) and was canceled.",
            "the query took longer than Snowflake lets it",
        ),
        (
            "290404: 404 Not Found: post https://acme-nope.snowflakecomputing.com:443/session/v1/login-request?request_id=1",
            "there is no such account",
        ),
        ("003001 (42501): Insufficient privileges to operate on table 'ORDERS'", "a grant is missing"),
        ("002003 (02000): Schema 'SHOP.RAW' does not exist or not authorized.", "the role cannot see or use a schema"),
        (
            "002003 (42S02): Object 'RAW.ORDERS' does not exist or not authorized.",
            "it is not there, or the role cannot see it",
        ),
        ('permission denied for schema raw\nLINE 1: select * from "raw"."orders"', "the role cannot see or use a schema"),
        ("permission denied for table orders", "a grant is missing"),
        ("terminating connection due to administrator command", "the connection was cut"),
        ("FATAL: sorry, too many clients already", "the server has no connection left"),
    ],
)
def test_what_a_refusal_asks_for(message: str, told: str) -> None:
    found = advice(message)
    assert found is not None
    assert (found.what, bool(found.hint)) == (told, True)


@pytest.mark.parametrize("message", ["division by zero", 'relation "x" does not exist', "IO Error: Permission denied"])
def test_nothing_is_said_of_what_is_not_known(message: str) -> None:
    assert advice(message) is None


def test_a_role_that_may_not_read_what_it_needs(a_database: Callable[[], Database], tmp_path: Path) -> None:
    database = a_database()
    shop = open_on(database, tmp_path / "shop", user=(reader := f"reader_{database.name}"))
    database.sql(f"create role {reader} login")
    database.sql(f'grant create on database "{database.name}" to {reader}')
    database.sql(f"grant usage on schema told to {reader}")
    ran = shop.run()
    shop.close()
    assert ran.code == 1, ran.stderr
    assert ran.statuses["slow"] == "error"
    assert ran.node("slow")["reason"].startswith("a grant is missing: grant what the message names")
    assert left_over(database) == []


def test_each_query_bears_dag_run_and_node(a_snow: Callable[[], Snow], fakesnow_port: int, tmp_path: Path) -> None:
    with gate(fakesnow_port) as passing:
        snow = a_snow()
        few = {"select": "customers stg_customers slow", "isolate": "slow"}
        shop = open_on(snow, tmp_path / "shop", bad=(), dags={"few": few}, port=passing.port)
        (shop.folder / "dbt_flow.yml").write_text("links: {query: 'https://snow.example/{target}/{query}'}\n")
        passing.refused["as id, (select"] = (
            "003001",
            "SQL access control error:\nInsufficient privileges to operate on table 'TOLD'",
        )
        ran = shop.run("few")
        shop.close()
    assert ran.code == 1, ran.stderr
    run = ran.json["run"]
    [tag] = {tag for sql, tag in passing.seen if "stg_customers" in sql and sql.startswith("create or replace view")}
    assert json.loads(tag).items() >= {"dag": "few", "run": run, "node": "model.shop.stg_customers"}.items()
    good, bad = ran.node("stg_customers"), ran.node("slow")
    assert good["query"]["warehouse"] == "SMALL"
    assert good["query"]["tag"] == tag
    assert len(good["query"]["id"]) == 36
    assert bad["status"] == "error"
    assert bad["query"]["id"] == "01b2c3d4-0000-1111-2222-333344445555", "of a failed query the message tells it"
    assert bad["query"]["link"] == f"https://snow.example/dev/{bad['query']['id']}"
    assert bad["reason"].startswith("a grant is missing: grant what the message names")


def test_the_card_leads_to_the_query_of_a_failure() -> None:
    link = "https://app.snowflake.com/acme/main/#/compute/history/queries/01b2/detail"
    query = {"id": "01b2", "warehouse": "SMALL", "tag": '{"dag":"few"}', "link": link}
    node = Node("model.shop.slow", "model", "slow", "shop", "models/slow.sql")
    plan = make_plan("few", "shop", Target("dev", "snowflake", "dev"), Facts((node,), (), (), {}), vars={})
    failed = NodeResult(node.id, "error", message="no", query=query)
    result = RunResult("few", "Few", "Few/1", "failed", "one failed", "dev", "2026-11-21T06:00:00Z", nodes=(failed,))
    page = render(card_document(plan, result))
    assert page.count(f'href="{link}"') == 2, "in the cause, and in the table of models"
    assert "on SMALL" in page
    assert '"query_page":"https://app.snowflake.com/acme/main/#/compute/history/queries/{query}/detail"' in page


def test_where_a_query_is_shown() -> None:
    there = "https://app.snowflake.com/{}/#/compute/history/queries/{{query}}/detail"
    for account, place in (
        ("acme-main", "acme/main"),
        ("ACME-main-eu", "acme/main-eu"),
        ("xy12345.eu-central-1", "eu-central-1/xy12345"),
        ("xy12345", "us-west-2/xy12345"),
    ):
        assert snowsight(account) == there.format(place)
    assert snowsight("fakesnow", "127.0.0.1") == ""
    assert snowsight("acme-main", "acme-main.snowflakecomputing.com") == there.format("acme/main")
