"""Metrics to a Datadog agent: DogStatsD over UDP or a Unix socket. An agent that is not there costs nothing."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable
from importlib import import_module
from typing import Any
from urllib.parse import urlparse

from dbt_flow.destinations import DATADOG_VARIABLES
from dbt_flow.report.metric_names import BY_NAME, COUNT, DISTRIBUTION
from dbt_flow.report.metrics import Measured, Point
from dbt_flow.report.rules import Rules

_MOST_SECONDS = 0.4  # for all datagrams of a run; what is left then is dropped
_LOOK_EVERY = 200  # points between two looks at the clock
_MOST_CHECKS = 1_000
_PORT = 8125


def load() -> Any:
    """Datadog's module. Loaded by who sends, and not with this one: it costs a run a tenth of a second that sends nothing."""
    return import_module("datadog.dogstatsd.base")


def send(rules: Rules, measured: Measured) -> int:
    """Send what was measured; gives the number of points that were dropped because time was up."""
    logging.getLogger("datadog").setLevel(logging.CRITICAL)  # it would warn for each datagram that nobody takes
    client = _client(rules)
    try:
        dropped = _points(client, measured.points)
        for check in measured.checks[:_MOST_CHECKS]:
            client.service_check(check.name, check.status, tags=list(check.tags), message=check.message)
        event = measured.event
        if event is not None:
            client.event(event.title, event.text, alert_type="error", aggregation_key=event.key, tags=list(event.tags))
        return dropped
    finally:
        client.flush()
        client.close_socket()


def _points(client: Any, points: Iterable[Point]) -> int:
    until = time.monotonic() + _MOST_SECONDS
    dropped = 0
    for place, point in enumerate(points):
        if place % _LOOK_EVERY == 0 and time.monotonic() > until:
            dropped += 1
            continue
        if dropped:
            dropped += 1
            continue
        metric = BY_NAME[point.name]
        how = client.increment if metric.kind == COUNT else client.distribution if metric.kind == DISTRIBUTION else client.gauge
        how(metric.full, point.value, tags=list(point.tags))
    client.flush()
    return dropped


def _client(rules: Rules) -> Any:
    """Datadog's variables win over ``metrics.dogstatsd``, as variables do everywhere."""
    host, port, path = None, None, None
    said = rules.metrics.get("dogstatsd")
    if said and not any(os.environ.get(name) for name in DATADOG_VARIABLES):
        address = urlparse(said)
        if address.scheme.startswith("unix"):
            path = said if address.scheme != "unix" else address.path
        else:
            host, port = address.hostname, address.port or _PORT
    return load().DogStatsd(
        host=host,
        port=port,
        socket_path=path,
        disable_telemetry=True,
        disable_buffering=False,
        disable_aggregation=True,
        flush_interval=3600,  # this side flushes by itself; a thread that wakes up is not wanted in a task
        track_instance=False,
    )
