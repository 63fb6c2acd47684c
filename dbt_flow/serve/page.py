"""The page at the runtime's address, read-only: where everything stands, what it waits for, what came and who got it."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import jinja2

from dbt_flow.errors import DbtFlowError, InputError
from dbt_flow.serve.chain_drawing import HEIGHT, WIDTH, draw
from dbt_flow.serve.eventlog import LIVE, EventLog
from dbt_flow.serve.intake import duration
from dbt_flow.serve.listeners import Listening, Subscriber
from dbt_flow.serve.now import Now, next_of, now_of
from dbt_flow.settings import Settings
from dbt_flow.state.places import store_of
from dbt_flow.state.runs import RunRecord, RunRef, find_run
from dbt_flow.state.store import Store, read_lines

CARD = re.compile(r"/cards/([A-Za-z0-9_][A-Za-z0-9_.-]{0,99})/([a-z][a-z0-9_]{0,99})/([A-Za-z0-9][A-Za-z0-9_.-]{0,120})\Z")
OF = re.compile(r"/of/([A-Za-z][A-Za-z0-9_]{0,99})\Z")
_MARKS = {"success": ("✓", "good"), "failed": ("✗", "bad"), "cancelled": ("■", "stop"), "refused": ("✗", "bad")}
_URGENT = ("held", "failed", "given up", "refused", "died", "long", "waiting", "skipped", "cancelled", "missed")


class Source(Protocol):
    """What the page needs of the runtime."""

    @property
    def listening(self) -> Listening:
        """Everybody who listens."""

    @property
    def ending(self) -> bool:
        """Whether it drains."""


class Pages:
    """Makes pages. Each request opens the log for itself, to read alone."""

    def __init__(self, settings: Settings, runtime: Source) -> None:
        self.settings, self.runtime = settings, runtime
        self.store = store_of(settings)

    @cached_property
    def _template(self) -> jinja2.Template:
        loader = jinja2.FileSystemLoader(Path(__file__).parent)
        environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
        environment.filters["ago"] = lambda at: f"{duration(time.time() - at)} ago"
        return environment.get_template("page.html")

    def page(self, path: str, query: Mapping[str, str]) -> tuple[str, str] | None:  # noqa: ARG002 - the shape of a page
        """The page at a path; None when there is none."""
        if path == "/":
            return "text/html", self._template.render(self._overview())
        of = OF.match(path)
        subscriber = self.runtime.listening.by_name.get(of[1]) if of else None
        if subscriber is not None:
            return "text/html", self._template.render(self._one(subscriber))
        card = CARD.match(path)
        return ("text/html", self._card(RunRef(card[1], card[2], card[3]))) if card else None

    def _card(self, ref: RunRef) -> str:
        text = RunRecord(self.store, ref).get_text("card.html")
        if text is None:
            raise InputError(
                "unknown-run", f"run {ref.number} of {ref.dag} has no card", hint="it may still be planned: try again"
            )
        return text

    # ---- what the template shows

    def _overview(self) -> dict[str, Any]:
        now, log, listening = time.time(), EventLog(self.settings.state, readonly=True), self.runtime.listening
        try:
            stands = {one.name: now_of(log, one, now) for one in listening.subscribers}
            rows = [self._row(log, one, stands[one.name], now) for one in listening.subscribers]
            order = {"running": 0, "held": 1, "queued": 2, "waiting": 3, "idle": 4}
            rows.sort(key=lambda row: (order[row["now"].state], row["name"]))
            states = {row["name"]: (row["colour"], row["now"].text or row["last"]) for row in rows}
            return {
                "title": self.settings.project,
                "ending": self.runtime.ending,
                "rows": rows,
                "live": self._live(log, now),
                "waiting": [row for row in rows if row["now"].state in ("held", "waiting", "queued")],
                "notices": [row for row in log.notices(12) if row["kind"] in _URGENT and now - row["at"] < 2 * 86_400],
                "problems": [str(problem) for problem in listening.problems],
                "drawing": draw(listening.subscribers, states),
                "box": (WIDTH, HEIGHT),
                "events": self._events(log, 25),
                "counts": log.counts(),
                "one": None,
            }
        finally:
            log.close()

    def _one(self, subscriber: Subscriber) -> dict[str, Any]:
        now, log = time.time(), EventLog(self.settings.state, readonly=True)
        try:
            row = self._row(log, subscriber, now_of(log, subscriber, now), now)
            deliveries = [
                {
                    "delivery": one,
                    "mark": _MARKS.get(one.status or one.state, ("·", "wait")),
                    "card": self._card_of(subscriber, one.run),
                }
                for one in log.recent(subscriber.name, 50)
            ]
            return {
                "title": subscriber.name,
                "one": row,
                "deliveries": deliveries,
                "waits": subscriber.waits,
                "rule": subscriber.rule,
            }
        finally:
            log.close()

    def _row(self, log: EventLog, one: Subscriber, now: Now, at: float) -> dict[str, Any]:
        upcoming, why = next_of(one, at)
        runs = self._last_runs(log, one)
        colour = {"running": "run", "held": "warn"}.get(now.state) or (runs[0]["colour"] if runs else "")
        zone = timezone.utc if one.zone == "UTC" else ZoneInfo(one.zone)
        return {
            "name": one.name,
            "kind": one.kind,
            "owner": one.owner,
            "file": one.file,
            "starts": why,
            "now": now,
            "next": f"{datetime.fromtimestamp(upcoming, zone):%a %d %b, %H:%M %Z}" if upcoming else None,
            "runs": runs,
            "last": f"{runs[0]['words']}" if runs else "never run",
            "colour": colour,
        }

    def _last_runs(self, log: EventLog, one: Subscriber) -> list[dict[str, Any]]:
        if one.kind == "flow":
            found = [row for row in log.recent(one.name, 12) if row.state == "done" and row.status]
            return [self._run(str(row.status), row.run or "", None, row.ended or row.created) for row in found[:8]]
        lines: list[dict[str, Any]] = []
        for target in self.store.list("history"):
            lines += list(_tail(self.store, f"history/{target}/{one.name}.jsonl"))
        lines.sort(key=lambda line: str(line.get("started")), reverse=True)
        return [
            self._run(
                str(line.get("status")), str(line.get("run")), str(line.get("target")), _seconds(line.get("started")), one.name
            )
            for line in lines[:8]
        ]

    def _run(self, status: str, run: str, target: str | None, at: float, dag: str = "") -> dict[str, Any]:
        mark, colour = _MARKS.get(status, ("·", "wait"))
        href = f"/cards/{target}/{dag}/{run.rpartition('/')[2]}" if target else None
        words = f"{status} {duration(time.time() - at)} ago"
        return {"mark": mark, "colour": colour, "run": run, "words": words, "href": href}

    def _card_of(self, one: Subscriber, run: str | None) -> str | None:
        if one.kind != "dag" or not run:
            return None
        ref = find_run(self.store, one.name, run.rpartition("/")[2])
        return f"/cards/{ref.target}/{ref.dag}/{ref.number}" if ref else None

    def _live(self, log: EventLog, now: float) -> list[dict[str, Any]]:
        found = []
        for row in log.deliveries(LIVE):
            one = self.runtime.listening.by_name.get(row.subscriber)
            card = self._card_of(one, row.run) if one else None
            since = duration(now - (row.started or row.created))
            found.append({"name": row.subscriber, "run": row.run, "since": since, "why": row.why, "card": card})
        return found

    def _events(self, log: EventLog, limit: int) -> list[dict[str, Any]]:
        events = [event for event in log.events(limit * 3) if not event.name.endswith(".settled")][:limit]
        consumers = log.consumers(event.seq for event in events)
        return [
            {"event": event, "label": _label(event.name), "consumers": consumers.get(event.seq, ()), "at": event.at}
            for event in events
        ]


def _label(name: str) -> str:
    """An end as the flow that ended, a schedule as a schedule; any other event by its name."""
    if name.startswith("metaflow.") and name.endswith(".end"):
        return f"{name.split('.')[-2]} ended well"
    return f"schedule of {name.rpartition('.')[2]}" if name.startswith("dbt_flow.schedule.") else name


def _tail(store: Store, key: str) -> Sequence[dict[str, Any]]:
    try:
        return [line for line in read_lines(store, key) if "run" in line][-8:]
    except (DbtFlowError, OSError):
        return ()


def _seconds(text: Any) -> float:
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0
