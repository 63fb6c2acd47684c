"""Stands in for a Metaflow run of a DAG: leaves what such a run leaves, in a tenth of a second. Standard library only."""

import fcntl
import json
import os
import sys
import time
from pathlib import Path


def now() -> str:
    whole, thousandths = divmod(time.time_ns() // 1_000_000, 1000)  # looked at once: between two looks a second may end
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{thousandths:03d}Z"


def main(state: str, dag: str, delivery: str, folder: str, seconds: str, status: str) -> None:
    flow = "".join(part.capitalize() for part in dag.split("_"))
    number = str(time.time_ns() // 1000)
    journal = os.open(Path(state) / "journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    # Two runs of one delivery that are alive at once are what must never be.
    alive = (Path(state) / f"alive-{delivery}").open("w")
    try:
        fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.write(journal, f"twice {delivery} {dag}\n".encode())
    os.write(journal, f"start {delivery} {dag} {number} {os.getpid()}\n".encode())
    (Path(folder) / "run-id").write_text(number)
    started = now()
    time.sleep(float(seconds))
    while (Path(state) / f"hold-{dag}").exists():
        time.sleep(0.01)
    run = Path(state) / "runs" / "dev" / dag / number
    run.mkdir(parents=True)
    result = {"version": 1, "dag": dag, "flow": flow, "run": f"{flow}/{number}", "status": status, "reason": f"it is {status}"}
    result |= {"target": "dev", "started": started, "finished": now(), "seconds": float(seconds), "nodes": [], "trigger": "x"}
    (run / ".new").write_text(json.dumps(result))
    (run / ".new").rename(run / "result.json")
    history = Path(state) / "history" / "dev"
    history.mkdir(parents=True, exist_ok=True)
    line = json.dumps({"run": f"{flow}/{number}", "target": "dev", "status": status, "started": started, "seconds": 0.1})
    handle = os.open(history / f"{dag}.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, line.encode() + b"\n")
    os.write(journal, f"end {delivery} {dag} {number} {status}\n".encode())
    sys.exit(0 if status == "success" else 1)


if __name__ == "__main__":
    main(*sys.argv[1:])
