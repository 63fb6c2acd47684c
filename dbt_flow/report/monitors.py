"""The three monitors in Datadog through which pages go: failed, late, no data. Each is one multi-alert over all DAGs.

They are known by their tags, so installing them twice changes what is there and adds nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dbt_flow.destinations import Monitors
from dbt_flow.errors import InputError
from dbt_flow.redact import text as redacted
from dbt_flow.report.agentless import api_client
from dbt_flow.report.channels import extra
from dbt_flow.report.metric_names import PREFIX, SERVICE_CHECK_NODE

MANAGED = "managed-by:dbt-flow"
NO_DATA_AFTER_MINUTES = 26 * 60
"""Without a run for so long a DAG counts as silent; a day, and time for one that takes long."""

FAILED, LATE, SILENT = "failed", "late", "no-data"


def wanted(project: str, owners: Mapping[str, Mapping[str, str]], handle: str | None) -> list[dict[str, Any]]:
    """The monitors as Datadog's API takes them."""
    scope = f"project:{project}"
    to = handles(owners, handle)
    checks = f'"{SERVICE_CHECK_NODE}".over("{scope}").by("env","target","dag","node","owner").last(2).count_by_status()'
    late = f"max(last_10m):max:{PREFIX}dag.late{{{scope}}} by {{env,dag,owner}} > 0"
    silent = f"sum(last_1d):sum:{PREFIX}dag.runs{{{scope}}} by {{env,dag,owner}}.as_count() < 1"
    return [
        _monitor(
            (project, FAILED),
            "service check",
            checks,
            f"{{{{node.name}}}} of {{{{dag.name}}}} is not good. {{{{check_message}}}}\n\n"
            f"Card: `dbt-flow card {{{{dag.name}}}}`, retry: `dbt-flow retry {{{{dag.name}}}}`\n{to}",
            {"thresholds": {"critical": 1, "warning": 1, "ok": 1}, "notify_no_data": False},
        ),
        _monitor(
            (project, LATE),
            "metric alert",
            late,
            f"{{{{dag.name}}}} is late: see `dbt-flow history {{{{dag.name}}}}`\n{to}",
            {"thresholds": {"critical": 0}, "notify_no_data": False, "require_full_window": False},
        ),
        _monitor(
            (project, SILENT),
            "metric alert",
            silent,
            f"Nothing was heard of {{{{dag.name}}}}: it never started, or died with its machine.\n{to}",
            {
                "thresholds": {"critical": 1},
                "notify_no_data": True,
                "no_data_timeframe": NO_DATA_AFTER_MINUTES,
                "require_full_window": False,
            },
        ),
    ]


def handles(owners: Mapping[str, Mapping[str, str]], handle: str | None) -> str:
    """Whom a monitor tells, by the tag ``owner``: each team's own handle, else one for all, else PagerDuty's for the owner."""
    lines = []
    for team, contacts in sorted(owners.items()):
        own = contacts.get("datadog")
        if own:
            mention = own if own.startswith("@") else f"@{own}"
            lines.append(f'{{{{#is_exact_match "owner.name" "{team}"}}}}{mention}{{{{/is_exact_match}}}}')
    others = handle or "@pagerduty-{{owner.name}}"
    known = [team for team, contacts in sorted(owners.items()) if contacts.get("datadog")]
    for team in known:
        others = f'{{{{^is_exact_match "owner.name" "{team}"}}}}{others}{{{{/is_exact_match}}}}'
    return "\n".join([*lines, others])


def install(project: str, owners: Mapping[str, Mapping[str, str]], said: Monitors) -> list[tuple[str, str, int]]:
    """Make or update them; gives for each its name, what was done, and Datadog's id.

    :raises InputError: the client or a key is missing, or Datadog says no.
    """
    api = extra("datadog_api_client.v1.api.monitors_api", "datadog")
    try:
        with api_client(said.api_key, said.app_key, said.site) as client:
            monitors = api.MonitorsApi(client)
            found = monitors.list_monitors(monitor_tags=f"{MANAGED},project:{project}", page_size=100)
            there = {_kind(monitor): monitor for monitor in found}
            return [_put(monitors, monitor, there.get(_kind(monitor))) for monitor in wanted(project, owners, said.handle)]
    except InputError:
        raise
    except Exception as error:  # whatever the client raises: an answer, a certificate, nobody there
        why = redacted(f"{type(error).__name__}: {error}")[:400]
        hint = "check the keys and alerts.datadog in dbt_flow.yml, and try again: installing twice does no harm"
        raise InputError("untold", f"Datadog did not take the monitors: {why}", hint=hint) from None


def _put(monitors: Any, monitor: Mapping[str, Any], there: Any) -> tuple[str, str, int]:
    if there is None:
        made = monitors.create_monitor(body=dict(monitor))
        return str(monitor["name"]), "made", int(made["id"])
    number = int(there["id"])
    if _digest(there) == _digest(monitor):
        return str(monitor["name"]), "unchanged", number
    body = {key: value for key, value in monitor.items() if key != "type"}  # a monitor's kind cannot be changed
    monitors.update_monitor(number, body=body)
    return str(monitor["name"]), "updated", number


def _monitor(which: tuple[str, str], kind: str, query: str, message: str, options: Mapping[str, Any]) -> dict[str, Any]:
    project, name = which
    body: dict[str, Any] = {
        "name": f"dbt-flow {project}: {name}",
        "type": kind,
        "query": query,
        "message": message,
        "options": {"include_tags": True, **options},
    }
    return {**body, "tags": [MANAGED, f"project:{project}", f"kind:{name}"]}


def _kind(monitor: Any) -> str:
    return next((tag for tag in _get(monitor, "tags") or () if str(tag).startswith("kind:")), "")


def _digest(monitor: Any) -> str:
    """What we said of it; Datadog adds keys of its own."""
    options = _get(monitor, "options") or {}
    said = {key: _get(monitor, key) for key in ("name", "query", "message")}
    said["no_data"] = _get(options, "no_data_timeframe")
    return json.dumps(said, sort_keys=True, default=str)


def _get(thing: Any, key: str) -> Any:
    return thing.get(key)
