"""Argo Workflows: a flow is a WorkflowTemplate, with a CronWorkflow for its schedule and a Sensor for its triggers.

Metaflow's own ``create`` makes them. What Metaflow has no words for is added afterwards: what happens when a start is due while
the flow runs (``overlap``), the time zone said out loud, further schedules, and, last, the marks. Of a DAG whose first step
decides whether it builds (:mod:`dbt_flow.pipeline.first_step`), the Sensor starts a workflow for each event, and a CronWorkflow
starts one when the clock is to be looked at. They are taken apart here and not by Metaflow's
``delete``, which wants the flow file that is gone.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import kubernetes
import urllib3

from dbt_flow.deploy.creating import create
from dbt_flow.deploy.expressible import refused
from dbt_flow.deploy.nouns import Seen, Space, Wanted, counted, digest, marks_of
from dbt_flow.deploy.schedulers import Phase
from dbt_flow.deploy.schedulers.argo_specs import clock_workflow, cron_policy, each_event, template_policy, too_many_crons
from dbt_flow.deploy.surroundings import (
    carrying_problems,
    configured,
    datastore_problems,
    image_problems,
    missing,
    said_of_remote,
    setting,
)
from dbt_flow.errors import DbtFlowError, InputError, RunFailed
from dbt_flow.pipeline.first_step import Deployed, begin_to_listen, stop_listening
from dbt_flow.settings import Settings
from dbt_flow.spec.schedulers import by_first_step, clock_of
from dbt_flow.state.places import store_of

COMMAND = "argo-workflows"
PREFIX = "dbt-flow/"
"""Of the annotations that are marks."""

_GROUP, _VERSION = "argoproj.io", "v1alpha1"
_TEMPLATES, _CRONS, _SENSORS = "workflowtemplates", "cronworkflows", "sensors"
_CLOCK_MARK = f"{PREFIX}clock"
_WITHIN = 30  # seconds for one answer
_PAGE = 200
_EVENTS = {
    "ARGO_EVENTS_EVENT": "the name of the cluster's event",
    "ARGO_EVENTS_EVENT_SOURCE": "the event source that listens for Metaflow's events",
    "ARGO_EVENTS_SERVICE_ACCOUNT": "the service account that may start workflows",
}
_SURROUNDINGS = (
    *("DEFAULT_DATASTORE", "DATASTORE_SYSROOT_S3", "DATASTORE_SYSROOT_AZURE", "DATASTORE_SYSROOT_GS", "SERVICE_INTERNAL_URL"),
    *("KUBERNETES_NAMESPACE", "KUBERNETES_CONTAINER_IMAGE", "KUBERNETES_SERVICE_ACCOUNT", "KUBERNETES_SECRETS"),
    *("KUBERNETES_NODE_SELECTOR", "KUBERNETES_TOLERATIONS", "KUBERNETES_CPU", "KUBERNETES_MEMORY", "KUBERNETES_DISK"),
    *("ARGO_EVENTS_EVENT", "ARGO_EVENTS_EVENT_BUS", "ARGO_EVENTS_EVENT_SOURCE", "ARGO_EVENTS_SERVICE_ACCOUNT"),
    *("ARGO_EVENTS_SENSOR_NAMESPACE", "ARGO_EVENTS_INTERNAL_WEBHOOK_URL", "ARGO_WORKFLOWS_USE_SCHEDULES"),
)


class ArgoScheduler:
    """See :class:`~dbt_flow.deploy.schedulers.Scheduler`."""

    name, title = "argo", "Argo Workflows"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.namespace = str(setting("KUBERNETES_NAMESPACE") or "default")
        self.sensors_in = str(setting("ARGO_EVENTS_SENSOR_NAMESPACE") or self.namespace)
        self._objects: Any = None

    def surroundings(self) -> Mapping[str, str]:
        """See the protocol."""
        return {**configured(_SURROUNDINGS), **said_of_remote(self.settings)}

    def problems(self, wanted: Sequence[Wanted]) -> list[DbtFlowError]:
        """See the protocol."""
        triggered = [one for one in wanted if _listens(one)]
        return [
            *datastore_problems(self.title, ("s3", "azure", "gs")),
            *carrying_problems(self.settings, wanted),
            *image_problems(self.settings, wanted, "KUBERNETES_CONTAINER_IMAGE", self.title),
            *missing(_EVENTS, triggered),
            *(error for one in wanted for error in refused(one, COMMAND)),
            *(error for one in wanted for error in too_many_crons(one)),
        ]

    def current(self, space: Space, phase: Phase) -> Mapping[str, Seen]:
        """See the protocol."""
        crons = {one["metadata"]["name"]: one for one in self._list(_CRONS, self.namespace)}
        sensors = {one["metadata"]["name"]: one for one in self._list(_SENSORS, self.sensors_in)}
        found = {}
        for template in self._list(_TEMPLATES, self.namespace):
            if not _is_of(template, space):
                continue
            name = template["metadata"]["name"]
            one = self._seen(template, crons.get(name), sensors.get(_sensor_name(name)))
            found[one.flow] = one
        phase(f"there: {counted(len(found), 'flow')}")
        return found

    def put(self, wanted: Wanted, space: Space, before: Seen | None, phase: Phase) -> Seen:
        """See the protocol."""
        phase("Metaflow makes the template and uploads the code")
        words = ["--workflow-title", wanted.name]
        words += ["--workflow-description", wanted.description] if wanted.description else []
        if before is not None and before.marks and before.token:
            words += ["--authorize", before.token]  # ours, whoever of us deployed it last
        name = create(self.settings, wanted, space, COMMAND, words)
        phase("adding what Metaflow has no words for")
        cron, template = self._get(_CRONS, name), self._get(_TEMPLATES, name)
        if template is None:
            raise RunFailed("deploy-failed", f"{wanted.name}: Metaflow made it, and {self.namespace}/{name} is not there")
        if cron is not None and not cron["spec"].get("suspend"):
            cron = self._patch(_CRONS, name, {"spec": cron_policy(wanted)})
        policy = template_policy(wanted, name)
        if policy:
            template = self._patch(_TEMPLATES, name, {"spec": policy})
        sensor = self._get(_SENSORS, _sensor_name(name), self.sensors_in)
        crons = clock_of(wanted.dag) if wanted.dag else ()
        if wanted.dag is not None and sensor is not None and by_first_step(wanted.dag):
            place = Deployed(name, self.namespace, space.project, space.metaflow_branch)
            begin_to_listen(store_of(self.settings), wanted.dag, place, time.time())  # first: it may hear something at once
            sensor = self._patch(_SENSORS, _sensor_name(name), {"spec": each_event(sensor)}, self.sensors_in)
            if crons:
                clock = clock_workflow(name, crons, wanted.dag.timezone, sensor)
                cron = self._patch(_CRONS, name, clock) if cron is not None else self._create(_CRONS, clock)
        seal = self._seen(template, cron, sensor).seal
        marks = {f"{PREFIX}{key}": value for key, value in marks_of(wanted, space, seal).items()}
        marks |= {_CLOCK_MARK: ", ".join(crons)} if crons else {}
        old = {key: None for key in template["metadata"].get("annotations", {}) if key.startswith(PREFIX)}
        template = self._patch(_TEMPLATES, name, {"metadata": {"annotations": {**old, **marks}}})
        return self._seen(template, cron, sensor)

    def remove(self, seen: Seen, phase: Phase) -> None:
        """See the protocol."""
        phase("taking away schedule, trigger and template")
        name = seen.resource
        for plural, one, where in (
            (_CRONS, name, self.namespace),
            (_SENSORS, _sensor_name(name), self.sensors_in),
            (_TEMPLATES, name, self.namespace),
        ):
            call = partial(self._api.delete_namespaced_custom_object, _GROUP, _VERSION, where, plural, one)
            self._ask(f"delete {plural}/{one}", call)
        stop_listening(store_of(self.settings), self.namespace, name)

    # ---- the API

    @property
    def _api(self) -> Any:
        """Kubernetes' API, by the kubeconfig or from inside the cluster.

        :raises InputError: ``deploy-unreachable``: there is neither.
        """
        if self._objects is None:
            files = os.environ.get("KUBECONFIG") or kubernetes.config.KUBE_CONFIG_DEFAULT_LOCATION
            try:  # not load_config(): it prints to stdout
                if any(Path(file).expanduser().is_file() for file in files.split(os.pathsep)):
                    kubernetes.config.load_kube_config()
                else:
                    kubernetes.config.load_incluster_config()
            except (kubernetes.config.ConfigException, OSError) as error:
                hint = "say which cluster: kubectl config use-context NAME, or set KUBECONFIG"
                raise InputError(
                    "deploy-unreachable", f"there is no cluster to talk to ({files}): {_line(error)}", hint=hint
                ) from None
            self._objects = kubernetes.client.CustomObjectsApi()
        return self._objects

    def _ask(self, what: str, call: Callable[..., Any]) -> Any:
        """One request; None for what is not there."""
        try:
            return call(_request_timeout=_WITHIN)
        except kubernetes.client.ApiException as error:
            if error.status == 404:
                return None
            raise _told(what, error) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            host = kubernetes.client.Configuration.get_default_copy().host
            hint = "is the cluster up, and is this the right one? kubectl cluster-info"
            raise InputError("deploy-unreachable", f"no answer from Kubernetes at {host}: {_line(error)}", hint=hint) from None

    def _get(self, plural: str, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        where = namespace or self.namespace
        call = partial(self._api.get_namespaced_custom_object, _GROUP, _VERSION, where, plural, name)
        found: dict[str, Any] | None = self._ask(f"get {plural}/{name}", call)
        return found

    def _create(self, plural: str, body: Mapping[str, Any]) -> dict[str, Any]:
        call = partial(self._api.create_namespaced_custom_object, _GROUP, _VERSION, self.namespace, plural, body)
        made: dict[str, Any] = self._ask(f"create {plural}", call)
        return made

    def _patch(self, plural: str, name: str, body: Mapping[str, Any], namespace: str | None = None) -> dict[str, Any]:
        where = namespace or self.namespace
        call = partial(self._api.patch_namespaced_custom_object, _GROUP, _VERSION, where, plural, name, body)
        found: dict[str, Any] | None = self._ask(f"patch {plural}/{name}", call)
        if found is None:
            raise RunFailed("deploy-failed", f"{plural}/{name} was deleted while it was deployed", hint="apply again")
        return found

    def _list(self, plural: str, namespace: str) -> Iterator[dict[str, Any]]:
        """Page by page. Argo Events need not be installed where nothing listens."""
        more: dict[str, Any] = {}
        while True:
            call = partial(self._api.list_namespaced_custom_object, _GROUP, _VERSION, namespace, plural, limit=_PAGE, **more)
            page = self._ask(f"list {plural}", call)
            yield from (page or {}).get("items", ())
            following = ((page or {}).get("metadata") or {}).get("continue")
            if not following:
                return
            more = {"_continue": following}

    @staticmethod
    def _seen(template: Mapping[str, Any], cron: Mapping[str, Any] | None, sensor: Mapping[str, Any] | None) -> Seen:
        notes = template["metadata"].get("annotations") or {}
        parts = (("schedule", "metaflow/cron", cron), ("schedule", _CLOCK_MARK, cron), ("trigger", "metaflow/triggers", sensor))
        return Seen(
            flow=notes["metaflow/flow_name"],
            resource=template["metadata"]["name"],
            seal=digest(template["spec"], cron and cron["spec"], sensor and sensor["spec"]),
            marks={key.removeprefix(PREFIX): value for key, value in notes.items() if key.startswith(PREFIX)},
            token=notes.get("metaflow/production_token"),
            missing=tuple(part for part, note, found in parts if note in notes and found is None),
        )


def _is_of(template: Mapping[str, Any], space: Space) -> bool:
    """Whether a template is a flow of the space: of its project and branch, or ours without a project, in production."""
    notes = template["metadata"].get("annotations") or {}
    if "metaflow/flow_name" not in notes:
        return False
    if "metaflow/project_name" in notes:
        return bool(
            notes["metaflow/project_name"] == space.project and notes.get("metaflow/branch_name") == space.metaflow_branch
        )
    return space.branch is None and notes.get(f"{PREFIX}project", space.project) == space.project


def _listens(wanted: Wanted) -> bool:
    if wanted.dag:
        return wanted.dag.trigger.kind in ("event", "after")
    return bool(wanted.facts.get("trigger") or wanted.facts.get("trigger_on_finish"))


def _sensor_name(name: str) -> str:
    """As Metaflow makes it: a sensor's name has no dots."""
    return name.replace(".", "-")


def _told(what: str, error: Any) -> DbtFlowError:
    """What Kubernetes answers, as one error."""
    try:
        said = str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        said = str(error.reason)
    if error.status in (401, 403):
        who = "does not know who you are" if error.status == 401 else "does not let you"
        hint = (
            "log in to the cluster"
            if error.status == 401
            else f"ask for the right: kubectl auth can-i {what.replace('/', ' ')}"
        )
        return InputError("deploy-forbidden", f"Kubernetes {who} {what}: {said}", hint=hint)
    hint = "is Argo Workflows installed, and healthy? apply again when it is"
    return RunFailed("deploy-failed", f"Kubernetes answers {error.status} to {what}: {said}", hint=hint)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
