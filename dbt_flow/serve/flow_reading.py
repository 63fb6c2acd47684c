"""Which ML flows listen, and to what: each file under ``flows:`` is read in a child process, and again when it changes.

A file that cannot be imported is reported, with its own last words, and does not stop the others.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from dbt_flow.errors import DbtFlowError, InputError, Place
from dbt_flow.launch import read_flow
from dbt_flow.serve.listeners import Listening, Subscriber, never_fires, of_dag, of_flow, user_branch
from dbt_flow.serve.needs_met import with_producers
from dbt_flow.settings import Settings, dag_files
from dbt_flow.spec import load_fleet
from dbt_flow.state.places import store_of
from dbt_flow.yamlfile.naming import dag_name

Stamp = tuple[tuple[str, int, int], ...]


class Reader:
    """Reads everybody who listens; keeps what a flow file said until the file changes."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.branch = user_branch(settings)
        self._flows: dict[Path, tuple[Stamp, Subscriber | DbtFlowError]] = {}

    def stamp(self) -> Stamp:
        """Changes when a file that :meth:`read` reads has changed."""
        settings = self.settings
        defaults = sorted(settings.dags.rglob("_defaults.yaml")) if settings.dags.is_dir() else []
        return _stamp([*dag_files(settings), *defaults, *settings.flows])

    def read(self) -> Listening:
        """Everybody who listens now, and what is wrong."""
        fleet = load_fleet(self.settings)
        found = [of_dag(dag, self.settings.project, self.branch) for dag in fleet.dags]
        problems = list(fleet.errors)
        with ThreadPoolExecutor(2) as pool:
            for read in pool.map(self._flow, self.settings.flows):
                if isinstance(read, DbtFlowError):
                    problems.append(read)
                else:
                    found.append(read)
        dags, store = [one for one in found if one.kind == "dag"], store_of(self.settings)
        found = [with_producers(one, dags, store) for one in found]
        broken = frozenset(dag_name(self.settings.root / file) for file in fleet.bad)
        problems += never_fires(found, broken) + _no_effect(found)
        return Listening(tuple(found), tuple(problems))

    def flow_problems(self) -> list[DbtFlowError]:
        """What is wrong with the ML flows, and with triggers between them and the DAGs: for ``validate``."""
        listening = self.read()
        files = {str(problem.place) for problem in load_fleet(self.settings).errors}
        return [problem for problem in listening.problems if str(problem.place) not in files]

    def _flow(self, file: Path) -> Subscriber | DbtFlowError:
        stamp = _stamp([file])
        known = self._flows.get(file)
        if known is None or known[0] != stamp:
            known = self._flows[file] = (stamp, self._read_flow(file))
        return known[1]

    def _read_flow(self, file: Path) -> Subscriber | DbtFlowError:
        shown = self.settings.shown(file)
        if not file.is_file():
            hint = "mend the path under flows: in dbt_flow.yml"
            return InputError("unreadable", f"there is no flow file {shown}", place=Place(shown), hint=hint)
        try:
            facts = read_flow(file, self.settings)
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
            return replace(of_flow(facts, shown, lines), owner=self.settings.flow_owners.get(file, ""))
        except DbtFlowError as error:
            return error


def _no_effect(subscribers: list[Subscriber]) -> list[DbtFlowError]:
    """``within`` with one start: there is nothing to pair it with."""
    found: list[DbtFlowError] = []
    for subscriber in subscribers:
        if subscriber.dag and subscriber.rule.within and (subscriber.rule.any or len(subscriber.waits) == 1):
            place = subscriber.dag.place("trigger.within")
            message = "within has no effect: this DAG starts from one event at a time"
            found.append(InputError("bad-value", message, place=place, hint="delete it, or name all that belong together"))
    return found


def _stamp(files: list[Path]) -> Stamp:
    found = []
    for file in files:
        try:
            facts = file.stat()
            found.append((str(file), facts.st_mtime_ns, facts.st_size))
        except OSError:
            found.append((str(file), 0, 0))
    return tuple(found)
