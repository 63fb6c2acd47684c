"""The one FlowSpec for every DAG: ``python dag.py --config dag dags/carrier_risk.yaml run``.

The YAML file is read once, by the process that launches; tasks receive what was read with Metaflow's Config. A mutator then
names the flow after the DAG and adds its project, schedule, trigger, parameters and retries.

There is one step, ``end``: Metaflow's finish event, which ``@trigger_on_finish`` listens for on Argo, is the end step's, and
every further task would cost a process and an import. With ``isolate:`` the steps are those of the plan: then, and only then,
dbt is asked for it here, by the process that launches.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from dbt_flow.flows import image, warm
from dbt_flow.flows.warm import LOCAL_COMMANDS, command

if __name__ == "__main__":
    image.check()
    warm.begin()  # before the imports that it is there to save

from metaflow import (
    Config,
    FlowMutator,
    FlowSpec,
    Parameter,
    current,
    project,
    resources,
    retry,
    schedule,
    step,
    trigger,
    trigger_on_finish,
)
from metaflow.exception import MetaflowException

from dbt_flow.errors import DbtFlowError, InputError, Refusals
from dbt_flow.flows.far_runs import add_far_decorators, carry, contents
from dbt_flow.flows.launching import Signals, settle, stop_with_parent
from dbt_flow.flows.shape import isolation_of, namespace_of, shape_of, store_in, words_for
from dbt_flow.flows.steps import make_methods
from dbt_flow.flows.witness import note_the_run
from dbt_flow.metaflow_seam import name_class, rename_flow, set_steps
from dbt_flow.pipeline.isolation import StepNeeds
from dbt_flow.pipeline.job import Job, Options
from dbt_flow.plan.waves import START
from dbt_flow.records import SUCCESS, flow_name
from dbt_flow.run.watchdog import LAUNCHER_VARIABLE
from dbt_flow.settings import Settings, load_settings
from dbt_flow.spec import Dag, Param, load_dag
from dbt_flow.spec.schedulers import DEPLOYS, SCHEDULERS, refused_by, schedule_of
from dbt_flow.yamlfile.naming import dag_name

if __name__ == "__main__":
    warm.imported()

_TYPES: dict[str, Any] = {"str": str, "int": int, "float": float, "bool": bool, "date": str}


class DagRunFailed(MetaflowException):  # type: ignore[misc]
    """The step's way to tell Metaflow that the run is not good, without a traceback in its log."""

    headline = "The run is not good"


# ---- reading the DAG, in the launching process


def _argument(name: str) -> str | None:
    """The value of ``--config NAME VALUE`` on this process's command line."""
    for index, word in enumerate(sys.argv[:-2]):
        if word == "--config" and sys.argv[index + 1] == name:
            return sys.argv[index + 2]
    return None


_read_before: dict[str | None, dict[str, Any]] = {}
"""What the launcher has read already, by path: with ``isolate:`` dbt was asked for it."""


def _job(settings: Settings, path: str) -> dict[str, Any]:
    job = Job.of(settings, load_dag(settings, path), Options.from_environment())
    _deployable(job.dag)  # before dbt is asked, and anything gathered
    carry(job)
    remote = vars(settings.destinations.remote)
    return {**job.to_dict(), "isolation": isolation_of(job, command()), "remote": {key: remote[key] for key in sorted(remote)}}


def _read(text: str) -> dict[str, Any]:
    """The Config's parser: Metaflow hands over the file's text, the path stands on the command line.

    The Runner and the Deployer call it in a process of somebody else's: there the file is found by its text.
    """
    if text.strip() in ("", "{}"):
        return {}
    if text.lstrip().startswith('{"dag"'):
        return dict(json.loads(text))
    path = _argument("dag")
    if path in _read_before:
        return _read_before[path]
    settings = load_settings()
    if path is not None:
        return _job(settings, path)
    for file in sorted(settings.dags.rglob("*.y*ml")):
        if file.read_text(encoding="utf-8", errors="replace") == text:
            return _job(settings, str(file))
    raise InputError("usage", "which DAG?", hint="name its file: --config dag dags/NAME.yaml")


def _parse(text: str) -> dict[str, Any]:
    try:
        return _read(text)
    except DbtFlowError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


def _deployable(dag: Dag) -> None:
    """What the scheduler that is deployed to cannot express is refused, never lost."""
    scheduler = command()
    found = refused_by(dag, scheduler, bare=DEPLOYS not in os.environ) if scheduler in SCHEDULERS else []
    if found:
        raise Refusals(found)


# ---- the flow


class as_the_dag_says(FlowMutator):  # type: ignore[misc]
    """Gives the flow its name, project, schedule, trigger and parameters, and its step its retries."""

    def pre_mutate(self, mutable_flow: Any) -> None:
        """Metaflow calls this when the Config is known and before anything else uses the flow."""
        config = dict(mutable_flow.configs)["dag"]
        if not config:
            return
        dag = Dag.from_dict(_plain(config["dag"]))
        rename_flow(mutable_flow, dag.flow_name)
        mutable_flow.add_decorator(project, deco_kwargs=namespace_of(config))
        for name, parameter in dag.params.items():
            mutable_flow.add_parameter(name, _parameter(name, parameter))
        for decorator, arguments in _starts(dag):
            mutable_flow.add_decorator(decorator, deco_kwargs=arguments)
        shape = shape_of(_plain(config))
        if shape is not None:
            methods = make_methods(shape.steps, dag.name, __name__)
            set_steps(mutable_flow, {name: step(method) for name, method in methods.items()})

    def mutate(self, mutable_flow: Any) -> None:
        """Metaflow calls this to let step decorators be added."""
        config = dict(mutable_flow.configs)["dag"]
        if not config:
            return
        dag, shape = Dag.from_dict(_plain(config["dag"])), shape_of(_plain(config))
        common = StepNeeds.of(dag.resources)
        for name, mutable_step in mutable_flow.steps:
            if dag.retries:
                # The wait between attempts is ours (pipeline.attempt): it grows, and it is told.
                mutable_step.add_decorator(retry, deco_kwargs={"times": dag.retries, "minutes_between_retries": 0})
            needs = (shape.needs.get(name, common) if shape else common).arguments
            if needs:
                mutable_step.add_decorator(resources, deco_kwargs=needs)
            add_far_decorators(mutable_step, _plain(config).get("remote") or {})

    def add_to_package(self) -> Any:
        """Metaflow calls this when it makes the code package."""
        yield from contents()


def _starts(dag: Dag) -> list[tuple[Any, dict[str, Any]]]:
    """The Metaflow decorators that a DAG's trigger means."""
    start = dag.trigger
    if start.schedule:
        if len(start.schedule) > 1 and command() != "argo-workflows":
            return []  # Metaflow's @schedule takes one; `serve` takes them all, and `deploy` adds the others on Argo
        return [(schedule, schedule_of(dag, command()))]
    if start.event:
        event: Any = start.event.name
        if start.event.params:
            event = {"name": start.event.name, "parameters": dict(start.event.params)}
        return [(trigger, {"event": event})]
    if start.after:
        # A DAG is named as its file, an ML flow as its class: the first is a flow's name in lower case.
        flows = [flow_name(name) if name[0].islower() else name for name in start.after.names]
        return [(trigger_on_finish, {"flow": flows[0]} if len(flows) == 1 else {"flows": flows})]
    return []


def _parameter(name: str, parameter: Param) -> Parameter:
    if parameter.required:
        return Parameter(name, type=_TYPES[parameter.type], required=True)
    default = parameter.default if isinstance(parameter.default, _TYPES[parameter.type]) else str(parameter.default)
    return Parameter(name, type=_TYPES[parameter.type], default=default)


def _plain(value: Any) -> Any:
    """A Config value as plain JSON types."""
    return json.loads(json.dumps(value, default=dict))


@as_the_dag_says
class DbtFlow(FlowSpec):  # type: ignore[misc]
    """Builds what a DAG file selects, with dbt."""

    dag = Config("dag", default_value="{}", parser=_parse)

    @step  # type: ignore[untyped-decorator,unused-ignore]
    def end(self) -> None:
        """Ask dbt for the manifest, plan, decide, build, record, tell."""
        if not self.dag:
            raise DagRunFailed("No DAG was given: --config dag dags/NAME.yaml")
        config = self._weighed(_arrived(_plain(self.dag)))
        from dbt_flow.pipeline.attempt import Task
        from dbt_flow.pipeline.execute import execute

        given = {name: getattr(self, name) for name in Dag.from_dict(config["dag"]).params}
        told = execute(config, given, _task(Task))
        self.result = told.summary
        self.card_document = told.document
        if told.result.status != SUCCESS:
            raise DagRunFailed(told.result.reason)

    def build(self, name: str) -> None:
        """What the steps of a DAG with isolated ones do; those are made by the mutator."""
        config = _arrived(_plain(self.dag))
        if name == START:
            config = self._weighed(config)
        from dbt_flow.pipeline.attempt import Task
        from dbt_flow.pipeline.isolated import build_step

        given = {key: getattr(self, key) for key in config["dag"]["keys"].get("params") or {}}
        left = build_step(name, {**config, "isolation": shape_of(config)}, given, _task(Task))
        if left.told is not None:
            self.result = left.told.summary
            self.card_document = left.told.document
        if left.again:
            raise DagRunFailed(left.reason)

    def _weighed(self, config: dict[str, Any]) -> dict[str, Any]:
        """The Config of a run that builds; on Argo its first step may find that it does not, and ends it here."""
        from dbt_flow.flows.starting import weigh

        try:
            found, why_not = weigh(config, _task)
        except DbtFlowError as error:
            raise DagRunFailed(str(error)) from None
        if why_not is not None and config.get("isolation"):
            raise DagRunFailed(why_not)  # Argo waits for what the first of several steps hands on
        if why_not is not None:
            # Argo takes exit 0 for done, and so it is. Metaflow takes a task that leaves so for one that is not good: no run of
            # its own counts it as a good one, and no event of its end is sent.
            sys.exit(0)
        return found


def _arrived(config: dict[str, Any]) -> dict[str, Any]:
    """The Config as it holds on this machine; a machine that does not fit is recorded as the run's failure."""
    from dbt_flow.pipeline.arriving import arrive, check_versions

    package = Path(__file__).parent
    found = arrive(config, package)
    try:
        check_versions(package)
    except DbtFlowError as error:
        from dbt_flow.pipeline.settle import settle_refused

        name = str(found["dag"]["name"])
        told = {"dag": name, "flow": current.flow_name, "run": str(current.run_id), "task": current.pathspec}
        settle_refused(store_in(found), told, error)
        raise DagRunFailed(str(error)) from None
    return found


def _task(kind: Any) -> Any:
    """Who this task is, in Metaflow's words."""
    cause = getattr(current, "trigger", None)
    return kind(
        flow=current.flow_name,
        run=str(current.run_id),
        pathspec=current.pathspec,
        attempt=current.retry_count,
        origin=current.origin_run_id,
        trigger=f"event {cause.event.name}" if cause and cause.event else "by hand",
    )


_given = _argument("dag")
if _given:  # `resume` looks the flow's name up before mutators run
    name_class(DbtFlow, flow_name(dag_name(Path(_given))))


# ---- the launcher's duties


def main() -> None:
    """Run Metaflow's command line; for a local run, also see to it that the run is told however it ends."""
    said = command()
    if said == "step":
        warm.leave_after(DbtFlow)
    if said not in LOCAL_COMMANDS:
        DbtFlow()
        return
    os.environ[LAUNCHER_VARIABLE] = str(os.getpid())
    signals = Signals()
    stop_with_parent()
    config = _tag(said)
    if config is not None:
        note_the_run(config)
    try:
        DbtFlow()
    finally:
        run = getattr(current, "run_id", None)
        if config is not None and run is not None:
            settle(config, str(run), signals.stopped)
        warm.end()


def _tag(command: str) -> dict[str, Any] | None:
    """Read the DAG, and tag the run with its name, owner and own tags, as ``--tag`` would."""
    if _given is None:
        return None
    text = Path(_given).read_text(encoding="utf-8", errors="replace") if Path(_given).is_file() else "-"
    config = _read_before[_given] = _parse(text)
    dag = Dag.from_dict(config["dag"])
    tags = [f"dag:{dag.name}", f"owner:{dag.owner}", *dag.tags]
    given = sys.argv.index("--config")
    at = sys.argv.index(command, given) + 1
    sys.argv[at:at] = [*(word for tag in tags for word in ("--tag", tag)), *words_for(config, command, sys.argv[at:])]
    if command == "resume":  # Metaflow takes the Config from the run that is resumed, and refuses to be told another
        del sys.argv[given : given + 3]
    return config


if __name__ == "__main__":
    main()
