"""The log: one SQLite file, ``serve/events.sqlite`` in the state folder, from which the runtime goes on after any end.

- ``events``        what has happened, each once by name and id; ``taken`` when it has been given to those who wait for it
- ``deliveries``    a row for each start that is owed: ready, starting, claimed, running, done; or refused, skipped
- ``consumed``      which subscriber got which event, and what for: at most once each
- ``standings``     what each subscriber knows since it last fired
- ``cursors``       how far schedules and recorded results have been read
- ``notices``       what an owner is to be told

One process works on it (:mod:`.runtime`); started processes claim their deliveries in it (:mod:`.claim`), and the command line
and the page read it. Every change that belongs together is one transaction.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbt_flow.errors import StateError
from dbt_flow.plan.arrivals import Standing
from dbt_flow.serve.event import Event, encode

VERSION = 1
LIVE = ("starting", "claimed", "running")
"""States of a delivery that somebody works on."""
OPEN = ("ready", *LIVE)

_SCHEMA = """
CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, id TEXT NOT NULL, at REAL NOT NULL, source TEXT NOT NULL,
    payload TEXT NOT NULL, taken INTEGER NOT NULL DEFAULT 0, UNIQUE (name, id));
CREATE INDEX events_untaken ON events (seq) WHERE taken = 0;
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT, subscriber TEXT NOT NULL, state TEXT NOT NULL, created REAL NOT NULL,
    params TEXT NOT NULL DEFAULT '{}', why TEXT NOT NULL DEFAULT '', missing TEXT NOT NULL DEFAULT '[]',
    tries INTEGER NOT NULL DEFAULT 0, token TEXT, pid INTEGER, born REAL, started REAL, claimed REAL, folder TEXT,
    run TEXT, status TEXT, ended REAL, note TEXT NOT NULL DEFAULT '');
CREATE INDEX deliveries_open ON deliveries (state, id) WHERE state IN ('ready', 'starting', 'claimed', 'running');
CREATE INDEX deliveries_of ON deliveries (subscriber, id);
CREATE TABLE consumed (
    event INTEGER NOT NULL, subscriber TEXT NOT NULL, outcome TEXT NOT NULL, delivery INTEGER,
    PRIMARY KEY (event, subscriber)) WITHOUT ROWID;
CREATE INDEX consumed_by ON consumed (delivery);
CREATE TABLE standings (subscriber TEXT PRIMARY KEY, document TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE cursors (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE notices (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, subscriber TEXT NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL);
"""


@dataclass(frozen=True)
class Delivery:
    """A start that is owed to a subscriber."""

    id: int
    subscriber: str
    state: str
    created: float
    params: Mapping[str, Any]
    why: str
    missing: Sequence[str]
    tries: int
    token: str | None
    pid: int | None
    born: float | None
    started: float | None
    claimed: float | None
    folder: str | None
    run: str | None
    status: str | None
    ended: float | None
    note: str


class EventLog:
    """A connection to the log. Not to be shared between threads."""

    def __init__(self, state: Path, *, readonly: bool = False) -> None:
        """Open it; made when it is not there, unless ``readonly``.

        :raises StateError: it cannot be read or written, or was written by a newer dbt-flow.
        """
        self.path = state / "serve" / "events.sqlite"
        with disk(self.path):
            if readonly:
                self.db = sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True, timeout=10, isolation_level=None)
            else:
                self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                if not self.path.exists():
                    os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600))
                self.db = sqlite3.connect(self.path, timeout=30, isolation_level=None)
                self.db.execute("PRAGMA journal_mode = WAL")
                self.db.execute("PRAGMA synchronous = FULL")
            self.db.row_factory = sqlite3.Row
            self._check_version(readonly)

    def _check_version(self, readonly: bool) -> None:
        version = self.db.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            hint = "install the dbt-flow that wrote it, or a newer one"
            raise StateError("state-version", f"the event log has version {version}; this dbt-flow knows {VERSION}", hint=hint)
        if version == 0 and not readonly:
            with self.transaction():
                if self.db.execute("PRAGMA user_version").fetchone()[0] == 0:
                    for statement in _SCHEMA.split(";\n"):
                        if statement.strip():
                            self.db.execute(statement)
                    self.db.execute(f"PRAGMA user_version = {VERSION}")

    def close(self) -> None:
        """End the connection."""
        self.db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing."""
        with disk(self.path):
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.db.execute("COMMIT")
            except BaseException:
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
                raise

    # ---- events

    def add_event(self, event: Event) -> int | None:
        """Keep an event; its place, or None when one of that name and id is there."""
        cursor = self.db.execute(
            "INSERT OR IGNORE INTO events (name, id, at, source, payload) VALUES (?, ?, ?, ?, ?)",
            (event.name, event.id, event.at, event.source, encode(event.payload)),
        )
        return cursor.lastrowid if cursor.rowcount else None

    def untaken(self, limit: int = 500) -> list[Event]:
        """Events that have not been given to anybody yet, oldest first."""
        return [_event(row) for row in self.db.execute("SELECT * FROM events WHERE taken = 0 ORDER BY seq LIMIT ?", (limit,))]

    def event(self, seq: int) -> Event | None:
        """One event by its place."""
        row = self.db.execute("SELECT * FROM events WHERE seq = ?", (seq,)).fetchone()
        return _event(row) if row else None

    def find_event(self, name: str, identity: str) -> Event | None:
        """One event by name and id."""
        row = self.db.execute("SELECT * FROM events WHERE name = ? AND id = ?", (name, identity)).fetchone()
        return _event(row) if row else None

    def events(self, limit: int = 100, name: str | None = None) -> list[Event]:
        """The latest events, newest first."""
        where, values = ("WHERE name = ?", (name, limit)) if name else ("", (limit,))
        return [_event(row) for row in self.db.execute(f"SELECT * FROM events {where} ORDER BY seq DESC LIMIT ?", values)]  # noqa: S608

    def last_event(self, name: str) -> Event | None:
        """The latest event of a name."""
        row = self.db.execute("SELECT * FROM events WHERE name = ? ORDER BY at DESC LIMIT 1", (name,)).fetchone()
        return _event(row) if row else None

    def consume(self, event: int, subscriber: str, outcome: str, delivery: int | None = None) -> None:
        """Note what became of an event for one subscriber."""
        self.db.execute(
            "INSERT INTO consumed VALUES (?, ?, ?, ?) ON CONFLICT (event, subscriber) DO UPDATE SET"
            " outcome = excluded.outcome, delivery = coalesce(excluded.delivery, delivery)",
            (event, subscriber, outcome, delivery),
        )

    def consumers(self, events: Iterable[int]) -> dict[int, list[sqlite3.Row]]:
        """Who got each event, and what for."""
        wanted = json.dumps(list(events))
        found: dict[int, list[sqlite3.Row]] = {}
        query = "SELECT * FROM consumed WHERE event IN (SELECT value FROM json_each(?)) ORDER BY subscriber"
        for row in self.db.execute(query, (wanted,)):
            found.setdefault(row["event"], []).append(row)
        return found

    def events_of(self, delivery: int) -> list[Event]:
        """The events that a delivery starts with: of each name the latest."""
        query = "SELECT e.* FROM events e JOIN consumed c ON c.event = e.seq WHERE c.delivery = ? ORDER BY e.at, e.seq"
        latest = {event.name: event for event in map(_event, self.db.execute(query, (delivery,)))}
        return list(latest.values())

    # ---- deliveries

    def add_delivery(self, subscriber: str, state: str, facts: Mapping[str, Any]) -> int:
        """Owe a start; ``facts`` are created, params, why, missing, note."""
        cursor = self.db.execute(
            "INSERT INTO deliveries (subscriber, state, created, params, why, missing, note) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                subscriber,
                state,
                facts["created"],
                json.dumps(facts.get("params") or {}, sort_keys=True),
                facts.get("why", ""),
                json.dumps(list(facts.get("missing") or ())),
                facts.get("note", ""),
            ),
        )
        return int(cursor.lastrowid or 0)

    def change(self, delivery: int, **values: Any) -> None:
        """Set columns of a delivery."""
        columns = ", ".join(f"{name} = ?" for name in values)
        self.db.execute(f"UPDATE deliveries SET {columns} WHERE id = ?", (*values.values(), delivery))  # noqa: S608

    def delivery(self, number: int) -> Delivery:
        """One delivery."""
        return _delivery(self.db.execute("SELECT * FROM deliveries WHERE id = ?", (number,)).fetchone())

    def deliveries(self, states: Sequence[str], limit: int = 1000, subscriber: str | None = None) -> list[Delivery]:
        """Deliveries in some states, oldest first."""
        marks = ", ".join(f"'{state}'" for state in states)
        whose, values = ("AND subscriber = ?", (subscriber, limit)) if subscriber else ("", (limit,))
        query = f"SELECT * FROM deliveries WHERE state IN ({marks}) {whose} ORDER BY id LIMIT ?"  # noqa: S608
        return [_delivery(row) for row in self.db.execute(query, values)]

    def ready_heads(self, limit: int) -> list[Delivery]:
        """Of each subscriber without a live delivery, the oldest that is ready."""
        query = (
            "SELECT * FROM deliveries WHERE id IN (SELECT min(id) FROM deliveries WHERE state = 'ready' AND subscriber NOT IN"
            " (SELECT subscriber FROM deliveries WHERE state IN ('starting', 'claimed', 'running')) GROUP BY subscriber)"
            " ORDER BY id LIMIT ?"
        )
        return [_delivery(row) for row in self.db.execute(query, (limit,))]

    def recent(self, subscriber: str | None = None, limit: int = 20) -> list[Delivery]:
        """The latest deliveries, newest first."""
        whose, values = ("WHERE subscriber = ?", (subscriber, limit)) if subscriber else ("", (limit,))
        query = f"SELECT * FROM deliveries {whose} ORDER BY id DESC LIMIT ?"  # noqa: S608
        return [_delivery(row) for row in self.db.execute(query, values)]

    # ---- standings, cursors, notices

    def standing(self, subscriber: str) -> Standing:
        """What a subscriber knows."""
        row = self.db.execute("SELECT document FROM standings WHERE subscriber = ?", (subscriber,)).fetchone()
        return Standing.from_dict(json.loads(row[0])) if row else Standing()

    def standings(self) -> dict[str, Standing]:
        """What all subscribers know."""
        return {row[0]: Standing.from_dict(json.loads(row[1])) for row in self.db.execute("SELECT * FROM standings")}

    def put_standing(self, subscriber: str, standing: Standing) -> None:
        """Keep what a subscriber knows."""
        document = json.dumps(standing.to_dict(), separators=(",", ":"))
        self.db.execute("INSERT OR REPLACE INTO standings VALUES (?, ?)", (subscriber, document))

    def cursor(self, name: str) -> str | None:
        """How far something has been read."""
        row = self.db.execute("SELECT value FROM cursors WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def cursors(self, prefix: str) -> dict[str, str]:
        """All cursors whose name begins like that, without the prefix."""
        query = "SELECT name, value FROM cursors WHERE substr(name, 1, ?) = ?"
        return {row[0][len(prefix) :]: row[1] for row in self.db.execute(query, (len(prefix), prefix))}

    def put_cursor(self, name: str, value: str) -> None:
        """Keep how far something has been read."""
        self.db.execute("INSERT OR REPLACE INTO cursors VALUES (?, ?)", (name, value))

    def notice(self, at: float, subscriber: str, kind: str, text: str) -> None:
        """Something that an owner is to be told."""
        self.db.execute("INSERT INTO notices (at, subscriber, kind, text) VALUES (?, ?, ?, ?)", (at, subscriber, kind, text))

    def notices(self, limit: int = 50) -> list[sqlite3.Row]:
        """The latest notices, newest first."""
        return list(self.db.execute("SELECT * FROM notices ORDER BY id DESC LIMIT ?", (limit,)))

    def notices_after(self, number: int, limit: int = 100) -> list[sqlite3.Row]:
        """Notices behind a number, oldest first."""
        return list(self.db.execute("SELECT * FROM notices WHERE id > ? ORDER BY id LIMIT ?", (number, limit)))

    def forget(self, before: float) -> int:
        """Drop what is done with and older than ``before``; the latest event of each name stays, and whatever waits."""
        gone = self.db.execute(
            "DELETE FROM events WHERE at < ? AND taken = 1 AND seq NOT IN (SELECT max(seq) FROM events GROUP BY name)"
            " AND NOT EXISTS (SELECT 1 FROM consumed c LEFT JOIN deliveries d ON d.id = c.delivery WHERE c.event = seq"
            " AND (c.outcome = 'waits' OR d.state IN ('ready', 'starting', 'claimed', 'running')))",
            (before,),
        ).rowcount
        self.db.execute("DELETE FROM deliveries WHERE created < ? AND state IN ('done', 'refused', 'skipped')", (before,))
        self.db.execute("DELETE FROM consumed WHERE event NOT IN (SELECT seq FROM events)")
        self.db.execute("DELETE FROM notices WHERE at < ?", (before,))
        return gone

    def counts(self) -> dict[str, int]:
        """How many deliveries are in each state."""
        return {row[0]: row[1] for row in self.db.execute("SELECT state, count(*) FROM deliveries GROUP BY state")}


def _event(row: sqlite3.Row) -> Event:
    return Event(row["name"], row["id"], json.loads(row["payload"]), row["at"], row["source"], row["seq"])


def _delivery(row: sqlite3.Row) -> Delivery:
    facts = dict(row)
    return Delivery(**{**facts, "params": json.loads(facts["params"]), "missing": tuple(json.loads(facts["missing"]))})


@contextmanager
def disk(path: Path) -> Iterator[None]:
    """Turn what SQLite and the disk say into a clear error."""
    try:
        yield
    except (sqlite3.OperationalError, OSError) as error:
        said = str(error)
        if "locked" in said or "busy" in said:
            hint = "is another program holding it open? end it, and try again"
            raise StateError("state-damaged", f"the event log is locked: {said}", hint=hint) from error
        if "no such" in said or "unable to open" in said:
            raise StateError(
                "state-damaged", f"there is no event log yet at {path}", hint="start the runtime: dbt-flow serve"
            ) from error
        hint = "free some space, or mend the permissions, and try again"
        raise StateError("disk-full", f"the event log cannot be written: {said}", hint=hint) from error
    except sqlite3.DatabaseError as error:
        hint = "move the file away; what had not started yet is lost, nothing else"
        raise StateError("state-damaged", f"the event log {path.name} is damaged: {error}", hint=hint) from error
