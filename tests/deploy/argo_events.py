"""Argo Events without a cluster, as far as a Sensor goes: which events it lets in, when it starts a workflow, and with what.

Its rules are those of ``pkg/sensors`` in argoproj/argo-events: a filter's expression over fields of the event, a trigger's
condition over the dependencies that have come, which are forgotten when it has fired, and parameters that fall back to their
``value`` when their dependency has not come.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class SensorPod:
    """One Sensor that runs. :meth:`hear` gives the workflow's parameters, or None while the condition is not met."""

    sensor: Mapping[str, Any]
    come: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def hear(self, payload: Mapping[str, Any]) -> dict[str, str] | None:
        body = {"name": payload["name"], "payload": dict(payload)}
        [trigger] = self.sensor["spec"]["triggers"]
        names = [one["name"] for one in self.sensor["spec"]["dependencies"]]
        for dependency in self.sensor["spec"]["dependencies"]:
            if all(_holds(one, {"body": body}) for one in dependency["filters"]["exprs"]):
                self.come[dependency["name"]] = {"body": body}
        if not _met(trigger["template"].get("conditions") or " && ".join(names), names, self.come):
            return None
        arguments = trigger["template"]["k8s"]["source"]["resource"]["spec"]["arguments"]["parameters"]
        found = {one["name"]: one["value"] for one in arguments}
        for parameter in trigger["template"]["k8s"]["parameters"]:
            target = parameter["dest"].partition("#(name=")[2].partition(")")[0]
            found[target] = _value(parameter["src"], self.come)
        self.come.clear()
        return found


def _holds(one: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """``name == 'x'`` over one field; a field that is not there holds never."""
    [named] = one["fields"]
    found: Any = event
    for part in named["path"].split("."):
        if part not in found:
            return False
        found = found[part]
    wanted = one["expr"].partition("==")[2].strip()
    return wanted in ("true", repr(str(found)))


def _met(condition: str, names: list[str], come: Mapping[str, Any]) -> bool:
    words = condition.replace("||", " or ").replace("&&", " and ").split()
    assert set(words) <= {*names, "or", "and"}, condition
    return bool(eval(" ".join(words), {}, {name: name in come for name in names}))


def _value(source: Mapping[str, Any], come: Mapping[str, Mapping[str, Any]]) -> str:
    event = come.get(source["dependencyName"])
    if event is None:
        return str(source["value"])
    if source.get("dataKey") == "body.payload":
        return json.dumps(event["body"]["payload"])
    name = source["dataTemplate"].partition('payload "')[2].partition('"')[0]
    payload = event["body"]["payload"]
    return json.dumps(payload[name]) if name in payload else str(source["value"])
