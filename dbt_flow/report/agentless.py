"""Metrics to Datadog's API where no agent can be: left on the disk by the run, sent once by the detached sender."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from dbt_flow.errors import DbtFlowError, InputError
from dbt_flow.records import RunResult
from dbt_flow.report.channels import extra
from dbt_flow.report.messages import short
from dbt_flow.report.metric_names import BY_NAME, COUNT
from dbt_flow.report.metrics import Measured
from dbt_flow.report.rules import Rules
from dbt_flow.state.store import Store, get_json, put_json

FOLDER = "outbox/metrics"
API_KEY = "DD_API_KEY"
API_URL = "DATADOG_HOST"
"""Datadog's own variable for another address of its API."""

_MOST_WAITING = 50
_AT_ONCE = 1_000
_SECONDS = 2.0


def leave(store: Store, result: RunResult, rules: Rules, measured: Measured) -> None:
    """Leave the points for the sender; with very many left already, these are dropped."""
    if len(store.list(FOLDER)) >= _MOST_WAITING:
        return
    said = rules.alerts.get("datadog") or {}
    document = {
        "at": int(time.time()),
        "api_key": said.get("api_key", API_KEY),
        "site": said.get("site"),
        "series": [[BY_NAME[p.name].full, BY_NAME[p.name].kind, p.value, p.tags] for p in measured.points],
        "checks": [[check.name, check.status, check.message, check.tags] for check in measured.checks],
        "event": [measured.event.title, measured.event.text, measured.event.tags, measured.event.key]
        if measured.event
        else None,
    }
    put_json(store, f"{FOLDER}/{short(result.run + result.target)}.json", document)


def send_left(store: Store) -> str | None:
    """Send what was left, each once; gives what went wrong, if anything did."""
    trouble = None
    for name in store.list(FOLDER):
        try:
            document = get_json(store, f"{FOLDER}/{name}")
            if document:
                _send(document)
        except InputError as error:
            trouble = str(error)
        except DbtFlowError as error:
            trouble = error.message
        except Exception as error:  # whatever the API answers: metrics may be lost
            trouble = f"Datadog's API: {type(error).__name__}: {error}"[:300]
        store.drop(f"{FOLDER}/{name}")
    return trouble


def api_client(api_key: str, app_key: str | None, site: str | None) -> Any:
    """Datadog's client, with the keys that the named variables hold.

    :raises InputError: the client is not installed, or a variable is not set.
    """
    datadog = extra("datadog_api_client", "datadog")
    configuration = datadog.Configuration(host=os.environ.get(API_URL) or None)
    if site and not os.environ.get(API_URL):
        configuration.server_variables["site"] = site
    for name, variable in (("apiKeyAuth", api_key), ("appKeyAuth", app_key)):
        if variable is None:
            continue
        value = os.environ.get(variable)
        if not value:
            raise InputError("bad-value", f"the variable {variable} is not set", hint=f"set {variable} to Datadog's key")
        configuration.api_key[name] = value
    configuration.enable_retry = False
    configuration.request_timeout = _SECONDS
    return datadog.ApiClient(configuration)


def _send(document: Mapping[str, Any]) -> None:
    metrics, checks, events = (
        extra(f"datadog_api_client.{part}", "datadog")
        for part in ("v2.api.metrics_api", "v1.api.service_checks_api", "v1.api.events_api")
    )
    with api_client(document["api_key"], None, document.get("site")) as client:
        series = [_series(row, document["at"]) for row in document["series"]]
        for first in range(0, len(series), _AT_ONCE):
            metrics.MetricsApi(client).submit_metrics(body={"series": series[first : first + _AT_ONCE]})
        body = [
            {
                "check": name,
                "status": status,
                "message": said,
                "tags": tags,
                "host_name": "dbt-flow",
                "timestamp": document["at"],
            }
            for name, status, said, tags in document["checks"]
        ]
        if body:
            checks.ServiceChecksApi(client).submit_service_check(body=body)
        if document.get("event"):
            title, text, tags, key = document["event"]
            events.EventsApi(client).create_event(
                body={"title": title, "text": text, "tags": tags, "aggregation_key": key, "alert_type": "error"}
            )


def _series(row: list[Any], at: int) -> dict[str, Any]:
    name, kind, value, tags = row
    # The API has no distributions without a sketch; a run sends one value of each, so a gauge says the same.
    return {"metric": name, "type": 1 if kind == COUNT else 3, "points": [{"timestamp": at, "value": value}], "tags": tags}
