"""A third party's files, delivered in pages over HTTP, and their way into DuckDB.

``GET <url>/files/<name>?page=N`` answers ``{"id", "as_of", "page", "pages", "count", "rows": [{...}]}``. What goes wrong with
such an API, and what is done:

- a page is late (404, 425, 429, 5xx, no answer): it is asked for again until the patience ends;
- a page is cut short, or has fewer rows than it says: the same;
- a page comes twice (the same id, under whatever number): it counts once; the same id with other rows is refused;
- a new delivery begins between two pages (``as_of`` changes): all of it is fetched anew;
- a file without a single row is refused: yesterday's table is better than none.
"""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from datetime import datetime, timezone

WAIT = 0.5
MOST_WAIT = 30.0


class NotDelivered(Exception):
    """A file is not there in full."""


@dataclass
class Delivery:
    """A file, complete."""

    name: str
    as_of: str
    pages: dict = field(default_factory=dict)
    """Page id to its rows as JSON."""

    @property
    def rows(self) -> list:
        """All rows, in the order of pages."""
        return [row for text in self.pages.values() for row in json.loads(text)]


class _Anew(Exception):
    """A new delivery has begun."""


def fetch(url: str, name: str, patience: float) -> Delivery:
    """Every page of a file.

    :raises NotDelivered: it is not complete when the patience has ended, has no rows, or contradicts itself
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            return _delivery(url, name, deadline)
        except _Anew as error:
            if time.monotonic() > deadline:
                raise NotDelivered(f"{name}: it changed while it was fetched: {error}") from None


def _delivery(url: str, name: str, deadline: float) -> Delivery:
    first = _page(url, name, 1, deadline)
    found = Delivery(name, str(first["as_of"]))
    _take(found, first)
    for number in range(2, int(first["pages"]) + 1):
        page = _page(url, name, number, deadline)
        if page["as_of"] != first["as_of"] or page["pages"] != first["pages"]:
            raise _Anew(f"{first['as_of']} and {page['as_of']}")
        _take(found, page)
    if len(found.pages) != int(first["pages"]):
        # One page came under two numbers, so another never came.
        if time.monotonic() > deadline:
            raise NotDelivered(f"{name}: {len(found.pages)} different pages of {first['pages']}")
        time.sleep(WAIT)
        raise _Anew("a page is missing")
    if not found.rows:
        raise NotDelivered(f"{name}: it is empty; the table stays as it is")
    return found


def _take(delivery: Delivery, page: dict) -> None:
    text = json.dumps(page["rows"])
    if delivery.pages.setdefault(str(page["id"]), text) != text:
        raise NotDelivered(f"{delivery.name}: page {page['id']} came twice, with different rows")


def _page(url: str, name: str, number: int, deadline: float) -> dict:
    """One page, whole. Asked for again, less and less often, while it is late or cut short."""
    wait = WAIT
    while True:
        try:
            return _ask(url, name, number)
        except (urllib.error.URLError, OSError, ValueError, KeyError, TypeError) as error:
            if isinstance(error, urllib.error.HTTPError) and error.code in (400, 401, 403, 410):
                raise NotDelivered(f"{name}: page {number}: {error}") from None  # waiting does not help
            if time.monotonic() + wait > deadline:
                raise NotDelivered(f"{name}: page {number} did not come: {error}") from None
        time.sleep(wait)
        wait = min(wait * 2, MOST_WAIT)


def _ask(url: str, name: str, number: int) -> dict:
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise NotDelivered(f"{url} is no HTTP address")
    where = f"{url.rstrip('/')}/files/{urllib.parse.quote(name)}?page={number}"
    with urllib.request.urlopen(where, timeout=10) as answer:  # noqa: S310 - the scheme is checked
        said = answer.headers.get("Content-Length")
        body = answer.read()
    if said is not None and int(said) != len(body):
        raise ValueError(f"{len(body)} of {said} bytes")
    page = json.loads(body)
    if not isinstance(page["rows"], list) or int(page["count"]) != len(page["rows"]):
        raise ValueError(f"{len(page['rows'])} of {page['count']} rows")
    if not (page["id"] and page["as_of"] and int(page["pages"]) >= 1):
        raise ValueError("it does not say which page it is")
    return dict(page)


def replace_tables(database, deliveries: dict, schemas: dict, who: str) -> dict:
    """Replace the raw tables in one transaction, while no run of dbt has the database; gives the rows of each.

    :raises NotDelivered: a file has no table, or rows that do not fit it
    """
    import duckdb

    from dbt_flow.run.lock import database_lock

    landed, counts = datetime.now(timezone.utc).replace(tzinfo=None), {}
    with database_lock(database, who, print), duckdb.connect(str(database)) as connection:
        connection.begin()
        connection.execute("create schema if not exists raw")
        for name, delivery in deliveries.items():
            if name not in schemas:
                raise NotDelivered(f"{name} is no raw table; there are {', '.join(schemas)}")
            columns = schemas[name]
            typed = ", ".join(f"{column} {kind}" for column, kind in columns.items())
            connection.execute(f"create or replace table raw.{name} ({typed}, _loaded_at TIMESTAMP)")  # names of ours alone
            marks = ", ".join("?" * (len(columns) + 1))
            rows = [[*(row.get(column) for column in columns), landed] for row in delivery.rows]
            try:
                connection.executemany(f"insert into raw.{name} values ({marks})", rows)
            except duckdb.Error as error:
                raise NotDelivered(f"{name}: its rows do not fit: {error}") from None
            counts[name] = len(rows)
        connection.commit()
    return counts
