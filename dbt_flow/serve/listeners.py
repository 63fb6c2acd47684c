"""Who waits for what: DAGs by their YAML, ML flows by their own decorators; names as Argo would match them.

On Argo the end of a flow is the event ``metaflow.<project>.<branch>.<Flow>.end``, and ``@trigger_on_finish(flow="X")`` takes
project and branch from the flow that listens. So it is here: a flow without ``@project`` never hears a DAG, and is told so.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from dbt_flow.errors import DbtFlowError, InputError, Place
from dbt_flow.launch import environment
from dbt_flow.plan.arrivals import Listener
from dbt_flow.plan.awaited import events_of, finish_name, rule_of
from dbt_flow.plan.needs import Contract
from dbt_flow.settings import Settings
from dbt_flow.spec import Dag
from dbt_flow.yamlfile import did_you_mean


@dataclass(frozen=True)
class Wait:
    """One name that a subscriber waits for."""

    event: str
    label: str
    """As the person wrote it: ``carrier_reference``."""
    kind: Literal["event", "run"]
    params: Mapping[str, str] = field(default_factory=dict)
    """Parameter: field of the payload."""
    required: tuple[str, ...] = ()
    """Fields without which the event is not this subscriber's, as Argo's filter has it."""

    @property
    def flow(self) -> str:
        """Of a run: the flow whose end it is."""
        return self.event.removesuffix(".end").rpartition(".")[2]

    @property
    def settled(self) -> str | None:
        """Of a run: the name of the event that tells its end, good or not."""
        return f"dbt_flow{self.event[len('metaflow') : -len('end')]}settled" if self.kind == "run" else None


@dataclass(frozen=True)
class Subscriber:
    """A DAG or an ML flow that the runtime can start."""

    name: str
    """Of a DAG its name, of an ML flow its class."""
    kind: Literal["dag", "flow"]
    flow: str
    """Its name in Metaflow."""
    file: str
    """Relative to the root."""
    owner: str = ""
    project: str | None = None
    branch: str | None = None
    waits: tuple[Wait, ...] = ()
    rule: Listener = field(default_factory=lambda: Listener("", ()))
    schedule: tuple[str, ...] = ()
    zone: str = "UTC"
    overlap: Literal["skip", "queue"] = "queue"
    text: str = "by hand"
    """What starts it, in words."""
    dag: Dag | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    """Of an ML flow: parameter to the name of its type."""
    end: str = "end"
    """The name of its last step."""
    place: Place | None = None
    """Where the trigger stands."""
    needs: Contract | None = None
    """What it reads, of a flow with ``@needs``: it starts from ``settled``, when that is good."""

    @property
    def finished(self) -> str:
        """The name of the event that its good end is."""
        return finish_name(self.project, self.branch, self.flow)

    def wait(self, event: str) -> Wait | None:
        """What it waits for under that name."""
        return next((wait for wait in self.waits if event in (wait.event, wait.settled)), None)

    def label(self, event: str) -> str:
        """A name as a person would say it."""
        wait = self.wait(event)
        return wait.label if wait else event

    def today(self, now: float) -> Any:
        """The date on its clocks."""
        return datetime.fromtimestamp(now, timezone.utc).astimezone(ZoneInfo(self.zone)).date()


@dataclass(frozen=True)
class Listening:
    """Everybody who can be started, and who hears which event."""

    subscribers: tuple[Subscriber, ...] = ()
    problems: tuple[DbtFlowError, ...] = ()
    """Files that cannot be used, and triggers that can never fire."""
    by_name: Mapping[str, Subscriber] = field(init=False)
    by_event: Mapping[str, tuple[Subscriber, ...]] = field(init=False)

    def __post_init__(self) -> None:
        heard: dict[str, tuple[Subscriber, ...]] = {}
        for subscriber in self.subscribers:
            for wait in subscriber.waits:
                heard[wait.event] = (*heard.get(wait.event, ()), subscriber)
                if subscriber.needs and wait.settled:
                    heard[wait.settled] = (*heard.get(wait.settled, ()), subscriber)
        object.__setattr__(self, "by_name", {subscriber.name: subscriber for subscriber in self.subscribers})
        object.__setattr__(self, "by_event", heard)

    def near(self, event: str) -> str | None:
        """The name that somebody listens to and that is most like ``event``."""
        return did_you_mean(event, [name for name in self.by_event if not name.startswith(("metaflow.", "dbt_flow."))])


def user_branch(settings: Settings, environ: Mapping[str, str] | None = None) -> str:
    """The branch of a run that this machine's user starts: Metaflow's own rule."""
    found = {**environment(settings, {}), **(os.environ if environ is None else environ)}
    if "METAFLOW_OWNER" in found:
        return f"user.{found['METAFLOW_OWNER']}"
    names = (found.get(name) for name in ("METAFLOW_USER", "SUDO_USER", "USERNAME", "USER"))
    return f"user.{next((name for name in names if name and name != 'root'), 'root')}"


def of_dag(dag: Dag, project: str, branch: str) -> Subscriber:
    """What a DAG file says."""
    start = dag.trigger
    waits: tuple[Wait, ...] = ()
    if start.event:
        mapped = dict(start.event.params) or {name: name for name in dag.params}
        required = tuple(field for name, field in mapped.items() if name in dag.params and dag.params[name].required)
        waits = (Wait(start.event.name, start.event.name, "event", mapped, required),)
    elif start.after:
        waits = tuple(Wait(event, name, "run") for event, name in events_of(dag, project, branch).items())
    rule = rule_of(dag, (wait.event for wait in waits))
    return Subscriber(
        dag.name,
        "dag",
        dag.flow_name,
        dag.file,
        owner=dag.owner,
        project=project,
        branch=branch,
        waits=waits,
        rule=rule,
        schedule=tuple(str(cron) for cron in start.schedule),
        zone=dag.timezone,
        overlap=dag.overlap or dag.default_overlap,  # type: ignore[arg-type]
        text=start.text,
        dag=dag,
        place=dag.place("trigger"),
    )


def of_flow(read: Mapping[str, Any], file: str, lines: Sequence[str]) -> Subscriber:
    """What a flow file says (:mod:`dbt_flow.serve.read_flow`).

    :raises InputError: what Argo would refuse as well.
    """
    flow, project, branch = str(read["flow"]), read.get("project"), read.get("branch")
    place = _decorator_place(file, lines)
    if read["trigger"] and read["trigger_on_finish"]:
        message = f"{flow} has @trigger and @trigger_on_finish; Argo Workflows refuses the two together"
        raise InputError("bad-value", message, place=place, hint="keep one of them")
    waits = [_event_wait(item, read, place) for item in read["trigger"]]
    waits += [_run_wait(item, flow, project, branch, place) for item in read["trigger_on_finish"]]
    if len(waits) == 1 and waits[0].kind == "event" and not waits[0].params:
        params = {name: name for name in read["params"]}
        required = tuple(name for name in params if read["params"][name]["required"])
        waits = [Wait(waits[0].event, waits[0].label, "event", params, required)]
    crons = _crons(read["schedule"], flow, place)
    zone = next((item["timezone"] for item in read["schedule"] if item["timezone"]), "UTC")
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        hint = "write a name of the tz database, as in Europe/Berlin"
        raise InputError("bad-timezone", f"{flow}: nobody knows the time zone {zone}", place=place, hint=hint) from None
    needs = Contract.from_dict(read["needs"]) if read.get("needs") else None
    words = [f"when {needs.text}"] if needs else []
    words += [] if needs else [f"after {wait.label}" if wait.kind == "run" else f"on event {wait.label}" for wait in waits]
    return Subscriber(
        flow,
        "flow",
        flow,
        file,
        project=project,
        branch=branch,
        waits=tuple(waits),
        rule=Listener(flow, tuple(wait.event for wait in waits), zone=zone),
        schedule=crons,
        zone=zone,
        overlap="queue",
        text=" and ".join([*words, *(f"{cron} {zone}" for cron in crons)]) or "by hand",
        params={name: str(facts["type"]) for name, facts in read["params"].items()},
        end=str(read.get("end") or "end"),
        place=place,
        needs=needs,
    )


def _event_wait(item: Mapping[str, Any], read: Mapping[str, Any], place: Place) -> Wait:
    known = {name.lower(): name for name in read["params"]}
    params = {}
    for name, payload_field in (item.get("parameters") or {}).items():
        if name.lower() not in known:
            hint = "declare it as a Parameter, or take it out of the mapping"
            raise InputError(
                "bad-value", f"{read['flow']}: @trigger fills {name}, which is no parameter", place=place, hint=hint
            )
        params[known[name.lower()]] = payload_field
    required = tuple(payload_field for name, payload_field in params.items() if read["params"][name]["required"])
    return Wait(str(item["name"]), str(item["name"]), "event", params, required)


def _run_wait(item: Mapping[str, Any], flow: str, project: Any, branch: Any, place: Place) -> Wait:
    its_project, its_branch = item.get("project") or project, item.get("branch") or branch
    if bool(its_project) != bool(its_branch):
        message = f"{flow}: @trigger_on_finish of {item['flow']} names a project without a branch, or the reverse"
        raise InputError("bad-value", message, place=place, hint="name both, or add @project")
    return Wait(finish_name(its_project, its_branch, item["flow"]), str(item["flow"]), "run")


def _crons(schedules: Iterable[Mapping[str, Any]], flow: str, place: Place) -> tuple[str, ...]:
    """Metaflow writes EventBridge's crons, with a year and ``?``; Argo is given the first five fields."""
    found = []
    for item in schedules:
        cron = " ".join("*" if part == "?" else part for part in str(item["cron"]).split()[:5])
        try:
            CronSim(cron, datetime(2024, 1, 1))
        except (CronSimError, AssertionError, ValueError):
            message = f"{flow}: @schedule has the cron expression {item['cron']!r}, which cannot be read"
            raise InputError("bad-cron", message, place=place, hint='write five fields, as in "0 6 * * *"') from None
        found.append(cron)
    return tuple(found)


def _decorator_place(file: str, lines: Sequence[str]) -> Place:
    for number, line in enumerate(lines, start=1):
        if line.lstrip().startswith(("@trigger", "@schedule", "@needs")):
            return Place(file, number, len(line) - len(line.lstrip()) + 1, line.rstrip("\n"))
    return Place(file)


def never_fires(subscribers: Sequence[Subscriber], broken: frozenset[str] = frozenset()) -> list[DbtFlowError]:
    """Triggers that wait for the end of a flow that nobody here has.

    :param broken: names of DAGs whose files are wrong. They are told by themselves; who waits for one is not at fault.
    """
    ends = {subscriber.finished: subscriber for subscriber in subscribers}
    flows = {subscriber.flow: subscriber for subscriber in subscribers}
    found: list[DbtFlowError] = []
    for subscriber in subscribers:
        for wait in subscriber.waits:
            if wait.event in ends or (wait.kind == "event" and not wait.event.startswith("metaflow.")):
                continue
            if wait.label in broken:
                continue
            other = flows.get(wait.event.removesuffix(".end").rpartition(".")[2])
            if other:
                message = f"{subscriber.name} waits for {wait.event}, and the end of {other.flow} is {other.finished}"
                hint = (
                    f'write @project(name="{other.project}") above {subscriber.name}' if other.project else "take @project out"
                )
                if other.project == subscriber.project:
                    hint = "name project and branch as they are"
            else:
                near = did_you_mean(wait.label, flows)
                message = f"{subscriber.name} waits for {wait.label}, which is no DAG's flow and stands under no flows:"
                hint = f"did you mean {near}?" if near else "add its file to flows: in dbt_flow.yml"
            found.append(InputError("never-fires", f"it can never start: {message}", place=subscriber.place, hint=hint))
    return found
