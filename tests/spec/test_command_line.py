"""The entry point: exit codes, JSON, what is loaded when, and completion."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from spec_root import Root

from dbt_flow import cli as the_cli
from dbt_flow.cli.terminal import Context
from dbt_flow.errors import RunCancelled, RunFailed

HEAVY = ("dbt", "metaflow", "networkx", "pipeline", "jinja2", "duckdb", "snowflake", "rich")
Cli = Callable[..., tuple[int, str, str]]
CliJson = Callable[..., tuple[int, Any]]


def child(root: Root, code: str, **environ: str) -> str:
    words = [sys.executable, "-c", code]
    done = subprocess.run(
        words, cwd=root.folder, env={**os.environ, **environ}, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("words", [["--help"], ["validate"], ["list"], ["validate", "--help"], ["nonsense"]])
def test_light_commands_load_nothing_heavy(root: Root, words: list[str]) -> None:
    root.dag("one", "owner: team\ntrigger: {schedule: 0 6 * * *}\n")
    code = f"import sys; from dbt_flow.cli import main; main({words!r}); "
    code += f"print('LOADED', [m for m in {HEAVY!r} if m in sys.modules])"
    assert child(root, code).splitlines()[-1] == "LOADED []"


def test_help_and_completion_import_no_verb(root: Root) -> None:
    code = "import sys; from dbt_flow.cli import main; main(['--help']); print([m for m in sys.modules if 'dbt_flow.' in m])"
    loaded = child(root, code).splitlines()[-1]
    assert "dbt_flow.spec" not in loaded
    assert "dbt_flow.cli.validate" not in loaded


def complete(root: Root, words: str) -> list[str]:
    environ = {"_DBT_FLOW_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    code = "import sys; sys.argv = ['dbt-flow']; from dbt_flow.cli import main; main()"
    return [line.split(",")[1] for line in child(root, code, **environ).splitlines()]


def test_completion_knows_verbs_and_dags(root: Root) -> None:
    root.dag("carrier_risk", "{ broken")
    root.dag("other", "owner: team\n")
    assert complete(root, "dbt-flow val") == ["validate"]
    assert complete(root, "dbt-flow validate ") == ["carrier_risk", "other"]
    assert complete(root, "dbt-flow validate car") == ["carrier_risk"]
    assert complete(root, f"dbt-flow --root {root.folder} validate o") == ["other"]


def test_validate_in_words(root: Root, cli: Cli) -> None:
    root.dag("one", "owner: team\n")
    assert cli("validate")[:2] == (0, "1 file, no errors\n")
    root.dag("two", "ownr: team\n")
    code, out, err = cli("validate")
    assert (code, err) == (2, "")
    assert out.splitlines() == [
        'error: dags/two.yaml:1:1: unknown key "ownr"',
        "  | ownr: team", "  | ^", "  -> did you mean owner?", "2 files, 1 error",
    ]  # fmt: skip
    assert cli("validate", "one")[0] == 0
    assert cli("validate", str(root.folder / "dags/two.yaml"))[0] == 2


def test_validate_in_json(root: Root, cli_json: CliJson) -> None:
    root.dag("one", "owner: team\ntimezone: Europe/Berlin\ntrigger: {schedule: 30 2 * * *}\n")
    root.dag("two", "ownr: team\n")
    code, document = cli_json("validate")
    assert code == 2
    assert document["files"] == ["dags/one.yaml", "dags/two.yaml"]
    assert document["errors"] == [
        {
            "file": "dags/two.yaml",
            "line": 1,
            "column": 1,
            "code": "unknown-key",
            "message": 'unknown key "ownr"',
            "hint": "did you mean owner?",
        }
    ]
    assert {warning["code"] for warning in document["warnings"]} == {"clock-change"}
    code, document = cli_json("validate", "nope")
    assert (code, document["errors"][0]["code"]) == (2, "unknown-dag")


def test_validate_reports_a_bad_settings_file_in_the_same_form(root: Root, cli_json: CliJson) -> None:
    root.write("dbt_flow.yml", "ownrs: {}\n")
    code, document = cli_json("validate")
    assert (code, document["files"], document["errors"][0]["file"]) == (2, [], "dbt_flow.yml")


def test_without_owners_and_without_dags(root: Root, cli: Cli, cli_json: CliJson) -> None:
    root.write("dbt_flow.yml", "")
    root.dag("one", "owner: anyone\n")
    assert cli_json("validate")[1]["warnings"][0]["code"] == "unknown-owner"
    (root.folder / "dags/one.yaml").unlink()
    assert cli("validate")[0] == 0
    (root.folder / "dags").rmdir()
    code, document = cli_json("validate")
    assert (code, document["errors"][0]["code"]) == (2, "unreadable")
    assert cli("list")[0] == 0


def test_list_shows_bad_files_too(root: Root, cli: Cli, cli_json: CliJson) -> None:
    root.dag("bad", "ownr: x\nretries: x\n")
    root.dag("good", "owner: team\ntrigger: {schedule: 0 6 * * *}\n")
    code, document = cli_json("list")
    assert code == 0
    assert [(row["name"], row["errors"], row["starts"]) for row in document["dags"]] == [
        ("bad", 2, None),
        ("good", 0, "every day at 06:00 UTC"),
    ]
    assert "2 errors" in cli("list")[1]


def test_the_schema_is_written(root: Root, cli: Cli) -> None:
    assert cli("validate", "--write-schema")[0] == 0
    assert json.loads((root.folder / "dags/.schema.json").read_text())["title"] == "dbt-flow DAG"


def test_usage_errors(root: Root, cli: Cli, cli_json: CliJson) -> None:
    code, _, err = cli("validat")
    assert (code, "Did you mean validate?" in err) == (2, True)
    code, document = cli_json("validate", "--nonsense")
    assert (code, document["errors"][0]["code"]) == (2, "usage")
    assert the_cli.main(["--root", "/gone", "validate", "--json"]) == 2
    assert the_cli.main([]) in (0, 2)
    assert the_cli.main(["--version"]) == 0


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (RunFailed("run-failed", "no"), 1),
        (RunCancelled("run-cancelled", "no"), 130),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 141),
        (ValueError("{oops}"), 3),
    ],
    ids=["failed", "cancelled", "interrupted", "pipe", "bug"],
)
def test_the_one_place_that_catches(
    root: Root, cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, raised: BaseException, code: int
) -> None:
    def settings(self: Context) -> None:
        raise raised

    monkeypatch.setattr(Context, "settings", property(settings))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(the_cli, "_hush", lambda: None)
    assert cli("list")[0] == code
    logs = list(tmp_path.glob("dbt-flow-bug-*.log"))
    assert len(logs) == (code == 3)
    assert code != 3 or "ValueError" in logs[0].read_text()


def test_an_interrupt_anywhere_ends_with_130(tmp_path: Path) -> None:
    """While a string is executed, as in the making of a dataclass, it would end the process by the signal."""
    (tmp_path / "interrupted.py").write_text(
        "import sys\nfrom dbt_flow import cli\n"
        "def interrupt(**said):\n    raise KeyboardInterrupt\n"
        "cli.cli.main = lambda **said: exec('interrupt()', {'interrupt': interrupt})\n"
        "sys.exit(cli.main([]))\n"
    )
    done = subprocess.run([sys.executable, "-m", "interrupted"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_a_reader_that_goes_away_is_no_error(root: Root) -> None:
    wrong = "".join(f"key_{number}: x\n" for number in range(60))
    for number in range(60):  # far more to say than fits into a pipe
        root.dag(f"d{number}", wrong)
    pipe = subprocess.Popen(
        [sys.executable, "-m", "dbt_flow", "validate"], cwd=root.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert pipe.stdout and pipe.stderr
    pipe.stdout.readline()
    pipe.stdout.close()
    assert pipe.stderr.read() == b""
    assert pipe.wait(60) == 141


def test_every_verb_of_the_table_has_a_group_and_a_sentence() -> None:
    for name, verb in the_cli.VERBS.items():
        assert verb.group in the_cli.GROUPS, name
        assert verb.help.endswith("."), name


def test_help_stands_in_groups(root: Root, cli: Cli) -> None:
    out = cli("--help")[1]
    places = [out.index(f"{group.capitalize()}:") for group in ("every day", "on call", "fleet")]
    assert places == sorted(places)
    assert out.index("  validate") < places[1] < out.index("  history")


@pytest.mark.parametrize("no_color", ["", "1"])
def test_colour_is_for_terminals_that_want_it(root: Root, no_color: str) -> None:
    root.dag("one", "ownr: team\n")
    ours, theirs = os.openpty()
    environ = {**os.environ, "TERM": "xterm", "NO_COLOR": no_color}
    words = [sys.executable, "-m", "dbt_flow", "validate"]
    assert subprocess.run(words, cwd=root.folder, env=environ, stdout=theirs, timeout=300, check=False).returncode == 2
    os.close(theirs)
    said = os.read(ours, 10_000).decode()
    os.close(ours)
    assert ("\x1b[1;31m" in said) == (not no_color)
    assert "did you mean owner?" in said


@pytest.mark.parametrize(("words", "code"), [("list", 0), ("run nothing_of_that_name", 2)])
def test_a_closed_stdout_or_stderr_is_no_bug(root: Root, words: str, code: int) -> None:
    root.dag("fuel", "owner: a\nselect: fuel\n")
    for closed in (">&-", "2>&-", ">&- 2>&-"):
        line = f"exec {shlex.quote(sys.executable)} -m dbt_flow {words} {closed}"
        done = subprocess.run(["sh", "-c", line], cwd=root.folder, capture_output=True, check=False)
        assert done.returncode == code, (closed, done.stderr)
        assert b"bug" not in done.stderr
