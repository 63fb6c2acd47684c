"""All DAGs of a root, read and checked together. One bad file never stops the others."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from dbt_flow.errors import DbtFlowError, InputError, Place, Refusals
from dbt_flow.records import flow_name
from dbt_flow.settings import DBT_PROJECT_FILE, DEFAULTS_FILE, SUFFIXES, Settings, dag_files
from dbt_flow.spec.clock import clock_warnings
from dbt_flow.spec.dag_file import Dag, build, defaults_errors, name_error
from dbt_flow.spec.merge import defaults_above, merge
from dbt_flow.spec.untold import untold
from dbt_flow.yamlfile import Document, did_you_mean, listed, read, show
from dbt_flow.yamlfile.naming import dag_name


@dataclass(frozen=True)
class Fleet:
    """Every DAG of a root. What is wrong with a file is here too, and the DAG is then not among ``dags``."""

    dags: tuple[Dag, ...]
    errors: tuple[DbtFlowError, ...]
    warnings: tuple[DbtFlowError, ...]
    files: tuple[Path, ...]
    bad: dict[str, tuple[DbtFlowError, ...]] = field(default_factory=dict)
    """The file of each DAG that cannot be used, with the reasons."""
    misfits: tuple[Dag, ...] = ()
    """DAGs whose files read well and that do not go with the others, as with an owner who is not there or a circle."""

    def names(self) -> tuple[str, ...]:
        """Of the good ones."""
        return tuple(dag.name for dag in self.dags)


def load_fleet(settings: Settings, only: Iterable[str] = ()) -> Fleet:
    """Read and check every DAG file under ``settings.dags``.

    :param only: names or paths of DAG files to report on (all by default); the others are read for what they say of these
    :raises InputError: ``unknown-dag`` when ``only`` names what does not exist
    """
    loader = _Loader(settings)
    chosen = [loader.find(name) for name in only]
    return loader.fleet(chosen)


def load_dag(settings: Settings, name_or_path: str | Path) -> Dag:
    """One DAG, by its name or by the path of a YAML file anywhere.

    :raises DbtFlowError: all that is wrong with it, at once
    """
    loader = _Loader(settings)
    dag, errors = loader.load(loader.find(str(name_or_path)))
    if dag is None or errors:
        raise errors[0] if len(errors) == 1 else Refusals(errors)
    return dag


def project_of(settings: Settings, dag: Dag) -> Path:
    """The folder of the dbt project that a DAG runs."""
    return settings.root / dag.project if dag.project else settings.dbt_project


class _Loader:
    """One reading of a root. Each defaults file is read once."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.files = dag_files(settings)
        self.names = {dag_name(path) for path in self.files}
        self.dag_of = {flow_name(name): name for name in self.names}
        self.flows: dict[str, list[Path]] = {}
        """The files of each flow name. Argo spells it in lower case, so names that differ only there collide too."""
        for path in self.files:
            self.flows.setdefault(flow_name(dag_name(path)).casefold(), []).append(path)
        self.documents: dict[Path, Document] = {}
        self.read_well: dict[Path, Dag] = {}
        """DAGs that are good by themselves, whatever is wrong between them and others."""

    def find(self, name: str) -> Path:
        """The file that a person means by ``name``."""
        if name.endswith(SUFFIXES) or "/" in name or os.sep in name:
            return Path(os.path.abspath(name))  # noqa: PTH100 - resolve() would follow links
        path = next((path for path in self.files if name in (path.stem, dag_name(path))), None)
        if path:
            return path
        names = sorted(self.names)
        near = did_you_mean(name, names)
        folder = self.settings.shown(self.settings.dags)
        known = f"the DAGs are: {listed(names)}" if names else f"there is no DAG file in {folder}"
        hint = f"did you mean {near}? {known}" if near else known
        raise InputError("unknown-dag", f"no DAG is named {show(name)}", hint=hint)

    def document(self, path: Path, *, empty_ok: bool = False) -> Document:
        if path not in self.documents:
            self.documents[path] = read(path, name=self.settings.shown(path), empty_ok=empty_ok)
        return self.documents[path]

    def load(self, path: Path) -> tuple[Dag | None, list[DbtFlowError]]:
        """One DAG with its defaults, checked by itself and against the names of the others."""
        document = self.document(path)
        defaults = [self.document(above, empty_ok=True) for above in defaults_above(path, self.settings.dags)]
        errors = [error for layer in defaults for error in layer.errors] + document.errors
        wrong_name = name_error(path.stem, Place(document.file))
        if wrong_name:
            errors.append(wrong_name)
        if document.data is None:
            return None, _once(errors)
        dag, found = build(merge(defaults, document), path.stem)
        errors += found
        if dag is not None:
            if not errors:
                self.read_well[path] = dag
            errors += self.against_others(dag, path)
        return (None if errors else dag), _once(errors)

    def against_others(self, dag: Dag, path: Path) -> list[DbtFlowError]:
        return [
            *self.same_name(dag, path),
            *self.owner(dag),
            *self.project(dag),
            *self.waits(dag),
            *_params(dag),
        ]

    def same_name(self, dag: Dag, path: Path) -> list[DbtFlowError]:
        """No other file is the same flow."""
        for other in self.flows.get(dag.flow_name.casefold(), ()):
            linked = path not in self.files and path.exists() and other.exists() and path.samefile(other)
            if other != path and not linked:
                message = f"this DAG and {self.settings.shown(other)} would both be the flow {dag.flow_name}"
                return [InputError("name-collision", message, place=Place(dag.file), hint="rename one of the two files")]
        return []

    def owner(self, dag: Dag) -> list[DbtFlowError]:
        owners = self.settings.owners
        if not owners or dag.owner in owners:
            return []
        near = did_you_mean(dag.owner, owners)
        hint = f"did you mean {near}?" if near else f"the owners are: {listed(owners)}; add one in dbt_flow.yml"
        return [InputError("unknown-owner", f"no owner is named {show(dag.owner)}", place=dag.place("owner"), hint=hint)]

    def project(self, dag: Dag) -> list[DbtFlowError]:
        folder = project_of(self.settings, dag)
        if not dag.project or ("\0" not in dag.project and (folder / DBT_PROJECT_FILE).is_file()):
            return []
        hint = "name the folder of a dbt project, from the root"
        message = f"project: {show(dag.project)} holds no {DBT_PROJECT_FILE}"
        return [InputError("bad-value", message, place=dag.place("project"), hint=hint)]

    def waits(self, dag: Dag) -> list[DbtFlowError]:
        """``after`` names what exists, and not itself."""
        errors: list[DbtFlowError] = []
        names = self.names
        for index, waited in enumerate(dag.trigger.after.names if dag.trigger.after else ()):
            kind = "any" if dag.trigger.after and dag.trigger.after.any else "all"
            place = max(dag.place(f"trigger.after.{index}"), dag.place(f"trigger.after.{kind}.{index}"), key=_order)
            if waited in (dag.name, dag.flow_name):
                hint = "name another DAG, or write trigger: none"
                errors.append(InputError("waits-for-itself", f"{dag.name} waits for itself", place=place, hint=hint))
            elif waited in self.dag_of:
                hint = f"write {self.dag_of[waited]}"
                errors.append(InputError("unknown-dag", f"{waited} is a DAG's flow", place=place, hint=hint))
            elif waited not in names and not (waited[0].isupper() and self.settings.flows):
                near = did_you_mean(waited, names)
                ml = "; an ML flow's file must stand under flows: in dbt_flow.yml" if waited[0].isupper() else ""
                hint = (
                    f"did you mean {near}?" if near else f"the DAGs are: {listed(sorted(names - {dag.name})) or 'none yet'}{ml}"
                )
                errors.append(InputError("unknown-dag", f"after: no DAG is named {show(waited)}", place=place, hint=hint))
        return errors

    def fleet(self, chosen: list[Path]) -> Fleet:
        loaded = {path: self.load(path) for path in [*self.files, *(path for path in chosen if path not in self.files)]}
        dags = [dag for dag, errors in loaded.values() if dag is not None]
        circles = _circles({dag.name: dag for dag in dags})
        for path, (dag, errors) in loaded.items():
            if dag is not None and dag.name in circles:
                errors.append(circles[dag.name])
                loaded[path] = (None, errors)
        files = tuple(chosen or self.files)
        good = tuple(dag for dag in (loaded[path][0] for path in files) if dag is not None)
        bad = {self.settings.shown(path): tuple(loaded[path][1]) for path in files if loaded[path][1]}
        errors = [error for found in bad.values() for error in found]
        if not chosen:
            errors += [*self.defaults(), *self.folder()]
        misfits = tuple(dag for path, dag in self.read_well.items() if path in files and self.settings.shown(path) in bad)
        return Fleet(good, tuple(_once(errors)), tuple(self.warnings(good)), files, bad, misfits)

    def defaults(self) -> list[DbtFlowError]:
        """What is wrong with defaults files in themselves, whether a DAG uses them or not."""
        paths = sorted(self.settings.dags.rglob(DEFAULTS_FILE)) if self.settings.dags.is_dir() else []
        errors: list[DbtFlowError] = []
        for path in paths:
            document = self.document(path, empty_ok=True)
            errors += [*document.errors, *defaults_errors(document)]
        return errors

    def folder(self) -> list[DbtFlowError]:
        if self.settings.dags.is_dir():
            return []
        shown = self.settings.shown(self.settings.dags)
        hint = "make it with dbt-flow init, or name another one with dags: in dbt_flow.yml"
        return [InputError("unreadable", f"the DAG folder {shown} does not exist", place=Place(shown), hint=hint)]

    def warnings(self, dags: tuple[Dag, ...]) -> list[DbtFlowError]:
        found: list[DbtFlowError] = []
        if dags and not self.settings.owners:
            hint = "list the teams under owners: in dbt_flow.yml, so that a slip in a name is found"
            found.append(InputError("unknown-owner", "any owner is taken as good", place=dags[0].place("owner"), hint=hint))
        now = datetime.now(timezone.utc)
        for dag in dags:
            found += clock_warnings(dag, now)
        return [*found, *untold(self.settings, dags, now.date())]


def _params(dag: Dag) -> list[DbtFlowError]:
    """Each parameter gets its value from somewhere."""
    errors: list[DbtFlowError] = []
    mapped = dag.trigger.event.params if dag.trigger.event else {}
    for name in mapped:
        if name not in dag.params:
            near = did_you_mean(name, dag.params)
            hint = f"did you mean {near}?" if near else f"declare it: params: {{{name}: {{type: str}}}}"
            place = dag.place(f"trigger.event.params.{name}")
            errors.append(InputError("bad-value", f"the event fills {name}, which is no parameter", place=place, hint=hint))
    if dag.trigger.kind != "none":
        for name, param in dag.params.items():
            if param.required and name not in mapped:
                message = f"the parameter {name} has no default, and nobody gives it one when the DAG starts by itself"
                hint = f"write params: {{{name}: {{type: {param.type}, default: ...}}}}"
                errors.append(InputError("bad-value", message, place=dag.place(f"params.{name}"), hint=hint))
    return errors


def _circles(dags: dict[str, Dag]) -> dict[str, DbtFlowError]:
    """For each DAG that waits for itself through others: the error that names the circle."""
    found: dict[str, DbtFlowError] = {}
    waits = {
        name: [n for n in (dag.trigger.after.names if dag.trigger.after else ()) if n in dags] for name, dag in dags.items()
    }
    for start, dag in dags.items():
        came_from: dict[str, str] = {}
        queue = [start]
        while queue and start not in came_from:
            here = queue.pop(0)
            for waited in waits[here]:
                if waited not in came_from:
                    came_from[waited] = here
                    queue.append(waited)
        if start in came_from:
            back = [start]
            while back[-1] != start or len(back) == 1:
                back.append(came_from[back[-1]])
            first, second, *others = reversed(back)
            circle = f"{first} waits for {second}" + "".join(f", which waits for {name}" for name in others)
            hint = "take one of these out of its after:"
            found[start] = InputError("waits-for-itself", f"a circle: {circle}", place=dag.place("trigger.after"), hint=hint)
    return found


def _once(errors: Iterable[DbtFlowError]) -> list[DbtFlowError]:
    """Each error once, in the order of places: a defaults file's stands behind every DAG below it."""
    once = {(str(error.place), error.code, error.message): error for error in errors}.values()
    return sorted(once, key=lambda error: _order(error.place))


def _order(place: Place | None) -> tuple[str, int, int]:
    return (place.file, place.line or 0, place.column or 0) if place else ("", 0, 0)
