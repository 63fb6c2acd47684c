"""What the shell is told while a person types: runs, nodes, tags, parameters. It loads no dbt, and is silent on every error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

import click
from click.shell_completion import CompletionItem

from dbt_flow.records import flow_name
from dbt_flow.settings import Flags, Settings, dag_file, dag_names, load_settings
from dbt_flow.state.names import known_names

_RUNS = 15  # of a DAG
_OPERATORS = "+@0123456789"
"""What may stand before a name in a selection."""


def settings_said(ctx: click.Context) -> Settings:
    """The settings as the words typed so far have them.

    :raises DbtFlowError: there are none.
    """
    said = ctx.find_root().params
    here = ctx.params.get("project_dir")
    flags = {name: said.get(name) for name in ("root", "project_dir", "profiles_dir", "state")}
    return load_settings(Flags(**{**flags, "project_dir": here or flags["project_dir"]}))


def runs(settings: Settings, incomplete: str) -> Iterator[str]:
    """DAG names; behind a flow's name and a slash, its last runs, newest first."""
    from dbt_flow.state.places import store_of
    from dbt_flow.state.runs import find_runs

    names = dag_names(settings)
    flow, slash, _ = incomplete.partition("/")
    if not slash:
        yield from (name for name in names if name.startswith(incomplete))
        yield from (f"{flow_name(name)}/" for name in names if flow_name(name).startswith(incomplete) and incomplete)
        return
    dag = next((name for name in names if flow in (name, flow_name(name))), None)
    found = (f"{flow}/{ref.number}" for ref in find_runs(store_of(settings), dag)) if dag else iter(())
    yield from islice((run for run in found if run.startswith(incomplete)), _RUNS)


class Selection(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic in new clicks
    """A selection of dbt's. Completion knows nodes, and what may stand behind tag:, group: and source:."""

    name = "selection"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        """Of the last word, when there are several in one."""
        with suppress(Exception):
            return [CompletionItem(word) for word in self._words(settings_said(ctx), incomplete)]
        return []

    def _words(self, settings: Settings, incomplete: str) -> Iterator[str]:
        known = known_names(settings.state, settings.dbt_project)
        start = max(incomplete.rfind(" "), incomplete.rfind(",")) + 1
        start += len(incomplete[start:]) - len(incomplete[start:].lstrip(_OPERATORS))
        before, word = incomplete[:start], incomplete[start:]
        plain = [name for name in known.get("nodes", ()) if name.startswith(word)]
        methods = {"tag": "tags", "group": "groups", "source": "sources"}
        for method, kind in methods.items():
            if word.startswith(f"{method}:"):
                plain += [f"{method}:{name}" for name in known.get(kind, ()) if f"{method}:{name}".startswith(word)]
            elif word and f"{method}:".startswith(word) and known.get(kind):
                plain.append(f"{method}:")
        yield from (before + name for name in plain)


class Node(Selection):
    """A model, a table or a run. Completion knows nodes, sources and runs."""

    name = "node"

    def _words(self, settings: Settings, incomplete: str) -> Iterator[str]:
        known = known_names(settings.state, settings.dbt_project)
        yield from (name for kind in ("nodes", "sources") for name in known.get(kind, ()) if name.startswith(incomplete))
        yield from (run for run in runs(settings, incomplete) if run not in known.get("nodes", ()))


class Selector(Selection):
    """An entry of selectors.yml."""

    name = "selector"

    def _words(self, settings: Settings, incomplete: str) -> Iterator[str]:
        known = known_names(settings.state, settings.dbt_project).get("selectors", ())
        yield from (name for name in known if name.startswith(incomplete))


class Pair(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A parameter and its value, ``NAME=VALUE``. Completion reads the names in the DAG's own file."""

    name = "pair"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        """The names of the DAG's parameters."""
        with suppress(Exception):
            from dbt_flow.yamlfile import read

            settings = settings_said(ctx)
            said = [word for word in (ctx.params.get("dag"), *ctx.args) if word]  # an option without its value is no params
            file = next((file for word in said if (file := dag_file(settings, word))), None)
            params = (read(file).data or {}).get("params") if file else None
            return [CompletionItem(f"{name}=") for name in params or () if name.startswith(incomplete)]
        return []


SELECTION, NODE, SELECTOR, PAIR = Selection(), Node(), Selector(), Pair()
