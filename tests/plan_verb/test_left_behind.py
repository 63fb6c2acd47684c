"""``plan --base`` leaves nothing behind: not when it is interrupted, and not when the one before was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from fleet_in_git import Desk

PATIENCE = 120.0


def test_interrupted_it_takes_its_files_along(desk: Desk) -> None:
    tree = desk.folder / ".dbt_flow/revisions/0/tree"
    quiet = {**os.environ, "USERNAME": "tester", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "dbt_flow", "--root", str(desk.folder), "plan", "--base", "HEAD"]
    process = subprocess.Popen(command, cwd=desk.folder, env=quiet, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + PATIENCE
        while not (tree / "dbt_project.yml").exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end, "it never wrote the old state's files"
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert not tree.exists()
    assert desk.git("status", "--porcelain") == ""


def test_what_a_killed_one_left_is_not_taken_for_the_old_state(desk: Desk) -> None:
    left = desk.folder / ".dbt_flow/revisions/0/tree"
    (left / "models").mkdir(parents=True)
    (left / "models/ghost.sql").write_text("{{ config(tags=['daily']) }} select 1 as one\n")
    assert desk.changes()["changes"] is False
    assert not left.exists()
